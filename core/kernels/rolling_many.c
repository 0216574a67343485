#include "kernels/rolling_many.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/rolling_many_private.h"
#include "kernels/rolling_sums_private.h"

enum {
    INSTANTS = 512,          /* that are turned at one time, or as many as a window has */
    PART = 128,              /* until it is looked whether one is missing */
    STEPS = 16,              /* that are read where they are, at one time */
    NEAR_BYTES = 256 * 1024, /* of the windows of those, which are read twice */
    WIDTH_LEAST = 64
};

struct many {
    struct rolling_sums *alone; /* NULL until a series needs it */
    size_t n, block;            /* values of a series; values between two beginnings */
    size_t kept, instants;      /* of tiles that are turned: before those below, and those */
    void *in, *out;
    struct rolling_many_sums sums;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

static struct many *many_new(const struct rolling_sums_options *options, size_t n, size_t size)
{
    struct many *m = mem_alloc(sizeof *m);
    m->sums.options = options;
    m->alone = NULL;
    m->n = n;
    m->block = most(options->window, ROLLING_BLOCK);
    m->kept = least(options->window, n);
    m->instants = least(most(INSTANTS, options->window), n);
    m->in = mem_alloc((m->kept + m->instants + 1) * ROLLING_MANY_TURNED * size);
    m->out = mem_alloc((m->instants + 1) * ROLLING_MANY_TURNED * size);
    return m;
}

static void many_free(struct many *m)
{
    rolling_sums_free(m->alone);
    mem_free(m->in);
    mem_free(m->out);
    mem_free(m);
}

/* How many series at once can be read where they are; 0: none. */
static size_t side_by_side(const struct many *m, size_t series, struct rolling_steps from,
                           struct rolling_steps to, size_t size)
{
    const size_t lanes = rolling_many_loops()->lanes;
    size_t width = NEAR_BYTES / (size * most(m->sums.options->window, STEPS));
    width = least(most(width, WIDTH_LEAST), ROLLING_MANY_LANES);
    return from.series == 1 && to.series == 1 ? least(width, series) / lanes * lanes : 0;
}

/* Squares about the mean of a single value are rounding alone. */
static bool is_odd(const struct rolling_many_sums *m, size_t s)
{
    const bool single = m->options->window == 1 && m->options->kind >= ROLLING_VARIANCE;
    return (m->odd[s] > 0 && !single) || !isfinite(m->first[s]) || !isfinite(m->second[s]);
}

#define T          double
#define NAME(word) word##_f64
#define LOOPS      (rolling_many_loops()->f64)
#include "kernels/rolling_many_tiles.h"
#define T          float
#define NAME(word) word##_f32
#define LOOPS      (rolling_many_loops()->f32)
#include "kernels/rolling_many_tiles.h"
