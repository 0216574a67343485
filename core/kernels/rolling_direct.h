/* rolling_direct.h -- sums of full windows straight from one array into another.
 *
 * For series without missing values and kinds without weights; what it meets that it cannot do is
 * told, and is the work of rolling_sums.c.  Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "kernels/rolling_sums.h"

enum rolling_slides { ROLLING_FIRSTS, ROLLING_VARIANCES, ROLLING_DEVIATIONS, ROLLING_ZSCORES };

/* Sums over one window, of y = x - center, and what they are for. */
struct rolling_slide {
    enum rolling_slides what;
    size_t window;
    double share; /* what a sum becomes a result by; with squares 1 / window */
    double spare; /* 1 / (window - ddof), or NaN */
    double center, first, second;
    double low, high; /* least squares about the mean, greatest `second`, since they were begun */
};

/* False for a kind that it cannot do. */
bool rolling_slide_for(struct rolling_slide *s, const struct rolling_sums_options *o);

/* The sums of the window that ends before x[0]. */
void rolling_slide_begin_f64(struct rolling_slide *s, const double *x);
void rolling_slide_begin_f32(struct rolling_slide *s, const float *x);

/* out[i] is the result of the window that ends with x[i].  False when a value was not finite, or
 * the sums of squares have become too coarse: then out is to be written anew. */
bool rolling_slide_run_f64(struct rolling_slide *s, const double *x, size_t n, double *out);
bool rolling_slide_run_f32(struct rolling_slide *s, const float *x, size_t n, float *out);

/* One step, and what its window comes to. */
double rolling_slide_one(struct rolling_slide *s, double in, double gone);
