/* holt_winters.h -- triple exponential smoothing of a stream, and its forecasts.
 *
 * The recurrences of Winters 1960 ("Forecasting sales by exponentially weighted moving averages"),
 * as R's HoltWinters has them; m is the period, and multiplicative ones in brackets:
 *
 *   level    l[t] = alpha (y[t] - s[t-m])  [y[t] / s[t-m]]  + (1 - alpha) (l[t-1] + b[t-1])
 *   trend    b[t] = beta (l[t] - l[t-1]) + (1 - beta) b[t-1]
 *   season   s[t] = gamma (y[t] - l[t])    [y[t] / l[t]]    + (1 - gamma) s[t-m]
 *   forecast of t + h: l[t] + h b[t]  plus [times]  the season's last s at that place
 *
 * They begin behind the first two periods: the trend is the difference of the means of both over m,
 * level and trend lie on the line through these means, and the seasons are the mean distances from
 * [ratios to] that line.  A missing value (NaN) is taken to be what was forecast; in the first two
 * periods it is left out.  Without seasons this is Holt's linear method, begun by two values.
 *
 * Double precision; a step's rounding is a few 2^-53 of the largest of y, l, b and s, and is damped
 * by later steps as the values are.  One state is one thread's at a time; nothing is allocated by a
 * push.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum holt_winters_seasonal {
    HOLT_WINTERS_NONE,
    HOLT_WINTERS_ADDITIVE,
    HOLT_WINTERS_MULTIPLICATIVE
};

struct holt_winters_options {
    enum holt_winters_seasonal seasonal;
    size_t period;             /* >= 2, 1 for none */
    double alpha, beta, gamma; /* 0 .. 1; gamma is not used without seasons */
};

struct holt_winters;

/* The caller frees it.  About 24 bytes for each place of the period. */
struct holt_winters *holt_winters_new(const struct holt_winters_options *options);
void holt_winters_free(struct holt_winters *s); /* NULL is fine */

/* Back to the beginning of a stream. */
void holt_winters_reset(struct holt_winters *s);

/* The next n values of the stream, x[0], x[stride], ...; fitted[k * out_stride] is what was
 * forecast for it before it was known, NaN in the first two periods.  fitted may be NULL.  Returns
 * how many values were taken: n, or the index of the first that is refused, and not taken: an
 * infinity, with multiplicative seasons also one that is not above 0. */
size_t holt_winters_push_f64(struct holt_winters *s, const double *x, ptrdiff_t stride, size_t n,
                             double *fitted, ptrdiff_t out_stride);
size_t holt_winters_push_f32(struct holt_winters *s, const float *x, ptrdiff_t stride, size_t n,
                             float *fitted, ptrdiff_t out_stride);

/* The next `horizon` values.  False when the stream has not begun yet: fewer than two periods, or
 * one of them without any value, or multiplicative seasons about a line that is not above 0. */
bool holt_winters_forecast(const struct holt_winters *s, size_t horizon, double *out);

/* Of the last value; NaN before the stream has begun. */
double holt_winters_level(const struct holt_winters *s);
double holt_winters_trend(const struct holt_winters *s);
