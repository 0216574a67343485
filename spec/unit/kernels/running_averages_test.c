/* Every variant against the definition in long double.
 *
 * KERNELS_STREAM=N: how long the stream is in which nothing may drift. */
#include "kernels/running_averages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/isa.h"
#include "test.h"

/* More than two pieces, and no multiple of a group. */
enum { N = 2503 };

static double noise(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (1 << 24);
}

/* As pandas has it: the average before, and the weight of all that came before. */
static void exponential_definition(const struct exponential_options *o, const double *x, size_t n,
                                   double *want)
{
    long double average = NAN, old = 1, alpha = (long double)o->alpha;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        bool there = isfinite(x[i]);
        count += there ? 1 : 0;
        if (!isnan(average)) {
            if (there || !o->ignore_missing)
                old *= 1 - alpha;
            long double fresh = o->adjust ? 1 : alpha;
            if (there) {
                average = (old * average + fresh * (long double)x[i]) / (old + fresh);
                old = o->adjust ? old + fresh : 1;
            }
        } else if (there) {
            average = (long double)x[i];
        }
        want[i] = count >= o->min_periods ? (double)average : NAN;
    }
}

static void cumulative_definition(const struct cumulative_options *o, const double *x, size_t n,
                                  double *want)
{
    long double sum = 0;
    size_t count = 0;
    bool spoilt = false;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(x[i])) {
            sum += (long double)x[i];
            count++;
        } else {
            spoilt = spoilt || !o->skip_missing;
        }
        want[i] = count >= o->min_periods && !spoilt ? (double)(sum / count) : NAN;
    }
}

static size_t wrong(const double *got, const double *want, size_t n, double bound)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += (isnan(want[i]) ? isnan(got[i]) : fabs(got[i] - want[i]) <= bound) ? 0 : 1;
    return count;
}

static bool same_bits(const double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(isnan(a[i]) && isnan(b[i])) && memcmp(a + i, b + i, sizeof *a) != 0)
            return false;
    return true;
}

static double x[N], out[N], want[N], again[N];
static float single[N], single_out[2 * N];

/* holes: one in so many is missing, 0: none.  Returns the largest magnitude. */
static double fill(size_t n, double offset, double scale, unsigned holes)
{
    unsigned state = (unsigned)n;
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        single[i] = (float)(offset + (noise(&state) - 0.5) * scale);
        most = fmax(most, fabs((double)single[i]));
        if (holes && (state >> 16) % holes == 0)
            single[i] = (state >> 13) % 2 ? NAN : INFINITY;
        x[i] = (double)single[i];
    }
    return most;
}

/* Checks out, again and single_out of n values against want. */
static void check_results(const char *what, size_t n, double bound, double most)
{
    static double widened[N];
    for (size_t i = 0; i < n; i++)
        widened[i] = (double)single_out[2 * i];
    size_t bad = wrong(out, want, n, bound),
           single_bad = wrong(widened, want, n, bound + ldexp(most, -24));
    if (bad || single_bad)
        TEST_FAIL("%s, %s: n %zu: %zu and %zu wrong", kernel_isa_name(kernel_isa()), what, n, bad,
                  single_bad);
    CHECK(same_bits(out, again, n));
}

static void check_exponential(const struct exponential_options *o, size_t n, double most)
{
    exponential_definition(o, x, n, want);
    double bound = 16 * (1 + 1 / o->alpha) * ldexp(most, -53);
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        struct exponential_average s;
        exponential_begin(&s, o);
        exponential_push_f64(&s, x, 1, n, out, 1);
        exponential_begin(&s, o);
        exponential_push_f32(&s, single, 1, n, single_out, 2);
        exponential_begin(&s, o);
        for (size_t at = 0, some = 1; at < n; at += some, some = some % 29 + 1) {
            some = some < n - at ? some : n - at;
            exponential_push_f64(&s, x + at, 1, some, again + at, 1);
        }
        check_results(o->adjust ? "exponential, adjusted" : "exponential", n, bound, most);
    }
}

static void check_cumulative(const struct cumulative_options *o, size_t n, double most)
{
    cumulative_definition(o, x, n, want);
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        struct cumulative_mean s;
        cumulative_begin(&s, o);
        cumulative_push_f64(&s, x, 1, n, out, 1);
        cumulative_begin(&s, o);
        cumulative_push_f32(&s, single, 1, n, single_out, 2);
        cumulative_begin(&s, o);
        for (size_t at = 0, some = 1; at < n; at += some, some = some % 29 + 1) {
            some = some < n - at ? some : n - at;
            cumulative_push_f64(&s, x + at, 1, some, again + at, 1);
        }
        check_results("cumulative", n, 16 * ldexp(most, -53), most);
    }
}

static void check_all(size_t n, double offset, double scale, unsigned holes)
{
    static const double alphas[] = {1, 0.5, 0.1, 0.003, 1e-6};
    double most = fill(n, offset, scale, holes);
    for (size_t a = 0; a < sizeof alphas / sizeof *alphas; a++)
        for (int adjust = 0; adjust < 2; adjust++)
            for (int ignore = 0; ignore < 2; ignore++) {
                struct exponential_options o = {alphas[a], 1 + a * 3, adjust, ignore};
                check_exponential(&o, n, most);
            }
    for (size_t least = 1; least < 20; least += 9) {
        check_cumulative(&(struct cumulative_options){least, true}, n, most);
        check_cumulative(&(struct cumulative_options){least, false}, n, most);
    }
}

TEST(every_variant_equals_the_definition)
{
    check_all(N, 0, 2, 0);
    check_all(N, 1e6, 10, 0);
    check_all(N, 1, 3, 20);
    check_all(N, 1, 3, 2);
}

TEST(short_series)
{
    for (size_t n = 0; n < 40; n++) {
        check_all(n, 5, 1, 0);
        check_all(n, 5, 1, 3);
    }
}

TEST(a_long_gap_ends_with_the_next_value)
{
    for (size_t i = 0; i < N; i++)
        single[i] = i == 0 || i == N - 1 ? 3 + (float)i : NAN;
    for (size_t i = 0; i < N; i++)
        x[i] = (double)single[i];
    check_exponential(&(struct exponential_options){0.9, 1, true, false}, N, N + 3);
    check_exponential(&(struct exponential_options){0.9, 1, false, false}, N, N + 3);
}

/* 10^6 and a fraction, over and over: the mean of whole cycles is known. */
TEST(nothing_drifts)
{
    enum { CYCLE = 1000, BATCHES = 2 };
    const char *wish = getenv("KERNELS_STREAM");
    const size_t n = wish ? strtoull(wish, NULL, 10) : 1000000;
    static double cycle[BATCHES * CYCLE], means[BATCHES * CYCLE], averages[BATCHES * CYCLE];
    long double sum = 0;
    for (size_t i = 0; i < CYCLE; i++) {
        cycle[i] = cycle[CYCLE + i] = 1e6 + (double)(i * 7 % CYCLE) / 3;
        sum += (long double)cycle[i];
    }
    struct cumulative_mean c;
    cumulative_begin(&c, &(struct cumulative_options){1, true});
    struct exponential_options o = {0.05, 1, true, true};
    struct exponential_average e;
    exponential_begin(&e, &o);
    size_t at = 0;
    do {
        cumulative_push_f64(&c, cycle, 1, BATCHES * CYCLE, means, 1);
        exponential_push_f64(&e, cycle, 1, BATCHES * CYCLE, averages, 1);
        at += BATCHES * CYCLE;
    } while (at < n);
    double most = 1e6 + 334, mean = (double)(sum / CYCLE);
    CHECK(fabs(means[BATCHES * CYCLE - 1] - mean) <= 16 * ldexp(most, -53));
    exponential_definition(&o, cycle, BATCHES * CYCLE, want);
    CHECK(fabs(averages[BATCHES * CYCLE - 1] - want[BATCHES * CYCLE - 1]) <=
          16 * 21 * ldexp(most, -53));
}
