/* moving_average.h -- trailing simple moving average.
 *
 * out[i] is the mean of the values that are not NaN among the last `window`
 * ones up to x[i]; NaN when there are fewer than `min_periods` of them.  An
 * infinity makes the averages of its windows infinite (NaN when both signs
 * meet), and no later ones.
 *
 * Error: sums run in double precision and start anew every block of
 * max(window, 8192) elements, so an average is off by at most
 * (window + 2 * block + 16) * 2^-53 * max|x|, the maximum taken over its
 * block and the window before it; float32 results are rounded once more.
 *
 * Pure; any thread.  Uses the widest vectors that the processor has (isa.h).
 */
#pragma once

#include <stddef.h>

/* 1 <= window, 1 <= min_periods <= window; out has room for n and is not x. */
void moving_average_f64(const double *x, size_t n, size_t window, size_t min_periods, double *out);
void moving_average_f32(const float *x, size_t n, size_t window, size_t min_periods, float *out);
