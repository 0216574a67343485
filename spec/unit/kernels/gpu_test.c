/* gpu.h over gpu_processor.h: what it computes, against recurrent_run(), and that it stays within
 * its memory (under ASan). */
#include "kernels/gpu.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/gpu_processor.h"
#include "test.h"

/* ---- a net and a call -------------------------------------------------- */

static unsigned state = 1;

static float *some(size_t n, float scale)
{
    float *p = mem_alloc(n * sizeof *p);
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = ((float)(state >> 8) / (1 << 23) - 1) * scale;
    }
    return p;
}

struct net {
    struct recurrent_shape shape;
    struct recurrent_weights weights[8];
    int sides;
};

static struct net make_net(int inputs_of, int hidden, int layers, bool bidirectional)
{
    struct net n = {.shape = {RECURRENT_LSTM, inputs_of, hidden, 0, layers, bidirectional}};
    n.sides = layers * (bidirectional ? 2 : 1);
    size_t gates = 4 * (size_t)hidden;
    for (int i = 0; i < n.sides; i++) {
        size_t wide = (size_t)recurrent_inputs_of(&n.shape, i / (bidirectional ? 2 : 1));
        n.weights[i] = (struct recurrent_weights){.weight_ih = some(gates * wide, 0.5f),
                                                  .weight_hh = some(gates * (size_t)hidden, 0.3f),
                                                  .bias_ih = some(gates, 1),
                                                  .bias_hh = i % 2 ? NULL : some(gates, 1)};
    }
    return n;
}

static void end_net(struct net *n)
{
    for (int i = 0; i < n->sides; i++) {
        mem_free((void *)(uintptr_t)n->weights[i].weight_ih);
        mem_free((void *)(uintptr_t)n->weights[i].weight_hh);
        mem_free((void *)(uintptr_t)n->weights[i].bias_ih);
        mem_free((void *)(uintptr_t)n->weights[i].bias_hh);
    }
}

struct answer {
    float *h, *c, *out, *last;
    size_t states, outs, lasts;
};

static struct answer room(const struct net *n, int batch, int time)
{
    struct answer a = {.states = (size_t)n->sides * (size_t)batch * (size_t)n->shape.hidden,
                       .lasts = (size_t)batch * (size_t)recurrent_outputs(&n->shape)};
    a.outs = a.lasts * (size_t)time;
    unsigned begin = state;
    a.h = some(a.states, 1);
    a.c = some(a.states, 2);
    a.out = some(a.outs, 9);
    a.last = some(a.lasts, 9);
    state = begin; /* the same for both */
    return a;
}

static void end_answer(struct answer *a)
{
    mem_free(a->h);
    mem_free(a->c);
    mem_free(a->out);
    mem_free(a->last);
}

static double off(const float *got, const float *want, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        if (!(d <= most)) /* NaN too */
            most = isnan(d) ? (double)INFINITY : d;
    }
    return most;
}

static void compare(struct gpu *gpu, int inputs_of, int hidden, int layers, bool bidirectional,
                    int batch, int time, bool ragged, bool bare)
{
    struct net n = make_net(inputs_of, hidden, layers, bidirectional);
    float *x = some((size_t)batch * (size_t)time * (size_t)inputs_of, 2);
    int *lengths = mem_zero((size_t)batch, sizeof *lengths);
    for (int i = 0; i < batch; i++)
        lengths[i] = 1 + (i * 7 + 3) % time;
    struct answer want = room(&n, batch, time);
    struct recurrent *cpu = recurrent_new(&n.shape, n.weights);
    struct recurrent_call call = {.batch = batch,
                                  .time = time,
                                  .x = x,
                                  .lengths = ragged ? lengths : NULL,
                                  .h = bare ? NULL : want.h,
                                  .c = bare ? NULL : want.c,
                                  .out = bare ? NULL : want.out,
                                  .last = want.last};
    char *scratch = mem_alloc(recurrent_scratch(cpu, batch, time) + 64);
    call.scratch = scratch + (64 - (uintptr_t)scratch % 64) % 64;
    recurrent_run(cpu, &call);
    struct err err = {0};
    struct gpu_lstm *net = gpu_lstm_new(gpu, &n.shape, n.weights, &err);
    CHECK(net);
    for (int again = 0; net && again < 2; again++) { /* the second finds its weights there */
        struct answer fresh = room(&n, batch, time);
        call.h = bare ? NULL : fresh.h;
        call.c = bare ? NULL : fresh.c;
        call.out = bare ? NULL : fresh.out;
        call.last = fresh.last;
        CHECK(gpu_lstm_run(net, &call, &err));
        CHECK(off(fresh.last, want.last, want.lasts) < 1e-5);
        CHECK(bare || off(fresh.out, want.out, want.outs) < 1e-5);
        CHECK(bare || off(fresh.h, want.h, want.states) < 1e-5);
        CHECK(bare || off(fresh.c, want.c, want.states) < 1e-4);
        end_answer(&fresh);
    }
    gpu_lstm_free(net);
    recurrent_free(cpu);
    end_answer(&want);
    mem_free(x);
    mem_free(lengths);
    mem_free(scratch);
    end_net(&n);
}

TEST(computes_what_the_processor_computes)
{
    struct err err = {0};
    struct gpu *gpu = gpu_over(&library, &err);
    REQUIRE(gpu);
    CHECK(!strcmp(gpu_name(gpu, 0), "processor"));
    compare(gpu, 1, 64, 2, false, 5, 7, false, true); /* 64 units do not fit one block */
    compare(gpu, 3, 17, 1, false, 1, 1, false, false);
    compare(gpu, 20, 33, 2, true, 9, 6, true, false);
    compare(gpu, 1, 8, 3, true, 40, 5, true, true);
    compare(gpu, 70, 5, 1, false, 3, 12, false, false);
    gpu_close(gpu);
    CHECK_EQ(taken, 0);
}

TEST(takes_several_launches_where_the_sums_are_too_large_for_one)
{
    struct err err = {0};
    struct gpu *gpu = gpu_over(&library, &err);
    REQUIRE(gpu);
    gpu->sums_bytes = (size_t)20 * 4 * 16 * sizeof(float) * 5; /* five steps of the net below */
    launches = 0;
    compare(gpu, 1, 16, 1, true, 20, 13, true, false);
    CHECK_EQ(launches, 2 * 2 * 3); /* calls, sides, and 5 + 5 + 3 steps */
    gpu_close(gpu);
    CHECK_EQ(taken, 0);
}

TEST(says_what_it_cannot_run)
{
    struct err err = {0};
    struct gpu *gpu = gpu_over(&library, &err);
    REQUIRE(gpu);
    struct net n = make_net(1, 40, 1, false), large = make_net(1, 600, 1, false);
    struct recurrent_shape gru = n.shape;
    gru.cell = RECURRENT_GRU;
    CHECK(!gpu_lstm_new(gpu, &gru, n.weights, &err));
    CHECK_EQ(err.code, ERR_LIMIT);
    CHECK(!gpu_lstm_new(gpu, &large.shape, large.weights, &err));
    CHECK(strstr(err.message, "600 hidden units"));
    struct gpu_lstm *net = gpu_lstm_new(gpu, &n.shape, n.weights, &err);
    float x[2000] = {0}, last[40];
    struct recurrent_call call = {.batch = 1, .time = 3, .x = x, .last = last};
    fails = true;
    CHECK(!gpu_lstm_run(net, &call, &err));
    fails = false;
    CHECK_EQ(err.code, ERR_UNAVAILABLE);
    CHECK(strstr(err.message, "an illegal instruction"));
    call.batch = 2000;
    call.time = 1;
    CHECK(!gpu_lstm_run(net, &call, &err));
    CHECK(strstr(err.message, "a batch of 2000"));
    gpu_lstm_free(net);
    end_net(&n);
    end_net(&large);
    gpu_close(gpu);
    CHECK_EQ(taken, 0);
}

TEST(opens_only_what_is_a_library_of_this_version_with_a_device)
{
    struct err err = {0};
    CHECK(!gpu_open("/nowhere/libmaru-cuda.so", &err));
    CHECK_EQ(err.code, ERR_NOT_FOUND);
    CHECK(strstr(err.message, "/nowhere/libmaru-cuda.so"));
    CHECK(!gpu_open("libm.so.6", &err));
    CHECK(strstr(err.message, "has no maru_gpu_library"));
    struct gpu_library other = library;
    other.version++;
    CHECK(!gpu_over(&other, &err));
    CHECK(strstr(err.message, "version 2"));
    devices = 0;
    CHECK(!gpu_over(&library, &err));
    devices = 1;
    CHECK_EQ(err.code, ERR_UNAVAILABLE);
}
