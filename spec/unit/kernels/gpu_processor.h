/* gpu_processor.h -- a library for gpu.h that runs the GPU's own phases on the CPU, thread after
 * thread.  That the phases wait for each other on a real device is not seen with it. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/gpu_private.h"
#include "test.h"

static struct gpu_device device = {"processor", 8, 32 << 10};
static int devices = 1, taken, launches;
static bool fails;

static bool count(int *n, char *error)
{
    (void)error;
    *n = devices;
    return true;
}

static bool describe(int index, struct gpu_device *to, char *error)
{
    (void)index;
    (void)error;
    *to = device;
    return true;
}

static bool take(int index, size_t bytes, void **memory, char *error)
{
    (void)index;
    (void)error;
    taken++;
    *memory = mem_alloc(bytes);
    memset(*memory, 0xff, bytes); /* NaN */
    return true;
}

static void give(int index, void *memory)
{
    (void)index;
    taken -= memory != NULL;
    mem_free(memory);
}

static bool clear(int index, void *memory, size_t bytes, char *error)
{
    (void)index;
    (void)error;
    memset(memory, 0, bytes);
    return true;
}

static bool copy(int index, void *to, const void *from, size_t bytes, char *error)
{
    (void)index;
    (void)error;
    memcpy(to, from, bytes);
    return true;
}

static void input_tile(const struct lstm_inputs *in, int row, int column)
{
    struct lstm_tile tile;
    struct lstm_part *parts = mem_zero(LSTM_THREADS, sizeof *parts);
    for (int first = 0; first < in->inputs; first += LSTM_DEPTH) {
        for (int t = LSTM_THREADS - 1; t >= 0; t--)
            lstm_tile_fetch(in, &tile, row, column, first, t);
        for (int t = 0; t < LSTM_THREADS; t++)
            lstm_tile_add(&tile, &parts[t], t);
    }
    for (int t = 0; t < LSTM_THREADS; t++)
        lstm_tile_give(in, &parts[t], row, column, t);
    mem_free(parts);
}

static bool inputs(int index, const struct lstm_inputs *in, char *error)
{
    (void)index;
    (void)error;
    for (int row = 0; row < in->span.count * in->span.batch; row += LSTM_TILE)
        for (int column = 0; column < in->columns; column += LSTM_TILE)
            input_tile(in, row, column);
    return true;
}

static bool steps(int index, const struct lstm_steps *s, char *error)
{
    (void)index;
    int blocks = lstm_groups(s->hidden, s->units) * lstm_groups(s->span.batch, s->rows);
    size_t bytes = lstm_shared_bytes(s->hidden, s->units, s->rows);
    float **shared = mem_zero((size_t)blocks, sizeof *shared);
    launches++;
    CHECK(blocks <= device.processors);
    CHECK(bytes <= device.shared_bytes);
    if (fails) {
        snprintf(error, GPU_ERROR_BYTES, "an illegal instruction");
        mem_free(shared);
        return false;
    }
    for (int step = -1; step <= s->span.count; step++) {
        for (int i = blocks - 1; i >= 0; i--) {
            if (step < 0)
                shared[i] = mem_alloc(bytes);
            struct lstm_block b = lstm_block_at(s, i, shared[i]);
            for (int t = 0; t < LSTM_THREADS; t++) {
                if (step < 0)
                    lstm_block_begin(s, &b, t);
                else if (step == s->span.count)
                    lstm_block_end(s, &b, t);
                else
                    lstm_block_fetch(s, &b, step, t);
            }
            for (int t = LSTM_THREADS - 1; t >= 0 && step >= 0 && step < s->span.count; t--)
                lstm_block_step(s, &b, step, t);
        }
    }
    for (int i = 0; i < blocks; i++)
        mem_free(shared[i]);
    mem_free(shared);
    return true;
}

static const struct gpu_library library = {
    .version = GPU_LIBRARY_VERSION,
    .count = count,
    .describe = describe,
    .take = take,
    .give = give,
    .clear = clear,
    .send = copy,
    .fetch = copy,
    .inputs = inputs,
    .steps = steps,
};
