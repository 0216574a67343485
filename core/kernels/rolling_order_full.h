/* rolling_order_full.h -- inner loops for full windows without NaN, once for each set of vector
 * instructions.
 *
 * The second half of rolling_order_isa.h, which includes it with the same words defined.
 */

/* ---- short windows: sorted side by side -------------------------------- */

/* Results of n >= LANES windows that begin at x[0], x[1], ...: each lane sorts one of them by
 * insertion, as far as the value behind the k-th. */
#define SORTED(T, suffix, lesser, greater)                                                         \
    TARGET static void NAME(sorted_##suffix)(const T *x, size_t n, size_t window, size_t k,        \
                                             double fraction, T *out)                              \
    {                                                                                              \
        enum { LANES = BYTES / sizeof(T) };                                                        \
        NAME(values_##suffix) kept[ORDER_SORTED_MOST];                                             \
        const size_t keep = k + 2 < window ? k + 2 : window;                                       \
        const size_t after = k + 1 < window ? k + 1 : k;                                           \
        for (size_t at = 0; at < n; at += LANES) {                                                 \
            at = at + LANES <= n ? at : n - LANES;                                                 \
            for (size_t i = 0; i < window; i++) {                                                  \
                NAME(values_##suffix) value;                                                       \
                memcpy(&value, x + at + i, sizeof value);                                          \
                for (size_t j = 0; j < (i < keep ? i : keep); j++) {                               \
                    NAME(values_##suffix) other = kept[j];                                         \
                    kept[j] = lesser(other, value);                                                \
                    value = greater(other, value);                                                 \
                }                                                                                  \
                if (i < keep)                                                                      \
                    kept[i] = value;                                                               \
            }                                                                                      \
            for (int lane = 0; lane < LANES; lane++)                                               \
                out[at + (size_t)lane] =                                                           \
                    (T)order_between((double)kept[k][lane], (double)kept[after][lane], fraction);  \
        }                                                                                          \
    }
SORTED(float, f32, LESSER_F32, GREATER_F32)
SORTED(double, f64, LESSER_F64, GREATER_F64)
#undef SORTED

/* ---- longer ones: 64 ranks about the k-th ------------------------------ */

/* Moves the 64 ranks so that the k-th value of the window is in their middle. */
TARGET static void NAME(settle)(struct order_near *near, const uint8_t *member, size_t k)
{
    uint64_t bits;
    while (k < near->below) {
        size_t step = near->base < 64 ? near->base : 64;
        near->base -= step;
        bits = GATHER(member + near->base);
        bits &= step < 64 ? (1ULL << step) - 1 : ~0ULL;
        near->below -= (size_t)__builtin_popcountll(bits);
    }
    for (;;) {
        bits = GATHER(member + near->base);
        size_t here = (size_t)__builtin_popcountll(bits);
        if (k - near->below < here)
            break;
        near->below += here;
        near->base += 64;
    }
    size_t rank = near->base + SELECT(bits, k - near->below);
    near->base = rank > 32 ? rank - 32 : 0;
    near->bits = GATHER(member + near->base);
    bits = near->bits & ((1ULL << (rank - near->base)) - 1);
    near->below = k - (size_t)__builtin_popcountll(bits);
}

/* The k-th, and the one behind it, by the ranks' bytes: where the 64 do not have both. */
TARGET static double NAME(settled)(struct order_slide *s, struct order_near *near, size_t k,
                                   double fraction)
{
    NAME(settle)(near, s->member, k);
    size_t rank = near->base + SELECT(near->bits, k - near->below), behind = rank;
    if (fraction > 0)
        while (!s->member[++behind])
            ;
    return order_between(s->sorted[rank], s->sorted[behind], fraction);
}

TARGET static void NAME(slide_full)(struct order_slide *s, size_t from, size_t to, double *out)
{
    const size_t window = s->how->window;
    double fraction;
    const size_t k = order_place(s->how->q, window, &fraction);
    const int64_t more = fraction > 0;
    const double *sorted = s->sorted;
    uint8_t *member = s->member;
    struct order_near near = s->near;
    for (size_t i = from; i < to; i++) {
        size_t rank = s->rank[i], old = s->rank[i - window];
        size_t in = rank - near.base, gone = old - near.base;
        member[old] = 0;
        member[rank] = 1;
        near.bits &= ~((uint64_t)(gone < 64) << (gone & 63));
        near.bits |= (uint64_t)(in < 64) << (in & 63);
        near.below += (size_t)(rank < near.base) - (size_t)(old < near.base);
        int64_t at = (int64_t)k - (int64_t)near.below;
        if (__builtin_expect(at < 0 || at + more >= __builtin_popcountll(near.bits), 0)) {
            out[i - from] = NAME(settled)(s, &near, k, fraction);
            continue;
        }
        double value = sorted[near.base + SELECT(near.bits, (size_t)at)];
        if (more)
            value = order_between(value, sorted[near.base + SELECT(near.bits, (size_t)at + 1)],
                                  fraction);
        out[i - from] = value;
    }
    s->near = near;
}
