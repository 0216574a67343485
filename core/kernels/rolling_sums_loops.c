#include <math.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/rolling_sums_private.h"

#ifdef __aarch64__
#include <arm_neon.h>
#endif

static const double rolling_places[ROLLING_GROUP] = {0, 1, 2, 3, 4, 5, 6, 7};

enum rolling_second rolling_second(enum rolling_sum kind)
{
    if (kind == ROLLING_SUM || kind == ROLLING_MEAN)
        return ROLLING_NO_SECOND;
    return kind == ROLLING_WEIGHTED ? ROLLING_RAMP : ROLLING_SQUARES;
}

#define LANES 1
#define TARGET
#define SQRT(v)    sqrt(v)
#define NAME(word) word##_scalar
#include "kernels/rolling_sums_isa.h"

#define LANES 2
#define TARGET
#ifdef __x86_64__
#define SQRT(v) ((V)_mm_sqrt_pd((__m128d)(v)))
#elif defined __aarch64__
#define SQRT(v) ((V)vsqrtq_f64((float64x2_t)(v)))
#else
#define SQRT(v) ((V){sqrt((v)[0]), sqrt((v)[1])})
#endif
#define NAME(word) word##_128
#include "kernels/rolling_sums_isa.h"

#ifdef __x86_64__
#define LANES      4
#define TARGET     KERNEL_TARGET_AVX2
#define SQRT(v)    ((V)_mm256_sqrt_pd((__m256d)(v)))
#define NAME(word) word##_avx2
#include "kernels/rolling_sums_isa.h"
#define LANES      8
#define TARGET     KERNEL_TARGET_AVX512
#define SQRT(v)    ((V)_mm512_sqrt_pd((__m512d)(v)))
#define NAME(word) word##_avx512
#include "kernels/rolling_sums_isa.h"
#endif

/* ORDER kernel_isa */
static const struct rolling_loops loops[KERNEL_ISAS] = {
    {walk_scalar, gather_scalar},
    {walk_128, gather_128},
#ifdef __x86_64__
    {walk_avx2, gather_avx2},
    {walk_avx512, gather_avx512},
#endif
};

const struct rolling_loops *rolling_loops(void)
{
    return &loops[kernel_isa()];
}
