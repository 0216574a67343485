/* model_file.h -- model files of random weights, for tests. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "kernels/safetensors.h"

enum { MODEL_TENSORS = 64 };

struct model_file {
    const char *metadata; /* the JSON under "maru"; NULL: no __metadata__ */
    struct safetensors_tensor tensors[MODEL_TENSORS];
    int count;
};

static unsigned model_noise_state = 7;

static inline float model_noise(void) /* -1 to 1 */
{
    model_noise_state = model_noise_state * 1664525u + 1013904223u;
    return (float)((double)(model_noise_state >> 8) / (1 << 23) - 1);
}

/* Random float32 of [rows][columns], or [rows] when columns is 0. */
static inline float *model_tensor(struct model_file *m, const char *name, size_t rows,
                                  size_t columns, double scale)
{
    struct safetensors_tensor *t = &m->tensors[m->count++];
    size_t count = rows * (columns ? columns : 1);
    float *values = mem_alloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)scale * model_noise();
    *t = (struct safetensors_tensor){.name = mem_strdup(name),
                                     .type = SAFETENSORS_F32,
                                     .rank = columns ? 2 : 1,
                                     .shape = {rows, columns},
                                     .count = count,
                                     .data = {(const char *)values, count * sizeof *values}};
    return values;
}

static inline struct safetensors_tensor *model_find(struct model_file *m, const char *name)
{
    for (int i = 0; i < m->count; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return &m->tensors[i];
    return NULL;
}

/* A recurrent net's tensors, and a head of so many rows. */
static inline void model_net(struct model_file *m, int gates, int hidden, int layers, int sides,
                             int projection, int head)
{
    int states = projection ? projection : hidden;
    for (int i = 0; i < layers * sides; i++) {
        char name[64];
        const char *end = i % sides ? "_reverse" : "";
        size_t rows = (size_t)(gates * hidden), inputs = i < sides ? 1 : (size_t)(states * sides);
        snprintf(name, sizeof name, "rnn.weight_ih_l%d%s", i / sides, end);
        model_tensor(m, name, rows, inputs, 0.4);
        snprintf(name, sizeof name, "rnn.weight_hh_l%d%s", i / sides, end);
        model_tensor(m, name, rows, (size_t)states, 0.4);
        snprintf(name, sizeof name, "rnn.bias_ih_l%d%s", i / sides, end);
        model_tensor(m, name, rows, 0, 0.4);
        snprintf(name, sizeof name, "rnn.bias_hh_l%d%s", i / sides, end);
        model_tensor(m, name, rows, 0, 0.4);
        snprintf(name, sizeof name, "rnn.weight_hr_l%d%s", i / sides, end);
        if (projection)
            model_tensor(m, name, (size_t)projection, (size_t)hidden, 0.4);
    }
    model_tensor(m, "head.weight", (size_t)head, (size_t)(states * sides), 0.5);
    model_tensor(m, "head.bias", (size_t)head, 0, 0.5);
}

/* The file, in memory of its exact size so that ASan sees a byte too far; mem_free. */
static inline struct str model_bytes(const struct model_file *m)
{
    struct buf out = {0}, text = {0};
    struct json w = json_to(&text);
    json_open(&w, '{');
    json_key(&w, "maru");
    json_cstr(&w, m->metadata);
    json_close(&w, '}');
    safetensors_write(&out, m->metadata ? buf_str(&text) : (struct str){0}, m->tensors, m->count);
    struct str exact = {mem_dup(out.p, out.n), out.n};
    buf_free(&out);
    buf_free(&text);
    return exact;
}

static inline void model_free(struct model_file *m)
{
    for (int i = 0; i < m->count; i++) {
        mem_free(m->tensors[i].name);
        mem_free((char *)(uintptr_t)m->tensors[i].data.p);
    }
    m->count = 0;
}
