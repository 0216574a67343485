#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/json_scan.h"

static void add_escape(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef", from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = c ? strchr(from, c) : NULL;
    if (at) {
        buf_add(out, (char[]){'\\', to[at - from]}, 2);
    } else {
        buf_add(out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    }
}

/* A run with something that is not UTF-8: each byte that is not a part of a
 * well-formed character becomes U+FFFD. */
static void add_repaired(struct buf *out, const char *p, const char *end)
{
    while (p < end) {
        unsigned char lead = (unsigned char)*p;
        size_t n = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
        if (n <= (size_t)(end - p) && utf8_valid(str_n(p, n))) {
            buf_add(out, p, n);
            p += n;
        } else {
            buf_add(out, "\xEF\xBF\xBD", 3);
            p++;
        }
    }
}

void json_write_string(struct buf *out, struct str value)
{
    const char *p = value.p, *end = value.p + value.n;
    buf_reserve(out, value.n + 2);
    buf_add_char(out, '"');
    while (p < end) {
        bool high = false;
        const char *stop = json_plain(p, end, &high);
        if (high && !utf8_valid(str_n(p, (size_t)(stop - p))))
            add_repaired(out, p, stop);
        else
            buf_add(out, p, (size_t)(stop - p));
        p = stop;
        if (p < end)
            add_escape(out, (unsigned char)*p++);
    }
    buf_add_char(out, '"');
}

/* The digits of value end at `end`; returns where they begin. */
static char *format_digits(char *end, uint64_t value)
{
    do
        *--end = (char)('0' + value % 10);
    while (value /= 10);
    return end;
}

static void add_integer(struct buf *out, bool minus, uint64_t value)
{
    char text[24], *end = text + sizeof text, *p = format_digits(end, value);
    if (minus)
        *--p = '-';
    buf_add(out, p, (size_t)(end - p));
}

/* Up to six decimals and 15 digits: scaled / 1e6 is rounded once, exactly as a
 * reader rounds the text, so equality proves that the text reads back. */
static bool add_short_decimal(struct buf *out, double value)
{
    enum { SCALE = 1000000, PLACES = 6 };
    double size = fabs(value), scaled = nearbyint(size * SCALE);
    if (size >= 1e9 || size < 1e-4 || scaled / SCALE != size)
        return false;
    uint64_t whole = (uint64_t)scaled / SCALE, rest = (uint64_t)scaled % SCALE;
    char text[PLACES], *p = format_digits(text + PLACES, rest);
    size_t n = PLACES;
    while (p > text)
        *--p = '0';
    while (n > 1 && text[n - 1] == '0')
        n--;
    add_integer(out, value < 0, whole);
    buf_add_char(out, '.');
    buf_add(out, text, n);
    return true;
}

bool json_write_number(struct buf *out, double value)
{
    char text[32];
    if (!isfinite(value))
        return false;
    if (fabs(value) <= 0x1p53 && value == (double)(int64_t)value) {
        add_integer(out, value < 0, (uint64_t)fabs(value));
        return true;
    }
    if (add_short_decimal(out, value))
        return true;
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (digits == 17 || strtod(text, NULL) == value)
            break;
    }
    buf_add_c(out, text);
    return true;
}

struct json json_to(struct buf *out)
{
    return (struct json){out, false};
}

static void separate(struct json *w)
{
    if (w->comma)
        buf_add_char(w->out, ',');
    w->comma = true;
}

void json_open(struct json *w, char bracket)
{
    separate(w);
    buf_add_char(w->out, bracket);
    w->comma = false;
}

void json_close(struct json *w, char bracket)
{
    buf_add_char(w->out, bracket);
    w->comma = true;
}

void json_key(struct json *w, const char *key)
{
    separate(w);
    json_write_string(w->out, str_c(key));
    buf_add_char(w->out, ':');
    w->comma = false;
}

void json_str(struct json *w, struct str value)
{
    separate(w);
    json_write_string(w->out, value);
}

void json_cstr(struct json *w, const char *value)
{
    if (value)
        json_str(w, str_c(value));
    else
        json_null(w);
}

void json_int(struct json *w, long long value)
{
    separate(w);
    add_integer(w->out, value < 0, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void json_num(struct json *w, double value)
{
    if (!isfinite(value)) {
        json_null(w);
        return;
    }
    separate(w);
    json_write_number(w->out, value);
}

void json_bool(struct json *w, bool value)
{
    json_raw(w, value ? STR("true") : STR("false"));
}

void json_null(struct json *w)
{
    json_raw(w, STR("null"));
}

void json_raw(struct json *w, struct str json)
{
    separate(w);
    buf_add_str(w->out, json);
}
