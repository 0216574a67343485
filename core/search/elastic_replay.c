/* elastic_replay.c -- what waits on disk goes out.  Lane.
 *
 * What is not taken is sent again, only that, after a pause that doubles; what
 * is refused for good is logged and passed over, because its caller is gone.
 * Documents of an index that cannot be made go to the end of the spool, so that
 * what is behind them does not wait for it.  A request that is refused as a whole is made again in
 * smaller ones, until only the document is left that is guilty. */
#include "base/mem.h"
#include "observe/log.h"
#include "search/elastic.h"

/* Those that are left are all of the body. */
static void pack(struct bulk *b)
{
    struct buf rest = {0};
    for (int i = 0; i < b->count; i++) {
        size_t start = rest.n;
        buf_add_str(&rest, bulk_op(b, i));
        b->ops[i] = (struct op){.start = start, .end = rest.n};
    }
    buf_free(&b->body);
    b->body = rest;
}

/* left: how many of what was sent are to be sent again, after a pause. */
static void end_replay(struct bulk *b, int left)
{
    struct elastic *e = b->e;
    if (left > 0)
        elastic_pause(e);
    if (b->count > 0) {
        pack(b);
        return;
    }
    e->replay = NULL;
    if (left == 0)
        e->backoff_ns = 0;
    spool_advance(e->spool);
    metric_set(e->spooled, (double)spool_records(e->spool));
    if (spool_is_empty(e->spool))
        log_info("search", "all that waited for elasticsearch is there");
    bulk_free(b);
}

/* The request is of no use a second time as it is: fewer at once, or the only one is given up. */
static void divide(struct bulk *b, const struct err *err)
{
    if (b->sent > 1) {
        b->most = b->sent / 2;
        return;
    }
    metric_add(b->e->refused, 1);
    log_error("search", "%s -- a document of the spool is given up", err->message);
    b->count--;
    memmove(b->ops, b->ops + 1, (size_t)b->count * sizeof *b->ops);
}

/* What belongs to an index that is not there is written again behind all others; where there is no
 * room it stays. */
static void put_lost_behind(struct bulk *b)
{
    struct str *records = mem_zero((size_t)b->count + 1, sizeof *records);
    int lost = 0, kept = 0;
    struct err err;
    for (int i = 0; i < b->count; i++)
        if (b->ops[i].lost)
            records[lost++] = bulk_op(b, i);
    if (lost && spool_append(b->e->spool, records, lost, &err)) {
        for (int i = 0; i < b->count; i++)
            if (!b->ops[i].lost)
                b->ops[kept++] = b->ops[i];
        b->count = kept;
    }
    mem_free(records);
}

void elastic_replayed(struct bulk *b, const struct elastic_reply *reply)
{
    bool ok = reply->err.code == ERR_NONE;
    int behind = b->count - b->sent, left = b->sent;
    b->e->replaying = false;
    if (ok && bulk_settle(b, reply->body)) {
        left = b->count - behind;
        b->most *= 2;
        put_lost_behind(b);
    } else if (reply->status == 400 || reply->status == 413) {
        divide(b, &reply->err);
        left = 0;
    }
    end_replay(b, left);
}

static void replay(struct elastic *e)
{
    struct bulk *b = e->replay ? e->replay : bulk_create(e);
    size_t *ends = e->replay ? NULL : mem_zero(ELASTIC_BULK_OPS, sizeof *ends);
    if (!e->replay) {
        b->replays = true;
        b->count = spool_read(e->spool, ELASTIC_BULK_BYTES, ELASTIC_BULK_OPS, &b->body, ends);
    }
    for (int i = 0; ends && i < b->count; i++)
        b->ops[i] = (struct op){.start = i ? ends[i - 1] : 0, .end = ends[i]};
    mem_free(ends);
    if (b->count == 0) {
        bulk_free(b);
        if (!spool_is_empty(e->spool))
            elastic_pause(e);
        return;
    }
    e->replay = b;
    e->replaying = true;
    bulk_send(b);
}

/* A declared index that nobody asked for since the start: the spool may have documents for it. */
static struct search_index *find_unseen(struct elastic *e)
{
    size_t at = 0;
    struct str key;
    void *value;
    struct search_index *found = NULL;
    pthread_mutex_lock(&e->search.lock);
    while (!found && map_next(e->search.declared, &at, &key, &value)) {
        struct search_index *index = value;
        if (__atomic_load_n(&index->state, __ATOMIC_ACQUIRE) == INDEX_UNSEEN)
            found = index;
    }
    if (found)
        __atomic_add_fetch(&found->refs, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&e->search.lock);
    return found;
}

struct seeing {
    struct elastic *e;
    struct search_index *index;
};

static void on_seen(void *arg, const struct elastic_reply *reply)
{
    struct seeing *seeing = arg;
    struct elastic *e = seeing->e;
    e->busy = false;
    if (elastic_is_away(reply)) {
        elastic_pause(e);
    } else if (reply->err.code != ERR_NONE) {
        log_error("search", "%s", reply->err.message);
        __atomic_store_n(&seeing->index->state, INDEX_REFUSED, __ATOMIC_RELEASE);
    }
    index_unref(seeing->index);
    mem_free(seeing);
    elastic_pump(e);
}

void elastic_pump_spool(struct elastic *e)
{
    elastic_put_by(e, &e->writes);
    if (!e->begun || e->busy || e->replaying || e->again.node.slot)
        return;
    struct search_index *unseen = find_unseen(e);
    if (!unseen) {
        replay(e);
        return;
    }
    struct seeing *seeing = mem_zero(1, sizeof *seeing);
    *seeing = (struct seeing){e, unseen};
    e->busy = true;
    elastic_ensure(e, unseen, on_seen, seeing);
}
