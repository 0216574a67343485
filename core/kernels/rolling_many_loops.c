#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/rolling_many_private.h"
#include "kernels/rolling_sums_private.h"

#ifdef __aarch64__
#include <arm_neon.h>
#endif

#define T     double
#define LANES 1
#define TARGET
#define SQRT(v)    sqrt(v)
#define NAME(word) word##_scalar_f64
#include "kernels/rolling_many_isa.h"
#define T     float
#define LANES 1
#define TARGET
#define SQRT(v)    sqrt(v)
#define NAME(word) word##_scalar_f32
#define FLOATS
#include "kernels/rolling_many_isa.h"

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
#include "kernels/rolling_many_isa.h"
#define T     float
#define LANES 2
#define TARGET
#define SQRT(v)    SQRT_128(v)
#define NAME(word) word##_128_f32
#define FLOATS
#include "kernels/rolling_many_isa.h"

#ifdef __x86_64__
#define T          double
#define LANES      4
#define TARGET     KERNEL_TARGET_AVX2
#define SQRT(v)    ((V)_mm256_sqrt_pd((__m256d)(v)))
#define NAME(word) word##_avx2_f64
#include "kernels/rolling_many_isa.h"
#define T          float
#define LANES      4
#define TARGET     KERNEL_TARGET_AVX2
#define SQRT(v)    ((V)_mm256_sqrt_pd((__m256d)(v)))
#define NAME(word) word##_avx2_f32
#define FLOATS
#include "kernels/rolling_many_isa.h"
#define T          double
#define LANES      8
#define TARGET     KERNEL_TARGET_AVX512
#define SQRT(v)    ((V)_mm512_sqrt_pd((__m512d)(v)))
#define NAME(word) word##_avx512_f64
#include "kernels/rolling_many_isa.h"
#define T          float
#define LANES      8
#define TARGET     KERNEL_TARGET_AVX512
#define SQRT(v)    ((V)_mm512_sqrt_pd((__m512d)(v)))
#define NAME(word) word##_avx512_f32
#define FLOATS
#include "kernels/rolling_many_isa.h"
#endif

#define OF(name)                                                                                   \
    {                                                                                              \
        begin_##name, walk_##name, take_##name, give_##name                                        \
    }

/* ORDER kernel_isa */
static const struct rolling_many_loops loops[KERNEL_ISAS] = {
    {1, OF(scalar_f64), OF(scalar_f32)},
    {2, OF(128_f64), OF(128_f32)},
#ifdef __x86_64__
    {4, OF(avx2_f64), OF(avx2_f32)},
    {8, OF(avx512_f64), OF(avx512_f32)},
#endif
};

const struct rolling_many_loops *rolling_many_loops(void)
{
    return &loops[kernel_isa()];
}
