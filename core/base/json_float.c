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

/* digits / power, which is 10^places, the zeros at its end cut. */
static char *add_decimal(char *to, uint64_t digits, int places, uint64_t power)
{
    uint64_t rest = digits % power;
    to = add_whole(to, (uint32_t)(digits / power));
    if (rest == 0)
        return to;
    *to = '.';
    for (int i = places; i > 0; i--, rest /= 10)
        to[i] = (char)('0' + rest % 10);
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
    static const uint64_t powers[] = {
        1,        10,        100,        1000,        10000,        100000,       1000000,
        10000000, 100000000, 1000000000, 10000000000, 100000000000, 1000000000000};
    static const float bounds[] = {1e-3F, 1e-2F, 1e-1F, 1e0F, 1e1F, 1e2F, 1e3F, 1e4F, 1e5F, 1e6F};
    int places = 10; /* such that there are seven digits */
    while (places > 0 && size >= bounds[10 - places])
        places--;
    double near = near_half(size), value = (double)size;
    for (int most = places + 2;; places++) {
        double power = (double)powers[places], digits = nearbyint(value * power);
        if (places == most || fabs(digits / power - value) < near)
            return add_decimal(to, (uint64_t)digits, places, powers[places]);
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
    if (size == floorf(size))
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
