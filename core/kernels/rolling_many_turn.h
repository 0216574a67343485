/* rolling_many_turn.h -- series into lanes and back, once for each element type and vector width.
 *
 * Included by rolling_many_isa.h, with what that has.
 */

#ifdef FLOATS
#define PIECE NAME(singles)
#else
#define PIECE V
#endif

/* Of two pieces, `apart` from each other: what is low of both, and what is high. */
#define MIX(apart, low, high)                                                                      \
    _Pragma("GCC unroll 8") for (size_t i = 0; i < LANES; i++)                                     \
    {                                                                                              \
        if (i & (apart))                                                                           \
            continue;                                                                              \
        PIECE a = v[i], b = v[i + (apart)];                                                        \
        v[i] = __builtin_shufflevector(a, b, low);                                                 \
        v[i + (apart)] = __builtin_shufflevector(a, b, high);                                      \
    }
#define LIST(...) __VA_ARGS__

TARGET static inline __attribute__((always_inline)) void NAME(turn)(const T *x, ptrdiff_t step,
                                                                    T *to, ptrdiff_t to_step)
{
    PIECE v[LANES];
    _Pragma("GCC unroll 8") for (size_t i = 0; i < LANES; i++)
        memcpy(&v[i], x + (ptrdiff_t)i * step, sizeof *v);
#if LANES == 8
    MIX(4, LIST(0, 1, 2, 3, 8, 9, 10, 11), LIST(4, 5, 6, 7, 12, 13, 14, 15))
    MIX(2, LIST(0, 1, 8, 9, 4, 5, 12, 13), LIST(2, 3, 10, 11, 6, 7, 14, 15))
    MIX(1, LIST(0, 8, 2, 10, 4, 12, 6, 14), LIST(1, 9, 3, 11, 5, 13, 7, 15))
#elif LANES == 4
    MIX(2, LIST(0, 1, 4, 5), LIST(2, 3, 6, 7))
    MIX(1, LIST(0, 4, 2, 6), LIST(1, 5, 3, 7))
#elif LANES == 2
    MIX(1, LIST(0, 2), LIST(1, 3))
#endif
    _Pragma("GCC unroll 8") for (size_t i = 0; i < LANES; i++)
        memcpy(to + (ptrdiff_t)i * to_step, &v[i], sizeof *v);
}

TARGET static void NAME(take)(const T *x, ptrdiff_t step, size_t series, size_t n, T *to,
                              size_t lanes)
{
    const size_t whole = series / LANES * LANES;
    const size_t k = n / LANES * LANES;
    for (size_t s = 0; s < whole; s += LANES)
        for (size_t i = 0; i < k; i += LANES)
            NAME(turn)(x + (ptrdiff_t)s * step + i, step, to + i * lanes + s, (ptrdiff_t)lanes);
    for (size_t s = 0; s < series; s++)
        for (size_t i = s < whole ? k : 0; i < n; i++)
            to[i * lanes + s] = x[(ptrdiff_t)s * step + (ptrdiff_t)i];
}

TARGET static void NAME(give)(const T *x, size_t lanes, size_t series, size_t n, T *to,
                              ptrdiff_t step)
{
    const size_t whole = series / LANES * LANES;
    const size_t k = n / LANES * LANES;
    for (size_t s = 0; s < whole; s += LANES)
        for (size_t i = 0; i < k; i += LANES)
            NAME(turn)(x + i * lanes + s, (ptrdiff_t)lanes, to + (ptrdiff_t)s * step + i, step);
    for (size_t s = 0; s < series; s++)
        for (size_t i = s < whole ? k : 0; i < n; i++)
            to[(ptrdiff_t)s * step + (ptrdiff_t)i] = x[i * lanes + s];
}

#undef PIECE
#undef MIX
#undef LIST
