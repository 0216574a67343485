#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

enum { ONE_MOST = 16 }; /* "-1.17549435e-38" and a comma */

static char *add_whole(char *to, uint32_t value)
{
    char digits[10], *end = digits + sizeof digits, *p = end;
    do
        *--p = (char)('0' + value % 10);
    while (value /= 10);
    memcpy(to, p, (size_t)(end - p));
    return to + (end - p);
}

/* digits / power, which is 10^places and the quotient `value`, the zeros at its end cut.  Its whole
 * part is right: digits has ten digits at most, so what is below a whole number is far below it. */
static char *add_decimal(char *to, uint64_t digits, int places, double power, double value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    uint32_t whole = (uint32_t)value;
    uint64_t rest = digits - whole * (uint64_t)power;
    to = add_whole(to, whole);
    if (rest == 0)
        return to;
    *to = '.';
    int i = places;
    for (; i > 1; i -= 2, rest /= 100)
        memcpy(to + i - 1, pairs + rest % 100 * 2, 2);
    if (i == 1)
        to[1] = (char)('0' + rest);
    to += places;
    while (*to == '0')
        to--;
    return to + 1;
}

/* Half of the distance from `size` to the float32 next to it on the nearer side, and a little less:
 * what is closer than that reads back as `size`, also after a division that was rounded. */
static double near_half(float size)
{
    uint32_t bits;
    memcpy(&bits, &size, sizeof bits);
    uint64_t spacing = (uint64_t)((bits >> 23) - 127 - 23 + 1023) << 52;
    double ulp;
    memcpy(&ulp, &spacing, sizeof ulp);
    return ulp * (bits & 0x7FFFFF ? 0.4999 : 0.2499);
}

/* 1e-4 <= size < 2^23: seven digits if they read back, or eight, or nine, which always do. */
static char *add_between(char *to, float size)
{
    static const double powers[] = {1e0, 1e1, 1e2, 1e3,  1e4,  1e5, 1e6,
                                    1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
    static const float bounds[] = {1e-3F, 1e-2F, 1e-1F, 1e0F, 1e1F, 1e2F, 1e3F, 1e4F, 1e5F, 1e6F};
    int places = 10; /* such that there are seven digits */
    while (places > 0 && size >= bounds[10 - places])
        places--;
    double near = near_half(size), value = (double)size;
    for (int most = places + 2;; places++) {
        uint64_t digits = (uint64_t)(value * powers[places] + 0.5);
        double back = (double)digits / powers[places];
        if (places == most || fabs(back - value) < near)
            return add_decimal(to, digits, places, powers[places], back);
    }
}

static char *add_any(char *to, float value)
{
    for (int digits = 6;; digits++) {
        int n = snprintf(to, ONE_MOST, "%.*g", digits, (double)value);
        if (digits == 9 || strtof(to, NULL) == value)
            return to + n;
    }
}

static char *add_float(char *to, float value)
{
    float size = fabsf(value);
    if (!isfinite(value)) {
        memcpy(to, "null", 4);
        return to + 4;
    }
    if (size >= 0x1p23F ? size >= 1e9F : size < 1e-4F && size != 0)
        return add_any(to, value);
    if (signbit(value))
        *to++ = '-';
    if (size == (float)(uint32_t)size)
        return add_whole(to, (uint32_t)size);
    return add_between(to, size);
}

void json_write_floats(struct buf *out, const float *values, size_t n)
{
    buf_reserve(out, n * ONE_MOST + 2);
    char *to = out->p + out->n;
    *to++ = '[';
    for (size_t i = 0; i < n; i++) {
        if (i)
            *to++ = ',';
        to = add_float(to, values[i]);
    }
    *to++ = ']';
    *to = '\0';
    out->n = (size_t)(to - out->p);
}
