/* rolling_many_isa.h -- the inner loops of rolling_many.c, once for each element type and vector
 * width.
 *
 * Included with what lanes.h wants, SQRT(vector) and T (float or double) defined.  Each lane is a
 * series.  All ways to a result round alike, counted or not and however many vectors go together.
 */
#include "kernels/lanes.h"

#define EACH         _Pragma("GCC unroll 4") for (size_t g = 0; g < groups; g++)
#define GET(v, from) EACH memcpy(&(v)[g], (from) + g * LANES, sizeof *(v))
#define PUT(to, v)   EACH memcpy((to) + g * LANES, &(v)[g], sizeof *(v))

TARGET static void NAME(begin)(struct rolling_many_sums *m, size_t lanes, size_t from, const T *x,
                               ptrdiff_t step)
{
    const V zero = {0}, one = zero + 1.0;
    const bool squares = rolling_second(m->options->kind) == ROLLING_SQUARES;
    const size_t window = m->options->window, held = from < window ? from : window;
    for (size_t lane = 0; lane < lanes; lane += LANES, x += LANES) {
        V center = zero, first = zero, second = zero, count = zero, v;
        for (size_t k = 0; squares && k < (held ? held : 1); k++) {
            LOAD(v, x + ((ptrdiff_t)k - (ptrdiff_t)held) * step);
            center = SELECT(v - v == zero, v, center);
        }
        for (size_t k = 0; k < held; k++) {
            LOAD(v, x + ((ptrdiff_t)k - (ptrdiff_t)held) * step);
            V there = SELECT(v - v == zero, one, zero);
            v = SELECT(there == one, v - center, zero);
            first += v;
            second += v * v;
            count += there;
        }
        memcpy(m->center + lane, &center, sizeof center);
        memcpy(m->first + lane, &first, sizeof first);
        memcpy(m->second + lane, &second, sizeof second);
        memcpy(m->count + lane, &count, sizeof count);
        second *= 0x1p-20;
        memcpy(m->peak + lane, &second, sizeof second);
    }
}

/* What the sums of squares come to. */
TARGET static inline __attribute__((always_inline)) V
NAME(of_squares)(enum rolling_sum kind, V x, V first, V squares, V share, V spare)
{
    const V zero = {0}, none = zero + (double)NAN;
    V variance = GREATER(zero, squares) * spare;
    if (kind == ROLLING_VARIANCE)
        return variance;
    if (kind == ROLLING_DEVIATION)
        return SQRT(variance);
    return SELECT(variance > zero, LESS(x, first, share) / SQRT(variance), none);
}

/* Some instants further on, as much of each. */
TARGET static inline __attribute__((always_inline)) void
NAME(fetch_ahead)(ptrdiff_t instants, const T *x, ptrdiff_t step, T *out, ptrdiff_t out_step,
                  size_t bytes)
{
    const uintptr_t in = (uintptr_t)x + (uintptr_t)(instants * step) * sizeof(T);
    const uintptr_t to = (uintptr_t)out + (uintptr_t)(instants * out_step) * sizeof(T);
    for (size_t k = 0; k < bytes; k += 64) {
        __builtin_prefetch((const char *)(in + k), 0, 2);
        __builtin_prefetch((const char *)(to + k), 1, 2);
    }
}

/* As much as instant i is: of this tile's results, and of the values of the next one. */
TARGET static inline __attribute__((always_inline)) void
NAME(fetch_next)(const struct rolling_many_fetch *f, size_t i)
{
    const size_t s = i % ROLLING_MANY_TURNED, k = i - s;
    if (i * sizeof(T) % 64 >= ROLLING_MANY_TURNED * sizeof(T))
        return;
    const uintptr_t at = s * (uintptr_t)f->step + k * sizeof(T);
    __builtin_prefetch((const char *)((uintptr_t)f->in + at), 0, 2);
    __builtin_prefetch((const char *)((uintptr_t)f->out + at), 1, 3);
}

/* `groups` vectors of series without missing values, whose windows are full, or grow. */
TARGET static inline __attribute__((always_inline)) V
NAME(walk_whole)(struct rolling_many_sums *m, size_t lane, size_t from, size_t to, const T *x,
                 ptrdiff_t step, T *out, ptrdiff_t out_step, bool squares, bool full,
                 const size_t groups)
{
    const struct rolling_sums_options o = *m->options;
    const V zero = {0}, none = zero + (double)NAN;
    const struct rolling_many_fetch fetch = m->fetch;
    const ptrdiff_t back = (ptrdiff_t)o.window * step;
    V center[4], first[4], second[4], peak[4], odd[4], share = zero, spare = none, sum = zero;
    GET(first, m->first + lane);
    if (squares) {
        GET(center, m->center + lane);
        GET(second, m->second + lane);
        GET(peak, m->peak + lane);
        GET(odd, m->odd + lane);
    }
    for (size_t i = from; i < to; i++, x += step, out += out_step) {
        const double held = full ? (double)o.window : (double)(i + 1);
        if (i == from || !full) {
            share = zero + (o.kind == ROLLING_SUM ? 1 : 1 / held);
            spare = zero + (held > o.ddof ? 1 / (held - o.ddof) : (double)NAN);
        }
        if (groups == 1 && fetch.in && lane == 0)
            NAME(fetch_next)(&fetch, i);
        if (groups > 1 && fetch.instants)
            NAME(fetch_ahead)
        (fetch.instants, x, step, out, out_step, groups * LANES * sizeof(T));
        EACH
        {
            V in, gone = squares ? center[g] : zero;
            LOAD(in, x + g * LANES);
            if (full)
                LOAD(gone, x + g * LANES - back);
            V d = in - gone, result;
            first[g] += d;
            if (squares) {
                second[g] += d * ((gone - center[g]) * 2.0 + d);
                V about = LESS(second[g], first[g] * first[g], share);
                peak[g] = GREATER(second[g] * 0x1p-20, peak[g]);
                if (full) /* one that grows holds its center, which keeps it from that */
                    odd[g] = GREATER(peak[g] - about, odd[g]);
                result = NAME(of_squares)(o.kind, in - center[g], first[g], about, share, spare);
            } else {
                result = first[g] * share;
            }
            if (!full && i + 1 < o.min_periods)
                result = none;
            STORE(out + g * LANES, result);
        }
    }
    PUT(m->first + lane, first);
    EACH sum += first[g] - first[g];
    if (squares) {
        PUT(m->second + lane, second);
        PUT(m->peak + lane, peak);
        PUT(m->odd + lane, odd);
        EACH sum += second[g] - second[g];
    }
    return sum;
}

/* One vector of series in which values may be missing.  A window that was empty takes the value
 * that comes as its center. */
TARGET static inline __attribute__((always_inline)) void
NAME(walk_counted)(struct rolling_many_sums *m, size_t lane, size_t from, size_t to, const T *x,
                   ptrdiff_t step, T *out, ptrdiff_t out_step, bool squares)
{
    const struct rolling_sums_options o = *m->options;
    const size_t groups = 1;
    const V zero = {0}, one = zero + 1.0, none = zero + (double)NAN;
    const V least = zero + (double)o.min_periods;
    V center[1], first[1], second[1], peak[1], odd[1], count[1];
    GET(center, m->center + lane);
    GET(first, m->first + lane);
    GET(second, m->second + lane);
    GET(peak, m->peak + lane);
    GET(odd, m->odd + lane);
    GET(count, m->count + lane);
    for (size_t i = from; i < to; i++, x += step, out += out_step) {
        V raw, in, gone = none, result;
        LOAD(raw, x);
        if (i >= o.window)
            LOAD(gone, x - (ptrdiff_t)o.window * step);
        V came = SELECT(raw - raw == zero, one, zero),
          left = SELECT(gone - gone == zero, one, zero);
        *odd = SELECT((raw == raw) & (came == zero), one, *odd);
        *first = SELECT(*count == zero, zero, *first);
        if (squares) {
            *second = SELECT(*count == zero, zero, *second);
            *center = SELECT((*count == zero) & (came == one), raw, *center);
        }
        *count += came - left;
        in = SELECT(came == one, raw, *center);
        gone = SELECT(left == one, gone, *center);
        V d = in - gone, inverse = one / *count;
        *first += d;
        if (squares) {
            *second += d * ((gone - *center) * 2.0 + d);
            V about = LESS(*second, *first * *first, inverse);
            V spare = SELECT(*count > o.ddof, one / (*count - o.ddof), none);
            *peak = GREATER(*second * 0x1p-20, *peak);
            *odd = SELECT((*count > one) & (*count >= least), GREATER(*peak - about, *odd), *odd);
            result = NAME(of_squares)(o.kind, raw - *center, *first, about, inverse, spare);
        } else {
            result = o.kind == ROLLING_SUM ? *first : *first * inverse;
        }
        result = SELECT(*count >= least, result, none);
        STORE(out, result);
    }
    PUT(m->center + lane, center);
    PUT(m->first + lane, first);
    PUT(m->second + lane, second);
    PUT(m->peak + lane, peak);
    PUT(m->odd + lane, odd);
    PUT(m->count + lane, count);
}

/* All whole runs of `groups` vectors from `at` on. */
#define RUNS(walk, groups, ...)                                                                    \
    for (; at + (groups)*LANES <= lanes; at += (groups)*LANES)                                     \
    walk(m, at, from, to, x + at, step, out + at, out_step, __VA_ARGS__)

TARGET static bool NAME(walk)(struct rolling_many_sums *m, size_t lanes, size_t from, size_t to,
                              const T *x, ptrdiff_t step, T *out, ptrdiff_t out_step, bool counted)
{
    const bool squares = rolling_second(m->options->kind) == ROLLING_SQUARES;
    const bool full = from >= m->options->window;
    V sum = {0};
    size_t at = 0;
    if (counted && squares)
        RUNS(NAME(walk_counted), 1, true);
    else if (counted)
        RUNS(NAME(walk_counted), 1, false);
    if (full && squares)
        RUNS(sum += NAME(walk_whole), 4, true, true, 4);
    else if (full)
        RUNS(sum += NAME(walk_whole), 4, false, true, 4);
    if (full && squares)
        RUNS(sum += NAME(walk_whole), 1, true, true, 1);
    else if (full)
        RUNS(sum += NAME(walk_whole), 1, false, true, 1);
    else if (squares)
        RUNS(sum += NAME(walk_whole), 1, true, false, 1);
    else
        RUNS(sum += NAME(walk_whole), 1, false, false, 1);
    return TOTAL(sum) == 0;
}

#include "kernels/rolling_many_turn.h"

#undef EACH
#undef GET
#undef PUT
#undef RUNS
#undef T
#undef SQRT
#include "kernels/lanes_end.h"
