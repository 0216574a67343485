#include "kernels/rolling_sums.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/rolling_direct.h"
#include "kernels/rolling_sums_private.h"
#include "kernels/strided.h"

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- the life of a state ------------------------------------------------ */

struct rolling_sums *rolling_sums_new(const struct rolling_sums_options *options)
{
    size_t block = options->window > ROLLING_BLOCK ? options->window : ROLLING_BLOCK;
    block = (block + ROLLING_GROUP - 1) / ROLLING_GROUP * ROLLING_GROUP;
    size_t room = options->window + block + ROLLING_GROUP;
    struct rolling_sums *s = mem_alloc(sizeof *s + room * sizeof(double));
    *s = (struct rolling_sums){.options = *options, .block = block};
    for (size_t i = 0; i < room; i++)
        s->values[i] = NAN;
    return s;
}

void rolling_sums_free(struct rolling_sums *s)
{
    mem_free(s);
}

void rolling_sums_reset(struct rolling_sums *s)
{
    *s = (struct rolling_sums){.options = s->options, .block = s->block};
    for (size_t i = 0; i < s->options.window; i++)
        s->values[i] = NAN;
}

/* ---- beginnings --------------------------------------------------------- */

/* The sums of values[from .. from + window - 1]: the window before place `from` of the block. */
static void begin(struct rolling_sums *s, size_t from)
{
    struct rolling_moments *m = &s->moments;
    const double *window = s->values + from;
    *m = (struct rolling_moments){0};
    if (rolling_second(s->options.kind) != ROLLING_NO_SECOND) {
        size_t i = s->options.window;
        while (i > 0 && !isfinite(window[i - 1]))
            i--;
        m->centered = i > 0;
        m->center = i > 0 ? window[i - 1] : 0;
    }
    rolling_loops()->gather(window, s->options.window, (double)from, s->options.kind, m);
    m->peak = m->second;
}

/* The first finite value of a stream, or after a window without any, is the center: nothing was
 * summed before it. */
static void find_center(struct rolling_sums *s, size_t to)
{
    if (s->moments.centered || rolling_second(s->options.kind) == ROLLING_NO_SECOND)
        return;
    const double *newest = s->values + s->options.window;
    for (size_t k = s->done; k < to; k++) {
        if (!isfinite(newest[k]))
            continue;
        s->moments.center = newest[k];
        s->moments.centered = true;
        return;
    }
}

/* ---- sums that have become too coarse ----------------------------------- */

/* Squares about the mean, from squares about the center. */
static double about_mean(double first, double second, double count)
{
    return second - first * first * (1.0 / count);
}

static bool coarse(double first, double second, double count, double peak)
{
    return count > 1 && about_mean(first, second, count) * 0x1p20 < peak;
}

static double one_result(const struct rolling_sums *s, double x)
{
    const struct rolling_moments *m = &s->moments;
    if (m->count < (double)s->options.min_periods || m->count <= s->options.ddof)
        return NAN;
    double squares = fmax(about_mean(m->first, m->second, m->count), 0);
    double variance = squares * (1.0 / (m->count - s->options.ddof));
    if (s->options.kind == ROLLING_VARIANCE)
        return variance;
    if (s->options.kind == ROLLING_DEVIATION)
        return sqrt(variance);
    double z = (x - m->center - m->first * (1.0 / m->count)) / sqrt(variance);
    return variance > 0 ? z : NAN;
}

static void move_on(struct rolling_moments *m, double in, double gone)
{
    if (isfinite(in)) {
        in -= m->center;
        m->first += in;
        m->second += in * in;
        m->count += 1;
    }
    if (isfinite(gone)) {
        gone -= m->center;
        m->first -= gone;
        m->second -= gone * gone;
        m->count -= 1;
    }
    m->peak = fmax(m->peak, m->second);
    m->since++;
}

/* Places from..to-1 one at a time, with sums that begin anew at `from`. */
static void redo(struct rolling_sums *s, size_t from, size_t to, double *out)
{
    const double *newest = s->values + s->options.window;
    struct rolling_moments *m = &s->moments;
    begin(s, from + 1);
    out[0] = one_result(s, newest[from]);
    for (size_t k = from + 1; k < to; k++) {
        move_on(m, newest[k], s->values[k]);
        if (coarse(m->first, m->second, m->count, m->peak) && m->since > s->options.window / 8)
            begin(s, k + 1);
        out[k - from] = one_result(s, newest[k]);
    }
}

/* A group that may need new sums, `lanes` of whose values are there. */
static void careful_group(struct rolling_sums *s, size_t from, size_t lanes, double *out,
                          bool counted)
{
    struct rolling_raw raw;
    struct rolling_moments *m = &s->moments;
    rolling_loops()->walk(s, from, from + ROLLING_GROUP, out, counted, &raw);
    for (size_t i = 0; i < lanes; i++) {
        m->peak = fmax(m->peak, raw.second[i]);
        m->since++;
        if (coarse(raw.first[i], raw.second[i], raw.count[i], m->peak) &&
            m->since > s->options.window / 8) {
            redo(s, from + i, from + lanes, out + i);
            return;
        }
    }
}

/* ---- groups ------------------------------------------------------------- */

static void full_groups(struct rolling_sums *s, size_t from, size_t to, double *out, bool counted)
{
    if (from == to)
        return;
    struct rolling_moments before = s->moments;
    rolling_loops()->walk(s, from, to, out, counted, NULL);
    if (rolling_second(s->options.kind) != ROLLING_SQUARES)
        return;
    s->moments.peak = fmax(before.peak, s->high);
    s->moments.since += to - from;
    if (s->options.window == 1 || s->low * 0x1p20 >= s->moments.peak)
        return;
    s->moments = before;
    for (size_t k = from; k < to; k += ROLLING_GROUP)
        careful_group(s, k, ROLLING_GROUP, out + (k - from), counted);
}

static void part_of_group(struct rolling_sums *s, size_t from, size_t lanes, double *out,
                          bool counted)
{
    if (lanes == 0)
        return;
    struct rolling_moments before = s->moments;
    if (rolling_second(s->options.kind) == ROLLING_SQUARES)
        careful_group(s, from, lanes, out, counted);
    else
        rolling_loops()->walk(s, from, from + ROLLING_GROUP, out, counted, NULL);
    s->moments = before;
}

/* ---- infinities, and NaN that is not skipped ---------------------------- */

static void count_odd(struct rolling_odd *odd, double x, bool skip_nan, size_t by)
{
    if (isnan(x))
        odd->nan += skip_nan ? 0 : by;
    else if (isinf(x) && x > 0)
        odd->positive += by;
    else if (isinf(x))
        odd->negative += by;
}

static double odd_result(const struct rolling_odd *odd, const struct rolling_sums *s, double usual)
{
    if (odd->nan || (odd->positive && odd->negative))
        return NAN;
    if (!odd->positive && !odd->negative)
        return usual;
    if (rolling_second(s->options.kind) != ROLLING_NO_SECOND)
        return NAN;
    return odd->positive ? INFINITY : -INFINITY;
}

/* Whether places s->done..to-1 or the window before them hold any. */
static bool has_odd(const struct rolling_sums *s, size_t to)
{
    struct rolling_odd odd = s->odd;
    for (size_t k = s->done; s->clean < to - s->done && k < to; k++)
        count_odd(&odd, s->values[s->options.window + k], s->options.skip_nan, 1);
    return odd.nan || odd.positive || odd.negative;
}

static void put_odd(struct rolling_sums *s, size_t to, double *out)
{
    if (!has_odd(s, to))
        return;
    struct rolling_odd odd = s->odd;
    const size_t window = s->options.window, full = to / ROLLING_GROUP * ROLLING_GROUP;
    for (size_t k = s->done; k < to; k++) {
        count_odd(&odd, s->values[window + k], s->options.skip_nan, 1);
        if (k >= window - s->seen)
            count_odd(&odd, s->values[k], s->options.skip_nan, (size_t)-1);
        out[k - s->done] = odd_result(&odd, s, out[k - s->done]);
        if (k + 1 == full)
            s->odd = odd;
    }
}

/* ---- pieces ------------------------------------------------------------- */

/* n values were put behind the block's s->at ones: their results into out, which has room for
 * ROLLING_PIECE + 2 ROLLING_GROUP; returns where they begin. */
static double *work(struct rolling_sums *s, size_t n, bool finite, double *out)
{
    const size_t at = s->at, to = at + n, full = to / ROLLING_GROUP * ROLLING_GROUP;
    const double *newest = s->values + s->options.window;
    size_t run = 0;
    while (!finite && run < n && isfinite(newest[to - 1 - run]))
        run++;
    s->clean = finite ? s->clean + n : run;
    bool counted = s->clean < s->options.window + (to - s->done);
    find_center(s, to);
    full_groups(s, s->done, full, out, counted);
    part_of_group(s, full, to - full, out + (full - s->done), counted);
    put_odd(s, to, out);
    double *begin_at = out + (at - s->done);
    s->at = to;
    s->done = full;
    if (to == s->block) {
        memmove(s->values, s->values + s->block, s->options.window * sizeof(double));
        s->seen = least(s->options.window, s->seen + s->block);
        s->at = s->done = 0;
        begin(s, 0);
    }
    return begin_at;
}

/* ---- straight from one array into another -------------------------------- */

/* `done` values, whole blocks, were worked on without the state, and the last window of them was
 * put into it. */
static void go_on(struct rolling_sums *s, size_t done)
{
    s->clean += done;
    s->seen = s->options.window;
    begin(s, 0);
}

static bool apart(const void *a, const void *b, size_t bytes)
{
    uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
    return x + bytes <= y || y + bytes <= x;
}

/* Whole blocks of n values, `before` of the same batch lie before x[0]; returns how many were done.
 * The results are those of work(), to the last bit. */
#define BLOCKS(T, suffix)                                                                          \
    static size_t blocks_##suffix(struct rolling_sums *s, const T *x, size_t before, size_t n,     \
                                  T *out)                                                          \
    {                                                                                              \
        struct rolling_slide slide;                                                                \
        const size_t window = s->options.window;                                                   \
        if (s->at > 0 || before < window || s->clean < window || n < s->block ||                   \
            !rolling_slide_for(&slide, &s->options))                                               \
            return 0;                                                                              \
        size_t done = 0;                                                                           \
        for (; done + s->block <= n; done += s->block) {                                           \
            rolling_slide_begin_##suffix(&slide, x + done);                                        \
            if (!rolling_slide_run_##suffix(&slide, x + done, s->block, out + done))               \
                break;                                                                             \
        }                                                                                          \
        if (done > 0) {                                                                            \
            strided_take_##suffix(x + done - window, 1, window, s->values);                        \
            go_on(s, done);                                                                        \
        }                                                                                          \
        return done;                                                                               \
    }
BLOCKS(double, f64)
BLOCKS(float, f32)

#define PUSH(T, suffix)                                                                            \
    void rolling_sums_push_##suffix(struct rolling_sums *s, const T *x, ptrdiff_t stride,          \
                                    size_t n, T *out, ptrdiff_t out_stride)                        \
    {                                                                                              \
        double results[ROLLING_PIECE + 2 * ROLLING_GROUP];                                         \
        const bool direct = stride == 1 && out_stride == 1 && apart(x, out, n * sizeof *x);        \
        for (size_t at = 0, some; at < n; at += some) {                                            \
            const T *from = x + (ptrdiff_t)at * stride;                                            \
            T *to = out + (ptrdiff_t)at * out_stride;                                              \
            some = direct ? blocks_##suffix(s, from, at, n - at, to) : 0;                          \
            if (some > 0)                                                                          \
                continue;                                                                          \
            some = least(n - at, least(s->block - s->at, ROLLING_PIECE));                          \
            double *values = s->values + s->options.window + s->at;                                \
            bool finite = strided_take_##suffix(from, stride, some, values);                       \
            strided_give_##suffix(work(s, some, finite, results), some, to, out_stride);           \
        }                                                                                          \
    }
PUSH(double, f64)
PUSH(float, f32)
