/* kafka_browse.c -- an operator's look at a topic of Kafka, window by window.
 *
 * Each turn reads the next few messages of every partition, in the direction that is asked for, and
 * shows the first of them by time.  What did not fit is read again with the next page: the cursor
 * says of each partition how far all of it has been shown. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "events/kafka.h"

enum { WINDOW_ALL = 2000, WINDOW_LEAST = 20 };

struct part {
    int64_t low, high; /* of the partition, then of what is wanted */
    int64_t end;       /* of the partition */
    int64_t at;        /* newest: all below is unseen; else all from it on */
    int64_t from, to;  /* this turn's window */
    bool through;      /* it was read */
};

struct hit {
    int64_t at, offset;
    int partition;
    size_t begin, end; /* in text */
};

struct browsing {
    struct event_browse *q;
    struct kafka *k;
    char name[KAFKA_TOPIC_BYTES];
    struct part *parts;
    int count, window, shown;
    int64_t until; /* steady */
    struct buf text;
    struct hit *hits;
    int hit_count;
};

/* -- where to begin ------------------------------------------------------------------------------
 */

static bool is_asked(const struct browsing *b, int partition)
{
    return b->q->partition < 0 || b->q->partition == partition;
}

static bool find_ends(struct browsing *b, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(b->count);
    struct kafka_ends *ends = mem_zero((size_t)b->count, sizeof *ends);
    for (int i = 0; i < b->count; i++)
        if (is_asked(b, i))
            rd_kafka_topic_partition_list_add(list, b->name, i);
    bool ok = kafka_ends(b->k->peek, list, ends, err);
    for (int i = 0; ok && i < list->cnt; i++) {
        struct part *p = &b->parts[list->elems[i].partition];
        p->low = ends[i].low;
        p->end = p->high = ends[i].high;
    }
    mem_free(ends);
    rd_kafka_topic_partition_list_destroy(list);
    return ok;
}

/* Moves one bound to where that time begins.  A broker that does not know says so: then all of the
 * partition is looked at, and the times of the messages decide. */
static bool narrow(struct browsing *b, int64_t wall_ns, bool is_low, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(b->count);
    for (int i = 0; i < b->count; i++)
        if (is_asked(b, i))
            rd_kafka_topic_partition_list_add(list, b->name, i)->offset = wall_ns / NS_PER_MS;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(b->k->peek, list, KAFKA_ASK_MS);
    for (int i = 0; !code && i < list->cnt; i++) {
        struct part *p = &b->parts[list->elems[i].partition];
        int64_t offset = list->elems[i].offset;
        if (list->elems[i].err || offset < p->low || offset > p->high)
            continue;
        if (is_low)
            p->low = offset;
        else
            p->high = offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return !code || kafka_err(err, code, b->name);
}

static int64_t within(int64_t n, const struct part *p)
{
    return n < p->low ? p->low : n > p->high ? p->high : n;
}

/* "0:12,1:5" */
static bool read_cursor(struct browsing *b, struct err *err)
{
    struct str rest = b->q->cursor;
    while (rest.n) {
        struct str item = str_split(&rest, ',');
        struct str partition = str_split(&item, ':');
        long long p, offset;
        if (!str_int64(partition, &p) || !str_int64(item, &offset) || p < 0 || offset < 0)
            return err_set(err, ERR_INVALID, "events: '%.*s' is no cursor of a page",
                           (int)(b->q->cursor.n < 40 ? b->q->cursor.n : 40), b->q->cursor.p);
        if (p < b->count)
            b->parts[p].at = within(offset, &b->parts[p]);
    }
    return true;
}

static bool place(struct browsing *b, struct err *err)
{
    const struct event_browse *q = b->q;
    if (q->since && !narrow(b, q->since, true, err))
        return false;
    if (q->until && !narrow(b, q->until, false, err))
        return false;
    for (int i = 0; i < b->count; i++) {
        struct part *p = &b->parts[i];
        p->at = q->newest ? p->high : p->low;
        if (!q->cursor.n && q->offset >= 0)
            p->at = within(q->newest ? q->offset + 1 : q->offset, p);
    }
    return read_cursor(b, err);
}

static bool begin(struct browsing *b, struct err *err)
{
    const struct event_browse *q = b->q;
    if (!kafka_topic(b->k, q->topic, b->name))
        return err_set(err, ERR_INVALID, "events: the topic's name is too long");
    b->count = kafka_partitions(b->k->peek, b->name, err);
    if (b->count < 0)
        return false;
    if (b->count == 0 || q->partition >= b->count)
        return err_set(err, ERR_NOT_FOUND, "events: there is no %s '%.*s'",
                       b->count ? "such partition of topic" : "topic", (int)q->topic.n, q->topic.p);
    if (b->count > KAFKA_PARTITIONS)
        b->count = KAFKA_PARTITIONS;
    b->parts = mem_zero((size_t)b->count, sizeof *b->parts);
    int share = WINDOW_ALL / (q->partition < 0 ? b->count : 1);
    bool looks = q->text.n || q->key.n || q->since || q->until;
    b->window = !looks && q->limit < share ? q->limit : share < WINDOW_LEAST ? WINDOW_LEAST : share;
    return find_ends(b, err) && place(b, err);
}

/* -- a turn --------------------------------------------------------------------------------------
 */

/* False when nothing is left of any partition. */
static bool open_windows(struct browsing *b, rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < b->count; i++) {
        struct part *p = &b->parts[i];
        bool newest = b->q->newest;
        p->from = newest ? p->at - b->window : p->at;
        p->to = newest ? p->at : p->at + b->window;
        p->from = p->from < p->low ? p->low : p->from;
        p->to = p->to > p->high ? p->high : p->to;
        p->through = p->from >= p->to;
        if (!p->through)
            rd_kafka_topic_partition_list_add(list, b->name, i)->offset = p->from;
    }
    return list->cnt > 0;
}

static bool is_through(const struct browsing *b)
{
    for (int i = 0; i < b->count; i++)
        if (!b->parts[i].through)
            return false;
    return true;
}

static void add_hit(struct browsing *b, const rd_kafka_message_t *m)
{
    struct buf headers = {0}, data = {0};
    struct event event = kafka_event(m, &headers, &data);
    if (event_is_wanted(b->q, &event)) {
        if (b->hit_count % 64 == 0)
            b->hits = mem_realloc(b->hits, (size_t)(b->hit_count + 64) * sizeof *b->hits);
        struct hit *hit = &b->hits[b->hit_count++];
        *hit = (struct hit){.at = event.at_wall,
                            .offset = event.offset,
                            .partition = event.partition,
                            .begin = b->text.n};
        event_print(&b->text, b->q->topic, &event);
        hit->end = b->text.n;
    }
    buf_free(&headers);
    buf_free(&data);
}

static void take(struct browsing *b, const rd_kafka_message_t *m)
{
    if (m->partition >= b->count)
        return;
    struct part *p = &b->parts[m->partition];
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF || m->offset >= p->to)
        p->through = true;
    if (m->err || p->through || m->offset < p->from)
        return;
    b->q->looked++;
    add_hit(b, m);
    p->through = m->offset + 1 >= p->to;
}

static bool read_windows(struct browsing *b, rd_kafka_topic_partition_list_t *list, struct err *err)
{
    rd_kafka_t *rk = b->k->peek;
    rd_kafka_resp_err_t code = rd_kafka_assign(rk, list);
    int64_t until = clock_steady_ns() + KAFKA_ASK_MS * NS_PER_MS;
    bool ok = !code || kafka_err(err, code, b->name);
    while (ok && !is_through(b)) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, KAFKA_POLL_MS);
        if (m)
            take(b, m);
        if (m)
            rd_kafka_message_destroy(m);
        if (clock_steady_ns() > until || atomic_load(&b->k->stopping))
            ok = err_set(err, ERR_TIMEOUT, "kafka: %s was not answered in time", b->name);
    }
    rd_kafka_assign(rk, NULL);
    return ok;
}

static int by_time(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    if (x->partition == y->partition)
        return (x->offset > y->offset) - (x->offset < y->offset);
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->partition - y->partition;
}

static bool is_full(const struct browsing *b)
{
    return b->shown == b->q->limit || (b->shown && b->q->out.n >= EVENT_BROWSE_BYTES);
}

/* Shows the first of the hits; where some of a partition's are left, it has been seen to there
 * only. */
static void show(struct browsing *b)
{
    struct event_browse *q = b->q;
    if (b->hit_count)
        qsort(b->hits, (size_t)b->hit_count, sizeof *b->hits, by_time);
    for (int i = 0; i < b->count; i++)
        if (b->parts[i].from < b->parts[i].to)
            b->parts[i].at = q->newest ? b->parts[i].from : b->parts[i].to;
    int i = 0;
    for (; i < b->hit_count && !is_full(b); i++) {
        const struct hit *hit = &b->hits[q->newest ? b->hit_count - 1 - i : i];
        if (b->shown++)
            buf_add_char(&q->out, ',');
        buf_add(&q->out, b->text.p + hit->begin, hit->end - hit->begin);
    }
    for (int left = b->hit_count - 1; left >= i; left--) { /* the nearest one comes last */
        const struct hit *hit = &b->hits[q->newest ? b->hit_count - 1 - left : left];
        b->parts[hit->partition].at = q->newest ? hit->offset + 1 : hit->offset;
    }
    b->hit_count = 0;
    buf_clear(&b->text);
}

static bool walk(struct browsing *b, struct err *err)
{
    struct event_browse *q = b->q;
    bool ok = true, more = true;
    while (ok && more && !is_full(b) && q->looked < EVENT_BROWSE_LOOKS &&
           clock_steady_ns() < b->until) {
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(b->count);
        more = open_windows(b, list);
        ok = !more || read_windows(b, list, err);
        if (ok && more)
            show(b);
        rd_kafka_topic_partition_list_destroy(list);
    }
    q->end = ok && !more;
    return ok;
}

/* -- the answer ----------------------------------------------------------------------------------
 */

static bool print_cursors(struct browsing *b, struct err *err)
{
    struct event_browse *q = b->q;
    struct buf next = {0}, tail = {0};
    bool end = true;
    for (int i = 0; i < b->count; i++) {
        const struct part *p = &b->parts[i];
        if (!is_asked(b, i))
            continue;
        buf_printf(&next, "%s%d:%" PRId64, next.n ? "," : "", i, p->at);
        buf_printf(&tail, "%s%d:%" PRId64, tail.n ? "," : "", i, p->end);
        end = end && (q->newest ? p->at <= p->low : p->at >= p->high);
    }
    q->end = q->end || end;
    bool fits = next.n < sizeof q->next && tail.n < sizeof q->tail;
    if (fits) {
        snprintf(q->next, sizeof q->next, "%s", next.p ? next.p : "");
        snprintf(q->tail, sizeof q->tail, "%s", tail.p ? tail.p : "");
    }
    buf_free(&next);
    buf_free(&tail);
    return fits ||
           err_set(err, ERR_LIMIT,
                   "events: %d partitions are too many for one page: name a partition", b->count);
}

void kafka_answer_browse(struct kafka *k, struct event_browse *browse)
{
    struct browsing b = {
        .q = browse, .k = k, .until = clock_steady_ns() + EVENT_BROWSE_MS * NS_PER_MS};
    struct err *err = &browse->err;
    bool ok = begin(&b, err) && walk(&b, err) && print_cursors(&b, err);
    if (!ok)
        buf_clear(&browse->out);
    buf_free(&b.text);
    mem_free(b.parts);
    mem_free(b.hits);
    event_browse_answer(browse);
}
