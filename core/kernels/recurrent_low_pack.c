/* recurrent_low_pack.c -- weights, lowered, as the inner loops read them. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/recurrent_low.h"

static struct recurrent_low_matrix matrix_new(const struct recurrent *net, int blocks, int values)
{
    size_t lanes = (size_t)net->low->lanes, sums = (size_t)blocks * 4 * lanes;
    struct recurrent_low_matrix m = {.values = values,
                                     .count = (values + net->low->each - 1) / net->low->each};
    m.words = (uint32_t *)(void *)recurrent_zeros(sums * (size_t)m.count);
    if (net->low->each == 4) {
        m.starts = (int32_t *)(void *)recurrent_zeros(sums);
        m.scales = recurrent_zeros(sums);
    }
    return m;
}

static void matrix_free(struct recurrent_low_matrix *m)
{
    recurrent_zeros_free((float *)(void *)m->words);
    recurrent_zeros_free((float *)(void *)m->starts);
    recurrent_zeros_free(m->scales);
}

/* To the nearest, ties to even. */
static uint32_t brain_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static float scale_of(const float *row, int columns)
{
    float most = 0;
    for (int k = 0; k < columns; k++)
        most = fmaxf(most, fabsf(row[k]));
    return most > 0 ? most / 127 : 1;
}

/* A row into place `at` of [blocks][4][lanes]; its sums are wanted so many times. */
static void put_row(const struct recurrent *net, struct recurrent_low_matrix *m, size_t at,
                    const float *row, float times)
{
    size_t wide = 4 * (size_t)net->low->lanes;
    uint32_t *words = m->words + at / wide * wide * (size_t)m->count + at % wide;
    float scale = m->scales ? scale_of(row, m->values) : 1;
    int32_t total = 0;
    for (int k = 0; k < m->values; k++) {
        int whole = m->scales ? (int)lrintf(row[k] / scale) : 0, bits = 32 / net->low->each;
        uint32_t value = m->scales ? (uint8_t)whole : brain_of(row[k]);
        words[(size_t)(k / net->low->each) * wide] |= value << (k % net->low->each * bits);
        total += whole;
    }
    if (!m->scales)
        return;
    m->starts[at] = -RECURRENT_LOW_BIAS * total;
    m->scales[at] = scale * times;
}

static void put_gates(const struct recurrent *net, struct recurrent_low_direction *low,
                      const struct recurrent_weights *w)
{
    int hidden = net->shape.hidden, states = recurrent_states(&net->shape);
    bool gru = net->shape.cell == RECURRENT_GRU;
    for (int gate = 0; gate < recurrent_gates(net->shape.cell); gate++)
        for (int unit = 0; unit < hidden; unit++) {
            size_t row = (size_t)(gate * hidden + unit);
            float times = recurrent_times(net, gate);
            if (low->inputs.words)
                put_row(net, &low->inputs, recurrent_place(net, unit, gate),
                        w->weight_ih + row * (size_t)low->inputs.values, times);
            put_row(net, &low->states, recurrent_place(net, unit, gru && gate == 2 ? 3 : gate),
                    w->weight_hh + row * (size_t)states, times);
        }
}

void recurrent_low_pack(const struct recurrent *net, struct recurrent_direction *d,
                        const struct recurrent_weights *w, int inputs)
{
    int hidden = net->shape.hidden, states = recurrent_states(&net->shape);
    struct recurrent_low_direction *low = d->low = mem_zero(1, sizeof *low);
    low->states = matrix_new(net, net->blocks, states);
    if (inputs > RECURRENT_LOW_INPUTS)
        low->inputs = matrix_new(net, net->blocks, inputs);
    put_gates(net, low, w);
    recurrent_zeros_free(d->step);
    d->step = NULL;
    if (low->inputs.words) {
        recurrent_zeros_free(d->inputs);
        d->inputs = NULL;
    }
    if (!net->shape.projection)
        return;
    low->project = matrix_new(net, net->project_blocks, hidden);
    for (int p = 0; p < states; p++)
        put_row(net, &low->project, (size_t)p, w->weight_hr + (size_t)p * (size_t)hidden, 1);
    recurrent_zeros_free(d->project);
    d->project = NULL;
}

void recurrent_low_free(struct recurrent_low_direction *low)
{
    if (!low)
        return;
    matrix_free(&low->inputs);
    matrix_free(&low->states);
    matrix_free(&low->project);
    mem_free(low);
}
