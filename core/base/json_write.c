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
    const char *p = value.n ? value.p : "", *end = p + value.n; /* an empty one may be NULL */
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

/* value * 10^places in exact whole numbers: mantissa * 5^places, still to be
 * divided by 2^shift. */
struct scaled {
    unsigned __int128 product, five; /* five = 5^places */
    uint64_t mantissa;
    int shift, places;
};

/* The nearest whole number; true when a reader turns it back into the same
 * double: it is off by less than half of the distance to the next one (a
 * quarter below a power of two), or by exactly that and the mantissa is even. */
static bool round_scaled(const struct scaled *s, uint64_t *digits)
{
    unsigned __int128 half = (unsigned __int128)1 << (s->shift - 1);
    *digits = (uint64_t)((s->product + half) >> s->shift);
    unsigned __int128 back = (unsigned __int128)*digits << s->shift;
    unsigned __int128 off = back > s->product ? back - s->product : s->product - back;
    if (s->mantissa == UINT64_C(1) << 52)
        return 4 * off < s->five;
    return 2 * off < s->five || (2 * off == s->five && s->mantissa % 2 == 0);
}

/* Decimal digits with a point before the last `places` of them, zeros cut. */
static void add_point(struct buf *out, bool minus, uint64_t digits, int places)
{
    char text[40], *end = text + sizeof text, *p = format_digits(end, digits);
    while (end - p <= places)
        *--p = '0';
    char *point = end - places;
    if (minus)
        buf_add_char(out, '-');
    buf_add(out, p, (size_t)(point - p));
    while (end > point && end[-1] == '0')
        end--;
    buf_add_char(out, '.');
    buf_add(out, point, (size_t)(end - point));
}

/* The fewest of 15 to 17 digits that read back, for 1e-4 <= |value| < 1e15 that are not
 * whole.  There 5^places < 2^50 and the product < 2^103. */
static bool add_decimal(struct buf *out, double value)
{
    static const double powers[] = {1e-3, 1e-2, 1e-1, 1e0,  1e1,  1e2,  1e3,  1e4,  1e5, 1e6,
                                    1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    enum { WHOLE_DIGITS_LEAST = -3 };
    double size = fabs(value);
    if (size < 1e-4 || size >= 1e15)
        return false;
    int whole = 0, exponent;
    while (size >= powers[whole])
        whole++;
    uint64_t mantissa = (uint64_t)ldexp(frexp(size, &exponent), 53);
    struct scaled s = {.five = 1, .mantissa = mantissa, .places = 0};
    for (int digits = 15; digits <= 17; digits++) {
        for (; s.places < digits - (whole + WHOLE_DIGITS_LEAST); s.places++)
            s.five *= 5;
        s.product = mantissa * s.five;
        s.shift = 53 - exponent - s.places;
        uint64_t rounded;
        if (s.shift < 1 || s.shift > 120)
            return false;
        if (round_scaled(&s, &rounded) || digits == 17) {
            add_point(out, value < 0, rounded, s.places);
            return true;
        }
    }
    return false;
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
    if (add_short_decimal(out, value) || add_decimal(out, value))
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
