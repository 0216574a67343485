/* elastic_bulk.c -- _bulks, from callers or from the spool.
 *
 * From callers: what is not taken for now (the whole, or single documents)
 * goes to the spool, and its caller is answered for once it is there.  From
 * the spool: what is not taken is sent again, only that, after a pause that
 * doubles; what is refused for good is logged and passed over, because its
 * caller is gone. */
#include "base/clock.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/log.h"
#include "search/elastic.h"

static const int64_t backoff_first_ns = 200 * NS_PER_MS;
static const int64_t backoff_most_ns = 10 * NS_PER_SECOND;

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

/* ---- the spool --------------------------------------------------------- */

static void on_again(struct timer *timer)
{
    elastic_pump(list_entry(timer, struct elastic, again));
}

static void pause_for(struct elastic *e)
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
static void put_by(struct elastic *e, struct list *writes)
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

/* ---- answers to _bulk -------------------------------------------------- */

/* What became of one document: {"index":{"status":201,…}} */
struct outcome {
    int status;
    bool deleted;
    struct str error;
};

static struct outcome outcome_of(struct str item)
{
    struct json_pick p;
    struct str key, value;
    struct outcome o = {0};
    double status = 0;
    if (!json_pick_open(&p, item, '{') || !json_pick_pair(&p, &key, &value))
        return o;
    json_pick_number(json_pick_get(value, "status"), &status);
    o.status = (int)status;
    o.deleted = str_eq_c(key, "delete");
    o.error = json_pick_get(value, "error");
    return o;
}

static bool is_type(const struct outcome *o, const char *type)
{
    struct buf text = {0};
    bool is =
        json_pick_text(json_pick_get(o->error, "type"), &text) && str_eq_c(buf_str(&text), type);
    buf_free(&text);
    return is;
}

/* 409: a newer one is there, or it is a line of the log that came before. */
static bool is_taken(const struct outcome *o)
{
    return (o->status >= 200 && o->status < 300) || o->status == 409 ||
           (o->deleted && o->status == 404 && !is_type(o, "index_not_found_exception"));
}

static bool is_lost_index(const struct outcome *o)
{
    return o->status == 404 && is_type(o, "index_not_found_exception");
}

static bool is_for_later(const struct outcome *o)
{
    return o->status == 429 || o->status >= 500 || o->status == 0;
}

static void describe(struct err *err, const struct outcome *o, struct str op)
{
    struct buf type = {0}, reason = {0}, id = {0};
    struct str line = str_n(op.p, str_find(op, '\n'));
    static const char *const actions[] = {"index", "create", "delete"};
    for (int i = 0; i < 3 && id.n == 0; i++)
        json_pick_text(json_pick_get(json_pick_get(line, actions[i]), "_id"), &id);
    json_pick_text(json_pick_get(o->error, "type"), &type);
    json_pick_text(json_pick_get(o->error, "reason"), &reason);
    err_set(err, ERR_INVALID, "document \"%.80s\": %s: %s", id.n ? id.p : "",
            type.n ? type.p : "refused", reason.n ? reason.p : "");
    buf_free(&type);
    buf_free(&reason);
    buf_free(&id);
}

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
    describe(&err, o, op_bytes(b, i));
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
    if (is_taken(o)) {
        if (w)
            w->changed += !(o->deleted && o->status == 404);
        return;
    }
    if (is_for_later(o) || (is_lost_index(o) && forget_index(b->e, op_bytes(b, i))))
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
    put_by(b->e, &b->writes);
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
        pause_for(e);
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

static void on_filtered(void *arg, const struct elastic_reply *reply)
{
    struct write *w = arg;
    struct elastic *e = w->e;
    double deleted = 0;
    if (reply->err.code == ERR_NONE)
        json_pick_number(json_pick_get(reply->body, "deleted"), &deleted);
    e->flying--;
    w->changed = (int64_t)deleted;
    elastic_answer(w, &reply->err);
    elastic_pump(e);
}

static void on_refreshed(void *arg, const struct elastic_reply *reply)
{
    struct write *w = arg;
    struct elastic *e = w->e;
    struct buf body = {0}, name = {0};
    struct json json = json_to(&body);
    if (reply->err.code != ERR_NONE) {
        on_filtered(w, reply);
        return;
    }
    elastic_name(e, w->call->parsed->index, &name);
    char *path = mem_printf("/%s/_delete_by_query?conflicts=proceed&refresh=true", name.p);
    json_open(&json, '{');
    json_key(&json, "query");
    elastic_query(&json, w->call->parsed);
    json_close(&json, '}');
    elastic_ask(e, "POST", path, buf_str(&body), on_filtered, w);
    mem_free(path);
    buf_free(&body);
    buf_free(&name);
}

/* What was put in before is to be found by the filter. */
static void remove_by_filter(struct elastic *e, struct write *w)
{
    struct buf name = {0};
    list_remove(&w->link);
    elastic_name(e, w->call->parsed->index, &name);
    char *path = mem_printf("/%s/_refresh", name.p);
    e->flying++;
    elastic_ask(e, "POST", path, STR(""), on_refreshed, w);
    mem_free(path);
    buf_free(&name);
}

static void on_ensured(void *arg, const struct elastic_reply *reply)
{
    struct elastic *e = arg;
    e->busy = false;
    if (elastic_is_away(reply)) {
        put_by(e, &e->writes);
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
            remove_by_filter(e, first);
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
        pause_for(e);
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
    put_by(e, &e->writes);
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
    put_by(e, &e->writes);
    timer_stop(e->lane, &e->again);
    if (e->replay)
        bulk_free(e->replay);
    e->replay = NULL;
}
