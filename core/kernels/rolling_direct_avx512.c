#ifdef __x86_64__

#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#include "kernels/isa.h"
#include "kernels/rolling_direct_avx512.h"

typedef double vector __attribute__((vector_size(64)));

/* As in moving_average_avx512.c: a float in the upper half of 64 bits, moved down by three with its
 * sign left in place, is a double 2^-896 times as large.  So 16 floats are 8 pairs without a
 * shuffle, and a pair has one place in the running sum, which then costs half as many.  What is
 * added to what is as in groups of 8 that are taken one value a lane (lanes.h): to the same bits.
 * Infinity and NaN look like numbers here. */
#define UP 0x1p896

enum { GROUP = 16, GROUPS = 4 };

#define INLINE KERNEL_TARGET_AVX512 static inline __attribute__((always_inline))

INLINE vector odd_ones(__m512i bits)
{
    bits = _mm512_srai_epi64(bits, 3);
    return (vector)_mm512_and_epi64(bits, _mm512_set1_epi64((int64_t)0x8fffffffe0000000));
}

INLINE vector even_ones(__m512i bits)
{
    return odd_ones(_mm512_slli_epi64(bits, 32));
}

INLINE vector all(double value)
{
    return (vector)_mm512_set1_pd(value);
}

/* One step of all groups before the next step of any: each instruction has what it waits for
 * sooner, and the processor's queues do not fill up with ones that wait. */
#define EACH _Pragma("GCC unroll 4") for (size_t g = 0; g < groups; g++)

/* Differences of 16 values, what becomes running sums of them; `even` and `odd` of each pair. */
struct sums {
    vector even, odd;
};

INLINE void add_below(struct sums *v, vector below)
{
    v->even += below;
    v->odd += below;
}

/* Each half of 8 values for itself, then behind what was before them all. */
INLINE void add_up(struct sums *v, vector *carry, const size_t groups)
{
    vector half[4], whole[4];
    EACH v[g].odd += v[g].even;
    EACH add_below(&v[g], (vector)_mm512_maskz_permute_pd(0xaa, (__m512d)v[g].odd, 0));
    EACH add_below(&v[g], (vector)_mm512_maskz_permutex_pd(0xcc, (__m512d)v[g].odd, 0x50));
    EACH half[g] = (vector)_mm512_permutexvar_pd(_mm512_set1_epi64(3), (__m512d)v[g].odd);
    EACH whole[g] = (vector)_mm512_permutexvar_pd(_mm512_set1_epi64(7), (__m512d)v[g].odd);
    EACH
    {
        half[g] += *carry;
        add_below(&v[g], (vector)_mm512_mask_mov_pd((__m512d)*carry, 0xf0, (__m512d)half[g]));
        *carry = half[g] + whole[g];
    }
}

INLINE void store(float *out, vector even, vector odd)
{
    const __m512i order = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512 low = _mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)even));
    __m512 high = _mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)odd));
    _mm512_storeu_ps(out, _mm512_permutex2var_ps(low, order, high));
}

/* What a walk carries from group to group. */
struct walk {
    vector first, second, low, high;
    unsigned strange;
};

INLINE __m512i look(struct walk *w, const float *x)
{
    __m512i in = _mm512_loadu_si512(x);
    w->strange |= _mm512_fpclass_ps_mask(_mm512_castsi512_ps(in), 0x99);
    return in;
}

INLINE void firsts(struct walk *w, const struct rolling_slide *s, const float *x, float *out,
                   const size_t groups)
{
    struct sums d[4];
    EACH
    {
        __m512i in = look(w, x + g * GROUP), gone = _mm512_loadu_si512(x + g * GROUP - s->window);
        d[g].even = even_ones(in) - even_ones(gone);
        d[g].odd = odd_ones(in) - odd_ones(gone);
    }
    add_up(d, &w->first, groups);
    EACH store(out + g * GROUP, d[g].even * all(s->share * UP), d[g].odd * all(s->share * UP));
}

/* What goes into the sum of squares: (in - gone) (in + gone), of values less the center. */
INLINE vector of_squares(vector difference, vector gone, double center)
{
    gone = (vector)_mm512_fmsub_pd((__m512d)gone, _mm512_set1_pd(UP), _mm512_set1_pd(center));
    return difference *
           (vector)_mm512_fmadd_pd((__m512d)gone, _mm512_set1_pd(2), (__m512d)difference);
}

INLINE vector squares_of(struct walk *w, const struct rolling_slide *s, vector first, vector second,
                         bool root)
{
    vector squares =
        (vector)_mm512_fnmadd_pd((__m512d)(first * first), (__m512d)all(s->share), (__m512d)second);
    w->low = (vector)_mm512_min_pd((__m512d)squares, (__m512d)w->low);
    w->high = (vector)_mm512_max_pd((__m512d)second, (__m512d)w->high);
    squares = (vector)_mm512_max_pd(_mm512_setzero_pd(), (__m512d)squares) * all(s->spare);
    return root ? (vector)_mm512_sqrt_pd((__m512d)squares) : squares;
}

INLINE void squares(struct walk *w, const struct rolling_slide *s, const float *x, float *out,
                    const size_t groups, bool root)
{
    struct sums d[4], e[4];
    EACH
    {
        __m512i in = look(w, x + g * GROUP), gone = _mm512_loadu_si512(x + g * GROUP - s->window);
        vector even = even_ones(gone), odd = odd_ones(gone);
        d[g].even = (even_ones(in) - even) * all(UP);
        d[g].odd = (odd_ones(in) - odd) * all(UP);
        e[g].even = of_squares(d[g].even, even, s->center);
        e[g].odd = of_squares(d[g].odd, odd, s->center);
    }
    add_up(d, &w->first, groups);
    add_up(e, &w->second, groups);
    EACH e[g].even = squares_of(w, s, d[g].even, e[g].even, root);
    EACH e[g].odd = squares_of(w, s, d[g].odd, e[g].odd, root);
    EACH store(out + g * GROUP, e[g].even, e[g].odd);
}

KERNEL_TARGET_AVX512 size_t rolling_slide_pairs(struct rolling_slide *to, const float *x, size_t n,
                                                float *out)
{
    const struct rolling_slide s = *to;
    const double up = s.what == ROLLING_FIRSTS ? UP : 1;
    struct walk w = {all(s.first / up), all(s.second), all(s.low), all(s.high), 0};
    size_t i = 0;
    if (s.what == ROLLING_FIRSTS) {
        for (; i + GROUPS * GROUP <= n; i += GROUPS * GROUP)
            firsts(&w, &s, x + i, out + i, GROUPS);
        for (; i + GROUP <= n; i += GROUP)
            firsts(&w, &s, x + i, out + i, 1);
    } else if (s.what == ROLLING_VARIANCES) {
        for (; i + 2 * GROUP <= n; i += 2 * GROUP)
            squares(&w, &s, x + i, out + i, 2, false);
        for (; i + GROUP <= n; i += GROUP)
            squares(&w, &s, x + i, out + i, 1, false);
    } else {
        for (; i + 2 * GROUP <= n; i += 2 * GROUP)
            squares(&w, &s, x + i, out + i, 2, true);
        for (; i + GROUP <= n; i += GROUP)
            squares(&w, &s, x + i, out + i, 1, true);
    }
    to->first = w.strange ? (double)NAN : w.first[0] * up;
    to->second = w.second[0];
    to->low = _mm512_reduce_min_pd((__m512d)w.low);
    to->high = _mm512_reduce_max_pd((__m512d)w.high);
    return i;
}

#endif
