/* rolling_sums.h -- trailing sum, mean, variance, deviation, z-score and weighted mean of a stream.
 *
 * The window of x[i] is the last `window` values up to x[i]; before the stream begins there are
 * none. Each result is of the values of its window that are finite; it is NaN when there are fewer
 * than min_periods of them.  A NaN counts as missing, or, with skip_nan off, makes every result
 * whose window holds it NaN.  An infinity makes sums and means of its windows infinite (NaN when
 * both signs meet), the other results NaN, and no later ones.
 *
 *   variance   sum (x - mean)^2 / (count - ddof); NaN when count <= ddof
 *   deviation  its square root
 *   zscore     (x[i] - mean) / deviation; NaN where the deviation is 0
 *   weighted   sum k x / sum k, k = 1 for the oldest place of a full window .. window for x[i];
 *              a missing value takes its weight away
 *
 * Sums are moved from window to window: S += x[i] - x[i - window] (moving averages), the same for
 * squares (Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", their shifted
 * two-sum form) and for place * x (weighted).  All in double precision; each block of
 * B = max(window, 4096) values begins with sums of its own, so nothing drifts however long the
 * stream. With u = 2^-53, m the largest |x| of the block and the window before it, and d the
 * largest |x - c| there, c being a value of the window that the sums were begun with:
 *
 *   sum        (window + 2 B + 16) u window m
 *   mean       (window + 2 B + 16) u m
 *   variance   4 (window + 2 B + 16) u P / (count - ddof), P the largest sum of (x - c)^2 of a
 * window since the sums were begun; they are begun anew also where count * variance < P 2^-20,
 *              though not twice within window / 8 values
 *   weighted   8 (window + 2 B + 16) (1 + B / window) u d, and 2 u m
 *
 * float32 results are rounded once more.  The deviation has half the relative error of the
 * variance.
 *
 * Results do not depend on how a stream is cut into batches, to the last bit (for one choice of
 * vector instructions, isa.h).  One state is one thread's at a time; nothing is allocated by a
 * push.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* ORDER rolling_sum */
enum rolling_sum {
    ROLLING_SUM,
    ROLLING_MEAN,
    ROLLING_VARIANCE,
    ROLLING_DEVIATION,
    ROLLING_ZSCORE,
    ROLLING_WEIGHTED,
    ROLLING_SUM_KINDS
};

struct rolling_sums_options {
    enum rolling_sum kind;
    size_t window;      /* >= 1 */
    size_t min_periods; /* 1 .. window */
    double ddof;        /* >= 0, for variance, deviation and z-score; 1 is the sample's */
    bool skip_nan;
};

struct rolling_sums;

/* Allocated at once, about 8 * (window + max(window, 4096)) bytes; the caller frees it. */
struct rolling_sums *rolling_sums_new(const struct rolling_sums_options *options);
void rolling_sums_free(struct rolling_sums *s); /* NULL is fine */

/* Back to the beginning of a stream: for the next of many series. */
void rolling_sums_reset(struct rolling_sums *s);

/* The next n values of the stream, x[0], x[stride], ...; out[k * out_stride] is the result of
 * x[k * stride].  out may be x when their strides are the same.  Strides count elements. */
void rolling_sums_push_f64(struct rolling_sums *s, const double *x, ptrdiff_t stride, size_t n,
                           double *out, ptrdiff_t out_stride);
void rolling_sums_push_f32(struct rolling_sums *s, const float *x, ptrdiff_t stride, size_t n,
                           float *out, ptrdiff_t out_stride);
