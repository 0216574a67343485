/* json_read.c -- the reading half of json.h: a recursive descent over the text. */
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"

struct reader {
    const char *start, *p, *end;
    int depth, max_depth;
    const struct json_events *events;
    void *arg;
    struct err *err;
    struct buf scratch; /* decoded strings that hold escapes */
};

static bool fail(struct reader *r, enum err_code code, const char *what)
{
    size_t line = 1, column = 1;
    for (const char *at = r->start; at < r->p; at++) {
        column++;
        if (*at == '\n') {
            line++;
            column = 1;
        }
    }
    return err_set(r->err, code, "line %zu column %zu: %s", line, column, what);
}

static bool expected(struct reader *r, const char *what)
{
    char text[96] = "expected ";
    strncat(text, what, 80);
    return fail(r, ERR_INVALID, r->p == r->end ? "the text ends too early" : text);
}

static void skip_space(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

static bool is_digit(const struct reader *r, const char *p)
{
    return p < r->end && *p >= '0' && *p <= '9';
}

static const char *digits(const struct reader *r, const char *p)
{
    while (is_digit(r, p))
        p++;
    return p;
}

static const double powers_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                       1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Up to 15 digits and a power of ten up to 10^22 are both exact doubles, so one
 * correctly rounded division gives the nearest double (Clinger 1990). */
static bool short_decimal(struct str text, double *out)
{
    uint64_t mantissa = 0;
    size_t count = 0, decimals = 0, i = text.p[0] == '-';
    bool point = false;
    for (; i < text.n; i++) {
        char c = text.p[i];
        if (c == '.') {
            point = true;
            continue;
        }
        if (c < '0' || c > '9')
            return false; /* an exponent */
        mantissa = mantissa * 10 + (uint64_t)(c - '0');
        decimals += point;
        if (++count > 15)
            return false;
    }
    double value = (double)mantissa / powers_of_ten[decimals];
    *out = text.p[0] == '-' ? -value : value;
    return true;
}

static double long_decimal(struct str text)
{
    static locale_t c_locale;
    char copy[64], *heap = NULL;
    if (!c_locale)
        c_locale = newlocale(LC_ALL_MASK, "C", NULL);
    if (text.n >= sizeof copy)
        heap = str_dup(text);
    else
        memcpy(copy, text.p, text.n), copy[text.n] = '\0';
    double value = strtod_l(heap ? heap : copy, NULL, c_locale);
    free(heap);
    return value;
}

static bool read_number(struct reader *r)
{
    const char *p = r->p + (*r->p == '-');
    if (!is_digit(r, p)) {
        r->p = p;
        return expected(r, "a digit");
    }
    p = *p == '0' ? p + 1 : digits(r, p);
    if (p < r->end && *p == '.') {
        r->p = p + 1;
        if (!is_digit(r, p + 1))
            return expected(r, "a digit behind the point");
        p = digits(r, p + 1);
    }
    if (p < r->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < r->end && (*p == '+' || *p == '-'))
            p++;
        r->p = p;
        if (!is_digit(r, p))
            return expected(r, "a digit of the exponent");
        p = digits(r, p);
    }
    r->p = p;
    return true;
}

static bool number(struct reader *r)
{
    const char *from = r->p;
    if (!read_number(r))
        return false;
    struct str text = str_n(from, (size_t)(r->p - from));
    double value;
    if (!short_decimal(text, &value))
        value = long_decimal(text);
    if (isinf(value))
        return fail(r, ERR_INVALID, "the number is too large");
    return r->events->number(r->arg, value, text, r->err);
}

static int hex4(const struct reader *r, const char *p)
{
    int value = 0;
    if (r->end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void add_utf8(struct buf *out, uint32_t c)
{
    char b[4];
    size_t n = 0;
    if (c < 0x80) {
        b[n++] = (char)c;
    } else if (c < 0x800) {
        b[n++] = (char)(0xc0 | c >> 6);
        b[n++] = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        b[n++] = (char)(0xe0 | c >> 12);
        b[n++] = (char)(0x80 | (c >> 6 & 63));
        b[n++] = (char)(0x80 | (c & 63));
    } else {
        b[n++] = (char)(0xf0 | c >> 18);
        b[n++] = (char)(0x80 | (c >> 12 & 63));
        b[n++] = (char)(0x80 | (c >> 6 & 63));
        b[n++] = (char)(0x80 | (c & 63));
    }
    buf_add(out, b, n);
}

/* r->p is behind "\u". */
static bool unicode_escape(struct reader *r)
{
    int high = hex4(r, r->p);
    if (high < 0)
        return fail(r, ERR_INVALID, "\\u needs four hexadecimal digits");
    r->p += 4;
    uint32_t c = (uint32_t)high;
    if (c >= 0xdc00 && c <= 0xdfff)
        return fail(r, ERR_INVALID, "a low surrogate stands alone");
    if (c >= 0xd800 && c <= 0xdbff) {
        int low = r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u' ? hex4(r, r->p + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(r, ERR_INVALID, "a high surrogate stands alone");
        c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
        r->p += 6;
    }
    add_utf8(&r->scratch, c);
    return true;
}

static bool escape(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->p == r->end)
        return expected(r, "an escape");
    char c = *r->p++;
    if (c == 'u')
        return unicode_escape(r);
    const char *at = c ? strchr(from, c) : NULL;
    if (!at) {
        r->p--;
        return fail(r, ERR_INVALID, "unknown escape");
    }
    buf_add_char(&r->scratch, to[at - from]);
    return true;
}

/* True while no byte of the word is '"', '\\' or a control character. */
static bool plain_word(const char *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t w;
    memcpy(&w, p, 8);
    uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\';
    uint64_t hit = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((w - ones * 32) & ~w);
    return !(hit & tops);
}

static const char *plain_run(const struct reader *r, const char *p)
{
    while (r->end - p >= 8 && plain_word(p))
        p += 8;
    while (p < r->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
}

/* r->p is behind the opening quote; *out is valid until the next string. */
static bool read_string(struct reader *r, struct str *out)
{
    const char *from = r->p;
    r->p = plain_run(r, from);
    if (r->p < r->end && *r->p == '"') {
        *out = str_n(from, (size_t)(r->p - from));
    } else {
        buf_clear(&r->scratch);
        buf_add(&r->scratch, from, (size_t)(r->p - from));
        while (r->p < r->end && *r->p != '"') {
            if (*r->p != '\\')
                return fail(r, ERR_INVALID, "a control character must be escaped");
            r->p++;
            if (!escape(r))
                return false;
            from = r->p;
            r->p = plain_run(r, from);
            buf_add(&r->scratch, from, (size_t)(r->p - from));
        }
        *out = buf_str(&r->scratch);
    }
    if (r->p == r->end)
        return expected(r, "'\"'");
    if (!utf8_valid(*out))
        return fail(r, ERR_INVALID, "the string is not valid UTF-8");
    r->p++;
    return true;
}

static bool value(struct reader *r);

static bool members(struct reader *r)
{
    struct str key;
    for (;;) {
        skip_space(r);
        if (r->p == r->end || *r->p != '"')
            return expected(r, "a key in '\"'");
        r->p++;
        if (!read_string(r, &key) || !r->events->key(r->arg, key, r->err))
            return false;
        skip_space(r);
        if (r->p == r->end || *r->p != ':')
            return expected(r, "':'");
        r->p++;
        if (!value(r))
            return false;
        skip_space(r);
        if (r->p < r->end && *r->p == '}')
            return true;
        if (r->p == r->end || *r->p != ',')
            return expected(r, "',' or '}'");
        r->p++;
    }
}

static bool items(struct reader *r)
{
    for (;;) {
        if (!value(r))
            return false;
        skip_space(r);
        if (r->p < r->end && *r->p == ']')
            return true;
        if (r->p == r->end || *r->p != ',')
            return expected(r, "',' or ']'");
        r->p++;
    }
}

static bool container(struct reader *r, bool object)
{
    if (r->depth == r->max_depth)
        return fail(r, ERR_LIMIT, "nested too deeply");
    const struct json_events *e = r->events;
    if (!(object ? e->begin_object : e->begin_array)(r->arg, r->err))
        return false;
    r->depth++;
    r->p++;
    skip_space(r);
    bool empty = r->p < r->end && *r->p == (object ? '}' : ']');
    if (!empty && !(object ? members(r) : items(r)))
        return false;
    r->p++;
    r->depth--;
    return (object ? e->end_object : e->end_array)(r->arg, r->err);
}

static bool word(struct reader *r, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, text, n) != 0)
        return expected(r, "a value");
    r->p += n;
    return true;
}

static bool value(struct reader *r)
{
    struct str text;
    skip_space(r);
    switch (r->p < r->end ? *r->p : '\0') {
    case '{':
        return container(r, true);
    case '[':
        return container(r, false);
    case '"':
        r->p++;
        return read_string(r, &text) && r->events->string(r->arg, text, r->err);
    case 't':
        return word(r, "true") && r->events->boolean(r->arg, true, r->err);
    case 'f':
        return word(r, "false") && r->events->boolean(r->arg, false, r->err);
    case 'n':
        return word(r, "null") && r->events->null(r->arg, r->err);
    default:
        if (r->p < r->end && (*r->p == '-' || is_digit(r, r->p)))
            return number(r);
        return expected(r, "a value");
    }
}

bool json_read(struct str text, int max_depth, const struct json_events *events, void *arg,
               struct err *err)
{
    struct reader r = {.start = text.p,
                       .p = text.p,
                       .end = text.p + text.n,
                       .max_depth = max_depth < JSON_DEPTH_MAX ? max_depth : JSON_DEPTH_MAX,
                       .events = events,
                       .arg = arg,
                       .err = err};
    bool ok = value(&r);
    if (ok) {
        skip_space(&r);
        if (r.p != r.end)
            ok = fail(&r, ERR_INVALID, "something follows the value");
    }
    buf_free(&r.scratch);
    return ok;
}
