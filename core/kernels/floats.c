#include "kernels/floats.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

struct reader {
    const char *p, *end;
    float *out;
    size_t room, n;
    struct err *err;
};

/* ---- one number -------------------------------------------------------- */

/* What the grammar of a number leaves for its value. */
struct decimal {
    uint64_t mantissa; /* the first 19 significant digits */
    int digits;        /* of those, how many */
    int exponent;      /* of ten */
};

static inline bool is_digit(const char *p, const char *end)
{
    return p < end && (unsigned char)(*p - '0') < 10;
}

static inline const char *take_digits(const char *p, const char *end, struct decimal *d, int step)
{
    for (; is_digit(p, end); p++) {
        if (d->digits < 19) {
            d->mantissa = d->mantissa * 10 + (uint64_t)(*p - '0');
            d->digits += d->mantissa != 0;
            d->exponent += step;
        } else {
            d->exponent += 1 + step; /* behind the 19: of a whole part each counts ten times */
        }
    }
    return p;
}

/* Behind 'e'; NULL when there is no digit. */
static const char *take_exponent(const char *p, const char *end, struct decimal *d)
{
    int value = 0;
    bool minus = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    if (!is_digit(p, end))
        return NULL;
    for (; is_digit(p, end); p++)
        value = value < 100000 ? value * 10 + (*p - '0') : value;
    d->exponent += minus ? -value : value;
    return p;
}

/* Where the number of JSON's grammar at p ends, or NULL. */
static inline const char *take_number(const char *p, const char *end, struct decimal *d)
{
    p += p < end && *p == '-';
    if (!is_digit(p, end))
        return NULL;
    if (*p == '0' && is_digit(p + 1, end))
        return NULL;
    p = take_digits(p, end, d, 0);
    if (p < end && *p == '.') {
        if (!is_digit(p + 1, end))
            return NULL;
        p = take_digits(p + 1, end, d, -1);
    }
    if (p < end && (*p == 'e' || *p == 'E'))
        p = take_exponent(p + 1, end, d);
    return p;
}

/* By the C library, for what the way below cannot decide. */
static float slow_value(const char *p, size_t n)
{
    char small[64], *copy = n < sizeof small ? small : mem_alloc(n + 1);
    memcpy(copy, p, n);
    copy[n] = '\0';
    float value = strtof(copy, NULL); /* the process stays in the C locale */
    if (copy != small)
        mem_free(copy);
    return value;
}

/* The double is within 4 * 2^-53 of the number: the mantissa is rounded once, digits behind the
 * 19th are worth less than that, the powers are exact and there are at most two of them.  Only
 * where the border between two float32 (29 bits below their last) is as near may a float32 of it
 * be the wrong one. */
static inline bool near_border(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    int64_t distance = (int64_t)(bits & 0x1FFFFFFF) - 0x10000000;
    return distance >= -16 && distance <= 16;
}

static inline float decimal_value(const struct decimal *d, const char *p, size_t n)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    bool minus = *p == '-';
    if (d->mantissa == 0)
        return minus ? -0.0F : 0.0F;
    int e = d->exponent;
    if (e < -44 || e > 44)
        return slow_value(p, n);
    double value = (double)d->mantissa;
    if (e < 0)
        value = e < -22 ? value / powers[22] / powers[-e - 22] : value / powers[-e];
    else
        value = e > 22 ? value * powers[22] * powers[e - 22] : value * powers[e];
    if (value < 0x1p-125 || value > 0x1p127 || near_border(value))
        return slow_value(p, n);
    return minus ? -(float)value : (float)value;
}

/* ---- the text ---------------------------------------------------------- */

static bool wrong(struct reader *r, const char *what)
{
    return err_set(r->err, ERR_INVALID, "value %zu %s", r->n + 1, what);
}

static bool not_a_number(struct reader *r)
{
    char c = r->p < r->end ? *r->p : '\0';
    const char *what = c == '"'               ? "is a string"
                       : c == '['             ? "is an array"
                       : c == '{'             ? "is an object"
                       : c == 'n'             ? "is null"
                       : c == 't' || c == 'f' ? "is true or false"
                       : r->p == r->end || c == ',' || c == ']'
                           ? "is missing"
                           : "is not a number as JSON writes it";
    return wrong(r, what);
}

static inline bool take_value(struct reader *r)
{
    struct decimal d = {0};
    const char *behind = take_number(r->p, r->end, &d);
    if (!behind)
        return not_a_number(r);
    float value = decimal_value(&d, r->p, (size_t)(behind - r->p));
    if (isinf(value))
        return wrong(r, "is too large for float32");
    invariant(r->n < r->room);
    r->out[r->n++] = value;
    r->p = behind;
    return true;
}

static inline void skip_space(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
        r->p++;
}

static bool read_array(struct reader *r)
{
    r->p++;
    skip_space(r);
    bool more = r->p == r->end || *r->p != ']';
    while (more) {
        skip_space(r);
        if (!take_value(r))
            return false;
        skip_space(r);
        more = r->p < r->end && *r->p == ',';
        r->p += more;
    }
    if (r->p == r->end || *r->p != ']')
        return wrong(r, "or a ] is missing");
    r->p++;
    skip_space(r);
    return r->p == r->end || wrong(r, "stands behind the array");
}

static bool read_lines(struct reader *r)
{
    while (skip_space(r), r->p < r->end) {
        const char *from = r->p;
        if (!take_value(r))
            return false;
        while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r'))
            r->p++;
        if (r->p < r->end && *r->p != '\n') {
            r->n--;
            r->p = from;
            return wrong(r, "is not one number on its line");
        }
    }
    return true;
}

static size_t count(struct str text, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == c;
    return n;
}

static bool is_array(struct str text)
{
    text = str_trim(text);
    return text.n && *text.p == '[';
}

bool floats_room(struct str text, size_t *room, struct err *err)
{
    *room = count(text, is_array(text) ? ',' : '\n') + 1;
    if (*room <= FLOATS_MOST)
        return true;
    if (!is_array(text) && text.n && text.p[text.n - 1] == '\n' && *room == FLOATS_MOST + 1)
        return *room = FLOATS_MOST, true;
    return err_set(err, ERR_LIMIT, "more than %d values", FLOATS_MOST);
}

bool floats_parse(struct str text, float *out, size_t room, size_t *n, size_t *bad, struct err *err)
{
    struct reader r = {text.p, text.p + text.n, out, room, 0, err};
    skip_space(&r);
    bool array = r.p < r.end && *r.p == '[';
    bool ok = array ? read_array(&r) : read_lines(&r);
    *n = r.n;
    *bad = ok ? 0 : r.n + 1;
    if (ok && r.n == 0)
        return err_set(err, ERR_INVALID, "there are no values");
    return ok;
}

/* ---- bytes ------------------------------------------------------------- */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "float32 is copied as it lies");

size_t floats_read(const char *bytes, size_t n, bool missing, float *out)
{
    memcpy(out, bytes, n * sizeof *out);
    return floats_first_bad(out, n, missing);
}

size_t floats_first_bad(const float *values, size_t n, bool missing)
{
    for (size_t i = 0; i < n; i++)
        if (isinf(values[i]) || (!missing && isnan(values[i])))
            return i + 1;
    return 0;
}

void floats_write(const float *values, size_t n, char *bytes)
{
    memcpy(bytes, values, n * sizeof *values);
}
