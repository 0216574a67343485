/* running_averages.h -- averages of all values of a stream so far: exponential and cumulative.
 *
 * Values that are not finite are missing.  A state is a plain struct that nobody needs to free;
 * begin it, then push batches: how a stream is cut into them changes no bit of the results (for one
 * choice of vector instructions, isa.h).  Strides count elements; out may be x when their strides
 * are the same.  One state is one thread's at a time; nothing is allocated.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { RUNNING_GROUP = 8 };

/* Exponentially weighted mean, as pandas' ewm(alpha, min_periods, adjust, ignore_na).mean() says
 * it: adjust:   sum (1 - alpha)^k x[i - k] / sum (1 - alpha)^k else:     y[0] = x[0], y[i] = (1 -
 * alpha) y[i - 1] + alpha x[i] A missing value repeats the average before it; those before it have
 * aged by one then, too, unless ignore_missing.  NaN until min_periods values have come.  From a
 * span alpha is 2 / (span + 1), from a half-life 1 - 2^(-1 / halflife).
 *
 * Error: at most 16 (1 + 1 / alpha) 2^-53 max|x|, however long the stream; float32 results are
 * rounded once more. */
struct exponential_options {
    double alpha;       /* 0 < alpha <= 1 */
    size_t min_periods; /* >= 1 */
    bool adjust, ignore_missing;
};

struct exponential_average {
    struct exponential_options options;
    double powers[RUNNING_GROUP],
        powers_sum[RUNNING_GROUP]; /* (1 - alpha)^(1..), their sums from ^0 */
    double above, below, average;  /* weighted sum, sum of weights, what they come to */
    size_t count;                  /* of values; stops at min_periods */
    size_t held;                   /* values since the last full group */
    double last[RUNNING_GROUP];
};

void exponential_begin(struct exponential_average *s, const struct exponential_options *options);
void exponential_push_f64(struct exponential_average *s, const double *x, ptrdiff_t stride,
                          size_t n, double *out, ptrdiff_t out_stride);
void exponential_push_f32(struct exponential_average *s, const float *x, ptrdiff_t stride, size_t n,
                          float *out, ptrdiff_t out_stride);

/* Mean of all values so far, missing ones left out, or, with skip_missing off, NaN from the first
 * of them on; NaN until min_periods values have come.
 *
 * The sum of the groups is compensated (Knuth, TAOCP 2, 4.2.2, theorem B).  Error: at most
 * 16 * 2^-53 max|x| for streams of up to 2^48 values; float32 results are rounded once more. */
struct cumulative_options {
    size_t min_periods; /* >= 1 */
    bool skip_missing;
};

struct cumulative_mean {
    struct cumulative_options options;
    double sum, rest; /* of full groups; what rounding took from it */
    double count;
    bool spoilt; /* one is missing, and that matters */
    size_t held;
    double last[RUNNING_GROUP];
};

void cumulative_begin(struct cumulative_mean *s, const struct cumulative_options *options);
void cumulative_push_f64(struct cumulative_mean *s, const double *x, ptrdiff_t stride, size_t n,
                         double *out, ptrdiff_t out_stride);
void cumulative_push_f32(struct cumulative_mean *s, const float *x, ptrdiff_t stride, size_t n,
                         float *out, ptrdiff_t out_stride);
