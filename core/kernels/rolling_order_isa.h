/* rolling_order_isa.h -- the inner loops, once for each set of vector instructions.
 *
 * Included by rolling_order_loops.c with BYTES (of a vector), TARGET (a function attribute),
 * NAME(word), SELECT(word, k), the place of the k-th bit that is set, GATHER(bytes), order_gather
 * or the like, and LESSER_F32(a, b) and its like, which are b where a is NaN, defined.
 */

typedef float NAME(values_f32) __attribute__((vector_size(BYTES)));
typedef double NAME(values_f64) __attribute__((vector_size(BYTES)));
typedef int32_t NAME(keys_i32) __attribute__((vector_size(BYTES)));
typedef int64_t NAME(keys_i64) __attribute__((vector_size(BYTES)));

/* ---- ranks ------------------------------------------------------------- */

#define PAIRS(K, suffix)                                                                           \
    TARGET static void NAME(pairs_##suffix)(const K *keys, size_t n, uint32_t *rank)               \
    {                                                                                              \
        enum { LANES = BYTES / sizeof(K) };                                                        \
        NAME(keys_##suffix) lanes;                                                                 \
        for (int lane = 0; lane < LANES; lane++)                                                   \
            lanes[lane] = lane;                                                                    \
        for (size_t at = 0; at < n; at += 2 * LANES) {                                             \
            NAME(keys_##suffix) a, b, in_a, in_b;                                                  \
            memcpy(&a, keys + at, sizeof a);                                                       \
            memcpy(&b, keys + at + LANES, sizeof b);                                               \
            in_a = (NAME(keys_##suffix)){0} + (K)at;                                               \
            in_b = in_a;                                                                           \
            for (size_t i = 0; i < at; i++) {                                                      \
                NAME(keys_##suffix) one = (NAME(keys_##suffix)){0} + keys[i];                      \
                in_a += one > a;                                                                   \
                in_b += one > b;                                                                   \
            }                                                                                      \
            for (int i = 0; i < LANES; i++) {                                                      \
                NAME(keys_##suffix) one = (NAME(keys_##suffix)){0} + keys[at + (size_t)i];         \
                in_a -= (one < a) | ((one == a) & (lanes > i));                                    \
                in_b -= one <= b;                                                                  \
            }                                                                                      \
            for (int i = 0; i < LANES; i++) {                                                      \
                NAME(keys_##suffix) one = (NAME(keys_##suffix)){0} + keys[at + LANES + (size_t)i]; \
                in_a -= one < a;                                                                   \
                in_b -= (one < b) | ((one == b) & (lanes > i));                                    \
            }                                                                                      \
            for (size_t i = at + 2 * LANES; i < n; i++) {                                          \
                NAME(keys_##suffix) one = (NAME(keys_##suffix)){0} + keys[i];                      \
                in_a -= one < a;                                                                   \
                in_b -= one < b;                                                                   \
            }                                                                                      \
            for (int lane = 0; lane < LANES; lane++) {                                             \
                rank[at + (size_t)lane] = (uint32_t)in_a[lane];                                    \
                rank[at + LANES + (size_t)lane] = (uint32_t)in_b[lane];                            \
            }                                                                                      \
        }                                                                                          \
    }
PAIRS(int32_t, i32)
PAIRS(int64_t, i64)
#undef PAIRS

/* Whole numbers in the order of the values; -0 as 0, NaN last. */
#define KEYS(T, K, suffix, bits, most)                                                             \
    TARGET static void NAME(keys_of_##suffix)(const T *x, size_t n, K *keys)                       \
    {                                                                                              \
        enum { LANES = BYTES / sizeof(T) };                                                        \
        for (size_t i = 0; i < n; i += LANES) {                                                    \
            NAME(values_##suffix) a;                                                               \
            memcpy(&a, x + i, sizeof a);                                                           \
            a += 0;                                                                                \
            NAME(keys_i##bits) nan = a != a, key = (NAME(keys_i##bits))a;                          \
            key ^= (key >> (bits - 1)) & most;                                                     \
            key = (key & ~nan) | (nan & most);                                                     \
            memcpy(keys + i, &key, sizeof key);                                                    \
        }                                                                                          \
    }
KEYS(float, int32_t, f32, 32, INT32_MAX)
KEYS(double, int64_t, f64, 64, INT64_MAX)
#undef KEYS

/* ---- least and greatest ------------------------------------------------ */

#define CHOOSE(T, suffix, word, op, native)                                                        \
    TARGET static void NAME(word##_##suffix)(T * m, size_t n, size_t shift)                        \
    {                                                                                              \
        enum { LANES = BYTES / sizeof(T) };                                                        \
        NAME(values_##suffix) a, b;                                                                \
        size_t i = 0;                                                                              \
        for (; i + LANES <= n; i += LANES) {                                                       \
            memcpy(&a, m + i, sizeof a);                                                           \
            memcpy(&b, m + i + shift, sizeof b);                                                   \
            a = native(a, b);                                                                      \
            memcpy(m + i, &a, sizeof a);                                                           \
        }                                                                                          \
        for (; i < n; i++)                                                                         \
            m[i] = m[i] op m[i + shift] ? m[i] : m[i + shift];                                     \
    }
CHOOSE(float, f32, least, <, LESSER_F32)
CHOOSE(float, f32, most, >, GREATER_F32)
CHOOSE(double, f64, least, <, LESSER_F64)
CHOOSE(double, f64, most, >, GREATER_F64)
#undef CHOOSE

/* Of those that are not NaN; the least is not below the greatest when there are none. */
#define RANGE(T, suffix, lesser, greater)                                                          \
    TARGET static void NAME(range_##suffix)(const T *x, size_t n, T *least, T *most)               \
    {                                                                                              \
        enum { LANES = BYTES / sizeof(T) };                                                        \
        NAME(values_##suffix) a, low = (NAME(values_##suffix)){0} + (T)INFINITY, high = -low;      \
        size_t i = 0;                                                                              \
        for (; i + LANES <= n; i += LANES) {                                                       \
            memcpy(&a, x + i, sizeof a);                                                           \
            low = lesser(a, low);                                                                  \
            high = greater(a, high);                                                               \
        }                                                                                          \
        *least = (T)INFINITY;                                                                      \
        *most = -*least;                                                                           \
        for (int lane = 0; lane < LANES; lane++) {                                                 \
            *least = low[lane] < *least ? low[lane] : *least;                                      \
            *most = high[lane] > *most ? high[lane] : *most;                                       \
        }                                                                                          \
        for (; i < n; i++) {                                                                       \
            *least = x[i] < *least ? x[i] : *least;                                                \
            *most = x[i] > *most ? x[i] : *most;                                                   \
        }                                                                                          \
    }
RANGE(float, f32, LESSER_F32, GREATER_F32)
RANGE(double, f64, LESSER_F64, GREATER_F64)
#undef RANGE

#define ANY_NAN(T, K, suffix)                                                                      \
    TARGET static bool NAME(any_nan_##suffix)(const T *x, size_t n)                                \
    {                                                                                              \
        enum { LANES = BYTES / sizeof(T) };                                                        \
        typedef T values __attribute__((vector_size(BYTES)));                                      \
        typedef K masks __attribute__((vector_size(BYTES)));                                       \
        masks seen = {0};                                                                          \
        values a;                                                                                  \
        size_t i = 0;                                                                              \
        for (; i + LANES <= n; i += LANES) {                                                       \
            memcpy(&a, x + i, sizeof a);                                                           \
            seen |= a != a;                                                                        \
        }                                                                                          \
        bool any = false;                                                                          \
        for (int lane = 0; lane < LANES; lane++)                                                   \
            any |= seen[lane] != 0;                                                                \
        for (; i < n; i++)                                                                         \
            any |= x[i] != x[i];                                                                   \
        return any;                                                                                \
    }
ANY_NAN(float, int32_t, f32)
ANY_NAN(double, int64_t, f64)
#undef ANY_NAN

/* ---- the window's bits ------------------------------------------------- */

TARGET static inline void NAME(enter)(struct order_slide *s, size_t i)
{
    size_t rank = s->rank[i], word = rank >> 6;
    s->bits[word] |= 1ULL << (rank & 63);
    s->middle.below += word < s->middle.word;
    s->left.below += word < s->left.word;
    s->right.below += word < s->right.word;
    s->held += rank < s->valid;
    s->missing += rank >= s->valid;
}

TARGET static inline void NAME(leave)(struct order_slide *s, size_t i)
{
    size_t rank = s->rank[i], word = rank >> 6;
    s->bits[word] &= ~(1ULL << (rank & 63));
    s->middle.below -= word < s->middle.word;
    s->left.below -= word < s->left.word;
    s->right.below -= word < s->right.word;
    s->held -= rank < s->valid;
    s->missing -= rank >= s->valid;
}

/* Moves the cursor to the word that holds the k-th set bit. */
TARGET static inline void NAME(seek)(struct order_cursor *c, const uint64_t *bits, size_t k)
{
    while (k < c->below)
        c->below -= (size_t)__builtin_popcountll(bits[--c->word]);
    for (;;) {
        size_t here = (size_t)__builtin_popcountll(bits[c->word]);
        if (k - c->below < here)
            return;
        c->below += here;
        c->word++;
    }
}

TARGET static inline double NAME(kth)(const struct order_slide *s, struct order_cursor *c, size_t k)
{
    NAME(seek)(c, s->bits, k);
    return s->sorted[c->word * 64 + SELECT(s->bits[c->word], k - c->below)];
}

/* The value behind the k-th, which the cursor has found. */
TARGET static inline double NAME(next)(const struct order_slide *s, const struct order_cursor *c,
                                       size_t k)
{
    size_t word = c->word;
    uint64_t rest = s->bits[word];
    if (k + 1 - c->below < (size_t)__builtin_popcountll(rest))
        return s->sorted[word * 64 + SELECT(rest, k + 1 - c->below)];
    while (!s->bits[++word])
        ;
    return s->sorted[word * 64 + (size_t)__builtin_ctzll(s->bits[word])];
}

TARGET static inline double NAME(quantile)(const struct order_slide *s, struct order_cursor *c,
                                           size_t k, double fraction)
{
    double value = NAME(kth)(s, c, k);
    return fraction == 0 ? value : order_between(value, NAME(next)(s, c, k), fraction);
}

/* ---- MAD --------------------------------------------------------------- */

/* Whether the nearest `half` values to m begin behind the i-th: the one behind them is nearer. */
TARGET static inline bool NAME(is_behind)(struct order_slide *s, size_t i, size_t half, double m)
{
    return NAME(kth)(s, &s->right, i + half) - m < m - NAME(kth)(s, &s->left, i);
}

/* Where the nearest `half` of the held values begin: galloping from where they did last. */
TARGET static size_t NAME(closest)(struct order_slide *s, size_t half, double m)
{
    size_t low = 0, high = s->held - half; /* is_behind before low, not from high on */
    size_t at = s->closest;
    for (size_t step = 1; low < high; step *= 2) {
        at = at < high ? at : high - 1;
        bool behind = NAME(is_behind)(s, at, half, m);
        if (behind)
            low = at + 1;
        else
            high = at;
        if (high - low <= 2 * step)
            at = low + (high - low) / 2;
        else
            at = behind ? low + step - 1 : high - step;
    }
    return s->closest = low;
}

TARGET static double NAME(deviation)(struct order_slide *s)
{
    double fraction;
    size_t k = order_place(0.5, s->held, &fraction), half = k + 1;
    double m = NAME(quantile)(s, &s->middle, k, fraction);
    if (isinf(m) || isnan(m))
        return NAN;
    size_t i = NAME(closest)(s, half, m);
    double before = m - NAME(kth)(s, &s->left, i),
           behind = NAME(kth)(s, &s->right, i + half - 1) - m;
    double found = before > behind ? before : behind;
    if (fraction == 0)
        return found;
    double beyond = INFINITY;
    if (i > 0)
        beyond = m - NAME(kth)(s, &s->left, i - 1);
    if (i + half < s->held) {
        behind = NAME(kth)(s, &s->right, i + half) - m;
        beyond = behind < beyond ? behind : beyond;
    }
    return order_between(found, beyond, 0.5);
}

TARGET static void NAME(slide_any)(struct order_slide *s, size_t from, size_t to, double *out)
{
    for (size_t i = from; i < to; i++) {
        double fraction;
        if (i >= s->how->window)
            NAME(leave)(s, i - s->how->window);
        NAME(enter)(s, i);
        if (!order_enough(s->how, s->held, s->missing)) {
            out[i - from] = NAN;
        } else if (s->how->kind == ROLLING_MAD) {
            out[i - from] = NAME(deviation)(s);
        } else {
            size_t k = order_place(s->how->q, s->held, &fraction);
            out[i - from] = NAME(quantile)(s, &s->middle, k, fraction);
        }
    }
}

#include "kernels/rolling_order_full.h"

#undef BYTES
#undef TARGET
#undef NAME
#undef SELECT
#undef GATHER
#undef LESSER_F32
#undef GREATER_F32
#undef LESSER_F64
#undef GREATER_F64
