#include "kernels/rolling_direct.h"

#include <math.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/rolling_direct_avx512.h"

#ifdef __aarch64__
#include <arm_neon.h>
#endif

double rolling_slide_one(struct rolling_slide *s, double in, double gone)
{
    in -= s->center;
    gone -= s->center;
    double d = in - gone;
    s->first += d;
    if (s->what == ROLLING_FIRSTS)
        return s->first * s->share;
    s->second += d * (in + gone);
    double squares = s->second - s->first * s->first * s->share;
    s->low = fmin(s->low, squares);
    s->high = fmax(s->high, s->second);
    double variance = fmax(squares, 0) * s->spare;
    if (s->what == ROLLING_VARIANCES)
        return variance;
    if (s->what == ROLLING_DEVIATIONS)
        return sqrt(variance);
    return variance > 0 ? (in - s->first * s->share) / sqrt(variance) : (double)NAN;
}

/* ---- inner loops -------------------------------------------------------- */

#define T     double
#define LANES 1
#define TARGET
#define SQRT(v)    sqrt(v)
#define NAME(word) word##_scalar_f64
#include "kernels/rolling_direct_isa.h"
#define T     float
#define LANES 1
#define TARGET
#define SQRT(v)    sqrt(v)
#define NAME(word) word##_scalar_f32
#define FLOATS
#include "kernels/rolling_direct_isa.h"

#ifdef __x86_64__
#define SQRT_128(v) ((V)_mm_sqrt_pd((__m128d)(v)))
#elif defined __aarch64__
#define SQRT_128(v) ((V)vsqrtq_f64((float64x2_t)(v)))
#else
#define SQRT_128(v) ((V){sqrt((v)[0]), sqrt((v)[1])})
#endif
#define T     double
#define LANES 2
#define TARGET
#define SQRT(v)    SQRT_128(v)
#define NAME(word) word##_128_f64
#include "kernels/rolling_direct_isa.h"
#define T     float
#define LANES 2
#define TARGET
#define SQRT(v)    SQRT_128(v)
#define NAME(word) word##_128_f32
#define FLOATS
#include "kernels/rolling_direct_isa.h"

#ifdef __x86_64__
#define T          double
#define LANES      4
#define TARGET     KERNEL_TARGET_AVX2
#define SQRT(v)    ((V)_mm256_sqrt_pd((__m256d)(v)))
#define NAME(word) word##_avx2_f64
#include "kernels/rolling_direct_isa.h"
#define T          float
#define LANES      4
#define TARGET     KERNEL_TARGET_AVX2
#define SQRT(v)    ((V)_mm256_sqrt_pd((__m256d)(v)))
#define NAME(word) word##_avx2_f32
#define FLOATS
#include "kernels/rolling_direct_isa.h"
#define T          double
#define LANES      8
#define TARGET     KERNEL_TARGET_AVX512
#define SQRT(v)    ((V)_mm512_sqrt_pd((__m512d)(v)))
#define NAME(word) word##_avx512_f64
#include "kernels/rolling_direct_isa.h"
#define T          float
#define LANES      8
#define TARGET     KERNEL_TARGET_AVX512
#define SQRT(v)    ((V)_mm512_sqrt_pd((__m512d)(v)))
#define NAME(word) word##_avx512_f32
#define FLOATS
#define PAIRS
#include "kernels/rolling_direct_isa.h"
#endif

/* ORDER kernel_isa */
static const struct loops {
    void (*begin_f64)(struct rolling_slide *s, const double *x);
    void (*begin_f32)(struct rolling_slide *s, const float *x);
    void (*slide_f64)(struct rolling_slide *s, const double *x, size_t n, double *out);
    void (*slide_f32)(struct rolling_slide *s, const float *x, size_t n, float *out);
} loops[KERNEL_ISAS] = {
    {begin_scalar_f64, begin_scalar_f32, slide_scalar_f64, slide_scalar_f32},
    {begin_128_f64, begin_128_f32, slide_128_f64, slide_128_f32},
#ifdef __x86_64__
    {begin_avx2_f64, begin_avx2_f32, slide_avx2_f64, slide_avx2_f32},
    {begin_avx512_f64, begin_avx512_f32, slide_avx512_f64, slide_avx512_f32},
#endif
};

/* ---- what is seen ------------------------------------------------------- */

bool rolling_slide_for(struct rolling_slide *s, const struct rolling_sums_options *o)
{
    const double window = (double)o->window;
    *s = (struct rolling_slide){.window = o->window, .share = 1 / window, .spare = NAN};
    if (window > o->ddof)
        s->spare = 1 / (window - o->ddof);
    if (o->kind == ROLLING_SUM)
        s->share = 1;
    else if (o->kind == ROLLING_VARIANCE)
        s->what = ROLLING_VARIANCES;
    else if (o->kind == ROLLING_DEVIATION)
        s->what = ROLLING_DEVIATIONS;
    else if (o->kind == ROLLING_ZSCORE)
        s->what = ROLLING_ZSCORES;
    return o->kind != ROLLING_WEIGHTED;
}

static bool fine(const struct rolling_slide *s)
{
    if (s->what == ROLLING_FIRSTS || s->window == 1)
        return isfinite(s->first);
    return isfinite(s->second) && s->low * 0x1p20 >= s->high;
}

#define DIRECT(T, suffix)                                                                          \
    void rolling_slide_begin_##suffix(struct rolling_slide *s, const T *x)                         \
    {                                                                                              \
        s->center = s->what == ROLLING_FIRSTS ? 0 : (double)x[-1];                                 \
        loops[kernel_isa()].begin_##suffix(s, x - s->window);                                      \
    }                                                                                              \
    bool rolling_slide_run_##suffix(struct rolling_slide *s, const T *x, size_t n, T *out)         \
    {                                                                                              \
        loops[kernel_isa()].slide_##suffix(s, x, n, out);                                          \
        return fine(s);                                                                            \
    }
DIRECT(double, f64)
DIRECT(float, f32)
