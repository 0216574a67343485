/* rolling_direct_avx512.h -- full windows of float32, where there is AVX-512. */
#pragma once

#include "kernels/rolling_direct.h"

/* The results of as many windows as whole groups of 16 hold; returns how many.  Not for z-scores.
 * A value that is not finite makes s->first NaN. */
size_t rolling_slide_pairs(struct rolling_slide *s, const float *x, size_t n, float *out);
