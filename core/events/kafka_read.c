/* kafka_read.c -- a read of a topic: what is there between two offsets of each partition. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "events/kafka.h"

struct part {
    int64_t from, high; /* next to be read; end as it was at the beginning of the look */
};
struct found {
    int64_t at, offset;
    int partition;
    size_t begin, end;
};
struct reading {
    struct event_query *query;
    char name[KAFKA_TOPIC_BYTES];
    struct part *parts;
    int count;
    struct buf text;
    struct found *found;
    int found_count;
};

/* "0:12,1:5": the next offset of each partition. */
static bool read_cursor(struct reading *r, struct err *err)
{
    struct str rest = r->query->cursor;
    while (rest.n) {
        struct str item = str_split(&rest, ',');
        struct str partition = str_split(&item, ':');
        long long p, offset;
        if (!str_int64(partition, &p) || !str_int64(item, &offset) || p < 0 || offset < 0)
            return err_set(err, ERR_INVALID, "events: '%.*s' is no cursor of a read",
                           (int)(r->query->cursor.n < 40 ? r->query->cursor.n : 40),
                           r->query->cursor.p);
        if (p < r->count)
            r->parts[p].from = offset;
    }
    return true;
}

/* Of one partition only when one is asked for: of the others nothing is read. */
static bool find_ends(struct reading *r, rd_kafka_t *rk, struct err *err)
{
    int only = r->query->partition;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(r->count);
    struct kafka_ends *ends = mem_zero((size_t)r->count, sizeof *ends);
    for (int i = 0; i < r->count; i++)
        if (only < 0 || only == i)
            rd_kafka_topic_partition_list_add(list, r->name, i);
        else
            r->parts[i] = (struct part){0};
    bool ok = kafka_ends(rk, list, ends, err);
    for (int i = 0; ok && i < list->cnt; i++) {
        struct part *p = &r->parts[list->elems[i].partition];
        p->high = ends[i].high;
        if (p->from < ends[i].low)
            p->from = ends[i].low;
        if (p->from > p->high && only < 0 && !r->query->cursor.n)
            p->from = p->high;
    }
    mem_free(ends);
    rd_kafka_topic_partition_list_destroy(list);
    return ok;
}

static bool begin_read(struct reading *r, struct kafka *k, struct err *err)
{
    if (!kafka_topic(k, r->query->topic, r->name))
        return err_set(err, ERR_INVALID, "events: the topic's name is too long");
    r->count = kafka_partitions(k->browser, r->name, err);
    if (r->count < 0)
        return false;
    if (r->count == 0 || r->query->partition >= r->count)
        return err_set(err, ERR_NOT_FOUND, "events: there is no %s '%.*s'",
                       r->count ? "such partition of topic" : "topic", (int)r->query->topic.n,
                       r->query->topic.p);
    if (r->count > KAFKA_PARTITIONS)
        r->count = KAFKA_PARTITIONS;
    r->parts = mem_zero((size_t)r->count, sizeof *r->parts);
    for (int i = 0; i < r->count; i++)
        r->parts[i].from = r->query->cursor.n ? 0 : r->query->after + 1;
    return read_cursor(r, err) && find_ends(r, k->browser, err);
}

static bool is_through(const struct reading *r)
{
    for (int i = 0; i < r->count; i++)
        if (r->parts[i].from < r->parts[i].high)
            return false;
    return true;
}

static void take(struct reading *r, const rd_kafka_message_t *m)
{
    struct part *p = &r->parts[m->partition];
    if (m->partition >= r->count || m->offset < p->from)
        return;
    struct found *f = &r->found[r->found_count++];
    rd_kafka_timestamp_type_t type;
    f->at = rd_kafka_message_timestamp(m, &type);
    f->partition = m->partition;
    f->offset = m->offset;
    f->begin = r->text.n;
    kafka_print(&r->text, r->query->topic, m);
    f->end = r->text.n;
    p->from = m->offset + 1;
}

static bool poll_all(struct reading *r, struct kafka *k, struct err *err)
{
    int64_t until = clock_steady_ns() + KAFKA_ASK_MS * NS_PER_MS;
    while (!is_through(r) && r->found_count < r->query->limit && r->text.n < EVENT_READ_BYTES) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(k->browser, KAFKA_POLL_MS);
        if (m && !m->err)
            take(r, m);
        else if (m && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && m->partition < r->count)
            r->parts[m->partition].high = m->offset;
        if (m)
            rd_kafka_message_destroy(m);
        if (clock_steady_ns() > until && r->found_count == 0)
            return err_set(err, ERR_TIMEOUT, "kafka: %s was not answered in time", r->name);
        if (clock_steady_ns() > until)
            return true;
    }
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->partition == y->partition)
        return (x->offset > y->offset) - (x->offset < y->offset);
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->partition - y->partition;
}

static void print_found(struct reading *r)
{
    qsort(r->found, (size_t)r->found_count, sizeof *r->found, by_time);
    for (int i = 0; i < r->found_count; i++) {
        if (i)
            buf_add_char(&r->query->out, ',');
        buf_add(&r->query->out, r->text.p + r->found[i].begin, r->found[i].end - r->found[i].begin);
    }
}

static bool print_cursor(struct reading *r, struct err *err)
{
    struct buf text = {0};
    for (int i = 0; i < r->count; i++)
        if (r->query->partition < 0 || r->query->partition == i)
            buf_printf(&text, "%s%d:%" PRId64, text.n ? "," : "", i, r->parts[i].from);
    bool fits = text.n < sizeof r->query->next;
    if (fits)
        snprintf(r->query->next, sizeof r->query->next, "%s", text.p ? text.p : "");
    buf_free(&text);
    return fits ||
           err_set(err, ERR_LIMIT,
                   "events: %d partitions are too many for one read: name a partition", r->count);
}

static bool read_topic(struct reading *r, struct kafka *k, struct err *err)
{
    if (!begin_read(r, k, err))
        return false;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(r->count);
    for (int i = 0; i < r->count; i++)
        if (r->parts[i].from < r->parts[i].high)
            rd_kafka_topic_partition_list_add(list, r->name, i)->offset = r->parts[i].from;
    r->found = mem_zero((size_t)r->query->limit, sizeof *r->found);
    rd_kafka_resp_err_t code = rd_kafka_assign(k->browser, list);
    rd_kafka_topic_partition_list_destroy(list);
    bool ok = !code ? poll_all(r, k, err) : kafka_err(err, code, r->name);
    rd_kafka_assign(k->browser, NULL);
    if (ok)
        print_found(r);
    return ok && print_cursor(r, err);
}

void kafka_answer_query(struct kafka *k, struct event_query *query)
{
    struct reading r = {.query = query};
    read_topic(&r, k, &query->err);
    buf_free(&r.text);
    mem_free(r.parts);
    mem_free(r.found);
    event_query_answer(query);
}
