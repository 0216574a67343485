/* lstm_library.c -- LSTMs of core/kernels as Python's ctypes sees them, and the multiplications that this processor does. */
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "kernels/isa.h"
#include "kernels/recurrent.h"

struct bench_lstm {
    struct recurrent *net;
    struct recurrent_call call;
};

struct bench_lstm *lstm_new(int hidden, int layers, int batch, int time, const float *const *weights);
double lstm_run(struct bench_lstm *b, const float *x, float *last);
void lstm_free(struct bench_lstm *b);
double fma_peak(void);
const char *lstm_isa(void);

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

/* weights: ih, hh, bias_ih, bias_hh of each layer. */
struct bench_lstm *lstm_new(int hidden, int layers, int batch, int time, const float *const *weights)
{
    struct bench_lstm *b = mem_zero(1, sizeof *b);
    struct recurrent_shape shape = {.cell = RECURRENT_LSTM, .inputs = 1, .hidden = hidden, .layers = layers};
    struct recurrent_weights *w = mem_zero((size_t)layers, sizeof *w);
    for (int i = 0; i < layers; i++)
        w[i] = (struct recurrent_weights){weights[4 * i], weights[4 * i + 1], weights[4 * i + 2], weights[4 * i + 3], NULL};
    b->net = recurrent_new(&shape, w);
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

/* GFLOP/s; 0 where it is not known how wide. */
double fma_peak(void)
{
#ifdef __x86_64__
    return kernel_isa_has(KERNEL_AVX512) ? wide_peak() : 0;
#else
    return wide_peak();
#endif
}
