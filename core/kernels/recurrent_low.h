/* recurrent_low.h -- recurrent layers whose products are of bfloat16 or of bytes.
 *
 * Where the processor multiplies such numbers several at once (isa.h's kernel_dot), both factors of
 * a net's large products are lowered: weights when it is packed, states and inputs at each step.
 * Sums and cells stay float32.
 *
 * bfloat16: values are rounded to the nearest, ties to even: off by 2^-9 of themselves at most;
 * sums are float32.
 *
 * Bytes: a row of weights is whole numbers from -127 to 127 times a scale of its own, a row of
 * states or inputs likewise, its largest magnitude being 127: each is off by 1/254 of that at most.
 * Sums are exact 32-bit integers.  The instruction takes one factor without a sign: values are kept
 * plus 128, and what that adds (128 times the weights' sum) is what integers begin with, negated.
 *
 * Few inputs (RECURRENT_LOW_INPUTS) stay float32: a series' value is one of one or two, whose
 * rounding no other evens out, and its product costs little. */
#pragma once

#include <stdint.h>

#include "kernels/recurrent_private.h"

enum { RECURRENT_LOW_INPUTS = 8, RECURRENT_LOW_BIAS = 128 };

/* Some units' sums for some rows. */
struct recurrent_low_tile {
    /* What sums begin with, few inputs and their weights [blocks][inputs][4][lanes], the cells and
     * where results go; its states are those below. */
    struct recurrent_tile plain;
    const uint32_t *words; /* [blocks][count][4][lanes], `each` weights of one row in a word */
    size_t block;          /* words from block to block */
    int count;
    const uint32_t *values; /* for each row, `count` words */
    size_t stride;
    const float *by;       /* bytes: each row's scale */
    const int32_t *starts; /* bytes: [blocks][4][lanes] */
    const float *scales;   /* bytes: [blocks][4][lanes] */
};

struct recurrent_low_tiles {
    enum kernel_dot dot;
    int lanes, rows, blocks; /* as of struct recurrent_tiles */
    int each;                /* values in a word */
    /* n values -> ceil(n / each) words, the last filled up with zeros; *by: the row's scale */
    void (*lower)(const float *values, int n, uint32_t *to, float *by);
    /* ORDER recurrent_step: but for the last two */
    void (*step[RECURRENT_STEP_DENSE + 1][RECURRENT_ROWS + 1])(const struct recurrent_low_tile *);
};

/* Those for weights that are kept so, or NULL: none here. */
const struct recurrent_low_tiles *recurrent_low_tiles(enum recurrent_kept kept);

/* ---- packed weights ------------------------------------------------------ */

/* A matrix, lowered. */
struct recurrent_low_matrix {
    uint32_t *words; /* NULL: it is not */
    int values, count;
    int32_t *starts;
    float *scales;
};

struct recurrent_low_direction {
    struct recurrent_low_matrix inputs, states, project;
};

/* net->low and the rest of net are set; takes the place of what d has in float32. */
void recurrent_low_pack(const struct recurrent *net, struct recurrent_direction *d,
                        const struct recurrent_weights *w, int inputs);
void recurrent_low_free(struct recurrent_low_direction *low);

/* ---- running ------------------------------------------------------------- */

/* Bytes for rows of states, projected ones or inputs of any layer. */
size_t recurrent_low_scratch(const struct recurrent *net, int rows);
/* tile as recurrent_sweep() takes it, for the states in tile->h; scratch: recurrent_low_scratch()
 * of so many rows. */
void recurrent_low_step(const struct recurrent *net, const struct recurrent_direction *d,
                        const struct recurrent_tile *tile, int rows, bool backwards, void *scratch);
/* The sums of tile->x alone. */
void recurrent_low_dense(const struct recurrent *net, const struct recurrent_low_matrix *m,
                         const struct recurrent_tile *tile, int blocks, int rows, void *scratch);
