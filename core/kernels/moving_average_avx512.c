#ifdef __x86_64__

#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#include "kernels/isa.h"
#include "kernels/moving_average_avx512.h"

typedef double vector __attribute__((vector_size(64)));

/* A float in the upper half of 64 bits, moved down by three with its sign left in place, is a
 * double 2^896 times as small, whatever stood in the lower half: every other element becomes a
 * double in two instructions, and already lies apart from its neighbours.  So a pair has one place
 * in the running sum, which then costs half as many shuffles.  Infinity and NaN look like numbers
 * here. */
#define DOWN 0x1p-896
#define UP   0x1p896

enum { PAIRS = 8, GROUP = 2 * PAIRS, GROUPS = 4 };

/* x[0], x[2], ... x[14]; reads x[-1], too. */
KERNEL_TARGET_AVX512 static inline vector every_other(const float *x)
{
    __m512i bits = _mm512_srai_epi64(_mm512_loadu_si512(x - 1), 3);
    return (vector)_mm512_and_epi64(bits, _mm512_set1_epi64((int64_t)0x8fffffffe0000000));
}

KERNEL_TARGET_AVX512 static inline vector every_other_difference(const float *x, size_t window)
{
    return every_other(x) - every_other(x - window);
}

/* Running sums of 2, of 4 and of all 8 lanes: the first two stay within 128 and 256 bits. */
KERNEL_TARGET_AVX512 static inline vector below_in_two(vector v)
{
    return (vector)_mm512_maskz_permute_pd(0xaa, (__m512d)v, 0);
}

KERNEL_TARGET_AVX512 static inline vector below_in_four(vector v)
{
    return (vector)_mm512_maskz_permutex_pd(0xcc, (__m512d)v, 0x50);
}

KERNEL_TARGET_AVX512 static inline vector below_in_eight(vector v)
{
    return (vector)_mm512_maskz_permutexvar_pd(0xf0, _mm512_set1_epi64(3), (__m512d)v);
}

KERNEL_TARGET_AVX512 static inline vector last_of(vector v)
{
    return (vector)_mm512_permutexvar_pd(_mm512_set1_epi64(7), (__m512d)v);
}

KERNEL_TARGET_AVX512 static inline __m512 side_by_side(vector even, vector odd)
{
    const __m512i order = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512 low = _mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)even));
    __m512 high = _mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)odd));
    return _mm512_permutex2var_ps(low, order, high);
}

#define EACH(what) what(0) what(1) what(2) what(3)

/* One step of all groups before the next step of any: each instruction has what it waits for
 * sooner, and the processor's queues do not fill up with ones that wait. */
#define LOOK(g) strange |= _mm512_fpclass_ps_mask(_mm512_loadu_ps(x + i + GROUP * (g)), 0x99);
#define LOAD(g)                                                                                    \
    vector even##g = every_other_difference(x + i + GROUP * (g), window);                          \
    vector odd##g = every_other_difference(x + i + GROUP * (g) + 1, window);                       \
    vector sum##g = even##g + odd##g;
#define TWO(g)   sum##g += below_in_two(sum##g);
#define FOUR(g)  sum##g += below_in_four(sum##g);
#define EIGHT(g) sum##g += below_in_eight(sum##g);
#define LAST(g)  vector last##g = last_of(sum##g);
#define CARRY(g)                                                                                   \
    sum##g += carry;                                                                               \
    carry += last##g;
#define MEAN(g)                                                                                    \
    even##g = (sum##g - odd##g) * share;                                                           \
    odd##g = sum##g * share;
#define STORE(g) _mm512_storeu_ps(out + i + GROUP * (g), side_by_side(even##g, odd##g));

KERNEL_TARGET_AVX512 double moving_average_slide_avx512(const float *x, size_t n, size_t window,
                                                        double sum, float *out)
{
    const double count = (double)window;
    size_t i = 0;
    /* At least one, for x[-1 - window] may not be there; then whole lines of the cache. */
    for (; i < n && (i == 0 || (uintptr_t)(out + i) % 64 != 0); i++) {
        sum += (double)x[i] - (double)x[i - window];
        out[i] = (float)(sum / count);
    }
    vector share = {0}, carry = {0};
    share += UP / count;
    carry += sum * DOWN;
    unsigned strange = 0;
    for (; i + GROUPS * GROUP <= n; i += GROUPS * GROUP) {
        EACH(LOOK)
        EACH(LOAD)
        EACH(TWO)
        EACH(FOUR)
        EACH(EIGHT)
        EACH(LAST)
        EACH(CARRY)
        EACH(MEAN)
        EACH(STORE)
    }
    sum = strange ? (double)NAN : carry[0] * UP;
    for (; i < n; i++) {
        sum += (double)x[i] - (double)x[i - window];
        out[i] = (float)(sum / count);
    }
    return sum;
}

#endif
