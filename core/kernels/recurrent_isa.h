/* recurrent_isa.h -- one step of a recurrent layer for a few rows, once for each vector width.
 *
 * Included by recurrent_tiles.c with LANES, ROWS (of a full tile: 2, 3 or 6), BLOCKS (of units at
 * once when there is one row), LEAST, MOST, TARGET and NAME(word) defined; and, where thin weights
 * pay, FOURTH(a, b, c): a's, b's and c's lowest bytes as one's second, third and fourth, above 0.
 *
 * A tile keeps four sums of LANES units for each of its rows in registers: a weight that is loaded
 * serves ROWS rows, a value that is broadcast serves four sums.  A row alone has BLOCKS x 4 sums
 * instead, to hide an addition's latency.
 */

#include "kernels/recurrent_cells.h"

INLINE NAME(ints) NAME(load_bits)(const float *p)
{
    NAME(ints) v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* bfloat16 is the upper half of a float32: of two gates' weights in one word, one is shifted up and
 * the other's lower half is cut off. */
INLINE NAME(vec) NAME(widen)(const float *p, int upper)
{
    NAME(ints) both;
    NAME(vec) v;
    memcpy(&both, p, sizeof both);
    both = upper ? both & -65536 : both << 16;
    memcpy(&v, &both, sizeof v);
    return v;
}

#define WEIGHT_F32(p, g)  NAME(load)((p) + (g)*LANES)
#define WEIGHT_BF16(p, g) NAME(widen)((p) + (g) / 2 * LANES, (g) % 2)

/* third: the sum that the third of a row's weights belong to. */
#define ADD_UP(rows, blocks, values, count, weight_of, wide, third)                                \
    for (int k = 0; k < (count); k++, w += (size_t)(wide)*LANES)                                   \
        _Pragma("GCC unroll 8") for (int b = 0; b < (blocks); b++)                                 \
            _Pragma("GCC unroll 4") for (int g = 0; g < ((wide) == 3 ? 3 : 4); g++)                \
        {                                                                                          \
            NAME(vec) weight = weight_of(w + (size_t)b * t->block, g);                             \
            _Pragma("GCC unroll 8") for (int r = 0; r < (rows); r++)                               \
                sums[r][b][g == 2 ? (third) : g] += weight * (values)[k];                          \
        }

#define TILE(word, cell, width, rows, blocks, weight_of, wide)                                     \
    TARGET static void NAME(word)(const struct recurrent_tile *t)                                  \
    {                                                                                              \
        NAME(vec) sums[rows][blocks][4];                                                           \
        for (int r = 0; r < (rows); r++)                                                           \
            for (int b = 0; b < (blocks); b++)                                                     \
                for (int g = 0; g < 4; g++)                                                        \
                    sums[r][b][g] =                                                                \
                        NAME(load)(t->from + (size_t)r * t->from_stride + (b * 4 + g) * LANES);    \
        const float *w = t->weights;                                                               \
        ADD_UP(rows, blocks, t->x[r], t->inputs, weight_of, wide, 2)                               \
        const float *h = t->h;                                                                     \
        const size_t stride = t->h_stride;                                                         \
        ADD_UP(rows, blocks, (h + (size_t)r * stride), t->states, weight_of, wide,                 \
               (wide) == 3 ? 3 : 2)                                                                \
        for (int r = 0; r < (rows); r++)                                                           \
            for (int b = 0; b < (blocks); b++)                                                     \
                NAME(cell)                                                                         \
        (sums[r][b], t->memory + (size_t)r * t->memory_stride + b * LANES,                         \
         t->out + (size_t)r * t->out_stride + b * (width)*LANES);                                  \
    }

/* One row, thin weights.  Bits that a power of two's are taken from: those of its reciprocal. */
#define TILE_THIN(word, cell)                                                                      \
    TARGET static void NAME(word)(const struct recurrent_tile *t)                                  \
    {                                                                                              \
        NAME(vec) sums[1][BLOCKS][4], power;                                                       \
        for (int i = 0; i < BLOCKS * 4; i++)                                                       \
            sums[0][i / 4][i % 4] = NAME(load)(t->from + i * LANES);                               \
        const float *w = t->weights, *thin = t->thin, *h = t->h;                                   \
        const size_t apart = t->thin_block;                                                        \
        ADD_UP(1, BLOCKS, t->x[r], t->inputs, WEIGHT_F32, 4, 2)                                    \
        for (int i = 0; i < BLOCKS * 4; i++) {                                                     \
            NAME(ints) bits = 0x7f000000 - NAME(load_bits)(t->units + i * LANES);                  \
            memcpy(&power, &bits, sizeof power);                                                   \
            sums[0][i / 4][i % 4] *= power;                                                        \
        }                                                                                          \
        for (int k = 0, states = t->states; k < states; k++, thin += 3 * LANES) {                  \
            const float value = h[k] * 0x1p-31F;                                                   \
            _Pragma("GCC unroll 8") for (int b = 0; b < BLOCKS; b++)                               \
            {                                                                                      \
                NAME(ints) v[4];                                                                   \
                _Pragma("GCC unroll 3") for (int g = 0; g < 3; g++) v[g] =                         \
                    NAME(load_bits)(thin + (size_t)b * apart + g * LANES);                         \
                v[3] = FOURTH(v[0], v[1], v[2]);                                                   \
                _Pragma("GCC unroll 4") for (int g = 0; g < 4; g++) sums[0][b][g] +=               \
                    __builtin_convertvector(v[g], NAME(vec)) * value;                              \
            }                                                                                      \
        }                                                                                          \
        for (int b = 0; b < BLOCKS; b++) {                                                         \
            for (int g = 0; g < 4; g++)                                                            \
                sums[0][b][g] *= NAME(load)(t->units + (b * 4 + g) * LANES);                       \
            NAME(cell)(sums[0][b], t->memory + b * LANES, t->out + b * LANES);                     \
        }                                                                                          \
    }

#if ROWS == 6
#define TILES(name, cell, width, weight_of, wide)                                                  \
    TILE(name##1, cell, width, 1, 1, weight_of, wide)                                              \
    TILE(name##2, cell, width, 2, 1, weight_of, wide)                                              \
    TILE(name##3, cell, width, 3, 1, weight_of, wide)                                              \
    TILE(name##4, cell, width, 4, 1, weight_of, wide)                                              \
    TILE(name##5, cell, width, 5, 1, weight_of, wide)                                              \
    TILE(name##6, cell, width, 6, 1, weight_of, wide)                                              \
    TILE(name##_alone, cell, width, 1, BLOCKS, weight_of, wide)
#define LIST(alone, name)                                                                          \
    {                                                                                              \
        NAME(alone), NAME(name##1), NAME(name##2), NAME(name##3), NAME(name##4), NAME(name##5),    \
            NAME(name##6)                                                                          \
    }
#else
#define TILES(name, cell, width, weight_of, wide)                                                  \
    TILE(name##1, cell, width, 1, 1, weight_of, wide)                                              \
    TILE(name##2, cell, width, 2, 1, weight_of, wide)                                              \
    TILE(name##3, cell, width, 3, 1, weight_of, wide)                                              \
    TILE(name##_alone, cell, width, 1, BLOCKS, weight_of, wide)
#define LIST(alone, name)                                                                          \
    {                                                                                              \
        NAME(alone), NAME(name##1), NAME(name##2), NAME(name##3)                                   \
    }
#endif

TILES(lstm, cell_lstm, 1, WEIGHT_F32, 4)
TILES(gru, cell_gru, 1, WEIGHT_F32, 3)
TILES(dense, cell_dense, 4, WEIGHT_F32, 4)
TILES(lstm_bf16_, cell_lstm_bf16, 1, WEIGHT_BF16, 2)
TILES(gru_bf16_, cell_gru_bf16, 1, WEIGHT_BF16, 2)

#ifdef FOURTH
TILE_THIN(lstm_thin, cell_lstm)
#endif

static const struct recurrent_tiles NAME(tiles) = {
    .lanes = LANES,
    .rows = ROWS,
    .blocks = BLOCKS,
    .step =
        {
            [RECURRENT_STEP_LSTM] = LIST(lstm_alone, lstm),
            [RECURRENT_STEP_GRU] = LIST(gru_alone, gru),
            [RECURRENT_STEP_DENSE] = LIST(dense_alone, dense),
            [RECURRENT_STEP_LSTM_BF16] = LIST(lstm_bf16__alone, lstm_bf16_),
            [RECURRENT_STEP_GRU_BF16] = LIST(gru_bf16__alone, gru_bf16_),
#ifdef FOURTH
            [RECURRENT_STEP_LSTM_THIN] = LIST(lstm_thin, lstm),
#endif
        },
};

#undef FOURTH
#undef LIST
#undef TILE_THIN
#undef TILES
#undef TILE
#undef ADD_UP
#undef WEIGHT_BF16
#undef WEIGHT_F32
#undef INLINE
#undef NAME
#undef TARGET
#undef MOST
#undef LEAST
#undef BLOCKS
#undef ROWS
#undef LANES
