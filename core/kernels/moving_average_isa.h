/* moving_average_isa.h -- the inner loops, once for each element type and vector width.
 *
 * Included by moving_average.c with what lanes.h wants and T (float or double) defined; with
 * FLOATS, too, when T is float; SLIDE_ELSEWHERE leaves slide out.  A group of LANES differences
 * x[i] - x[i - window] becomes its own running sum by shifted additions; only one addition a group
 * depends on the group before.
 */
#include "kernels/lanes.h"

TARGET static double NAME(add_up)(const T *x, size_t n)
{
    V sums = {0}, more;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        LOAD(more, x + i);
        sums += more;
    }
    double sum = TOTAL(sums);
    for (; i < n; i++)
        sum += (double)x[i];
    return sum;
}

#ifndef SLIDE_ELSEWHERE
/* Full windows: sum is that of the window before x[0].  Returns the last sum, which is not
 * finite if any value was not. */
TARGET static double NAME(slide)(const T *x, size_t n, size_t window, double sum, T *out)
{
    const double share = 1.0 / (double)window;
    const V zero = {0};
    V carry = zero + sum, in, gone, last;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        LOAD(in, x + i);
        LOAD(gone, x + i - window);
        in -= gone;
        SCAN(in, zero, last);
        in = (in + carry) * share;
        carry += last;
        STORE(out + i, in);
    }
    sum = LANE(carry, 0);
    for (; i < n; i++) {
        sum += (double)x[i] - (double)x[i - window];
        out[i] = (T)(sum * share);
    }
    return sum;
}
#endif

/* Windows that still grow: `before` values lie before x[0], with this sum. */
TARGET static double NAME(grow)(const T *x, size_t n, size_t before, double sum, T *out)
{
    const V zero = {0};
    V carry = zero + sum, in, last, count = zero, one = zero + 1.0;
    SCAN(one, zero, last);
    count = one + (double)before;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        LOAD(in, x + i);
        SCAN(in, zero, last);
        in = (in + carry) / count;
        carry += last;
        count += (double)LANES;
        STORE(out + i, in);
    }
    sum = LANE(carry, 0);
    for (; i < n; i++) {
        sum += (double)x[i];
        out[i] = (T)(sum / (double)(before + i + 1));
    }
    return sum;
}

#undef T
#undef SLIDE_ELSEWHERE
#include "kernels/lanes_end.h"
