/* elastic_spool.c -- documents that wait on disk, and how long until they are tried again. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "search/elastic.h"

static const int64_t backoff_first_ns = 200 * NS_PER_MS;
static const int64_t backoff_most_ns = 10 * NS_PER_SECOND;

static void on_again(struct timer *timer)
{
    elastic_pump(list_entry(timer, struct elastic, again));
}

void elastic_pause(struct elastic *e)
{
    e->backoff_ns = e->backoff_ns ? e->backoff_ns * 2 : backoff_first_ns;
    if (e->backoff_ns > backoff_most_ns)
        e->backoff_ns = backoff_most_ns;
    e->again.fire = on_again;
    timer_start(e->lane, &e->again, (int64_t)((double)e->backoff_ns * (0.5 + rand_unit())));
}

/* The log takes at most half of it, so that it leaves room for what was answered for. */
static bool may_spool(const struct elastic *e, const struct write *w, struct err *err)
{
    if (!elastic_is_log(w->call->parsed->index) ||
        spool_bytes(e->spool) < e->search.options.spool_bytes / 2)
        return true;
    return err_set(err, ERR_FULL, "the log has its half of the spool");
}

/* Whether the write's documents go by the spool; else it is answered. */
static bool goes_by(struct elastic *e, struct write *w)
{
    struct err err;
    err_clear(&err);
    if (w->kind == WRITE_FILTER)
        err_set(&err, ERR_IO,
                "elasticsearch is away: documents can be removed by a filter once it is back and "
                "has what waits on disk");
    else if (w->count > 0 && may_spool(e, w, &err))
        return true;
    list_remove(&w->link);
    elastic_answer(w, &err);
    return false;
}

static int add_records(const struct write *w, struct str *records)
{
    for (int i = 0; i < w->count; i++) {
        size_t start = i ? w->ends[i - 1] : 0;
        records[i] = str_n(w->ops.p + start, w->ends[i] - start);
    }
    return w->count;
}

/* Puts the documents of all these by, with one sync, and answers for them. */
void elastic_put_by(struct elastic *e, struct list *writes)
{
    struct err err;
    int most = 0, count = 0;
    list_each_safe (node, writes) {
        struct write *w = list_entry(node, struct write, link);
        if (goes_by(e, w))
            most += w->count;
    }
    struct str *records = mem_zero((size_t)most + 1, sizeof *records);
    list_each (node, writes)
        count += add_records(list_entry(node, struct write, link), records + count);
    bool ok = count == 0 || spool_append(e->spool, records, count, &err);
    mem_free(records);
    metric_set(e->spooled, (double)spool_records(e->spool));
    while (!list_empty(writes)) {
        struct write *w = list_entry(writes->next, struct write, link);
        list_remove(&w->link);
        w->changed += w->count;
        elastic_answer(w, ok ? NULL : &err);
    }
}
