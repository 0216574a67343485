#include "jobs/redis_record.h"

#include "base/clock.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/celery_text.h"
#include "jobs/search.h"

enum { ROWS = 200, ROWS_MOST = 4000, LIMIT_DEFAULT = 50, LIMIT_MOST = 500 };

/* ORDER as redis_rows answers */
enum {
    COL_ID,
    COL_STATE,
    COL_KIND,
    COL_QUEUE,
    COL_PRIORITY,
    COL_ATTEMPT,
    COL_MAX,
    COL_CRASHES,
    COL_ARGS,
    COL_ERROR,
    COL_RESULT,
    COL_CREATED,
    COL_RUN_AT,
    COL_STARTED,
    COL_FINISHED,
    COL_UUID,
    COL_META
};

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

static void on_query(struct lane_message *message)
{
    struct jobs_query *query = (struct jobs_query *)(void *)message;
    query->done(query);
}

static void on_change(struct lane_message *message)
{
    struct jobs_change *c = (struct jobs_change *)(void *)message;
    c->done(c);
}

static void answer(struct redis_look *look, const struct err *err)
{
    struct jobs_query *q = look->query;
    struct jobs_change *c = look->change;
    if (q) {
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
        answer(looks, err);
    }
}

/* -- rows -- */

static int64_t whole(const redisReply *row, size_t col)
{
    long long value = 0;
    str_int64(redis_item(row, col), &value);
    return value;
}

/* A job whose message went to a Python worker is what the result backend says. */
static void apply_meta(const redisReply *row, struct job_row *r, struct celery_answer *answer)
{
    struct str meta = redis_item(row, COL_META);
    int64_t done = 0;
    struct buf text = {0};
    if (meta.n == 0 || !celery_result_read(meta, answer))
        return;
    if (json_pick_text(json_pick_get(meta, "date_done"), &text) &&
        celery_time_parse(buf_str(&text), &done))
        r->finished_at = done;
    buf_free(&text);
    r->error = buf_str(&answer->error);
    if (answer->state == CELERY_SUCCESS) {
        r->state = JOB_DONE;
        r->result = answer->result;
    } else if (answer->state == CELERY_FAILURE) {
        r->state = JOB_DEAD;
    } else if (answer->state == CELERY_REVOKED) {
        r->state = JOB_CANCELLED;
    } else
        r->state = answer->state == CELERY_STARTED ? JOB_RUNNING : JOB_DELAYED;
}

/* The kind a task is called here. */
static const char *kind_name(struct redis_record *rec, struct arena *arena, struct str task)
{
    jobs_lock(rec->jobs);
    const struct kind *k = kind_of_task(rec->jobs, task);
    const char *name = k ? k->name : arena_strdup(arena, task);
    jobs_unlock(rec->jobs);
    return name;
}

bool redis_print_row(struct redis_record *rec, const struct jobs_query *q,
                     const struct search *search, const redisReply *row, struct buf *out,
                     enum job_state *state)
{
    struct arena *arena = arena_create();
    struct celery_answer meta = {0};
    struct job_row r = {.id = whole(row, COL_ID),
                        .kind = kind_name(rec, arena, redis_item(row, COL_KIND)),
                        .queue = arena_strdup(arena, redis_item(row, COL_QUEUE)),
                        .priority = (int)whole(row, COL_PRIORITY),
                        .attempt = (int)whole(row, COL_ATTEMPT),
                        .max_attempts = (int)whole(row, COL_MAX),
                        .crashes = (int)whole(row, COL_CRASHES),
                        .args = redis_item(row, COL_ARGS),
                        .error = redis_item(row, COL_ERROR),
                        .result = redis_item(row, COL_RESULT),
                        .has_result = q->id != 0,
                        .created_at = whole(row, COL_CREATED),
                        .run_at = whole(row, COL_RUN_AT),
                        .started_at = whole(row, COL_STARTED),
                        .finished_at = whole(row, COL_FINISHED)};
    bool there = job_state_parse(redis_item(row, COL_STATE), &r.state);
    if (there)
        apply_meta(row, &r, &meta);
    if (r.priority < 0 || r.priority >= JOBS_PRIORITIES)
        r.priority = JOB_NORMAL;
    const struct str texts[] = {str_c(r.kind), r.args, r.error};
    bool matches = there && (q->queue.n == 0 || str_eq_c(q->queue, r.queue)) &&
                   (q->kind.n == 0 || str_eq_c(q->kind, r.kind)) &&
                   search_matches_texts(search, texts, 3);
    *state = r.state;
    if (matches && (q->state == JOB_ANY || q->state == r.state)) {
        if (out->n)
            buf_add_char(out, ',');
        print_row(out, &r);
    }
    buf_free(&meta.error);
    arena_destroy(arena);
    return matches;
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

redisReply *redis_rows_of(struct redis_record *rec, const redisReply *ids, size_t step,
                          struct err *err)
{
    struct redis_args *a = mem_alloc(sizeof *a);
    a->count = a->number_count = 0;
    redis_arg_c(a, rec->prefix);
    for (size_t i = 0; i < ids->elements; i += step)
        redis_arg(a, redis_item(ids, i));
    redisReply *rows = redis_eval(rec->keep, &redis_rows, a, err);
    mem_free(a);
    return rows;
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

static bool one(struct redis_record *rec, struct jobs_query *q, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct search search = {0};
    enum job_state state;
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, q->id);
    redisReply *rows = redis_eval(rec->keep, &redis_rows, a, err);
    mem_free(a);
    if (rows && rows->elements == 1)
        redis_print_row(rec, q, &search, rows->element[0], &q->out, &state);
    if (rows)
        freeReplyObject(rows);
    return rows != NULL;
}

/* -- changes -- */

static redisReply *cancel(struct redis_record *rec, int64_t id, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct buf meta = {0};
    int64_t ttl = rec->jobs->options.result_ttl_ns / NS_PER_SECOND;
    celery_result_write(&(struct celery_result){.state = CELERY_REVOKED,
                                                .task_id = STR("$uuid"),
                                                .exc_type = STR("TaskRevokedError"),
                                                .exc_message = STR("revoked"),
                                                .exc_module = STR("celery.exceptions"),
                                                .done_wall = clock_wall_ns()},
                        &meta);
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, id);
    redis_arg_int(a, clock_wall_ns());
    redis_arg(a, buf_str(&meta));
    redis_arg_int(a, ttl > 0 ? ttl : 1);
    redisReply *reply = redis_eval(rec->keep, &redis_cancel, a, err);
    buf_free(&meta);
    mem_free(a);
    return reply;
}

/* The message of a job that may start at once; `again`: with all its attempts ahead of it. */
static bool fresh_message(struct str raw, bool again, struct buf *out)
{
    struct arena *arena = arena_create();
    struct celery_message m;
    struct err err = {0};
    char tag[37];
    bool ok = celery_message_read(raw, arena, &m, &err);
    celery_uuid(tag);
    m.retries = again ? 0 : m.retries;
    m.eta_wall = 0;
    m.expires_wall = again ? 0 : m.expires_wall;
    m.delivery_tag = str_c(tag);
    if (ok)
        celery_message_write(&m, out);
    arena_destroy(arena);
    return ok;
}

static redisReply *retry(struct redis_record *rec, int64_t id, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct buf whole = {0}, now = {0};
    redisReply *have =
        redis_command(rec->keep, err, "HMGET %sjob:%lld m list", rec->prefix, (long long)id);
    fresh_message(redis_item(have, 0), true, &whole);
    fresh_message(redis_item(have, 0), false, &now);
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, id);
    redis_arg(a, buf_str(&whole));
    redis_arg(a, redis_item(have, 1));
    redis_arg_int(a, clock_wall_ns());
    redis_arg(a, buf_str(&now));
    redis_arg(a, redis_item(have, 0));
    redisReply *reply = have ? redis_eval(rec->keep, &redis_retry, a, err) : NULL;
    if (have)
        freeReplyObject(have);
    buf_free(&whole);
    buf_free(&now);
    mem_free(a);
    return reply;
}

void redis_cancel_id(struct redis_record *rec, int64_t id)
{
    struct err err = {0};
    redisReply *reply = cancel(rec, id, &err);
    if (reply)
        freeReplyObject(reply);
    shared_cancel(rec->jobs, id);
}

static void run_change(struct redis_record *rec, struct redis_look *look)
{
    struct err err = {0};
    bool is_cancel = look->what == LOOK_CANCEL;
    redisReply *reply = is_cancel ? cancel(rec, look->id, &err) : retry(rec, look->id, &err);
    struct str text = redis_text(reply);
    if (str_eq_c(text, "none"))
        err_set(&err, ERR_NOT_FOUND, "jobs: there is no %s job %lld",
                is_cancel ? "unfinished" : "dead or delayed", (long long)look->id);
    else if (str_eq_c(text, "taken"))
        err_set(&err, ERR_EXISTS, "jobs: its unique key was taken meanwhile");
    else if (reply && is_cancel)
        shared_cancel(rec->jobs, look->id);
    if (reply && !is_cancel) {
        pthread_mutex_lock(&rec->lock);
        rec->more = rec->keep_due = true;
        pthread_mutex_unlock(&rec->lock);
    }
    if (reply)
        freeReplyObject(reply);
    answer(look, err.code ? &err : NULL);
}

void redis_looks_run(struct redis_record *rec, struct redis_look *looks)
{
    for (struct redis_look *next; looks; looks = next) {
        struct err err = {0};
        next = looks->next;
        if (looks->what == LOOK_BATCH) {
            bool ok = redis_look_batch(rec, looks->query, &err);
            answer(looks, ok ? NULL : &err);
            continue;
        }
        if (looks->what != LOOK_QUERY) {
            run_change(rec, looks);
            continue;
        }
        if (looks->query->ids_of && redis_find_ids(rec, looks, &err)) {
            enqueue(rec, looks);
            continue;
        }
        if (looks->query->ids_of) {
            answer(looks, err.code ? &err : NULL);
            continue;
        }
        bool ok = looks->query->id ? one(rec, looks->query, &err) : list(rec, looks->query, &err);
        answer(looks, ok ? NULL : &err);
    }
}
