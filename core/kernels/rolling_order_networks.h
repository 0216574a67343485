/* rolling_order_networks.h -- vectors put in order, each lane by itself.
 *
 * Included by rolling_order_tiles.h, with what that defines.
 *
 * Few vectors are in registers from the first comparison to the last: every one is written out, for
 * the compiler keeps no array in registers through a loop, not even an unrolled one (with loops,
 * windows of 20 to 512 took 1.6 to 2.3 times as long).
 */

/* The lesser into v[i], the greater into v[j]. */
#define O(i, j)                                                                                    \
    do {                                                                                           \
        VALUES lesser_ = LESSER(v[i], v[j]);                                                       \
        v[j] = GREATER(v[i], v[j]);                                                                \
        v[i] = lesser_;                                                                            \
    } while (0);

#define TIMES_1(what) what(0)
#define TIMES_2(what) TIMES_1(what) what(1)
#define TIMES_4(what) TIMES_2(what) what(2) what(3)
#define TIMES_8(what) TIMES_4(what) what(4) what(5) what(6) what(7)
#define TIMES_16(what)                                                                             \
    TIMES_8(what) what(8) what(9) what(10) what(11) what(12) what(13) what(14) what(15)

/* clang-format off */

/* Of v[a] and those behind it, which rise and fall but once, seen as a ring (Batcher, "Sorting
 * networks and their applications", 1968). */
#define MERGE_1(a)
#define MERGE_2(a) O(a, a + 1)
#define MERGE_4(a) O(a, a + 2) O(a + 1, a + 3) MERGE_2(a) MERGE_2(a + 2)
#define MERGE_8(a)                                                                                 \
    O(a, a + 4) O(a + 1, a + 5) O(a + 2, a + 6) O(a + 3, a + 7) MERGE_4(a) MERGE_4(a + 4)
#define MERGE_16(a)                                                                                \
    O(a, a + 8) O(a + 1, a + 9) O(a + 2, a + 10) O(a + 3, a + 11) O(a + 4, a + 12)                 \
    O(a + 5, a + 13) O(a + 6, a + 14) O(a + 7, a + 15) MERGE_8(a) MERGE_8(a + 8)

/* All, by the fewest comparisons known (Knuth, "The art of computer programming", volume 3,
 * 5.3.4). */
#define SORT_1
#define SORT_2 O(0, 1)
#define SORT_4 O(0, 1) O(2, 3) O(0, 2) O(1, 3) O(1, 2)
#define SORT_8                                                                                     \
    O(0, 2) O(1, 3) O(4, 6) O(5, 7) O(0, 4) O(1, 5) O(2, 6) O(3, 7) O(0, 1) O(2, 3) O(4, 5)        \
    O(6, 7) O(2, 4) O(3, 5) O(1, 4) O(3, 6) O(1, 2) O(3, 4) O(5, 6)
#define SORT_16                                                                                    \
    O(0, 13) O(1, 12) O(2, 15) O(3, 14) O(4, 8) O(5, 6) O(7, 11) O(9, 10) O(0, 5) O(1, 7) O(2, 9)  \
    O(3, 4) O(6, 13) O(8, 14) O(10, 15) O(11, 12) O(0, 1) O(2, 3) O(4, 5) O(6, 8) O(7, 9)          \
    O(10, 11) O(12, 13) O(14, 15) O(0, 2) O(1, 3) O(4, 10) O(5, 11) O(6, 7) O(8, 9) O(12, 14)      \
    O(13, 15) O(1, 2) O(3, 12) O(4, 6) O(5, 7) O(8, 10) O(9, 11) O(13, 14) O(1, 4) O(2, 6)         \
    O(5, 8) O(7, 10) O(9, 13) O(11, 14) O(2, 4) O(3, 6) O(9, 12) O(11, 13) O(3, 5) O(6, 8)         \
    O(7, 9) O(10, 12) O(3, 4) O(5, 6) O(7, 8) O(9, 10) O(11, 12) O(6, 7) O(8, 9)

/* clang-format on */

#define LOAD(i)  v[i] = from[i];
#define STORE(i) to[i] = v[i];
#define FEW(word, n, network)                                                                      \
    TARGET static __attribute__((noinline)) void TILE(word##_##n)(const VALUES *from, VALUES *to)  \
    {                                                                                              \
        VALUES v[n];                                                                               \
        TIMES_##n(LOAD) network TIMES_##n(STORE)                                                   \
    }
FEW(merge, 16, MERGE_16(0))
FEW(sort, 2, SORT_2)
FEW(sort, 4, SORT_4)
FEW(sort, 8, SORT_8)
FEW(sort, 16, SORT_16)
#undef FEW

/* n: a power of two from 16 on. */
TARGET static void TILE(merge)(VALUES *values, size_t n)
{
    size_t part = n / 4;
    if (n == 16) {
        TILE(merge_16)(values, values);
        return;
    }
    for (size_t i = 0; i < part; i++) {
        VALUES v[] = {values[i], values[i + part], values[i + 2 * part], values[i + 3 * part]};
        O(0, 2)
        O(1, 3)
        if (n > 32) { /* two steps at once: half the loads and stores */
            O(0, 1)
            O(2, 3)
        }
        values[i] = v[0];
        values[i + part] = v[1];
        values[i + 2 * part] = v[2];
        values[i + 3 * part] = v[3];
    }
    part = n == 32 ? 16 : part;
    for (size_t i = 0; i < n; i += part)
        TILE(merge)(values + i, part);
}

/* The lower half, in order, and the upper half, in order, become such as are merged each by
 * itself. */
TARGET static void TILE(fold)(VALUES *values, size_t n)
{
    const size_t half = n / 2;
    for (size_t i = 0; i < half / 2; i++) {
        VALUES v[] = {values[i], values[half - 1 - i], values[half + i], values[n - 1 - i]};
        O(0, 3)
        O(1, 2)
        values[i] = v[0];
        values[half - 1 - i] = v[1];
        values[half + i] = v[2];
        values[n - 1 - i] = v[3];
    }
}

/* n, a power of two, from `from` (which may be `to`).  The first `held` are there, others are
 * infinite, also in `to`. */
TARGET static void TILE(sort)(const VALUES *from, VALUES *to, size_t n, size_t held)
{
    const size_t half = n / 2;
    if (n == 1) {
        *to = *from;
    } else if (n == 2) {
        TILE(sort_2)(from, to);
    } else if (n == 4) {
        TILE(sort_4)(from, to);
    } else if (n == 8) {
        TILE(sort_8)(from, to);
    } else if (n == 16) {
        TILE(sort_16)(from, to);
    } else {
        TILE(sort)(from, to, half, held);
        if (held <= half)
            return;
        TILE(sort)(from + half, to + half, half, held - half);
        TILE(fold)(to, n);
        TILE(merge)(to, half);
        TILE(merge)(to + half, half);
    }
}
