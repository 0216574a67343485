/* rolling_many_tiles.h -- what rolling_many.c does with a table, once for each element type.
 *
 * Included with T (float or double), NAME(word) and LOOPS (what the isa has for T) defined.
 */

/* Some series of a table, from its first one that is to be worked on. */
struct NAME(tile) {
    const T *x;
    T *out;
    struct rolling_steps from, to;
    size_t series, lanes;
    bool turned;
};

/* Instants at..at + some - 1, side by side. */
static const T *NAME(take)(struct many *m, const struct NAME(tile) * t, size_t at, size_t some)
{
    const T *x = t->x + (ptrdiff_t)at * t->from.value;
    T *to = (T *)m->in + m->kept * t->lanes;
    if (!t->turned)
        return x;
    if (t->from.value == 1)
        LOOPS.take(x, t->from.series, t->series, some, to, t->lanes);
    for (size_t s = t->from.value == 1 ? t->series : 0; s < t->lanes; s++, x += t->from.series)
        for (size_t k = 0; k < some; k++)
            to[k * t->lanes + s] = s < t->series ? x[(ptrdiff_t)k * t->from.value] : 0;
    return to;
}

static void NAME(give)(struct many *m, const struct NAME(tile) * t, size_t at, size_t some)
{
    const T *out = m->out;
    T *to = t->out + (ptrdiff_t)at * t->to.value, *in = m->in;
    if (!t->turned)
        return;
    if (t->to.value == 1)
        LOOPS.give(out, t->lanes, t->series, some, to, t->to.series);
    for (size_t s = t->to.value == 1 ? t->series : 0; s < t->series; s++, to += t->to.series)
        for (size_t k = 0; k < some; k++)
            to[(ptrdiff_t)k * t->to.value] = out[k * t->lanes + s];
    memmove(in, in + some * t->lanes, m->kept * t->lanes * sizeof(T));
}

/* Instants at..at + some - 1; false at a value that is not finite, if it is to end there. */
static bool NAME(walk)(struct many *m, const struct NAME(tile) * t, size_t at, size_t some,
                       const T *x, bool counted)
{
    const size_t window = m->sums.options->window, to = at + some;
    const bool ends = !counted && m->sums.options->skip_nan;
    const ptrdiff_t step = t->turned ? (ptrdiff_t)t->lanes : t->from.value;
    const ptrdiff_t out_step = t->turned ? step : t->to.value;
    T *out = t->turned ? m->out : t->out + (ptrdiff_t)at * out_step;
    if (at % m->block == 0)
        LOOPS.begin(&m->sums, t->lanes, at, x, step);
    for (size_t more; at < to; at += more) {
        more = least(PART, at < window ? least(window, to) - at : to - at);
        if (!LOOPS.walk(&m->sums, t->lanes, at, at + more, x, step, out, out_step, counted) && ends)
            return false;
        x += (ptrdiff_t)more * step;
        out += (ptrdiff_t)more * out_step;
    }
    return true;
}

/* False at a value that may be a missing one. */
static bool NAME(run)(struct many *m, const struct NAME(tile) * t, bool counted)
{
    memset(m->sums.odd, 0, t->lanes * sizeof *m->sums.odd);
    for (size_t at = 0, some; at < m->n; at += some) {
        some = least(t->turned ? m->instants : STEPS, m->n - at);
        some = least(some, m->block - at % m->block);
        const T *x = NAME(take)(m, t, at, some);
        if (!NAME(walk)(m, t, at, some, x, counted))
            return false;
        NAME(give)(m, t, at, some);
    }
    return true;
}

static void NAME(alone)(struct many *m, const struct NAME(tile) * t, size_t s)
{
    if (!m->alone)
        m->alone = rolling_sums_new(m->sums.options);
    NAME(rolling_sums_push)
    (m->alone, t->x + (ptrdiff_t)s * t->from.series, t->from.value, m->n,
     t->out + (ptrdiff_t)s * t->to.series, t->to.value);
    rolling_sums_reset(m->alone);
}

/* `after`: how many series come after the tile. */
static void NAME(work)(struct many *m, const struct NAME(tile) * t, size_t after)
{
    const bool weighted = m->sums.options->kind == ROLLING_WEIGHTED;
    const ptrdiff_t next = (ptrdiff_t)t->series * t->from.series;
    m->sums.fetch = (struct rolling_many_fetch){.instants = t->turned ? 0 : STEPS};
    if (t->turned && after >= t->series && t->from.value == 1 && t->to.value == 1 &&
        t->from.series == t->to.series)
        m->sums.fetch = (struct rolling_many_fetch){
            .in = t->x + next, .out = t->out, .step = t->from.series * (ptrdiff_t)sizeof(T)};
    if (!weighted && !NAME(run)(m, t, false))
        NAME(run)(m, t, true);
    for (size_t s = 0; s < t->series; s++)
        if (weighted || is_odd(&m->sums, s))
            NAME(alone)(m, t, s);
}

void NAME(rolling_many)(const struct rolling_sums_options *options, size_t series, size_t n,
                        const T *x, struct rolling_steps from, T *out, struct rolling_steps to)
{
    struct many *m = many_new(options, n, sizeof(T));
    const size_t lanes = rolling_many_loops()->lanes;
    for (size_t at = 0, some; n > 0 && at < series; at += some) {
        some = side_by_side(m, series - at, from, to, sizeof(T));
        struct NAME(tile) t = {x + (ptrdiff_t)at * from.series,
                               out + (ptrdiff_t)at * to.series,
                               from,
                               to,
                               some,
                               some,
                               some == 0};
        if (t.turned) {
            t.series = some = least(series - at, ROLLING_MANY_TURNED);
            t.lanes = (some + lanes - 1) / lanes * lanes;
        }
        NAME(work)(m, &t, series - at - some);
    }
    many_free(m);
}

#undef T
#undef NAME
#undef LOOPS
