/* rolling_sums_isa.h -- the inner loops of rolling_sums.c, once for each vector width.
 *
 * Included with what lanes.h wants and SQRT(vector) defined.  What
 * goes in and out of the window at LANES places becomes its running sum by shifted additions; only
 * one addition a group depends on the group before.
 */

#include "kernels/lanes.h"

/* What the sums of a window come to. */
TARGET static inline __attribute__((always_inline)) V
NAME(result)(const struct rolling_sums *s, V x, V first, V squares, V weighted, V share, V spare)
{
    const V zero = {0}, none = zero + (double)NAN;
    switch (s->options.kind) {
    case ROLLING_MEAN:
        return first * share;
    case ROLLING_VARIANCE:
        return squares * spare;
    case ROLLING_DEVIATION:
        return SQRT(squares * spare);
    case ROLLING_ZSCORE: {
        V variance = squares * spare;
        V z = LESS(x - s->moments.center, first, share) / SQRT(variance);
        return SELECT(variance > zero, z, none);
    }
    case ROLLING_WEIGHTED:
        return weighted + s->moments.center;
    case ROLLING_SUM:
    case ROLLING_SUM_KINDS:
        break;
    }
    return first;
}

TARGET static inline __attribute__((always_inline)) void
NAME(walk_as)(struct rolling_sums *s, size_t from, size_t to, double *out, struct rolling_raw *raw,
              enum rolling_second second, bool counted)
{
    struct rolling_moments *m = &s->moments;
    const double window = (double)s->options.window, ddof = s->options.ddof;
    const double *oldest = s->values, *newest = s->values + s->options.window;
    const V zero = {0}, none = zero + (double)NAN, one = zero + 1.0;
    const V center = zero + m->center, least = zero + (double)s->options.min_periods;
    V first = zero + m->first, seconds = zero + m->second, count = zero + m->count;
    V places = zero + m->places, low = zero + (double)INFINITY, high = zero, place, last;
    V share = zero + 1.0 / window, spare = zero + (window > ddof ? 1.0 / (window - ddof) : NAN);
    V scale = zero + 2.0 / (window * (window + 1)), held = zero + window, squares = zero;
    V weighted = zero;
    memcpy(&place, rolling_places, sizeof place);
    place += (double)from;
    for (size_t k = from; k < to; k += LANES) {
        V x, in, gone, came = one, left = one;
        memcpy(&x, newest + k, sizeof x);
        memcpy(&gone, oldest + k, sizeof gone);
        in = x;
        if (counted) {
            came = SELECT(in - in == zero, one, zero);
            left = SELECT(gone - gone == zero, one, zero);
            in = SELECT(came == one, in, center);
            gone = SELECT(left == one, gone, center);
        }
        V d = in - gone, e = zero;
        if (second == ROLLING_SQUARES)
            e = d * ((gone - center) * 2.0 + d);
        if (second == ROLLING_RAMP)
            e = place * d + window * (in - center);
        SCAN(d, zero, last);
        d += first;
        first += last;
        if (second != ROLLING_NO_SECOND) {
            SCAN(e, zero, last);
            e += seconds;
            seconds += last;
        }
        if (counted) {
            V n = came - left, q = place * n + window * came;
            SCAN(n, zero, last);
            held = n + count;
            count += last;
            share = one / held;
            if (second == ROLLING_SQUARES)
                spare = SELECT(held > ddof, one / (held - ddof), none);
            if (second == ROLLING_RAMP) {
                SCAN(q, zero, last);
                q += places;
                places += last;
                scale = one / (q - place * held);
            }
        }
        if (second == ROLLING_SQUARES) {
            squares = LESS(e, d * d, share);
            low = LESSER(counted ? SELECT(held > one, squares, low) : squares, low);
            high = GREATER(e, high);
            squares = GREATER(zero, squares);
        }
        if (second == ROLLING_RAMP)
            weighted = (e - place * d) * scale;
        V result = NAME(result)(s, x, d, squares, weighted, share, spare);
        if (counted)
            result = SELECT(held >= least, result, none);
        memcpy(out + (k - from), &result, sizeof result);
        place += (double)LANES;
        if (raw) {
            memcpy(raw->first + (k - from), &d, sizeof d);
            memcpy(raw->second + (k - from), &e, sizeof e);
            memcpy(raw->count + (k - from), &held, sizeof held);
        }
    }
    m->first = LANE(first, 0);
    m->second = LANE(seconds, 0);
    m->count = counted ? LANE(count, 0) : window;
    m->places = counted ? LANE(places, 0) : window * (double)to + window * (window - 1) / 2;
    s->low = INFINITY;
    s->high = 0;
    for (size_t i = 0; i < LANES; i++) {
        s->low = fmin(s->low, LANE(low, i));
        s->high = fmax(s->high, LANE(high, i));
    }
}

TARGET static void NAME(walk)(struct rolling_sums *s, size_t from, size_t to, double *out,
                              bool counted, struct rolling_raw *raw)
{
    enum rolling_second second = rolling_second(s->options.kind);
    if (second == ROLLING_SQUARES && counted)
        NAME(walk_as)(s, from, to, out, raw, ROLLING_SQUARES, true);
    else if (second == ROLLING_SQUARES)
        NAME(walk_as)(s, from, to, out, raw, ROLLING_SQUARES, false);
    else if (second == ROLLING_RAMP && counted)
        NAME(walk_as)(s, from, to, out, raw, ROLLING_RAMP, true);
    else if (second == ROLLING_RAMP)
        NAME(walk_as)(s, from, to, out, raw, ROLLING_RAMP, false);
    else if (counted)
        NAME(walk_as)(s, from, to, out, raw, ROLLING_NO_SECOND, true);
    else
        NAME(walk_as)(s, from, to, out, raw, ROLLING_NO_SECOND, false);
}

TARGET static void NAME(gather)(const double *x, size_t n, double at, enum rolling_sum kind,
                                struct rolling_moments *to)
{
    const bool ramp = rolling_second(kind) == ROLLING_RAMP;
    const V zero = {0}, one = zero + 1.0, center = zero + to->center;
    V first = zero, seconds = zero, count = zero, places = zero, place;
    memcpy(&place, rolling_places, sizeof place);
    place += at;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        V v;
        memcpy(&v, x + i, sizeof v);
        V there = SELECT(v - v == zero, one, zero);
        v = SELECT(there == one, v - center, zero);
        first += v;
        seconds += v * (ramp ? place : v);
        count += there;
        places += there * place;
        place += (double)LANES;
    }
    to->first = TOTAL(first);
    to->second = TOTAL(seconds);
    to->count = TOTAL(count);
    to->places = TOTAL(places);
    for (; i < n; i++) {
        double v = x[i], spot = at + (double)i;
        if (!isfinite(v))
            continue;
        v -= to->center;
        to->first += v;
        to->second += v * (ramp ? spot : v);
        to->count += 1;
        to->places += spot;
    }
}

#undef SQRT
#include "kernels/lanes_end.h"
