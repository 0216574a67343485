/* lstm_block.h -- what one block of threads does for an LSTM.
 *
 * The same text runs on the GPU (library.cu) and, for tests, on the CPU (gpu_test.c): a kernel is a
 * row of phases, each a function of (thread, threads) whose threads do not hear each other; between
 * phases all of the block wait.  Phases only write what is the block's own.
 *
 * inputs:  sums[step][row][4 * hidden] = bias + weight_ih x, a matrix product in tiles.
 * steps:   the steps one after another in one launch (a "persistent" kernel): a block keeps the
 *          weights of some units in its shared memory, adds h times weight_hh for some rows, and
 *          gives their h to the other blocks after each step.
 * Cell:    i f g o as in torch.nn.LSTM: c = f c + i g, h = o tanh(c).
 */
#pragma once

#include <math.h>

#ifdef __CUDACC__
#define BLOCK_FN static __device__ __forceinline__
/* What another block wrote may not come from this processor's own cache. */
#define BLOCK_LOAD(p) __ldcg(p)
#define BLOCK_HOST    static __host__ __device__ inline
#else
#define BLOCK_FN      static inline
#define BLOCK_LOAD(p) (*(p))
#define BLOCK_HOST    static inline
#endif

/* Rows that a thread adds up at once, so that a weight it reads serves so many. */
enum { LSTM_ROWS = 4, LSTM_THREADS = 256 };

/* One direction of one layer: steps `from` to `from + count` of each row, forward or from its end.
 */
struct lstm_span {
    int batch, time, from, count;
    const int *lengths; /* [batch], or NULL */
    int backward;
};

/* Where in a row's time the step is. */
BLOCK_HOST int lstm_moment(const struct lstm_span *s, int row, int step)
{
    int length = s->lengths ? s->lengths[row] : s->time, at = step < length ? step : length - 1;
    return s->backward ? length - 1 - at : at;
}

/* ---- inputs ------------------------------------------------------------ */

enum { LSTM_TILE = 64, LSTM_DEPTH = 16, LSTM_PART = 4 }; /* threads: (TILE / PART) squared */

struct lstm_inputs {
    struct lstm_span span;
    int inputs, columns;  /* columns: 4 * hidden */
    const float *x;       /* [batch][time][inputs] */
    const float *weights; /* [columns][inputs] */
    const float *bias;    /* [columns] */
    float *sums;          /* [count][batch][columns] */
};

struct lstm_tile {
    float x[LSTM_DEPTH][LSTM_TILE], weights[LSTM_DEPTH][LSTM_TILE];
};

struct lstm_part {
    float sums[LSTM_PART][LSTM_PART];
};

BLOCK_FN void lstm_tile_fetch(const struct lstm_inputs *in, struct lstm_tile *tile, int row,
                              int column, int first, int thread)
{
    const struct lstm_span *s = &in->span;
    for (int i = thread; i < LSTM_TILE * LSTM_DEPTH; i += LSTM_THREADS) {
        int k = i % LSTM_DEPTH, at = i / LSTM_DEPTH, r = row + at, c = column + at;
        float x = 0, w = 0;
        if (first + k < in->inputs && r < s->count * s->batch) {
            int of = r % s->batch, moment = lstm_moment(s, of, s->from + r / s->batch);
            x = in->x[((size_t)of * (size_t)s->time + (size_t)moment) * (size_t)in->inputs +
                      (size_t)(first + k)];
        }
        if (first + k < in->inputs && c < in->columns)
            w = in->weights[(size_t)c * (size_t)in->inputs + (size_t)(first + k)];
        tile->x[k][at] = x;
        tile->weights[k][at] = w;
    }
}

BLOCK_FN void lstm_tile_add(const struct lstm_tile *tile, struct lstm_part *part, int thread)
{
    int down = thread / (LSTM_TILE / LSTM_PART) * LSTM_PART;
    int across = thread % (LSTM_TILE / LSTM_PART) * LSTM_PART;
    for (int k = 0; k < LSTM_DEPTH; k++)
        for (int i = 0; i < LSTM_PART; i++)
            for (int j = 0; j < LSTM_PART; j++)
                part->sums[i][j] += tile->x[k][down + i] * tile->weights[k][across + j];
}

BLOCK_FN void lstm_tile_give(const struct lstm_inputs *in, const struct lstm_part *part, int row,
                             int column, int thread)
{
    int down = row + thread / (LSTM_TILE / LSTM_PART) * LSTM_PART;
    int across = column + thread % (LSTM_TILE / LSTM_PART) * LSTM_PART;
    for (int i = 0; i < LSTM_PART; i++)
        for (int j = 0; j < LSTM_PART; j++)
            if (down + i < in->span.count * in->span.batch && across + j < in->columns)
                in->sums[(size_t)(down + i) * (size_t)in->columns + (size_t)(across + j)] =
                    part->sums[i][j] + in->bias[across + j];
}

/* ---- steps ------------------------------------------------------------- */

struct lstm_steps {
    struct lstm_span span;
    int hidden;
    int units, rows;      /* of one block; blocks: lstm_unit_groups() * lstm_row_groups() */
    const float *weights; /* [4 * hidden][hidden] */
    const float *sums;    /* [count][batch][4 * hidden] */
    float *h[2];          /* [batch][hidden]: before even steps of the span, before odd ones */
    float *c;             /* [batch][hidden] */
    float *out;           /* [batch][time][outputs] from this direction's first on, or NULL */
    float *last;          /* [batch][outputs] likewise, or NULL */
    int outputs;
};

/* A block's shared memory, aligned to 16 bytes. */
struct lstm_block {
    int unit, units, row, rows; /* its first and how many */
    float *weights;             /* [hidden][units][4] */
    float *before;              /* [hidden][LSTM_ROWS-padded rows] */
    float *cells;               /* [rows][units] */
};

BLOCK_HOST int lstm_groups(int all, int each)
{
    return (all + each - 1) / each;
}

BLOCK_HOST int lstm_padded(int rows)
{
    return lstm_groups(rows, LSTM_ROWS) * LSTM_ROWS;
}

BLOCK_HOST size_t lstm_shared_bytes(int hidden, int units, int rows)
{
    size_t h = (size_t)hidden, u = (size_t)units, r = (size_t)lstm_padded(rows);
    return (h * u * 4 + h * r + r * u) * sizeof(float);
}

/* The index'th block's part of the work, over its shared memory. */
BLOCK_HOST struct lstm_block lstm_block_at(const struct lstm_steps *s, int index, float *shared)
{
    int groups = lstm_groups(s->hidden, s->units);
    struct lstm_block b;
    b.unit = index % groups * s->units;
    b.row = index / groups * s->rows;
    b.units = s->hidden - b.unit < s->units ? s->hidden - b.unit : s->units;
    b.rows = s->span.batch - b.row < s->rows ? s->span.batch - b.row : s->rows;
    b.weights = shared;
    b.before = b.weights + (size_t)s->hidden * (size_t)b.units * 4;
    b.cells = b.before + (size_t)s->hidden * (size_t)lstm_padded(b.rows);
    return b;
}

/* Once: the weights and cells it keeps. */
BLOCK_FN void lstm_block_begin(const struct lstm_steps *s, const struct lstm_block *b, int thread)
{
    for (int i = thread; i < s->hidden * b->units * 4; i += LSTM_THREADS) {
        int k = i % s->hidden, u = i / s->hidden % b->units, gate = i / s->hidden / b->units;
        b->weights[((size_t)k * (size_t)b->units + (size_t)u) * 4 + (size_t)gate] =
            s->weights[((size_t)gate * (size_t)s->hidden + (size_t)(b->unit + u)) *
                           (size_t)s->hidden +
                       (size_t)k];
    }
    for (int i = thread; i < b->rows * b->units; i += LSTM_THREADS)
        b->cells[i] = s->c[(size_t)(b->row + i / b->units) * (size_t)s->hidden +
                           (size_t)(b->unit + i % b->units)];
}

/* Each step, first: what all units were. */
BLOCK_FN void lstm_block_fetch(const struct lstm_steps *s, const struct lstm_block *b, int step,
                               int thread)
{
    const float *h = s->h[step & 1];
    int padded = lstm_padded(b->rows);
    for (int i = thread; i < s->hidden * padded; i += LSTM_THREADS) {
        int k = i % s->hidden, r = i / s->hidden;
        float value = 0;
        if (r < b->rows)
            value = BLOCK_LOAD(h + (size_t)(b->row + r) * (size_t)s->hidden + (size_t)k);
        b->before[(size_t)k * (size_t)padded + (size_t)r] = value;
    }
}

BLOCK_FN float lstm_sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* One unit of one row, of which the gates' sums are known. */
BLOCK_FN void lstm_cell(const struct lstm_steps *s, const struct lstm_block *b, int step, int u,
                        int r, const float gates[4])
{
    const struct lstm_span *span = &s->span;
    int row = b->row + r, at = span->from + step;
    size_t unit = (size_t)(b->unit + u), place = (size_t)row * (size_t)s->hidden + unit;
    int length = span->lengths ? span->lengths[row] : span->time;
    if (at >= length) {
        s->h[!(step & 1)][place] =
            b->before[(size_t)(b->unit + u) * (size_t)lstm_padded(b->rows) + (size_t)r];
        return;
    }
    float *cell = &b->cells[(size_t)r * (size_t)b->units + (size_t)u];
    float c = lstm_sigmoid(gates[1]) * *cell + lstm_sigmoid(gates[0]) * tanhf(gates[2]);
    float h = lstm_sigmoid(gates[3]) * tanhf(c);
    *cell = c;
    s->h[!(step & 1)][place] = h;
    if (s->out)
        s->out[((size_t)row * (size_t)span->time + (size_t)lstm_moment(span, row, at)) *
                   (size_t)s->outputs +
               unit] = h;
    if (s->last && (span->backward ? at == 0 : at == length - 1))
        s->last[(size_t)row * (size_t)s->outputs + unit] = h;
}

/* Each step, then: LSTM_ROWS rows of a unit at a time. */
BLOCK_FN void lstm_block_step(const struct lstm_steps *s, const struct lstm_block *b, int step,
                              int thread)
{
    int padded = lstm_padded(b->rows);
    for (int job = thread; job < b->units * (padded / LSTM_ROWS); job += LSTM_THREADS) {
        int u = job % b->units, first = job / b->units * LSTM_ROWS;
        float sums[LSTM_ROWS][4] = {{0}};
        for (int k = 0; k < s->hidden; k++) {
            const float *w = (const float *)__builtin_assume_aligned(
                b->weights + ((size_t)k * (size_t)b->units + (size_t)u) * 4, 16);
            const float *h = (const float *)__builtin_assume_aligned(
                b->before + (size_t)k * (size_t)padded + (size_t)first, 16);
            for (int r = 0; r < LSTM_ROWS; r++)
                for (int gate = 0; gate < 4; gate++)
                    sums[r][gate] += h[r] * w[gate];
        }
        for (int r = 0; r < LSTM_ROWS && first + r < b->rows; r++) {
            const float *from =
                s->sums + ((size_t)step * (size_t)s->span.batch + (size_t)(b->row + first + r)) *
                              4 * (size_t)s->hidden;
            for (int gate = 0; gate < 4; gate++)
                sums[r][gate] += from[(size_t)gate * (size_t)s->hidden + (size_t)(b->unit + u)];
            lstm_cell(s, b, step, u, first + r, sums[r]);
        }
    }
}

/* Once: the cells, for the steps that follow in another launch and for the caller. */
BLOCK_FN void lstm_block_end(const struct lstm_steps *s, const struct lstm_block *b, int thread)
{
    for (int i = thread; i < b->rows * b->units; i += LSTM_THREADS)
        s->c[(size_t)(b->row + i / b->units) * (size_t)s->hidden +
             (size_t)(b->unit + i % b->units)] = b->cells[i];
}
