/* lstm_library.c -- LSTMs and GRUs of core/kernels as Python's ctypes sees them, and what bounds them on this processor:
 * multiplications, reading from a cache, tanh and sigma. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "kernels/isa.h"
#include "kernels/recurrent_private.h"

struct bench_lstm {
    struct recurrent *net;
    struct recurrent_call call;
};

struct bench_lstm *lstm_new(int gru, int hidden, int layers, int sides, int batch, int time, const float *const *weights,
                            int kept);
double lstm_run(struct bench_lstm *b, const float *x, float *last);
void lstm_free(struct bench_lstm *b);
double lstm_bytes(const struct bench_lstm *b);
double fma_peak(void);
double read_seconds(size_t bytes);
double cell_seconds(int gru);
const char *lstm_isa(void);
const char *lstm_instructions(const struct bench_lstm *b);

static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

const char *lstm_isa(void)
{
    return kernel_isa_name(kernel_isa());
}

const char *lstm_instructions(const struct bench_lstm *b)
{
    return recurrent_instructions(b->net);
}

/* weights: ih, hh, bias_ih, bias_hh of each side of each layer; kept: enum recurrent_kept. */
struct bench_lstm *lstm_new(int gru, int hidden, int layers, int sides, int batch, int time, const float *const *weights,
                            int kept)
{
    struct bench_lstm *b = mem_zero(1, sizeof *b);
    struct recurrent_shape shape = {.cell = gru ? RECURRENT_GRU : RECURRENT_LSTM,
                                    .inputs = 1,
                                    .hidden = hidden,
                                    .layers = layers,
                                    .bidirectional = sides == 2};
    struct recurrent_weights *w = mem_zero((size_t)(layers * sides), sizeof *w);
    for (int i = 0; i < layers * sides; i++)
        w[i] = (struct recurrent_weights){weights[4 * i], weights[4 * i + 1], weights[4 * i + 2], weights[4 * i + 3], NULL};
    b->net = recurrent_new_as(&shape, w, (enum recurrent_kept)kept);
    mem_free(w);
    size_t bytes = recurrent_scratch(b->net, batch, time);
    b->call = (struct recurrent_call){.batch = batch, .time = time, .scratch = aligned_alloc(64, (bytes + 63) / 64 * 64)};
    return b;
}

/* Seconds of this thread's time. */
double lstm_run(struct bench_lstm *b, const float *x, float *last)
{
    double began = thread_seconds();
    b->call.x = x;
    b->call.last = last;
    recurrent_run(b->net, &b->call);
    return thread_seconds() - began;
}

void lstm_free(struct bench_lstm *b)
{
    recurrent_free(b->net);
    free(b->call.scratch);
    mem_free(b);
}

/* Of weights that one row's step reads, of all layers and sides; what is added up ahead is not in it. */
double lstm_bytes(const struct bench_lstm *b)
{
    const struct recurrent *net = b->net;
    double sum = 0;
    for (int i = 0; i < net->shape.layers * recurrent_directions(&net->shape); i++)
        sum += (double)net->hidden_width * recurrent_states(&net->shape) * (net->directions[i].thin ? 3 : net->wide) * 4;
    return sum;
}

/* Seconds for a unit's functions: tiles that have nothing to add up. */
double cell_seconds(int gru)
{
    enum { TIMES = 20000 };
    static float from[RECURRENT_ROWS * 4 * 16], memory[RECURRENT_ROWS * 16], out[RECURRENT_ROWS * 16];
    const struct recurrent_tiles *tiles = recurrent_tiles(kernel_isa());
    size_t lanes = (size_t)tiles->lanes;
    const float *x[RECURRENT_ROWS] = {out, out, out, out, out, out};
    struct recurrent_tile tile = {.weights = from, .x = x, .h = out, .from = from, .from_stride = 4 * lanes};
    tile.memory = memory, tile.memory_stride = lanes, tile.out = out, tile.out_stride = lanes;
    for (int i = 0; i < RECURRENT_ROWS * 64; i++)
        from[i] = (float)(i * 37 % 101) / 50 - 1;
    double began = thread_seconds();
    for (int i = 0; i < TIMES; i++)
        tiles->step[gru ? RECURRENT_STEP_GRU : RECURRENT_STEP_LSTM][tiles->rows](&tile);
    return (thread_seconds() - began) / (TIMES * tiles->rows) / (double)lanes;
}

#ifdef __x86_64__
#define WIDE    __attribute__((target("avx512f,fma"))) static
#define KEPT(v) "+v"(v)
enum { LANES = 16 };
#else
#define WIDE    static
#define KEPT(v) "+w"(v)
enum { LANES = 4 };
#endif
typedef float vec __attribute__((vector_size(LANES * sizeof(float))));

enum { CHAINS = 12, TURNS = 8000000 };

#define STEP(v)           \
    v = v * by + more;    \
    __asm__ volatile("" : KEPT(v));

/* Twelve chains in registers, none of which waits for another; each is told to change, or the compiler would keep one of
 * them, whose latency then reads as 2.5 FMA a cycle. */
WIDE double wide_peak(void)
{
    vec by = (vec){0} + 0.999F, more = (vec){0} + 0.001F;
    vec a = more, b = more, c = more, d = more, e = more, f = more, g = more, h = more, i = more, j = more, k = more,
        l = more;
    double began = thread_seconds();
    for (int turn = 0; turn < TURNS; turn += 4) {
        STEP(a) STEP(b) STEP(c) STEP(d) STEP(e) STEP(f) STEP(g) STEP(h) STEP(i) STEP(j) STEP(k) STEP(l)
        STEP(a) STEP(b) STEP(c) STEP(d) STEP(e) STEP(f) STEP(g) STEP(h) STEP(i) STEP(j) STEP(k) STEP(l)
        STEP(a) STEP(b) STEP(c) STEP(d) STEP(e) STEP(f) STEP(g) STEP(h) STEP(i) STEP(j) STEP(k) STEP(l)
        STEP(a) STEP(b) STEP(c) STEP(d) STEP(e) STEP(f) STEP(g) STEP(h) STEP(i) STEP(j) STEP(k) STEP(l)
    }
    return 2.0 * LANES * CHAINS * TURNS / (thread_seconds() - began) / 1e9;
}

enum { READ_BLOCK = 64 << 10, READ_TIMES = 20 };

WIDE void read_block(const float *p, size_t bytes, vec sums[8])
{
    for (const float *end = p + bytes / sizeof *p; p < end; p += 8 * LANES)
        _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++)
        {
            vec v;
            memcpy(&v, p + i * LANES, sizeof v);
            sums[i] += v;
        }
}

WIDE double wide_read(const float *all, size_t bytes)
{
    vec sums[8] = {0};
    double began = thread_seconds();
    for (int turn = 0; turn < READ_TIMES; turn++)
        for (size_t done = 0, many; done < bytes; done += many) {
            many = bytes - done < READ_BLOCK ? bytes - done : READ_BLOCK;
            read_block(all + (turn & 1 ? bytes - done - many : done) / sizeof *all, many, sums);
        }
    began = thread_seconds() - began;
    for (int i = 0; i < 8; i++)
        __asm__ volatile("" : KEPT(sums[i]));
    return began / READ_TIMES;
}

/* To read so many bytes again and again, up and down in turn as the steps do; 0 where it is not known how wide. */
double read_seconds(size_t bytes)
{
    bytes = (bytes + 8 * LANES * sizeof(float) - 1) / (8 * LANES * sizeof(float)) * (8 * LANES * sizeof(float));
    float *all = aligned_alloc(64, bytes);
    double least = 1e9;
    memset(all, 0, bytes);
#ifdef __x86_64__
    if (!kernel_isa_has(KERNEL_AVX512))
        least = 0;
#endif
    for (int i = 0; i < 10 && least > 0; i++) {
        double s = wide_read(all, bytes);
        least = s < least ? s : least;
    }
    free(all);
    return least;
}

/* GFLOP/s; 0 where it is not known how wide. */
double fma_peak(void)
{
#ifdef __x86_64__
    return kernel_isa_has(KERNEL_AVX512) ? wide_peak() : 0;
#else
    return wide_peak();
#endif
}
