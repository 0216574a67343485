/* elastic_bulk.c -- _bulks, from callers or from the spool.
 *
 * From callers: what is not taken for now (the whole, or single documents)
 * goes to the spool, and its caller is answered for once it is there.  From
 * the spool: what is not taken is sent again, only that, after a pause that
 * doubles; what is refused for good is logged and passed over, because its
 * caller is gone. */
#include "base/json_pick.h"
#include "base/mem.h"
#include "observe/log.h"
#include "search/elastic.h"

struct op {
    size_t start, end;   /* in body */
    struct write *write; /* whose; NULL from the spool */
};

struct bulk {
    struct elastic *e;
    struct list writes; /* answered together */
    struct buf body;
    struct op *ops;
    int count;
    int kept; /* of them, at the front: not taken */
    bool visible, replays;
};

static struct bulk *bulk_create(struct elastic *e)
{
    struct bulk *b = mem_zero(1, sizeof *b);
    b->e = e;
    list_init(&b->writes);
    b->ops = mem_zero(ELASTIC_BULK_OPS + SEARCH_DOCS, sizeof *b->ops);
    return b;
}

static void bulk_free(struct bulk *b)
{
    buf_free(&b->body);
    mem_free(b->ops);
    mem_free(b);
}

static struct str op_bytes(const struct bulk *b, int i)
{
    return str_n(b->body.p + b->ops[i].start, b->ops[i].end - b->ops[i].start);
}

/* ---- answers to _bulk -------------------------------------------------- */

/* The alias is gone: it is made anew before the next bulk.  False when nobody declares it. */
static bool forget_index(struct elastic *e, struct str op)
{
    struct buf name = {0}, own = {0};
    bool found = false;
    size_t at = 0;
    struct str key;
    void *value;
    struct str line = str_n(op.p, str_find(op, '\n'));
    if (!json_pick_text(json_pick_get(json_pick_get(line, "index"), "_index"), &name))
        json_pick_text(json_pick_get(json_pick_get(line, "delete"), "_index"), &name);
    pthread_mutex_lock(&e->search.lock);
    while (map_next(e->search.declared, &at, &key, &value)) {
        struct search_index *index = value;
        buf_clear(&own);
        elastic_name(e, index, &own);
        if (!str_eq(buf_str(&own), buf_str(&name)))
            continue;
        __atomic_store_n(&index->state, INDEX_UNSEEN, __ATOMIC_RELEASE);
        found = true;
    }
    pthread_mutex_unlock(&e->search.lock);
    buf_free(&name);
    buf_free(&own);
    return found;
}

static void refuse(struct bulk *b, int i, const struct outcome *o)
{
    struct write *w = b->ops[i].write;
    struct err err;
    outcome_describe(o, op_bytes(b, i), &err);
    metric_add(b->e->refused, 1);
    if (!w)
        log_error("search", "%s -- it is given up", err.message);
    else if (w->err.code == ERR_NONE)
        w->err = err;
}

/* Ops that are to be sent again move to the front. */
static void keep_op(struct bulk *b, int i)
{
    b->ops[b->kept++] = b->ops[i];
}

static void settle_op(struct bulk *b, int i, const struct outcome *o)
{
    struct write *w = b->ops[i].write;
    if (outcome_is_taken(o)) {
        if (w)
            w->changed += !(o->deleted && o->status == 404);
        return;
    }
    if (outcome_is_for_later(o) || (outcome_is_lost(o) && forget_index(b->e, op_bytes(b, i))))
        keep_op(b, i);
    else
        refuse(b, i, o);
}

static bool settle(struct bulk *b, struct str body)
{
    struct json_pick p;
    struct str item;
    int i = 0;
    b->kept = 0;
    if (!json_pick_open(&p, json_pick_get(body, "items"), '['))
        return false;
    while (i < b->count && json_pick_item(&p, &item)) {
        struct outcome o = outcome_of(item);
        settle_op(b, i++, &o);
    }
    for (; i < b->count; i++) /* nothing was said about these */
        keep_op(b, i);
    b->count = b->kept;
    return true;
}

/* Each write keeps only the ops that were not taken. */
static void leave_rest(struct bulk *b)
{
    list_each (node, &b->writes) {
        struct write *w = list_entry(node, struct write, link);
        struct buf rest = {0};
        int n = 0;
        for (int i = 0; i < b->count; i++) {
            if (b->ops[i].write != w)
                continue;
            buf_add_str(&rest, op_bytes(b, i));
            w->ends[n++] = rest.n;
        }
        buf_free(&w->ops);
        w->ops = rest;
        w->count = n;
    }
}

static void end_writes(struct bulk *b, const struct err *err)
{
    leave_rest(b);
    list_each_safe (node, &b->writes) {
        struct write *w = list_entry(node, struct write, link);
        if (!err && w->count > 0)
            continue;
        list_remove(&w->link);
        elastic_answer(w, err);
    }
    elastic_put_by(b->e, &b->writes);
    bulk_free(b);
}

static void end_replay(struct bulk *b)
{
    struct elastic *e = b->e;
    if (b->count > 0) { /* again, after the pause */
        struct buf rest = {0};
        for (int i = 0; i < b->count; i++) {
            size_t start = rest.n;
            buf_add_str(&rest, op_bytes(b, i));
            b->ops[i] = (struct op){start, rest.n, NULL};
        }
        buf_free(&b->body);
        b->body = rest;
        elastic_pause(e);
        return;
    }
    e->replay = NULL;
    e->backoff_ns = 0;
    spool_advance(e->spool);
    metric_set(e->spooled, (double)spool_records(e->spool));
    if (spool_is_empty(e->spool))
        log_info("search", "all that waited for elasticsearch is there");
    bulk_free(b);
}

static void on_bulk(void *arg, const struct elastic_reply *reply)
{
    struct bulk *b = arg;
    struct elastic *e = b->e;
    bool away = elastic_is_away(reply), ok = reply->err.code == ERR_NONE;
    if (ok && settle(b, reply->body))
        metric_add(e->sent, 1);
    if (b->replays) {
        e->replaying = false;
        if (!ok && !away) { /* the request itself is wrong: of no use a second time */
            log_error("search", "%s -- %d documents of the spool are given up", reply->err.message,
                      b->count);
            b->count = 0;
        }
        end_replay(b);
    } else {
        e->flying--;
        end_writes(b, ok || away ? NULL : &reply->err);
    }
    elastic_pump(e);
}

static void send_bulk(struct bulk *b)
{
    elastic_ask(b->e, "POST", b->visible ? "/_bulk?refresh=wait_for" : "/_bulk", buf_str(&b->body),
                on_bulk, b);
}

/* ---- what is next ------------------------------------------------------ */

static void replay(struct elastic *e)
{
    struct bulk *b = e->replay ? e->replay : bulk_create(e);
    size_t *ends = e->replay ? NULL : mem_zero(ELASTIC_BULK_OPS, sizeof *ends);
    if (!e->replay) {
        b->replays = true;
        b->count = spool_read(e->spool, ELASTIC_BULK_BYTES, ELASTIC_BULK_OPS, &b->body, ends);
    }
    for (int i = 0; ends && i < b->count; i++)
        b->ops[i] = (struct op){i ? ends[i - 1] : 0, ends[i], NULL};
    mem_free(ends);
    if (b->count == 0) {
        bulk_free(b);
        return;
    }
    e->replay = b;
    e->replaying = true;
    send_bulk(b);
}

static bool is_ready(const struct write *w)
{
    return __atomic_load_n(&w->call->parsed->index->state, __ATOMIC_ACQUIRE) == INDEX_READY;
}

/* As many writes as fit, and the first in any case; who waits to see them waits with others. */
static bool fits(const struct bulk *b, const struct write *w)
{
    if (w->kind != WRITE_OPS || !is_ready(w))
        return false;
    return b->count == 0 ||
           (b->count + w->count <= ELASTIC_BULK_OPS && b->body.n + w->ops.n <= ELASTIC_BULK_BYTES &&
            b->visible == w->call->parsed->visible);
}

static void take_write(struct bulk *b, struct write *w)
{
    size_t begin = b->body.n;
    list_remove(&w->link);
    list_push_back(&b->writes, &w->link);
    buf_add_str(&b->body, buf_str(&w->ops));
    for (int i = 0; i < w->count; i++)
        b->ops[b->count++] = (struct op){begin + (i ? w->ends[i - 1] : 0), begin + w->ends[i], w};
    b->visible = w->call->parsed->visible;
}

static void send_writes(struct elastic *e)
{
    struct bulk *b = bulk_create(e);
    while (!list_empty(&e->writes)) {
        struct write *w = list_entry(e->writes.next, struct write, link);
        if (!fits(b, w))
            break;
        take_write(b, w);
    }
    if (b->count == 0) { /* they had nothing in them */
        end_writes(b, NULL);
        return;
    }
    e->flying++;
    send_bulk(b);
}

static void on_ensured(void *arg, const struct elastic_reply *reply)
{
    struct elastic *e = arg;
    e->busy = false;
    if (elastic_is_away(reply)) {
        elastic_put_by(e, &e->writes);
    } else if (reply->err.code != ERR_NONE && !list_empty(&e->writes)) {
        struct write *w = list_entry(e->writes.next, struct write, link);
        list_remove(&w->link);
        elastic_answer(w, &reply->err);
    }
    elastic_pump(e);
}

static void pump_writes(struct elastic *e)
{
    while (!e->busy && !list_empty(&e->writes) && e->flying < ELASTIC_FLYING) {
        struct write *first = list_entry(e->writes.next, struct write, link);
        if (!is_ready(first)) {
            e->busy = true;
            elastic_ensure(e, first->call->parsed->index, on_ensured, e);
        } else if (first->kind == WRITE_FILTER) {
            elastic_remove(e, first);
        } else {
            send_writes(e);
        }
    }
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

static void pump_spool(struct elastic *e)
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

void elastic_pump(struct elastic *e)
{
    if (e->closing)
        return;
    if (spool_is_empty(e->spool))
        pump_writes(e);
    else
        pump_spool(e);
}

void elastic_close_bulks(struct elastic *e)
{
    elastic_put_by(e, &e->writes);
    timer_stop(e->lane, &e->again);
    if (e->replay)
        bulk_free(e->replay);
    e->replay = NULL;
}
