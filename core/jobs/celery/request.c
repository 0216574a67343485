#include "jobs/celery/request.h"

#include <fnmatch.h>
#include <math.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/celery/message.h"

enum { TEXTS_MOST = 1000, PATTERN_BYTES = 255 };
static const double rate_most = 1e6;

struct wanted {
    struct str node;
    bool found;
};

static void compare(void *arg, struct str name)
{
    struct wanted *w = arg;
    w->found |= str_eq(name, w->node);
}

/* A shell pattern with few stars: fnmatch() takes exponential time for many. */
static bool matches(struct str pattern, struct str node)
{
    int stars = 0;
    for (size_t i = 0; i < pattern.n; i++)
        stars += pattern.p[i] == '*';
    if (stars > 8 || pattern.n > PATTERN_BYTES || memchr(pattern.p, 0, pattern.n))
        return false;
    char *text = str_dup(pattern), *name = str_dup(node);
    bool same = fnmatch(text, name, 0) == 0;
    mem_free(text);
    mem_free(name);
    return same;
}

/* Those named; or those a pattern fits; or, without either, everybody. */
static bool is_meant(struct str body, struct str node)
{
    struct wanted wanted = {.node = node};
    struct str destination = json_pick_get(body, "destination");
    struct str pattern = json_pick_get(body, "pattern"), matcher = json_pick_get(body, "matcher");
    if (destination.n && json_pick_count(destination) + !str_eq_c(destination, "[]") > 0) {
        celery_each_text(destination, compare, &wanted);
        return wanted.found;
    }
    if (pattern.n == 0 || matcher.n == 0)
        return true;
    struct buf text = {0}, kind = {0};
    bool fits = json_pick_text(pattern, &text) && json_pick_text(matcher, &kind) &&
                str_eq_c(buf_str(&kind), "glob") && matches(buf_str(&text), node);
    buf_free(&text);
    buf_free(&kind);
    return fits;
}

bool celery_request_read(struct str text, struct str node, struct arena *arena,
                         struct celery_request *out)
{
    struct buf json = {0};
    double clock = 0;
    *out = (struct celery_request){0};
    bool ok = celery_envelope_read(text, &json) && is_meant(buf_str(&json), node);
    struct str body = ok ? str_n(arena_strdup(arena, buf_str(&json)), json.n) : str_n("", 0);
    buf_free(&json);
    struct json_pick object;
    if (!ok || !json_pick_open(&object, body, '{'))
        return false;
    struct str to = json_pick_get(body, "reply_to");
    out->method = celery_decoded(arena, json_pick_get(body, "method"));
    out->arguments = json_pick_get(body, "arguments");
    out->ticket = json_pick_get(body, "ticket");
    out->exchange = celery_decoded(arena, json_pick_get(to, "exchange"));
    out->routing_key = celery_decoded(arena, json_pick_get(to, "routing_key"));
    if (json_pick_number(json_pick_get(json_pick_get(text, "headers"), "clock"), &clock) &&
        clock > 0 && clock < 9e15)
        out->clock = (int64_t)clock;
    return true;
}

void celery_reply_write(const struct celery_request *r, struct str node, struct str json,
                        int64_t clock, struct buf *out)
{
    struct buf body = {0}, headers = {0};
    buf_add_char(&body, '{');
    json_write_string(&body, node);
    buf_add_c(&body, ": ");
    buf_add_str(&body, json.n ? json : STR("null"));
    buf_add_char(&body, '}');
    buf_add_c(&headers, "{\"ticket\": ");
    buf_add_str(&headers, r->ticket.n ? r->ticket : STR("null"));
    buf_printf(&headers, ", \"clock\": %lld}", (long long)clock);
    celery_envelope_write(buf_str(&body), r->exchange, r->routing_key, buf_str(&headers), out);
    buf_free(&body);
    buf_free(&headers);
}

void celery_each_text(struct str value, celery_text_fn *fn, void *arg)
{
    struct json_pick p;
    struct str item;
    struct buf text = {0};
    if (json_pick_open(&p, value, '[')) {
        for (int i = 0; i < TEXTS_MOST && json_pick_item(&p, &item); i++) {
            buf_clear(&text);
            if (json_pick_text(item, &text))
                fn(arg, buf_str(&text));
        }
    } else if (json_pick_text(value, &text))
        fn(arg, buf_str(&text));
    buf_free(&text);
}

bool celery_truth(struct str value)
{
    double number;
    if (value.n == 0 || str_eq_c(value, "false") || str_eq_c(value, "\"\""))
        return false;
    if (json_pick_number(value, &number))
        return number != 0;
    struct json_pick p;
    struct str key, item;
    if (json_pick_open(&p, value, '{'))
        return json_pick_pair(&p, &key, &item);
    return !json_pick_open(&p, value, '[') || json_pick_item(&p, &item);
}

/* The time of "/s", "/m" and "/h"; 0: it is none of these. */
static int64_t period_of(struct str unit)
{
    if (unit.n == 0 || str_eq_c(unit, "s"))
        return NS_PER_SECOND;
    return str_eq_c(unit, "m")   ? 60 * NS_PER_SECOND
           : str_eq_c(unit, "h") ? 3600 * NS_PER_SECOND
                                 : 0;
}

/* A fraction of a start in a period is one start in a longer one. */
static bool set_rate(double count, int64_t period_ns, struct job_rate *out)
{
    if (!(count >= 0) || count > rate_most || period_ns == 0)
        return false;
    if (count > 0 && count < 1) {
        double longer = (double)period_ns / count;
        *out = (struct job_rate){1, longer < 86400e9 ? (int64_t)longer : 86400 * NS_PER_SECOND};
    } else
        *out = (struct job_rate){(int64_t)llround(count), period_ns};
    return true;
}

bool celery_rate_read(struct str value, struct job_rate *out)
{
    double count = 0;
    struct buf text = {0};
    *out = (struct job_rate){0};
    if (value.n == 0)
        return true;
    if (json_pick_number(value, &count))
        return set_rate(count, NS_PER_SECOND, out);
    if (!json_pick_text(value, &text))
        return false;
    struct str unit = buf_str(&text), number = str_split(&unit, '/');
    static const struct json_events nothing;
    struct err err = {0};
    bool ok =
        text.n == 0 || (json_read(number, 1, &nothing, NULL, &err) &&
                        json_pick_number(number, &count) && set_rate(count, period_of(unit), out));
    buf_free(&text);
    return ok;
}
