/* recurrent_pack.c -- weights as the inner loops read them. */
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/recurrent_low.h"

/* ---- shapes ------------------------------------------------------------ */

int recurrent_gates(enum recurrent_cell cell)
{
    return cell == RECURRENT_GRU ? 3 : 4;
}

int recurrent_states(const struct recurrent_shape *shape)
{
    return shape->projection ? shape->projection : shape->hidden;
}

int recurrent_outputs(const struct recurrent_shape *shape)
{
    return recurrent_states(shape) * (shape->bidirectional ? 2 : 1);
}

int recurrent_inputs_of(const struct recurrent_shape *shape, int layer)
{
    return layer == 0 ? shape->inputs : recurrent_outputs(shape);
}

/* ---- packing ----------------------------------------------------------- */

float *recurrent_zeros(size_t count)
{
    /* aligned_alloc() has no twin in mem.h: the block's address is kept just before what is handed
     * out. */
    char *block = mem_zero(1, count * sizeof(float) + RECURRENT_ALIGN + sizeof(void *));
    char *at = block + sizeof(void *);
    at += (RECURRENT_ALIGN - (size_t)at % RECURRENT_ALIGN) % RECURRENT_ALIGN;
    memcpy(at - sizeof(void *), &block, sizeof block);
    return (float *)(void *)at;
}

void recurrent_zeros_free(float *p)
{
    void *block;
    if (!p)
        return;
    memcpy(&block, (char *)p - sizeof block, sizeof block);
    mem_free(block);
}

size_t recurrent_place(const struct recurrent *net, int unit, int sum)
{
    int lanes = net->tiles->lanes;
    return ((size_t)(unit / lanes) * 4 + (size_t)sum) * (size_t)lanes + (size_t)(unit % lanes);
}

/* `times` the rows of a matrix [units][columns] into [blocks][rows][sums][lanes], from row `first`
 * on, as the sum'th. */
static void pack(const struct recurrent *net, float *to, int sums, int rows, int first, int sum,
                 const float *matrix, int columns, float times)
{
    size_t lanes = (size_t)net->tiles->lanes, wide = (size_t)sums * lanes;
    for (int unit = 0; unit < net->shape.hidden; unit++) {
        size_t block = (size_t)unit / lanes, in = (size_t)sum * lanes + (size_t)unit % lanes;
        for (int k = 0; k < columns; k++)
            to[(block * (size_t)rows + (size_t)(first + k)) * wide + in] =
                matrix[(size_t)unit * (size_t)columns + (size_t)k] * times;
    }
}

static void pack_bias(const struct recurrent *net, float *to, int sum, const float *bias,
                      float times)
{
    for (int unit = 0; bias && unit < net->shape.hidden; unit++)
        to[recurrent_place(net, unit, sum)] += bias[unit] * times;
}

float recurrent_times(const struct recurrent *net, int gate)
{
    return net->kept == RECURRENT_BF16 ? 1 : gate == 2 ? RECURRENT_TANH : RECURRENT_SIGMA;
}

/* Vectors of one row of step while it is float32. */
static int sums_of_step(const struct recurrent *net)
{
    return net->kept == RECURRENT_BF16 ? 4 : net->wide;
}

/* The gates' four sums; GRU's third gate has one for the inputs and one for the states. */
static void pack_gates(const struct recurrent *net, struct recurrent_direction *d,
                       const struct recurrent_weights *w, int inputs)
{
    int hidden = net->shape.hidden, states = recurrent_states(&net->shape);
    int sums = sums_of_step(net);
    bool gru = net->shape.cell == RECURRENT_GRU;
    for (int gate = 0; gate < recurrent_gates(net->shape.cell); gate++) {
        size_t row = (size_t)gate * (size_t)hidden;
        int of_states = gru && gate == 2 ? 3 : gate, all = inputs + states;
        float times = recurrent_times(net, gate);
        const float *ih = w->weight_ih + row * (size_t)inputs;
        pack(net, d->step, sums, all, 0, gate, ih, inputs, times);
        pack(net, d->inputs, 4, inputs, 0, gate, ih, inputs, times);
        pack(net, d->step, sums, all, inputs, sums == 3 ? gate : of_states,
             w->weight_hh + row * (size_t)states, states, times);
        pack_bias(net, d->bias, gate, w->bias_ih ? w->bias_ih + row : NULL, times);
        pack_bias(net, d->bias, of_states, w->bias_hh ? w->bias_hh + row : NULL, times);
    }
}

/* weight_hr, its rows in the places of the four sums. */
static void pack_projection(const struct recurrent *net, struct recurrent_direction *d,
                            const float *matrix)
{
    size_t wide = 4 * (size_t)net->tiles->lanes;
    int hidden = net->shape.hidden;
    for (int p = 0; p < net->shape.projection; p++)
        for (int k = 0; k < hidden; k++)
            d->project[((size_t)p / wide * (size_t)hidden + (size_t)k) * wide + (size_t)p % wide] =
                matrix[(size_t)p * (size_t)hidden + (size_t)k];
}

/* step's words in place of its floats, each of two: the lower half is of the even sum. */
static void halve(const struct recurrent *net, struct recurrent_direction *d, int inputs)
{
    size_t lanes = (size_t)net->tiles->lanes,
           pairs = (size_t)net->blocks * (size_t)(inputs + recurrent_states(&net->shape)) * 2;
    float *to = recurrent_zeros(pairs * lanes);
    for (size_t pair = 0; pair < pairs; pair++)
        for (size_t lane = 0; lane < lanes; lane++) {
            uint32_t even, odd;
            memcpy(&even, &d->step[2 * pair * lanes + lane], sizeof even);
            memcpy(&odd, &d->step[(2 * pair + 1) * lanes + lane], sizeof odd);
            even = even >> 16 | (odd & 0xffff0000);
            memcpy(&to[pair * lanes + lane], &even, sizeof even);
        }
    recurrent_zeros_free(d->step);
    d->step = to;
}

static void pack_direction(const struct recurrent *net, struct recurrent_direction *d,
                           const struct recurrent_weights *w, int inputs)
{
    size_t wide = 4 * (size_t)net->tiles->lanes, blocks = (size_t)net->blocks;
    d->step = recurrent_zeros(blocks * (size_t)sums_of_step(net) * (size_t)net->tiles->lanes *
                              (size_t)(inputs + recurrent_states(&net->shape)));
    d->inputs = recurrent_zeros(blocks * wide * (size_t)inputs);
    d->bias = recurrent_zeros(blocks * wide);
    pack_gates(net, d, w, inputs);
    if (net->kept == RECURRENT_BF16 && !net->low)
        halve(net, d, inputs);
    if (!net->low)
        recurrent_thin(net, d, inputs);
    if (net->shape.projection) {
        d->project =
            recurrent_zeros((size_t)net->project_blocks * wide * (size_t)net->shape.hidden);
        d->none = recurrent_zeros((size_t)net->project_blocks * wide);
        pack_projection(net, d, w->weight_hr);
    }
    if (net->low)
        recurrent_low_pack(net, d, w, inputs);
}

struct recurrent *recurrent_new(const struct recurrent_shape *shape,
                                const struct recurrent_weights *weights)
{
    return recurrent_new_as(shape, weights, RECURRENT_F32);
}

struct recurrent *recurrent_new_as(const struct recurrent_shape *shape,
                                   const struct recurrent_weights *weights,
                                   enum recurrent_kept kept)
{
    struct recurrent *net = mem_zero(1, sizeof *net);
    net->low = recurrent_low_tiles(kept);
    net->kept = kept == RECURRENT_INT8 && !net->low ? RECURRENT_F32 : kept;
    net->wide = kept == RECURRENT_BF16 ? 2 : recurrent_gates(shape->cell);
    net->shape = *shape;
    net->isa = kernel_isa();
    net->tiles = recurrent_tiles(net->isa);
    int lanes = net->tiles->lanes, count = shape->layers * recurrent_directions(shape);
    net->blocks = (shape->hidden + lanes - 1) / lanes;
    net->project_blocks = (shape->projection + 4 * lanes - 1) / (4 * lanes);
    net->hidden_width = net->blocks * lanes;
    net->state_width = shape->projection ? net->project_blocks * 4 * lanes : net->hidden_width;
    net->directions = mem_zero((size_t)count, sizeof *net->directions);
    for (int i = 0; i < count; i++)
        pack_direction(net, &net->directions[i], &weights[i],
                       recurrent_inputs_of(shape, i / recurrent_directions(shape)));
    return net;
}

const char *recurrent_instructions(const struct recurrent *net)
{
    return net->low ? kernel_dot_name(net->low->dot) : kernel_isa_name(net->isa);
}

void recurrent_free(struct recurrent *net)
{
    if (!net)
        return;
    for (int i = 0; i < net->shape.layers * recurrent_directions(&net->shape); i++) {
        struct recurrent_direction *d = &net->directions[i];
        float *const all[] = {d->step, d->thin, d->units, d->inputs, d->bias, d->project, d->none};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            recurrent_zeros_free(all[k]);
        recurrent_low_free(d->low);
    }
    mem_free(net->directions);
    mem_free(net);
}
