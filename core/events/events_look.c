/* events_look.c -- what is asked of either driver, and how an event is shown. */
#include "base/clock.h"
#include "base/json.h"
#include "events/private.h"

static void on_query(struct lane_message *message)
{
    struct event_query *query = (struct event_query *)(void *)message;
    query->done(query);
}

void event_query_answer(struct event_query *query)
{
    query->message.fn = on_query;
    lane_post(query->lane, &query->message);
}

static void on_view(struct lane_message *message)
{
    struct event_view *view = (struct event_view *)(void *)message;
    view->done(view);
}

void event_view_answer(struct event_view *view)
{
    view->message.fn = on_view;
    lane_post(view->lane, &view->message);
}

void events_read(struct events *events, struct event_query *query)
{
    err_clear(&query->err);
    query->next[0] = 0;
    if (event_topic_ok(query->topic)) {
        events->driver->read(events, query);
        return;
    }
    err_set(&query->err, ERR_INVALID, "events: '%.*s' is no name of a topic",
            (int)(query->topic.n < 120 ? query->topic.n : 120), query->topic.p);
    event_query_answer(query);
}

void events_view(struct events *events, struct event_view *view)
{
    err_clear(&view->err);
    events->driver->view(events, view);
}

static void on_browse(struct lane_message *message)
{
    struct event_browse *browse = (struct event_browse *)(void *)message;
    browse->done(browse);
}

void event_browse_answer(struct event_browse *browse)
{
    browse->message.fn = on_browse;
    lane_post(browse->lane, &browse->message);
}

void events_browse(struct events *events, struct event_browse *browse)
{
    err_clear(&browse->err);
    browse->next[0] = browse->tail[0] = 0;
    browse->looked = 0;
    browse->end = false;
    if (event_topic_ok(browse->topic)) {
        events->driver->browse(events, browse);
        return;
    }
    err_set(&browse->err, ERR_INVALID, "events: '%.*s' is no name of a topic",
            (int)(browse->topic.n < 120 ? browse->topic.n : 120), browse->topic.p);
    event_browse_answer(browse);
}

static char small(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static bool has(struct str text, struct str wanted)
{
    for (size_t at = 0; at + wanted.n <= text.n; at++) {
        size_t n = 0;
        while (n < wanted.n && small(text.p[at + n]) == small(wanted.p[n]))
            n++;
        if (n == wanted.n)
            return true;
    }
    return false;
}

bool event_is_wanted(const struct event_browse *b, const struct event *event)
{
    if ((b->since && event->at_wall < b->since) || (b->until && event->at_wall >= b->until))
        return false;
    if (b->key.n && !str_eq(b->key, event->key))
        return false;
    return !b->text.n || has(event->data, b->text) || has(event->key, b->text) ||
           has(event->headers, b->text);
}

void event_print(struct buf *out, struct str topic, const struct event *event)
{
    struct json w = json_to(out);
    json_open(&w, '{');
    json_key(&w, "topic");
    json_str(&w, topic);
    if (event->key.n) {
        json_key(&w, "key");
        json_str(&w, event->key);
    }
    json_key(&w, "partition");
    json_int(&w, event->partition);
    json_key(&w, "offset");
    json_int(&w, event->offset);
    json_key(&w, "at");
    json_num(&w, (double)(event->at_wall / NS_PER_MS) / 1000);
    if (event->from.n) {
        json_key(&w, "from");
        json_str(&w, event->from);
    }
    if (event->headers.n) {
        json_key(&w, "headers");
        json_raw(&w, event->headers);
    }
    json_key(&w, "data");
    json_raw(&w, event->data.n ? event->data : STR("null"));
    json_close(&w, '}');
}
