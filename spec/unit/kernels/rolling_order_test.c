/* Every variant against the definition, and streams cut anyhow. */
#include "kernels/rolling_order.h"

#include <stdint.h>

#include "kernels/isa.h"
#include "kernels/rolling_order_trial.h"
#include "test.h"

enum { N = 2600 }; /* several blocks of small windows */

/* ---- the definition ---------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double of_window(const struct rolling_order_options *how, double *v, size_t n)
{
    size_t c = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(v[i]))
            v[c++] = v[i];
    if (c < how->min_periods || (c < n && !how->skip_nan))
        return NAN;
    qsort(v, c, sizeof *v, ascending);
    if (how->kind == ROLLING_MIN || how->kind == ROLLING_MAX)
        return v[how->kind == ROLLING_MIN ? 0 : c - 1];
    double middle = quantile(v, c, how->kind == ROLLING_QUANTILE ? how->q : 0.5);
    if (how->kind != ROLLING_MAD)
        return middle;
    if (isinf(middle) || isnan(middle))
        return NAN;
    for (size_t i = 0; i < c; i++)
        v[i] = fabs(v[i] - middle);
    qsort(v, c, sizeof *v, ascending);
    return quantile(v, c, 0.5);
}

static void define(const struct rolling_order_options *how, const double *x, size_t n, double *out)
{
    double *v = mem_alloc((how->window + 1) * sizeof *v);
    for (size_t i = 0; i < n; i++) {
        size_t count = i + 1 < how->window ? i + 1 : how->window;
        memcpy(v, x + i + 1 - count, count * sizeof *v);
        out[i] = of_window(how, v, count);
    }
    mem_free(v);
}

/* ---- series ------------------------------------------------------------ */

enum shape { NOISE, TIES, STEPS, RISING, FALLING, HOLES, MOSTLY_HOLES, INFINITE, CLOSE, SHAPES };

/* Values that float32 holds, but for CLOSE. */
static void draw_series(enum shape shape, double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double value = (double)(float)((double)draw(1 << 24) / 1024 - 8000);
        switch (shape) {
        case TIES:
            value = (double)draw(5) - 2;
            break;
        case STEPS:
            value = (i / 50 % 2 ? 1e6 : -1e-3) * (double)(draw(3) + 1);
            break;
        case RISING:
            value = (double)i;
            break;
        case FALLING:
            value = -(double)i;
            break;
        case HOLES:
            value = draw(7) ? value : NAN;
            break;
        case MOSTLY_HOLES:
            value = draw(5) ? NAN : value;
            break;
        case INFINITE:
            value = draw(9) ? value : draw(2) ? INFINITY : -INFINITY;
            break;
        /* differ in the last bits only, but for one in 500 */
        case CLOSE:
            value = draw(500) ? 1e6 + draw(1 << 20) * 0x1p-32 : -1e300;
            break;
        default:
            break;
        }
        x[i] = shape == CLOSE ? value : (double)(float)value;
    }
}

static void check(const struct rolling_order_options *how, enum shape shape, size_t n)
{
    double *x = mem_alloc((n + 1) * sizeof *x), *want = mem_alloc((n + 1) * sizeof *want);
    draw_series(shape, x, n);
    define(how, x, n, want);
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        struct rolling_orders *s = rolling_order_new(how);
        size_t wrong = wrong_f64(s, x, n, 0, 1, want);
        size_t cut = wrong_f64(s, x, n, 300, 3, want);
        size_t single = shape == CLOSE ? 0 : wrong_f32(s, x, n, 0, 2, want);
        if (wrong || cut || single)
            TEST_FAIL(
                "%s kind %d window %zu min %zu q %g skip %d shape %d n %zu: %zu wrong, %zu in "
                "batches, %zu float32",
                kernel_isa_name((enum kernel_isa)isa), (int)how->kind, how->window,
                how->min_periods, how->q, how->skip_nan, (int)shape, n, wrong, cut, single);
        rolling_order_free(s);
    }
    mem_free(x);
    mem_free(want);
}

/* ---- tests ------------------------------------------------------------- */

TEST(every_variant_equals_the_definition)
{
    static const size_t windows[] = {1, 2, 3, 5, 8, 9, 20, 33, 81, 100, 257, 600};
    static const double quantiles[] = {0, 0.1, 0.25, 0.9, 1};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        for (int kind = 0; kind < ROLLING_ORDER_KINDS; kind++) {
            size_t w = windows[i];
            struct rolling_order_options how = {(enum rolling_order)kind, w, w, quantiles[draw(5)],
                                                true};
            check(&how, NOISE, w > 80 ? N : 900);
            enum shape shape = (enum shape)(1 + (i + (size_t)kind) % (SHAPES - 1));
            how.min_periods = 1 + draw((unsigned)w);
            check(&how, shape, 700);
        }
}

TEST(every_shape)
{
    for (int shape = 0; shape < SHAPES; shape++)
        for (int kind = 0; kind < ROLLING_ORDER_KINDS; kind++) {
            struct rolling_order_options how = {(enum rolling_order)kind, 12, 3, 0.3, draw(2) != 0};
            check(&how, (enum shape)shape, 400);
            how.window = 100;
            check(&how, (enum shape)shape, 1500);
        }
}

TEST(short_streams)
{
    for (size_t n = 0; n < 90; n += 1 + n / 8)
        for (int kind = 0; kind < ROLLING_ORDER_KINDS; kind++) {
            size_t window = 1 + draw(100);
            struct rolling_order_options how = {(enum rolling_order)kind, window,
                                                1 + draw((unsigned)window), 0.7, draw(2) != 0};
            check(&how, n % 2 ? HOLES : NOISE, n);
        }
}

TEST(a_window_far_longer_than_the_stream_and_one_in_large_blocks)
{
    for (int kind = 0; kind < ROLLING_ORDER_KINDS; kind++) {
        struct rolling_order_options how = {(enum rolling_order)kind, 20000, 1, 0.2, true};
        check(&how, NOISE, 300);
    }
}

/* 200 channels of a day, one beside the other, with one state. */
TEST(many_short_series)
{
    enum { CHANNELS = 200, SAMPLES = 288 };
    float *x = mem_alloc(CHANNELS * SAMPLES * sizeof *x),
          *out = mem_alloc(CHANNELS * SAMPLES * sizeof *out);
    double one[SAMPLES], want[SAMPLES];
    for (int kind = 0; kind < ROLLING_ORDER_KINDS; kind++) {
        struct rolling_order_options how = {(enum rolling_order)kind, 12, 6, 0.9, true};
        struct rolling_orders *s = rolling_order_new(&how);
        size_t wrong = 0;
        for (size_t i = 0; i < CHANNELS * SAMPLES; i++)
            x[i] = draw(50) ? (float)draw(1000) : NAN;
        for (size_t c = 0; c < CHANNELS; c++) {
            rolling_order_reset(s);
            rolling_order_push_f32(s, x + c, CHANNELS, SAMPLES, out + c, CHANNELS);
        }
        for (size_t c = 0; c < CHANNELS; c += 13) {
            for (size_t i = 0; i < SAMPLES; i++)
                one[i] = (double)x[i * CHANNELS + c];
            define(&how, one, SAMPLES, want);
            for (size_t i = 0; i < SAMPLES; i++)
                wrong += !same((double)out[i * CHANNELS + c], (double)(float)want[i]);
        }
        CHECK_EQ(wrong, 0);
        rolling_order_free(s);
    }
    mem_free(x);
    mem_free(out);
}

TEST(what_it_takes_is_told)
{
    struct rolling_order_options how = {ROLLING_MEDIAN, 1000, 1, 0.5, true};
    CHECK(rolling_order_bytes(&how) > 300000 && rolling_order_bytes(&how) < 500000);
}
