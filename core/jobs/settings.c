/* settings.c -- what bounds a queue: what plugins declare, and over it what an operator set. */
#include "jobs/private.h"

#include "base/mem.h"

enum { WEIGHT_MOST = 1000, CONCURRENCY_MOST = 1000000 };
static const int64_t rate_most = 1000000;

static void take(struct job_queue_limits *to, const struct job_queue_limits *from, unsigned fields)
{
    if (fields & QUEUE_CONCURRENCY)
        to->concurrency = from->concurrency;
    if (fields & QUEUE_RATE)
        to->rate = from->rate;
    if (fields & QUEUE_WEIGHT)
        to->weight = from->weight;
    if (fields & QUEUE_KEY_CONCURRENCY)
        to->key_concurrency = from->key_concurrency;
    if (fields & QUEUE_KEY_RATE)
        to->key_rate = from->key_rate;
}

/* Lock held. */
static void apply(struct jobs *jobs, struct queue *q)
{
    q->limits = q->declared;
    take(&q->limits, &q->changed.limits, q->changed.set);
    q->paused = (q->changed.set & QUEUE_PAUSED) && q->changed.paused;
    if (q->limits.weight < 1)
        q->limits.weight = 1;
    flow_queue_changed(jobs, q);
}

void jobs_set_queues(struct jobs *jobs, const struct job_queue_options *queues, int count)
{
    jobs_lock(jobs);
    for (uint32_t w = 1; w <= jobs->words; w++)
        if (jobs->queue_words[w])
            jobs->queue_words[w]->declared = (struct job_queue_limits){.weight = 1};
    for (int i = 0; i < count; i++) {
        struct queue *q = queue_get(jobs, str_c(queues[i].queue));
        if (q)
            q->declared = queues[i].limits;
    }
    for (uint32_t w = 1; w <= jobs->words; w++)
        if (jobs->queue_words[w])
            apply(jobs, jobs->queue_words[w]);
    dispatch(jobs);
    jobs_unlock(jobs);
}

static bool rate_is_good(struct job_rate rate)
{
    return rate.count >= 0 && rate.count <= rate_most &&
           (rate.count == 0 || (rate.period_ns > 0 && rate.period_ns <= 86400 * NS_PER_SECOND));
}

static bool check(const struct job_queue_change *what, struct err *err)
{
    const struct job_queue_limits *l = &what->limits;
    if (what->set & what->reset)
        return err_set(err, ERR_INVALID, "jobs: a limit is set or reset, not both");
    if ((what->set & QUEUE_WEIGHT) && (l->weight < 1 || l->weight > WEIGHT_MOST))
        return err_set(err, ERR_INVALID, "jobs: a weight is 1 to %d", WEIGHT_MOST);
    if (l->concurrency < 0 || l->concurrency > CONCURRENCY_MOST || l->key_concurrency < 0 ||
        l->key_concurrency > CONCURRENCY_MOST)
        return err_set(err, ERR_INVALID, "jobs: a concurrency is 0 (no bound) to %d",
                       CONCURRENCY_MOST);
    return (rate_is_good(l->rate) && rate_is_good(l->key_rate)) ||
           err_set(err, ERR_INVALID, "jobs: a rate is up to %lld in up to a day",
                   (long long)rate_most);
}

void jobs_queue_set(struct jobs *jobs, struct jobs_change *change, struct str queue,
                    const struct job_queue_change *what)
{
    struct err err = {0};
    bool good = check(what, &err);
    jobs_lock(jobs);
    struct queue *q = map_get(jobs->queues, queue);
    if (jobs->failed.code || jobs->closed)
        err_set(&err, ERR_CLOSED, "jobs: the queue is closed");
    else if (good && !q)
        err_set(&err, ERR_NOT_FOUND, "jobs: no queue %.*s", (int)queue.n, queue.p);
    if (!err.code) {
        struct setting_op *op = mem_zero(1, sizeof *op);
        op->change = change;
        op->queue = q;
        op->what = *what;
        batch_add_setting(&jobs->pending, op);
    }
    jobs_unlock(jobs);
    if (err.code)
        change_reply(change, &err);
}

/* ---- on disk ------------------------------------------------------------------ */

static void bind_number(sqlite3_stmt *s, int i, bool is_set, int64_t value)
{
    if (is_set)
        sqlite3_bind_int64(s, i, value);
    else
        sqlite3_bind_null(s, i);
}

/* Columns 0 … 7 of a row are what is set, NULL what is not. */
static void read_row(sqlite3_stmt *s, struct job_queue_change *out)
{
    static const unsigned fields[] = {QUEUE_PAUSED, QUEUE_CONCURRENCY,     QUEUE_RATE,     0,
                                      QUEUE_WEIGHT, QUEUE_KEY_CONCURRENCY, QUEUE_KEY_RATE, 0};
    struct job_queue_limits *l = &out->limits;
    *out = (struct job_queue_change){0};
    for (int i = 0; i < 8; i++)
        if (sqlite3_column_type(s, i) != SQLITE_NULL)
            out->set |= fields[i];
    out->paused = sqlite3_column_int(s, 0) != 0;
    l->concurrency = sqlite3_column_int(s, 1);
    l->rate = (struct job_rate){sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3)};
    l->weight = sqlite3_column_int(s, 4);
    l->key_concurrency = sqlite3_column_int(s, 5);
    l->key_rate = (struct job_rate){sqlite3_column_int64(s, 6), sqlite3_column_int64(s, 7)};
}

#define COLUMNS                                                                                    \
    "paused, concurrency, rate, rate_period, weight, key_concurrency, key_rate, key_rate_period"

static bool read_setting(struct sqlite_conn *conn, struct setting_op *op, struct err *err)
{
    sqlite3_stmt *s =
        sqlite_prepared(conn, "SELECT " COLUMNS " FROM maru_job_queue WHERE queue = ?1", err);
    if (!s)
        return false;
    sqlite3_bind_text(s, 1, op->queue->name, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, s, err);
    op->result = (struct job_queue_change){0};
    if (rc == SQLITE_ROW)
        read_row(s, &op->result);
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static void merge(struct job_queue_change *to, const struct job_queue_change *what)
{
    take(&to->limits, &what->limits, what->set);
    if (what->set & QUEUE_PAUSED)
        to->paused = what->paused;
    to->set = (to->set | what->set) & ~what->reset;
}

static bool write_setting(struct sqlite_conn *conn, const struct setting_op *op, struct err *err)
{
    static const char sql[] = "INSERT OR REPLACE INTO maru_job_queue(queue, " COLUMNS ")"
                              " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    const struct job_queue_change *r = &op->result;
    const struct job_queue_limits *l = &r->limits;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_text(s, 1, op->queue->name, -1, SQLITE_STATIC);
    bind_number(s, 2, r->set & QUEUE_PAUSED, r->paused);
    bind_number(s, 3, r->set & QUEUE_CONCURRENCY, l->concurrency);
    bind_number(s, 4, r->set & QUEUE_RATE, l->rate.count);
    bind_number(s, 5, r->set & QUEUE_RATE, l->rate.period_ns);
    bind_number(s, 6, r->set & QUEUE_WEIGHT, l->weight);
    bind_number(s, 7, r->set & QUEUE_KEY_CONCURRENCY, l->key_concurrency);
    bind_number(s, 8, r->set & QUEUE_KEY_RATE, l->key_rate.count);
    bind_number(s, 9, r->set & QUEUE_KEY_RATE, l->key_rate.period_ns);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

bool settings_record(struct sqlite_conn *conn, struct setting_op *op, struct err *err)
{
    for (; op; op = op->next) {
        if (!read_setting(conn, op, err))
            return false;
        merge(&op->result, &op->what);
        if (!write_setting(conn, op, err))
            return false;
    }
    return true;
}

bool settings_load(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    int rc = SQLITE_ERROR;
    sqlite3_stmt *s = sqlite_prepared(conn, "SELECT " COLUMNS ", queue FROM maru_job_queue", err);
    while (s && (rc = sqlite_step(conn, s, err)) == SQLITE_ROW) {
        struct str name = str_c((const char *)sqlite3_column_text(s, 8));
        struct queue *q = name.n && name.n <= JOBS_NAME_BYTES ? queue_get(jobs, name) : NULL;
        if (!q)
            continue;
        read_row(s, &q->changed);
        apply(jobs, q);
    }
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

void settings_publish(struct jobs *jobs, const struct setting_op *op)
{
    jobs_lock(jobs);
    for (; op; op = op->next) {
        op->queue->changed = op->result;
        apply(jobs, op->queue);
    }
    dispatch(jobs);
    jobs_unlock(jobs);
}

void settings_seen(struct jobs *jobs, struct str queue, const struct job_queue_change *now)
{
    jobs_lock(jobs);
    struct queue *q = queue_get(jobs, queue);
    if (q && memcmp(&q->changed, now, sizeof *now) != 0) {
        q->changed = *now;
        apply(jobs, q);
        dispatch(jobs);
    }
    jobs_unlock(jobs);
}

void settings_answer(struct setting_op *op, const struct err *err)
{
    for (struct setting_op *next; op; op = next) {
        next = op->next;
        change_reply(op->change, err);
        mem_free(op);
    }
}
