/* elastic_bulk.c -- _bulks, from callers or from the spool.
 *
 * From callers: what is not taken for now (the whole, or single documents)
 * goes to the spool, and its caller is answered for once it is there.  When
 * several callers' documents are refused as a whole (a proxy bounds requests,
 * one document spoils them), each caller's are sent again alone. */
#include "base/json_pick.h"
#include "base/mem.h"
#include "observe/log.h"
#include "search/elastic.h"

struct bulk *bulk_create(struct elastic *e)
{
    struct bulk *b = mem_zero(1, sizeof *b);
    b->e = e;
    list_init(&b->writes);
    b->ops = mem_zero(ELASTIC_BULK_OPS + SEARCH_DOCS, sizeof *b->ops);
    return b;
}

void bulk_free(struct bulk *b)
{
    buf_free(&b->body);
    mem_free(b->ops);
    mem_free(b);
}

struct str bulk_op(const struct bulk *b, int i)
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
    outcome_describe(o, bulk_op(b, i), &err);
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
    b->ops[i].lost = outcome_is_lost(o) && forget_index(b->e, bulk_op(b, i));
    if (outcome_is_for_later(o) || b->ops[i].lost)
        keep_op(b, i);
    else
        refuse(b, i, o);
}

bool bulk_settle(struct bulk *b, struct str body)
{
    struct json_pick p;
    struct str item;
    int i = 0;
    b->kept = 0;
    if (!json_pick_open(&p, json_pick_get(body, "items"), '['))
        return false;
    while (i < b->sent && json_pick_item(&p, &item)) {
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
            buf_add_str(&rest, bulk_op(b, i));
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

/* Nobody's documents are refused because of others'. */
static void part_writes(struct bulk *b)
{
    while (!list_empty(&b->writes)) {
        struct write *w = list_entry(b->writes.prev, struct write, link);
        list_remove(&w->link);
        w->alone = true;
        list_push_front(&b->e->writes, &w->link);
    }
    bulk_free(b);
}

static void on_bulk(void *arg, const struct elastic_reply *reply)
{
    struct bulk *b = arg;
    struct elastic *e = b->e;
    bool away = elastic_is_away(reply), ok = reply->err.code == ERR_NONE;
    if (ok)
        metric_add(e->sent, 1);
    if (b->replays) {
        elastic_replayed(b, reply);
    } else {
        e->flying--;
        if (ok)
            bulk_settle(b, reply->body);
        if (!ok && !away && b->writes.next != b->writes.prev)
            part_writes(b);
        else
            end_writes(b, ok || away ? NULL : &reply->err);
    }
    elastic_pump(e);
}

void bulk_send(struct bulk *b)
{
    b->sent = b->most && b->most < b->count ? b->most : b->count;
    elastic_ask(b->e, "POST", b->visible ? "/_bulk?refresh=wait_for" : "/_bulk",
                str_n(b->body.p, b->ops[b->sent - 1].end), on_bulk, b);
}

/* ---- what is next ------------------------------------------------------ */

static bool is_ready(const struct write *w)
{
    return __atomic_load_n(&w->call->parsed->index->state, __ATOMIC_ACQUIRE) == INDEX_READY;
}

/* As many writes as fit, and the first in any case; who waits to see them waits with others. */
static bool fits(const struct bulk *b, const struct write *w)
{
    if (w->kind != WRITE_OPS || !is_ready(w))
        return false;
    return list_empty(&b->writes) ||
           (!w->alone && b->count + w->count <= ELASTIC_BULK_OPS &&
            b->body.n + w->ops.n <= ELASTIC_BULK_BYTES && b->visible == w->call->parsed->visible);
}

static void take_write(struct bulk *b, struct write *w)
{
    size_t begin = b->body.n;
    list_remove(&w->link);
    list_push_back(&b->writes, &w->link);
    buf_add_str(&b->body, buf_str(&w->ops));
    for (int i = 0; i < w->count; i++)
        b->ops[b->count++] = (struct op){
            .start = begin + (i ? w->ends[i - 1] : 0), .end = begin + w->ends[i], .write = w};
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
        if (w->alone)
            break;
    }
    if (b->count == 0) { /* they had nothing in them */
        end_writes(b, NULL);
        return;
    }
    e->flying++;
    bulk_send(b);
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

void elastic_pump(struct elastic *e)
{
    if (e->closing)
        return;
    if (spool_is_empty(e->spool))
        pump_writes(e);
    else
        elastic_pump_spool(e);
}

void elastic_close_bulks(struct elastic *e)
{
    elastic_put_by(e, &e->writes);
    timer_stop(e->lane, &e->again);
    if (e->replay)
        bulk_free(e->replay);
    e->replay = NULL;
}
