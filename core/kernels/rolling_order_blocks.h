/* rolling_order_blocks.h -- pushes in blocks, once for each element type.
 *
 * Included by rolling_order.c with T, NAME(word) and ISA(word) defined.
 */

/* Copies the ring's last values, at most window - 1, to the block's head; how many. */
static size_t NAME(recall_all)(const struct rolling_orders *s)
{
    T *block = s->block;
    size_t n = least(s->seen, s->how.window - 1);
    for (size_t i = 0; i < n; i++)
        block[i] = (T)recall(s, s->seen - n + i);
    return n;
}

static void NAME(remember_all)(struct rolling_orders *s, size_t total)
{
    const T *block = s->block;
    s->seen = least(total, s->how.window);
    for (size_t i = 0; i < s->seen; i++)
        s->ring[i] = (double)block[total - s->seen + i];
    s->at = s->seen == s->how.window ? 0 : s->seen;
    s->ordered = false;
}

/* ---- least and greatest ------------------------------------------------ */

/* work[i] becomes the least (greatest) of block[i] and the window - 1 behind it. */
static void NAME(spread)(struct rolling_orders *s, size_t n, bool least_of)
{
    const size_t window = s->how.window;
    void (*choose)(T *, size_t, size_t) = least_of ? ISA(least) : ISA(most);
    size_t span = 1;
    for (; 2 * span <= window; span *= 2)
        choose(s->work, n - 2 * span + 1, span);
    if (span < window)
        choose(s->work, n - window + 1, window - span);
}

/* Of the stream's first values, whose windows are not full. */
static void NAME(begin)(struct rolling_orders *s, size_t from, size_t to, bool least_of, T *out,
                        ptrdiff_t stride)
{
    const T *work = s->work;
    T best = least_of ? (T)INFINITY : -(T)INFINITY;
    for (size_t i = 0; i < to; i++) {
        best = (least_of ? work[i] < best : work[i] > best) ? work[i] : best;
        if (i >= from)
            out[(ptrdiff_t)(i - from) * stride] = best;
    }
}

/* Makes NaN of results for which there are not values enough. */
static void NAME(erase_poor)(struct rolling_orders *s, size_t from, size_t to, T *out,
                             ptrdiff_t stride)
{
    const T *block = s->block;
    size_t held = 0, missing = 0;
    for (size_t i = 0; i < to; i++) {
        bool nan = block[i] != block[i];
        held += !nan;
        missing += nan;
        if (i >= s->how.window) {
            bool old = block[i - s->how.window] != block[i - s->how.window];
            held -= !old;
            missing -= old;
        }
        if (i >= from && !order_enough(&s->how, held, missing))
            out[(ptrdiff_t)(i - from) * stride] = (T)NAN;
    }
}

static void NAME(extremes)(struct rolling_orders *s, size_t from, size_t to, T *out,
                           ptrdiff_t stride)
{
    const bool least_of = s->how.kind == ROLLING_MIN;
    const size_t window = s->how.window, full = from > window - 1 ? from : window - 1;
    const T *block = s->block;
    T *work = s->work;
    bool nan = ISA(any_nan)(block, to);
    memcpy(work, block, to * sizeof *work);
    for (size_t i = 0; nan && i < to; i++)
        if (work[i] != work[i])
            work[i] = least_of ? (T)INFINITY : -(T)INFINITY;
    if (from < full)
        NAME(begin)(s, from, least(to, full), least_of, out, stride);
    if (full < to) {
        NAME(spread)(s, to, least_of);
        const T *found = work + (full - (window - 1));
        T *at = out + (ptrdiff_t)(full - from) * stride;
        if (stride == 1)
            memcpy(at, found, (to - full) * sizeof *at);
        for (size_t i = 0; stride != 1 && i < to - full; i++)
            at[(ptrdiff_t)i * stride] = found[i];
    }
    if (nan || from < full)
        NAME(erase_poor)(s, from, nan ? to : least(to, full), out, stride);
}

/* ---- what needs ranks -------------------------------------------------- */

/* The results from..to-1 of a block whose window before `from` is no longer than needed. */
static void NAME(slide_block)(struct rolling_orders *s, const T *block, size_t from, size_t to,
                              T *out, ptrdiff_t stride)
{
    double piece[PIECE];
    size_t valid = NAME(order_rank)(block, to, s->rank, s->by_rank, s->work);
    struct order_slide slide = slide_from(s, from, to, valid);
    bool whole = valid == to && s->how.kind != ROLLING_MAD, begun = false;
    while (from < to) {
        size_t n = least(to - from, PIECE);
        if (whole && from >= s->how.window) {
            if (!begun)
                begin_full(&slide, from, to);
            begun = true;
            order_isa()->slide_full(&slide, from, from + n, piece);
        } else {
            n = whole ? least(n, s->how.window - from) : n;
            order_isa()->slide_any(&slide, from, from + n, piece);
        }
        for (size_t i = 0; i < n; i++)
            out[(ptrdiff_t)i * stride] = (T)piece[i];
        out += (ptrdiff_t)n * stride;
        from += n;
    }
}

static void NAME(slide)(struct rolling_orders *s, size_t from, size_t to, T *out, ptrdiff_t stride)
{
    while (from < to) {
        size_t before = least(from, s->how.window - 1), n = least(to - from, s->room - before);
        const T *block = (const T *)s->block + (from - before);
        NAME(slide_block)(s, block, before, before + n, out, stride);
        out += (ptrdiff_t)n * stride;
        from += n;
    }
}

/* ---- tiles ------------------------------------------------------------- */

/* The least results that go into tiles, 0 when none do: six tenths of the window; fewer take as
 * long by ranks. */
static size_t NAME(tiles_least)(const struct rolling_orders *s)
{
    size_t results = 2 * ISA(lanes);
    if (!s->vectors)
        return 0;
    while (results * 10 < s->how.window * 6)
        results *= 2;
    return results;
}

/* Results of n windows, tiles_least at the least, that begin at x[0], x[1], ...  What is left of
 * them goes into smaller groups, with some of those before it once more. */
static void NAME(tile)(struct rolling_orders *s, const T *x, size_t n, T *out, ptrdiff_t stride)
{
    const size_t lanes = ISA(lanes), few = NAME(tiles_least)(s) / lanes;
    T *work = s->work;
    for (size_t done = 0; done < n;) {
        size_t group = s->tiles.group, rest = (n - done + lanes - 1) / lanes;
        while (group / 2 >= few && (group / 2 >= rest || lanes * group > n))
            group /= 2;
        size_t span = least((rest + group - 1) / group * group, s->tiles.span);
        while (lanes * span > n)
            span -= group;
        size_t at = least(done, n - lanes * span);
        T *to = out + (ptrdiff_t)at * stride;
        ISA(tiles)(&s->tiles, x + at, group, span, stride == 1 ? to : work);
        for (size_t i = 0; stride != 1 && i < lanes * span; i++)
            to[(ptrdiff_t)i * stride] = work[i];
        done = at + lanes * span;
    }
}

/* Of the results from `from` on, where the next `few` or more begin whose windows are full and
 * without NaN, up to *to; *to when there are none.  Looks backwards, so that it skips most values
 * where NaN are many. */
static size_t NAME(next_whole)(const struct rolling_orders *s, size_t from, size_t few, size_t *to)
{
    const T *block = s->block;
    const size_t before = s->how.window - 1, want = before + few;
    size_t first = from - least(from, before), at;
    if (!ISA(any_nan)(block + first, *to - first))
        return *to - first < want ? *to : first + before;
    for (;; first = at) {
        if (*to - first < want)
            return *to;
        for (at = first + want; at > first && block[at - 1] == block[at - 1]; at--)
            ;
        if (at == first)
            break;
    }
    for (at = first + want; at < *to && block[at] == block[at]; at++)
        ;
    *to = at;
    return first + before;
}

static void NAME(ranked)(struct rolling_orders *s, size_t from, size_t to, T *out, ptrdiff_t stride)
{
    const size_t few = NAME(tiles_least)(s);
    const T *block = s->block;
    if (!few)
        NAME(slide)(s, from, to, out, stride);
    for (size_t done = from; few && done < to;) {
        size_t end = to, whole = NAME(next_whole)(s, done, few, &end);
        NAME(slide)(s, done, whole, out + (ptrdiff_t)(done - from) * stride, stride);
        if (whole < end)
            NAME(tile)
        (s, block + (whole - (s->how.window - 1)), end - whole,
         out + (ptrdiff_t)(whole - from) * stride, stride);
        done = end;
    }
}

/* ---- push -------------------------------------------------------------- */

void NAME(rolling_order_push)(struct rolling_orders *s, const T *x, ptrdiff_t stride, size_t n,
                              T *out, ptrdiff_t out_stride)
{
    if (n < FEW) {
        for (size_t i = 0; i < n; i++)
            out[(ptrdiff_t)i * out_stride] = (T)push_one(s, (double)x[(ptrdiff_t)i * stride]);
        return;
    }
    T *block = s->block;
    const size_t room =
        NAME(tiles_least)(s) ? ISA(lanes) * s->tiles.span + s->how.window - 1 : s->room;
    size_t before = NAME(recall_all)(s), total = 0;
    for (size_t done = 0; done < n;) {
        size_t more = least(n - done, room - before);
        const T *from = x + (ptrdiff_t)done * stride;
        if (stride == 1)
            memcpy(block + before, from, more * sizeof *block);
        for (size_t i = 0; stride != 1 && i < more; i++)
            block[before + i] = from[(ptrdiff_t)i * stride];
        total = before + more;
        (is_extreme(&s->how) ? NAME(extremes) : NAME(ranked))(
            s, before, total, out + (ptrdiff_t)done * out_stride, out_stride);
        done += more;
        if (done == n)
            NAME(remember_all)(s, total);
        before = least(s->how.window - 1, total);
        memmove(block, block + total - before, before * sizeof *block);
    }
}

#undef T
#undef NAME
#undef ISA
