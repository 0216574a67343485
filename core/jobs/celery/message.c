#include "jobs/celery/message.h"

#include "base/json.h"
#include "base/json_pick.h"
#include "jobs/celery/text.h"

struct str celery_decoded(struct arena *arena, struct str value)
{
    struct buf text = {0};
    struct str out = str_n("", 0);
    if (json_pick_text(value, &text) && text.n <= CELERY_NAME_BYTES)
        out = str_n(arena_strdup(arena, buf_str(&text)), text.n);
    buf_free(&text);
    return out;
}

/* A string member; absent and null are empty.  False when it is something else or too long. */
static bool text_of(struct arena *arena, struct str object, const char *key, struct str *out,
                    struct err *err)
{
    struct str value = json_pick_get(object, key);
    struct buf text = {0};
    *out = str_n("", 0);
    if (value.n == 0)
        return true;
    bool is_text = json_pick_text(value, &text);
    if (is_text && text.n <= CELERY_NAME_BYTES)
        *out = str_n(arena_strdup(arena, buf_str(&text)), text.n);
    else if (is_text)
        err_set(err, ERR_LIMIT, "%s is longer than %d bytes", key, CELERY_NAME_BYTES);
    else
        err_set(err, ERR_INVALID, "%s is not a string", key);
    bool ok = is_text && text.n <= CELERY_NAME_BYTES;
    buf_free(&text);
    return ok;
}

static bool needed(struct arena *arena, struct str object, const char *key, const char *where,
                   struct str *out, struct err *err)
{
    if (!text_of(arena, object, key, out, err))
        return false;
    if (out->n)
        return true;
    return err_set(err, ERR_INVALID, "%s lack %s", where, key);
}

static bool whole_of(struct str object, const char *key, int most, int absent, int *out,
                     struct err *err)
{
    struct str value = json_pick_get(object, key);
    double number = absent;
    if (value.n && !json_pick_number(value, &number))
        return err_set(err, ERR_INVALID, "%s is not a whole number", key);
    if (value.n && !(number >= 0 && number <= most)) /* before the cast: it may be 1e100 */
        return err_set(err, ERR_INVALID, "%s is not between 0 and %d", key, most);
    if (number != (double)(int)number)
        return err_set(err, ERR_INVALID, "%s is not a whole number", key);
    *out = (int)number;
    return true;
}

static bool time_of(struct str object, const char *key, int64_t *wall_ns, struct err *err)
{
    struct str value = json_pick_get(object, key);
    struct buf text = {0};
    *wall_ns = 0;
    if (value.n == 0)
        return true;
    bool ok = json_pick_text(value, &text) && celery_time_parse(buf_str(&text), wall_ns);
    if (!ok)
        err_set(err, ERR_INVALID, "%s is not an ISO 8601 time: %.*s", key,
                value.n > 64 ? 64 : (int)value.n, value.p);
    buf_free(&text);
    return ok;
}

/* [hard, soft] in seconds, each may be null.  (Celery's own protocol page has them the other way.)
 */
static bool limits_of(struct str headers, struct celery_message *out, struct err *err)
{
    double *const limits[] = {&out->time_limit_s, &out->soft_time_limit_s};
    struct str pair = json_pick_get(headers, "timelimit"), value;
    struct json_pick p;
    int count = 0;
    if (pair.n == 0)
        return true;
    bool ok = json_pick_open(&p, pair, '[');
    for (; ok && json_pick_item(&p, &value); count++)
        ok = count < 2 &&
             (str_eq_c(value, "null") || (json_pick_number(value, limits[count]) &&
                                          *limits[count] >= 0 && *limits[count] <= 1e9));
    return ok && count == 2 ? true : err_set(err, ERR_INVALID, "timelimit is not [hard, soft]");
}

static int64_t our_number(struct str headers, const char *key)
{
    double value = 0;
    bool is_ours = json_pick_number(json_pick_get(headers, key), &value) && value > 0;
    return is_ours && value < 9e15 ? (int64_t)value : 0;
}

/* Headers of ours; what is no such thing is not heeded. */
static void read_ours(struct arena *arena, struct str headers, struct celery_message *out)
{
    struct buf key = {0};
    out->maru_id = our_number(headers, "maru");
    out->version = our_number(headers, "maru_version");
    if (json_pick_text(json_pick_get(headers, "maru_key"), &key))
        out->key = str_n(arena_strdup(arena, buf_str(&key)), key.n);
    buf_free(&key);
}

static bool read_headers(struct arena *arena, struct str headers, struct celery_message *out,
                         struct err *err)
{
    out->headers = headers;
    bool ok = needed(arena, headers, "task", "the headers", &out->task, err) &&
              needed(arena, headers, "id", "the headers", &out->id, err) &&
              text_of(arena, headers, "root_id", &out->root_id, err) &&
              text_of(arena, headers, "parent_id", &out->parent_id, err) &&
              text_of(arena, headers, "group", &out->group, err) &&
              text_of(arena, headers, "shadow", &out->shadow, err) &&
              text_of(arena, headers, "origin", &out->origin, err) &&
              time_of(headers, "eta", &out->eta_wall, err) &&
              time_of(headers, "expires", &out->expires_wall, err) &&
              whole_of(headers, "retries", 1000000, 0, &out->retries, err) &&
              whole_of(headers, "group_index", 1 << 30, -1, &out->group_index, err) &&
              limits_of(headers, out, err);
    read_ours(arena, headers, out);
    out->ignore_result = str_eq_c(json_pick_get(headers, "ignore_result"), "true");
    out->redelivered = str_eq_c(json_pick_get(headers, "redelivered"), "true");
    return ok;
}

static bool read_properties(struct arena *arena, struct str properties, struct celery_message *out,
                            struct err *err)
{
    struct str info = json_pick_get(properties, "delivery_info");
    double priority = 0;
    if (json_pick_get(info, "exchange").n == 0)
        return err_set(err, ERR_INVALID, "the properties lack delivery_info.exchange");
    json_pick_number(json_pick_get(properties, "priority"), &priority);
    out->priority =
        priority < 0 || !(priority < CELERY_PRIORITIES) ? (priority < 0 ? 0 : 9) : (int)priority;
    return needed(arena, properties, "delivery_tag", "the properties", &out->delivery_tag, err) &&
           text_of(arena, info, "exchange", &out->exchange, err) &&
           text_of(arena, info, "routing_key", &out->routing_key, err) &&
           text_of(arena, properties, "reply_to", &out->reply_to, err);
}

static bool signatures(struct str embed, const char *key, struct str *out, struct err *err)
{
    struct json_pick p;
    *out = json_pick_get(embed, key);
    if (out->n == 0 || json_pick_open(&p, *out, '['))
        return true;
    return err_set(err, ERR_INVALID, "%s is not an array", key);
}

static bool read_body(struct str body, struct celery_message *out, struct err *err)
{
    static const struct json_events nothing;
    struct json_pick p, any;
    struct str part[3];
    int count = 0;
    if (!json_read(body, CELERY_DEPTH, &nothing, NULL, err))
        return err_wrap(err, "the body");
    if (!json_pick_open(&p, body, '[') || json_pick_count(body) != 3)
        return err_set(err, ERR_INVALID, "the body is not [args, kwargs, embed]");
    while (count < 3 && json_pick_item(&p, &part[count]))
        count++;
    if (!json_pick_open(&any, part[0], '[') || !json_pick_open(&any, part[1], '{') ||
        !(json_pick_open(&any, part[2], '{') || str_eq_c(part[2], "null")))
        return err_set(err, ERR_INVALID, "the body is not an array, an object and an object");
    out->args = part[0];
    out->kwargs = part[1];
    out->chord = json_pick_get(part[2], "chord");
    if (out->chord.n && !json_pick_open(&any, out->chord, '{'))
        return err_set(err, ERR_INVALID, "chord is not an object");
    return signatures(part[2], "callbacks", &out->callbacks, err) &&
           signatures(part[2], "errbacks", &out->errbacks, err) &&
           signatures(part[2], "chain", &out->chain, err);
}

/* What says how the body is written; only JSON is read: a pickle would be a program. */
static bool check_content(struct str envelope, struct str headers, struct err *err)
{
    struct buf text = {0};
    bool ok = json_pick_text(json_pick_get(envelope, "content-type"), &text);
    if (!ok)
        err_set(err, ERR_INVALID, "the message has no content-type");
    else if (!(ok = str_eq_c(buf_str(&text), "application/json")))
        err_set(err, ERR_INVALID, "the content type is %.80s, not application/json", text.p);
    else if (!(ok = json_pick_get(headers, "compression").n == 0))
        err_set(err, ERR_INVALID, "the body is compressed");
    buf_free(&text);
    return ok;
}

static bool decode_body(struct str envelope, struct str properties, struct arena *arena,
                        struct str *body, struct err *err)
{
    struct buf text = {0}, decoded = {0}, encoding = {0};
    bool ok = json_pick_text(json_pick_get(envelope, "body"), &text);
    bool base64 = json_pick_text(json_pick_get(properties, "body_encoding"), &encoding) &&
                  str_eq_c(buf_str(&encoding), "base64");
    if (!ok)
        err_set(err, ERR_INVALID, "the message has no body");
    else if (base64 && !(ok = celery_unbase64(buf_str(&text), &decoded)))
        err_set(err, ERR_INVALID, "the body is not base64");
    struct buf *plain = base64 ? &decoded : &text;
    if (ok)
        *body = str_n(arena_strdup(arena, buf_str(plain)), plain->n);
    buf_free(&text);
    buf_free(&decoded);
    buf_free(&encoding);
    return ok;
}

bool celery_message_read(struct str text, struct arena *arena, struct celery_message *out,
                         struct err *err)
{
    static const struct json_events nothing;
    struct json_pick any;
    struct str body;
    *out = (struct celery_message){.group_index = -1};
    if (text.n > CELERY_MESSAGE_BYTES)
        return err_set(err, ERR_LIMIT, "the message has %zu bytes, more than %d", text.n,
                       CELERY_MESSAGE_BYTES);
    if (!json_read(text, CELERY_DEPTH, &nothing, NULL, err))
        return err_wrap(err, "the message");
    struct str headers = json_pick_get(text, "headers");
    struct str properties = json_pick_get(text, "properties");
    if (!json_pick_open(&any, text, '{') || !json_pick_open(&any, headers, '{') ||
        !json_pick_open(&any, properties, '{'))
        return err_set(err, ERR_INVALID, "the message has no headers and properties");
    return read_headers(arena, headers, out, err) && read_properties(arena, properties, out, err) &&
           check_content(text, headers, err) && decode_body(text, properties, arena, &body, err) &&
           read_body(body, out, err);
}

bool celery_envelope_read(struct str text, struct buf *body)
{
    static const struct json_events nothing;
    struct arena *arena = arena_create();
    struct err err = {0};
    struct str json;
    bool ok = text.n <= CELERY_MESSAGE_BYTES &&
              json_read(text, CELERY_DEPTH, &nothing, NULL, &err) &&
              decode_body(text, json_pick_get(text, "properties"), arena, &json, &err) &&
              json_read(json, CELERY_DEPTH, &nothing, NULL, &err);
    if (ok)
        buf_add_str(body, json);
    arena_destroy(arena);
    return ok;
}
