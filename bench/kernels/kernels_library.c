/* kernels_library.c -- the kernels as Python's ctypes sees them, so that they run in one process with their peers.
 *
 * The `what` of statistic_f32 and _f64 is the place of a name in kernels_statistics(). */
#include <stdlib.h>

#include "base/mem.h"
#include "kernels/holt_winters.h"
#include "kernels/isa.h"
#include "kernels/moving_average.h"
#include "kernels/rolling_many.h"
#include "kernels/rolling_order.h"
#include "kernels/rolling_sums.h"
#include "kernels/running_averages.h"

/* ORDER statistic */
enum statistic {
    SIMPLE,
    SUM, /* as ORDER rolling_sum, from here */
    MEAN,
    VARIANCE,
    DEVIATION,
    ZSCORE,
    WEIGHTED,
    MIN, /* as ORDER rolling_order, from here */
    MAX,
    MEDIAN,
    QUANTILE,
    MAD,
    EXPONENTIAL,
    EXPONENTIAL_ADJUSTED,
    CUMULATIVE,
    HOLT_WINTERS
};

const char *kernels_statistics(void);
int kernels_isa(int isa);
const char *kernels_isa_in_use(void);
double kernels_triad(double *a, const double *b, const double *c, size_t n);

const char *kernels_statistics(void)
{
    return "simple sum mean variance deviation zscore weighted min max median quantile mad exponential "
           "exponential_adjusted cumulative holt_winters";
}

/* 0 when the processor lacks it; -1 as `isa` leaves what there is. */
int kernels_isa(int isa)
{
    return isa < 0 || kernel_isa_use((enum kernel_isa)isa);
}

const char *kernels_isa_in_use(void)
{
    return kernel_isa_name(kernel_isa());
}

/* a = b + 3 c; returns something of a. */
double kernels_triad(double *a, const double *b, const double *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] = b[i] + 3.0 * c[i];
    return a[n / 2];
}

/* `series` series of n values; value k of series s is x[s * next + k * stride].  A state is made once for all. */
#define STATISTIC(T, suffix)                                                                                         \
    void statistic_##suffix(int what, const T *x, size_t n, size_t series, ptrdiff_t next, ptrdiff_t stride,         \
                            size_t window, double alpha, T *out);                                                    \
    static void sums_##suffix(enum rolling_sum kind, const T *x, size_t n, size_t series, ptrdiff_t next,            \
                              ptrdiff_t stride, size_t window, T *out)                                               \
    {                                                                                                                \
        struct rolling_sums_options o = {kind, window, window, 1, true};                                             \
        struct rolling_steps steps = {next, stride};                                                                 \
        if (series > 1) {                                                                                            \
            rolling_many_##suffix(&o, series, n, x, steps, out, steps);                                              \
            return;                                                                                                  \
        }                                                                                                            \
        struct rolling_sums *state = rolling_sums_new(&o);                                                           \
        rolling_sums_push_##suffix(state, x, stride, n, out, stride);                                                \
        rolling_sums_free(state);                                                                                    \
    }                                                                                                                \
    static void order_##suffix(enum rolling_order kind, const T *x, size_t n, size_t series, ptrdiff_t next,         \
                               ptrdiff_t stride, size_t window, T *out)                                              \
    {                                                                                                                \
        struct rolling_order_options o = {kind, window, window, 0.9, true};                                          \
        struct rolling_orders *state = rolling_order_new(&o);                                                        \
        for (size_t s = 0; s < series; s++, x += next, out += next) {                                                \
            rolling_order_push_##suffix(state, x, stride, n, out, stride);                                           \
            rolling_order_reset(state);                                                                              \
        }                                                                                                            \
        rolling_order_free(state);                                                                                   \
    }                                                                                                                \
    static void exponential_##suffix(bool adjust, double alpha, const T *x, size_t n, size_t series, ptrdiff_t next, \
                                     ptrdiff_t stride, T *out)                                                       \
    {                                                                                                                \
        for (size_t s = 0; s < series; s++, x += next, out += next) {                                                \
            struct exponential_average state;                                                                        \
            exponential_begin(&state, &(struct exponential_options){alpha, 1, adjust, false});                       \
            exponential_push_##suffix(&state, x, stride, n, out, stride);                                            \
        }                                                                                                            \
    }                                                                                                                \
    static void holt_winters_##suffix(const T *x, size_t n, size_t series, ptrdiff_t next, ptrdiff_t stride,         \
                                      size_t period, T *out)                                                         \
    {                                                                                                                \
        struct holt_winters_options o = {HOLT_WINTERS_ADDITIVE, period, 0.3, 0.05, 0.1};                             \
        struct holt_winters *state = holt_winters_new(&o);                                                           \
        for (size_t s = 0; s < series; s++, x += next, out += next) {                                                \
            holt_winters_push_##suffix(state, x, stride, n, out, stride);                                            \
            holt_winters_reset(state);                                                                               \
        }                                                                                                            \
        holt_winters_free(state);                                                                                    \
    }                                                                                                                \
    void statistic_##suffix(int what, const T *x, size_t n, size_t series, ptrdiff_t next, ptrdiff_t stride,         \
                            size_t window, double alpha, T *out)                                                     \
    {                                                                                                                \
        if (what == SIMPLE)                                                                                          \
            for (size_t s = 0; s < series; s++, x += next, out += next)                                              \
                moving_average_##suffix(x, n, window, window, out);                                                  \
        else if (what >= SUM && what <= WEIGHTED)                                                                    \
            sums_##suffix((enum rolling_sum)(what - SUM), x, n, series, next, stride, window, out);                  \
        else if (what >= MIN && what <= MAD)                                                                         \
            order_##suffix((enum rolling_order)(what - MIN), x, n, series, next, stride, window, out);               \
        else if (what == EXPONENTIAL || what == EXPONENTIAL_ADJUSTED)                                                \
            exponential_##suffix(what == EXPONENTIAL_ADJUSTED, alpha, x, n, series, next, stride, out);              \
        else if (what == HOLT_WINTERS)                                                                               \
            holt_winters_##suffix(x, n, series, next, stride, window, out);                                          \
        else if (what == CUMULATIVE)                                                                                 \
            for (size_t s = 0; s < series; s++, x += next, out += next) {                                            \
                struct cumulative_mean state;                                                                        \
                cumulative_begin(&state, &(struct cumulative_options){1, true});                                     \
                cumulative_push_##suffix(&state, x, stride, n, out, stride);                                         \
            }                                                                                                        \
    }
STATISTIC(double, f64)
STATISTIC(float, f32)
