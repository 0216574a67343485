/* gpu_lstm.c -- which kernels run over what for one call, on one device. */
#include <string.h>

#include "base/mem.h"
#include "kernels/gpu_private.h"

enum { ROWS_MOST = 64 }; /* of a block */

/* Weights of one direction of one layer, on one device. */
struct side {
    float *weight_ih, *weight_hh, *bias;
};

struct gpu_lstm {
    struct gpu *gpu;
    struct recurrent_shape shape;
    int sides;         /* layers * directions */
    struct side *host; /* [sides] */
    struct side **on;  /* [devices][sides]; NULL: not sent yet */
};

/* One call on one device; memory it took is given back at its end. */
struct run {
    struct gpu_lstm *net;
    const struct gpu_library *library;
    struct gpu_place *place;
    const struct recurrent_call *call;
    int device, units, rows, directions, outputs, hidden;
    int at_once; /* steps in one launch */
    void *taken[16];
    int taken_count;
    float *x, *between[2], *sums, *h[2], *c, *last;
    int *lengths;
    char said[GPU_ERROR_BYTES];
};

/* ---- how the work is cut ----------------------------------------------- */

/* Units and rows of a block so that all blocks run at once, each in its memory: those that add the
 * least one after another.  False: none fits. */
static bool cut(const struct gpu_device *about, int hidden, int batch, int *units, int *rows)
{
    double least = 0;
    for (int r = LSTM_ROWS; r <= ROWS_MOST; r *= 2) {
        int down = lstm_groups(batch, r),
            across = down <= about->processors ? about->processors / down : 0;
        int u = across ? lstm_groups(hidden, across < hidden ? across : hidden) : 0;
        if (!u || lstm_shared_bytes(hidden, u, r) > about->shared_bytes)
            continue;
        /* Of each thread: its jobs, and its share of fetching h, which waits for memory. */
        double jobs = lstm_groups(u * (r / LSTM_ROWS), LSTM_THREADS);
        double cost = hidden * (4 * jobs * LSTM_ROWS + (double)r / LSTM_THREADS * 8);
        if (least == 0 || cost < least) {
            least = cost;
            *units = u;
            *rows = r;
        }
    }
    return least > 0;
}

/* ---- weights ----------------------------------------------------------- */

static size_t gate_rows(const struct gpu_lstm *net)
{
    return 4 * (size_t)net->shape.hidden;
}

static size_t ih_count(const struct gpu_lstm *net, int side)
{
    int layer = side / (net->shape.bidirectional ? 2 : 1);
    return gate_rows(net) * (size_t)recurrent_inputs_of(&net->shape, layer);
}

static size_t hh_count(const struct gpu_lstm *net)
{
    return gate_rows(net) * (size_t)net->shape.hidden;
}

static float *copy_of(const float *from, size_t count)
{
    float *to = mem_zero(count, sizeof *to);
    if (from)
        memcpy(to, from, count * sizeof *to);
    return to;
}

struct gpu_lstm *gpu_lstm_new(struct gpu *gpu, const struct recurrent_shape *shape,
                              const struct recurrent_weights *weights, struct err *err)
{
    int units, rows;
    if (shape->cell != RECURRENT_LSTM || shape->projection) {
        err_set(err, ERR_LIMIT, "GPU: only LSTMs without projection run there");
        return NULL;
    }
    for (int i = 0; i < gpu->count; i++) {
        if (!cut(&gpu->places[i].about, shape->hidden, 1, &units, &rows)) {
            err_set(err, ERR_LIMIT, "GPU: %d hidden units are too many for %s", shape->hidden,
                    gpu->places[i].about.name);
            return NULL;
        }
    }
    struct gpu_lstm *net = mem_zero(1, sizeof *net);
    net->gpu = gpu;
    net->shape = *shape;
    net->sides = shape->layers * (shape->bidirectional ? 2 : 1);
    net->host = mem_zero((size_t)net->sides, sizeof *net->host);
    net->on = mem_zero((size_t)gpu->count, sizeof *net->on);
    for (int i = 0; i < net->sides; i++) {
        struct side *s = &net->host[i];
        s->weight_ih = copy_of(weights[i].weight_ih, ih_count(net, i));
        s->weight_hh = copy_of(weights[i].weight_hh, hh_count(net));
        s->bias = copy_of(weights[i].bias_ih, gate_rows(net));
        for (size_t k = 0; weights[i].bias_hh && k < gate_rows(net); k++)
            s->bias[k] += weights[i].bias_hh[k];
    }
    return net;
}

static void give_sides(const struct gpu_lstm *net, int device)
{
    struct side *sides = net->on[device];
    const struct gpu_library *library = net->gpu->library;
    for (int i = 0; sides && i < net->sides; i++) {
        library->give(device, sides[i].weight_ih);
        library->give(device, sides[i].weight_hh);
        library->give(device, sides[i].bias);
    }
    mem_free(sides);
    net->on[device] = NULL;
}

void gpu_lstm_free(struct gpu_lstm *net)
{
    if (!net)
        return;
    for (int i = 0; i < net->gpu->count; i++)
        give_sides(net, i);
    for (int i = 0; i < net->sides; i++) {
        mem_free(net->host[i].weight_ih);
        mem_free(net->host[i].weight_hh);
        mem_free(net->host[i].bias);
    }
    mem_free(net->host);
    mem_free(net->on);
    mem_free(net);
}

static bool send_part(struct run *r, float **to, const float *from, size_t count)
{
    void *memory = NULL;
    size_t bytes = count * sizeof *from;
    if (!r->library->take(r->device, bytes, &memory, r->said))
        return false;
    *to = memory;
    return r->library->send(r->device, memory, from, bytes, r->said);
}

static bool send_sides(struct run *r)
{
    struct gpu_lstm *net = r->net;
    bool ok = true;
    if (net->on[r->device])
        return true;
    struct side *sides = net->on[r->device] = mem_zero((size_t)net->sides, sizeof *sides);
    for (int i = 0; ok && i < net->sides; i++)
        ok = send_part(r, &sides[i].weight_ih, net->host[i].weight_ih, ih_count(net, i)) &&
             send_part(r, &sides[i].weight_hh, net->host[i].weight_hh, hh_count(net)) &&
             send_part(r, &sides[i].bias, net->host[i].bias, gate_rows(net));
    if (!ok)
        give_sides(net, r->device);
    return ok;
}

/* ---- a call's memory --------------------------------------------------- */

static bool take(struct run *r, void *to, size_t bytes)
{
    void *memory = NULL;
    if (!r->library->take(r->device, bytes ? bytes : 1, &memory, r->said))
        return false;
    r->taken[r->taken_count++] = memory;
    memcpy(to, &memory, sizeof memory);
    return true;
}

static bool take_all(struct run *r)
{
    const struct recurrent_call *call = r->call;
    size_t floats = sizeof(float), rows = (size_t)call->batch, points = rows * (size_t)call->time;
    size_t states = rows * (size_t)r->hidden * floats,
           outputs = points * (size_t)r->outputs * floats;
    size_t step = rows * gate_rows(r->net) * floats;
    size_t inputs = points * (size_t)r->net->shape.inputs * floats;
    size_t most = r->net->gpu->sums_bytes / step;
    bool wide = call->out || r->net->shape.layers > 1;
    r->at_once = most < 1 ? 1 : most < (size_t)call->time ? (int)most : call->time;
    return take(r, &r->x, inputs) && take(r, &r->h[0], states) && take(r, &r->h[1], states) &&
           take(r, &r->c, states) && take(r, &r->sums, step * (size_t)r->at_once) &&
           take(r, &r->last, rows * (size_t)r->outputs * floats) &&
           (!wide || take(r, &r->between[0], outputs)) &&
           (r->net->shape.layers < 2 || take(r, &r->between[1], outputs)) &&
           r->library->send(r->device, r->x, call->x, inputs, r->said) &&
           (!call->lengths ||
            (take(r, &r->lengths, rows * sizeof(int)) &&
             r->library->send(r->device, r->lengths, call->lengths, rows * sizeof(int), r->said)));
}

/* ---- running ----------------------------------------------------------- */

/* The caller's states of one side, or zeros; afterwards what became of them. */
static bool begin_states(struct run *r, int side)
{
    const struct gpu_library *l = r->library;
    size_t count = (size_t)r->call->batch * (size_t)r->hidden, bytes = count * sizeof(float);
    size_t at = (size_t)side * count;
    return (r->call->h ? l->send(r->device, r->h[0], r->call->h + at, bytes, r->said)
                       : l->clear(r->device, r->h[0], bytes, r->said)) &&
           (r->call->c ? l->send(r->device, r->c, r->call->c + at, bytes, r->said)
                       : l->clear(r->device, r->c, bytes, r->said));
}

static bool end_states(struct run *r, int side, const float *h)
{
    size_t count = (size_t)r->call->batch * (size_t)r->hidden, bytes = count * sizeof(float);
    size_t at = (size_t)side * count;
    return (!r->call->h || r->library->fetch(r->device, r->call->h + at, h, bytes, r->said)) &&
           (!r->call->c || r->library->fetch(r->device, r->call->c + at, r->c, bytes, r->said));
}

static bool run_side(struct run *r, int side, const float *x, float *out, float *last)
{
    const struct recurrent_shape *shape = &r->net->shape;
    const struct side *weights = &r->net->on[r->device][side];
    int backward = side % r->directions, shift = backward * r->hidden;
    struct lstm_steps s = {.span = {r->call->batch, r->call->time, 0, 0, r->lengths, backward},
                           .hidden = r->hidden,
                           .units = r->units,
                           .rows = r->rows,
                           .weights = weights->weight_hh,
                           .sums = r->sums,
                           .h = {r->h[0], r->h[1]},
                           .c = r->c,
                           .out = out ? out + shift : NULL,
                           .last = last ? last + shift : NULL,
                           .outputs = r->outputs};
    if (!begin_states(r, side))
        return false;
    for (; s.span.from < r->call->time; s.span.from += s.span.count) {
        int left = r->call->time - s.span.from;
        s.span.count = left < r->at_once ? left : r->at_once;
        struct lstm_inputs in = {.span = s.span,
                                 .inputs = recurrent_inputs_of(shape, side / r->directions),
                                 .columns = 4 * r->hidden,
                                 .x = x,
                                 .weights = weights->weight_ih,
                                 .bias = weights->bias,
                                 .sums = r->sums};
        if (!r->library->inputs(r->device, &in, r->said) ||
            !r->library->steps(r->device, &s, r->said))
            return false;
        if (s.span.count & 1) { /* the next launch begins with what this one ended with */
            float *h = s.h[0];
            s.h[0] = s.h[1];
            s.h[1] = h;
        }
    }
    return end_states(r, side, s.h[0]);
}

static bool run_layers(struct run *r)
{
    const struct recurrent_call *call = r->call;
    size_t rows = (size_t)call->batch, width = (size_t)r->outputs * sizeof(float);
    size_t bytes = rows * (size_t)call->time * width;
    const float *in = r->x;
    float *out = NULL;
    for (int layer = 0; layer < r->net->shape.layers; layer++) {
        bool is_last = layer == r->net->shape.layers - 1;
        out = is_last && !call->out ? NULL : r->between[layer & 1];
        /* What is over a row's length stays 0. */
        if (out && call->lengths && !r->library->clear(r->device, out, bytes, r->said))
            return false;
        for (int k = 0; k < r->directions; k++) {
            if (!run_side(r, layer * r->directions + k, in, out, is_last ? r->last : NULL))
                return false;
        }
        in = out;
    }
    return (!call->out || r->library->fetch(r->device, call->out, out, bytes, r->said)) &&
           (!call->last ||
            r->library->fetch(r->device, call->last, r->last, rows * width, r->said));
}

static bool run_on(struct gpu_lstm *net, int device, const struct recurrent_call *call,
                   struct err *err)
{
    struct gpu_place *place = &net->gpu->places[device];
    int directions = net->shape.bidirectional ? 2 : 1;
    struct run r = {.net = net,
                    .library = net->gpu->library,
                    .place = place,
                    .call = call,
                    .device = device,
                    .directions = directions,
                    .hidden = net->shape.hidden,
                    .outputs = recurrent_outputs(&net->shape)};
    if (!cut(&place->about, r.hidden, call->batch, &r.units, &r.rows))
        return err_set(err, ERR_LIMIT, "GPU: a batch of %d is too large for %s", call->batch,
                       place->about.name);
    bool ok = send_sides(&r) && take_all(&r) && run_layers(&r);
    for (int i = 0; i < r.taken_count; i++)
        r.library->give(device, r.taken[i]);
    return ok ||
           err_set(err, ERR_UNAVAILABLE, "GPU %d (%s): %s", device, place->about.name, r.said);
}

static int least_busy(struct gpu *gpu)
{
    int best = 0;
    for (int i = 1; i < gpu->count; i++) {
        if (gpu->places[i].waiting < gpu->places[best].waiting)
            best = i;
    }
    return best;
}

bool gpu_lstm_run(struct gpu_lstm *net, const struct recurrent_call *call, struct err *err)
{
    int device = least_busy(net->gpu);
    struct gpu_place *place = &net->gpu->places[device];
    place->waiting++;
    pthread_mutex_lock(&place->lock);
    bool ok = run_on(net, device, call, err);
    pthread_mutex_unlock(&place->lock);
    place->waiting--;
    return ok;
}
