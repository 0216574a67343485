/* rolling_direct_isa.h -- the inner loops of rolling_direct.c, once for each element type and
 * vector width.
 *
 * Included with what lanes.h wants, SQRT(vector) and T (float or double) defined; with FLOATS, too,
 * when T is float.  The arithmetic and its order are those of rolling_sums_isa.h for windows that
 * are full, so that both give the same bits.
 */
#include "kernels/lanes.h"

/* One step of all groups before the next step of any: each instruction has what it waits for
 * sooner, and the processor's queues do not fill up with ones that wait. */
#define EACH _Pragma("GCC unroll 4") for (size_t g = 0; g < groups; g++)

TARGET static void NAME(begin)(struct rolling_slide *s, const T *x)
{
    const V zero = {0}, center = zero + s->center;
    V first = zero, second = zero, v;
    size_t i = 0;
    for (; i + LANES <= s->window; i += LANES) {
        LOAD(v, x + i);
        v -= center;
        first += v;
        second += v * v;
    }
    s->first = TOTAL(first);
    s->second = TOTAL(second);
    for (; i < s->window; i++) {
        double value = (double)x[i] - s->center;
        s->first += value;
        s->second += value * value;
    }
    s->low = INFINITY;
    s->high = s->second;
}

/* Running sums of all groups, each for itself. */
#if LANES == 8
#define EACH_ADDS_UP(v)                                                                            \
    do {                                                                                           \
        EACH v[g] += BELOW1(v[g], zero);                                                           \
        EACH v[g] += BELOW2(v[g], zero);                                                           \
        EACH v[g] += BELOW4(v[g], zero);                                                           \
    } while (0)
#elif LANES == 4
#define EACH_ADDS_UP(v)                                                                            \
    do {                                                                                           \
        EACH v[g] += BELOW1(v[g], zero);                                                           \
        EACH v[g] += BELOW2(v[g], zero);                                                           \
    } while (0)
#elif LANES == 2
#define EACH_ADDS_UP(v)                                                                            \
    do {                                                                                           \
        EACH v[g] += BELOW1(v[g], zero);                                                           \
    } while (0)
#else
#define EACH_ADDS_UP(v)                                                                            \
    do {                                                                                           \
    } while (0)
#endif

/* As many windows as whole runs of `groups` groups hold; returns how many. */
TARGET static inline __attribute__((always_inline)) size_t
NAME(slide_groups)(struct rolling_slide *s, const T *x, size_t n, T *out, enum rolling_slides what,
                   const size_t groups)
{
    const V zero = {0}, none = zero + (double)NAN, center = zero + s->center;
    const V share = zero + s->share, spare = zero + s->spare;
    V first = zero + s->first, second = zero + s->second;
    V low = zero + s->low, high = zero + s->high, in[4], d[4], e[4], last[4];
    size_t i = 0;
    for (; i + groups * LANES <= n; i += groups * LANES) {
        EACH
        {
            V gone;
            LOAD(in[g], x + i + g * LANES);
            LOAD(gone, x + i + g * LANES - s->window);
            d[g] = in[g] - gone;
            if (what != ROLLING_FIRSTS)
                e[g] = d[g] * ((gone - center) * 2.0 + d[g]);
            if (what == ROLLING_ZSCORES)
                in[g] -= center;
        }
        EACH_ADDS_UP(d);
        EACH last[g] = LAST(d[g]);
        EACH
        {
            d[g] += first;
            first += last[g];
        }
        if (what == ROLLING_FIRSTS) {
            EACH
            {
                d[g] *= share;
                STORE(out + i + g * LANES, d[g]);
            }
            continue;
        }
        EACH_ADDS_UP(e);
        EACH last[g] = LAST(e[g]);
        EACH
        {
            e[g] += second;
            second += last[g];
        }
        EACH
        {
            V squares = LESS(e[g], d[g] * d[g], share);
            low = LESSER(squares, low);
            high = GREATER(e[g], high);
            e[g] = GREATER(zero, squares) * spare;
        }
        if (what == ROLLING_DEVIATIONS)
            EACH e[g] = SQRT(e[g]);
        if (what == ROLLING_ZSCORES)
            EACH e[g] = SELECT(e[g] > zero, LESS(in[g], d[g], share) / SQRT(e[g]), none);
        EACH STORE(out + i + g * LANES, e[g]);
    }
    s->first = LANE(first, 0);
    s->second = LANE(second, 0);
    for (size_t g = 0; g < LANES; g++) {
        s->low = fmin(s->low, LANE(low, g));
        s->high = fmax(s->high, LANE(high, g));
    }
    return i;
}

TARGET static inline __attribute__((always_inline)) void
NAME(slide_as)(struct rolling_slide *s, const T *x, size_t n, T *out, enum rolling_slides what)
{
    size_t i = 0;
#ifdef PAIRS
    if (what != ROLLING_ZSCORES)
        i = rolling_slide_pairs(s, x, n, out);
#endif
    i += NAME(slide_groups)(s, x + i, n - i, out + i, what, 4);
    i += NAME(slide_groups)(s, x + i, n - i, out + i, what, 1);
    for (; i < n; i++)
        out[i] = (T)rolling_slide_one(s, (double)x[i], (double)x[i - s->window]);
}

TARGET static void NAME(slide)(struct rolling_slide *s, const T *x, size_t n, T *out)
{
    switch (s->what) {
    case ROLLING_FIRSTS:
        NAME(slide_as)(s, x, n, out, ROLLING_FIRSTS);
        break;
    case ROLLING_VARIANCES:
        NAME(slide_as)(s, x, n, out, ROLLING_VARIANCES);
        break;
    case ROLLING_DEVIATIONS:
        NAME(slide_as)(s, x, n, out, ROLLING_DEVIATIONS);
        break;
    case ROLLING_ZSCORES:
        NAME(slide_as)(s, x, n, out, ROLLING_ZSCORES);
        break;
    }
}

#undef EACH
#undef EACH_ADDS_UP
#undef T
#undef PAIRS
#undef SQRT
#include "kernels/lanes_end.h"
