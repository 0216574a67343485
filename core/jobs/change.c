#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/mem.h"

static void on_answer(struct lane_message *message)
{
    struct jobs_change *change = (struct jobs_change *)(void *)message;
    change->done(change);
}

void change_reply(struct jobs_change *change, const struct err *err)
{
    change->err = err ? *err : (struct err){0};
    change->message.fn = on_answer;
    if (change->lane)
        lane_post(change->lane, &change->message);
    else
        change->done(change);
}

void change_answer(struct change_op *op, const struct err *err)
{
    struct jobs_change *change = op->change;
    mem_free(op);
    change_reply(change, err);
}

static struct change_op *op_create(struct jobs_change *change, int64_t id)
{
    struct change_op *op = mem_zero(1, sizeof *op);
    op->change = change;
    op->id = id;
    return op;
}

/* Lock held.  True when the answer comes with the commit. */
static bool cancel(struct jobs *jobs, struct jobs_change *change, struct job *job)
{
    if (job->place == PLACE_RUNNING) {
        run_ask(job->run, JOB_END_CANCELLED);
        return false;
    }
    if (job->place == PLACE_CLAIMED)
        unclaim(jobs, job);
    if (job->place != PLACE_FINISHING)
        job_over(jobs, job, JOB_END_CANCELLED);
    struct change_op *op = op_create(change, job->id);
    op->next = index_get(&jobs->watched, job->id);
    index_set(&jobs->watched, job->id, op);
    return true;
}

void jobs_cancel(struct jobs *jobs, struct jobs_change *change, int64_t id)
{
    struct err err = {0};
    bool later = false;
    if (jobs->driver->cancel) {
        jobs->driver->cancel(jobs, change, id);
        return;
    }
    jobs_lock(jobs);
    struct job *job = index_get(&jobs->index, id);
    if (jobs->failed.code)
        err = jobs->failed;
    else if (!job)
        err_set(&err, ERR_NOT_FOUND, "jobs: no unfinished job %lld", (long long)id);
    else
        later = cancel(jobs, change, job);
    dispatch(jobs);
    jobs_unlock(jobs);
    if (!later)
        change_reply(change, err.code ? &err : NULL);
}

/* Lock held.  The row is to say so too, or a restart would delay it again.  The same for one
 * that is due already: whoever made it so may still wait for the commit. */
static void hurry(struct jobs *jobs, struct job *job, struct change_op *change)
{
    bool has_begun = job->place == PLACE_CLAIMED || job->place == PLACE_RUNNING;
    struct update_op *op = mem_zero(1, sizeof *op);
    if (job->place == PLACE_DELAYED) {
        job->run_at = clock_wall_ns();
        place_set(jobs, job, PLACE_READY);
    }
    op->id = job->id;
    op->run_at = job->run_at;
    op->attempt = job->attempt - has_begun;
    op->error = mem_strdup(job_extra(job)->error);
    op->change = change;
    batch_add_update(&jobs->pending, op);
    dispatch(jobs);
}

void jobs_retry(struct jobs *jobs, struct jobs_change *change, int64_t id)
{
    struct err err = {0};
    bool later = false;
    if (jobs->driver->retry) {
        jobs->driver->retry(jobs, change, id);
        return;
    }
    jobs_lock(jobs);
    struct job *job = index_get(&jobs->index, id);
    if (jobs->failed.code || jobs->closed)
        err_set(&err, ERR_CLOSED, "jobs: the queue is closed");
    else if (job && job->place == PLACE_FINISHING)
        err_set(&err, ERR_NOT_FOUND, "jobs: job %lld has just ended", (long long)id);
    else if (job) {
        hurry(jobs, job, op_create(change, id));
        later = true;
    } else {
        batch_add_revival(&jobs->pending, op_create(change, id));
        later = true;
    }
    jobs_unlock(jobs);
    if (!later)
        change_reply(change, err.code ? &err : NULL);
}

void jobs_discard(struct jobs *jobs, struct jobs_change *change, int64_t id)
{
    struct err err = {0};
    if (jobs->driver->discard) {
        jobs->driver->discard(jobs, change, id);
        return;
    }
    jobs_lock(jobs);
    bool queued = index_get(&jobs->index, id) != NULL || jobs->driver->cancel;
    if (jobs->failed.code || jobs->closed)
        err_set(&err, ERR_CLOSED, "jobs: the queue is closed");
    else if (!queued) {
        struct change_op *op = op_create(change, id);
        op->discard = true;
        batch_add_revival(&jobs->pending, op);
    }
    jobs_unlock(jobs);
    if (err.code)
        change_reply(change, &err);
    else if (queued)
        jobs_cancel(jobs, change, id);
}

void change_undo(struct jobs *jobs, struct change_op *op)
{
    if (!op->revived)
        return;
    jobs_lock(jobs);
    unique_release(jobs, op->revived);
    jobs_unlock(jobs);
    job_unref(op->revived);
    op->revived = NULL;
}

static struct str column_text(sqlite3_stmt *s, int i)
{
    const void *p = sqlite3_column_blob(s, i);
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(s, i));
}

/* The dead row as a job with all its attempts before it. */
static struct job *revived_job(struct jobs *jobs, sqlite3_stmt *s, int64_t id, struct err *err)
{
    uint32_t kind = (uint32_t)sqlite3_column_int64(s, 0);
    uint32_t queue = (uint32_t)sqlite3_column_int64(s, 1);
    struct job *job = job_create(column_text(s, 8), column_text(s, 7));
    job->id = id; /* before the key: who has it may be replaced from then on */
    extra_read(job, sqlite3_column_int64(s, 5), sqlite3_column_int64(s, 6));
    bool readable = extra_parse(job, column_text(s, 9), err);
    extra_make(job)->batch = 0; /* where it counts as failed */
    job->extra->expires_at = 0; /* it is due now because somebody says so */
    job->extra->logged = 1;
    job->priority = (uint8_t)(sqlite3_column_int64(s, 2) % JOBS_PRIORITIES);
    job->created_at = sqlite3_column_int64(s, 3);
    job->max_attempts = (uint16_t)sqlite3_column_int64(s, 4);
    job->run_at = clock_wall_ns();
    jobs_lock(jobs);
    job->kind = kind <= jobs->words ? jobs->kind_words[kind] : NULL;
    job->queue = queue <= jobs->words ? jobs->queue_words[queue] : NULL;
    if (readable && (!job->kind || !job->queue))
        err_set(err, ERR_CORRUPT, "jobs: a dead job has an unknown kind or queue");
    else if (readable && !unique_take(jobs, job))
        err_set(err, ERR_EXISTS, "jobs: an unfinished %s has its unique key", job->kind->name);
    jobs_unlock(jobs);
    if (err->code) {
        job_unref(job);
        return NULL;
    }
    return job;
}

static bool forget_dead(struct jobs *jobs, struct sqlite_conn *conn, struct change_op *op,
                        struct err *err)
{
    static const char sql[] = "DELETE FROM maru_job_dead WHERE id = ?1 RETURNING queue";
    op->gone = NULL;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, op->id);
    int rc = sqlite_step(conn, s, err);
    uint32_t word = rc == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(s, 0) : 0;
    bool ok = rc == SQLITE_DONE || (rc == SQLITE_ROW && sqlite_step(conn, s, err) == SQLITE_DONE);
    sqlite3_reset(s);
    if (rc == SQLITE_DONE)
        err_set(&op->err, ERR_NOT_FOUND, "jobs: no dead or queued job %lld", (long long)op->id);
    jobs_lock(jobs);
    op->gone = word && word <= jobs->words ? jobs->queue_words[word] : NULL;
    jobs_unlock(jobs);
    return ok;
}

bool change_revive(struct jobs *jobs, struct sqlite_conn *conn, struct change_op *op,
                   struct err *err)
{
    static const char read[] = "SELECT kind, queue, priority, created_at, max_attempts, timeout_ms,"
                               " scheduled_at, uniq, args, extra FROM maru_job_dead WHERE id = ?1";
    op->err = (struct err){0};
    if (op->discard)
        return forget_dead(jobs, conn, op, err);
    sqlite3_stmt *s = sqlite_prepared(conn, read, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, op->id);
    int rc = sqlite_step(conn, s, err);
    if (rc == SQLITE_ROW)
        op->revived = revived_job(jobs, s, op->id, &op->err);
    else if (rc == SQLITE_DONE)
        err_set(&op->err, ERR_NOT_FOUND, "jobs: no dead or delayed job %lld", (long long)op->id);
    sqlite3_reset(s);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return false;
    if (!op->revived)
        return true; /* only this change fails */
    return record_revival(conn, op->revived, err);
}
