#include "jobs/private.h"

#include "base/clock.h"

/* Runs a statement that returns nothing, and makes it ready for the next values. */
static bool run(struct sqlite_conn *conn, sqlite3_stmt *s, struct err *err)
{
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

/* Borrowed until the statement is reset and bound again. */
static void bind_text(sqlite3_stmt *s, int i, const char *p, size_t n)
{
    if (p)
        sqlite3_bind_text64(s, i, p, n, SQLITE_STATIC, SQLITE_UTF8);
    else
        sqlite3_bind_null(s, i);
}

static void bind_unique(sqlite3_stmt *s, int i, const struct job *job)
{
    struct str unique = job_unique(job);
    bind_text(s, i, unique.n ? unique.p : NULL, unique.n);
}

static void bind_extra(sqlite3_stmt *s, int i, const struct job *job)
{
    struct buf text = {0};
    if (job->extra)
        extra_print(job->extra, &text);
    if (text.n)
        sqlite3_bind_text64(s, i, text.p, text.n, SQLITE_TRANSIENT, SQLITE_UTF8);
    else
        sqlite3_bind_null(s, i);
    buf_free(&text);
}

static const char insert_job[] =
    "INSERT INTO maru_job(id, kind, queue, priority, created_at, run_at, attempt, max_attempts,"
    " timeout_ms, scheduled_at, crashes, uniq, args, extra)"
    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, 0, ?10, ?11, ?12)";

static bool insert(struct sqlite_conn *conn, sqlite3_stmt *s, const struct job *job,
                   struct err *err)
{
    sqlite3_bind_int64(s, 1, job->id);
    sqlite3_bind_int64(s, 2, job->kind->word);
    sqlite3_bind_int64(s, 3, job->queue->word);
    sqlite3_bind_int(s, 4, job->priority);
    sqlite3_bind_int64(s, 5, job->created_at);
    sqlite3_bind_int64(s, 6, job->run_at);
    sqlite3_bind_int(s, 7, job->max_attempts);
    sqlite3_bind_int64(s, 8, job_extra(job)->timeout_ms);
    sqlite3_bind_int64(s, 9, job_extra(job)->scheduled_at);
    bind_unique(s, 10, job);
    bind_text(s, 11, job->bytes, job->args_n);
    bind_extra(s, 12, job);
    return run(conn, s, err);
}

/* The schedule's instant, unless it was there: then the job is not inserted. */
static bool record_fire(struct sqlite_conn *conn, struct push_op *op, struct err *err)
{
    static const char sql[] =
        "INSERT OR IGNORE INTO maru_cron_fire(schedule, at, job) VALUES(?1, ?2, ?3)";
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    bind_text(s, 1, op->schedule, strlen(op->schedule));
    sqlite3_bind_int64(s, 2, op->instant / NS_PER_SECOND);
    sqlite3_bind_int64(s, 3, op->first->id);
    if (!run(conn, s, err))
        return false;
    op->fired_before = sqlite3_changes(conn->db) == 0;
    return true;
}

bool record_push(struct sqlite_conn *conn, struct push_op *op, struct err *err)
{
    if (op->schedule && !record_fire(conn, op, err))
        return false;
    if (op->schedule && op->fired_before)
        return true;
    if (op->unique_until && !unique_record(conn, op->first, op->first->id, op->unique_until, err))
        return false;
    if (op->crowd && !crowd_record(conn, op->crowd, err))
        return false;
    if (op->push && op->push->also && !op->push->also(conn, op->push, err))
        return false;
    sqlite3_stmt *s = sqlite_prepared(conn, insert_job, err);
    if (!s)
        return false;
    for (struct job *job = op->first; job; job = job->next)
        if (!insert(conn, s, job, err))
            return false;
    return true;
}

bool record_words(struct jobs *jobs, struct sqlite_conn *conn, uint32_t *written, struct err *err)
{
    static const char sql[] =
        "INSERT OR IGNORE INTO maru_job_word(id, is_queue, word) VALUES(?1, ?2, ?3)";
    sqlite3_stmt *s = NULL;
    for (*written = jobs->words_stored;; ++*written) {
        jobs_lock(jobs);
        uint32_t word = *written + 1;
        bool more = word <= jobs->words;
        struct kind *k = more ? jobs->kind_words[word] : NULL;
        struct queue *q = more ? jobs->queue_words[word] : NULL;
        jobs_unlock(jobs);
        if (!more)
            return true;
        if (!s && !(s = sqlite_prepared(conn, sql, err)))
            return false;
        const char *name = k ? k->name : q->name;
        sqlite3_bind_int64(s, 1, word);
        sqlite3_bind_int(s, 2, !k);
        bind_text(s, 3, name, strlen(name));
        if (!run(conn, s, err))
            return false;
    }
}

static bool record_updates(struct sqlite_conn *conn, struct update_op *op, struct err *err)
{
    static const char sql[] =
        "UPDATE maru_job SET run_at = ?2, attempt = ?3, error = ?4 WHERE id = ?1";
    sqlite3_stmt *s = op ? sqlite_prepared(conn, sql, err) : NULL;
    for (; op; op = op->next) {
        if (!s)
            return false;
        if (op->row) {
            if (!unique_record_row(conn, op, err))
                return false;
            continue;
        }
        sqlite3_bind_int64(s, 1, op->id);
        sqlite3_bind_int64(s, 2, op->run_at);
        sqlite3_bind_int(s, 3, op->attempt);
        bind_text(s, 4, op->error, op->error ? strlen(op->error) : 0);
        if (!run(conn, s, err))
            return false;
    }
    return true;
}

static bool record_dead(struct sqlite_conn *conn, const struct job *job, int64_t now_wall,
                        struct err *err)
{
    static const char sql[] =
        "INSERT OR REPLACE INTO maru_job_dead(id, kind, queue, priority, created_at, max_attempts,"
        " timeout_ms, scheduled_at, attempt, crashes, started_at, dead_at, uniq, args, error,"
        " extra)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    const struct job_extra *extra = job_extra(job);
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, job->id);
    sqlite3_bind_int64(s, 2, job->kind->word);
    sqlite3_bind_int64(s, 3, job->queue->word);
    sqlite3_bind_int(s, 4, job->priority);
    sqlite3_bind_int64(s, 5, job->created_at);
    sqlite3_bind_int(s, 6, job->max_attempts);
    sqlite3_bind_int64(s, 7, extra->timeout_ms);
    sqlite3_bind_int64(s, 8, extra->scheduled_at);
    sqlite3_bind_int(s, 9, job->attempt);
    sqlite3_bind_int(s, 10, job->crashes);
    sqlite3_bind_int64(s, 11, job->started_at);
    sqlite3_bind_int64(s, 12, now_wall);
    bind_unique(s, 13, job);
    bind_text(s, 14, job->bytes, job->args_n);
    bind_text(s, 15, extra->error, extra->error ? strlen(extra->error) : 0);
    bind_extra(s, 16, job);
    return run(conn, s, err);
}

static bool delete_row(struct sqlite_conn *conn, const char *sql, int64_t id, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, id);
    return run(conn, s, err);
}

static bool record_result(struct jobs *jobs, struct sqlite_conn *conn, const struct job *job,
                          int64_t now_wall, struct err *err)
{
    static const char sql[] =
        "INSERT OR REPLACE INTO maru_job_done(id, expires_at, kind, queue, priority, attempt,"
        " max_attempts, created_at, started_at, finished_at, result)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    int64_t ttl_ns = job_extra(job)->result_ttl_ns;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, job->id);
    sqlite3_bind_int64(s, 2, now_wall + (ttl_ns ? ttl_ns : jobs->options.result_ttl_ns));
    sqlite3_bind_int64(s, 3, job->kind->word);
    sqlite3_bind_int64(s, 4, job->queue->word);
    sqlite3_bind_int(s, 5, job->priority);
    sqlite3_bind_int(s, 6, job->attempt);
    sqlite3_bind_int(s, 7, job->max_attempts);
    sqlite3_bind_int64(s, 8, job->created_at);
    sqlite3_bind_int64(s, 9, job->started_at);
    sqlite3_bind_int64(s, 10, now_wall);
    bind_text(s, 11, job->result->bytes, job->result->n);
    return run(conn, s, err);
}

/* Dead jobs move to their table at once: they may come back under the same id,
 * which I8 does not allow for what is in maru_job_fin. */
static bool record_end(struct jobs *jobs, struct sqlite_conn *conn, const struct job *job,
                       int64_t now_wall, struct err *err)
{
    if (job->end == JOB_END_DISCARDED)
        return record_dead(conn, job, now_wall, err) &&
               delete_row(conn, "DELETE FROM maru_job WHERE id = ?1", job->id, err);
    struct fin_record record = job_record(job, now_wall);
    buf_add(&jobs->blob, &record, sizeof record);
    /* What a graph's step brings is in the step's own row. */
    return !job->result || workflow_is_graph_step(jobs, job->id) ||
           record_result(jobs, conn, job, now_wall, err);
}

static bool record_ends(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    static const char sql[] = "INSERT INTO maru_job_fin(seq, b) VALUES(?1, ?2)";
    int64_t now_wall = clock_wall_ns();
    buf_clear(&jobs->blob);
    list_each (node, &jobs->batch.ends)
        if (!record_end(jobs, conn, list_entry(node, struct job, link), now_wall, err))
            return false;
    if (jobs->blob.n == 0)
        return true;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, jobs->fold.next_seq);
    sqlite3_bind_blob64(s, 2, jobs->blob.p, jobs->blob.n, SQLITE_STATIC);
    return run(conn, s, err);
}

bool record_revival(struct sqlite_conn *conn, struct job *job, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(conn, insert_job, err);
    return s && insert(conn, s, job, err) &&
           delete_row(conn, "DELETE FROM maru_job_dead WHERE id = ?1", job->id, err);
}

bool record_batch(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    for (struct change_op *op = jobs->batch.revivals; op; op = op->next)
        change_undo(jobs, op);
    if (!record_words(jobs, conn, &jobs->words_written, err))
        return false;
    for (struct push_op *op = jobs->batch.pushes; op; op = op->next)
        if (!record_push(conn, op, err))
            return false;
    if (!record_updates(conn, jobs->batch.updates, err) || !record_ends(jobs, conn, err))
        return false;
    for (struct effect *e = jobs->batch.effects; e; e = e->next)
        if (!e->type->record(conn, e, err))
            return false;
    for (struct change_op *op = jobs->batch.revivals; op; op = op->next)
        if (!change_revive(jobs, conn, op, err))
            return false;
    return settings_record(conn, jobs->batch.settings, err) && workflow_record(jobs, conn, err);
}
