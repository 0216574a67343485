#include "kernels/running_averages.h"

#include <math.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/strided.h"

enum { PIECE = 1024 };

static const double running_places[RUNNING_GROUP] = {1, 2, 3, 4, 5, 6, 7, 8};

#define LANES 1
#define TARGET
#define NAME(word) word##_scalar
#include "kernels/running_averages_isa.h"
#define LANES 2
#define TARGET
#define NAME(word) word##_128
#include "kernels/running_averages_isa.h"
#ifdef __x86_64__
#define LANES      4
#define TARGET     KERNEL_TARGET_AVX2
#define NAME(word) word##_avx2
#include "kernels/running_averages_isa.h"
#define LANES      8
#define TARGET     KERNEL_TARGET_AVX512
#define NAME(word) word##_avx512
#include "kernels/running_averages_isa.h"
#endif

/* ORDER kernel_isa */
static const struct loops {
    void (*decay)(struct exponential_average *s, const double *x, size_t n, double *out,
                  double (*sums)[RUNNING_GROUP]);
    void (*grow)(struct cumulative_mean *s, const double *x, size_t n, double *out, bool finite);
} loops[KERNEL_ISAS] = {
    {decay_scalar, grow_scalar},
    {decay_128, grow_128},
#ifdef __x86_64__
    {decay_avx2, grow_avx2},
    {decay_avx512, grow_avx512},
#endif
};

/* ---- exponential -------------------------------------------------------- */

void exponential_begin(struct exponential_average *s, const struct exponential_options *options)
{
    *s = (struct exponential_average){.options = *options, .average = NAN};
    double power = 1, sum = 0;
    for (size_t i = 0; i < RUNNING_GROUP; i++) {
        sum += power;
        power *= 1 - options->alpha;
        s->powers[i] = power;
        s->powers_sum[i] = sum;
    }
}

/* One value, by the definition. */
static double age(struct exponential_average *s, double x)
{
    const bool adjust = s->options.adjust;
    const double alpha = s->options.alpha, q = s->powers[0];
    if (!isfinite(x)) {
        /* Weights as small as these count for nothing beside the next value's. */
        if (s->below > 1e-250 && !s->options.ignore_missing) {
            s->above *= q;
            s->below *= q;
        }
        return s->average;
    }
    s->above = s->above * q + x;
    s->below = s->below * q + 1;
    if (s->average != s->average && !adjust) {
        s->above = x / alpha;
        s->below = 1 / alpha;
    }
    s->average = s->above / s->below;
    if (!adjust) {
        s->above = s->average / alpha;
        s->below = 1 / alpha;
    }
    return s->average;
}

/* Whether the next values, if they are there, can be taken together: they cannot be first, nor,
 * where weights are not adjusted, come after a gap. */
static bool settled(const struct exponential_average *s)
{
    return s->options.adjust ? s->below > 0 : s->below == 1 / s->options.alpha;
}

/* Makes NaN of results that come before min_periods values. */
static void not_enough(struct exponential_average *s, const double *x, size_t n, double *out)
{
    for (size_t i = 0; i < n && s->count < s->options.min_periods; i++) {
        s->count += isfinite(x[i]) ? 1 : 0;
        if (s->count < s->options.min_periods)
            out[i] = NAN;
    }
}

/* A group, `n` of whose values have come: up to the first that is missing as a whole. */
static void mixed_group(struct exponential_average *s, const double *x, size_t n, double *out)
{
    double values[RUNNING_GROUP] = {0}, averages[RUNNING_GROUP], sums[2][RUNNING_GROUP];
    size_t first = 0;
    while (settled(s) && first < n && isfinite(x[first])) {
        values[first] = x[first];
        first++;
    }
    if (first > 0) {
        loops[kernel_isa()].decay(s, values, RUNNING_GROUP, averages, sums);
        memcpy(out, averages, first * sizeof *out);
        s->above = sums[0][first - 1];
        s->below = sums[1][first - 1];
        s->average = averages[first - 1];
    }
    for (size_t i = first; i < n; i++)
        out[i] = age(s, x[i]);
}

static void exponential_work(struct exponential_average *s, const double *x, size_t n, bool finite,
                             double *out)
{
    const size_t full = n / RUNNING_GROUP * RUNNING_GROUP;
    size_t i = 0;
    while (i < full && (!finite || !settled(s))) {
        mixed_group(s, x + i, RUNNING_GROUP, out + i);
        i += RUNNING_GROUP;
    }
    if (i < full) {
        loops[kernel_isa()].decay(s, x + i, full - i, out + i, NULL);
        s->average = out[full - 1];
    }
    not_enough(s, x, full, out);
    struct exponential_average here = *s;
    mixed_group(&here, x + full, n - full, out + full);
    not_enough(&here, x + full, n - full, out + full);
}

/* ---- cumulative --------------------------------------------------------- */

void cumulative_begin(struct cumulative_mean *s, const struct cumulative_options *options)
{
    *s = (struct cumulative_mean){.options = *options};
}

static void cumulative_work(struct cumulative_mean *s, const double *x, size_t n, bool finite,
                            double *out)
{
    const size_t full = n / RUNNING_GROUP * RUNNING_GROUP;
    double count = s->count, most = (double)s->options.min_periods;
    bool spoilt = s->spoilt, spoilt_full = s->spoilt;
    loops[kernel_isa()].grow(s, x, full, out, finite);
    struct cumulative_mean here = *s;
    double padded[RUNNING_GROUP] = {0}, means[RUNNING_GROUP];
    memcpy(padded, x + full, (n - full) * sizeof *x);
    loops[kernel_isa()].grow(&here, padded, RUNNING_GROUP, means, finite);
    memcpy(out + full, means, (n - full) * sizeof *out);
    for (size_t i = 0; i < n && (count < most || !finite || spoilt); i++) {
        count += isfinite(x[i]) ? 1 : 0;
        spoilt = spoilt || (!isfinite(x[i]) && !s->options.skip_missing);
        if (count < most || spoilt)
            out[i] = NAN;
        if (i < full)
            spoilt_full = spoilt;
    }
    s->spoilt = spoilt_full;
}

/* ---- pieces ------------------------------------------------------------- */

#define PUSH(T, suffix, noun, state)                                                               \
    void noun##_push_##suffix(struct state *s, const T *x, ptrdiff_t stride, size_t n, T *out,     \
                              ptrdiff_t out_stride)                                                \
    {                                                                                              \
        double values[PIECE + RUNNING_GROUP], results[PIECE + RUNNING_GROUP];                      \
        while (n > 0) {                                                                            \
            size_t some = n < PIECE ? n : PIECE, held = s->held, all = held + some;                \
            memcpy(values, s->last, held * sizeof *values);                                        \
            bool finite = strided_take_##suffix(x, stride, some, values + held);                   \
            for (size_t i = 0; i < held; i++)                                                      \
                finite = finite && isfinite(values[i]);                                            \
            noun##_work(s, values, all, finite, results);                                          \
            s->held = all % RUNNING_GROUP;                                                         \
            memcpy(s->last, values + all - s->held, s->held * sizeof *values);                     \
            strided_give_##suffix(results + held, some, out, out_stride);                          \
            x += (ptrdiff_t)some * stride;                                                         \
            out += (ptrdiff_t)some * out_stride;                                                   \
            n -= some;                                                                             \
        }                                                                                          \
    }
PUSH(double, f64, exponential, exponential_average)
PUSH(float, f32, exponential, exponential_average)
PUSH(double, f64, cumulative, cumulative_mean)
PUSH(float, f32, cumulative, cumulative_mean)
