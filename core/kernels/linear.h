/* linear.h -- a dense layer over float32: W x + b for rows of x, as torch.nn.Linear defines it.
 *
 * Sums are float32, in the order of x; the weights are packed once for the vector instructions in
 * use (isa.h) and then read only.
 */
#pragma once

struct linear;

/* weights: [rows][columns]; bias: [rows] or NULL.  Both are copied; free with linear_free(). */
struct linear *linear_new(int rows, int columns, const float *weights, const float *bias);
void linear_free(struct linear *layer);
int linear_stride(const struct linear *layer); /* floats from one answer to the next; >= rows */
/* For each of x[batch], `columns` values, an answer in out[batch][stride].  No allocation. */
void linear_run(const struct linear *layer, int batch, const float *const *x, float *out);
