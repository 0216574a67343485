/* recurrent_low_isa.h -- one step of a layer of lowered numbers, once for each kind of products.
 *
 * Included by recurrent_low_tiles.c with LANES, ROWS, BLOCKS, LEAST, MOST, TARGET and NAME(word) as
 * recurrent_isa.h has them, and
 *   SUM                  the vector that products are added up in
 *   DOT(sum, a, weights) sum plus the products of a's values and the weights' in each lane
 *   BYTES                1: of bytes, 0: of bfloat16
 */
#include "kernels/recurrent_cells.h"

INLINE NAME(ints) NAME(load_words)(const void *p)
{
    NAME(ints) v;
    memcpy(&v, p, sizeof v);
    return v;
}

#if BYTES
#define BEGIN(r, b, g) NAME(load_words)(t->starts + ((b)*4 + (g)) * LANES)
#define END(r, b, g)                                                                               \
    NAME(load)                                                                                     \
    (t->plain.from + (size_t)(r)*t->plain.from_stride + ((b)*4 + (g)) * LANES) +                   \
        __builtin_convertvector(dots[r][b][g], NAME(vec)) *                                        \
            (NAME(load)(t->scales + ((b)*4 + (g)) * LANES) * t->by[r])
#define CELL_LSTM cell_lstm
#define CELL_GRU  cell_gru
#else
#define BEGIN(r, b, g)                                                                             \
    NAME(load)(t->plain.from + (size_t)(r)*t->plain.from_stride + ((b)*4 + (g)) * LANES)
#define END(r, b, g) dots[r][b][g]
#define CELL_LSTM    cell_lstm_bf16
#define CELL_GRU     cell_gru_bf16
#endif

#define EVERY_ROW(rows) _Pragma("GCC unroll 8") for (int r = 0; r < (rows); r++)
#define EVERY(rows, blocks)                                                                        \
    EVERY_ROW(rows)                                                                                \
    _Pragma("GCC unroll 8") for (int b = 0; b < (blocks); b++)                                     \
        _Pragma("GCC unroll 4") for (int g = 0; g < 4; g++)

#define TILE(word, cell, width, rows, blocks)                                                      \
    TARGET static void NAME(word)(const struct recurrent_low_tile *t)                              \
    {                                                                                              \
        SUM dots[rows][blocks][4];                                                                 \
        NAME(vec) sums[rows][blocks][4];                                                           \
        EVERY(rows, blocks) dots[r][b][g] = BEGIN(r, b, g);                                        \
        const uint32_t *w = t->words, *values = t->values;                                         \
        const size_t stride = t->stride;                                                           \
        for (int k = 0; k < t->count; k++, w += (size_t)4 * LANES)                                 \
            _Pragma("GCC unroll 8") for (int b = 0; b < (blocks); b++)                             \
                _Pragma("GCC unroll 4") for (int g = 0; g < 4; g++)                                \
            {                                                                                      \
                NAME(ints) weights = NAME(load_words)(w + (size_t)b * t->block + g * LANES);       \
                EVERY_ROW(rows)                                                                    \
                dots[r][b][g] =                                                                    \
                    DOT(dots[r][b][g], values[(size_t)r * stride + (size_t)k], weights);           \
            }                                                                                      \
        EVERY(rows, blocks) sums[r][b][g] = END(r, b, g);                                          \
        const float *few = t->plain.weights;                                                       \
        for (int k = 0; k < t->plain.inputs; k++, few += 4 * LANES)                                \
            EVERY(rows, blocks)                                                                    \
        sums[r][b][g] +=                                                                           \
            NAME(load)(few + (size_t)b * t->plain.block + g * LANES) * t->plain.x[r][k];           \
        for (int r = 0; r < (rows); r++)                                                           \
            for (int b = 0; b < (blocks); b++)                                                     \
                NAME(cell)                                                                         \
        (sums[r][b], t->plain.memory + (size_t)r * t->plain.memory_stride + b * LANES,             \
         t->plain.out + (size_t)r * t->plain.out_stride + b * (width)*LANES);                      \
    }

#if ROWS == 6
#define TILES(name, cell, width)                                                                   \
    TILE(name##1, cell, width, 1, 1)                                                               \
    TILE(name##2, cell, width, 2, 1)                                                               \
    TILE(name##3, cell, width, 3, 1)                                                               \
    TILE(name##4, cell, width, 4, 1)                                                               \
    TILE(name##5, cell, width, 5, 1)                                                               \
    TILE(name##6, cell, width, 6, 1)                                                               \
    TILE(name##_alone, cell, width, 1, BLOCKS)
#define LIST(name)                                                                                 \
    {                                                                                              \
        NAME(name##_alone), NAME(name##1), NAME(name##2), NAME(name##3), NAME(name##4),            \
            NAME(name##5), NAME(name##6)                                                           \
    }
#else
#define TILES(name, cell, width)                                                                   \
    TILE(name##1, cell, width, 1, 1)                                                               \
    TILE(name##2, cell, width, 2, 1)                                                               \
    TILE(name##3, cell, width, 3, 1)                                                               \
    TILE(name##_alone, cell, width, 1, BLOCKS)
#define LIST(name)                                                                                 \
    {                                                                                              \
        NAME(name##_alone), NAME(name##1), NAME(name##2), NAME(name##3)                            \
    }
#endif

TILES(low_lstm, CELL_LSTM, 1)
TILES(low_gru, CELL_GRU, 1)
TILES(low_dense, cell_dense, 4)

#undef TILES
#undef TILE
#undef EVERY
#undef EVERY_ROW
#undef CELL_GRU
#undef CELL_LSTM
#undef END
#undef BEGIN

#if BYTES
/* Four bytes in a word.  A sum with 1.5 * 2^23 has the nearest whole number in its lowest bits.
 * Magnitudes are compared as integers, among which one that is no number is the largest: then the
 * scale is none, and so are the row's sums. */
INLINE NAME(ints) NAME(magnitudes)(const float *p)
{
    return NAME(load_words)(p) & 0x7fffffff;
}

INLINE void NAME(to_bytes)(const float *values, float times, uint8_t to[LANES])
{
    typedef uint8_t NAME(bytes) __attribute__((vector_size(LANES)));
    NAME(vec) shifted = NAME(load)(values) * times + 12582912.0F;
    NAME(ints) whole;
    memcpy(&whole, &shifted, sizeof whole);
    NAME(bytes) bytes = __builtin_convertvector(whole + RECURRENT_LOW_BIAS, NAME(bytes));
    memcpy(to, &bytes, sizeof bytes);
}

TARGET static void NAME(lower)(const float *values, int n, uint32_t *to, float *by)
{
    float tail[LANES] = {0}, largest;
    int whole = n / LANES * LANES;
    memcpy(tail, values + whole, (size_t)(n - whole) * sizeof *tail);
    NAME(ints) most = NAME(magnitudes)(tail);
    for (int k = 0; k < whole; k += LANES)
        most = MOST_INTS(most, NAME(magnitudes)(values + k));
    int32_t bits = most[0];
    for (int i = 1; i < LANES; i++)
        bits = most[i] > bits ? most[i] : bits;
    memcpy(&largest, &bits, sizeof bits);
    float times = largest < LEAST_ROW ? 0 : 127 / largest;
    *by = largest / 127;
    for (int k = 0; k < whole; k += LANES)
        NAME(to_bytes)(values + k, times, (uint8_t *)(to + k / 4));
    uint8_t bytes[LANES];
    NAME(to_bytes)(tail, times, bytes);
    memcpy(to + whole / 4, bytes, (size_t)(n - whole + 3) / 4 * 4);
}
#endif
