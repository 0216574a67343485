/* cmd_model.c -- `maru model`: what a model file is, how fast it is here, the same one smaller. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"
#include "cli/cli.h"
#include "kernels/floats.h"
#include "kernels/forecaster.h"
#include "kernels/forecaster_quantize.h"
#include "kernels/safetensors.h"

enum { FILE_BYTES = 1 << 30, SERIES_BYTES = 256 << 20, BENCH_NS = 300 * 1000 * 1000 };

struct model {
    const char *path;
    struct buf bytes;
    struct forecaster *f;
};

static bool model_open(struct model *m, const char *path, struct err *err)
{
    *m = (struct model){.path = path};
    if (!file_read(path, FILE_BYTES, &m->bytes, err))
        return false;
    m->f = forecaster_new(buf_str(&m->bytes), err);
    return m->f || err_wrap(err, "%s", path);
}

static void model_close(struct model *m)
{
    forecaster_free(m->f);
    buf_free(&m->bytes);
}

/* ---- inspect ----------------------------------------------------------- */

static void print_shape(const struct forecaster_info *info)
{
    const struct recurrent_shape *s = &info->shape;
    printf("kind        %s", forecaster_kind_name(info->kind));
    if (info->kind != FORECASTER_NLINEAR)
        printf(", %d hidden, %d layer%s%s", s->hidden, s->layers, s->layers > 1 ? "s" : "",
               s->bidirectional ? ", both directions" : "");
    if (s->projection)
        printf(", projected to %d", s->projection);
    printf("\nwindow      %d to %d points, minus its %s, by its deviation\n", info->min_points,
           info->lookback, info->scaling == FORECASTER_LAST ? "last" : "mean");
    printf("forecasts   %d steps (up to %d by its own medians), quantiles", info->horizon,
           FORECASTER_HORIZONS * info->horizon);
    for (int q = 0; q < info->quantiles; q++)
        printf(" %g", info->quantile[q]);
    putchar('\n');
}

static void print_tensors(const struct safetensors *file)
{
    for (int i = 0; i < file->count; i++) {
        const struct safetensors_tensor *t = &file->tensors[i];
        char shape[128] = "";
        for (int k = 0; k < t->rank; k++)
            snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "[%zu]", t->shape[k]);
        printf("  %-28s %-4s %-14s %10zu bytes\n", t->name, safetensors_type_name(t->type), shape,
               t->data.n);
    }
}

static int inspect(const struct model *m, const struct cli_options *o)
{
    const struct forecaster_info *info = forecaster_info(m->f);
    struct safetensors file;
    struct err err = {0};
    if (o->json) {
        printf("%.*s\n", (int)info->metadata.n, info->metadata.p);
        return EXIT_OK;
    }
    if (!safetensors_read(&file, buf_str(&m->bytes), &err))
        return cli_fail(EXIT_FAILED, "%s", err.message);
    printf("model       %s, version %s\n", info->name, info->version);
    print_shape(info);
    printf("weights     %zu of %s, %zu bytes of file; multiplied by %s\n", info->parameters,
           forecaster_weights_name(info->weights), m->bytes.n, forecaster_instructions(m->f));
    print_tensors(&file);
    safetensors_free(&file);
    return EXIT_OK;
}

/* ---- bench ------------------------------------------------------------- */

/* Nanoseconds of the quickest of many calls. */
static double quickest(const struct forecaster *f, const struct forecaster_call *call)
{
    int64_t began = clock_steady_ns(), best = INT64_MAX;
    for (int64_t before = began, now; before - began < BENCH_NS; before = now) {
        forecaster_run(f, call);
        now = clock_steady_ns();
        best = now - before < best ? now - before : best;
    }
    return (double)best;
}

static void bench_batch(const struct forecaster *f, int batch, const float *values, struct json *w)
{
    const struct forecaster_info *info = forecaster_info(f);
    size_t points = (size_t)info->lookback;
    struct forecaster_series *series = mem_zero((size_t)batch, sizeof *series);
    for (int i = 0; i < batch; i++)
        series[i] = (struct forecaster_series){values + i, points};
    size_t scratch = forecaster_scratch(f, batch, points, info->horizon);
    struct forecaster_call call = {.count = batch,
                                   .series = series,
                                   .horizon = info->horizon,
                                   .out = mem_alloc((size_t)batch * (size_t)info->quantiles *
                                                    (size_t)info->horizon * sizeof(float)),
                                   .scratch = aligned_alloc(64, (scratch + 63) / 64 * 64)};
    double ns = quickest(f, &call);
    double rate = forecaster_work(f, batch, points, info->horizon) / ns;
    if (w) {
        json_open(w, '{');
        json_key(w, "series");
        json_int(w, batch);
        json_key(w, "ms");
        json_num(w, ns / 1e6);
        json_key(w, "gflops");
        json_num(w, rate);
        json_close(w, '}');
    } else {
        printf("%6d %12.3f ms %12.0f a second %10.1f GFLOP/s\n", batch, ns / 1e6, batch * 1e9 / ns,
               rate);
    }
    free(call.scratch);
    mem_free(call.out);
    mem_free(series);
}

static int bench(const struct model *m, const struct cli_options *o)
{
    static const int batches[] = {1, 32, 256};
    struct buf out = {0};
    struct json w = json_to(&out);
    size_t points = (size_t)forecaster_info(m->f)->lookback + 256;
    float *values = mem_alloc(points * sizeof *values);
    for (size_t i = 0; i < points; i++)
        values[i] = (float)(i * 7919 % 1009) / 100;
    json_open(&w, '[');
    if (!o->json)
        printf("%s, one thread, windows of %d points\n", forecaster_instructions(m->f),
               forecaster_info(m->f)->lookback);
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
        bench_batch(m->f, batches[i], values, o->json ? &w : NULL);
    json_close(&w, ']');
    if (o->json)
        puts(out.p);
    buf_free(&out);
    mem_free(values);
    return EXIT_OK;
}

/* ---- quantize ---------------------------------------------------------- */

/* Numbers of a file, or none without a path. */
static bool read_series(const char *path, struct forecaster_series *series, struct err *err)
{
    struct buf text = {0};
    size_t room, bad;
    if (!path)
        return true;
    if (!file_read(path, SERIES_BYTES, &text, err))
        return false;
    float *values = NULL;
    bool ok = floats_room(buf_str(&text), &room, err);
    if (ok) {
        values = mem_alloc((room + 1) * sizeof *values);
        ok = floats_parse(buf_str(&text), values, room, &series->count, &bad, err);
    }
    buf_free(&text);
    series->values = values;
    return ok || err_wrap(err, "%s", path);
}

static int compare(const struct model *m, const char *path, const char *series_path)
{
    struct forecaster_series series = {0};
    struct err err = {0};
    struct model smaller;
    bool ok = model_open(&smaller, path, &err) && read_series(series_path, &series, &err);
    size_t least = (size_t)forecaster_info(m->f)->min_points;
    if (ok && series_path && series.count < least)
        ok = err_set(&err, ERR_INVALID, "%s: %zu points; at least %zu are needed", series_path,
                     series.count, least);
    if (ok) {
        struct forecaster_difference d = forecaster_compare(m->f, smaller.f, series);
        printf("%s: %zu bytes, %.0f %% of %s\n", path, smaller.bytes.n,
               100.0 * (double)smaller.bytes.n / (double)m->bytes.n, m->path);
        printf("forecasts of %d windows of %s differ by %.2g deviations of the window, %.2g at "
               "most\n",
               d.windows, series_path ? series_path : "a series made up", d.mean, d.most);
    }
    mem_free((float *)(uintptr_t)series.values);
    model_close(&smaller);
    return ok ? EXIT_OK : cli_fail(EXIT_FAILED, "%s", err.message);
}

static int quantize(const struct model *m, const struct cli_options *o)
{
    struct buf out = {0};
    struct err err = {0};
    bool brains = o->word_count > 2 && !strcmp(o->words[2], "bf16");
    if (o->word_count < 4 || o->word_count > 5 || (!brains && strcmp(o->words[2], "int8") != 0))
        return cli_fail(EXIT_USAGE, "model quantize FILE bf16|int8 NEW [SERIES]");
    bool ok = forecaster_quantize(buf_str(&m->bytes), brains ? FORECASTER_BF16 : FORECASTER_I8,
                                  &out, &err) &&
              file_write(o->words[3], buf_str(&out), 0644, &err);
    buf_free(&out);
    if (!ok)
        return cli_fail(EXIT_FAILED, "%s", err.message);
    return compare(m, o->words[3], o->word_count > 4 ? o->words[4] : NULL);
}

int cmd_model(const struct cli_options *o)
{
    static const struct {
        const char *word;
        int (*run)(const struct model *m, const struct cli_options *o);
    } parts[] = {{"inspect", inspect}, {"bench", bench}, {"quantize", quantize}};
    for (size_t i = 0; o->word_count > 1 && i < sizeof parts / sizeof *parts; i++) {
        struct err err = {0};
        struct model m;
        if (strcmp(o->words[0], parts[i].word) != 0)
            continue;
        int code = model_open(&m, o->words[1], &err) ? parts[i].run(&m, o)
                                                     : cli_fail(EXIT_FAILED, "%s", err.message);
        model_close(&m);
        return code;
    }
    return cli_fail(EXIT_USAGE, "model inspect FILE, model bench FILE, or model quantize FILE "
                                "bf16|int8 NEW [SERIES]");
}
