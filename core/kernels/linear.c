#include "kernels/linear.h"

#include "base/mem.h"
#include "kernels/recurrent_private.h"

struct linear {
    const struct recurrent_tiles *tiles;
    int columns, blocks; /* blocks of 4 * lanes rows */
    float *weights;      /* [blocks][columns][4 * lanes] */
    float *bias;         /* [blocks][4 * lanes] */
};

struct linear *linear_new(int rows, int columns, const float *weights, const float *bias)
{
    struct linear *layer = mem_zero(1, sizeof *layer);
    layer->tiles = recurrent_tiles(kernel_isa());
    size_t wide = 4 * (size_t)layer->tiles->lanes;
    layer->columns = columns;
    layer->blocks = (int)(((size_t)rows + wide - 1) / wide);
    layer->weights = recurrent_zeros((size_t)layer->blocks * wide * (size_t)columns);
    layer->bias = recurrent_zeros((size_t)layer->blocks * wide);
    for (size_t row = 0; row < (size_t)rows; row++) {
        float *to = layer->weights + row / wide * (size_t)columns * wide + row % wide;
        for (size_t k = 0; k < (size_t)columns; k++)
            to[k * wide] = weights[row * (size_t)columns + k];
        layer->bias[row] = bias ? bias[row] : 0;
    }
    return layer;
}

void linear_free(struct linear *layer)
{
    if (!layer)
        return;
    recurrent_zeros_free(layer->weights);
    recurrent_zeros_free(layer->bias);
    mem_free(layer);
}

int linear_stride(const struct linear *layer)
{
    return layer->blocks * 4 * layer->tiles->lanes;
}

void linear_run(const struct linear *layer, int batch, const float *const *x, float *out)
{
    struct recurrent_tile tile = {.weights = layer->weights,
                                  .block = (size_t)layer->columns * 4 * (size_t)layer->tiles->lanes,
                                  .x = x,
                                  .inputs = layer->columns,
                                  .h = out, /* of 0 states */
                                  .from = layer->bias,
                                  .memory = out,
                                  .out = out,
                                  .out_stride = (size_t)linear_stride(layer)};
    recurrent_sweep(layer->tiles, RECURRENT_STEP_DENSE, &tile, layer->blocks, batch, false);
}
