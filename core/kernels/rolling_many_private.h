/* rolling_many_private.h -- what rolling_many.c and its inner loops share. */
#pragma once

#include "kernels/rolling_many.h"

enum {
    ROLLING_MANY_LANES = 1024, /* series that are on their way at one time, at most */
    ROLLING_MANY_TURNED = 8    /* of those that are turned; as many as the widest vector has */
};

/* What the processor is told to fetch, for it looks ahead by itself only where values follow one
 * another: those so many instants further on; or where the next tile comes from and this one goes
 * to, whose series are `step` bytes apart. */
struct rolling_many_fetch {
    ptrdiff_t instants; /* or 0 */
    const void *in;     /* or NULL */
    void *out;
    ptrdiff_t step;
};

/* Sums over the window of each series, of y = x - center. */
struct rolling_many_sums {
    const struct rolling_sums_options *options;
    struct rolling_many_fetch fetch;
    double center[ROLLING_MANY_LANES], first[ROLLING_MANY_LANES], second[ROLLING_MANY_LANES];
    double count[ROLLING_MANY_LANES]; /* only while counted */
    double peak[ROLLING_MANY_LANES];  /* largest `second` since they were begun, times 2^-20 */
    double odd[ROLLING_MANY_LANES];   /* above 0: this series is for rolling_sums.c */
};

/* Chosen by isa; x and out are those of the instant `from`, `step` elements from the next one.
 * begin: the sums of the window before it.  walk: instants from..to-1, all of whose windows are
 * full or none; false when a sum is not finite.  take: to[k * lanes + s] = x[s * step + k]; give
 * the other way round. */
#define ROLLING_MANY_LOOPS(T, suffix)                                                              \
    struct rolling_many_loops_##suffix {                                                           \
        void (*begin)(struct rolling_many_sums * m, size_t lanes, size_t from, const T *x,         \
                      ptrdiff_t step);                                                             \
        bool (*walk)(struct rolling_many_sums * m, size_t lanes, size_t from, size_t to,           \
                     const T *x, ptrdiff_t step, T *out, ptrdiff_t out_step, bool counted);        \
        void (*take)(const T *x, ptrdiff_t step, size_t series, size_t n, T *to, size_t lanes);    \
        void (*give)(const T *x, size_t lanes, size_t series, size_t n, T *to, ptrdiff_t step);    \
    }
ROLLING_MANY_LOOPS(double, f64);
ROLLING_MANY_LOOPS(float, f32);

struct rolling_many_loops {
    size_t lanes;
    struct rolling_many_loops_f64 f64;
    struct rolling_many_loops_f32 f32;
};

const struct rolling_many_loops *rolling_many_loops(void);
