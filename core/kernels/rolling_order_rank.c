/* Ranks of a block's values: by comparing all of them in pairs when there are few, else by sorting
 * their bits from the last digit to the first (a radix sort: as fast for any values). */
#include <math.h>
#include <string.h>

#include "kernels/rolling_order_private.h"

enum {
    PAIRS_MOST_F32 = 256,
    PAIRS_MOST_F64 = 128,
    DIGIT_BITS = 8,
    DIGITS = 32 / DIGIT_BITS,
    DIGIT_VALUES = 1 << DIGIT_BITS,
    MOVES_PER_VALUE = 4, /* when more are needed, ties are not worth mending one by one */
};

/* Whole numbers in the order of the values; -0 as 0, NaN last. */
static inline int32_t key_f32(float x)
{
    int32_t bits;
    x += 0.0F;
    memcpy(&bits, &x, sizeof bits);
    return isnan(x) ? INT32_MAX : bits ^ (bits >> 31 & INT32_MAX);
}

static inline int64_t key_f64(double x)
{
    int64_t bits;
    x += 0.0;
    memcpy(&bits, &x, sizeof bits);
    return isnan(x) ? INT64_MAX : bits ^ (bits >> 63 & INT64_MAX);
}

/* Sorts by the upper 32 bits, stable; returns a or b, where the result is. */
static uint64_t *sort(uint64_t *a, uint64_t *b, size_t n)
{
    uint32_t counts[DIGITS][DIGIT_VALUES] = {0};
    for (size_t i = 0; i < n; i++)
        for (int digit = 0; digit < DIGITS; digit++)
            counts[digit][a[i] >> (32 + DIGIT_BITS * digit) & (DIGIT_VALUES - 1)]++;
    for (int digit = 0; digit < DIGITS; digit++) {
        uint32_t *places = counts[digit], place = 0;
        int shift = 32 + DIGIT_BITS * digit;
        if (places[a[0] >> shift & (DIGIT_VALUES - 1)] == n)
            continue;
        for (int value = 0; value < DIGIT_VALUES; value++) {
            uint32_t count = places[value];
            places[value] = place;
            place += count;
        }
        for (size_t i = 0; i < n; i++)
            b[places[a[i] >> shift & (DIGIT_VALUES - 1)]++] = a[i];
        uint64_t *other = a;
        a = b;
        b = other;
    }
    return a;
}

/* Of what was sorted: rank and the values in order, which may lie where the items do. */
#define FINISH(T, suffix)                                                                          \
    static void finish_##suffix(const uint64_t *items, const T *x, size_t n, uint32_t *rank,       \
                                double *sorted)                                                    \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            uint64_t item;                                                                         \
            memcpy(&item, items + i, sizeof item);                                                 \
            uint32_t place = (uint32_t)item;                                                       \
            rank[place] = (uint32_t)i;                                                             \
            double value = (double)x[place];                                                       \
            memcpy(sorted + i, &value, sizeof value);                                              \
        }                                                                                          \
    }
FINISH(float, f32)
FINISH(double, f64)

/* ---- few values: all pairs ---------------------------------------------- */

static void compare_f32(const float *x, size_t n, uint32_t *rank, double *sorted, int32_t *keys)
{
    size_t padded = (n + 31) & ~(size_t)31;
    for (size_t i = 0; i < padded; i++)
        keys[i] = i < n ? key_f32(x[i]) : INT32_MAX;
    order_isa()->pairs_i32(keys, padded, rank);
    for (size_t i = 0; i < n; i++)
        sorted[rank[i]] = (double)x[i];
}

static void compare_f64(const double *x, size_t n, uint32_t *rank, double *sorted, int64_t *keys)
{
    size_t padded = (n + 31) & ~(size_t)31;
    for (size_t i = 0; i < padded; i++)
        keys[i] = i < n ? key_f64(x[i]) : INT64_MAX;
    order_isa()->pairs_i64(keys, padded, rank);
    for (size_t i = 0; i < n; i++)
        sorted[rank[i]] = x[i];
}

static size_t count_f32(const float *x, size_t n)
{
    size_t nan = 0;
    for (size_t i = 0; i < n; i++)
        nan += x[i] != x[i];
    return n - nan;
}

size_t order_rank_f32(const float *x, size_t n, uint32_t *rank, double *sorted, uint64_t *scratch)
{
    if (n <= PAIRS_MOST_F32) {
        compare_f32(x, n, rank, sorted, (int32_t *)scratch);
    } else {
        for (size_t i = 0; i < n; i++)
            scratch[i] = (uint64_t)((uint32_t)key_f32(x[i]) ^ 0x80000000U) << 32 | i;
        finish_f32(sort(scratch, (uint64_t *)sorted, n), x, n, rank, sorted);
    }
    return count_f32(x, n);
}

/* ---- float64 ----------------------------------------------------------- */

/* Where a block's keys lie. */
struct range {
    uint64_t least;
    int shift; /* of the distance from it, so that 32 bits are left */
};

static inline uint64_t distance(double x, const struct range *r)
{
    return ((uint64_t)key_f64(x) ^ 1ULL << 63) - r->least;
}

static struct range find_range(const double *x, size_t n)
{
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (size_t i = 0; i < n; i++) {
        int64_t key = key_f64(x[i]);
        least = key < least ? key : least;
        most = key > most ? key : most;
    }
    struct range r = {(uint64_t)least ^ 1ULL << 63, 0};
    uint64_t width = (uint64_t)most - (uint64_t)least;
    r.shift = width >> 32 ? 32 - __builtin_clzll(width) : 0;
    return r;
}

/* Orders those whose 32 bits are the same by all of their bits; false when that is too much. */
static bool mend(uint64_t *items, const double *x, size_t n)
{
    size_t moves = 0;
    for (size_t i = 1; i < n; i++) {
        uint64_t item = items[i];
        if (item >> 32 != items[i - 1] >> 32)
            continue;
        int64_t key = key_f64(x[(uint32_t)item]);
        size_t at = i;
        for (; at > 0 && items[at - 1] >> 32 == item >> 32 &&
               key_f64(x[(uint32_t)items[at - 1]]) > key;
             at--)
            items[at] = items[at - 1];
        items[at] = item;
        moves += i - at;
        if (moves > MOVES_PER_VALUE * n)
            return false;
    }
    return true;
}

static uint64_t *sort_f64(const double *x, size_t n, uint64_t *a, uint64_t *b)
{
    const struct range r = find_range(x, n);
    for (size_t i = 0; i < n; i++)
        a[i] = distance(x[i], &r) >> r.shift << 32 | i;
    uint64_t *items = sort(a, b, n);
    if (r.shift == 0 || mend(items, x, n))
        return items;
    for (size_t i = 0; i < n; i++) /* the lower bits first, then the upper ones */
        a[i] = distance(x[i], &r) << 32 | i;
    items = sort(a, b, n);
    for (size_t i = 0; i < n; i++)
        items[i] = distance(x[(uint32_t)items[i]], &r) >> r.shift << 32 | (uint32_t)items[i];
    return sort(items, items == a ? b : a, n);
}

static size_t count_f64(const double *x, size_t n)
{
    size_t nan = 0;
    for (size_t i = 0; i < n; i++)
        nan += x[i] != x[i];
    return n - nan;
}

size_t order_rank_f64(const double *x, size_t n, uint32_t *rank, double *sorted, uint64_t *scratch)
{
    if (n <= PAIRS_MOST_F64)
        compare_f64(x, n, rank, sorted, (int64_t *)scratch);
    else
        finish_f64(sort_f64(x, n, scratch, (uint64_t *)sorted), x, n, rank, sorted);
    return count_f64(x, n);
}
