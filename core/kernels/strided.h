/* strided.h -- values into an array of doubles and back, converted on the way.
 *
 * Strides count elements and may be negative.  Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* to[i] = x[i * stride]; true when all n are finite. */
bool strided_take_f64(const double *x, ptrdiff_t stride, size_t n, double *to);
bool strided_take_f32(const float *x, ptrdiff_t stride, size_t n, double *to);

/* out[i * stride] = from[i], rounded. */
void strided_give_f64(const double *from, size_t n, double *out, ptrdiff_t stride);
void strided_give_f32(const double *from, size_t n, float *out, ptrdiff_t stride);
