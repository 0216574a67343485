#include "kernels/forecaster.h"

#include <math.h>
#include <string.h>

#include "kernels/forecaster_private.h"

/* Series at once: so many that a weight is loaded for several, and what passes from layer to layer
 * stays in the processor's caches if it can. */
enum { ROWS_MOST = 48, BETWEEN_FLOATS = 1 << 20, ALIGN = 64 };

const struct forecaster_info *forecaster_info(const struct forecaster *f)
{
    return &f->info;
}

/* ---- windows ----------------------------------------------------------- */

static int window_of(const struct forecaster *f, size_t points)
{
    return points < (size_t)f->info.lookback ? (int)points : f->info.lookback;
}

bool forecaster_accepts(const struct forecaster *f, struct forecaster_series series, size_t *index,
                        struct err *err)
{
    if (series.count < (size_t)f->info.min_points)
        return err_set(err, ERR_LIMIT, "%zu points; %s needs at least %d", series.count,
                       f->info.name, f->info.min_points);
    for (size_t i = series.count - (size_t)window_of(f, series.count); i < series.count; i++) {
        if (isfinite(series.values[i]))
            continue;
        *index = i;
        return err_set(err, ERR_INVALID, "value %zu is not a finite number", i + 1);
    }
    return true;
}

struct forecaster_scale forecaster_scale(const struct forecaster *f, const float *window, int n)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < n; i++)
        mean += (double)window[i];
    mean /= n;
    for (int i = 0; i < n; i++)
        squares += ((double)window[i] - mean) * ((double)window[i] - mean);
    double deviation = sqrt(squares / n);
    return (struct forecaster_scale){
        .center = f->info.scaling == FORECASTER_LAST ? (double)window[n - 1] : mean,
        .deviation = deviation < 1e-8 * (1 + fabs(mean)) ? 1 : deviation};
}

void forecaster_scaled(struct forecaster_scale scale, const float *window, int n, float *to)
{
    double by = 1 / scale.deviation;
    for (int i = 0; i < n; i++)
        to[i] = (float)(((double)window[i] - scale.center) * by);
}

/* ---- answers ----------------------------------------------------------- */

/* The median of one step, and the quantiles' distances from it, in order; all of them scaled. */
static double read_step(const struct forecaster *f, const float *head, int step, double *distance)
{
    int count = f->info.quantiles, median = f->info.median;
    double middle = (double)head[f->head_rows == f->info.horizon ? step : step * count + median];
    for (int q = 0; q < count; q++)
        distance[q] = f->residuals ? (double)f->residuals[step * count + q]
                                   : (double)head[step * count + q] - middle;
    if (f->residuals) { /* of the point forecast: its median may lie beside it */
        double shift = distance[median];
        middle += shift;
        for (int q = 0; q < count; q++)
            distance[q] -= shift;
    }
    for (int q = median - 1; q >= 0; q--)
        distance[q] = fmin(distance[q], distance[q + 1]);
    for (int q = median + 1; q < count; q++)
        distance[q] = fmax(distance[q], distance[q - 1]);
    return middle;
}

void forecaster_answer(const struct forecaster *f, struct forecaster_scale scale, const float *head,
                       const double *before, int steps, float *out, size_t stride)
{
    double distance[FORECASTER_QUANTILES_MOST];
    for (int step = 0; step < steps; step++) {
        double middle = read_step(f, head, step, distance) * scale.deviation + scale.center;
        for (int q = 0; q < f->info.quantiles; q++) {
            double d = distance[q] * scale.deviation;
            if (before)
                d = copysign(sqrt(d * d + before[q]), (double)(q - f->info.median));
            out[(size_t)q * stride + (size_t)step] =
                (float)(q == f->info.median ? middle : middle + d);
        }
    }
}

/* ---- a call ------------------------------------------------------------ */

struct work {
    const struct forecaster *f;
    int rows, net_rows; /* at once; of them in one run of the net on the CPU */
    int time;           /* of the longest window */
    float *window;      /* [rows][lookback], each row's last `points` */
    int *points;        /* [rows] */
    float *scaled;      /* [rows][time] */
    const float **last; /* [rows]: what the head reads */
    float *states;      /* [rows][outputs] */
    float *head;        /* [rows][linear_stride] */
    double *before;     /* [rows][quantiles] */
    struct forecaster_scale *scale;
    void *net; /* recurrent_scratch */
};

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t lay_out(const struct forecaster *f, int count, size_t longest, int horizon,
                      struct work *w, char *base)
{
    const struct forecaster_info *info = &f->info;
    w->f = f;
    w->time = info->kind == FORECASTER_NLINEAR ? info->lookback
              : horizon > info->horizon        ? window_of(f, longest + (size_t)horizon)
                                               : window_of(f, longest);
    if (w->time < 1)
        w->time = 1;
    int outputs = f->net ? recurrent_outputs(&info->shape) : 1;
    int fit = BETWEEN_FLOATS / (w->time * outputs);
    w->net_rows = fit < 1 ? 1 : fit > ROWS_MOST ? ROWS_MOST : fit;
    if (w->net_rows > count)
        w->net_rows = count;
    w->rows = forecaster_gpu_rows(f, count);
    if (!w->rows)
        w->rows = w->net_rows;
    size_t rows = (size_t)w->rows, floats = sizeof(float), at = 0;
    struct {
        void **to;
        size_t bytes;
    } parts[] = {
        {(void **)&w->window, rows * (size_t)info->lookback * floats},
        {(void **)&w->points, rows * sizeof(int)},
        {(void **)&w->scaled, rows * (size_t)w->time * floats},
        {(void **)&w->last, rows * sizeof(float *)},
        {(void **)&w->states, rows * (size_t)outputs * floats},
        {(void **)&w->head, rows * (size_t)linear_stride(f->head) * floats},
        {(void **)&w->before, rows * (size_t)info->quantiles * sizeof(double)},
        {(void **)&w->scale, rows * sizeof *w->scale},
        {&w->net, f->net ? recurrent_scratch(f->net, w->net_rows, w->time) : 0},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i].to = base ? base + at : NULL;
        at += aligned(parts[i].bytes);
    }
    return at;
}

size_t forecaster_scratch(const struct forecaster *f, int count, size_t longest, int horizon)
{
    struct work unused;
    return lay_out(f, count, longest, horizon, &unused, NULL);
}

double forecaster_work(const struct forecaster *f, int count, size_t longest, int horizon)
{
    const struct recurrent_shape *s = &f->info.shape;
    int blocks = (horizon + f->info.horizon - 1) / f->info.horizon;
    double head = 2.0 * f->head_rows * (f->net ? recurrent_outputs(s) : f->info.lookback), step = 0;
    for (int layer = 0; f->net && layer < s->layers; layer++)
        step += 2.0 * (s->bidirectional ? 2 : 1) * s->hidden *
                (recurrent_gates(s->cell) * (recurrent_inputs_of(s, layer) + recurrent_states(s)) +
                 s->projection);
    double around = 20.0 * window_of(f, longest) + 50.0 * f->info.horizon * f->info.quantiles;
    return (double)count * blocks * (step * window_of(f, longest) + head + around);
}

/* ---- running ----------------------------------------------------------- */

/* All of the call's rows, by net_rows. */
static void run_parts(const struct work *w, const struct recurrent_call *call)
{
    const struct recurrent_shape *shape = &w->f->info.shape;
    for (int first = 0; first < call->batch; first += w->net_rows) {
        int left = call->batch - first;
        struct recurrent_call part = *call;
        part.batch = left < w->net_rows ? left : w->net_rows;
        part.x += (size_t)first * (size_t)call->time;
        part.lengths += first;
        part.last += (size_t)first * (size_t)recurrent_outputs(shape);
        recurrent_run(w->f->net, &part);
    }
}

static void run_net(struct work *w, int rows)
{
    size_t outputs = (size_t)recurrent_outputs(&w->f->info.shape);
    int longest = 0;
    for (int i = 0; i < rows; i++)
        longest = w->points[i] > longest ? w->points[i] : longest;
    for (int i = 0; i < rows; i++) {
        float *to = w->scaled + (size_t)i * (size_t)longest;
        const float *window = w->window + (size_t)i * (size_t)w->f->info.lookback;
        forecaster_scaled(w->scale[i], window, w->points[i], to);
        memset(to + w->points[i], 0, (size_t)(longest - w->points[i]) * sizeof *to);
        w->last[i] = w->states + (size_t)i * outputs;
    }
    struct recurrent_call call = {.batch = rows,
                                  .time = longest,
                                  .x = w->scaled,
                                  .lengths = w->points,
                                  .last = w->states,
                                  .scratch = w->net};
    if (!forecaster_gpu_run(w->f, &call))
        run_parts(w, &call);
}

/* The windows at the end of rows of `lookback` values. */
static void fill_windows(struct work *w, int rows)
{
    int lookback = w->f->info.lookback;
    for (int i = 0; i < rows; i++) {
        float *to = w->scaled + (size_t)i * (size_t)lookback;
        int short_of = lookback - w->points[i];
        forecaster_scaled(w->scale[i], w->window + (size_t)i * (size_t)lookback, w->points[i],
                          to + short_of);
        for (int k = 0; k < short_of; k++)
            to[k] = to[short_of];
        w->last[i] = to;
    }
}

/* The next `steps` steps of all rows, from their windows. */
static void run_block(struct work *w, const struct forecaster_call *call, int first, int rows,
                      int done, int steps)
{
    const struct forecaster *f = w->f;
    size_t quantiles = (size_t)f->info.quantiles, horizon = (size_t)call->horizon;
    for (int i = 0; i < rows; i++)
        w->scale[i] =
            forecaster_scale(f, w->window + (size_t)i * (size_t)f->info.lookback, w->points[i]);
    if (f->net)
        run_net(w, rows);
    else
        fill_windows(w, rows);
    linear_run(f->head, rows, w->last, w->head);
    for (int i = 0; i < rows; i++)
        forecaster_answer(f, w->scale[i], w->head + (size_t)i * (size_t)linear_stride(f->head),
                          done ? w->before + (size_t)i * quantiles : NULL, steps,
                          call->out + (size_t)(first + i) * quantiles * horizon + done, horizon);
}

/* A row's window ends with these medians now. */
static void extend(struct work *w, int row, const float *medians, int n)
{
    int lookback = w->f->info.lookback;
    float *window = w->window + (size_t)row * (size_t)lookback;
    if (n > lookback) {
        medians += n - lookback;
        n = lookback;
    }
    int keep = w->points[row] + n > lookback ? lookback - n : w->points[row];
    memmove(window, window + w->points[row] - keep, (size_t)keep * sizeof *window);
    memcpy(window + keep, medians, (size_t)n * sizeof *window);
    w->points[row] = keep + n;
}

static void feed_back(struct work *w, const struct forecaster_call *call, int first, int rows,
                      int done)
{
    const struct forecaster_info *info = &w->f->info;
    size_t quantiles = (size_t)info->quantiles, horizon = (size_t)call->horizon;
    for (int i = 0; i < rows; i++) {
        /* the last step that was told, of the first quantile */
        const float *out =
            call->out + (size_t)(first + i) * quantiles * horizon + (size_t)(done - 1);
        const float *median = out + (size_t)info->median * horizon;
        for (size_t q = 0; q < quantiles; q++) {
            double d = (double)out[q * horizon] - (double)*median;
            w->before[(size_t)i * quantiles + q] = d * d;
        }
        extend(w, i, median + 1 - info->horizon, info->horizon);
    }
}

void forecaster_run(const struct forecaster *f, const struct forecaster_call *call)
{
    struct work w;
    size_t longest = 0;
    for (int i = 0; i < call->count; i++)
        longest = call->series[i].count > longest ? call->series[i].count : longest;
    lay_out(f, call->count, longest, call->horizon, &w, call->scratch);
    for (int first = 0, rows; first < call->count; first += rows) {
        rows = call->count - first < w.rows ? call->count - first : w.rows;
        for (int i = 0; i < rows; i++) {
            const struct forecaster_series *s = &call->series[first + i];
            w.points[i] = window_of(f, s->count);
            memcpy(w.window + (size_t)i * (size_t)f->info.lookback,
                   s->values + s->count - w.points[i], (size_t)w.points[i] * sizeof(float));
        }
        for (int done = 0, steps; done < call->horizon; done += steps) {
            int left = call->horizon - done;
            steps = left < f->info.horizon ? left : f->info.horizon;
            if (done)
                feed_back(&w, call, first, rows, done);
            run_block(&w, call, first, rows, done, steps);
        }
    }
}
