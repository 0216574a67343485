/* Medians and quantiles of full windows against a window that is kept in order in float64: every
 * length about the borders of groups and lanes, and what does not go there between what does. */
#include <float.h>
#include <stdint.h>

#include "kernels/isa.h"
#include "kernels/rolling_order_trial.h"
#include "test.h"

/* ---- the reference ----------------------------------------------------- */

struct window {
    double *sorted;
    size_t held;
};

static size_t below(const struct window *w, double value)
{
    size_t low = 0, high = w->held;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (w->sorted[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void enter(struct window *w, double value)
{
    size_t at = below(w, value);
    memmove(w->sorted + at + 1, w->sorted + at, (w->held - at) * sizeof value);
    w->sorted[at] = value;
    w->held++;
}

static void leave(struct window *w, double value)
{
    size_t at = below(w, value);
    w->held--;
    memmove(w->sorted + at, w->sorted + at + 1, (w->held - at) * sizeof value);
}

static void define(const struct rolling_order_options *how, const double *x, size_t n, double *out)
{
    struct window w = {mem_alloc((how->window + 1) * sizeof(double)), 0};
    for (size_t i = 0; i < n; i++) {
        if (i >= how->window && !isnan(x[i - how->window]))
            leave(&w, x[i - how->window]);
        if (!isnan(x[i]))
            enter(&w, x[i]);
        size_t seen = i + 1 < how->window ? i + 1 : how->window;
        bool enough = w.held >= how->min_periods && (how->skip_nan || w.held == seen);
        out[i] =
            enough ? quantile(w.sorted, w.held, how->kind == ROLLING_MEDIAN ? 0.5 : how->q) : NAN;
    }
    mem_free(w.sorted);
}

/* ---- series ------------------------------------------------------------ */

enum shape { NOISE, SLOPE, TIES, ZEROS, TINY, HUGE_ONES, INFINITE, ONE_NAN, SOME_NAN, SHAPES };

/* Values that the type holds. */
static double draw_value(enum shape shape, size_t i, size_t n, bool single)
{
    double noise = (double)draw(1 << 24) / (1 << 23) - 1;
    switch (shape) {
    case SLOPE:
        return (double)(float)((double)i * 0.01 + noise);
    case TIES:
        return (double)draw(4);
    case ZEROS:
        return draw(2) ? 0.0 : draw(3) ? -0.0 : noise;
    case TINY:
        return (single ? 0x1p-149 : 0x1p-1074) * ((double)draw(9) - 4);
    case HUGE_ONES:
        return single ? (double)((float)noise * FLT_MAX) : noise * DBL_MAX;
    case INFINITE:
        return draw(4) ? noise : draw(2) ? INFINITY : -INFINITY;
    case ONE_NAN:
        return i == n / 2 ? NAN : noise;
    case SOME_NAN:
        return draw(300) ? noise : NAN;
    default:
        return noise;
    }
}

static void check(const struct rolling_order_options *how, enum shape shape, size_t n)
{
    double *x = mem_alloc((n + 1) * sizeof *x), *want = mem_alloc((n + 1) * sizeof *want);
    for (int single = 0; single < 2; single++) {
        size_t (*wrong_of)(struct rolling_orders *, const double *, size_t, size_t, size_t,
                           const double *) = single ? wrong_f32 : wrong_f64;
        for (size_t i = 0; i < n; i++)
            x[i] = draw_value(shape, i, n, single);
        define(how, x, n, want);
        for (int isa = 0; isa < KERNEL_ISAS; isa++) {
            if (!kernel_isa_use((enum kernel_isa)isa))
                continue;
            struct rolling_orders *s = rolling_order_new(how);
            size_t whole = wrong_of(s, x, n, 0, 1, want);
            size_t cut = wrong_of(s, x, n, n / 2 + 1, 2, want);
            if (whole || cut)
                TEST_FAIL("%s float%d kind %d window %zu min %zu q %g skip %d shape %d n %zu: "
                          "%zu wrong, %zu in batches",
                          kernel_isa_name((enum kernel_isa)isa), single ? 32 : 64, (int)how->kind,
                          how->window, how->min_periods, how->q, how->skip_nan, (int)shape, n,
                          whole, cut);
            rolling_order_free(s);
        }
    }
    mem_free(x);
    mem_free(want);
}

/* ---- tests ------------------------------------------------------------- */

TEST(every_short_window)
{
    for (size_t window = 1; window <= 70; window++) {
        struct rolling_order_options median = {ROLLING_MEDIAN, window, window, 0, true};
        check(&median, NOISE, window + 16 * 64 + draw(40));
        struct rolling_order_options other = {ROLLING_QUANTILE, window, 1, draw(101) / 100.0, true};
        check(&other, (enum shape)(window % SHAPES), window + 300 + draw(300));
    }
}

/* Groups are of powers of two, the most that are not beyond the window and one. */
TEST(windows_about_powers_of_two)
{
    for (size_t power = 64; power <= 256; power *= 2)
        for (size_t window = power - 2; window <= power + 1; window++) {
            struct rolling_order_options how = {ROLLING_MEDIAN, window, window, 0, true};
            check(&how, (enum shape)draw(SHAPES), 16 * power + 2 * window);
        }
}

TEST(every_shape)
{
    for (int shape = 0; shape < SHAPES; shape++)
        for (int i = 0; i < 6; i++) {
            size_t window = 2 + draw(i < 3 ? 12 : 90);
            struct rolling_order_options how = {i % 2 ? ROLLING_MEDIAN : ROLLING_QUANTILE, window,
                                                1 + draw((unsigned)window), draw(1000) / 999.0,
                                                draw(2) != 0};
            check(&how, (enum shape)shape, 1500);
        }
}

/* As many results as lanes and groups hold, one less, one more. */
TEST(lengths_about_the_borders)
{
    for (size_t results = 4; results <= 2048; results *= 2)
        for (size_t off = 0; off < 3; off++) {
            size_t window = 1 + draw(40);
            struct rolling_order_options how = {ROLLING_MEDIAN, window, 1, 0, true};
            check(&how, draw(2) ? NOISE : TIES, window - 1 + results + off - 1);
        }
}

/* The longest window that goes there, and the first that does not. */
TEST(long_windows)
{
    static const size_t windows[] = {512, 1023, 2047, 2048};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        struct rolling_order_options how = {i % 2 ? ROLLING_QUANTILE : ROLLING_MEDIAN, windows[i],
                                            windows[i], 0.9, true};
        check(&how, i == 2 ? SOME_NAN : SLOPE, windows[i] == 2047 ? 19000 : 10000);
    }
}
