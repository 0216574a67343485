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

/* The longest window of tiles.  The ranks' bits take 10 to 13 ns for a value and any window with
 * AVX2 and AVX-512 (25 with 128 bits), tiles more for a longer one: with float64, 7 and 12 (24) ns
 * for 2047, 11 and 20 (38) for 4000, and their vectors leave the second cache then. */
enum { ORDER_TILES_MOST = 2047 };

/* For rolling_order_tiles.h: what its windows have in common, and where it works. */
struct order_tiles {
    size_t window, k;
    double fraction;
    size_t group, span;            /* windows of a group, of a lane: the most at a time */
    void *x, *out, *taken, *stack; /* vectors: a lane each */
};

/* What is there for each set of vector instructions. */
struct order_isa {
    /* rank[i]: how many of the n keys come before keys[i]; equal ones keep their order.  n is a
     * multiple of 32. */
    void (*pairs_i32)(const int32_t *keys, size_t n, uint32_t *rank);
    void (*pairs_i64)(const int64_t *keys, size_t n, uint32_t *rank);
    size_t pairs_most_f32, pairs_most_f64; /* more of them are sorted in less time */
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
    /* Results of lanes_ * span full windows without NaN that begin at x[0], x[1], ...: windows of
     * at most ORDER_TILES_MOST; span is a multiple of g, a power of two from 2 on and at most
     * window + 1; reads up to a vector beyond the last window. */
    void (*tiles_f32)(const struct order_tiles *t, const float *x, size_t g, size_t span,
                      float *out);
    void (*tiles_f64)(const struct order_tiles *t, const double *x, size_t g, size_t span,
                      double *out);
    size_t lanes_f32, lanes_f64;
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
