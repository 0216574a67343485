#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/json_scan.h"
#include "base/mem.h"

struct reader {
    const char *p, *start, *end;
    int depth; /* levels that may still be opened */
    int max_depth;
    const struct json_events *on;
    void *arg;
    struct err *err;
    struct buf scratch; /* decoded strings that hold escapes */
};

#define TELL(r, event, ...) (!(r)->on->event || (r)->on->event((r)->arg, __VA_ARGS__))

/* Fails at `at`: lines count from 1, columns in characters from 1. */
static bool fail(struct reader *r, const char *at, enum err_code code, const char *what)
{
    size_t line = 1, column = 1;
    for (const char *p = r->start; p < at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            column++;
        }
    }
    return err_set(r->err, code, "line %zu column %zu: %s", line, column, what);
}

static bool wrong(struct reader *r, const char *what)
{
    return fail(r, r->p, ERR_INVALID, what);
}

static inline void skip_space(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
        r->p++;
}

static inline bool is_digit(const struct reader *r)
{
    return r->p < r->end && *r->p >= '0' && *r->p <= '9';
}

/* What the grammar of a number leaves for its value. */
struct decimal {
    uint64_t mantissa; /* the first 19 digits */
    int digits;        /* how many significant ones there are */
    int exponent;      /* of ten, from the fraction */
};

static inline void take_digits(struct reader *r, struct decimal *d, int exponent_step)
{
    for (; is_digit(r); r->p++) {
        if (d->digits < 19) {
            d->mantissa = d->mantissa * 10 + (uint64_t)(*r->p - '0');
            d->exponent += exponent_step;
        }
        d->digits += d->mantissa != 0;
    }
}

static bool take_exponent(struct reader *r, struct decimal *d)
{
    int value = 0;
    r->p++;
    bool minus = r->p < r->end && *r->p == '-';
    r->p += r->p < r->end && (*r->p == '-' || *r->p == '+');
    if (!is_digit(r))
        return wrong(r, "expected a digit of the exponent");
    for (; is_digit(r); r->p++)
        value = value < 100000 ? value * 10 + (*r->p - '0') : value;
    d->exponent += minus ? -value : value;
    return true;
}

/* Exact when a double holds both the mantissa and the power of ten; all else is
 * for strtod.  The process stays in the C locale. */
static double decimal_value(const struct decimal *d, struct str text)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    bool minus = text.p[0] == '-';
    if (d->digits <= 19 && d->mantissa <= 1ULL << 53 && d->exponent >= -22 && d->exponent <= 22) {
        double m = (double)d->mantissa;
        m = d->exponent < 0 ? m / powers[-d->exponent] : m * powers[d->exponent];
        return minus ? -m : m;
    }
    char small[64], *copy = small;
    if (text.n >= sizeof small)
        copy = mem_alloc(text.n + 1);
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    double value = strtod(copy, NULL);
    if (copy != small)
        mem_free(copy);
    return value;
}

static bool read_number(struct reader *r)
{
    const char *from = r->p;
    struct decimal d = {0};
    r->p += *r->p == '-';
    if (!is_digit(r))
        return wrong(r, "expected a digit");
    if (*r->p == '0') {
        r->p++;
        if (is_digit(r))
            return wrong(r, "a number may not begin with 0");
    } else {
        take_digits(r, &d, 0);
    }
    if (r->p < r->end && *r->p == '.') {
        r->p++;
        if (!is_digit(r))
            return wrong(r, "expected a digit behind the point");
        take_digits(r, &d, -1);
    }
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E') && !take_exponent(r, &d))
        return false;
    struct str text = {from, (size_t)(r->p - from)};
    double value = decimal_value(&d, text);
    if (!isfinite(value))
        return fail(r, from, ERR_INVALID, "a number this large does not exist here");
    return TELL(r, number, value, text, r->err);
}

static int hex4(const char *p, const char *end)
{
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int c = p[i] | 0x20;
        int digit = p[i] >= '0' && p[i] <= '9' ? p[i] - '0'
                    : c >= 'a' && c <= 'f'     ? c - 'a' + 10
                                               : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void add_utf8(struct buf *b, uint32_t c)
{
    char out[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(lead[n] | c);
    buf_add(b, out, n);
}

/* At "\u": one character, from one escape or a surrogate pair. */
static bool read_unicode(struct reader *r)
{
    int c = hex4(r->p + 2, r->end);
    if (c < 0)
        return wrong(r, "expected four hexadecimal digits behind \\u");
    const char *behind = r->p + 6;
    if (c >= 0xD800 && c <= 0xDFFF) {
        int low = -1;
        if (c < 0xDC00 && r->end - behind >= 6 && behind[0] == '\\' && behind[1] == 'u')
            low = hex4(behind + 2, r->end);
        if (low < 0xDC00 || low > 0xDFFF)
            return wrong(r, "half of a surrogate pair");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        behind += 6;
    }
    add_utf8(&r->scratch, (uint32_t)c);
    r->p = behind;
    return true;
}

static bool read_escape(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->end - r->p < 2)
        return wrong(r, "the text ends inside a string");
    if (r->p[1] == 'u')
        return read_unicode(r);
    const char *at = r->p[1] ? strchr(from, r->p[1]) : NULL;
    if (!at)
        return wrong(r, "no such escape");
    buf_add_char(&r->scratch, to[at - from]);
    r->p += 2;
    return true;
}

/* At the opening quote; *out lives until the next string is read. */
static bool read_string(struct reader *r, struct str *out)
{
    const char *from = ++r->p;
    bool escaped = false;
    buf_clear(&r->scratch);
    for (;;) {
        const char *run = r->p;
        bool high = false;
        r->p = json_plain(run, r->end, &high);
        if (high && !utf8_valid(str_n(run, (size_t)(r->p - run))))
            return fail(r, run, ERR_INVALID, "the string that begins here is not UTF-8");
        if (r->p == r->end)
            return wrong(r, "the text ends inside a string");
        bool ends = *r->p == '"';
        if (escaped || !ends)
            buf_add(&r->scratch, run, (size_t)(r->p - run));
        if (ends)
            break;
        if (*r->p != '\\')
            return wrong(r, "a control character in a string must be escaped");
        escaped = true;
        if (!read_escape(r))
            return false;
    }
    *out = escaped ? buf_str(&r->scratch) : str_n(from, (size_t)(r->p - from));
    r->p++;
    return true;
}

static bool read_word(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return wrong(r, "expected a value");
    r->p += n;
    return true;
}

static bool read_value(struct reader *r);

static bool open_level(struct reader *r)
{
    char what[48];
    if (r->depth-- > 0)
        return true;
    snprintf(what, sizeof what, "nested deeper than %d levels", r->max_depth);
    return fail(r, r->p, ERR_LIMIT, what);
}

static bool read_array(struct reader *r)
{
    if (!open_level(r) || !TELL(r, begin_array, r->err))
        return false;
    r->p++;
    skip_space(r);
    if (r->p < r->end && *r->p == ']') {
        r->p++;
    } else {
        for (char c = ','; c == ',';) {
            if (!read_value(r))
                return false;
            skip_space(r);
            c = r->p < r->end ? *r->p : '\0';
            if (c != ',' && c != ']')
                return wrong(r, "expected ',' or ']'");
            r->p++;
        }
    }
    r->depth++;
    return TELL(r, end_array, r->err);
}

static bool read_pair(struct reader *r)
{
    struct str key;
    skip_space(r);
    if (r->p == r->end || *r->p != '"')
        return wrong(r, "expected a key in double quotes");
    if (!read_string(r, &key) || !TELL(r, key, key, r->err))
        return false;
    skip_space(r);
    if (r->p == r->end || *r->p != ':')
        return wrong(r, "expected ':'");
    r->p++;
    return read_value(r);
}

static bool read_object(struct reader *r)
{
    if (!open_level(r) || !TELL(r, begin_object, r->err))
        return false;
    r->p++;
    skip_space(r);
    if (r->p < r->end && *r->p == '}') {
        r->p++;
    } else {
        for (char c = ','; c == ',';) {
            if (!read_pair(r))
                return false;
            skip_space(r);
            c = r->p < r->end ? *r->p : '\0';
            if (c != ',' && c != '}')
                return wrong(r, "expected ',' or '}'");
            r->p++;
        }
    }
    r->depth++;
    return TELL(r, end_object, r->err);
}

static bool read_value(struct reader *r)
{
    struct str text;
    skip_space(r);
    if (r->p == r->end)
        return wrong(r, "expected a value, but the text ends");
    switch (*r->p) {
    case '{':
        return read_object(r);
    case '[':
        return read_array(r);
    case '"':
        return read_string(r, &text) && TELL(r, string, text, r->err);
    case 't':
        return read_word(r, "true") && TELL(r, boolean, true, r->err);
    case 'f':
        return read_word(r, "false") && TELL(r, boolean, false, r->err);
    case 'n':
        return read_word(r, "null") && TELL(r, null, r->err);
    default:
        if (*r->p != '-' && !is_digit(r))
            return wrong(r, "expected a value");
        return read_number(r);
    }
}

bool json_read(struct str text, int max_depth, const struct json_events *events, void *arg,
               struct err *err)
{
    int depth = max_depth < JSON_DEPTH_MAX ? max_depth : JSON_DEPTH_MAX;
    struct reader r = {.p = text.p,
                       .start = text.p,
                       .end = text.p + text.n,
                       .depth = depth,
                       .max_depth = depth,
                       .on = events,
                       .arg = arg,
                       .err = err};
    bool ok = read_value(&r);
    if (ok) {
        skip_space(&r);
        ok = r.p == r.end || wrong(&r, "expected nothing more");
    }
    buf_free(&r.scratch);
    return ok;
}
