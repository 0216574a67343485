/* Every variant against the definition, for tables of all shapes. */
#include "kernels/rolling_many.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/isa.h"
#include "kernels/rolling_trial.h"
#include "kernels/share.h"
#include "test.h"

enum { SHAPES = 400, SERIES = 45, VALUES = 330 };

/* Where the values of a table lie, in an array of `room` elements. */
struct place {
    struct rolling_steps steps;
    size_t room;
    ptrdiff_t first;
};

enum { ROWS, COLUMNS, APART, BACKWARDS, PLACES };

static struct place place_of(int which, size_t series, size_t n)
{
    const ptrdiff_t s = (ptrdiff_t)series, k = (ptrdiff_t)n;
    switch (which) {
    case ROWS:
        return (struct place){{k + 3, 1}, series * (n + 3) + 1, 0};
    case COLUMNS:
        return (struct place){{1, s + 2}, (series + 2) * n + 1, 0};
    case APART:
        return (struct place){{2, 2 * s + 1}, (2 * series + 1) * n + 1, 0};
    default:
        return (struct place){{-k, -1}, series * n + 1, s * k}; /* the first element is none's */
    }
}

static ptrdiff_t at(const struct place *p, size_t s, size_t k)
{
    return p->first + (ptrdiff_t)s * p->steps.series + (ptrdiff_t)k * p->steps.value;
}

/* A table, one series after another; each has a magnitude of its own. */
struct table {
    size_t series, n;
    double *x; /* also single precision's */
    double *spread, *most;
};

static struct table table_new(size_t series, size_t n, unsigned holes, unsigned odd,
                              unsigned *state)
{
    struct table t = {series, n, mem_alloc((series * n + 1) * sizeof(double)),
                      mem_zero(series + 1, sizeof(double)), mem_zero(series + 1, sizeof(double))};
    for (size_t s = 0; s < series; s++) {
        double scale = ldexp(1, (int)(noise(state) * 20) - 10), offset = 20 * noise(state) * scale;
        t.spread[s] = scale * 1.001;
        for (size_t k = 0; k < n; k++) {
            double value = (double)(float)(offset + (noise(state) - 0.5) * scale);
            t.most[s] = fmax(t.most[s], fabs(value));
            if (holes && (*state >> 16) % holes == 0)
                value = (double)NAN;
            if (odd && (*state >> 12) % odd == 0)
                value = (*state >> 9) % 2 ? (double)INFINITY : -(double)INFINITY;
            t.x[s * n + k] = value;
        }
    }
    return t;
}

static void table_free(struct table *t)
{
    mem_free(t->x);
    mem_free(t->spread);
    mem_free(t->most);
}

/* The results of a table that lies as `from` says and goes where `to` says, one series after
 * another; nothing else is written. */
#define RESULTS(T, suffix)                                                                         \
    static double *results_##suffix(const struct rolling_sums_options *o, const struct table *t,   \
                                    int from, int to)                                              \
    {                                                                                              \
        struct place a = place_of(from, t->series, t->n), b = place_of(to, t->series, t->n);       \
        T *x = mem_alloc(a.room * sizeof *x), *out = mem_alloc(b.room * sizeof *out);              \
        double *results = mem_alloc((t->series * t->n + 1) * sizeof *results);                     \
        for (size_t i = 0; i < a.room; i++)                                                        \
            x[i] = (T)1e30;                                                                        \
        for (size_t i = 0; i < b.room; i++)                                                        \
            out[i] = (T)-77;                                                                       \
        for (size_t s = 0; s < t->series; s++)                                                     \
            for (size_t k = 0; k < t->n; k++)                                                      \
                x[at(&a, s, k)] = (T)t->x[s * t->n + k];                                           \
        rolling_many_##suffix(o, t->series, t->n, x + a.first, a.steps, out + b.first, b.steps);   \
        for (size_t s = 0; s < t->series; s++)                                                     \
            for (size_t k = 0; k < t->n; k++) {                                                    \
                results[s * t->n + k] = (double)out[at(&b, s, k)];                                 \
                out[at(&b, s, k)] = (T)-77;                                                        \
            }                                                                                      \
        for (size_t i = 0; i < b.room; i++)                                                        \
            CHECK(out[i] == (T)-77);                                                               \
        mem_free(x);                                                                               \
        mem_free(out);                                                                             \
        return results;                                                                            \
    }
RESULTS(double, f64)
RESULTS(float, f32)

static bool same_bits(const double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(isnan(a[i]) && isnan(b[i])) && memcmp(a + i, b + i, sizeof *a) != 0)
            return false;
    return true;
}

/* Both precisions of what this isa makes of it, every `step` values. */
static void check_results(const struct rolling_sums_options *o, const struct table *t, size_t step,
                          const double *pair, const double *single)
{
    for (size_t i = 0; i < t->series * t->n; i += step) {
        const size_t s = i / t->n, k = i % t->n;
        struct wanted w = definition(o, t->x + s * t->n, k);
        if (!close_to(o, w, pair[i], t->spread[s], t->most[s], false) ||
            !close_to(o, w, single[i], t->spread[s], t->most[s], true))
            TEST_FAIL("%s %s: %zu x %zu window %zu: %zu of %zu: %.17g, %.9g for %.17g",
                      kernel_isa_name(kernel_isa()), kind_name(o->kind), t->series, t->n, o->window,
                      k, s, pair[i], single[i], w.value);
    }
}

/* Against the definition, and all places alike. */
static void check_table(const struct rolling_sums_options *o, const struct table *t, size_t step)
{
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        double *pair = results_f64(o, t, ROWS, ROWS), *single = results_f32(o, t, ROWS, ROWS);
        check_results(o, t, step, pair, single);
        for (int from = COLUMNS; from < PLACES; from++) {
            double *again = results_f64(o, t, from, from);
            double *once_more = results_f32(o, t, from, (from + 1) % PLACES);
            CHECK(same_bits(pair, again, t->series * t->n));
            CHECK(same_bits(single, once_more, t->series * t->n));
            mem_free(again);
            mem_free(once_more);
        }
        mem_free(pair);
        mem_free(single);
    }
}

static size_t up_to(unsigned *state, size_t most)
{
    return (size_t)(noise(state) * (double)(most + 1));
}

TEST(tables_of_all_shapes_equal_the_definition)
{
    unsigned state = 3;
    for (size_t i = 0; i < SHAPES; i += kernels_share()) {
        const unsigned holes[] = {0, 0, 3, 40, 500}, odd[] = {0, 0, 0, 0, 300};
        struct table t = table_new(up_to(&state, SERIES), up_to(&state, VALUES), holes[i % 5],
                                   odd[i / 5 % 5], &state);
        struct rolling_sums_options o = {.kind = (enum rolling_sum)(i % ROLLING_SUM_KINDS),
                                         .window = 1 + up_to(&state, i % 7 ? 30 : VALUES),
                                         .ddof = i % 4 == 0 ? 0 : 1,
                                         .skip_nan = i % 3 > 0};
        o.min_periods = i % 2 ? o.window : 1 + up_to(&state, o.window - 1);
        check_table(&o, &t, 1);
        table_free(&t);
    }
}

/* More series than are on their way at one time, and fewer than one vector. */
TEST(wide_tables_and_narrow_ones)
{
    unsigned state = 5;
    for (size_t series = 1; series < 2500; series = series * 3 + 1) {
        struct table t = table_new(series, 40, 0, 0, &state);
        for (int kind = 0; kind < ROLLING_SUM_KINDS; kind++) {
            struct rolling_sums_options o = {(enum rolling_sum)kind, 7, 7, 1, true};
            check_table(&o, &t, 11 * kernels_share());
        }
        table_free(&t);
    }
}

/* Sums begin anew with each block; what is turned goes in parts. */
TEST(long_series_begin_their_sums_anew)
{
    static const size_t windows[] = {1, 9, 600, 4099, 12000};
    unsigned state = 7;
    struct table plain = table_new(9, 9803, 0, 0, &state);
    struct table holes = table_new(9, 9803, 900, 0, &state);
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        for (int kind = 0; kind < ROLLING_SUM_KINDS; kind++) {
            struct rolling_sums_options o = {(enum rolling_sum)kind, windows[i],
                                             (windows[i] + 1) / 2, 1, true};
            const size_t step = (windows[i] > 500 ? 3011 : 311) * kernels_share();
            check_table(&o, &plain, step);
            check_table(&o, &holes, step);
        }
    table_free(&plain);
    table_free(&holes);
}

/* One value for all, in as many series as a vector has, and one more. */
static struct table table_of(size_t n, double value)
{
    unsigned state = 1;
    struct table t = table_new(9, n, 0, 0, &state);
    for (size_t i = 0; i < 9 * n; i++)
        t.x[i] = value;
    return t;
}

static void check_from(const struct rolling_sums_options *o, const struct table *t, size_t from,
                       double want)
{
    for (int what = 0; what < KERNEL_ISAS * PLACES; what++) {
        if (!kernel_isa_use((enum kernel_isa)(what % KERNEL_ISAS)))
            continue;
        double *got = results_f64(o, t, what / KERNEL_ISAS, what / KERNEL_ISAS);
        for (size_t i = 0; i < 9 * t->n; i++)
            if (i % t->n >= from && got[i] != want)
                TEST_FAIL("%s: %zu of %zu: %.17g for %.17g", kernel_isa_name(kernel_isa()),
                          i % t->n, i / t->n, got[i], want);
        mem_free(got);
    }
}

/* A value that takes all digits of a sum takes none of the next block's. */
TEST(nothing_is_carried_from_block_to_block)
{
    struct rolling_sums_options o = {ROLLING_SUM, 20, 20, 1, true};
    struct table t = table_of(4500, 0.5);
    for (size_t s = 0; s < 9; s++)
        t.x[s * 4500 + 100] = 1e200;
    check_from(&o, &t, 4096, 10);
    for (size_t s = 0; s < 9; s++)
        t.x[s * 4500 + 300] = (double)NAN;
    check_from(&o, &t, 4096, 10);
    table_free(&t);
}

/* Three that it took no notice of go after it: what is left then is of no value. */
TEST(nothing_is_carried_through_an_empty_window)
{
    struct rolling_sums_options o = {ROLLING_SUM, 4, 1, 1, true};
    struct table t = table_of(60, 0.5);
    for (size_t i = 0; i < 9 * 60; i++)
        if (i % 60 >= 6 && i % 60 < 15)
            t.x[i] = i % 60 == 6 ? 1e17 : i % 60 < 10 ? 3 : (double)NAN;
    check_from(&o, &t, 18, 2);
    table_free(&t);
}

/* What stands in the series beside one is no matter to the last bit. */
TEST(series_do_not_know_each_other)
{
    unsigned state = 11;
    struct table t = table_new(40, 120, 60, 0, &state), other = table_new(40, 120, 0, 0, &state);
    memcpy(other.x, t.x, 40 * 120 * sizeof *t.x);
    for (size_t s = 0; s < 40; s++)
        for (size_t k = 0; s % 3 > 0 && k < 120; k++)
            other.x[s * 120 + k] = s % 3 == 1 ? 1e30 * noise(&state)
                                   : k % 9    ? (double)INFINITY
                                              : (double)NAN;
    for (int what = 0; what < KERNEL_ISAS * ROLLING_SUM_KINDS; what++) {
        if (!kernel_isa_use((enum kernel_isa)(what % KERNEL_ISAS)))
            continue;
        struct rolling_sums_options o = {(enum rolling_sum)(what / KERNEL_ISAS), 12, 5, 1, true};
        double *want = results_f64(&o, &t, ROWS, ROWS);
        double *rows = results_f64(&o, &other, ROWS, ROWS);
        double *columns = results_f64(&o, &other, COLUMNS, COLUMNS);
        for (size_t s = 0; s < 40; s += 3) {
            CHECK(same_bits(want + s * 120, rows + s * 120, 120));
            CHECK(same_bits(want + s * 120, columns + s * 120, 120));
        }
        mem_free(want);
        mem_free(rows);
        mem_free(columns);
    }
    table_free(&t);
    table_free(&other);
}

/* A spike of 10^9 leaves nothing behind, a new level no noise, a flat stretch no variance. */
TEST(variance_is_no_coarser_behind_a_spike)
{
    unsigned state = 13;
    struct table t = table_new(30, 400, 0, 0, &state);
    struct rolling_sums_options o = {ROLLING_VARIANCE, 24, 20, 1, true};
    for (size_t s = 0; s < 30; s++)
        for (size_t k = 0; k < 400; k++) {
            double *x = &t.x[s * 400 + k];
            *x = noise(&state) + (k > 250 && s % 2 ? 1e7 : 0);
            if (k == 100 && s % 3)
                *x = 1e9;
            if (k > 300 && k < 350)
                *x = 0.1;
            if (k % 160 == 20 && s % 5 == 0)
                *x = (double)NAN;
        }
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        for (int place = 0; place < PLACES; place++) {
            double *got = results_f64(&o, &t, place, place);
            for (size_t i = 0; i < 30 * 400; i++) {
                struct wanted w = definition(&o, t.x + i / 400 * 400, i % 400);
                if (isnan(got[i]) != isnan(w.value) || fabs(got[i] - w.value) > 1e-6 * w.value)
                    TEST_FAIL("%s: %zu of %zu: %.17g for %.17g",
                              kernel_isa_name((enum kernel_isa)isa), i % 400, i / 400, got[i],
                              w.value);
            }
            mem_free(got);
        }
    }
    table_free(&t);
}
