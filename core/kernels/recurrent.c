#include "kernels/recurrent.h"

#include <string.h>

#include "kernels/recurrent_low.h"

/* Rows of inputs that are added up ahead of the steps when these have too few rows to share a
 * weight. */
enum { AHEAD_ROWS = 24, AHEAD_INPUTS = 8 };

/* Of a net whose weights stay in a processor's second cache (1 MiB or more), rows go through all
 * layers in parts whose states and whose way from layer to layer stay there, too. */
enum { PART_LEAST = 24, PART_MOST = 48, WEIGHTS_BYTES = 512 << 10, BETWEEN_BYTES = 640 << 10 };

static size_t aligned(size_t bytes)
{
    return (bytes + RECURRENT_ALIGN - 1) / RECURRENT_ALIGN * RECURRENT_ALIGN;
}

/* ---- a call's memory --------------------------------------------------- */

/* Parts of call->scratch. */
struct work {
    const struct recurrent *net;
    const struct recurrent_call *call;
    int *order;        /* [rows]: rows of the call, longest first */
    int rows;          /* of them in this part */
    const float **x;   /* [most rows]: pointers for a tile's rows */
    float *h[2], *c;   /* [batch][state_width], [batch][hidden_width], in that order */
    float *hidden;     /* [batch][hidden_width]: before a projection */
    float *ahead;      /* [AHEAD_ROWS][blocks][4][lanes]; lowered: of the batch, if more */
    void *low;         /* recurrent_low.c's */
    float *between[2]; /* [batch][time][outputs] of one layer, the next one's inputs */
};

static size_t lay_out(const struct recurrent *net, int batch, int time, struct work *w, char *base)
{
    size_t rows = (size_t)batch, floats = sizeof(float), at = 0;
    size_t most = rows > AHEAD_ROWS ? rows : AHEAD_ROWS;
    size_t outputs = rows * (size_t)time * (size_t)recurrent_outputs(&net->shape) * floats;
    bool layered = net->shape.layers > 1;
    struct {
        void **to;
        size_t bytes;
    } parts[] = {
        {(void **)&w->order, rows * sizeof(int)},
        {(void **)&w->x, most * sizeof(float *)},
        {(void **)&w->h[0], rows * (size_t)net->state_width * floats},
        {(void **)&w->h[1], rows * (size_t)net->state_width * floats},
        {(void **)&w->c, rows * (size_t)net->hidden_width * floats},
        {(void **)&w->hidden,
         net->shape.projection ? rows * (size_t)net->hidden_width * floats : 0},
        {(void **)&w->ahead,
         (net->low ? most : AHEAD_ROWS) * (size_t)net->hidden_width * 4 * floats},
        {(void **)&w->low, net->low ? recurrent_low_scratch(net, (int)most) : 0},
        {(void **)&w->between[0], layered ? outputs : 0},
        {(void **)&w->between[1], net->shape.layers > 2 ? outputs : 0},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i].to = base ? base + at : NULL;
        at += aligned(parts[i].bytes);
    }
    return at;
}

size_t recurrent_scratch(const struct recurrent *net, int batch, int time)
{
    struct work unused;
    return lay_out(net, batch, time, &unused, NULL);
}

/* ---- running ----------------------------------------------------------- */

/* One direction of one layer over a call's rows. */
struct pass {
    struct work *w;
    const struct recurrent_direction *d;
    int index; /* of the direction in h, c */
    int side;  /* 1: backward */
    const float *in;
    int inputs;
    float *out;     /* [batch][time][outputs], or NULL */
    float *last;    /* [batch][outputs], or NULL */
    int ahead_from; /* steps whose inputs are added up ahead: */
    int ahead_steps, ahead_rows;
};

void recurrent_sweep(const struct recurrent_tiles *tiles, enum recurrent_step step,
                     const struct recurrent_tile *tile, int blocks, int rows, bool backwards)
{
    size_t lanes = (size_t)tiles->lanes, wide = step == RECURRENT_STEP_DENSE ? 4 * lanes : lanes;
    int tall =
        (rows + tiles->rows - 1) / tiles->rows; /* tiles in a column, of nearly the same size */
    for (int done = 0, many; done < blocks; done += many) {
        many = rows == 1 && blocks - done >= tiles->blocks ? tiles->blocks : 1;
        size_t at = (size_t)(backwards ? blocks - done - many : done);
        for (int i = 0, first = 0, n; i < tall; i++, first += n) {
            n = (rows - first) / (tall - i);
            struct recurrent_tile part = recurrent_tile_at(tile, lanes, wide, at, (size_t)first);
            tiles->step[step][many > 1 ? 0 : n](&part);
        }
    }
}

static int length_of(const struct recurrent_call *call, int row)
{
    return call->lengths ? call->lengths[row] : call->time;
}

/* Where in [batch][time] the i'th row in order is at this step. */
static size_t moment(const struct pass *p, int i, int step)
{
    const struct recurrent_call *call = p->w->call;
    int row = p->w->order[i], length = length_of(call, row);
    int at = step < length ? step : length - 1;
    return (size_t)row * (size_t)call->time + (size_t)(p->side ? length - 1 - at : at);
}

static void add_ahead(struct pass *p, int step, int rows)
{
    const struct recurrent *net = p->w->net;
    size_t lanes = (size_t)net->tiles->lanes;
    int left = p->w->call->time - step;
    p->ahead_from = step;
    p->ahead_rows = rows;
    p->ahead_steps = AHEAD_ROWS / rows < left ? AHEAD_ROWS / rows : left;
    p->ahead_steps += p->ahead_steps == 0; /* lowered */
    for (int k = 0; k < p->ahead_steps; k++)
        for (int i = 0; i < rows; i++)
            p->w->x[k * rows + i] = p->in + moment(p, i, step + k) * (size_t)p->inputs;
    struct recurrent_tile tile = {.weights = p->d->inputs,
                                  .block = (size_t)p->inputs * 4 * lanes,
                                  .x = p->w->x,
                                  .inputs = p->inputs,
                                  .h = p->w->ahead, /* of 0 states */
                                  .from = p->d->bias,
                                  .memory = p->w->ahead,
                                  .out = p->w->ahead,
                                  .out_stride = 4 * (size_t)net->hidden_width};
    if (net->low)
        recurrent_low_dense(net, &p->d->low->inputs, &tile, net->blocks, rows * p->ahead_steps,
                            p->w->low);
    else
        recurrent_sweep(net->tiles, RECURRENT_STEP_DENSE, &tile, net->blocks, rows * p->ahead_steps,
                        false);
}

/* The tile's sums begin with the inputs' part when it was worth adding up ahead, else with the
 * bias. */
static void begin_sums(struct pass *p, struct recurrent_tile *tile, int step, int rows)
{
    const struct recurrent *net = p->w->net;
    if (net->low ? p->d->low->inputs.words != NULL
                 : rows < net->tiles->rows && p->inputs > AHEAD_INPUTS) {
        if (step >= p->ahead_from + p->ahead_steps)
            add_ahead(p, step, rows);
        if (!net->low)
            tile->weights += (size_t)(p->inputs * net->wide) * (size_t)net->tiles->lanes;
        tile->inputs = 0;
        tile->from_stride = 4 * (size_t)net->hidden_width;
        tile->from =
            p->w->ahead + (size_t)((step - p->ahead_from) * p->ahead_rows) * tile->from_stride;
        return;
    }
    for (int i = 0; i < rows; i++)
        p->w->x[i] = p->in + moment(p, i, step) * (size_t)p->inputs;
    tile->inputs = p->inputs;
    tile->from = p->d->bias;
    tile->from_stride = 0;
}

static void project(const struct pass *p, float *states, int rows)
{
    const struct work *w = p->w;
    const struct recurrent *net = w->net;
    for (int i = 0; i < rows; i++)
        w->x[i] = w->hidden + (size_t)i * (size_t)net->hidden_width;
    struct recurrent_tile tile = {.weights = p->d->project,
                                  .block =
                                      (size_t)net->shape.hidden * 4 * (size_t)net->tiles->lanes,
                                  .x = w->x,
                                  .inputs = net->shape.hidden,
                                  .h = states,
                                  .from = p->d->none,
                                  .memory = states,
                                  .out = states,
                                  .out_stride = (size_t)net->state_width};
    if (net->low)
        recurrent_low_dense(net, &p->d->low->project, &tile, net->project_blocks, rows, w->low);
    else
        recurrent_sweep(net->tiles, RECURRENT_STEP_DENSE, &tile, net->project_blocks, rows, false);
}

static enum recurrent_step kind_of(const struct recurrent *net, bool thin)
{
    bool gru = net->shape.cell == RECURRENT_GRU;
    if (net->kept == RECURRENT_BF16)
        return gru ? RECURRENT_STEP_GRU_BF16 : RECURRENT_STEP_LSTM_BF16;
    if (thin)
        return RECURRENT_STEP_LSTM_THIN;
    return gru ? RECURRENT_STEP_GRU : RECURRENT_STEP_LSTM;
}

/* One step of the first `rows` rows in order: from the states of even steps to those of odd ones
 * and back.  Weights are walked in turn up and down: what the cache kept of the last step comes
 * first. */
static void take_step(struct pass *p, int step, int rows)
{
    struct work *w = p->w;
    const struct recurrent *net = w->net;
    bool gru = net->shape.cell == RECURRENT_GRU;
    int states = recurrent_states(&net->shape);
    float *before = w->h[step & 1], *after = w->h[!(step & 1)];
    struct recurrent_tile tile = {
        .weights = p->d->step,
        .block = (size_t)((p->inputs + states) * net->wide) * (size_t)net->tiles->lanes,
        .thin = rows == 1 ? p->d->thin : NULL,
        .thin_block = (size_t)states * 3 * (size_t)net->tiles->lanes,
        .units = p->d->units,
        .x = w->x,
        .h = before,
        .h_stride = (size_t)net->state_width,
        .states = states,
        .memory = gru ? before : w->c,
        .memory_stride = (size_t)net->hidden_width,
        .out = net->shape.projection ? w->hidden : after,
        .out_stride = (size_t)net->hidden_width,
    };
    begin_sums(p, &tile, step, rows);
    enum recurrent_step kind = kind_of(net, rows == 1 && p->d->thin);
    if (net->low)
        recurrent_low_step(net, p->d, &tile, rows, step & 1, w->low);
    else
        recurrent_sweep(net->tiles, kind, &tile, net->blocks, rows, step & 1);
    if (net->shape.projection)
        project(p, after, rows);
}

static void give_out(const struct pass *p, int step, int rows)
{
    const struct work *w = p->w;
    size_t states = (size_t)recurrent_states(&w->net->shape), bytes = states * sizeof(float);
    size_t outputs = (size_t)recurrent_outputs(&w->net->shape), side = (size_t)p->side * states;
    const float *after = w->h[!(step & 1)];
    for (int i = 0; i < rows; i++, after += w->net->state_width) {
        int row = w->order[i];
        if (p->out)
            memcpy(p->out + moment(p, i, step) * outputs + side, after, bytes);
        if (p->last && (p->side ? step == 0 : step == length_of(w->call, row) - 1))
            memcpy(p->last + (size_t)row * outputs + side, after, bytes);
    }
}

/* Between the caller's [batch][width] and rows in order; into: from the caller. */
static void move_rows(const struct work *w, float *theirs, float *ours[2], size_t width,
                      size_t stride, bool into)
{
    for (int i = 0; i < w->rows; i++) {
        int row = w->order[i];
        float *mine = ours[into ? 0 : length_of(w->call, row) & 1] + (size_t)i * stride;
        float *other = theirs + (size_t)row * width;
        memcpy(into ? mine : other, into ? other : mine, width * sizeof(float));
    }
}

static void move_states(const struct pass *p, bool into)
{
    struct work *w = p->w;
    const struct recurrent_shape *shape = &w->net->shape;
    size_t states = (size_t)recurrent_states(shape), hidden = (size_t)shape->hidden;
    size_t before = (size_t)p->index * (size_t)w->call->batch;
    if (w->call->h)
        move_rows(w, w->call->h + before * states, w->h, states, (size_t)w->net->state_width, into);
    if (w->call->c)
        move_rows(w, w->call->c + before * hidden, (float *[2]){w->c, w->c}, hidden,
                  (size_t)w->net->hidden_width, into);
}

static void run_pass(struct pass *p)
{
    struct work *w = p->w;
    size_t rows = (size_t)w->rows;
    memset(w->h[0], 0, rows * (size_t)w->net->state_width * sizeof(float));
    memset(w->c, 0, rows * (size_t)w->net->hidden_width * sizeof(float));
    move_states(p, true);
    int active = w->rows;
    for (int step = 0; step < w->call->time; step++) {
        while (active && length_of(w->call, w->order[active - 1]) <= step)
            active--;
        if (!active)
            break;
        take_step(p, step, active);
        if (p->out || p->last)
            give_out(p, step, active);
    }
    move_states(p, false);
}

/* Rows by length, longest first: the ones that still run are always the first ones. */
static void put_in_order(const struct work *w)
{
    int *order = w->order;
    for (int i = 0; i < w->call->batch; i++)
        order[i] = i;
    if (!w->call->lengths)
        return;
    for (int i = 1; i < w->call->batch; i++) {
        int row = order[i], k = i;
        for (; k > 0 && w->call->lengths[order[k - 1]] < w->call->lengths[row]; k--)
            order[k] = order[k - 1];
        order[k] = row;
    }
}

static void clear_ends(const struct recurrent_call *call, size_t outputs)
{
    for (int row = 0; call->lengths && row < call->batch; row++) {
        size_t length = (size_t)call->lengths[row], over = (size_t)call->time - length;
        memset(call->out + ((size_t)row * (size_t)call->time + length) * outputs, 0,
               over * outputs * sizeof(float));
    }
}

/* How many rows go through all layers together. */
static int rows_of_a_part(const struct recurrent *net, const struct recurrent_call *call)
{
    const struct recurrent_shape *shape = &net->shape;
    size_t outputs = (size_t)recurrent_outputs(shape), floats = sizeof(float);
    size_t inputs = shape->layers > 1 ? outputs : (size_t)shape->inputs;
    size_t weights = 4 * floats * (size_t)shape->hidden * (inputs + outputs);
    size_t fit = BETWEEN_BYTES / ((size_t)call->time * outputs * floats);
    if (weights > WEIGHTS_BYTES)
        return call->batch;
    if (shape->layers == 1 || fit > PART_MOST)
        return PART_MOST;
    return fit < PART_LEAST ? PART_LEAST : (int)fit / RECURRENT_ROWS * RECURRENT_ROWS;
}

static void run_part(struct work *w)
{
    const struct recurrent_shape *shape = &w->net->shape;
    const float *in = w->call->x;
    for (int layer = 0; layer < shape->layers; layer++) {
        bool is_last = layer == shape->layers - 1;
        float *out = is_last ? w->call->out : w->between[layer & 1];
        for (int side = 0; side < recurrent_directions(shape); side++) {
            int index = layer * recurrent_directions(shape) + side;
            struct pass p = {.w = w,
                             .d = &w->net->directions[index],
                             .index = index,
                             .side = side,
                             .in = in,
                             .inputs = recurrent_inputs_of(shape, layer),
                             .out = out,
                             .last = is_last ? w->call->last : NULL};
            run_pass(&p);
        }
        in = out;
    }
}

void recurrent_run(const struct recurrent *net, const struct recurrent_call *call)
{
    struct work w;
    int part = rows_of_a_part(net, call);
    lay_out(net, call->batch, call->time, &w, call->scratch);
    w.net = net;
    w.call = call;
    put_in_order(&w);
    for (int done = 0; done < call->batch; done += w.rows, w.order += w.rows) {
        int left = call->batch - done;
        w.rows = left < part + PART_LEAST / 2 ? left : part; /* no small rest */
        run_part(&w);
    }
    if (call->out)
        clear_ends(call, (size_t)recurrent_outputs(&net->shape));
}
