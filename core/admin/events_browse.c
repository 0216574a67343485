/* events_browse.c -- GET /admin/v1/events/{topic}/browse: what lies in a topic, newest first, by
 * key, time and words, and what comes. */
#include <string.h>

#include "admin/internal.h"
#include "base/mem.h"
#include "events/events.h"

struct browse {
    struct event_browse browse; /* first */
    struct admin_call *call;
    char *cursor, *key, *text;
};

static void on_found(struct event_browse *found)
{
    struct browse *b = (struct browse *)(void *)found;
    struct admin_call *call = b->call;
    if (found->err.code) {
        admin_answer_err(call, &found->err);
    } else {
        struct json w = json_to(&call->out);
        buf_add_c(&call->out, "{\"events\":[");
        buf_add_str(&call->out, buf_str(&found->out));
        buf_add_c(&call->out, "],\"next\":");
        json_cstr(&w, found->next);
        json_key(&w, "tail");
        json_cstr(&w, found->tail);
        json_key(&w, "end");
        json_bool(&w, found->end);
        json_key(&w, "looked");
        json_int(&w, found->looked);
        json_close(&w, '}');
        admin_answer(call, 200);
    }
    buf_free(&found->out);
    mem_free(b->cursor);
    mem_free(b->key);
    mem_free(b->text);
    mem_free(b);
}

static bool read_order(const struct admin_call *call, bool *newest, struct err *err)
{
    char *order = admin_query(call, "order", "newest");
    *newest = strcmp(order, "newest") == 0;
    bool ok = *newest || strcmp(order, "oldest") == 0 ||
              err_set(err, ERR_INVALID, "order is newest or oldest");
    mem_free(order);
    return ok;
}

void admin_browse_events(struct admin_call *call)
{
    struct browse *b = mem_zero(1, sizeof *b);
    struct event_browse *q = &b->browse;
    struct err err = {0};
    b->call = call;
    b->cursor = admin_query(call, "after", "");
    b->key = admin_query(call, "key", "");
    b->text = admin_query(call, "q", "");
    *q = (struct event_browse){.topic = str_c(call->first),
                               .key = str_c(b->key),
                               .text = str_c(b->text),
                               .cursor = str_c(b->cursor),
                               .partition = admin_query_int(call, "partition", -1, -1, 100000),
                               .offset = admin_query_int64(call, "offset", -1),
                               .limit = admin_query_int(call, "limit", 50, 1, EVENT_BROWSE_MOST),
                               .done = on_found,
                               .lane = call->admin->parts->control};
    if (read_order(call, &q->newest, &err) && admin_query_times(call, &q->since, &q->until, &err)) {
        events_browse(call->admin->parts->events, q);
        return;
    }
    q->err = err;
    on_found(q);
}
