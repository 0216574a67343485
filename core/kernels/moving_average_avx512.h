/* moving_average_avx512.h -- full windows of float32, where there is AVX-512. */
#pragma once

#include <stddef.h>

/* out[i] is the mean of x[i - window + 1 .. i]; sum is that of the window before x[0].  Returns the
 * last sum, which is not finite if any value was not: then out is to be written anew. */
double moving_average_slide_avx512(const float *x, size_t n, size_t window, double sum, float *out);
