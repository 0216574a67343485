/* forecaster_load.c -- a model file's tensors. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/json_pick.h"
#include "base/mem.h"
#include "kernels/forecaster_private.h"
#include "kernels/isa.h"
#include "kernels/safetensors.h"

enum { TENSOR_NAME_BYTES = 64 };

/* ORDER forecaster_weights */
static const char *const weights_names[] = {"float32", "bfloat16", "int8"};

const char *forecaster_weights_name(enum forecaster_weights weights)
{
    return weights_names[weights];
}

struct loading {
    struct safetensors file;
    struct forecaster *f;
    int used;                    /* tensors that have a place in the model */
    int matrices, brains, bytes; /* so far; those of bfloat16, of int8 */
    struct err *err;
};

/* ---- one tensor -------------------------------------------------------- */

static bool has_shape(const struct safetensors_tensor *t, int rows, int columns)
{
    return t->shape[0] == (size_t)rows &&
           (columns ? t->rank == 2 && t->shape[1] == (size_t)columns : t->rank == 1);
}

/* bytes times the row's scale */
static bool widen(struct loading *l, const struct safetensors_tensor *t, float *to)
{
    char name[TENSOR_NAME_BYTES + 8];
    snprintf(name, sizeof name, "%s.scale", t->name);
    const struct safetensors_tensor *scale = safetensors_find(&l->file, str_c(name));
    size_t rows = t->shape[0], columns = t->count / rows;
    if (!scale || scale->type != SAFETENSORS_F32 || !has_shape(scale, (int)rows, 0))
        return err_set(l->err, ERR_INVALID, "tensor %s: must be F32 of [%zu], as %s is I8", name,
                       rows, t->name);
    l->used++;
    for (size_t row = 0; row < rows; row++) {
        float by;
        memcpy(&by, scale->data.p + row * sizeof by, sizeof by);
        for (size_t k = 0; k < columns; k++)
            to[row * columns + k] = (float)(int8_t)t->data.p[row * columns + k] * by;
    }
    return true;
}

static bool read_values(struct loading *l, const struct safetensors_tensor *t, float *to)
{
    enum forecaster_weights *kept = &l->f->info.weights;
    bool ok = t->type == SAFETENSORS_I8 && t->rank == 2;
    if (ok && !widen(l, t, to))
        return false;
    if (!ok && (t->type == SAFETENSORS_F32 || t->type == SAFETENSORS_BF16))
        ok = safetensors_floats(t, to);
    if (!ok)
        return err_set(l->err, ERR_INVALID, "tensor %s: dtype must be F32 or BF16%s, not %s",
                       t->name, t->rank == 2 ? " or I8" : "", safetensors_type_name(t->type));
    for (size_t i = 0; i < t->count; i++)
        if (!isfinite(to[i]))
            return err_set(l->err, ERR_INVALID, "tensor %s: element %zu is not finite", t->name, i);
    l->matrices += t->rank == 2;
    l->brains += t->rank == 2 && t->type == SAFETENSORS_BF16;
    l->bytes += t->type == SAFETENSORS_I8;
    if (t->type == SAFETENSORS_I8)
        *kept = FORECASTER_I8;
    else if (t->type == SAFETENSORS_BF16 && *kept == FORECASTER_F32)
        *kept = FORECASTER_BF16;
    return true;
}

/* The tensor as float32 in *to (mem_free), columns 0: of one dimension.  One that is not there
 * leaves *to NULL, which is a failure if it is needed. */
static bool read_tensor(struct loading *l, const char *name, int rows, int columns, bool needed,
                        float **to)
{
    const struct safetensors_tensor *t = safetensors_find(&l->file, str_c(name));
    char shape[32];
    snprintf(shape, sizeof shape, columns ? "[%d][%d]" : "[%d]", rows, columns);
    if (!t)
        return !needed || err_set(l->err, ERR_INVALID, "tensor %s %s is missing", name, shape);
    if (t->rank == 0 || !has_shape(t, rows, columns))
        return err_set(l->err, ERR_INVALID, "tensor %s: shape must be %s", name, shape);
    l->used++;
    l->f->info.parameters += t->count;
    *to = mem_alloc(t->count * sizeof **to);
    return read_values(l, t, *to);
}

/* ---- the net ----------------------------------------------------------- */

/* One direction of one layer; what is read stays in w also after a failure. */
static bool read_direction(struct loading *l, int layer, bool backward, struct recurrent_weights *w)
{
    const struct recurrent_shape *s = &l->f->info.shape;
    int rows = recurrent_gates(s->cell) * s->hidden;
    struct {
        const char *word;
        int rows, columns;
        bool needed;
        const float **to;
    } parts[] = {
        {"weight_ih", rows, recurrent_inputs_of(s, layer), true, &w->weight_ih},
        {"weight_hh", rows, recurrent_states(s), true, &w->weight_hh},
        {"bias_ih", rows, 0, false, &w->bias_ih},
        {"bias_hh", rows, 0, false, &w->bias_hh},
        {"weight_hr", s->projection, s->hidden, true, &w->weight_hr},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts && parts[i].rows; i++) {
        char name[TENSOR_NAME_BYTES];
        float *values = NULL;
        snprintf(name, sizeof name, "rnn.%s_l%d%s", parts[i].word, layer,
                 backward ? "_reverse" : "");
        bool ok = read_tensor(l, name, parts[i].rows, parts[i].columns, parts[i].needed, &values);
        *parts[i].to = values;
        if (!ok)
            return false;
    }
    return true;
}

static void free_weights(struct recurrent_weights *w, int count)
{
    for (int i = 0; i < count; i++) {
        const float *const all[] = {w[i].weight_ih, w[i].weight_hh, w[i].bias_ih, w[i].bias_hh,
                                    w[i].weight_hr};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            mem_free((void *)(uintptr_t)all[k]);
    }
    mem_free(w);
}

static bool read_net(struct loading *l)
{
    const struct recurrent_shape *s = &l->f->info.shape;
    int sides = s->bidirectional ? 2 : 1, count = s->layers * sides;
    struct recurrent_weights *weights = mem_zero((size_t)count, sizeof *weights);
    bool ok = true;
    for (int i = 0; ok && i < count; i++)
        ok = read_direction(l, i / sides, i % sides, &weights[i]);
    if (ok) {
        l->f->net = recurrent_new_as(s, weights,
                                     l->brains == l->matrices  ? RECURRENT_BF16
                                     : l->bytes == l->matrices ? RECURRENT_INT8
                                                               : RECURRENT_F32);
        forecaster_gpu_load(l->f, weights);
    }
    free_weights(weights, count);
    return ok;
}

/* ---- the head ---------------------------------------------------------- */

static bool read_head(struct loading *l)
{
    struct forecaster *f = l->f;
    const struct forecaster_info *info = &f->info;
    bool linear = info->kind == FORECASTER_NLINEAR;
    bool apart =
        safetensors_find(&l->file, STR("residual.quantiles")) || (linear && info->quantiles > 1);
    float *weights = NULL, *bias = NULL;
    f->head_rows = apart ? info->horizon : info->horizon * info->quantiles;
    int columns = linear ? info->lookback : recurrent_outputs(&info->shape);
    bool ok = read_tensor(l, "head.weight", f->head_rows, columns, true, &weights) &&
              read_tensor(l, "head.bias", f->head_rows, 0, true, &bias) &&
              (!apart || read_tensor(l, "residual.quantiles", info->horizon, info->quantiles, true,
                                     &f->residuals));
    if (ok)
        f->head = linear_new(f->head_rows, columns, weights, bias);
    mem_free(weights);
    mem_free(bias);
    return ok;
}

/* ---- the file ---------------------------------------------------------- */

static bool read_metadata(struct loading *l)
{
    struct str text = json_pick_get(l->file.metadata, "maru");
    if (!text.n)
        return err_set(l->err, ERR_INVALID,
                       "__metadata__.maru is missing: these weights do not say what they are for");
    if (!json_pick_text(text, &l->f->metadata))
        return err_set(l->err, ERR_INVALID, "__metadata__.maru must be text");
    return forecaster_read_metadata(&l->f->info, buf_str(&l->f->metadata), l->err);
}

/* Weights that nothing uses belong to another net than the one that was described. */
static bool used_all(const struct loading *l)
{
    return l->used == l->file.count ||
           err_set(l->err, ERR_INVALID, "%d of %d tensors have no place in a net of kind %s%s",
                   l->file.count - l->used, l->file.count, forecaster_kind_name(l->f->info.kind),
                   l->f->info.kind == FORECASTER_NLINEAR ? "" : " with these layers");
}

struct forecaster *forecaster_new(struct str bytes, struct err *err)
{
    struct loading l = {.f = mem_zero(1, sizeof *l.f), .err = err};
    bool ok = safetensors_read(&l.file, bytes, err);
    if (ok) {
        ok = read_metadata(&l) && (l.f->info.kind == FORECASTER_NLINEAR || read_net(&l)) &&
             read_head(&l) && used_all(&l);
        safetensors_free(&l.file);
    }
    if (ok)
        return l.f;
    forecaster_free(l.f);
    err_wrap(err, "model");
    return NULL;
}

const char *forecaster_instructions(const struct forecaster *f)
{
    return f->net ? recurrent_instructions(f->net) : kernel_isa_name(kernel_isa());
}

void forecaster_free(struct forecaster *f)
{
    if (!f)
        return;
    recurrent_free(f->net);
    gpu_lstm_free(f->gpu);
    linear_free(f->head);
    mem_free(f->residuals);
    buf_free(&f->metadata);
    mem_free(f->hash);
    mem_free(f);
}
