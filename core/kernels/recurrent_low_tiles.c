#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "kernels/recurrent_low.h"

/* A row whose largest magnitude is less counts as zeros: 127 divided by it has to be a number. */
#define LEAST_ROW 1e-30F

#ifdef __x86_64__

#define TARGET_BF16     __attribute__((target("avx512f,avx512dq,avx512vl,fma,avx512bw,avx512bf16")))
#define TARGET_VNNI     __attribute__((target("avx512f,avx512dq,avx512vl,fma,avx512bw,avx512vnni")))
#define TARGET_AVX_VNNI __attribute__((target("avx2,fma,avxvnni")))

/* ---- bfloat16, 512 bits -------------------------------------------------- */

#define LANES       16
#define ROWS        6
#define BLOCKS      4
#define BYTES       0
#define LEAST(a, b) ((vec_bf16)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define MOST(a, b)  ((vec_bf16)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define TARGET      TARGET_BF16
#define NAME(word)  word##_bf16
#define SUM         vec_bf16
#define DOT(sum, a, weights)                                                                       \
    ((vec_bf16)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)_mm512_set1_epi32((int)(a)),              \
                                (__m512bh)(weights)))
#include "kernels/recurrent_low_isa.h"

TARGET static void lower_bf16(const float *values, int n, uint32_t *to, float *unused)
{
    int k = 0;
    (void)unused;
    for (; k + LANES <= n; k += LANES, to += LANES / 2) {
        __m256bh brains = _mm512_cvtneps_pbh(_mm512_loadu_ps(values + k));
        memcpy(to, &brains, sizeof brains);
    }
    if (k == n)
        return;
    float tail[LANES] = {0};
    memcpy(tail, values + k, (size_t)(n - k) * sizeof *tail);
    __m256bh brains = _mm512_cvtneps_pbh(_mm512_loadu_ps(tail));
    memcpy(to, &brains, (size_t)(n - k + 1) / 2 * sizeof *to);
}

static const struct recurrent_low_tiles low_bf16 = {
    .dot = KERNEL_AVX512_BF16,
    .lanes = LANES,
    .rows = ROWS,
    .blocks = BLOCKS,
    .each = 2,
    .lower = lower_bf16,
    .step = {LIST(low_lstm), LIST(low_gru), LIST(low_dense)},
};
#include "kernels/recurrent_low_end.h"

/* ---- bytes, 512 bits ----------------------------------------------------- */

#define LANES           16
#define ROWS            6
#define BLOCKS          4
#define BYTES           1
#define LEAST(a, b)     ((vec_vnni)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define MOST(a, b)      ((vec_vnni)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define MOST_INTS(a, b) ((ints_vnni)_mm512_max_epi32((__m512i)(a), (__m512i)(b)))
#define TARGET          TARGET_VNNI
#define NAME(word)      word##_vnni
#define SUM             ints_vnni
#define DOT(sum, a, weights)                                                                       \
    ((ints_vnni)_mm512_dpbusd_epi32((__m512i)(sum), _mm512_set1_epi32((int)(a)),                   \
                                    (__m512i)(weights)))
#include "kernels/recurrent_low_isa.h"

static const struct recurrent_low_tiles low_vnni = {
    .dot = KERNEL_AVX512_VNNI,
    .lanes = LANES,
    .rows = ROWS,
    .blocks = BLOCKS,
    .each = 4,
    .lower = lower_vnni,
    .step = {LIST(low_lstm), LIST(low_gru), LIST(low_dense)},
};
#include "kernels/recurrent_low_end.h"

/* ---- bytes, 256 bits ----------------------------------------------------- */

#define LANES           8
#define ROWS            3
#define BLOCKS          2
#define BYTES           1
#define LEAST(a, b)     ((vec_avx_vnni)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define MOST(a, b)      ((vec_avx_vnni)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define MOST_INTS(a, b) ((ints_avx_vnni)_mm256_max_epi32((__m256i)(a), (__m256i)(b)))
#define TARGET          TARGET_AVX_VNNI
#define NAME(word)      word##_avx_vnni
#define SUM             ints_avx_vnni
#define DOT(sum, a, weights)                                                                       \
    ((ints_avx_vnni)_mm256_dpbusd_avx_epi32((__m256i)(sum), _mm256_set1_epi32((int)(a)),           \
                                            (__m256i)(weights)))
#include "kernels/recurrent_low_isa.h"

static const struct recurrent_low_tiles low_avx_vnni = {
    .dot = KERNEL_AVX_VNNI,
    .lanes = LANES,
    .rows = ROWS,
    .blocks = BLOCKS,
    .each = 4,
    .lower = lower_avx_vnni,
    .step = {LIST(low_lstm), LIST(low_gru), LIST(low_dense)},
};
#include "kernels/recurrent_low_end.h"

#endif

const struct recurrent_low_tiles *recurrent_low_tiles(enum recurrent_kept kept)
{
#ifdef __x86_64__
    bool wide = kernel_isa() == KERNEL_AVX512;
    if (kept == RECURRENT_BF16 && wide && kernel_dot(KERNEL_AVX512_BF16))
        return &low_bf16;
    if (kept == RECURRENT_INT8 && wide && kernel_dot(KERNEL_AVX512_VNNI))
        return &low_vnni;
    if (kept == RECURRENT_INT8 && kernel_isa() == KERNEL_AVX2 && kernel_dot(KERNEL_AVX_VNNI))
        return &low_avx_vnni;
#endif
    (void)kept;
    return NULL;
}
