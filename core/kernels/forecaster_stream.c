/* forecaster_stream.c -- one series, point by point. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/forecaster_private.h"
#include "kernels/recurrent_private.h"

struct forecaster_stream {
    const struct forecaster *f;
    bool stepwise;    /* a net that keeps its states */
    float *points;    /* [2 * lookback]: the last ones, in order, at the front once it is full */
    int count;        /* in points */
    int begun, since; /* points the states began from; points since; begun 0: not begun */
    struct forecaster_scale scale;
    float *h, *c; /* [layers][states], [layers][hidden] */
    float *last, *head, *scratch;
};

static size_t scratch_bytes(const struct forecaster *f)
{
    size_t lookback = (size_t)f->info.lookback, bytes = forecaster_scratch(f, 1, lookback, 1);
    size_t net = f->net ? recurrent_scratch(f->net, 1, f->info.lookback) : 0;
    return (bytes > net ? bytes : net) + lookback * sizeof(float);
}

size_t forecaster_stream_bytes(const struct forecaster *f)
{
    const struct recurrent_shape *shape = &f->info.shape;
    size_t states = f->net ? (size_t)(2 * shape->layers + 2) * (size_t)shape->hidden : 0;
    size_t floats = states + (size_t)linear_stride(f->head) + 2 * (size_t)f->info.lookback;
    return sizeof(struct forecaster_stream) + scratch_bytes(f) + floats * sizeof(float);
}

struct forecaster_stream *forecaster_stream_new(const struct forecaster *f)
{
    const struct recurrent_shape *shape = &f->info.shape;
    struct forecaster_stream *s = mem_zero(1, sizeof *s);
    size_t lookback = (size_t)f->info.lookback;
    s->f = f;
    s->stepwise = f->net && !shape->bidirectional;
    s->points = mem_alloc(2 * lookback * sizeof *s->points);
    s->scratch = recurrent_zeros(scratch_bytes(f) / sizeof(float));
    s->head = recurrent_zeros((size_t)linear_stride(f->head));
    if (s->stepwise) {
        s->h = mem_zero((size_t)shape->layers * (size_t)recurrent_states(shape), sizeof(float));
        s->c = mem_zero((size_t)shape->layers * (size_t)shape->hidden, sizeof(float));
        s->last = mem_zero((size_t)recurrent_outputs(shape), sizeof(float));
    }
    return s;
}

void forecaster_stream_free(struct forecaster_stream *s)
{
    if (!s)
        return;
    recurrent_zeros_free(s->scratch);
    recurrent_zeros_free(s->head);
    mem_free(s->points);
    mem_free(s->h);
    mem_free(s->c);
    mem_free(s->last);
    mem_free(s);
}

static void add_point(struct forecaster_stream *s, float value)
{
    int lookback = s->f->info.lookback;
    if (s->count == 2 * lookback) {
        memmove(s->points, s->points + lookback, (size_t)lookback * sizeof *s->points);
        s->count = lookback;
    }
    s->points[s->count++] = value;
}

/* How many points to begin from now: of a full window four fifths, to leave room for those that
 * follow. */
static int points_to_begin(const struct forecaster_stream *s)
{
    int lookback = s->f->info.lookback, most = lookback - lookback / 5;
    if (most < s->f->info.min_points)
        most = s->f->info.min_points;
    return s->count < most ? s->count : most;
}

static bool must_begin(const struct forecaster_stream *s)
{
    return !s->stepwise || s->begun == 0 || s->since >= s->begun / 4 ||
           s->begun + s->since >= s->f->info.lookback;
}

/* Lets the net see x[time], from the states that are. */
static void step_net(struct forecaster_stream *s, const float *x, int time, void *scratch)
{
    struct recurrent_call call = {.batch = 1,
                                  .time = time,
                                  .x = x,
                                  .h = s->h,
                                  .c = s->f->info.shape.cell == RECURRENT_LSTM ? s->c : NULL,
                                  .last = s->last,
                                  .scratch = scratch};
    recurrent_run(s->f->net, &call);
    linear_run(s->f->head, 1, &(const float *){s->last}, s->head);
}

static void begin(struct forecaster_stream *s)
{
    const struct recurrent_shape *shape = &s->f->info.shape;
    s->begun = points_to_begin(s);
    s->since = 0;
    const float *window = s->points + s->count - s->begun;
    s->scale = forecaster_scale(s->f, window, s->begun);
    /* the scaled window stands behind what the net needs */
    size_t net = recurrent_scratch(s->f->net, 1, s->f->info.lookback);
    float *scaled = s->scratch + net / sizeof(float);
    forecaster_scaled(s->scale, window, s->begun, scaled);
    memset(s->h, 0, (size_t)shape->layers * (size_t)recurrent_states(shape) * sizeof(float));
    memset(s->c, 0, (size_t)shape->layers * (size_t)shape->hidden * sizeof(float));
    step_net(s, scaled, s->begun, s->scratch);
}

double forecaster_push_work(const struct forecaster_stream *s)
{
    if (s->count + 1 < s->f->info.min_points)
        return 0;
    return forecaster_work(s->f, 1, must_begin(s) ? (size_t)s->count + 1 : 1, 1);
}

bool forecaster_push(struct forecaster_stream *s, float value, float *next)
{
    const struct forecaster *f = s->f;
    bool again = must_begin(s);
    add_point(s, value);
    if (s->count < f->info.min_points)
        return false;
    if (!s->stepwise) {
        struct forecaster_series series = {s->points, (size_t)s->count};
        struct forecaster_call call = {
            .count = 1, .series = &series, .horizon = 1, .out = next, .scratch = s->scratch};
        forecaster_run(f, &call);
        return true;
    }
    if (again) {
        begin(s);
    } else {
        float x;
        forecaster_scaled(s->scale, &value, 1, &x);
        s->since++;
        step_net(s, &x, 1, s->scratch);
    }
    forecaster_answer(f, s->scale, s->head, NULL, 1, next, 1);
    return true;
}
