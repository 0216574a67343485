#include "kernels/holt_winters.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"

struct holt_winters {
    struct holt_winters_options how;
    double *first;  /* the first two periods */
    double *season; /* by place in the period */
    size_t seen;    /* of the first two periods */
    size_t place;   /* of the next value in its period */
    bool begun;     /* false behind two periods: they cannot be begun with */
    double level, trend;
};

struct holt_winters *holt_winters_new(const struct holt_winters_options *options)
{
    struct holt_winters *s = mem_zero(1, sizeof *s);
    s->how = *options;
    if (options->seasonal == HOLT_WINTERS_NONE) {
        s->how.period = 1;
        s->how.gamma = 0;
    }
    invariant(s->how.period >= 1);
    s->first = mem_zero(2 * s->how.period, sizeof *s->first);
    s->season = mem_zero(s->how.period, sizeof *s->season);
    holt_winters_reset(s);
    return s;
}

void holt_winters_free(struct holt_winters *s)
{
    if (!s)
        return;
    mem_free(s->first);
    mem_free(s->season);
    mem_free(s);
}

void holt_winters_reset(struct holt_winters *s)
{
    s->seen = s->place = 0;
    s->begun = false;
    s->level = s->trend = NAN;
}

static double mean(const double *x, size_t n)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i]))
            continue;
        sum += x[i];
        count++;
    }
    return sum / (double)count; /* NaN when there is none */
}

/* The place's distance from the line, or its ratio to it. */
static double off_line(const struct holt_winters *s, double value, double line)
{
    return s->how.seasonal == HOLT_WINTERS_MULTIPLICATIVE ? value / line : value - line;
}

static void begin(struct holt_winters *s)
{
    const size_t m = s->how.period;
    const bool ratio = s->how.seasonal == HOLT_WINTERS_MULTIPLICATIVE;
    double from = mean(s->first, m), to = mean(s->first + m, m);
    s->trend = (to - from) / (double)m;
    double start = from - s->trend * ((double)m - 1) / 2; /* the line at the first value */
    s->level = start + s->trend * (double)(2 * m - 1);
    s->begun = isfinite(s->level) && (!ratio || (start > 0 && s->level > 0));
    for (size_t i = 0; i < m; i++) {
        double pair[2];
        for (size_t k = 0; k < 2; k++)
            pair[k] = off_line(s, s->first[k * m + i], start + s->trend * (double)(k * m + i));
        double off = mean(pair, 2);
        s->season[i] = isnan(off) ? (double)ratio : off;
    }
}

static inline void step(struct holt_winters *s, double y, double forecast)
{
    const struct holt_winters_options *how = &s->how;
    const bool ratio = how->seasonal == HOLT_WINTERS_MULTIPLICATIVE;
    double *season = &s->season[s->place], before = s->level;
    if (isnan(y))
        y = forecast;
    double alone = ratio ? y / *season : y - *season;
    s->level = how->alpha * alone + (1 - how->alpha) * (before + s->trend);
    s->trend = how->beta * (s->level - before) + (1 - how->beta) * s->trend;
    double off = ratio ? y / s->level : y - s->level;
    *season = how->gamma * off + (1 - how->gamma) * *season;
}

static inline double ahead(const struct holt_winters *s, size_t h, size_t place)
{
    double line = s->level + (double)h * s->trend;
    return s->how.seasonal == HOLT_WINTERS_MULTIPLICATIVE ? line * s->season[place]
                                                          : line + s->season[place];
}

/* The value's forecast; false, and nothing happens, when it is refused. */
static inline bool push(struct holt_winters *s, double y, double *forecast)
{
    if (isinf(y) || (y <= 0 && s->how.seasonal == HOLT_WINTERS_MULTIPLICATIVE))
        return false;
    *forecast = NAN;
    if (s->seen < 2 * s->how.period) {
        s->first[s->seen++] = y;
        if (s->seen == 2 * s->how.period)
            begin(s);
    } else if (s->begun) {
        *forecast = ahead(s, 1, s->place);
        step(s, y, *forecast);
    }
    s->place = s->place + 1 == s->how.period ? 0 : s->place + 1;
    return true;
}

#define PUSH(T, suffix)                                                                            \
    size_t holt_winters_push_##suffix(struct holt_winters *s, const T *x, ptrdiff_t stride,        \
                                      size_t n, T *fitted, ptrdiff_t out_stride)                   \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            double forecast;                                                                       \
            if (!push(s, (double)x[(ptrdiff_t)i * stride], &forecast))                             \
                return i;                                                                          \
            if (fitted)                                                                            \
                fitted[(ptrdiff_t)i * out_stride] = (T)forecast;                                   \
        }                                                                                          \
        return n;                                                                                  \
    }
PUSH(double, f64)
PUSH(float, f32)

bool holt_winters_forecast(const struct holt_winters *s, size_t horizon, double *out)
{
    size_t place = s->place;
    for (size_t h = 0; s->begun && h < horizon; h++) {
        out[h] = ahead(s, h + 1, place);
        place = place + 1 == s->how.period ? 0 : place + 1;
    }
    return s->begun;
}

double holt_winters_level(const struct holt_winters *s)
{
    return s->begun ? s->level : NAN;
}

double holt_winters_trend(const struct holt_winters *s)
{
    return s->begun ? s->trend : NAN;
}
