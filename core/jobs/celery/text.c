#include "jobs/celery/text.h"

#include <sodium.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "base/rand.h"

/* Exactly `digits` digits. */
static bool number(struct str *s, int digits, int *out)
{
    *out = 0;
    if (s->n < (size_t)digits)
        return false;
    for (int i = 0; i < digits; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        *out = *out * 10 + (s->p[i] - '0');
    }
    s->p += digits;
    s->n -= (size_t)digits;
    return true;
}

static bool is_next(struct str *s, char c)
{
    if (s->n == 0 || *s->p != c)
        return false;
    s->p++;
    s->n--;
    return true;
}

static bool fraction(struct str *s, int64_t *ns)
{
    int64_t unit = NS_PER_SECOND / 10;
    *ns = 0;
    if (!is_next(s, '.') && !is_next(s, ','))
        return true;
    size_t before = s->n;
    for (; s->n && *s->p >= '0' && *s->p <= '9' && unit > 0; s->p++, s->n--, unit /= 10)
        *ns += (*s->p - '0') * unit;
    return s->n < before;
}

static bool offset(struct str *s, int *seconds)
{
    int sign = is_next(s, '+') ? 1 : is_next(s, '-') ? -1 : 0, hours, minutes = 0;
    *seconds = 0;
    if (sign == 0) {
        is_next(s, 'Z');
        return true;
    }
    if (!number(s, 2, &hours))
        return false;
    is_next(s, ':');
    if (s->n && !number(s, 2, &minutes))
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return hours < 24 && minutes < 60;
}

static int days_of(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool celery_time_parse(struct str s, int64_t *wall_ns)
{
    int year, month, day, hour = 0, minute = 0, second = 0, ahead = 0;
    int64_t ns = 0;
    if (!number(&s, 4, &year) || !is_next(&s, '-') || !number(&s, 2, &month) || !is_next(&s, '-') ||
        !number(&s, 2, &day))
        return false;
    if (year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1 ||
        day > days_of(year, month))
        return false;
    if (s.n > 0) {
        if ((!is_next(&s, 'T') && !is_next(&s, ' ')) || !number(&s, 2, &hour) ||
            !is_next(&s, ':') || !number(&s, 2, &minute))
            return false;
        if (is_next(&s, ':') && (!number(&s, 2, &second) || !fraction(&s, &ns)))
            return false;
        if (!offset(&s, &ahead) || s.n > 0 || hour > 23 || minute > 59 || second > 59)
            return false;
    }
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_sec = second};
    int64_t seconds = timegm(&tm) - ahead;
    if (seconds < 0)
        return false;
    *wall_ns = seconds * NS_PER_SECOND + ns;
    return true;
}

void celery_time_format(int64_t wall_ns, bool with_offset, char out[CELERY_TIME_BYTES])
{
    time_t seconds = wall_ns / NS_PER_SECOND;
    struct tm tm;
    char date[24];
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, CELERY_TIME_BYTES, "%s.%06d%s", date, (int)(wall_ns % NS_PER_SECOND / 1000),
             with_offset ? "+00:00" : "");
}

void celery_base64(struct str bytes, struct buf *out)
{
    size_t most = sodium_base64_ENCODED_LEN(bytes.n, sodium_base64_VARIANT_ORIGINAL);
    buf_reserve(out, most);
    sodium_bin2base64(out->p + out->n, most, (const unsigned char *)bytes.p, bytes.n,
                      sodium_base64_VARIANT_ORIGINAL);
    out->n += most - 1;
}

bool celery_unbase64(struct str text, struct buf *out)
{
    size_t n = 0;
    buf_reserve(out, text.n + 1);
    if (sodium_base642bin((unsigned char *)out->p + out->n, text.n, text.p, text.n, "\r\n", &n,
                          NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    out->n += n;
    out->p[out->n] = '\0';
    return true;
}

void celery_uuid(char out[37])
{
    unsigned char b[16];
    rand_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0F) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3F) | 0x80);
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

/* -- repr -- */

/* Python prefers single quotes, and doubles when only those need no escape. */
static void repr_string(struct str s, struct buf *out)
{
    char quote = memchr(s.p, '\'', s.n) && !memchr(s.p, '"', s.n) ? '"' : '\'';
    buf_add_char(out, quote);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '\\' || c == (unsigned char)quote)
            buf_printf(out, "\\%c", c);
        else if (c == '\n' || c == '\t' || c == '\r')
            buf_add_c(out, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
        else if (c < 0x20 || c == 0x7F)
            buf_printf(out, "\\x%02x", c);
        else
            buf_add_char(out, (char)c);
    }
    buf_add_char(out, quote);
}

struct repr {
    struct buf *out;
    size_t most; /* bytes of out that are enough */
    bool comma;
};

static bool repr_room(struct repr *r, struct err *err)
{
    if (r->out->n <= r->most)
        return true;
    return err_set(err, ERR_LIMIT, "cut");
}

static bool repr_add(struct repr *r, struct str text, struct err *err)
{
    if (r->comma)
        buf_add_c(r->out, ", ");
    buf_add_str(r->out, text);
    r->comma = true;
    return repr_room(r, err);
}

static bool on_null(void *arg, struct err *err)
{
    return repr_add(arg, STR("None"), err);
}
static bool on_boolean(void *arg, bool value, struct err *err)
{
    return repr_add(arg, value ? STR("True") : STR("False"), err);
}
static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    (void)value;
    return repr_add(arg, text, err);
}
static bool on_string(void *arg, struct str value, struct err *err)
{
    struct repr *r = arg;
    if (r->comma)
        buf_add_c(r->out, ", ");
    repr_string(value, r->out);
    r->comma = true;
    return repr_room(r, err);
}
static bool on_key(void *arg, struct str key, struct err *err)
{
    struct repr *r = arg;
    bool ok = on_string(arg, key, err);
    buf_add_c(r->out, ": ");
    r->comma = false;
    return ok;
}
static bool begin(struct repr *r, const char *bracket, struct err *err)
{
    bool ok = repr_add(r, str_c(bracket), err);
    r->comma = false;
    return ok;
}
static bool end(struct repr *r, const char *bracket, struct err *err)
{
    buf_add_c(r->out, bracket);
    r->comma = true;
    return repr_room(r, err);
}
static bool on_object(void *arg, struct err *err)
{
    return begin(arg, "{", err);
}
static bool on_object_end(void *arg, struct err *err)
{
    return end(arg, "}", err);
}
static bool on_array(void *arg, struct err *err)
{
    return begin(arg, "[", err);
}
static bool on_array_end(void *arg, struct err *err)
{
    return end(arg, "]", err);
}

void celery_repr(struct str json, struct buf *out)
{
    static const struct json_events events = {
        .null = on_null,
        .boolean = on_boolean,
        .number = on_number,
        .string = on_string,
        .key = on_key,
        .begin_object = on_object,
        .end_object = on_object_end,
        .begin_array = on_array,
        .end_array = on_array_end,
    };
    struct repr r = {.out = out, .most = out->n + CELERY_REPR_BYTES};
    struct err err = {0};
    json_read(json, JSON_DEPTH_MAX, &events, &r, &err);
    if (out->n <= r.most)
        return;
    out->n = r.most - 3;
    while (out->n > 0 && ((unsigned char)out->p[out->n] & 0xC0) == 0x80)
        out->n--; /* not in the middle of a character */
    buf_add_c(out, "...");
}

/* -- typed values -- */

static void plain_bytes(struct str text, bool base64, struct buf *out)
{
    struct buf decoded = {0};
    if (base64 && celery_unbase64(text, &decoded) && utf8_valid(buf_str(&decoded)))
        text = buf_str(&decoded);
    json_write_string(out, text);
    buf_free(&decoded);
}

static void plain_uuid(struct str hex, struct buf *out)
{
    struct buf text = {0};
    static const int ends[] = {8, 12, 16, 20, 32};
    size_t at = 0;
    for (int i = 0; i < 5 && hex.n == 32; i++) {
        if (i > 0)
            buf_add_char(&text, '-');
        buf_add(&text, hex.p + at, (size_t)ends[i] - at);
        at = (size_t)ends[i];
    }
    json_write_string(out, hex.n == 32 ? buf_str(&text) : hex);
    buf_free(&text);
}

/* Whether the object was a typed value, which is written then. */
static bool plain_typed(struct str object, struct buf *out)
{
    struct buf type = {0}, text = {0};
    struct str value = json_pick_get(object, "__value__");
    struct str older = json_pick_get(object, "bytes");
    bool base64 = str_eq_c(json_pick_get(object, "__base64__"), "true");
    bool written = true;
    json_pick_text(json_pick_get(object, "__type__"), &type);
    if (older.n && (base64 || str_eq_c(json_pick_get(object, "__bytes__"), "true")) &&
        json_pick_text(older, &text))
        plain_bytes(buf_str(&text), base64, out);
    else if (str_eq_c(buf_str(&type), "uuid") && json_pick_text(json_pick_get(value, "hex"), &text))
        plain_uuid(buf_str(&text), out);
    else if (type.n && json_pick_text(value, &text))
        plain_bytes(buf_str(&text), str_eq_c(buf_str(&type), "base64"), out);
    else
        written = false;
    buf_free(&type);
    buf_free(&text);
    return written;
}

void celery_plain(struct str json, struct buf *out)
{
    struct json_pick p;
    struct str key, value;
    bool first = true;
    if (json_pick_open(&p, json, '[')) {
        buf_add_char(out, '[');
        for (; json_pick_item(&p, &value); first = false) {
            if (!first)
                buf_add_char(out, ',');
            celery_plain(value, out);
        }
        buf_add_char(out, ']');
    } else if (!json_pick_open(&p, json, '{')) {
        buf_add_str(out, str_trim(json));
    } else if (!plain_typed(json, out)) {
        buf_add_char(out, '{');
        for (; json_pick_pair(&p, &key, &value); first = false) {
            buf_printf(out, "%s\"%.*s\":", first ? "" : ",", (int)key.n, key.p);
            celery_plain(value, out);
        }
        buf_add_char(out, '}');
    }
}
