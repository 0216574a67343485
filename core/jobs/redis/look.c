/* redis/look.c -- looks and changes wait for the keeper, and are answered one by one. */
#include "jobs/redis/record.h"

#include "base/clock.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/celery/text.h"
#include "jobs/search.h"
#include "jobs/workflow/store.h"

enum { ROWS = 200, ROWS_MOST = 4000, LIMIT_DEFAULT = 50, LIMIT_MOST = 500 };

/* -- asking -- */

static void enqueue(struct redis_record *rec, struct redis_look *look)
{
    pthread_mutex_lock(&rec->lock);
    look->next = NULL;
    *rec->looks_end = look;
    rec->looks_end = &look->next;
    pthread_cond_signal(&rec->keep_wake);
    pthread_mutex_unlock(&rec->lock);
}

static void ask(struct jobs *jobs, enum redis_look_what what, struct jobs_query *query)
{
    struct redis_look *look = mem_zero(1, sizeof *look);
    look->what = what;
    look->query = query;
    enqueue(record_of(jobs), look);
}

void redis_query(struct jobs *jobs, struct jobs_query *query)
{
    ask(jobs, LOOK_QUERY, query);
}

void redis_query_batch(struct jobs *jobs, struct jobs_query *query)
{
    ask(jobs, LOOK_BATCH, query);
}

static void change(struct jobs *jobs, enum redis_look_what what, struct jobs_change *change,
                   int64_t id)
{
    struct redis_look *look = mem_zero(1, sizeof *look);
    look->what = what;
    look->change = change;
    look->id = id;
    err_clear(&change->err);
    enqueue(record_of(jobs), look);
}

void redis_cancel_job(struct jobs *jobs, struct jobs_change *c, int64_t id)
{
    change(jobs, LOOK_CANCEL, c, id);
}

void redis_retry_job(struct jobs *jobs, struct jobs_change *c, int64_t id)
{
    change(jobs, LOOK_RETRY, c, id);
}

void redis_discard_job(struct jobs *jobs, struct jobs_change *c, int64_t id)
{
    change(jobs, LOOK_DISCARD, c, id);
}

static void on_query(struct lane_message *message)
{
    struct jobs_query *query = (struct jobs_query *)(void *)message;
    query->done(query);
}

void redis_query_workflow(struct jobs *jobs, struct workflow_query *q)
{
    struct redis_look *look = mem_zero(1, sizeof *look);
    look->what = LOOK_RUNS;
    look->runs = q;
    enqueue(record_of(jobs), look);
}

static void on_change(struct lane_message *message)
{
    struct jobs_change *c = (struct jobs_change *)(void *)message;
    c->done(c);
}

void redis_answer(struct redis_look *look, const struct err *err)
{
    struct jobs_query *q = look->query;
    struct jobs_change *c = look->change;
    if (look->runs) {
        if (err)
            look->runs->err = *err;
        workflow_answer(look->runs);
    } else if (q) {
        if (err)
            q->err = *err;
        q->message.fn = on_query;
        lane_post(q->lane, &q->message);
    } else {
        if (err)
            c->err = *err;
        c->message.fn = on_change;
        if (c->lane)
            lane_post(c->lane, &c->message);
        else
            c->done(c);
    }
    mem_free(look);
}

void redis_looks_refuse(struct redis_look *looks, const struct err *err)
{
    for (struct redis_look *next; looks; looks = next) {
        next = looks->next;
        redis_answer(looks, err);
    }
}

/* Ids in the order they are shown, one source after the other. */
static redisReply *ids_of(struct redis_record *rec, enum job_state state, int source, int64_t from,
                          struct err *err)
{
    static const char *const keys[] = {"open", "dead", "done"};
    if (state == JOB_DELAYED)
        return source > 0 ? NULL
                          : redis_command(rec->keep, err, "ZRANGE %seta %lld %lld", rec->prefix,
                                          (long long)from, (long long)from + ROWS - 1);
    if ((source == 0 && (state == JOB_DEAD || state == JOB_DONE || state == JOB_CANCELLED)) ||
        (source == 1 && state != JOB_ANY && state != JOB_DEAD) ||
        (source == 2 && state != JOB_ANY && state != JOB_DONE && state != JOB_CANCELLED))
        return NULL;
    return redis_command(rec->keep, err, "ZREVRANGE %s%s %lld %lld", rec->prefix, keys[source],
                         (long long)from, (long long)from + ROWS - 1);
}

struct listing {
    struct search search;
    int limit, shown, looked, source;
    int64_t from;    /* of the source */
    int next_source; /* where the next page begins, once this one is full */
    int64_t next_from;
    bool full;
};

/* One slice; false when its source has no more, or *err. */
static bool list_slice(struct redis_record *rec, struct jobs_query *q, struct listing *l,
                       struct err *err)
{
    redisReply *ids = ids_of(rec, q->state, l->source, l->from, err);
    redisReply *rows = ids && ids->elements ? redis_rows_of(rec, ids, 1, err) : NULL;
    struct buf rest = {0}; /* matches over the limit, which are only counted */
    for (size_t i = 0; rows && i < rows->elements; i++) {
        enum job_state state;
        size_t before = q->out.n;
        if (l->shown == l->limit && !l->full) {
            l->full = true;
            l->next_source = l->source;
            l->next_from = l->from;
        }
        l->from++;
        if (!redis_print_row(rec, q, &l->search, rows->element[i], l->full ? &rest : &q->out,
                             &state))
            continue;
        l->shown += q->out.n > before;
        q->counts[state]++;
    }
    buf_free(&rest);
    l->looked += rows ? (int)rows->elements : 0;
    bool more = rows && rows->elements == ROWS;
    if (ids)
        freeReplyObject(ids);
    if (rows)
        freeReplyObject(rows);
    return more && !err->code;
}

static bool list(struct redis_record *rec, struct jobs_query *q, struct err *err)
{
    struct listing l = {.limit = q->limit < 1            ? LIMIT_DEFAULT
                                 : q->limit > LIMIT_MOST ? LIMIT_MOST
                                                         : q->limit};
    struct str rest = q->after;
    long long source = 0, from = 0;
    search_init(&l.search, rec->jobs, str_n("", 0), str_n("", 0), q->text);
    if (rest.n && (!str_int64(str_split(&rest, '.'), &source) || !str_int64(rest, &from) ||
                   source < 0 || source > 2 || from < 0))
        return err_set(err, ERR_INVALID, "jobs: there is no such page");
    l.source = (int)source;
    l.from = from;
    while (l.source < 3 && (!l.full || q->count) && l.looked < ROWS_MOST && !err->code) {
        if (list_slice(rec, q, &l, err))
            continue;
        l.source++;
        l.from = 0;
    }
    q->partial = q->count && l.source < 3;
    if (!err->code && (l.full || l.source < 3))
        snprintf(q->next, sizeof q->next, "%d.%lld", l.full ? l.next_source : l.source,
                 (long long)(l.full ? l.next_from : l.from));
    return err->code == 0;
}

void redis_looks_run(struct redis_record *rec, struct redis_look *looks)
{
    for (struct redis_look *next; looks; looks = next) {
        struct err err = {0};
        next = looks->next;
        if (looks->what == LOOK_BATCH) {
            bool ok = redis_look_batch(rec, looks->query, &err);
            redis_answer(looks, ok ? NULL : &err);
            continue;
        }
        if (looks->what == LOOK_RUNS) {
            bool ok = redis_look_workflow(rec, looks->runs, &err);
            redis_answer(looks, ok ? NULL : &err);
            continue;
        }
        if (looks->what != LOOK_QUERY) {
            redis_run_change(rec, looks);
            continue;
        }
        if (looks->query->ids_of && redis_find_ids(rec, looks, &err)) {
            enqueue(rec, looks);
            continue;
        }
        if (looks->query->ids_of) {
            redis_answer(looks, err.code ? &err : NULL);
            continue;
        }
        bool ok = looks->query->id ? redis_look_one(rec, looks->query, &err)
                                   : list(rec, looks->query, &err);
        redis_answer(looks, ok ? NULL : &err);
    }
}
