/* kafka_message.c -- an event as a message of Kafka's, and back.
 *
 * The key is the event's, the payload its data as JSON.  Headers: "plugin" who
 * emitted it, and the event's own texts.  Foreign producers need none: what is
 * no JSON becomes text.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "events/kafka.h"

static void add_own(rd_kafka_headers_t *headers, struct str object)
{
    struct json_pick pick;
    struct str key, value;
    struct buf text = {0};
    if (!object.n || !json_pick_open(&pick, object, '{'))
        return;
    while (json_pick_pair(&pick, &key, &value)) {
        struct buf name = {0};
        buf_clear(&text);
        if (memchr(key.p, '\\', key.n) == NULL && json_pick_text(value, &text)) {
            buf_add_str(&name, key);
            rd_kafka_header_add(headers, name.p ? name.p : "", (ssize_t)name.n,
                                text.p ? text.p : "", (ssize_t)text.n);
        }
        buf_free(&name);
    }
    buf_free(&text);
}

rd_kafka_headers_t *kafka_headers(const struct event_what *what, int64_t at_wall)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    char at[40];
    if (what->from.n)
        rd_kafka_header_add(headers, "plugin", 6, what->from.p, (ssize_t)what->from.n);
    snprintf(at, sizeof at, "%lld.%03d", (long long)(at_wall / NS_PER_SECOND),
             (int)(at_wall / NS_PER_MS % 1000));
    rd_kafka_header_add(headers, "at", 2, at, -1);
    add_own(headers, what->headers);
    return headers;
}

/* All but "plugin" and the first "at" as an object, which goes to out; *from lies in the message.
 */
static void read_headers(const rd_kafka_message_t *m, struct buf *out, struct str *from)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t n;
    bool had_at = false, any = false;
    struct json w = json_to(out);
    if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    json_open(&w, '{');
    for (size_t i = 0;
         rd_kafka_header_get_all(headers, i, &name, &value, &n) == RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        if (strcmp(name, "plugin") == 0 && !from->n)
            *from = str_n(value, value ? n : 0);
        else if (strcmp(name, "at") == 0 && !had_at)
            had_at = true;
        else {
            json_key(&w, name);
            json_str(&w, str_n(value ? value : "", value ? n : 0));
            any = true;
        }
    }
    json_close(&w, '}');
    if (!any)
        buf_clear(out);
}

static bool is_json(struct str text)
{
    static const struct json_events silent = {0};
    struct err err;
    return json_read(text, JSON_DEPTH_DEFAULT, &silent, NULL, &err);
}

struct event kafka_event(const rd_kafka_message_t *m, struct buf *headers, struct buf *data)
{
    rd_kafka_timestamp_type_t type;
    int64_t at_ms = rd_kafka_message_timestamp(m, &type);
    struct event event = {.partition = m->partition,
                          .offset = m->offset,
                          .at_wall = at_ms > 0 ? at_ms * NS_PER_MS : 0,
                          .key = str_n(m->key, m->key ? m->key_len : 0),
                          .data = str_n(m->payload, m->payload ? m->len : 0)};
    read_headers(m, headers, &event.from);
    event.headers = buf_str(headers);
    if (event.data.n && !is_json(event.data)) {
        json_write_string(data, event.data);
        event.data = buf_str(data);
    }
    return event;
}

void kafka_print(struct buf *out, struct str topic, const rd_kafka_message_t *m)
{
    struct buf headers = {0}, data = {0};
    struct event event = kafka_event(m, &headers, &data);
    event_print(out, topic, &event);
    buf_free(&headers);
    buf_free(&data);
}
