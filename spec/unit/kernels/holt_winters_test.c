/* Against the recurrences written out over whole arrays, and series that they forecast exactly. */
#include "kernels/holt_winters.h"

#include <math.h>

#include "base/mem.h"
#include "test.h"

enum { N = 500, HORIZON = 40 };

static unsigned state = 7;

static double draw(void)
{
    state = state * 1664525u + 1013904223u;
    return (double)(state >> 8) / (1 << 24);
}

static bool near(double got, double want)
{
    return isnan(want) ? isnan(got) : fabs(got - want) <= 1e-9 * (1 + fabs(want));
}

/* l, b and s of every t, from 0; no value is missing. */
static void define(const struct holt_winters_options *how, const double *y, double *fitted,
                   double *forecast)
{
    size_t m = how->period;
    bool ratio = how->seasonal == HOLT_WINTERS_MULTIPLICATIVE;
    double l[N], b[N], s[N], first = 0, second = 0;
    for (size_t i = 0; i < m; i++) {
        first += y[i] / (double)m;
        second += y[m + i] / (double)m;
    }
    double slope = (second - first) / (double)m;
    for (size_t t = 0; t < 2 * m; t++) {
        double line = first + slope * ((double)t - ((double)m - 1) / 2);
        l[t] = line;
        b[t] = slope;
        s[t] = ratio ? y[t] / line : y[t] - line;
        fitted[t] = NAN;
    }
    for (size_t t = m; t < 2 * m; t++)
        s[t] = (s[t] + s[t - m]) / 2;
    for (size_t t = 2 * m; t < N; t++) {
        double line = l[t - 1] + b[t - 1], season = s[t - m];
        fitted[t] = ratio ? line * season : line + season;
        l[t] = how->alpha * (ratio ? y[t] / season : y[t] - season) + (1 - how->alpha) * line;
        b[t] = how->beta * (l[t] - l[t - 1]) + (1 - how->beta) * b[t - 1];
        s[t] = how->gamma * (ratio ? y[t] / l[t] : y[t] - l[t]) + (1 - how->gamma) * season;
    }
    for (size_t h = 1; h <= HORIZON; h++) {
        double line = l[N - 1] + (double)h * b[N - 1], season = s[N - m + (h - 1) % m];
        forecast[h - 1] = ratio ? line * season : line + season;
    }
}

static void check(const struct holt_winters_options *how, size_t batch)
{
    double y[N], want[N], got[2 * N], ahead[HORIZON], forecast[HORIZON];
    for (size_t i = 0; i < N; i++)
        y[i] = 50 + 0.1 * (double)i + 10 * sin((double)i) + 5 * draw();
    define(how, y, want, ahead);
    struct holt_winters *s = holt_winters_new(how);
    for (size_t done = 0; done < N; done += batch) {
        size_t more = N - done < batch ? N - done : batch;
        CHECK_EQ(holt_winters_push_f64(s, y + done, 1, more, got + 2 * done, 2), more);
    }
    size_t wrong = 0;
    for (size_t i = 0; i < N; i++)
        wrong += !near(got[2 * i], want[i]);
    CHECK(holt_winters_forecast(s, HORIZON, forecast));
    for (size_t i = 0; i < HORIZON; i++)
        wrong += !near(forecast[i], ahead[i]);
    if (wrong)
        TEST_FAIL("period %zu seasonal %d: %zu wrong", how->period, (int)how->seasonal, wrong);
    holt_winters_free(s);
}

TEST(the_recurrences)
{
    static const size_t periods[] = {2, 3, 7, 12, 24, 200};
    for (size_t i = 0; i < sizeof periods / sizeof *periods; i++)
        for (int kind = HOLT_WINTERS_ADDITIVE; kind <= HOLT_WINTERS_MULTIPLICATIVE; kind++) {
            struct holt_winters_options how = {(enum holt_winters_seasonal)kind, periods[i],
                                               draw() * 0.8, draw() * 0.3, draw() * 0.8};
            check(&how, N);
            check(&how, 7);
        }
    check(&(struct holt_winters_options){HOLT_WINTERS_NONE, 1, 0.4, 0.2, 0}, 1);
}

/* A line with a season, plus or times, is forecast as it goes on, with any factors. */
TEST(a_series_without_noise_is_forecast_exactly)
{
    static const double season[] = {-3, 1, 4, -2};
    for (int ratio = 0; ratio < 2; ratio++) {
        struct holt_winters_options how = {
            ratio ? HOLT_WINTERS_MULTIPLICATIVE : HOLT_WINTERS_ADDITIVE, 4, 0.3, 0.2, 0.5};
        struct holt_winters *s = holt_winters_new(&how);
        double ahead[9], slope = ratio ? 0 : 0.5;
        float y[30], fitted[30];
        for (int i = 0; i < 30; i++)
            y[i] = (float)(ratio ? 20 * (1 + season[i % 4] / 8) : 10 + slope * i + season[i % 4]);
        CHECK_EQ(holt_winters_push_f32(s, y, 1, 21, fitted, 1), 21);
        CHECK(holt_winters_forecast(s, 9, ahead));
        for (int i = 0; i < 9; i++)
            CHECK(fabs(ahead[i] - (double)y[21 + i]) < 1e-5);
        for (int i = 8; i < 21; i++)
            CHECK(fabsf(fitted[i] - y[i]) < 1e-5F);
        CHECK(fabs(holt_winters_trend(s) - slope) < 1e-6);
        holt_winters_free(s);
    }
}

TEST(missing_values_are_taken_as_forecast)
{
    struct holt_winters_options how = {HOLT_WINTERS_ADDITIVE, 3, 0.5, 0.1, 0.3};
    struct holt_winters *s = holt_winters_new(&how), *other = holt_winters_new(&how);
    double y[12] = {1, 5, 2, 2, NAN, 3, 3, 7, 4, NAN, NAN, 4.5}, fitted[12], ahead[2][3];
    CHECK_EQ(holt_winters_push_f64(s, y, 1, 12, fitted, 1), 12);
    y[9] = fitted[9];
    y[10] = fitted[10];
    CHECK_EQ(holt_winters_push_f64(other, y, 1, 12, NULL, 1), 12);
    CHECK(holt_winters_forecast(s, 3, ahead[0]) && holt_winters_forecast(other, 3, ahead[1]));
    for (int i = 0; i < 3; i++)
        CHECK(isfinite(ahead[0][i]) && ahead[0][i] == ahead[1][i]);
    holt_winters_free(s);
    holt_winters_free(other);
}

TEST(what_it_cannot_begin_with)
{
    struct holt_winters_options how = {HOLT_WINTERS_MULTIPLICATIVE, 2, 0.5, 0.1, 0.3};
    struct holt_winters *s = holt_winters_new(&how);
    double ahead, y[] = {1, 2, 3, 0, INFINITY}, holes[] = {NAN, NAN, 1, 2, 3};
    CHECK(!holt_winters_forecast(s, 1, &ahead));
    CHECK_EQ(holt_winters_push_f64(s, y, 1, 5, NULL, 1), 3);
    CHECK(!holt_winters_forecast(s, 1, &ahead) && isnan(holt_winters_level(s)));
    holt_winters_reset(s);
    CHECK_EQ(holt_winters_push_f64(s, holes, 1, 5, NULL, 1), 5);
    CHECK(!holt_winters_forecast(s, 1, &ahead));
    holt_winters_reset(s);
    double falling[] = {100, 90, 2, 1};
    CHECK_EQ(holt_winters_push_f64(s, falling, 1, 4, NULL, 1), 4);
    CHECK(!holt_winters_forecast(s, 1, &ahead));
    holt_winters_free(s);
}
