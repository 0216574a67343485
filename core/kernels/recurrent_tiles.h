/* recurrent_tiles.h -- the inner loops of recurrent.c, for each set of vector instructions. */
#pragma once

#include <stddef.h>

#include "kernels/isa.h"

/* Sums that go through sigma or tanh are packed as so many times themselves: as exponents of 2 (but
 * for bfloat16). */
#define RECURRENT_SIGMA (-1.44269504088896341F) /* -log2 e: sigma(x) = 1 / (1 + e^-x) */
#define RECURRENT_TANH  (-2.88539008177792681F) /* twice that: tanh(x) from e^-2x */

/* 2^(3 * 40) and its products with cells still are float32 numbers; tanh and sigma are 0 or 1 to
 * 1e-12 there. */
#define RECURRENT_EXP_MOST 40.0F

/* Four sums of some units for some rows: from + x . weights[inputs] + h . weights[states], through
 * the cell's functions.
 *
 * Weights of a block (`lanes` units): [inputs + states][4 sums][lanes]; blocks stand `block` floats
 * apart.  GRU: [inputs + states][3][lanes], the inputs' third is of sum 2, the states' of sum 3. Of
 * bfloat16, sums 0 and 1, 2 and 3 share words: [inputs + states][2][lanes].
 *
 * Thin ones, of the states: [states][3][lanes], whole numbers of 2^-31 of the unit's power of two;
 * the low bytes of the three are the upper three of sum 3's, from its lowest on. */
struct recurrent_tile {
    const float *weights;
    size_t block;
    const float *thin; /* LSTM_THIN: instead of the states' in weights, for one row */
    size_t thin_block;
    const float *units;    /* [blocks][4][lanes] */
    const float *const *x; /* for each row, `inputs` values */
    int inputs;
    const float *h; /* for each row, `states` values */
    size_t h_stride;
    int states;
    const float *from; /* what the sums begin with: [blocks][4][lanes] for each row */
    size_t from_stride;
    float *memory; /* LSTM: the cells, changed; GRU: the states before */
    size_t memory_stride;
    float *out; /* the states after; dense: the sums, [blocks][4][lanes] */
    size_t out_stride;
};

/* ORDER recurrent_step */
enum recurrent_step {
    RECURRENT_STEP_LSTM,
    RECURRENT_STEP_GRU,
    RECURRENT_STEP_DENSE,
    RECURRENT_STEP_LSTM_BF16,
    RECURRENT_STEP_GRU_BF16,
    RECURRENT_STEP_LSTM_THIN,
    RECURRENT_STEPS
};

enum { RECURRENT_ROWS = 6 };

struct recurrent_tiles {
    int lanes, rows, blocks;
    /* [0]: one row, `blocks` blocks; [n]: n rows, one block, n to `rows`; LSTM_THIN: may be NULL */
    void (*step[RECURRENT_STEPS][RECURRENT_ROWS + 1])(const struct recurrent_tile *tile);
};

const struct recurrent_tiles *recurrent_tiles(enum kernel_isa isa);
