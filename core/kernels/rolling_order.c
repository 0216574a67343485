#include "kernels/rolling_order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "kernels/rolling_order_private.h"

enum {
    PIECE = 512,            /* results on their way */
    FEW = 64,               /* batches below it go value by value */
    LARGE_WINDOW = 1 << 14, /* from here on blocks are smaller beside the window */
    SPAN_LEAST = 64         /* windows of a lane, so that tiles are worth their beginning */
};

struct rolling_orders {
    struct rolling_order_options how;
    size_t room; /* values of a block that is ranked, with the window - 1 before it */

    /* the stream's last values */
    double *ring; /* `window` at most */
    size_t at;    /* where the next one goes */
    size_t seen;  /* how many it holds */

    /* of the ring, those that are not NaN, ascending; only while `ordered` */
    double *sorted;
    size_t held;
    bool ordered;

    /* one block */
    void *block, *work; /* float or double */
    struct order_tiles tiles;
    void *vectors; /* of the tiles; NULL when there are none */
    uint32_t *rank;
    double *by_rank;
    uint64_t *bits;
    uint8_t *member;
};

/* ---- sizes ------------------------------------------------------------- */

size_t order_room(const struct rolling_order_options *options)
{
    size_t w = options->window;
    if (w > LARGE_WINDOW)
        return 2 * w;
    if (options->kind == ROLLING_MIN || options->kind == ROLLING_MAX)
        return w < 1024 ? 4096 : 4 * w;
    return w <= 8 ? 64 : w <= 32 ? 128 : w <= 64 ? 384 : w <= 160 ? 512 : w <= 256 ? 1024 : 4 * w;
}

static bool is_extreme(const struct rolling_order_options *options)
{
    return options->kind == ROLLING_MIN || options->kind == ROLLING_MAX;
}

/* ---- tiles ------------------------------------------------------------- */

enum { VECTOR_BYTES = 64, VECTOR_MOST = 16 }; /* the widest, and how many values it has at most */

static bool has_tiles(const struct rolling_order_options *options)
{
    return !is_extreme(options) && options->kind != ROLLING_MAD &&
           options->window <= ORDER_TILES_MOST;
}

static size_t power_of_two(size_t least)
{
    size_t n = 1;
    while (n < least)
        n *= 2;
    return n;
}

/* In vectors; returns how many of them all are. */
static size_t lay_out(struct order_tiles *t, size_t window, char *at)
{
    const size_t shared = power_of_two(window), group = power_of_two(window + 2) / 2;
    t->window = window;
    t->group = group;
    t->span = group < SPAN_LEAST ? SPAN_LEAST : group;
    const size_t kept = group + VECTOR_MOST; /* by all smaller groups together */
    size_t sizes[] = {t->span + window + VECTOR_MOST, t->span, group / 2,
                      group + 1 + (kept > shared ? kept : shared)};
    void **places[] = {&t->x, &t->out, &t->taken, &t->stack};
    size_t sum = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        *places[i] = at ? at + sum * VECTOR_BYTES : NULL;
        sum += sizes[i];
    }
    return sum;
}

/* Of a block that is ranked or goes into tiles. */
static size_t block_bytes(const struct rolling_order_options *options)
{
    struct order_tiles t = {0};
    size_t bytes = (order_room(options) + 64) * sizeof(double);
    if (!has_tiles(options))
        return bytes;
    lay_out(&t, options->window, NULL);
    size_t tiled = (t.span + 1) * VECTOR_BYTES + (options->window + 64) * sizeof(double);
    return bytes > tiled ? bytes : tiled;
}

static size_t vector_bytes(const struct rolling_order_options *options)
{
    struct order_tiles t;
    return has_tiles(options) ? (lay_out(&t, options->window, NULL) + 1) * VECTOR_BYTES : 0;
}

static void make_tiles(struct rolling_orders *s)
{
    s->vectors = mem_zero(1, vector_bytes(&s->how));
    uintptr_t at = (uintptr_t)s->vectors + VECTOR_BYTES - 1;
    lay_out(&s->tiles, s->how.window, (char *)(at - at % VECTOR_BYTES));
    s->tiles.k = order_place(s->how.q, s->how.window, &s->tiles.fraction);
}

/* ---- life -------------------------------------------------------------- */

size_t rolling_order_bytes(const struct rolling_order_options *options)
{
    size_t room = order_room(options) + 64;
    size_t of_room = is_extreme(options) ? 0 : sizeof(double) + sizeof(uint32_t) + 2;
    return sizeof(struct rolling_orders) + 2 * options->window * sizeof(double) + room * of_room +
           2 * block_bytes(options) + vector_bytes(options);
}

struct rolling_orders *rolling_order_new(const struct rolling_order_options *options)
{
    invariant(options->window >= 1 && options->window <= 1U << 30 && options->min_periods >= 1);
    struct rolling_orders *s = mem_zero(1, sizeof *s);
    size_t room = order_room(options) + 64;
    s->how = *options;
    if (options->kind == ROLLING_MEDIAN || options->kind == ROLLING_MAD)
        s->how.q = 0.5;
    s->room = order_room(options);
    s->ring = mem_zero(options->window, sizeof *s->ring);
    s->sorted = mem_zero(options->window, sizeof *s->sorted);
    s->block = mem_zero(1, block_bytes(options));
    s->work = mem_zero(1, block_bytes(options));
    if (!is_extreme(options)) {
        s->rank = mem_zero(room, sizeof *s->rank);
        s->by_rank = mem_zero(room, sizeof *s->by_rank);
        s->bits = mem_zero(room / 64 + 1, sizeof *s->bits);
        s->member = mem_zero(room + 128, 1);
    }
    if (has_tiles(options))
        make_tiles(s);
    rolling_order_reset(s);
    return s;
}

void rolling_order_free(struct rolling_orders *s)
{
    if (!s)
        return;
    mem_free(s->ring);
    mem_free(s->sorted);
    mem_free(s->block);
    mem_free(s->work);
    mem_free(s->rank);
    mem_free(s->by_rank);
    mem_free(s->bits);
    mem_free(s->member);
    mem_free(s->vectors);
    mem_free(s);
}

void rolling_order_reset(struct rolling_orders *s)
{
    s->at = s->seen = s->held = 0;
    s->ordered = true;
}

/* ---- value by value ---------------------------------------------------- */

/* How many of the sorted are below the value. */
static size_t below(const struct rolling_orders *s, double value)
{
    size_t low = 0, high = s->held;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->sorted[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(struct rolling_orders *s, double value)
{
    if (isnan(value))
        return;
    size_t at = below(s, value);
    memmove(s->sorted + at + 1, s->sorted + at, (s->held - at) * sizeof *s->sorted);
    s->sorted[at] = value;
    s->held++;
}

static void erase(struct rolling_orders *s, double value)
{
    if (isnan(value))
        return;
    size_t at = below(s, value);
    s->held--;
    memmove(s->sorted + at, s->sorted + at + 1, (s->held - at) * sizeof *s->sorted);
}

static void remember(struct rolling_orders *s, double value)
{
    s->ring[s->at] = value;
    s->at = s->at + 1 == s->how.window ? 0 : s->at + 1;
    s->seen += s->seen < s->how.window;
}

/* The i-th of the ring, from the oldest. */
static double recall(const struct rolling_orders *s, size_t i)
{
    size_t at = s->at + s->how.window - s->seen + i;
    return s->ring[at >= s->how.window ? at - s->how.window : at];
}

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void put_in_order(struct rolling_orders *s)
{
    s->held = 0;
    for (size_t i = 0; i < s->seen; i++)
        if (!isnan(recall(s, i)))
            s->sorted[s->held++] = recall(s, i);
    qsort(s->sorted, s->held, sizeof *s->sorted, ascending);
    s->ordered = true;
}

static double sorted_deviation(const struct rolling_orders *s, double m)
{
    double fraction;
    const double *v = s->sorted;
    size_t half = order_place(0.5, s->held, &fraction) + 1;
    size_t low = 0, high = s->held - half;
    if (isinf(m) || isnan(m))
        return NAN;
    while (low < high) {
        size_t i = low + (high - low) / 2;
        if (v[i + half] - m < m - v[i])
            low = i + 1;
        else
            high = i;
    }
    double found = fmax(m - v[low], v[low + half - 1] - m);
    if (fraction == 0)
        return found;
    double beyond = low > 0 ? m - v[low - 1] : INFINITY;
    if (low + half < s->held)
        beyond = fmin(beyond, v[low + half] - m);
    return order_between(found, beyond, 0.5);
}

static double sorted_result(const struct rolling_orders *s)
{
    double fraction;
    if (!order_enough(&s->how, s->held, s->seen - s->held))
        return NAN;
    if (s->how.kind == ROLLING_MIN)
        return s->sorted[0];
    if (s->how.kind == ROLLING_MAX)
        return s->sorted[s->held - 1];
    size_t k = order_place(s->how.q, s->held, &fraction);
    double value = s->sorted[k];
    if (fraction > 0)
        value = order_between(value, s->sorted[k + 1], fraction);
    return s->how.kind == ROLLING_MAD ? sorted_deviation(s, value) : value;
}

static double push_one(struct rolling_orders *s, double value)
{
    if (!s->ordered)
        put_in_order(s);
    if (s->seen == s->how.window)
        erase(s, recall(s, 0));
    remember(s, value);
    insert(s, value);
    return sorted_result(s);
}

/* ---- blocks ------------------------------------------------------------ */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The window before the block's value `first`, whose ranks are known. */
static struct order_slide slide_from(struct rolling_orders *s, size_t first, size_t n, size_t valid)
{
    struct order_slide slide = {.how = &s->how,
                                .rank = s->rank,
                                .sorted = s->by_rank,
                                .valid = valid,
                                .bits = s->bits,
                                .member = s->member};
    memset(s->bits, 0, (n / 64 + 1) * sizeof *s->bits);
    for (size_t i = 0; i < first; i++) {
        s->bits[s->rank[i] >> 6] |= 1ULL << (s->rank[i] & 63);
        slide.held += s->rank[i] < valid;
        slide.missing += s->rank[i] >= valid;
    }
    return slide;
}

/* The window before the block's value `at`, full and without NaN, for slide_full. */
static void begin_full(struct order_slide *slide, size_t at, size_t n)
{
    memset(slide->member, 0, n + 128);
    for (size_t i = at - slide->how->window; i < at; i++)
        slide->member[slide->rank[i]] = 1;
    slide->near = (struct order_near){0, 0, order_gather(slide->member)};
}

#define T          double
#define NAME(word) word##_f64
#define ISA(word)  (order_isa()->word##_f64)
#include "kernels/rolling_order_blocks.h"
#define T          float
#define NAME(word) word##_f32
#define ISA(word)  (order_isa()->word##_f32)
#include "kernels/rolling_order_blocks.h"
