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
