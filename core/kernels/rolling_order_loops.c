/* The inner loops for each set of vector instructions, and the choice among them. */
#include <math.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "kernels/isa.h"
#include "kernels/rolling_order_private.h"

/* The place of the k-th bit that is set, from 0; there are more than k.  Bits are counted in
 * bytes first (Vigna, "Broadword implementation of rank/select queries", 2008). */
static inline size_t select_plain(uint64_t word, size_t k)
{
    const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    uint64_t sums = word - (word >> 1 & 0x5555555555555555);
    sums = (sums & 0x3333333333333333) + (sums >> 2 & 0x3333333333333333);
    sums = ((sums + (sums >> 4)) & 0x0F0F0F0F0F0F0F0F) * ones;    /* of each byte and those below */
    uint64_t before = (((k * ones | highs) - sums) & highs) >> 7; /* bytes whose sum is <= k */
    size_t byte = before * ones >> 56;
    k -= byte ? sums >> (8 * byte - 8) & 0xFF : 0;
    uint64_t rest = word >> (8 * byte);
    for (; k > 0; k--)
        rest &= rest - 1;
    return 8 * byte + (size_t)__builtin_ctzll(rest);
}

#define BYTES 16
#define TARGET
#define NAME(word)      word##_128
#define SELECT(word, k) select_plain(word, k)
#define GATHER(bytes)   order_gather(bytes)
#ifdef __x86_64__
#define LESSER_F32  _mm_min_ps
#define GREATER_F32 _mm_max_ps
#define LESSER_F64  _mm_min_pd
#define GREATER_F64 _mm_max_pd
#else
typedef float four __attribute__((vector_size(16)));
typedef double two __attribute__((vector_size(16)));
static inline four choose_f32(four a, four b, int32_t mask __attribute__((vector_size(16))))
{
    typedef int32_t bits __attribute__((vector_size(16)));
    return (four)(((bits)a & mask) | ((bits)b & ~mask));
}
static inline two choose_f64(two a, two b, int64_t mask __attribute__((vector_size(16))))
{
    typedef int64_t bits __attribute__((vector_size(16)));
    return (two)(((bits)a & mask) | ((bits)b & ~mask));
}
#define LESSER_F32(a, b)  choose_f32(a, b, (a) < (b))
#define GREATER_F32(a, b) choose_f32(a, b, (a) > (b))
#define LESSER_F64(a, b)  choose_f64(a, b, (a) < (b))
#define GREATER_F64(a, b) choose_f64(a, b, (a) > (b))
#endif
#include "kernels/rolling_order_isa.h"

#ifdef __x86_64__
__attribute__((target("avx2"))) static inline uint64_t gather_avx2(const uint8_t *bytes)
{
    __m256i low = _mm256_loadu_si256((const __m256i *)bytes);
    __m256i high = _mm256_loadu_si256((const __m256i *)(bytes + 32));
    uint32_t bits = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(low, 7));
    return bits | (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(high, 7)) << 32;
}

__attribute__((target("avx512f,avx512bw"))) static inline uint64_t
gather_avx512(const uint8_t *bytes)
{
    __m512i all = _mm512_loadu_si512(bytes);
    return _mm512_test_epi8_mask(all, all);
}

#define BYTES           32
#define TARGET          __attribute__((target("avx2,fma,bmi,bmi2,popcnt,lzcnt")))
#define NAME(word)      word##_avx2
#define SELECT(word, k) ((size_t)__builtin_ctzll(__builtin_ia32_pdep_di(1ULL << (k), word)))
#define GATHER(bytes)   gather_avx2(bytes)
#define LESSER_F32      _mm256_min_ps
#define GREATER_F32     _mm256_max_ps
#define LESSER_F64      _mm256_min_pd
#define GREATER_F64     _mm256_max_pd
#include "kernels/rolling_order_isa.h"

#define BYTES 64
#define TARGET                                                                                     \
    __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,fma,bmi,bmi2,popcnt,lzcnt")))
#define NAME(word)      word##_avx512
#define SELECT(word, k) ((size_t)__builtin_ctzll(__builtin_ia32_pdep_di(1ULL << (k), word)))
#define GATHER(bytes)   gather_avx512(bytes)
#define LESSER_F32      _mm512_min_ps
#define GREATER_F32     _mm512_max_ps
#define LESSER_F64      _mm512_min_pd
#define GREATER_F64     _mm512_max_pd
#include "kernels/rolling_order_isa.h"
#endif

/* ---- without vectors --------------------------------------------------- */

#define PLAIN_PAIRS(K, suffix)                                                                     \
    static void pairs_##suffix##_plain(const K *keys, size_t n, uint32_t *rank)                    \
    {                                                                                              \
        memset(rank, 0, n * sizeof *rank);                                                         \
        for (size_t i = 0; i < n; i++)                                                             \
            for (size_t j = 0; j < i; j++) {                                                       \
                rank[i] += keys[j] <= keys[i];                                                     \
                rank[j] += keys[j] > keys[i];                                                      \
            }                                                                                      \
    }
PLAIN_PAIRS(int32_t, i32)
PLAIN_PAIRS(int64_t, i64)

#define PLAIN_CHOOSE(T, suffix, word, op)                                                          \
    static void word##_##suffix##_plain(T *m, size_t n, size_t shift)                              \
    {                                                                                              \
        for (size_t i = 0; i < n; i++)                                                             \
            m[i] = m[i] op m[i + shift] ? m[i] : m[i + shift];                                     \
    }
PLAIN_CHOOSE(float, f32, least, <)
PLAIN_CHOOSE(float, f32, most, >)
PLAIN_CHOOSE(double, f64, least, <)
PLAIN_CHOOSE(double, f64, most, >)

#define PLAIN_ANY_NAN(T, suffix)                                                                   \
    static bool any_nan_##suffix##_plain(const T *x, size_t n)                                     \
    {                                                                                              \
        bool any = false;                                                                          \
        for (size_t i = 0; i < n; i++)                                                             \
            any |= x[i] != x[i];                                                                   \
        return any;                                                                                \
    }
PLAIN_ANY_NAN(float, f32)
PLAIN_ANY_NAN(double, f64)

#define ROW(isa, bytes, most_f32, most_f64)                                                        \
    {                                                                                              \
        pairs_i32_##isa, pairs_i64_##isa, most_f32, most_f64, keys_of_f32_##isa,                   \
            keys_of_f64_##isa, least_f32_##isa, most_f32_##isa, least_f64_##isa, most_f64_##isa,   \
            range_f32_##isa, range_f64_##isa, any_nan_f32_##isa, any_nan_f64_##isa,                \
            tiles_f32_##isa, tiles_f64_##isa, bytes / 4, bytes / 8, slide_full_##isa,              \
            slide_any_##isa                                                                        \
    }

/* ORDER kernel_isa */
static const struct order_isa isas[KERNEL_ISAS] = {
    {pairs_i32_plain,
     pairs_i64_plain,
     32,
     32,
     keys_of_f32_128,
     keys_of_f64_128,
     least_f32_plain,
     most_f32_plain,
     least_f64_plain,
     most_f64_plain,
     range_f32_128,
     range_f64_128,
     any_nan_f32_plain,
     any_nan_f64_plain,
     tiles_f32_128,
     tiles_f64_128,
     4,
     2,
     slide_full_128,
     slide_any_128},
    ROW(128, 16, 256, 32),
#ifdef __x86_64__
    ROW(avx2, 32, 256, 128),
    ROW(avx512, 64, 256, 128),
#endif
};

const struct order_isa *order_isa(void)
{
    enum kernel_isa isa = kernel_isa();
#ifdef __x86_64__
    if (isa == KERNEL_AVX512 && !__builtin_cpu_supports("avx512bw"))
        isa = KERNEL_AVX2;
    if (isa == KERNEL_AVX2 && !__builtin_cpu_supports("bmi2"))
        isa = KERNEL_VECTOR128;
#endif
    return &isas[isa];
}
