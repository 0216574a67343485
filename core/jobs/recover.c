#include "jobs/private.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

struct recovery {
    struct jobs *jobs;
    struct index finished; /* ids in maru_job_fin; value: anything */
    struct flight_entry *crashed;
    int crashed_count;
    bool same_boot;
    int64_t blamed;  /* up to this epoch the recorder's entries were counted */
    int64_t folding; /* finished ids whose rows are still there */
};

typedef bool row_fn(struct recovery *r, sqlite3_stmt *s, struct err *err);

static bool each_row(struct sqlite_conn *conn, const char *sql, row_fn *fn, struct recovery *r,
                     struct err *err)
{
    int rc = SQLITE_ERROR;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    while (s && (rc = sqlite_step(conn, s, err)) == SQLITE_ROW)
        if (!fn(r, s, err)) {
            rc = SQLITE_ERROR;
            break;
        }
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static struct str column_text(sqlite3_stmt *s, int i)
{
    const void *p = sqlite3_column_text(s, i);
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(s, i));
}

static bool on_word(struct recovery *r, sqlite3_stmt *s, struct err *err)
{
    uint32_t word = (uint32_t)sqlite3_column_int64(s, 0);
    return names_restore(r->jobs, word, sqlite3_column_int(s, 1), column_text(s, 2)) ||
           err_set(err, ERR_CORRUPT, "maru_job_word: row %u is not a name", word);
}

static bool on_meta(struct recovery *r, sqlite3_stmt *s, struct err *err)
{
    struct str key = column_text(s, 0);
    int64_t value = sqlite3_column_int64(s, 1);
    (void)err;
    if (str_eq_c(key, "epoch"))
        r->jobs->fence = (uint64_t)value << 32;
    else if (str_eq_c(key, "blamed"))
        r->blamed = value;
    else if (str_eq_c(key, "next_id") && value > r->jobs->next_id)
        r->jobs->next_id = value;
    return true;
}

static void saw_id(struct recovery *r, int64_t id)
{
    if (id >= r->jobs->next_id)
        r->jobs->next_id = id + 1;
}

static bool on_fin(struct recovery *r, sqlite3_stmt *s, struct err *err)
{
    const char *p = sqlite3_column_blob(s, 1);
    size_t n = (size_t)sqlite3_column_bytes(s, 1) / sizeof(struct fin_record);
    struct fin_record *records = mem_alloc(n * sizeof *records + 1);
    (void)err;
    if (n)
        memcpy(records, p, n * sizeof *records);
    for (size_t i = 0; i < n; i++) {
        if (records[i].id <= 0)
            continue;
        saw_id(r, records[i].id);
        index_set(&r->finished, records[i].id, r);
        history_add(&r->jobs->history, &records[i]);
    }
    fold_recorded(&r->jobs->fold, sqlite3_column_int64(s, 0), records, n);
    mem_free(records);
    return true;
}

static const char read_jobs[] =
    "SELECT id, kind, queue, priority, created_at, run_at, attempt, max_attempts, timeout_ms,"
    " scheduled_at, crashes, uniq, args, error, extra FROM maru_job ORDER BY id";

static struct job *read_job(struct jobs *jobs, sqlite3_stmt *s, struct err *err)
{
    uint32_t kind = (uint32_t)sqlite3_column_int64(s, 1);
    uint32_t queue = (uint32_t)sqlite3_column_int64(s, 2);
    if (kind > jobs->words || queue > jobs->words || !jobs->kind_words[kind] ||
        !jobs->queue_words[queue]) {
        err_set(err, ERR_CORRUPT, "maru_job: job %lld has an unknown kind or queue",
                (long long)sqlite3_column_int64(s, 0));
        return NULL;
    }
    struct str error = column_text(s, 13);
    struct job *job = job_create(column_text(s, 12), column_text(s, 11));
    job->id = sqlite3_column_int64(s, 0);
    job->kind = jobs->kind_words[kind];
    job->queue = jobs->queue_words[queue];
    job->priority = (uint8_t)(sqlite3_column_int64(s, 3) % JOBS_PRIORITIES);
    job->created_at = sqlite3_column_int64(s, 4);
    job->run_at = sqlite3_column_int64(s, 5);
    job->attempt = (uint16_t)sqlite3_column_int64(s, 6);
    job->max_attempts = (uint16_t)sqlite3_column_int64(s, 7);
    extra_read(job, sqlite3_column_int64(s, 8), sqlite3_column_int64(s, 9));
    job->crashes = (uint8_t)sqlite3_column_int64(s, 10);
    extra_set_error(job, error.n ? str_dup(error) : NULL);
    if (extra_parse(job, column_text(s, 14), err))
        return job;
    job_unref(job);
    return NULL;
}

static bool on_job(struct recovery *r, sqlite3_stmt *s, struct err *err)
{
    struct jobs *jobs = r->jobs;
    int64_t id = sqlite3_column_int64(s, 0);
    saw_id(r, id);
    if (index_get(&r->finished, id)) {
        r->folding++;
        return true;
    }
    struct job *job = read_job(jobs, s, err);
    if (!job)
        return false;
    index_set(&jobs->index, id, job);
    job->kind->unfinished++;
    unique_share(jobs, job);
    jobs->count[PLACE_NONE]++;
    job->queue->count[PLACE_NONE]++;
    return true;
}

static bool on_dead(struct recovery *r, sqlite3_stmt *s, struct err *err)
{
    struct jobs *jobs = r->jobs;
    uint32_t queue = (uint32_t)sqlite3_column_int64(s, 0);
    int64_t count = sqlite3_column_int64(s, 1);
    (void)err;
    if (queue <= jobs->words && jobs->queue_words[queue])
        jobs->queue_words[queue]->dead = count;
    jobs->dead += count;
    return true;
}

static bool on_crowd(struct recovery *r, sqlite3_stmt *s, struct err *err)
{
    return crowd_restore(r->jobs, s) ||
           err_set(err, ERR_CORRUPT, "maru_job_batch: batch %lld has an unknown kind",
                   (long long)sqlite3_column_int64(s, 0));
}

static bool on_unique(struct recovery *r, sqlite3_stmt *s, struct err *err)
{
    (void)err;
    unique_restore(r->jobs, s);
    return true;
}

static bool on_max_id(struct recovery *r, sqlite3_stmt *s, struct err *err)
{
    (void)err;
    saw_id(r, sqlite3_column_int64(s, 0));
    return true;
}

static bool on_rate(struct recovery *r, sqlite3_stmt *s, struct err *err)
{
    int64_t minute = sqlite3_column_int64(s, 0), today = clock_wall_ns() / NS_PER_SECOND / 60;
    struct rates_bucket bucket = {.p50 = (uint8_t)sqlite3_column_int(s, 5),
                                  .p99 = (uint8_t)sqlite3_column_int(s, 6)};
    (void)err;
    for (int i = 0; i < RATE_COUNT; i++)
        bucket.count[i] = (uint32_t)sqlite3_column_int64(s, 2 + i);
    if (minute > today - RATES_MINUTES && minute < today) /* the clock may have been set back */
        gauge_restore(r->jobs, (uint32_t)sqlite3_column_int64(s, 1), minute, &bucket);
    return true;
}

static bool load(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct recovery *r = arg;
    if (!each_row(conn, "SELECT id, is_queue, word FROM maru_job_word ORDER BY id", on_word, r,
                  err))
        return false;
    names_restored(r->jobs);
    return settings_load(r->jobs, conn, err) &&
           each_row(conn, "SELECT key, value FROM maru_job_meta", on_meta, r, err) &&
           each_row(conn,
                    "SELECT at, queue, pushed, done, failed, p50, p99 FROM maru_job_rate"
                    " ORDER BY at",
                    on_rate, r, err) &&
           each_row(conn, "SELECT seq, b FROM maru_job_fin ORDER BY seq", on_fin, r, err) &&
           each_row(conn, crowd_read, on_crowd, r, err) &&
           each_row(conn, unique_read, on_unique, r, err) &&
           each_row(conn, read_jobs, on_job, r, err) &&
           each_row(conn, "SELECT max(id) FROM maru_job_batch", on_max_id, r, err) &&
           each_row(conn, "SELECT queue, count(*) FROM maru_job_dead GROUP BY queue", on_dead, r,
                    err) &&
           each_row(conn, "SELECT max(id) FROM maru_job_dead", on_max_id, r, err) &&
           each_row(conn, "SELECT max(id) FROM maru_job_done", on_max_id, r, err) &&
           workflow_recover(r->jobs, conn, err);
}

static bool count_crash(struct sqlite_conn *conn, const struct job *job, struct err *err)
{
    static const char sql[] = "UPDATE maru_job SET crashes = ?2 WHERE id = ?1";
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, job->id);
    sqlite3_bind_int(s, 2, job->crashes + 1);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

/* What is known of how it died: when at the latest is the line's ended_at. */
static char *evidence_of(const struct recovery *r, const struct job *job)
{
    const char *how = r->jobs->options.last_death;
    return mem_printf("the process died while this ran: %s; boot %.36s, %d of %d times",
                      how ? how : "nobody saw how", flight_boot(r->jobs->flight), job->crashes + 1,
                      JOBS_CRASHES);
}

static bool write_blame(struct sqlite_conn *conn, const struct recovery *r, const struct job *job,
                        const struct flight_entry *entry, struct err *err)
{
    char *evidence = evidence_of(r, job);
    bool ok = count_crash(conn, job, err) &&
              attempt_log_crash(conn, job, entry, evidence, clock_wall_ns(), err);
    mem_free(evidence);
    return ok;
}

static int64_t epoch_of(const struct flight_entry *entry)
{
    return (int64_t)(entry->fence >> 32);
}

/* A recovery that counted them may have died before it emptied the recorder. */
static void forget_counted(struct recovery *r)
{
    int n = 0;
    for (int i = 0; i < r->crashed_count; i++)
        if (epoch_of(&r->crashed[i]) > r->blamed)
            r->crashed[n++] = r->crashed[i];
    r->crashed_count = n;
}

static bool write_blamed(struct sqlite_conn *conn, const struct recovery *r, struct err *err)
{
    static const char sql[] =
        "INSERT OR REPLACE INTO maru_job_meta(key, value) VALUES('blamed', ?1)";
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    int64_t last = 0;
    if (!s)
        return false;
    for (int i = 0; i < r->crashed_count; i++)
        last = epoch_of(&r->crashed[i]) > last ? epoch_of(&r->crashed[i]) : last;
    sqlite3_bind_int64(s, 1, last);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool blame_work(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct recovery *r = arg;
    if (!write_blamed(conn, r, err))
        return false;
    for (int i = 0; i < r->crashed_count; i++) {
        const struct job *job = index_get(&r->jobs->index, r->crashed[i].id);
        if (job && !write_blame(conn, r, job, &r->crashed[i], err))
            return false;
    }
    return true;
}

/* The process died while these ran: its jobs are suspects, run one at a time from
 * now on, and after JOBS_CRASHES times dead. */
static bool blame(struct recovery *r, struct err *err)
{
    struct jobs *jobs = r->jobs;
    forget_counted(r);
    if (!r->same_boot || jobs->options.blameless || r->crashed_count == 0)
        return true;
    if (!sqlite_work_wait(jobs->db, blame_work, r, err))
        return false;
    for (int i = 0; i < r->crashed_count; i++) {
        struct job *job = index_get(&jobs->index, r->crashed[i].id);
        if (!job)
            continue;
        job->crashes++;
        job->attempt = (uint16_t)(r->crashed[i].attempt - 1);
        job->started_at = r->crashed[i].started_wall;
        log_warn("jobs", "%s %lld was running when the process died (%d of %d times)",
                 job->kind->name, (long long)job->id, job->crashes, JOBS_CRASHES);
    }
    return true;
}

/* Lock held.  Every job finds its place; suspects first, in the order of ids. */
static void place_job(struct jobs *jobs, struct job *job, int64_t now_wall)
{
    if (job->crashes < JOBS_CRASHES) {
        place_start(jobs, job, now_wall);
        return;
    }
    extra_set_error(job, mem_printf("quarantined: took the process down %d times", job->crashes));
    if (!workflow_defers(jobs, job))
        job_over(jobs, job, JOB_END_DISCARDED);
    log_error("jobs", "%s %lld is %s", job->kind->name, (long long)job->id, job->extra->error);
}

static int compare_jobs(const void *a, const void *b)
{
    const struct job *x = *(struct job *const *)a, *y = *(struct job *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

static void place_all(struct jobs *jobs)
{
    size_t n = 0, count = jobs->index.count;
    struct job **all = mem_alloc(count * sizeof(struct job *) + 1);
    int64_t now_wall = clock_wall_ns();
    for (size_t i = 0; i < jobs->index.size; i++)
        if (jobs->index.slots[i].id)
            all[n++] = jobs->index.slots[i].value;
    qsort(all, n, sizeof(struct job *), compare_jobs);
    jobs_lock(jobs);
    for (size_t i = 0; i < n; i++)
        place_job(jobs, all[i], now_wall);
    workflow_recovered(jobs);
    jobs_unlock(jobs);
    mem_free(all);
}

bool jobs_recover(struct jobs *jobs, struct err *err)
{
    struct recovery r = {.jobs = jobs};
    int64_t began = clock_ns();
    r.crashed = mem_alloc(FLIGHT_SLOTS * sizeof *r.crashed);
    r.crashed_count = flight_read(jobs->flight, r.crashed, FLIGHT_SLOTS, &r.same_boot);
    jobs->next_id = 1;
    jobs->fold.next_seq = 1;
    bool ok = sqlite_work_wait(jobs->db, schema_make, jobs, err) &&
              sqlite_read_wait(jobs->db, load, &r, err) && blame(&r, err);
    mem_free(r.crashed);
    index_free(&r.finished);
    if (!ok)
        return sqlite_explain(jobs->db, err);
    flight_reset(jobs->flight);
    place_all(jobs);
    jobs_lock(jobs); /* what is in quarantine may end already */
    size_t unfinished = jobs->index.count;
    int64_t dead = jobs->dead;
    jobs_unlock(jobs);
    log_info("jobs", "%zu unfinished jobs read in %lld ms, %lld dead, %d were running", unfinished,
             (long long)((clock_ns() - began) / NS_PER_MS), (long long)dead, r.crashed_count);
    return true;
}
