#include "jobs/private.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "jobs/driver.h"
#include "observe/metrics.h"

/* Queues with rates of their own, 32 KB each; what others do counts in the sum. */
enum { GAUGE_QUEUES = 256, DAY_MINUTES = RATES_MINUTES };

static struct rates *rates_of(struct jobs *jobs, struct queue *q)
{
    if (!q->rates && jobs->rated < GAUGE_QUEUES) {
        q->rates = mem_zero(1, sizeof *q->rates);
        jobs->rated++;
    }
    return q->rates;
}

void gauge_add(struct jobs *jobs, struct queue *q, int64_t now_wall, enum rate what)
{
    struct rates *own = rates_of(jobs, q);
    int64_t now_s = now_wall / NS_PER_SECOND;
    rates_add(&jobs->rates, now_s, what, 1);
    if (own)
        rates_add(own, now_s, what, 1);
}

void gauge_wait(struct jobs *jobs, const struct job *job, int64_t now_wall)
{
    struct rates *own = rates_of(jobs, job->queue);
    int64_t due = job->run_at > job->created_at ? job->run_at : job->created_at;
    int64_t now_s = now_wall / NS_PER_SECOND;
    rates_wait(&jobs->rates, now_s, job->started_at - due);
    if (own)
        rates_wait(own, now_s, job->started_at - due);
}

static bool is_waiting(enum place place)
{
    return place == PLACE_READY || place == PLACE_PARKED || place == PLACE_CLAIMED;
}

void gauge_move(const struct job *job, enum place from, enum place to)
{
    struct queue *q = job->queue;
    if (is_waiting(from) == is_waiting(to))
        return;
    if (!q->ages)
        q->ages = mem_zero(1, sizeof *q->ages);
    if (is_waiting(to))
        ages_enter(q->ages, job->run_at / NS_PER_SECOND);
    else
        ages_leave(q->ages, job->run_at / NS_PER_SECOND);
}

int64_t gauge_oldest(const struct queue *q, int64_t now_wall)
{
    return q->ages ? ages_oldest(q->ages, now_wall / NS_PER_SECOND) : 0;
}

void gauge_free(struct jobs *jobs)
{
    for (uint32_t w = 1; w <= jobs->words; w++)
        if (jobs->queue_words[w]) {
            mem_free(jobs->queue_words[w]->rates);
            mem_free(jobs->queue_words[w]->ages);
        }
}

void gauge_setup(struct jobs *jobs)
{
    jobs->commit_seconds = metrics_histogram("maru_jobs_commit_seconds",
                                             "Time until pushes and ends were on disk", "");
    jobs->commit_rows =
        metrics_counter("maru_jobs_commit_rows_total", "Jobs that commits wrote", "");
    jobs->commit_errors =
        metrics_counter("maru_jobs_commit_errors_total", "Commits that failed", "");
    if (!jobs->driver || !jobs->driver->shared)
        return;
    struct buf label = {0};
    metrics_label(&label, "driver", str_c(jobs->driver->name));
    jobs->claim_seconds = metrics_histogram("maru_jobs_claim_seconds",
                                            "Time of one claim in a shared queue", label.p);
    jobs->claimed_at_push = metrics_counter("maru_jobs_claimed_at_push_total",
                                            "Jobs that were claimed as they were written", label.p);
    buf_free(&label);
}

void gauge_claim(struct jobs *jobs, int64_t began_ns)
{
    metric_observe(jobs->claim_seconds, (double)(clock_ns() - began_ns) / (double)NS_PER_SECOND);
}

void gauge_commit(struct jobs *jobs, bool ok)
{
    const struct batch *b = &jobs->batch;
    double rows = 0;
    if (!ok) {
        metric_add(jobs->commit_errors, 1);
        return;
    }
    for (const struct push_op *op = b->pushes; op; op = op->next)
        rows += op->count;
    for (const struct update_op *op = b->updates; op; op = op->next)
        rows++;
    list_each (node, &b->ends)
        rows++;
    if (rows == 0) /* upkeep */
        return;
    metric_observe(jobs->commit_seconds,
                   (double)(clock_ns() - jobs->taken_ns) / (double)NS_PER_SECOND);
    metric_add(jobs->commit_rows, rows);
}

/* -- the last day on disk ------------------------------------------------------------------- */

struct minute_row {
    uint32_t word; /* 0 = all queues */
    int64_t minute;
    struct rates_bucket bucket;
};

static struct minute_row *add_rows(struct minute_row *rows, size_t *n, uint32_t word,
                                   struct rates *r, int64_t from, int64_t now_s)
{
    rates_roll(r, now_s);
    for (int64_t at = from; at < now_s / 60; at++) {
        const struct rates_bucket *b = rates_minute(r, at);
        if (!b || rates_is_empty(b))
            continue;
        rows = mem_realloc(rows, (*n + 1) * sizeof *rows);
        rows[(*n)++] = (struct minute_row){word, at, *b};
    }
    return rows;
}

/* Copies what is closed and not stored. */
static struct minute_row *closed_rows(struct jobs *jobs, int64_t now_s, size_t *n)
{
    struct minute_row *rows = NULL;
    jobs_lock(jobs);
    int64_t from = jobs->rates_stored, day = now_s / 60 - DAY_MINUTES + 1;
    from = from < day ? day : from;
    rows = add_rows(rows, n, 0, &jobs->rates, from, now_s);
    for (uint32_t w = 1; w <= jobs->words; w++)
        if (jobs->queue_words[w] && jobs->queue_words[w]->rates)
            rows = add_rows(rows, n, w, jobs->queue_words[w]->rates, from, now_s);
    jobs_unlock(jobs);
    return rows;
}

static bool insert(sqlite3_stmt *s, struct sqlite_conn *conn, const struct minute_row *row,
                   struct err *err)
{
    sqlite3_bind_int64(s, 1, row->minute);
    sqlite3_bind_int64(s, 2, row->word);
    for (int i = 0; i < RATE_COUNT; i++)
        sqlite3_bind_int64(s, 3 + i, row->bucket.count[i]);
    sqlite3_bind_int(s, 6, row->bucket.p50);
    sqlite3_bind_int(s, 7, row->bucket.p99);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool forget(struct sqlite_conn *conn, int64_t before, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(conn, "DELETE FROM maru_job_rate WHERE at < ?1", err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, before);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

bool gauge_record(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    static const char sql[] =
        "INSERT OR REPLACE INTO maru_job_rate(at, queue, pushed, done, failed,"
        " p50, p99) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    int64_t now_s = clock_wall_ns() / NS_PER_SECOND;
    size_t n = 0;
    if (now_s / 60 <= jobs->rates_written)
        return true;
    struct minute_row *rows = closed_rows(jobs, now_s, &n);
    sqlite3_stmt *s = n ? sqlite_prepared(conn, sql, err) : NULL;
    bool ok = !n || s;
    for (size_t i = 0; ok && i < n; i++)
        ok = insert(s, conn, &rows[i], err);
    mem_free(rows);
    jobs->rates_written = now_s / 60;
    return ok && (!n || forget(conn, now_s / 60 - DAY_MINUTES, err));
}

void gauge_restore(struct jobs *jobs, uint32_t word, int64_t minute,
                   const struct rates_bucket *bucket)
{
    struct queue *q = word && word <= jobs->words ? jobs->queue_words[word] : NULL;
    struct rates *r = word ? q ? rates_of(jobs, q) : NULL : &jobs->rates;
    if (r)
        rates_restore(r, minute, bucket);
}

/* -- as JSON -------------------------------------------------------------------------------- */

typedef const struct rates_bucket *at_fn(const struct rates *r, int64_t at);

static void print_counts(struct json *w, const char *key, const struct rates *r, at_fn *at,
                         int64_t from, int64_t to, enum rate what)
{
    json_key(w, key);
    json_open(w, '[');
    for (int64_t i = from; i <= to; i++)
        json_int(w, at(r, i) ? at(r, i)->count[what] : 0);
    json_close(w, ']');
}

static void print_waits(struct json *w, const char *key, const struct rates *r, at_fn *at,
                        int64_t from, int64_t to, bool p99)
{
    json_key(w, key);
    json_open(w, '[');
    for (int64_t i = from; i <= to; i++) {
        const struct rates_bucket *b = at(r, i);
        int bin = !b ? 0 : p99 ? b->p99 : b->p50;
        int64_t us = rates_bin_ns(bin) / 1000;
        if (bin)
            json_num(w, us < 10000 ? (double)us / 1000 : (double)(us / 1000));
        else
            json_null(w);
    }
    json_close(w, ']');
}

/* What is open is left out: it would look like a fall. */
static void print_part(struct json *w, const char *key, const struct rates *r, at_fn *at,
                       int64_t from, int64_t to, int step)
{
    json_key(w, key);
    json_open(w, '{');
    json_key(w, "from");
    json_int(w, from * step);
    json_key(w, "step");
    json_int(w, step);
    print_counts(w, "pushed", r, at, from, to, RATE_PUSHED);
    print_counts(w, "done", r, at, from, to, RATE_DONE);
    print_counts(w, "failed", r, at, from, to, RATE_FAILED);
    print_waits(w, "wait_p50_ms", r, at, from, to, false);
    print_waits(w, "wait_p99_ms", r, at, from, to, true);
    json_close(w, '}');
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

bool jobs_print_rates(struct jobs *jobs, struct str queue, int64_t since, struct buf *out)
{
    int64_t now = clock_wall_ns() / NS_PER_SECOND;
    struct rates *copy = mem_zero(1, sizeof *copy);
    jobs_lock(jobs);
    const struct queue *q = queue.n ? map_get(jobs->queues, queue) : NULL;
    struct rates *r = q ? q->rates : &jobs->rates;
    bool found = !queue.n || q;
    if (found && r) {
        rates_roll(r, now);
        *copy = *r;
    }
    jobs_unlock(jobs);
    struct json w = json_to(out);
    json_open(&w, '{');
    json_key(&w, "queue");
    json_str(&w, queue);
    print_part(&w, "seconds", copy, rates_second, later(now - RATES_SECONDS + 1, since), now - 1,
               1);
    print_part(&w, "minutes", copy, rates_minute,
               later(now / 60 - RATES_MINUTES + 1, (since + 59) / 60), now / 60 - 1, 60);
    json_close(&w, '}');
    mem_free(copy);
    return found;
}

void gauge_per_second(struct queue *q, int64_t now_wall, double per_second[RATE_COUNT])
{
    enum { OVER = 10 };
    int64_t now_s = now_wall / NS_PER_SECOND;
    if (q->rates)
        rates_roll(q->rates, now_s);
    for (int i = 0; i < RATE_COUNT; i++)
        per_second[i] = 0;
    for (int64_t at = now_s - OVER; q->rates && at < now_s; at++) {
        const struct rates_bucket *b = rates_second(q->rates, at);
        for (int i = 0; b && i < RATE_COUNT; i++)
            per_second[i] += (double)b->count[i] / OVER;
    }
}
