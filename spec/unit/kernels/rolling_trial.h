/* rolling_trial.h -- what rolling_sums.h promises: each result by its definition, summed in long
 * double, and how far off it may be. */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "kernels/rolling_sums.h"

static inline double noise(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (1 << 24);
}

static inline const char *kind_name(enum rolling_sum kind)
{
    static const char *const names[] = {"sum",       "mean",   "variance",
                                        "deviation", "zscore", "weighted"};
    return names[kind];
}

/* What the definition says of x[i], and how large what was summed for it is. */
struct wanted {
    double value, squares, count, greatest;
};

static inline struct wanted definition(const struct rolling_sums_options *o, const double *x,
                                       size_t i)
{
    long double sum = 0, squares = 0, weighted = 0, weights = 0;
    size_t count = 0, positive = 0, negative = 0, nan = 0;
    size_t from = i + 1 > o->window ? i + 1 - o->window : 0;
    struct wanted w = {.value = NAN};
    for (size_t k = from; k <= i; k++) {
        positive += isinf(x[k]) && x[k] > 0;
        negative += isinf(x[k]) && x[k] < 0;
        nan += isnan(x[k]) ? 1 : 0;
        if (!isfinite(x[k]))
            continue;
        long double weight = (long double)(o->window - (i - k));
        sum += (long double)x[k];
        weighted += weight * (long double)x[k];
        weights += weight;
        count++;
        w.greatest = fmax(w.greatest, fabs(x[k]));
    }
    for (size_t k = from; k <= i; k++)
        if (isfinite(x[k]))
            squares += ((long double)x[k] - sum / count) * ((long double)x[k] - sum / count);
    w.count = (double)count;
    w.squares = (double)squares;
    if (count < o->min_periods && !positive && !negative)
        return w;
    if (nan && !o->skip_nan)
        return w;
    if (positive || negative) {
        if ((o->kind == ROLLING_SUM || o->kind == ROLLING_MEAN) && !(positive && negative))
            w.value = positive ? INFINITY : -INFINITY;
        return w;
    }
    if (o->kind == ROLLING_SUM)
        w.value = (double)sum;
    if (o->kind == ROLLING_MEAN)
        w.value = (double)(sum / count);
    if (o->kind == ROLLING_WEIGHTED)
        w.value = (double)(weighted / weights);
    if (o->kind < ROLLING_VARIANCE || o->kind == ROLLING_WEIGHTED || (double)count <= o->ddof)
        return w;
    long double variance = squares / ((long double)count - (long double)o->ddof);
    w.value = (double)variance;
    if (o->kind == ROLLING_DEVIATION)
        w.value = (double)sqrtl(variance);
    if (o->kind == ROLLING_ZSCORE)
        w.value = (double)(((long double)x[i] - sum / count) / sqrtl(variance));
    return w;
}

/* Whether `got` is within the bound that the header states; float32 adds its rounding. */
static inline bool close_to(const struct rolling_sums_options *o, struct wanted w, double got,
                            double spread, double most, bool single)
{
    if (isnan(w.value))
        return isnan(got) || (o->kind == ROLLING_ZSCORE && w.squares == 0);
    if (isinf(w.value))
        return got == w.value;
    double window = (double)o->window, block = window > 4096 ? window : 4096;
    double u = ldexp(1, -53), steps = (window + 2 * block + 16) * u;
    double bound = 0, free = w.count - o->ddof;
    double peak = window * spread * spread;
    double variance = 4 * steps * peak / free;
    switch (o->kind) {
    case ROLLING_SUM:
        bound = steps * window * most;
        break;
    case ROLLING_MEAN:
        bound = steps * most;
        break;
    case ROLLING_VARIANCE:
        bound = variance;
        break;
    case ROLLING_DEVIATION:
        bound = w.value > 0 ? variance / w.value : sqrt(variance);
        break;
    case ROLLING_ZSCORE:
        /* (x - mean) and the deviation are each off by their own. */
        if (w.squares <= 1e3 * variance * free)
            return true;
        bound = 2 * steps * most / sqrt(w.squares / free) +
                fabs(w.value) * variance / (w.squares / free);
        break;
    case ROLLING_WEIGHTED:
        bound = 8 * steps * (1 + block / window) * spread + 2 * u * most;
        break;
    case ROLLING_SUM_KINDS:
        break;
    }
    bound += single ? fabs(w.value) * ldexp(1, -23) + ldexp(1, -149) : 0;
    return fabs(got - w.value) <= bound;
}
