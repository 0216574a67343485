/* events.c -- the event stream: what is in it, who has heard how far, and events handed over again.
 */
#include "events/events.h"

#include <stdio.h>

#include "admin/internal.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/jobs.h"

struct all_view {
    struct event_view view; /* first */
    struct admin_call *call;
};

static void on_all(struct event_view *view)
{
    struct all_view *v = (struct all_view *)(void *)view;
    if (view->err.code) {
        admin_answer_err(v->call, &view->err);
    } else {
        buf_add_str(&v->call->out, buf_str(&view->out));
        admin_answer(v->call, 200);
    }
    buf_free(&view->out);
    mem_free(v);
}

static void view_all(struct admin_call *call)
{
    struct all_view *v = mem_zero(1, sizeof *v);
    v->call = call;
    v->view.done = on_all;
    v->view.lane = call->admin->parts->control;
    events_view(call->admin->parts->events, &v->view);
}

/* -- one topic --------------------------------------------------------------------------------- */

struct look {
    struct event_query query; /* first */
    struct jobs_push push;    /* of a replay */
    struct admin_call *call;
    char *after, *group;
    struct str *args;
    int count;
    struct buf text, kind;
};

static void free_look(struct look *l)
{
    buf_free(&l->query.out);
    buf_free(&l->text);
    buf_free(&l->kind);
    mem_free(l->after);
    mem_free(l->group);
    mem_free(l->args);
    mem_free(l);
}

/* after: an offset, or the cursor of an answer before. */
static void set_place(struct look *l, const char *after)
{
    long long offset;
    l->after = mem_strdup(after);
    l->query.after = -1;
    if (*l->after && str_int64(str_c(l->after), &offset)) {
        l->query.after = offset;
        if (l->query.partition < 0)
            l->query.partition = 0;
    } else
        l->query.cursor = str_c(l->after);
}

static void on_topic(struct event_query *query)
{
    struct look *l = (struct look *)(void *)query;
    if (query->err.code) {
        admin_answer_err(l->call, &query->err);
    } else {
        struct json w = json_to(&l->call->out);
        buf_add_c(&l->call->out, "{\"events\":[");
        buf_add_str(&l->call->out, buf_str(&query->out));
        buf_add_c(&l->call->out, "],\"next\":");
        json_cstr(&w, query->next);
        buf_add_c(&l->call->out, "}");
        admin_answer(l->call, 200);
    }
    free_look(l);
}

static struct look *look_at(struct admin_call *call, const char *after, int partition, int limit,
                            void (*done)(struct event_query *query))
{
    struct look *l = mem_zero(1, sizeof *l);
    l->call = call;
    l->query.topic = str_c(call->first);
    l->query.partition = partition;
    l->query.limit = limit;
    l->query.done = done;
    l->query.lane = call->admin->parts->control;
    set_place(l, after);
    return l;
}

static void view_topic(struct admin_call *call)
{
    char *after = admin_query(call, "after", "");
    int partition = admin_query_int(call, "partition", -1, -1, 100000);
    int limit = admin_query_int(call, "limit", 50, 1, EVENT_READ_MOST);
    struct look *l = look_at(call, after, partition, limit, on_topic);
    mem_free(after);
    events_read(call->admin->parts->events, &l->query);
}

/* -- handing over again --------------------------------------------------------------------------
 */

/* The topic whose dead letters these are, or itself. */
static struct str origin_of(struct str topic)
{
    bool dead = topic.n > 5 && memcmp(topic.p + topic.n - 5, ".dead", 5) == 0;
    return dead ? str_n(topic.p, topic.n - 5) : topic;
}

static struct str text_of(struct str value)
{
    return value.n >= 2 && value.p[0] == '"' ? str_n(value.p + 1, value.n - 2) : value;
}

static void copy_member(struct json *w, const char *key, struct str value)
{
    if (!value.n)
        return;
    json_key(w, key);
    json_raw(w, value);
}

/* Headers are what somebody wrote: only a number goes in as one. */
static void copy_number(struct json *w, const char *key, struct str text)
{
    static const struct json_events nothing;
    struct err err;
    bool number = text.n && (text.p[0] == '-' || (text.p[0] >= '0' && text.p[0] <= '9'));
    if (number && json_read(text, 1, &nothing, NULL, &err))
        copy_member(w, key, text);
}

/* A dead letter is the event again that it was: its place stands in the headers. */
static void print_origin(struct buf *out, struct str event, struct str topic)
{
    struct json w = json_to(out);
    struct str headers = json_pick_get(event, "headers");
    json_open(&w, '{');
    json_key(&w, "topic");
    json_str(&w, topic);
    copy_member(&w, "key", json_pick_get(event, "key"));
    copy_number(&w, "partition", text_of(json_pick_get(headers, "partition")));
    copy_number(&w, "offset", text_of(json_pick_get(headers, "offset")));
    copy_number(&w, "at", text_of(json_pick_get(headers, "at")));
    copy_member(&w, "from", json_pick_get(event, "from"));
    json_key(&w, "data");
    struct str data = json_pick_get(event, "data");
    json_raw(&w, data.n ? data : STR("null"));
    json_close(&w, '}');
}

/* The events that are for the group, as arguments of jobs; group "" is all of one dead letter's. */
static void collect(struct look *l)
{
    struct json_pick pick;
    struct str event, topic = origin_of(l->query.topic);
    bool dead = topic.n < l->query.topic.n;
    struct buf list = {0};
    size_t *ends = mem_zero(EVENT_READ_MOST, sizeof *ends);
    buf_printf(&list, "[%.*s]", (int)l->query.out.n, l->query.out.p ? l->query.out.p : "");
    json_pick_open(&pick, buf_str(&list), '[');
    while (json_pick_item(&pick, &event)) {
        struct str group = text_of(json_pick_get(json_pick_get(event, "headers"), "group"));
        if (dead && !str_eq_c(group, l->group))
            continue;
        if (dead)
            print_origin(&l->text, event, topic);
        else
            buf_add_str(&l->text, event);
        ends[l->count++] = l->text.n;
    }
    l->args = mem_zero((size_t)l->count + 1, sizeof *l->args);
    for (int i = 0; i < l->count; i++)
        l->args[i] = str_n(l->text.p + (i ? ends[i - 1] : 0), ends[i] - (i ? ends[i - 1] : 0));
    buf_printf(&l->kind, "%s.on:%.*s", l->group, (int)topic.n, topic.p);
    mem_free(ends);
    buf_free(&list);
}

static void on_pushed(struct jobs_push *push)
{
    struct look *l = (struct look *)(void *)((char *)push - offsetof(struct look, push));
    if (push->err.code) {
        admin_answer_err(l->call, &push->err);
    } else {
        struct json w = json_to(&l->call->out);
        json_open(&w, '{');
        json_key(&w, "replayed");
        json_int(&w, l->count);
        json_key(&w, "read");
        json_bool(&w, l->query.out.n > 0);
        json_key(&w, "next");
        json_cstr(&w, l->query.next);
        json_close(&w, '}');
        admin_answer(l->call, 200);
    }
    free_look(l);
}

static void on_read(struct event_query *query)
{
    struct look *l = (struct look *)(void *)query;
    struct jobs *jobs = l->call->admin->parts->jobs;
    l->push.err = query->err;
    l->push.done = on_pushed;
    l->push.lane = l->call->admin->parts->control;
    if (query->err.code) {
        on_pushed(&l->push);
        return;
    }
    collect(l);
    struct job_spec spec = {.kind = buf_str(&l->kind)};
    if (jobs_offer(jobs, spec.kind) == JOB_UNKNOWN)
        err_set(&l->push.err, ERR_NOT_FOUND, "no plugin '%s' that serves now hears %.*s", l->group,
                (int)origin_of(query->topic).n, query->topic.p);
    if (l->push.err.code || l->count == 0 ||
        !jobs_push(jobs, &l->push, &spec, l->args, l->count, &l->push.err))
        on_pushed(&l->push);
}

static void change_replay(struct admin_call *call)
{
    static const char *const known[] = {"group", "after", "partition", "limit", NULL};
    struct admin_body body = {0};
    struct err err = {0};
    long long partition = -1, limit = 100;
    if (!admin_body_read(call, &body, &err) || !admin_body_only(&body, known, &err)) {
        admin_answer_err(call, &err);
        return;
    }
    const char *group = admin_body_text(&body, "group", "");
    bool good = *group && str_int64(str_c(admin_body_text(&body, "partition", "-1")), &partition) &&
                str_int64(str_c(admin_body_text(&body, "limit", "100")), &limit) &&
                partition >= -1 && partition <= 100000 && limit >= 1 && limit <= EVENT_READ_MOST;
    if (good) {
        call->detail = mem_printf(" to %.60s", group);
        struct look *l =
            look_at(call, admin_body_text(&body, "after", ""), (int)partition, (int)limit, on_read);
        l->group = mem_strdup(group);
        events_read(call->admin->parts->events, &l->query);
    } else {
        err_set(&err, ERR_INVALID,
                "a replay takes group (a plugin), after, partition and limit (1 to %d)",
                EVENT_READ_MOST);
        admin_answer_err(call, &err);
    }
    admin_body_free(&body);
}

const struct admin_action admin_events[] = {
    {"GET", "/admin/v1/events", view_all, NULL},
    {"GET", "/admin/v1/events/{topic}", view_topic, NULL},
    {"GET", "/admin/v1/events/{topic}/browse", admin_browse_events, NULL},
    {"POST", "/admin/v1/events/{topic}/replay", change_replay, "events.replay"},
    {NULL, NULL, NULL, NULL},
};
