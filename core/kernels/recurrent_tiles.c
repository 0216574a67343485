#include "kernels/recurrent_tiles.h"

#include <stdint.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif
#ifdef __aarch64__
#include <arm_neon.h>
#endif

#define LANES       1
#define ROWS        3
#define BLOCKS      2
#define LEAST(a, b) ((a)[0] < (b)[0] ? (a) : (b))
#define MOST(a, b)  ((a)[0] > (b)[0] ? (a) : (b))
#define TARGET
#define NAME(word) word##_scalar
#include "kernels/recurrent_isa.h"

#define LANES 4
#ifdef __aarch64__
#define ROWS        6
#define BLOCKS      4
#define LEAST(a, b) ((vec_128)vminq_f32((float32x4_t)(a), (float32x4_t)(b)))
#define MOST(a, b)  ((vec_128)vmaxq_f32((float32x4_t)(a), (float32x4_t)(b)))
#else
#define ROWS        3
#define BLOCKS      2
#define LEAST(a, b) ((vec_128)_mm_min_ps((__m128)(a), (__m128)(b)))
#define MOST(a, b)  ((vec_128)_mm_max_ps((__m128)(a), (__m128)(b)))
#endif
#define TARGET
#define NAME(word) word##_128
#include "kernels/recurrent_isa.h"

#ifdef __x86_64__
#define LANES       8
#define ROWS        3
#define BLOCKS      2
#define LEAST(a, b) ((vec_avx2)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define MOST(a, b)  ((vec_avx2)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define TARGET      KERNEL_TARGET_AVX2
#define NAME(word)  word##_avx2
#include "kernels/recurrent_isa.h"

/* Lowest bytes of a, b and c as second, third and fourth ones, above 0. */
KERNEL_TARGET_AVX512 static inline __m512i fourth(__m512i a, __m512i b, __m512i c)
{
    const __m512i lowest =
        _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0); /* of each four bytes */
    __m512i v = _mm512_slli_epi32(c, 24);
    v = _mm512_mask_shuffle_epi8(v, 0x4444444444444444, b, lowest);
    return _mm512_mask_shuffle_epi8(v, 0x2222222222222222, a, lowest);
}

#define LANES           16
#define FOURTH(a, b, c) ((NAME(ints))fourth((__m512i)(a), (__m512i)(b), (__m512i)(c)))
#define ROWS            6
#define BLOCKS          4
#define LEAST(a, b)     ((vec_avx512)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define MOST(a, b)      ((vec_avx512)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define TARGET          KERNEL_TARGET_AVX512
#define NAME(word)      word##_avx512
#include "kernels/recurrent_isa.h"
#endif

const struct recurrent_tiles *recurrent_tiles(enum kernel_isa isa)
{
#ifdef __x86_64__
    if (isa == KERNEL_AVX512)
        return &tiles_avx512;
    if (isa == KERNEL_AVX2)
        return &tiles_avx2;
#endif
    return isa == KERNEL_SCALAR ? &tiles_scalar : &tiles_128;
}
