/* lanes.h -- vectors of LANES doubles, for the inner loops of a kernel.
 *
 * Included by a file of loops that is itself included once for each width, with LANES (1, 2, 4 or
 * 8), TARGET (a function attribute) and NAME(word) defined, and FLOATS when its arrays are of
 * float32; lanes_end.h takes all of it away again.
 *
 *   V                    LANES doubles; NAME(singles) as many floats
 *   SELECT(which, a, b)  a where `which`, the result of a comparison, holds
 *   LESSER(a, b) GREATER(a, b)
 *   LESS(a, b, c)        a - b * c, rounded once where there are instructions for it
 *   WIDEN NARROW         singles to V and back
 *   LOAD(v, array)       v becomes LANES values of an array
 *   STORE(array, v)      and back, rounded
 *   SCAN(v, zero, last)  v becomes its inclusive running sum, `last` its last lane in all lanes
 *   ADD_UP(v, zero, a, b, c)  the same, where a lane takes a times the lane below it, then b times
 * the lane below its two, then c times that below its four LAST(v)              its last lane in
 * all lanes LANE(v, i)  TOTAL(v)  one lane; the sum of all
 */

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define V NAME(vector)
#if LANES == 1
typedef double NAME(vector);
typedef bool NAME(mask);
typedef float NAME(singles);
#define SELECT(which, a, b) ((which) ? (a) : (b))
#define WIDEN(v)            ((double)(v))
#define NARROW(v)           ((float)(v))
#define ADD_UP(v, zero, a, b, c)                                                                   \
    do {                                                                                           \
    } while (0)
#define LAST(v) (v)
#else
typedef double NAME(vector) __attribute__((vector_size(LANES * sizeof(double))));
typedef long NAME(mask) __attribute__((vector_size(LANES * sizeof(long))));
typedef float NAME(singles) __attribute__((vector_size(LANES * sizeof(float))));
#define SELECT(which, a, b) ((V)(((NAME(mask))(a) & (which)) | ((NAME(mask))(b) & ~(which))))
#if LANES == 8 /* which gcc makes of two halves */
#define WIDEN(v) ((V)_mm512_cvtps_pd((__m256)(v)))
#else
#define WIDEN(v) __builtin_convertvector((v), V)
#endif
#define NARROW(v) __builtin_convertvector((v), NAME(singles))
#endif

#ifdef FLOATS
#define LOAD(to, from)                                                                             \
    do {                                                                                           \
        NAME(singles) raw_;                                                                        \
        memcpy(&raw_, (from), sizeof raw_);                                                        \
        (to) = WIDEN(raw_);                                                                        \
    } while (0)
#define STORE(to, from)                                                                            \
    do {                                                                                           \
        NAME(singles) raw_ = NARROW(from);                                                         \
        memcpy((to), &raw_, sizeof raw_);                                                          \
    } while (0)
#else
#define LOAD(to, from)  memcpy(&(to), (from), sizeof(to))
#define STORE(to, from) memcpy((to), &(from), sizeof(from))
#endif

/* b where either is NaN. */
#if LANES == 8
#define LESS(a, b, c) ((V)_mm512_fnmadd_pd((__m512d)(b), (__m512d)(c), (__m512d)(a)))
#define LESSER(a, b)  ((V)_mm512_min_pd((__m512d)(a), (__m512d)(b)))
#define GREATER(a, b) ((V)_mm512_max_pd((__m512d)(a), (__m512d)(b)))
#elif LANES == 4
#define LESS(a, b, c) ((V)_mm256_fnmadd_pd((__m256d)(b), (__m256d)(c), (__m256d)(a)))
#define LESSER(a, b)  ((V)_mm256_min_pd((__m256d)(a), (__m256d)(b)))
#define GREATER(a, b) ((V)_mm256_max_pd((__m256d)(a), (__m256d)(b)))
#else
#define LESS(a, b, c) ((a) - (b) * (c))
#define LESSER(a, b)  SELECT((a) < (b), (a), (b))
#define GREATER(a, b) SELECT((a) > (b), (a), (b))
#endif

/* Each lane takes what was added up just below it: of one lane, then of two, of four. */
#if LANES == 8
#define BELOW1(v, zero) __builtin_shufflevector((zero), (v), 0, 8, 2, 10, 4, 12, 6, 14)
#define BELOW2(v, zero) ((V)_mm512_maskz_permutex_pd(0xcc, (__m512d)(v), 0x50))
#define BELOW4(v, zero) ((V)_mm512_maskz_permutexvar_pd(0xf0, _mm512_set1_epi64(3), (__m512d)(v)))
#define LAST(v)         __builtin_shufflevector((v), (v), 7, 7, 7, 7, 7, 7, 7, 7)
#elif LANES == 4
#define BELOW1(v, zero) __builtin_shufflevector((zero), (v), 0, 4, 2, 6)
#define BELOW2(v, zero) __builtin_shufflevector((zero), (v), 0, 1, 5, 5)
#define LAST(v)         __builtin_shufflevector((v), (v), 3, 3, 3, 3)
#elif LANES == 2
#define BELOW1(v, zero) __builtin_shufflevector((zero), (v), 0, 2)
#define LAST(v)         __builtin_shufflevector((v), (v), 1, 1)
#endif
#if LANES == 8
#define ADD_UP(v, zero, a, b, c)                                                                   \
    do {                                                                                           \
        (v) += (a)*BELOW1(v, zero);                                                                \
        (v) += (b)*BELOW2(v, zero);                                                                \
        (v) += (c)*BELOW4(v, zero);                                                                \
    } while (0)
#elif LANES == 4
#define ADD_UP(v, zero, a, b, c)                                                                   \
    do {                                                                                           \
        (v) += (a)*BELOW1(v, zero);                                                                \
        (v) += (b)*BELOW2(v, zero);                                                                \
    } while (0)
#elif LANES == 2
#define ADD_UP(v, zero, a, b, c)                                                                   \
    do {                                                                                           \
        (v) += (a)*BELOW1(v, zero);                                                                \
    } while (0)
#endif
#define SCAN(v, zero, last)                                                                        \
    do {                                                                                           \
        ADD_UP(v, zero, 1.0, 1.0, 1.0);                                                            \
        (last) = LAST(v);                                                                          \
    } while (0)

TARGET static inline double NAME(lane)(V v, size_t lane)
{
    double lanes[LANES];
    memcpy(lanes, &v, sizeof lanes);
    return lanes[lane];
}

TARGET static inline double NAME(total)(V v)
{
    double sum = 0;
    for (size_t i = 0; i < LANES; i++)
        sum += NAME(lane)(v, i);
    return sum;
}

#define LANE(v, i) NAME(lane)((v), (i))
#define TOTAL(v)   NAME(total)(v)
