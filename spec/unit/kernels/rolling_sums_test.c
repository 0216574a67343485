/* Every variant against the definition, summed in long double.
 *
 * KERNELS_STREAM=N: how long the stream is in which nothing may drift. */
#include "kernels/rolling_sums.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/isa.h"
#include "kernels/rolling_trial.h"
#include "kernels/share.h"
#include "test.h"

/* Longer than two blocks, and no multiple of a group. */
enum { N = 9803 };

/* Pushes in batches of 1, 2, 3, ... `most` values, and again. */
static void in_batches(struct rolling_sums *s, const double *x, size_t n, size_t most, double *out)
{
    size_t some = 1;
    for (size_t at = 0; at < n; at += some, some = some % most + 1) {
        if (some > n - at)
            some = n - at;
        rolling_sums_push_f64(s, x + at, 1, some, out + at, 1);
    }
}

static bool same_bits(const double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(isnan(a[i]) && isnan(b[i])) && memcmp(a + i, b + i, sizeof *a) != 0)
            return false;
    return true;
}

struct series {
    size_t n;
    double *x; /* also single precision's */
    float *single;
    double spread, most; /* of the finite ones */
};

static struct series series_new(size_t n, double offset, double scale, unsigned holes, unsigned odd)
{
    struct series s = {.n = n};
    s.x = mem_alloc((n + 1) * sizeof *s.x);
    s.single = mem_alloc((n + 1) * sizeof *s.single);
    unsigned state = (unsigned)n + holes;
    for (size_t i = 0; i < n; i++) {
        float value = (float)(offset + (noise(&state) - 0.5) * scale);
        s.spread = scale * 1.001;
        s.most = fmax(s.most, fabs((double)value));
        if (holes && (state >> 16) % holes == 0)
            value = NAN;
        if (odd && (state >> 12) % odd == 0)
            value = (state >> 9) % 2 ? INFINITY : -INFINITY;
        s.single[i] = value;
        s.x[i] = (double)value;
    }
    return s;
}

static void series_free(struct series *s)
{
    mem_free(s->x);
    mem_free(s->single);
}

static void check_one(const struct rolling_sums_options *o, const struct series *a)
{
    const size_t n = a->n;
    double *out = mem_alloc((n + 1) * sizeof *out), *again = mem_alloc((n + 1) * sizeof *again);
    float *single = mem_alloc((2 * n + 1) * sizeof *single);
    const size_t step = n > 1000 ? (o->window > 500 ? 211 : 7) * kernels_share() : 1;
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        struct rolling_sums *s = rolling_sums_new(o);
        rolling_sums_push_f64(s, a->x, 1, n, out, 1);
        rolling_sums_reset(s);
        rolling_sums_push_f32(s, a->single, 1, n, single, 2);
        size_t wrong = 0, first = n;
        for (size_t i = 0; i < n; i += step) {
            struct wanted w = definition(o, a->x, i);
            bool good = close_to(o, w, out[i], a->spread, a->most, false) &&
                        close_to(o, w, (double)single[2 * i], a->spread, a->most, true);
            wrong += !good;
            if (!good && first == n)
                first = i;
        }
        if (wrong)
            TEST_FAIL("%s %s: n %zu window %zu: %zu wrong, first %zu: %.17g for %.17g",
                      kernel_isa_name((enum kernel_isa)isa), kind_name(o->kind), n, o->window,
                      wrong, first, out[first], definition(o, a->x, first).value);
        rolling_sums_reset(s);
        in_batches(s, a->x, n, n > 1000 ? 211 : 11, again);
        CHECK(same_bits(out, again, n));
        rolling_sums_free(s);
    }
    mem_free(out);
    mem_free(again);
    mem_free(single);
}

static void check_kinds(const struct series *a, size_t window, size_t min_periods, bool skip_nan)
{
    for (int kind = 0; kind < ROLLING_SUM_KINDS; kind++) {
        struct rolling_sums_options o = {.kind = (enum rolling_sum)kind,
                                         .window = window,
                                         .min_periods = min_periods,
                                         .ddof = 1,
                                         .skip_nan = skip_nan};
        check_one(&o, a);
    }
}

TEST(every_variant_equals_the_definition)
{
    static const size_t windows[] = {1, 2, 3, 7, 8, 9, 100, 4095, 4099, 12000};
    struct series plain = series_new(N, 0, 2, 0, 0);
    struct series far = series_new(N, 1e6, 10, 0, 0);
    struct series holes = series_new(N, 3, 4, 30, 0);
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        check_kinds(&plain, windows[i], (windows[i] + 1) / 2, true);
        check_kinds(&far, windows[i], windows[i], true);
        check_kinds(&holes, windows[i], (windows[i] + 1) / 2, i % 2 == 0);
    }
    series_free(&plain);
    series_free(&far);
    series_free(&holes);
}

TEST(short_series_with_all_that_can_be_in_them)
{
    for (size_t n = 0; n < 60; n += 7)
        for (size_t window = 1; window < 30; window += 4) {
            struct series a = series_new(n, 1, 3, 0, 0), b = series_new(n, 1, 3, 5, 11);
            check_kinds(&a, window, 1, true);
            check_kinds(&b, window, 1, true);
            check_kinds(&b, window, (window + 1) / 2, false);
            series_free(&a);
            series_free(&b);
        }
}

TEST(infinities_end_with_their_windows)
{
    struct series a = series_new(6007, 0, 2, 0, 900), b = series_new(6007, 0, 2, 40, 700);
    check_kinds(&a, 20, 20, true);
    check_kinds(&b, 300, 100, true);
    check_kinds(&b, 20, 5, false);
    series_free(&a);
    series_free(&b);
}

/* A spike of 10^9 leaves nothing behind, a new level no noise, a flat stretch no variance. */
TEST(variance_begins_anew_where_it_would_be_coarse)
{
    enum { LONG = 5000, WINDOW = 24 };
    static double x[LONG], out[LONG], again[LONG];
    unsigned state = 7;
    for (int i = 0; i < LONG; i++) {
        x[i] = noise(&state) + (i > 2000 ? 1e7 : 0);
        if (i % 500 == 490)
            x[i] = 1e9;
        if (i > 3000 && i < 3200)
            x[i] = 0.1;
    }
    struct rolling_sums_options o = {ROLLING_VARIANCE, WINDOW, WINDOW, 1, true};
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        struct rolling_sums *s = rolling_sums_new(&o);
        rolling_sums_push_f64(s, x, 1, LONG, out, 1);
        for (size_t i = WINDOW - 1; i < LONG; i++) {
            struct wanted w = definition(&o, x, i);
            if (fabs(out[i] - w.value) > 1e-6 * w.value)
                TEST_FAIL("%s: %zu: %.17g for %.17g", kernel_isa_name((enum kernel_isa)isa), i,
                          out[i], w.value);
        }
        rolling_sums_reset(s);
        in_batches(s, x, LONG, 37, again);
        CHECK(same_bits(out, again, LONG));
        rolling_sums_free(s);
    }
}

/* Whole blocks take another way than what comes in small batches. */
TEST(float32_is_the_same_to_the_bit_however_it_is_cut)
{
    struct series a = series_new(N, 5, 2, 0, 0), b = series_new(N, 1e-41, 1e-42, 0, 0);
    a.single[7000] = NAN;
    float *out = mem_alloc(2 * N * sizeof *out);
    for (int what = 0; what < KERNEL_ISAS * ROLLING_SUM_KINDS * 2; what++) {
        if (!kernel_isa_use((enum kernel_isa)(what % KERNEL_ISAS)))
            continue;
        const struct series *from = what / KERNEL_ISAS % 2 ? &a : &b;
        struct rolling_sums_options o = {(enum rolling_sum)(what / KERNEL_ISAS / 2), 25, 13, 1,
                                         true};
        struct rolling_sums *s = rolling_sums_new(&o);
        rolling_sums_push_f32(s, from->single, 1, N, out, 1);
        rolling_sums_reset(s);
        for (size_t at = 0, some = 1; at < N; at += some, some = some % 97 + 1) {
            some = some < N - at ? some : N - at;
            rolling_sums_push_f32(s, from->single + at, 1, some, out + N + at, 1);
        }
        for (size_t i = 0; i < N; i++)
            if (!(isnan(out[i]) && isnan(out[N + i])) && memcmp(out + i, out + N + i, 4) != 0)
                TEST_FAIL("%s %s: %zu: %.9g and %.9g", kernel_isa_name(kernel_isa()),
                          kind_name(o.kind), i, (double)out[i], (double)out[N + i]);
        rolling_sums_free(s);
    }
    mem_free(out);
    series_free(&a);
    series_free(&b);
}

TEST(in_place_and_backwards)
{
    double x[40], want[40], out[40];
    for (int i = 0; i < 40; i++)
        x[i] = i % 7;
    struct rolling_sums_options o = {ROLLING_SUM, 5, 1, 0, true};
    struct rolling_sums *s = rolling_sums_new(&o);
    rolling_sums_push_f64(s, x, 1, 40, want, 1);
    rolling_sums_reset(s);
    rolling_sums_push_f64(s, x + 39, -1, 40, out + 39, -1);
    for (size_t i = 0; i < 40; i++) {
        double sum = 0;
        for (size_t k = i; k < 40 && k < i + 5; k++)
            sum += x[k];
        CHECK(out[i] == sum);
    }
    rolling_sums_reset(s);
    rolling_sums_push_f64(s, x, 1, 40, x, 1);
    CHECK(same_bits(x, want, 40));
    rolling_sums_free(s);
}

/* x[i] for a stream too long to keep. */
static double far_noise(size_t i)
{
    unsigned state = (unsigned)i * 2654435761u;
    noise(&state);
    return 1e6 + noise(&state);
}

/* What is at the end of a long stream is what a short one of the last window would have. */
TEST(nothing_drifts)
{
    const char *wish = getenv("KERNELS_STREAM");
    const size_t n = wish ? strtoull(wish, NULL, 10) : 300000, window = 1000;
    enum { BATCH = 4000 };
    static double x[BATCH], out[BATCH];
    for (int kind = 0; kind < ROLLING_SUM_KINDS; kind++) {
        struct rolling_sums_options o = {(enum rolling_sum)kind, window, window, 1, true};
        struct rolling_sums *s = rolling_sums_new(&o);
        for (size_t at = 0; at < n; at += BATCH) {
            for (size_t i = 0; i < BATCH; i++)
                x[i] = far_noise(at + i);
            rolling_sums_push_f64(s, x, 1, BATCH, out, 1);
        }
        struct wanted w = definition(&o, x, BATCH - 1);
        CHECK(close_to(&o, w, out[BATCH - 1], 1, 1e6 + 1, false));
        rolling_sums_free(s);
    }
}
