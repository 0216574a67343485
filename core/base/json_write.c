/* json_write.c -- the writing half of json.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

static void add_escaped(struct buf *out, unsigned char c)
{
    static const char names[] = "btn\0fr"; /* from \b = 8 */
    if (c == '"' || c == '\\') {
        char text[2] = {'\\', (char)c};
        buf_add(out, text, 2);
    } else if (c >= '\b' && c <= '\r' && names[c - '\b']) {
        char text[2] = {'\\', names[c - '\b']};
        buf_add(out, text, 2);
    } else {
        buf_printf(out, "\\u%04x", c);
    }
}

static void add_valid(struct buf *out, struct str value)
{
    size_t from = 0;
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        buf_add(out, value.p + from, i - from);
        add_escaped(out, c);
        from = i + 1;
    }
    buf_add(out, value.p + from, value.n - from);
}

/* Byte by byte, so that one bad byte costs one replacement character. */
static void add_repaired(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.n;) {
        size_t n = 1;
        while (n < 4 && i + n <= value.n && !utf8_valid(str_n(value.p + i, n)))
            n++;
        if (i + n <= value.n && utf8_valid(str_n(value.p + i, n))) {
            add_valid(out, str_n(value.p + i, n));
            i += n;
        } else {
            buf_add_c(out, "\xef\xbf\xbd");
            i++;
        }
    }
}

void json_write_string(struct buf *out, struct str value)
{
    buf_reserve(out, value.n + 2);
    buf_add_char(out, '"');
    if (utf8_valid(value))
        add_valid(out, value);
    else
        add_repaired(out, value);
    buf_add_char(out, '"');
}

static void add_integer(struct buf *out, long long value)
{
    char text[24], *p = text + sizeof text;
    unsigned long long rest =
        value < 0 ? 0ULL - (unsigned long long)value : (unsigned long long)value;
    do
        *--p = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        *--p = '-';
    buf_add(out, p, (size_t)(text + sizeof text - p));
}

bool json_write_number(struct buf *out, double value)
{
    if (!isfinite(value))
        return false;
    if (value == floor(value) && fabs(value) <= 9007199254740992.0) {
        add_integer(out, (long long)value);
        return true;
    }
    char text[32];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, value);
        if (strtod(text, NULL) == value)
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
    add_integer(w->out, value);
}

void json_num(struct json *w, double value)
{
    separate(w);
    if (!json_write_number(w->out, value))
        buf_add_c(w->out, "null");
}

void json_bool(struct json *w, bool value)
{
    separate(w);
    buf_add_c(w->out, value ? "true" : "false");
}

void json_null(struct json *w)
{
    separate(w);
    buf_add_c(w->out, "null");
}

void json_raw(struct json *w, struct str json)
{
    separate(w);
    buf_add_str(w->out, json);
}
