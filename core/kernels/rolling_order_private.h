/* rolling_order_private.h -- what the files of rolling_order share. */
#pragma once

#include <stdint.h>
#include <string.h>

#include "kernels/rolling_order.h"

/* A place in the bits of a window: `below` of them are in the words before `word`. */
struct order_cursor {
    size_t word, below;
};

/* 64 ranks from `base` on, of which those in the window are set; `below` of the window are before
 * them. */
struct order_near {
    size_t base, below;
    uint64_t bits;
};

/* A block whose values are ranked, and the window that moves over it. */
struct order_slide {
    const struct rolling_order_options *how;
    const uint32_t *rank; /* of each value of the block; NaN have the last ones */
    const double *sorted; /* the values by rank */
    size_t valid;         /* that are not NaN */
    uint64_t *bits;       /* one for each rank: whether it is in the window */
    struct order_cursor middle, left, right; /* left, right: for MAD */
    size_t held, missing;                    /* values in the window: not NaN, NaN */
    uint8_t *member;                         /* slide_full: 1 where `bits` is set */
    struct order_near near;
    size_t closest; /* MAD: where the nearest half began last */
};

enum { ORDER_SORTED_MOST = 24 }; /* values of a window that is sorted by itself */

/* What is there for each set of vector instructions. */
struct order_isa {
    /* rank[i]: how many of the n keys come before keys[i]; equal ones keep their order.  n is a
     * multiple of 32. */
    void (*pairs_i32)(const int32_t *keys, size_t n, uint32_t *rank);
    void (*pairs_i64)(const int64_t *keys, size_t n, uint32_t *rank);
    /* Keys in the order of the values; x and keys have room for a multiple of 32. */
    void (*keys_of_f32)(const float *x, size_t n, int32_t *keys);
    void (*keys_of_f64)(const double *x, size_t n, int64_t *keys);
    /* m[i] becomes the lesser (greater) of m[i] and m[i + shift], for i < n. */
    void (*least_f32)(float *m, size_t n, size_t shift);
    void (*most_f32)(float *m, size_t n, size_t shift);
    void (*least_f64)(double *m, size_t n, size_t shift);
    void (*most_f64)(double *m, size_t n, size_t shift);
    void (*range_f32)(const float *x, size_t n, float *least, float *most);
    void (*range_f64)(const double *x, size_t n, double *least, double *most);
    bool (*any_nan_f32)(const float *x, size_t n);
    bool (*any_nan_f64)(const double *x, size_t n);
    /* Results of n full windows without NaN, of at most sorted_most_ values; n >= lanes_. */
    void (*sorted_f32)(const float *x, size_t n, size_t window, size_t k, double fraction,
                       float *out);
    void (*sorted_f64)(const double *x, size_t n, size_t window, size_t k, double fraction,
                       double *out);
    size_t sorted_most_f32, sorted_most_f64, lanes_f32, lanes_f64;
    /* Results of the values from..to-1 of the block, to out[0]...  `full`: every window has all
     * its values, and none is NaN. */
    void (*slide_full)(struct order_slide *s, size_t from, size_t to, double *out);
    void (*slide_any)(struct order_slide *s, size_t from, size_t to, double *out);
};
const struct order_isa *order_isa(void);

/* Values of a block, with the window - 1 before it. */
size_t order_room(const struct rolling_order_options *options);

/* Ranks n values: rank, sorted (NaN last); scratch has n + 64 elements, as have the others.
 * Returns how many are not NaN. */
size_t order_rank_f32(const float *x, size_t n, uint32_t *rank, double *sorted, uint64_t *scratch);
size_t order_rank_f64(const double *x, size_t n, uint32_t *rank, double *sorted, uint64_t *scratch);

/* The k-th of c values in order that q asks for, and how far beyond it. */
static inline size_t order_place(double q, size_t c, double *fraction)
{
    double place = q * (double)(c - 1);
    size_t k = (size_t)place;
    *fraction = place - (double)k;
    return k;
}

static inline double order_between(double a, double b, double fraction)
{
    if (a == b || fraction == 0)
        return a;
    return fraction == 0.5 ? (a + b) / 2 : a + (b - a) * fraction;
}

/* 64 bytes that are 0 or 1 as bits. */
static inline uint64_t order_gather(const uint8_t *bytes)
{
    uint64_t bits = 0, eight;
    for (int i = 0; i < 8; i++) {
        memcpy(&eight, bytes + 8 * i, sizeof eight);
        bits |= eight * 0x0102040810204080 >> 56 << 8 * i;
    }
    return bits;
}

static inline bool order_enough(const struct rolling_order_options *how, size_t held,
                                size_t missing)
{
    return held >= how->min_periods && (how->skip_nan || missing == 0);
}
