/* rolling_order_tiles.h -- results of full windows without NaN, a stretch of the series in each
 * lane, for one element type.
 *
 * Included by rolling_order_full.h with T, LANES (of a vector), TILE(word), LESSER(a, b) and
 * GREATER(a, b), and BYTES and TARGET as rolling_order_isa.h has them.
 *
 * Windows that begin at g places beside each other, a group, share all but g - 1 values at either
 * end.  Of what they share, in order, only g values can be the k-th of one of the windows: the
 * (k - (g - 1))-th to the k-th, which are kept, and the one behind where a result lies between two.
 * The windows of half the group share g / 2 values more.  These are sorted and taken in, and of
 * what is kept then, g / 2 fall away at both ends; of a group of one window the k-th is left.
 *
 * Nothing there depends on the values, so that each lane does it with other ones: about log^2 of
 * the window of LESSER and GREATER for a vector of results.  (That a median needs what windows
 * share but once is in Adams, "Fast median filters using separable sorting networks", 2021.)
 */

#define VALUES TILE(values)

#define SHUFFLE __builtin_shufflevector
#if LANES == 16
#define LOWS(a, b)  SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGHS(a, b) SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define LANES_DO    TIMES_16
#define HALF_DO     TIMES_8
#define TURNS       TURN TURN TURN TURN
#elif LANES == 8
#define LOWS(a, b)  SHUFFLE(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGHS(a, b) SHUFFLE(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define LANES_DO    TIMES_8
#define HALF_DO     TIMES_4
#define TURNS       TURN TURN TURN
#elif LANES == 4
#define LOWS(a, b)  SHUFFLE(a, b, 0, 4, 1, 5)
#define HIGHS(a, b) SHUFFLE(a, b, 2, 6, 3, 7)
#define LANES_DO    TIMES_4
#define HALF_DO     TIMES_2
#define TURNS       TURN TURN
#else
#define LOWS(a, b)  SHUFFLE(a, b, 0, 2)
#define HIGHS(a, b) SHUFFLE(a, b, 1, 3)
#define LANES_DO    TIMES_2
#define HALF_DO     TIMES_1
#define TURNS       TURN
#endif

#include "kernels/rolling_order_networks.h"

/* ---- results ----------------------------------------------------------- */

typedef __typeof__((VALUES){0} == (VALUES){0}) TILE(masks);
typedef T TILE(part) __attribute__((vector_size(BYTES / 8 * sizeof(T)))); /* as many as doubles */
#define CHOOSE(which, a, b) ((VALUES)(((TILE(masks))(a) & (which)) | ((TILE(masks))(b) & ~(which))))

/* As order_between in double precision. */
TARGET static VALUES TILE(between)(VALUES low, VALUES high, double fraction)
{
    VALUES found;
    for (int part = 0; part < (int)(sizeof(double) / sizeof(T)); part++) {
        NAME(values_f64) a, b, c;
        TILE(part) one;
        memcpy(&one, (T *)&low + part * (BYTES / 8), sizeof one);
        a = __builtin_convertvector(one, NAME(values_f64));
        memcpy(&one, (T *)&high + part * (BYTES / 8), sizeof one);
        b = __builtin_convertvector(one, NAME(values_f64));
        c = a + (b - a) * fraction;
        one = __builtin_convertvector(c, TILE(part));
        memcpy((T *)&found + part * (BYTES / 8), &one, sizeof one);
    }
    return CHOOSE(low == high, low, found);
}

/* A sum of two float32 is rounded as well in their own precision (it has less than half of a
 * double's bits), and halving it is exact or rounded but once; only when it is beyond all of them,
 * halves are to be added. */
TARGET static inline __attribute__((always_inline)) VALUES TILE(halfway)(VALUES low, VALUES high)
{
    VALUES half = {0}, found;
    half += (T)0.5;
    found = (low + high) * half;
    if (sizeof(T) == sizeof(float)) {
        VALUES limit = half * (T)INFINITY, halves = low * half + high * half;
        found = CHOOSE((found < limit) & (found > -limit), found, halves);
    }
    return found;
}

TARGET static inline __attribute__((always_inline)) void
TILE(put)(const struct order_tiles *t, const VALUES *kept, size_t at, int more)
{
    VALUES *out = t->out;
    if (!more)
        out[at] = kept[0];
    else if (t->fraction == 0.5)
        out[at] = TILE(halfway)(kept[0], kept[1]);
    else
        out[at] = TILE(between)(kept[0], kept[1], t->fraction);
}

/* ---- groups ------------------------------------------------------------ */

/* Of 2n that are kept and n that are taken in, v, all in order, the middle n are v, each held
 * between two that are kept: low[-1], low[-2], ... and high[-1], high[-2], ...  They rise and fall
 * but once.  With `more` the one behind them is wanted too. */
#define HOLD(i)                                                                                    \
    v[i] = GREATER(v[i], low[-1 - i]);                                                             \
    if (more)                                                                                      \
        behind = LESSER(behind, GREATER(v[i], high[-1 - i]));                                      \
    v[i] = LESSER(v[i], high[-1 - i]);

/* Results of a group of 2n windows from `at` on; `below` does each half. */
#define GROUP(n, below)                                                                            \
    TARGET static inline __attribute__((always_inline)) void TILE(group_##n)(                      \
        const struct order_tiles *t, const VALUES *kept, size_t at, int more)                      \
    {                                                                                              \
        for (int side = 0; side < 2; side++) {                                                     \
            const VALUES *from = (const VALUES *)t->x + at + (side ? t->window : (n)-1);           \
            const VALUES *low = kept + (n), *high = kept + 2 * (n);                                \
            VALUES v[(n) + 1], behind = kept[2 * (n)-1 + more];                                    \
            TIMES_##n(LOAD) SORT_##n TIMES_##n(HOLD) MERGE_##n(0);                                 \
            v[n] = behind;                                                                         \
            TILE(below)(t, v, at + (side ? (n) : 0), more);                                        \
        }                                                                                          \
    }                                                                                              \
    TARGET static __attribute__((noinline)) void TILE(groups_##n)(const struct order_tiles *t,     \
                                                                  const VALUES *kept, size_t at)   \
    {                                                                                              \
        if (t->fraction > 0)                                                                       \
            TILE(group_##n)(t, kept, at, 1);                                                       \
        else                                                                                       \
            TILE(group_##n)(t, kept, at, 0);                                                       \
    }
GROUP(1, put)
GROUP(2, group_1)
GROUP(4, group_2)
GROUP(8, group_4)
#undef GROUP

/* What half of a group of 2n windows keeps, where the n that it takes in begin at `from`. */
TARGET static inline __attribute__((always_inline)) void
TILE(half_of_32)(const VALUES *from, const VALUES *kept, VALUES *to, int more)
{
    const VALUES *low = kept + 16, *high = kept + 32;
    VALUES v[16], behind = kept[31 + more];
    TIMES_16(LOAD) SORT_16 TIMES_16(HOLD) MERGE_16(0) TIMES_16(STORE);
    to[16] = behind;
}

TARGET static inline __attribute__((always_inline)) void
TILE(half_of)(VALUES *taken, const VALUES *kept, size_t n, VALUES *rest, int more)
{
    VALUES behind = kept[2 * n - !more];
    for (size_t i = 0; i < n; i += 8) {
        const VALUES *from = taken + i, *low = kept + n - i, *high = kept + 2 * n - i;
        VALUES *to = rest + i, v[8];
        TIMES_8(LOAD) TIMES_8(HOLD) TIMES_8(STORE)
    }
    rest[n] = behind;
    TILE(merge)(rest, n);
}

TARGET static __attribute__((noinline)) void TILE(half)(const struct order_tiles *t,
                                                        const VALUES *from, const VALUES *kept,
                                                        size_t n, VALUES *rest)
{
    if (n == 16) {
        if (t->fraction > 0)
            TILE(half_of_32)(from, kept, rest, 1);
        else
            TILE(half_of_32)(from, kept, rest, 0);
        return;
    }
    TILE(sort)(from, t->taken, n, n);
    if (t->fraction > 0)
        TILE(half_of)(t->taken, kept, n, rest, 1);
    else
        TILE(half_of)(t->taken, kept, n, rest, 0);
}

/* The same for any n; behind `rest` there is room for what all smaller groups keep. */
TARGET static void TILE(groups)(const struct order_tiles *t, const VALUES *kept, size_t n,
                                size_t at, VALUES *rest)
{
    if (n == 1)
        TILE(groups_1)(t, kept, at);
    else if (n == 2)
        TILE(groups_2)(t, kept, at);
    else if (n == 4)
        TILE(groups_4)(t, kept, at);
    else if (n == 8)
        TILE(groups_8)(t, kept, at);
    else
        for (int side = 0; side < 2; side++) {
            const VALUES *from = (const VALUES *)t->x + at + (side ? t->window : n - 1);
            TILE(half)(t, from, kept, n, rest);
            TILE(groups)(t, rest, n / 2, at + (side ? n : 0), rest + n + 1);
        }
}

/* Results of a group of g windows from `at` on. */
TARGET static void TILE(whole_group)(const struct order_tiles *t, size_t g, size_t at)
{
    const VALUES *x = (const VALUES *)t->x + at + g - 1;
    const VALUES infinite = (VALUES){0} + (T)INFINITY;
    const size_t shared = t->window - (g - 1);
    VALUES *kept = t->stack, *core = kept + g + 1;
    size_t n = 1;
    while (n < shared)
        n *= 2;
    for (size_t i = 0; i < n; i++)
        core[i] = i < shared ? x[i] : infinite;
    TILE(sort)(core, core, n, shared);
    for (size_t i = 0; i <= g; i++) {
        size_t place = t->k + i - (g - 1); /* below 0 it is large */
        kept[i] = place < shared ? core[place] : t->k + i < g - 1 ? -infinite : infinite;
    }
    TILE(groups)(t, kept, g / 2, at, core);
}

/* ---- a series ---------------------------------------------------------- */

/* Rows become columns: each turn shuffles both halves of the rows into one another. */
#define PAIR(i)                                                                                    \
    next[2 * i] = LOWS(v[i], v[i + LANES / 2]);                                                    \
    next[2 * i + 1] = HIGHS(v[i], v[i + LANES / 2]);
#define BACK(i)      v[i] = next[i];
#define TURN         HALF_DO(PAIR) LANES_DO(BACK)
#define LOAD_ROW(i)  memcpy(&v[i], x + i * span + at, sizeof *v);
#define STORE_ROW(i) memcpy(out + i * span + at, &v[i], sizeof *v);

/* to[i] becomes x[i], x[i + span], ...; up to LANES - 1 more than n of them. */
TARGET static void TILE(spread)(const T *x, size_t span, size_t n, VALUES *all)
{
    for (size_t at = 0; at < n; at += LANES) {
        VALUES v[LANES], next[LANES], *to = all + at;
        LANES_DO(LOAD_ROW) TURNS LANES_DO(STORE)
    }
}

TARGET static void TILE(join)(const VALUES *all, size_t span, T *out)
{
    size_t at = 0;
    for (; at + LANES <= span; at += LANES) {
        const VALUES *from = all + at;
        VALUES v[LANES], next[LANES];
        LANES_DO(LOAD) TURNS LANES_DO(STORE_ROW)
    }
    for (; at < span; at++)
        for (size_t lane = 0; lane < LANES; lane++)
            out[lane * span + at] = all[at][lane];
}

TARGET static void TILE(tiles)(const struct order_tiles *t, const T *x, size_t g, size_t span,
                               T *out)
{
    TILE(spread)(x, span, span + t->window - 1, t->x);
    for (size_t at = 0; at < span; at += g)
        TILE(whole_group)(t, g, at);
    TILE(join)(t->out, span, out);
}

#undef VALUES
#undef SHUFFLE
#undef LOWS
#undef HIGHS
#undef LANES_DO
#undef HALF_DO
#undef TURNS
#undef CHOOSE
#undef HOLD
#undef PAIR
#undef BACK
#undef TURN
#undef LOAD_ROW
#undef STORE_ROW
#include "kernels/rolling_order_networks_end.h"
#undef T
#undef LANES
#undef TILE
#undef LESSER
#undef GREATER
