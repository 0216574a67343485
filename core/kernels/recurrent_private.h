/* recurrent_private.h -- a packed net, and what dense layers share with it. */
#pragma once

#include "kernels/recurrent.h"
#include "kernels/recurrent_tiles.h"

enum { RECURRENT_ALIGN = 64 };

/* One direction of one layer, packed; every array is aligned. */
struct recurrent_direction {
    float *step;           /* [blocks][inputs + states][wide][lanes] */
    float *thin, *units;   /* the states' part of step again: recurrent_tile; or NULL */
    float *bias;           /* [blocks][4][lanes] */
    float *inputs;         /* [blocks][inputs][4][lanes]: step's first part again, for sums ahead */
    float *project, *none; /* [blocks of states / 4][hidden][4][lanes]; zeros to begin with */
    struct recurrent_low_direction *low; /* in place of step, project, and inputs unless few */
};

struct recurrent {
    struct recurrent_shape shape;
    enum kernel_isa isa;
    const struct recurrent_tiles *tiles;
    const struct recurrent_low_tiles *low; /* recurrent_low.h; NULL: products are of float32 */
    enum recurrent_kept kept;
    int wide;                      /* vectors of one row of step: 4, GRU 3, of bfloat16 2 */
    int blocks, project_blocks;    /* of units; of 4 * lanes projected states */
    int hidden_width, state_width; /* with padding */
    struct recurrent_direction *directions;
};

/* Zeros, aligned; free with recurrent_zeros_free(). */
float *recurrent_zeros(size_t count);
void recurrent_zeros_free(float *p);

/* Makes thin, if that pays and loses nothing, and step the same; step is there already. */
void recurrent_thin(const struct recurrent *net, struct recurrent_direction *d, int inputs);

/* The tile that begins at this block and row; out: floats of one of its blocks. */
static inline struct recurrent_tile recurrent_tile_at(const struct recurrent_tile *tile,
                                                      size_t lanes, size_t out, size_t block,
                                                      size_t row)
{
    struct recurrent_tile part = *tile;
    part.weights += block * tile->block;
    if (tile->thin) {
        part.thin += block * tile->thin_block;
        part.units += block * 4 * lanes;
    }
    part.from += block * 4 * lanes + row * tile->from_stride;
    part.x += row;
    part.h += row * tile->h_stride;
    part.memory += block * lanes + row * tile->memory_stride;
    part.out += block * out + row * tile->out_stride;
    return part;
}

/* tile has what the first block of the first row has; all blocks of all rows, up or down. */
void recurrent_sweep(const struct recurrent_tiles *tiles, enum recurrent_step step,
                     const struct recurrent_tile *tile, int blocks, int rows, bool backwards);

/* Where unit u's sum of this gate stands in an array of [blocks][4][lanes]. */
size_t recurrent_place(const struct recurrent *net, int unit, int sum);
/* What a gate's rows of weights are multiplied by when they are packed. */
float recurrent_times(const struct recurrent *net, int gate);

static inline int recurrent_directions(const struct recurrent_shape *shape)
{
    return shape->bidirectional ? 2 : 1;
}
