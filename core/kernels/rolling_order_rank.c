/* Ranks of a block's values: by comparing all of them in pairs when there are few, else by sorting
 * their bits from the last digit to the first (a radix sort: as fast for any values). */
#include <math.h>
#include <string.h>

#include "kernels/rolling_order_private.h"

enum {
    DIGIT_BITS = 8,
    DIGITS = 32 / DIGIT_BITS,
    DIGIT_VALUES = 1 << DIGIT_BITS,
    FEW_STEPS = 8192,    /* values that 2^16 steps of their range tell apart, else 2^24 */
    MOVES_PER_VALUE = 4, /* when more are needed, the steps do not tell enough of them apart */
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

/* Sorts by so many digits from bit 32 on, stable; returns a or b, where the result is. */
static uint64_t *sort(uint64_t *a, uint64_t *b, size_t n, int digits)
{
    uint32_t counts[DIGITS][DIGIT_VALUES] = {0};
    for (size_t i = 0; i < n; i++)
        for (int digit = 0; digit < digits; digit++)
            counts[digit][a[i] >> (32 + DIGIT_BITS * digit) & (DIGIT_VALUES - 1)]++;
    for (int digit = 0; digit < digits; digit++) {
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

/* ---- by steps of the range, of which a few digits are enough ----------- */

/* Orders those of one step by their values; false when that is too much. */
#define MEND(T, K, suffix)                                                                         \
    static bool mend_##suffix(uint64_t *items, const T *x, size_t n)                               \
    {                                                                                              \
        size_t moves = 0;                                                                          \
        for (size_t i = 1; i < n; i++) {                                                           \
            uint64_t item = items[i];                                                              \
            if (item >> 32 != items[i - 1] >> 32)                                                  \
                continue;                                                                          \
            K key = key_##suffix(x[(uint32_t)item]);                                               \
            size_t at = i;                                                                         \
            for (; at > 0 && items[at - 1] >> 32 == item >> 32 &&                                  \
                   key_##suffix(x[(uint32_t)items[at - 1]]) > key;                                 \
                 at--)                                                                             \
                items[at] = items[at - 1];                                                         \
            items[at] = item;                                                                      \
            moves += i - at;                                                                       \
            if (moves > MOVES_PER_VALUE * n)                                                       \
                return false;                                                                      \
        }                                                                                          \
        return true;                                                                               \
    }
MEND(float, int32_t, f32)
MEND(double, int64_t, f64)

/* NULL when that does not tell enough of them apart.  Both roundings, of the difference and of the
 * product, keep the order. */
#define STEPS(T, suffix)                                                                           \
    static uint64_t *sort_steps_##suffix(const T *x, size_t n, uint64_t *a, uint64_t *b)           \
    {                                                                                              \
        T least, most;                                                                             \
        const int digits = n <= FEW_STEPS ? 2 : 3;                                                 \
        const uint32_t steps = (1U << DIGIT_BITS * digits) - 1;                                    \
        order_isa()->range_##suffix(x, n, &least, &most);                                          \
        T scale = (T)steps / (most - least);                                                       \
        if (!isfinite(least) || !isfinite(scale) || !(scale > 0))                                  \
            return NULL;                                                                           \
        for (size_t i = 0; i < n; i++) {                                                           \
            uint32_t step = x[i] == x[i] ? (uint32_t)((x[i] - least) * scale) : steps;             \
            a[i] = (uint64_t)(step < steps ? step : steps) << 32 | i;                              \
        }                                                                                          \
        uint64_t *items = sort(a, b, n, digits);                                                   \
        return mend_##suffix(items, x, n) ? items : NULL;                                          \
    }
STEPS(float, f32)
STEPS(double, f64)

/* ---- by all bits ------------------------------------------------------- */

static uint64_t *sort_bits_f32(const float *x, size_t n, uint64_t *a, uint64_t *b)
{
    for (size_t i = 0; i < n; i++)
        a[i] = (uint64_t)((uint32_t)key_f32(x[i]) ^ 0x80000000U) << 32 | i;
    return sort(a, b, n, DIGITS);
}

/* The lower half first. */
static uint64_t *sort_bits_f64(const double *x, size_t n, uint64_t *a, uint64_t *b)
{
    for (size_t i = 0; i < n; i++)
        a[i] = (uint64_t)key_f64(x[i]) << 32 | i;
    uint64_t *items = sort(a, b, n, DIGITS);
    for (size_t i = 0; i < n; i++) {
        uint64_t key = (uint64_t)key_f64(x[(uint32_t)items[i]]) ^ 1ULL << 63;
        items[i] = (key & 0xFFFFFFFF00000000) | (uint32_t)items[i];
    }
    return sort(items, items == a ? b : a, n, DIGITS);
}

/* ---- both, or all pairs ------------------------------------------------ */

#define RANK(T, suffix, K, bits)                                                                   \
    static void compare_##suffix(const T *x, size_t n, uint32_t *rank, double *sorted, K *keys)    \
    {                                                                                              \
        const struct order_isa *isa = order_isa();                                                 \
        size_t padded = (n + 31) & ~(size_t)31;                                                    \
        isa->keys_of_##suffix(x, padded, keys);                                                    \
        for (size_t i = n; i < padded; i++)                                                        \
            keys[i] = INT##bits##_MAX;                                                             \
        isa->pairs_i##bits(keys, padded, rank);                                                    \
        for (size_t i = 0; i < n; i++)                                                             \
            sorted[rank[i]] = (double)x[i];                                                        \
    }                                                                                              \
    static size_t count_##suffix(const T *x, size_t n)                                             \
    {                                                                                              \
        size_t nan = 0;                                                                            \
        if (order_isa()->any_nan_##suffix(x, n))                                                   \
            for (size_t i = 0; i < n; i++)                                                         \
                nan += x[i] != x[i];                                                               \
        return n - nan;                                                                            \
    }                                                                                              \
    size_t order_rank_##suffix(const T *x, size_t n, uint32_t *rank, double *sorted,               \
                               uint64_t *scratch)                                                  \
    {                                                                                              \
        uint64_t *other = (uint64_t *)sorted;                                                      \
        if (n <= order_isa()->pairs_most_##suffix) {                                               \
            compare_##suffix(x, n, rank, sorted, (K *)scratch);                                    \
        } else {                                                                                   \
            uint64_t *items = sort_steps_##suffix(x, n, scratch, other);                           \
            if (!items)                                                                            \
                items = sort_bits_##suffix(x, n, scratch, other);                                  \
            finish_##suffix(items, x, n, rank, sorted);                                            \
        }                                                                                          \
        return count_##suffix(x, n);                                                               \
    }
RANK(float, f32, int32_t, 32)
RANK(double, f64, int64_t, 64)
