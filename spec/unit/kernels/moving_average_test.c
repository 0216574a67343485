/* Every variant against the definition. */
#include "kernels/moving_average.h"

#include <math.h>

#include "base/mem.h"
#include "kernels/isa.h"
#include "kernels/share.h"
#include "test.h"

/* Longer than two blocks, and not a multiple of any vector. */
enum { N = 20011 };

static double reference(const double *x, size_t i, size_t window, size_t min_periods)
{
    long double sum = 0;
    size_t count = 0;
    for (size_t k = i + 1 > window ? i + 1 - window : 0; k <= i; k++) {
        if (isnan(x[k]))
            continue;
        sum += x[k];
        count++;
    }
    return count < min_periods ? NAN : (double)(sum / count);
}

static bool near(double got, double want, double bound)
{
    return isnan(want) ? isnan(got) : isinf(want) ? got == want : fabs(got - want) <= bound;
}

static double noise(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (1 << 24);
}

/* scale: values up to it; holes: one in so many is NaN (0: none). */
static void check_all(size_t n, size_t window, size_t min_periods, double scale, unsigned holes)
{
    double *x = mem_alloc(N * sizeof *x), *out = mem_alloc(N * sizeof *out);
    float *xf = mem_alloc(N * sizeof *xf), *outf = mem_alloc(N * sizeof *outf);
    unsigned state = (unsigned)(n + window);
    for (size_t i = 0; i < n; i++) {
        xf[i] = (float)((noise(&state) - 0.25) * scale);
        if (holes && (state >> 16) % holes == 0)
            xf[i] = NAN;
        x[i] = (double)xf[i];
    }
    double block = window > 8192 ? (double)window : 8192;
    double bound = ((double)window + 2 * block + 16) * ldexp(1, -53) * scale;
    const size_t step = n > 3000 ? 37 * kernels_share() : 1;
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        moving_average_f64(x, n, window, min_periods, out);
        moving_average_f32(xf, n, window, min_periods, outf);
        size_t wrong = 0;
        for (size_t i = 0; i < n; i += step) {
            double want = reference(x, i, window, min_periods);
            wrong += !near(out[i], want, bound);
            wrong +=
                !near((double)outf[i], want, bound + fabs(want) * ldexp(1, -24) + ldexp(1, -150));
        }
        if (wrong)
            TEST_FAIL("%s: n %zu window %zu: %zu wrong", kernel_isa_name((enum kernel_isa)isa), n,
                      window, wrong);
    }
    mem_free(x);
    mem_free(out);
    mem_free(xf);
    mem_free(outf);
}

TEST(every_variant_equals_the_definition)
{
    static const size_t windows[] = {1, 2, 3, 7, 8, 9, 12, 100, 8191, 8192, 8193, 15000, 30000};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        check_all(N, windows[i], 1, 1, 0);
        check_all(N, windows[i], (windows[i] + 1) / 2, 1e6, 0);
        check_all(N, windows[i], windows[i], 1e6, 50);
    }
}

/* Denormal ones, ones of all magnitudes, the largest that there are. */
TEST(small_and_large_values)
{
    static const double scales[] = {1e-43, 1e-38, 1e-30, 3.4e38};
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        check_all(3001, 1, 1, scales[i], 0);
        check_all(3001, 37, 37, scales[i], 0);
        check_all(3001, 37, 1, scales[i], 400);
    }
}

TEST(short_arrays)
{
    for (size_t n = 0; n < 40; n++)
        for (size_t window = 1; window < 20; window += 3) {
            check_all(n, window, 1, 10, 0);
            check_all(n, window, window, 10, 4);
        }
}

TEST(an_infinity_stays_in_its_windows)
{
    double x[100], out[100];
    for (int i = 0; i < 100; i++)
        x[i] = 1;
    x[10] = INFINITY;
    x[50] = INFINITY;
    x[52] = -INFINITY;
    moving_average_f64(x, 100, 5, 1, out);
    CHECK(out[9] == 1 && isinf(out[10]) && isinf(out[14]) && out[15] == 1);
    CHECK(out[50] > 1 && isnan(out[52]) && isnan(out[54]) && out[55] < -1 && out[57] == 1);
}
