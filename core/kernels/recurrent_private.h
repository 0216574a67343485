/* recurrent_private.h -- a packed net. */
#pragma once

#include "kernels/recurrent.h"
#include "kernels/recurrent_tiles.h"

enum { RECURRENT_ALIGN = 64 };

/* One direction of one layer, packed; every array is aligned. */
struct recurrent_direction {
    float *step;           /* [blocks][inputs + states][4][lanes] */
    float *bias;           /* [blocks][4][lanes] */
    float *inputs;         /* [blocks][inputs][4][lanes]: step's first part again, for sums ahead */
    float *project, *none; /* [blocks of states / 4][hidden][4][lanes]; zeros to begin with */
};

struct recurrent {
    struct recurrent_shape shape;
    const struct recurrent_tiles *tiles;
    int blocks, project_blocks;    /* of units; of 4 * lanes projected states */
    int hidden_width, state_width; /* with padding */
    struct recurrent_direction *directions;
};

static inline int recurrent_directions(const struct recurrent_shape *shape)
{
    return shape->bidirectional ? 2 : 1;
}
