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
 * Pure; any thread.  The widest vectors that the processor has are used:
 * AVX-512, AVX2, or 128 bits (SSE2, NEON).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* 1 <= window, 1 <= min_periods <= window; out has room for n and is not x. */
void moving_average_f64(const double *x, size_t n, size_t window, size_t min_periods, double *out);
void moving_average_f32(const float *x, size_t n, size_t window, size_t min_periods, float *out);

/* ORDER kernel_isa */
enum kernel_isa { KERNEL_SCALAR, KERNEL_VECTOR128, KERNEL_AVX2, KERNEL_AVX512, KERNEL_ISAS };

const char *kernel_isa_name(enum kernel_isa isa);
enum kernel_isa kernel_isa(void); /* the one in use */
/* For tests and benchmarks, before other threads run: false when this processor lacks it. */
bool kernel_isa_use(enum kernel_isa isa);
