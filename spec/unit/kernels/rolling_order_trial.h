/* rolling_order_trial.h -- what the tests of kernels/rolling_order.h share: numbers by chance, the
 * quantile by definition, and how many results of a stream are wrong. */
#pragma once

#include <math.h>
#include <stddef.h>

#include "base/mem.h"
#include "kernels/rolling_order.h"

static unsigned state = 1;

static unsigned draw(unsigned most)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % most;
}

/* Of c values in ascending order. */
static double quantile(const double *sorted, size_t c, double q)
{
    double place = q * (double)(c - 1);
    size_t k = (size_t)place;
    double fraction = place - (double)k;
    if (fraction == 0 || sorted[k] == sorted[k + 1])
        return sorted[k];
    if (fraction == 0.5)
        return (sorted[k] + sorted[k + 1]) / 2;
    return sorted[k] + (sorted[k + 1] - sorted[k]) * fraction;
}

static bool same(double got, double want)
{
    return isnan(want) ? isnan(got) : got == want;
}

/* How many values come next of a stream of n that is cut into batches of `batch` at most (0: not
 * at all). */
static size_t draw_batch(size_t batch, size_t left)
{
    size_t more = batch ? 1 + draw((unsigned)batch) : left;
    return more < left ? more : left;
}

/* Results go where the values were. */
static size_t wrong_f64(struct rolling_orders *s, const double *x, size_t n, size_t batch,
                        size_t step, const double *want)
{
    size_t wrong = 0;
    double *in = mem_zero(n * step + 1, sizeof *in);
    for (size_t i = 0; i < n; i++)
        in[i * step] = x[i];
    rolling_order_reset(s);
    for (size_t done = 0, more; done < n; done += more) {
        more = draw_batch(batch, n - done);
        rolling_order_push_f64(s, in + done * step, (ptrdiff_t)step, more, in + done * step,
                               (ptrdiff_t)step);
    }
    for (size_t i = 0; i < n; i++)
        wrong += !same(in[i * step], want[i]);
    mem_free(in);
    return wrong;
}

static size_t wrong_f32(struct rolling_orders *s, const double *x, size_t n, size_t batch,
                        size_t step, const double *want)
{
    size_t wrong = 0;
    float *in = mem_zero(n * step + 1, sizeof *in), *out = mem_zero(n + 1, sizeof *out);
    for (size_t i = 0; i < n; i++)
        in[i * step] = (float)x[i];
    rolling_order_reset(s);
    for (size_t done = 0, more; done < n; done += more) {
        more = draw_batch(batch, n - done);
        rolling_order_push_f32(s, in + done * step, (ptrdiff_t)step, more, out + done, 1);
    }
    for (size_t i = 0; i < n; i++)
        wrong += !same((double)out[i], (double)(float)want[i]);
    mem_free(in);
    mem_free(out);
    return wrong;
}
