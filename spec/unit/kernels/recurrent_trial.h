/* recurrent_trial.h -- a net by chance, its results by definition in float64, and how far those of
 * kernels/recurrent.h are from them. */
#pragma once

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/isa.h"
#include "kernels/recurrent.h"

static unsigned state = 1;

static double noise(void) /* -1 to 1 */
{
    state = state * 1664525u + 1013904223u;
    return (double)(state >> 8) / (1 << 23) - 1;
}

static int between(int least, int most)
{
    return least + (int)((noise() + 1) / 2 * (most - least + 0.999));
}

static float *some(size_t n, double scale)
{
    float *p = mem_alloc((n ? n : 1) * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(noise() * scale);
    return p;
}

static double sigma(double x)
{
    return 1 / (1 + exp(-x));
}

static double row_sum(const float *matrix, int row, int columns, const double *x)
{
    double sum = 0;
    for (int k = 0; k < columns; k++)
        sum += (double)matrix[(size_t)row * (size_t)columns + (size_t)k] * x[k];
    return sum;
}

/* What a factor of a product is rounded to, if it is. */
typedef void rounding(double *values, int n);

static double *rounded(const double *values, int n, rounding *to)
{
    double *copy = mem_dup(values, (size_t)n * sizeof *copy);
    if (to)
        to(copy, n);
    return copy;
}

/* One step by the formulas of torch.nn.LSTM and torch.nn.GRU; h and c change. */
static void step_by_definition(const struct recurrent_shape *s, const struct recurrent_weights *w,
                               int inputs, const double *input, double *h, double *c, rounding *to)
{
    int hidden = s->hidden, states = recurrent_states(s);
    double *next = mem_zero((size_t)hidden, sizeof *next);
    double *x = rounded(input, inputs, inputs > 8 ? to : NULL), *before = rounded(h, states, to);
    for (int u = 0; u < hidden; u++) {
        double in[4], of[4];
        for (int g = 0; g < recurrent_gates(s->cell); g++) {
            int row = g * hidden + u;
            in[g] =
                row_sum(w->weight_ih, row, inputs, x) + (w->bias_ih ? (double)w->bias_ih[row] : 0);
            of[g] = row_sum(w->weight_hh, row, states, before) +
                    (w->bias_hh ? (double)w->bias_hh[row] : 0);
        }
        if (s->cell == RECURRENT_GRU) {
            double z = sigma(in[1] + of[1]), n = tanh(in[2] + sigma(in[0] + of[0]) * of[2]);
            next[u] = (1 - z) * n + z * h[u];
            continue;
        }
        c[u] = sigma(in[1] + of[1]) * c[u] + sigma(in[0] + of[0]) * tanh(in[2] + of[2]);
        next[u] = sigma(in[3] + of[3]) * tanh(c[u]);
    }
    if (s->projection && to)
        to(next, hidden);
    for (int k = 0; k < states; k++)
        h[k] = s->projection ? row_sum(w->weight_hr, k, hidden, next) : next[k];
    mem_free(x);
    mem_free(before);
    mem_free(next);
}

/* The i'th of many: cells, sides and how many inputs in turn (to `few`, or to 40), one layer. */
static struct recurrent_shape draw_shape(int i, int few)
{
    return (struct recurrent_shape){.cell = i % 3 == 2 ? RECURRENT_GRU : RECURRENT_LSTM,
                                    .inputs = between(1, i % 2 ? few : 40),
                                    .hidden = between(1, 70),
                                    .layers = 1,
                                    .bidirectional = i % 5 == 0};
}

/* The same of one to three layers, some with a projection. */
static struct recurrent_shape draw_deep_shape(int i)
{
    struct recurrent_shape shape = draw_shape(i, 3);
    shape.layers = between(1, 3);
    if (shape.cell == RECURRENT_LSTM && shape.hidden > 1 && i % 4 == 0)
        shape.projection = between(1, shape.hidden - 1);
    return shape;
}

struct trial {
    struct recurrent_shape shape;
    struct recurrent_weights *weights;
    int count, batch, time;
    int *lengths;
    float *x, *h, *c, *out, *last;
    rounding *to;
    double *want_out, *want_h, *want_c; /* [batch][time][outputs], as in a call */
};

static struct trial make_trial(const struct recurrent_shape *shape, int batch, int time,
                               bool ragged, bool biased)
{
    struct trial t = {.shape = *shape,
                      .batch = batch,
                      .time = time,
                      .count = shape->layers * (shape->bidirectional ? 2 : 1)};
    size_t gates = (size_t)recurrent_gates(shape->cell), hidden = (size_t)shape->hidden,
           states = (size_t)recurrent_states(shape);
    double scale = 1 / sqrt((double)hidden);
    t.weights = mem_zero((size_t)t.count, sizeof *t.weights);
    for (int i = 0; i < t.count; i++) {
        size_t inputs = (size_t)recurrent_inputs_of(shape, i / (shape->bidirectional ? 2 : 1));
        t.weights[i] = (struct recurrent_weights){
            .weight_ih = some(gates * hidden * inputs, 2 * scale),
            .weight_hh = some(gates * hidden * states, 2 * scale),
            .bias_ih = biased ? some(gates * hidden, 1) : NULL,
            .bias_hh = biased ? some(gates * hidden, 1) : NULL,
            .weight_hr = shape->projection ? some(states * hidden, scale) : NULL};
    }
    t.lengths = ragged ? mem_zero((size_t)batch, sizeof *t.lengths) : NULL;
    for (int i = 0; ragged && i < batch; i++)
        t.lengths[i] = between(1, time);
    t.x = some((size_t)batch * (size_t)time * (size_t)shape->inputs, 2);
    t.h = some((size_t)t.count * (size_t)batch * states, 1);
    t.c = some((size_t)t.count * (size_t)batch * hidden, 2);
    return t;
}

static void end_trial(struct trial *t)
{
    for (int i = 0; i < t->count; i++) {
        const struct recurrent_weights *w = &t->weights[i];
        const float *const all[] = {w->weight_ih, w->weight_hh, w->bias_ih, w->bias_hh,
                                    w->weight_hr};
        for (int k = 0; k < 5; k++)
            mem_free((void *)(uintptr_t)all[k]);
    }
    void *const all[] = {t->weights, t->lengths,  t->x,      t->h,
                         t->c,       t->want_out, t->want_h, t->want_c};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        mem_free(all[k]);
}

/* One direction of one layer for one row. */
static void run_row(struct trial *t, int index, int inputs, const double *in, double *out, int row)
{
    const struct recurrent_shape *s = &t->shape;
    int states = recurrent_states(s), outputs = recurrent_outputs(s),
        length = t->lengths ? t->lengths[row] : t->time;
    int sides = s->bidirectional ? 2 : 1, side = index % sides;
    double *h = t->want_h + ((size_t)index * (size_t)t->batch + (size_t)row) * (size_t)states;
    double *c = t->want_c + ((size_t)index * (size_t)t->batch + (size_t)row) * (size_t)s->hidden;
    for (int k = 0; k < length; k++) {
        size_t at = (size_t)row * (size_t)t->time + (size_t)(side ? length - 1 - k : k);
        step_by_definition(s, &t->weights[index], inputs, in + at * (size_t)inputs, h, c, t->to);
        memcpy(out + at * (size_t)outputs + side * states, h, (size_t)states * sizeof *h);
    }
}

static void by_definition(struct trial *t)
{
    const struct recurrent_shape *s = &t->shape;
    int sides = s->bidirectional ? 2 : 1;
    size_t steps = (size_t)t->batch * (size_t)t->time;
    size_t nh = (size_t)t->count * (size_t)t->batch * (size_t)recurrent_states(s),
           nc = (size_t)t->count * (size_t)t->batch * (size_t)s->hidden;
    double *in = mem_zero(steps * (size_t)s->inputs, sizeof *in);
    t->want_h = mem_zero(nh, sizeof(double));
    t->want_c = mem_zero(nc, sizeof(double));
    for (size_t i = 0; i < steps * (size_t)s->inputs; i++)
        in[i] = (double)t->x[i];
    for (size_t i = 0; i < nh; i++)
        t->want_h[i] = (double)t->h[i];
    for (size_t i = 0; i < nc; i++)
        t->want_c[i] = (double)t->c[i];
    for (int layer = 0; layer < s->layers; layer++) {
        double *out = mem_zero(steps * (size_t)recurrent_outputs(s), sizeof *out);
        for (int side = 0; side < sides; side++)
            for (int row = 0; row < t->batch; row++)
                run_row(t, layer * sides + side, recurrent_inputs_of(s, layer), in, out, row);
        mem_free(in);
        in = out;
    }
    t->want_out = in;
}

static double worst(const float *got, const double *want, size_t n)
{
    double difference = 0, most = 1e-30;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - want[i]);
        if (!(d <= difference))
            difference = d;
        if (fabs(want[i]) > most)
            most = fabs(want[i]);
    }
    return difference / most;
}

static double run_trial(const struct trial *t, enum recurrent_kept kept)
{
    const struct recurrent_shape *s = &t->shape;
    size_t outputs = (size_t)recurrent_outputs(s),
           no = (size_t)t->batch * (size_t)t->time * outputs;
    size_t nh = (size_t)t->count * (size_t)t->batch * (size_t)recurrent_states(s),
           nc = (size_t)t->count * (size_t)t->batch * (size_t)s->hidden;
    struct recurrent *net = recurrent_new_as(s, t->weights, kept);
    struct recurrent_call call = {
        .batch = t->batch, .time = t->time, .x = t->x, .lengths = t->lengths};
    call.h = mem_dup(t->h, nh * sizeof(float));
    call.c = s->cell == RECURRENT_LSTM ? mem_dup(t->c, nc * sizeof(float)) : NULL;
    call.out = mem_alloc(no * sizeof(float));
    call.last = mem_alloc((size_t)t->batch * outputs * sizeof(float));
    memset(call.out, 0x7f, no * sizeof(float));
    size_t bytes = recurrent_scratch(net, t->batch, t->time);
    call.scratch = aligned_alloc(64, bytes);
    memset(call.scratch, 0x7f, bytes);
    recurrent_run(net, &call);
    double most = worst(call.out, t->want_out, no), d = worst(call.h, t->want_h, nh);
    most = d > most ? d : most;
    d = call.c ? worst(call.c, t->want_c, nc) : 0;
    most = d > most ? d : most;
    for (int row = 0; row < t->batch; row++) {
        int length = t->lengths ? t->lengths[row] : t->time;
        const float *at = call.out + ((size_t)row * (size_t)t->time + (size_t)length - 1) * outputs;
        if (memcmp(at, call.last + (size_t)row * outputs, outputs * sizeof(float)) != 0)
            most = INFINITY;
    }
    free(call.scratch);
    mem_free(call.h);
    mem_free(call.c);
    mem_free(call.out);
    mem_free(call.last);
    recurrent_free(net);
    return most;
}

/* Cuts the lower half of the bits off: the numbers are bfloat16. */
static void shorten(const float *values, size_t n)
{
    for (size_t i = 0; values && i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bits &= 0xffff0000;
        memcpy((float *)(uintptr_t)&values[i], &bits, sizeof bits);
    }
}

static void shorten_weights(struct trial *t)
{
    size_t rows = (size_t)(recurrent_gates(t->shape.cell) * t->shape.hidden);
    for (int i = 0; i < t->count; i++) {
        int inputs = recurrent_inputs_of(&t->shape, i / (t->shape.bidirectional ? 2 : 1));
        shorten(t->weights[i].weight_ih, rows * (size_t)inputs);
        shorten(t->weights[i].weight_hh, rows * (size_t)recurrent_states(&t->shape));
    }
}
