#include "jobs/celery/message.h"

#include <stdio.h>

#include "base/json.h"
#include "base/json_pick.h"
#include "jobs/celery/text.h"

static const char *const separator = "\x06\x16";
static const char *const step_names[CELERY_STEPS] = {"0", "3", "6", "9"};

static void member(struct json *w, const char *key, struct str value)
{
    json_key(w, key);
    if (value.n)
        json_str(w, value);
    else
        json_null(w);
}

static void raw_member(struct json *w, const char *key, struct str json, const char *absent)
{
    json_key(w, key);
    json_raw(w, json.n ? json : str_c(absent));
}

static void time_member(struct json *w, const char *key, int64_t wall_ns)
{
    char text[CELERY_TIME_BYTES];
    celery_time_format(wall_ns, true, text);
    member(w, key, wall_ns ? str_c(text) : str_n("", 0));
}

static void limit_value(struct json *w, double seconds)
{
    if (seconds > 0)
        json_num(w, seconds);
    else
        json_null(w);
}

static void repr_member(struct json *w, const char *key, struct str json)
{
    struct buf text = {0};
    celery_repr(json, &text);
    json_key(w, key);
    json_str(w, buf_str(&text));
    buf_free(&text);
}

/* Headers a producer adds (tracing, stamps) go on to a retry of the message. */
static void other_headers(struct json *w, struct str headers)
{
    static const char *const known[] = {
        "lang",     "task",         "id",      "shadow",      "eta",           "expires",
        "group",    "group_index",  "retries", "timelimit",   "root_id",       "parent_id",
        "argsrepr", "kwargsrepr",   "origin",  "redelivered", "ignore_result", "maru",
        "maru_key", "maru_version", NULL};
    struct json_pick p;
    struct str key, value;
    if (!json_pick_open(&p, headers, '{'))
        return;
    while (json_pick_pair(&p, &key, &value)) {
        int i = 0;
        while (known[i] && !str_eq_c(key, known[i]))
            i++;
        if (known[i] || key.n > CELERY_NAME_BYTES || memchr(key.p, '\\', key.n))
            continue;
        char name[CELERY_NAME_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", (int)key.n, key.p);
        json_key(w, name);
        json_raw(w, value);
    }
}

static void write_headers(struct json *w, const struct celery_message *m)
{
    json_key(w, "headers");
    json_open(w, '{');
    member(w, "lang", STR("py"));
    member(w, "task", m->task);
    member(w, "id", m->id);
    member(w, "shadow", m->shadow);
    time_member(w, "eta", m->eta_wall);
    time_member(w, "expires", m->expires_wall);
    member(w, "group", m->group);
    json_key(w, "group_index");
    if (m->group_index >= 0)
        json_int(w, m->group_index);
    else
        json_null(w);
    json_key(w, "retries");
    json_int(w, m->retries);
    json_key(w, "timelimit");
    json_open(w, '[');
    limit_value(w, m->time_limit_s);
    limit_value(w, m->soft_time_limit_s);
    json_close(w, ']');
    member(w, "root_id", m->root_id.n ? m->root_id : m->id);
    member(w, "parent_id", m->parent_id);
    repr_member(w, "argsrepr", m->args.n ? m->args : STR("[]"));
    repr_member(w, "kwargsrepr", m->kwargs.n ? m->kwargs : STR("{}"));
    member(w, "origin", m->origin);
    json_key(w, "ignore_result");
    json_bool(w, m->ignore_result);
    if (m->maru_id) {
        json_key(w, "maru");
        json_int(w, m->maru_id);
    }
    if (m->key.n)
        member(w, "maru_key", m->key);
    if (m->version) {
        json_key(w, "maru_version");
        json_int(w, m->version);
    }
    other_headers(w, m->headers);
    json_close(w, '}');
}

static void write_properties(struct json *w, const struct celery_message *m)
{
    json_key(w, "properties");
    json_open(w, '{');
    member(w, "correlation_id", m->id);
    json_key(w, "reply_to");
    json_str(w, m->reply_to.n ? m->reply_to : m->id);
    json_key(w, "delivery_mode");
    json_int(w, 2);
    json_key(w, "delivery_info");
    json_open(w, '{');
    json_key(w, "exchange");
    json_str(w, m->exchange);
    member(w, "routing_key", m->routing_key);
    json_close(w, '}');
    json_key(w, "priority");
    json_int(w, m->priority);
    member(w, "body_encoding", STR("base64"));
    member(w, "delivery_tag", m->delivery_tag);
    json_close(w, '}');
}

void celery_message_write(const struct celery_message *m, struct buf *out)
{
    struct buf body = {0}, encoded = {0};
    struct json b = json_to(&body), w = json_to(out);
    json_open(&b, '[');
    json_raw(&b, m->args.n ? m->args : STR("[]"));
    json_raw(&b, m->kwargs.n ? m->kwargs : STR("{}"));
    json_open(&b, '{');
    raw_member(&b, "callbacks", m->callbacks, "null");
    raw_member(&b, "errbacks", m->errbacks, "null");
    raw_member(&b, "chain", m->chain, "null");
    raw_member(&b, "chord", m->chord, "null");
    json_close(&b, '}');
    json_close(&b, ']');
    celery_base64(buf_str(&body), &encoded);
    json_open(&w, '{');
    member(&w, "body", buf_str(&encoded));
    member(&w, "content-encoding", STR("utf-8"));
    member(&w, "content-type", STR("application/json"));
    write_headers(&w, m);
    write_properties(&w, m);
    json_close(&w, '}');
    buf_free(&body);
    buf_free(&encoded);
}

void celery_envelope_write(struct str body, struct str exchange, struct str routing_key,
                           struct str headers, struct buf *out)
{
    struct buf encoded = {0};
    struct json w = json_to(out);
    char tag[37];
    celery_uuid(tag);
    celery_base64(body, &encoded);
    json_open(&w, '{');
    member(&w, "body", buf_str(&encoded));
    member(&w, "content-encoding", STR("utf-8"));
    member(&w, "content-type", STR("application/json"));
    json_key(&w, "headers");
    json_raw(&w, headers);
    json_key(&w, "properties");
    json_open(&w, '{');
    json_key(&w, "delivery_mode");
    json_int(&w, 1);
    json_key(&w, "delivery_info");
    json_open(&w, '{');
    json_key(&w, "exchange");
    json_str(&w, exchange);
    json_key(&w, "routing_key");
    json_str(&w, routing_key);
    json_close(&w, '}');
    json_key(&w, "priority");
    json_int(&w, 0);
    member(&w, "body_encoding", STR("base64"));
    member(&w, "delivery_tag", str_c(tag));
    json_close(&w, '}');
    json_close(&w, '}');
    buf_free(&encoded);
}

/* An object with one member set. */
static void with_member(struct str object, const char *key, struct str value, struct buf *out)
{
    struct json_pick p;
    struct str name, other;
    buf_printf(out, "{\"%s\": %.*s", key, (int)value.n, value.p);
    if (json_pick_open(&p, object, '{'))
        while (json_pick_pair(&p, &name, &other))
            if (!str_eq_c(name, key))
                buf_printf(out, ", \"%.*s\": %.*s", (int)name.n, name.p, (int)other.n, other.p);
    buf_add_char(out, '}');
}

void celery_redelivered(struct str message, struct buf *out)
{
    struct buf headers = {0}, info = {0}, properties = {0}, half = {0};
    struct str old = json_pick_get(message, "properties");
    with_member(json_pick_get(message, "headers"), "redelivered", STR("true"), &headers);
    with_member(json_pick_get(old, "delivery_info"), "redelivered", STR("true"), &info);
    with_member(old, "delivery_info", buf_str(&info), &properties);
    with_member(message, "headers", buf_str(&headers), &half);
    with_member(buf_str(&half), "properties", buf_str(&properties), out);
    buf_free(&headers);
    buf_free(&info);
    buf_free(&properties);
    buf_free(&half);
}

void celery_list_name(struct str queue, int priority, struct buf *out)
{
    int step = priority < 0 ? 0 : priority > 9 ? 3 : priority / 3;
    buf_add_str(out, queue);
    if (step > 0)
        buf_printf(out, "%s%s", separator, step_names[step]);
}

/* -- arguments -- */

void celery_args_join(struct str args, struct str kwargs, struct buf *out)
{
    struct json_pick p;
    struct str key, value;
    bool positional = json_pick_count(args) > 0;
    bool named = json_pick_open(&p, kwargs, '{') && json_pick_pair(&p, &key, &value);
    if (!positional || !named) {
        celery_plain(positional ? args : kwargs.n ? kwargs : STR("{}"), out);
        return;
    }
    buf_add_c(out, "{\"*args\":");
    celery_plain(args, out);
    buf_add_char(out, ',');
    struct buf rest = {0};
    celery_plain(kwargs, &rest);
    buf_add(out, rest.p + 1, rest.n - 1);
    buf_free(&rest);
}

void celery_args_split(struct str json, struct buf *args, struct buf *kwargs)
{
    struct json_pick p;
    struct str key, value;
    bool first = true;
    if (json_pick_open(&p, json, '[')) {
        buf_add_str(args, json);
        buf_add_c(kwargs, "{}");
        return;
    }
    struct str positional = json_pick_get(json, "*args");
    struct json_pick any;
    bool has = json_pick_open(&any, positional, '[');
    buf_add_str(args, has ? positional : STR("[]"));
    buf_add_char(kwargs, '{');
    if (json_pick_open(&p, json, '{'))
        for (; json_pick_pair(&p, &key, &value);) {
            if (has && str_eq_c(key, "*args"))
                continue;
            buf_printf(kwargs, "%s\"%.*s\":", first ? "" : ",", (int)key.n, key.p);
            buf_add_str(kwargs, value);
            first = false;
        }
    buf_add_char(kwargs, '}');
}
