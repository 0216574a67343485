#include "kernels/recurrent_low.h"

static size_t aligned(size_t bytes)
{
    return (bytes + RECURRENT_ALIGN - 1) / RECURRENT_ALIGN * RECURRENT_ALIGN;
}

static int words_of(const struct recurrent *net, int values)
{
    return (values + net->low->each - 1) / net->low->each;
}

static int more(int a, int b)
{
    return a > b ? a : b;
}

size_t recurrent_low_scratch(const struct recurrent *net, int rows)
{
    const struct recurrent_shape *s = &net->shape;
    int longest = more(more(s->hidden, recurrent_outputs(s)), s->inputs);
    return aligned((size_t)rows * sizeof(float)) +
           (size_t)rows * (size_t)words_of(net, longest) * sizeof(uint32_t);
}

/* Where the first block's first row is; all rows' lowered values stand in scratch, after their
 * scales. */
static struct recurrent_low_tile begin(const struct recurrent *net,
                                       const struct recurrent_low_matrix *m,
                                       const struct recurrent_tile *plain, int rows, void *scratch)
{
    return (struct recurrent_low_tile){
        .plain = *plain,
        .words = m->words,
        .block = (size_t)m->count * 4 * (size_t)net->low->lanes,
        .count = m->count,
        .values = (const uint32_t *)(const void *)((const char *)scratch +
                                                   aligned((size_t)rows * sizeof(float))),
        .stride = (size_t)m->count,
        .by = scratch,
        .starts = m->starts,
        .scales = m->scales,
    };
}

static void lower(const struct recurrent *net, const struct recurrent_low_matrix *m,
                  const float *values, int row, int rows, void *scratch)
{
    uint32_t *words = (uint32_t *)(void *)((char *)scratch + aligned((size_t)rows * sizeof(float)));
    net->low->lower(values, m->values, words + (size_t)row * (size_t)m->count,
                    (float *)scratch + row);
}

/* As recurrent_sweep(). */
static void sweep(const struct recurrent_low_tiles *low, enum recurrent_step step,
                  const struct recurrent_low_tile *tile, int blocks, int rows, bool backwards)
{
    size_t lanes = (size_t)low->lanes, wide = step == RECURRENT_STEP_DENSE ? 4 * lanes : lanes;
    int tall = (rows + low->rows - 1) / low->rows;
    for (int done = 0, many; done < blocks; done += many) {
        many = rows == 1 && blocks - done >= low->blocks ? low->blocks : 1;
        size_t at = (size_t)(backwards ? blocks - done - many : done);
        for (int i = 0, first = 0, n; i < tall; i++, first += n) {
            n = (rows - first) / (tall - i);
            size_t r = (size_t)first;
            struct recurrent_low_tile part = *tile;
            part.words += at * tile->block;
            part.values += r * tile->stride;
            part.by += r;
            if (low->each == 4) {
                part.starts += at * 4 * lanes;
                part.scales += at * 4 * lanes;
            }
            part.plain = recurrent_tile_at(&tile->plain, lanes, wide, at, r);
            low->step[step][many > 1 ? 0 : n](&part);
        }
    }
}

void recurrent_low_step(const struct recurrent *net, const struct recurrent_direction *d,
                        const struct recurrent_tile *tile, int rows, bool backwards, void *scratch)
{
    const struct recurrent_low_matrix *m = &d->low->states;
    struct recurrent_low_tile low = begin(net, m, tile, rows, scratch);
    low.plain.weights = d->inputs ? d->inputs : d->bias; /* or none of it */
    low.plain.block = (size_t)(tile->inputs * 4 * net->low->lanes);
    for (int i = 0; i < rows; i++)
        lower(net, m, tile->h + (size_t)i * tile->h_stride, i, rows, scratch);
    sweep(net->low, net->shape.cell == RECURRENT_GRU ? RECURRENT_STEP_GRU : RECURRENT_STEP_LSTM,
          &low, net->blocks, rows, backwards);
}

void recurrent_low_dense(const struct recurrent *net, const struct recurrent_low_matrix *m,
                         const struct recurrent_tile *tile, int blocks, int rows, void *scratch)
{
    struct recurrent_low_tile low = begin(net, m, tile, rows, scratch);
    for (int i = 0; i < rows; i++)
        lower(net, m, tile->x[i], i, rows, scratch);
    low.plain.weights = tile->from; /* none of it */
    low.plain.inputs = 0;
    low.plain.block = 0;
    sweep(net->low, RECURRENT_STEP_DENSE, &low, blocks, rows, false);
}
