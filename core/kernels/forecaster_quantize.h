/* forecaster_quantize.h -- a model file with fewer bits for each weight, and what that costs. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "kernels/forecaster.h"

/* Appends the same model with its matrices as bfloat16 (to the nearest, ties to even), or as int8
 * with a float32 scale for each row (the row's largest magnitude is 127).  Biases, residuals and
 * metadata stay.  False with *err: it is no model file, or has such matrices already. */
bool forecaster_quantize(struct str bytes, enum forecaster_weights to, struct buf *out,
                         struct err *err);

/* How far the medians and other quantiles of b are from those of a, in deviations of each window.
 */
struct forecaster_difference {
    int windows;
    double mean, most;
};

/* Windows of the series, evenly spread, 256 at most; a and b are two of the same shape.  An empty
 * series stands for one that is made up: a daily and a weekly wave, a drift, noise. */
struct forecaster_difference forecaster_compare(const struct forecaster *a,
                                                const struct forecaster *b,
                                                struct forecaster_series series);
