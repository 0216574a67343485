/* rolling_order.h -- trailing least, greatest, median, quantile and median absolute deviation of a
 * stream.
 *
 * The window of x[i] is the last `window` values up to x[i]; before the stream begins there are
 * none.  Each result is of the values of its window that are not NaN, c of them; it is NaN when c
 * is below min_periods, or, with skip_nan off, when there is any NaN.
 *
 *   quantile  between the values at floor and ceil of q (c - 1) in ascending order, from 0, by the
 *             fraction (type 7 of Hyndman and Fan 1996, the default of numpy and pandas)
 *   median    the quantile of one half
 *   mad       the median of |x - median|, without a factor; NaN when the median is infinite
 *
 * Least and greatest are exact, and so is a quantile that falls on a value; one between two values
 * is rounded as a + (b - a) * fraction is in double precision (halfway as (a + b) / 2), and a
 * float32 result once more.
 *
 * Least and greatest of window w come of those of the powers of two below it: least of 2k values =
 * the lesser of the two leasts of k values beside each other.  Medians and quantiles of full
 * windows without NaN, of up to 2047 values, come of what groups of windows share, put in order by
 * vectors with a stretch of the series in each lane (rolling_order_tiles.h).  For the others a
 * block's values are ranked once; a window is then a set of bits, one for each rank, and the k-th
 * smallest value is the k-th bit, looked for from where it was before.  A batch of fewer than 64
 * values goes value by value into an array that is kept in order, which moves up to 8 * window
 * bytes for each.
 *
 * Results do not depend on how a stream is cut into batches.  One state is one thread's at a time;
 * nothing is allocated by a push.  Uses the widest vectors that the processor has (isa.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* ORDER rolling_order */
enum rolling_order {
    ROLLING_MIN,
    ROLLING_MAX,
    ROLLING_MEDIAN,
    ROLLING_QUANTILE,
    ROLLING_MAD,
    ROLLING_ORDER_KINDS
};

struct rolling_order_options {
    enum rolling_order kind;
    size_t window;      /* 1 .. 2^30 */
    size_t min_periods; /* 1 .. window */
    double q;           /* 0 .. 1, for the quantile */
    bool skip_nan;
};

struct rolling_orders;

/* How much memory the next function takes. */
size_t rolling_order_bytes(const struct rolling_order_options *options);
/* The caller frees it. */
struct rolling_orders *rolling_order_new(const struct rolling_order_options *options);
void rolling_order_free(struct rolling_orders *s); /* NULL is fine */

/* Back to the beginning of a stream: for the next of many series. */
void rolling_order_reset(struct rolling_orders *s);

/* The next n values of the stream, x[0], x[stride], ...; out[k * out_stride] is the result of
 * x[k * stride].  out may be x when their strides are the same.  Strides count elements.  One
 * stream is all float32 or all float64. */
void rolling_order_push_f64(struct rolling_orders *s, const double *x, ptrdiff_t stride, size_t n,
                            double *out, ptrdiff_t out_stride);
void rolling_order_push_f32(struct rolling_orders *s, const float *x, ptrdiff_t stride, size_t n,
                            float *out, ptrdiff_t out_stride);
