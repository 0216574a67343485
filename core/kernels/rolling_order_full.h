/* rolling_order_full.h -- inner loops for full windows without NaN, once for each set of vector
 * instructions.
 *
 * The second half of rolling_order_isa.h, which includes it with the same words defined.
 */

/* ---- a stretch of the series in each lane ------------------------------ */

#define T             float
#define LANES         (BYTES / 4)
#define TILE(word)    NAME(word##_f32)
#define LESSER(a, b)  LESSER_F32(a, b)
#define GREATER(a, b) GREATER_F32(a, b)
#include "kernels/rolling_order_tiles.h"
#define T             double
#define LANES         (BYTES / 8)
#define TILE(word)    NAME(word##_f64)
#define LESSER(a, b)  LESSER_F64(a, b)
#define GREATER(a, b) GREATER_F64(a, b)
#include "kernels/rolling_order_tiles.h"

/* ---- 64 ranks about the k-th ------------------------------------------- */

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
