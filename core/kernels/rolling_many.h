/* rolling_many.h -- the statistics of rolling_sums.h for many series at once.
 *
 * One lane of a vector has one series, so no sum is added up across lanes and a series costs no
 * beginning of its own: for tables of short series, in rows or in columns.  Where the values of one
 * instant lie side by side they are read where they are, in the order of memory; other tables go
 * through a small copy that is turned on its way.
 *
 * Results, and how far they may be off, are as rolling_sums.h says.  They depend neither on where
 * the values lie nor on the other series, to the last bit (for one choice of vector instructions,
 * isa.h).  Infinities, missing values with skip_nan off, windows whose sums of squares have become
 * too coarse, and weighted means are worked on one series after another.  Any thread.
 */
#pragma once

#include "kernels/rolling_sums.h"

/* How many elements there are from one series to the next, and from one of its values to the next;
 * either may be negative. */
struct rolling_steps {
    ptrdiff_t series, value;
};

/* `series` series of n values each; value k of series s is x[s * from.series + k * from.value], its
 * result goes to out[s * to.series + k * to.value].  out and x share no memory.  Allocates for as
 * long as it runs about 256 (window + 64) values. */
void rolling_many_f64(const struct rolling_sums_options *options, size_t series, size_t n,
                      const double *x, struct rolling_steps from, double *out,
                      struct rolling_steps to);
void rolling_many_f32(const struct rolling_sums_options *options, size_t series, size_t n,
                      const float *x, struct rolling_steps from, float *out,
                      struct rolling_steps to);
