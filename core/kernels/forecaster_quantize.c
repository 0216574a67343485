#include "kernels/forecaster_quantize.h"

#include <math.h>
#include <stdint.h>

#include "base/mem.h"
#include "kernels/forecaster_private.h"
#include "kernels/recurrent_private.h"
#include "kernels/safetensors.h"

enum { WINDOWS_MOST = 256, MADE_UP_POINTS = 4096 };

/* ---- the file ---------------------------------------------------------- */

struct quantizing {
    enum forecaster_weights to;
    struct safetensors_tensor *tensors;
    int count;
};

static uint16_t brain_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static char *to_brains(const float *values, size_t n)
{
    char *to = mem_alloc(n * 2);
    for (size_t i = 0; i < n; i++) {
        uint16_t brain = brain_of(values[i]);
        memcpy(to + i * 2, &brain, sizeof brain);
    }
    return to;
}

static char *to_bytes(const float *values, size_t rows, size_t columns, float *scales)
{
    char *to = mem_alloc(rows * columns);
    for (size_t row = 0; row < rows; row++, values += columns) {
        float most = 0;
        for (size_t k = 0; k < columns; k++)
            most = fmaxf(most, fabsf(values[k]));
        scales[row] = most > 0 ? most / 127 : 1;
        for (size_t k = 0; k < columns; k++)
            to[row * columns + k] = (char)lrintf(values[k] / scales[row]);
    }
    return to;
}

/* data becomes the list's. */
static void add(struct quantizing *q, const struct safetensors_tensor *like, const char *end,
                enum safetensors_type type, int rank, char *data)
{
    struct safetensors_tensor *t = &q->tensors[q->count++];
    *t = *like;
    t->name = mem_printf("%s%s", like->name, end);
    t->type = type;
    t->rank = rank;
    t->count = 1;
    for (int i = 0; i < rank; i++)
        t->count *= t->shape[i];
    t->data = (struct str){data, t->count * safetensors_type_bytes(type)};
}

static bool add_matrix(struct quantizing *q, const struct safetensors_tensor *t, struct err *err)
{
    size_t rows = t->shape[0], columns = t->shape[1];
    float *values = mem_alloc(t->count * sizeof *values);
    bool ok = t->type == SAFETENSORS_F32 && safetensors_floats(t, values);
    if (!ok)
        err_set(err, ERR_INVALID, "tensor %s: dtype is %s, only F32 becomes smaller", t->name,
                safetensors_type_name(t->type));
    else if (q->to == FORECASTER_BF16) {
        add(q, t, "", SAFETENSORS_BF16, 2, to_brains(values, t->count));
    } else {
        float *scales = mem_alloc(rows * sizeof *scales);
        add(q, t, "", SAFETENSORS_I8, 2, to_bytes(values, rows, columns, scales));
        add(q, t, ".scale", SAFETENSORS_F32, 1, (char *)scales);
    }
    mem_free(values);
    return ok;
}

static bool add_tensors(struct quantizing *q, const struct safetensors *file, struct err *err)
{
    q->tensors = mem_zero(2 * (size_t)file->count, sizeof *q->tensors);
    for (int i = 0; i < file->count; i++) {
        const struct safetensors_tensor *t = &file->tensors[i];
        if (t->rank != 2 || str_eq_c(str_c(t->name), "residual.quantiles"))
            add(q, t, "", t->type, t->rank, mem_dup(t->data.p, t->data.n));
        else if (!add_matrix(q, t, err))
            return false;
    }
    return true;
}

bool forecaster_quantize(struct str bytes, enum forecaster_weights to, struct buf *out,
                         struct err *err)
{
    struct quantizing q = {.to = to};
    struct safetensors file;
    struct forecaster *f = forecaster_new(bytes, err); /* that it is a model */
    if (!f || !safetensors_read(&file, bytes, err))
        return false;
    bool ok = add_tensors(&q, &file, err);
    if (ok)
        safetensors_write(out, file.metadata, q.tensors, q.count);
    for (int i = 0; i < q.count; i++) {
        mem_free(q.tensors[i].name);
        mem_free((char *)(uintptr_t)q.tensors[i].data.p);
    }
    mem_free(q.tensors);
    safetensors_free(&file);
    forecaster_free(f);
    return ok;
}

/* ---- the difference ---------------------------------------------------- */

static void make_up(float *values, int n)
{
    unsigned state = 1;
    for (int i = 0; i < n; i++) {
        state = state * 1664525U + 1013904223U;
        double noise = (double)(state >> 8) / (1 << 23) - 1, t = i * 2 * 3.14159265358979 / 24;
        values[i] = (float)(10 * sin(t) + 4 * sin(t / 7) + 0.002 * i + 2 * noise);
    }
}

static void run(const struct forecaster *f, const struct forecaster_series *series, int count,
                float *out)
{
    int horizon = f->info.horizon;
    size_t bytes = forecaster_scratch(f, count, (size_t)f->info.lookback, horizon);
    float *scratch = recurrent_zeros(bytes / sizeof(float) + 1);
    struct forecaster_call call = {
        .count = count, .series = series, .horizon = horizon, .out = out, .scratch = scratch};
    forecaster_run(f, &call);
    recurrent_zeros_free(scratch);
}

struct forecaster_difference forecaster_compare(const struct forecaster *a,
                                                const struct forecaster *b,
                                                struct forecaster_series series)
{
    size_t window = (size_t)a->info.lookback,
           each = (size_t)a->info.quantiles * (size_t)a->info.horizon;
    size_t made_up = window + MADE_UP_POINTS;
    float *own = series.count ? NULL : mem_alloc(made_up * sizeof *own);
    if (own) {
        make_up(own, (int)made_up);
        series = (struct forecaster_series){own, made_up};
    }
    window = window < series.count ? window : series.count;
    size_t places = series.count - window + 1,
           count = places < WINDOWS_MOST ? places : WINDOWS_MOST;
    struct forecaster_series list[WINDOWS_MOST];
    for (size_t i = 0; i < count; i++)
        list[i] = (struct forecaster_series){series.values + places * i / count, window};
    float *of_a = mem_alloc(count * each * sizeof *of_a),
          *of_b = mem_alloc(count * each * sizeof *of_b);
    run(a, list, (int)count, of_a);
    run(b, list, (int)count, of_b);
    struct forecaster_difference d = {.windows = (int)count};
    for (size_t i = 0; i < count * each; i++) {
        double by = forecaster_scale(a, list[i / each].values, (int)window).deviation;
        double far = fabs((double)of_a[i] - (double)of_b[i]) / by;
        d.mean += far / (double)(count * each);
        d.most = fmax(d.most, far);
    }
    mem_free(of_a);
    mem_free(of_b);
    mem_free(own);
    return d;
}
