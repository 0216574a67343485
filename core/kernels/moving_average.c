#include "kernels/moving_average.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/moving_average_avx512.h"

enum { BLOCK_LEAST = 8192 };

/* ---- inner loops ------------------------------------------------------- */

#define T     double
#define LANES 1
#define TARGET
#define NAME(word) word##_scalar_f64
#include "kernels/moving_average_isa.h"
#define T     float
#define LANES 1
#define TARGET
#define NAME(word) word##_scalar_f32
#define FLOATS
#include "kernels/moving_average_isa.h"
#define T     double
#define LANES 2
#define TARGET
#define NAME(word) word##_128_f64
#include "kernels/moving_average_isa.h"
#define T     float
#define LANES 2
#define TARGET
#define NAME(word) word##_128_f32
#define FLOATS
#include "kernels/moving_average_isa.h"

#ifdef __x86_64__
#define T          double
#define LANES      4
#define TARGET     KERNEL_TARGET_AVX2
#define NAME(word) word##_avx2_f64
#include "kernels/moving_average_isa.h"
#define T          float
#define LANES      4
#define TARGET     KERNEL_TARGET_AVX2
#define NAME(word) word##_avx2_f32
#define FLOATS
#include "kernels/moving_average_isa.h"
#define T          double
#define LANES      8
#define TARGET     KERNEL_TARGET_AVX512
#define NAME(word) word##_avx512_f64
#include "kernels/moving_average_isa.h"
#define T          float
#define LANES      8
#define TARGET     KERNEL_TARGET_AVX512
#define NAME(word) word##_avx512_f32
#define FLOATS
#define SLIDE_ELSEWHERE
#include "kernels/moving_average_isa.h"
#endif

/* ---- choice ------------------------------------------------------------ */

#define LOOPS(suffix, T)                                                                           \
    struct loops_##suffix {                                                                        \
        double (*total)(const T *x, size_t n);                                                     \
        double (*slide)(const T *x, size_t n, size_t window, double sum, T *out);                  \
        double (*grow)(const T *x, size_t n, size_t before, double sum, T *out);                   \
    }
LOOPS(f64, double);
LOOPS(f32, float);

/* ORDER kernel_isa */
static const struct isa {
    struct loops_f64 f64;
    struct loops_f32 f32;
} isas[KERNEL_ISAS] = {
    {{add_up_scalar_f64, slide_scalar_f64, grow_scalar_f64},
     {add_up_scalar_f32, slide_scalar_f32, grow_scalar_f32}},
    {{add_up_128_f64, slide_128_f64, grow_128_f64}, {add_up_128_f32, slide_128_f32, grow_128_f32}},
#ifdef __x86_64__
    {{add_up_avx2_f64, slide_avx2_f64, grow_avx2_f64},
     {add_up_avx2_f32, slide_avx2_f32, grow_avx2_f32}},
    {{add_up_avx512_f64, slide_avx512_f64, grow_avx512_f64},
     {add_up_avx512_f32, moving_average_slide_avx512, grow_avx512_f32}},
#endif
};

static const struct isa *chosen(void)
{
    return &isas[kernel_isa()];
}

/* ---- blocks ------------------------------------------------------------ */

/* What a window holds while some of its values are not finite. */
struct held {
    double sum;                /* of the finite ones */
    size_t count;              /* not NaN */
    size_t positive, negative; /* infinities */
};

static void hold(struct held *h, double value, int sign)
{
    if (isnan(value))
        return;
    h->count += (size_t)sign;
    if (isfinite(value))
        h->sum += sign * value;
    else if (value > 0)
        h->positive += (size_t)sign;
    else
        h->negative += (size_t)sign;
}

static double held_mean(const struct held *h, size_t min_periods)
{
    if (h->count < min_periods)
        return NAN;
    if (h->positive || h->negative)
        return h->positive && h->negative ? NAN : h->positive ? INFINITY : -INFINITY;
    return h->sum / (double)h->count;
}

/* Elements from..to-1 by the definition, one at a time: for blocks that meet NaN or infinity. */
#define CAREFUL(T, suffix)                                                                         \
    static void careful_##suffix(const T *x, size_t from, size_t to, size_t window,                \
                                 size_t min_periods, T *out)                                       \
    {                                                                                              \
        struct held h = {0};                                                                       \
        for (size_t i = from > window ? from - window : 0; i < from; i++)                          \
            hold(&h, (double)x[i], 1);                                                             \
        for (size_t i = from; i < to; i++) {                                                       \
            hold(&h, (double)x[i], 1);                                                             \
            if (i >= window)                                                                       \
                hold(&h, (double)x[i - window], -1);                                               \
            out[i] = (T)held_mean(&h, min_periods);                                                \
        }                                                                                          \
    }
CAREFUL(double, f64)
CAREFUL(float, f32)

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

#define MOVING_AVERAGE(T, suffix)                                                                  \
    static void grow_all_##suffix(const T *x, size_t n, size_t window, size_t min_periods, T *out) \
    {                                                                                              \
        double sum = chosen()->suffix.grow(x, n, 0, 0, out);                                       \
        if (!isfinite(sum))                                                                        \
            careful_##suffix(x, 0, n, window, min_periods, out);                                   \
        for (size_t i = 0; isfinite(sum) && i < least(n, min_periods - 1); i++)                    \
            out[i] = (T)NAN;                                                                       \
    }                                                                                              \
    void moving_average_##suffix(const T *x, size_t n, size_t window, size_t min_periods, T *out)  \
    {                                                                                              \
        const size_t block = window > BLOCK_LEAST ? window : BLOCK_LEAST;                          \
        size_t from = least(n, window);                                                            \
        grow_all_##suffix(x, from, window, min_periods, out);                                      \
        while (from < n) {                                                                         \
            size_t to = from + least(block, n - from);                                             \
            double sum = chosen()->suffix.total(x + from - window, window);                        \
            sum = chosen()->suffix.slide(x + from, to - from, window, sum, out + from);            \
            if (!isfinite(sum))                                                                    \
                careful_##suffix(x, from, to, window, min_periods, out);                           \
            from = to;                                                                             \
        }                                                                                          \
    }
MOVING_AVERAGE(double, f64)
MOVING_AVERAGE(float, f32)
