/* attempt.c -- the log of a job's failed attempts: what it said, where, when, on which lane.
 *
 * A line is written in the commit that says what becomes of the job (I9), a crash's by
 * recovery together with its count.  The newest ATTEMPTS_KEPT of a job stay, and none
 * longer than a dead job would.
 */
#include "jobs/attempt.h"

#include "base/json.h"
#include "base/mem.h"

static const char insert[] =
    "INSERT INTO maru_job_attempt(job, attempt, started_at, ended_at, error, traceback, lane)"
    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";
static const char trim[] =
    "DELETE FROM maru_job_attempt WHERE job = ?1 AND id <= (SELECT id FROM maru_job_attempt"
    " WHERE job = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";

static void bind_text(sqlite3_stmt *s, int i, const char *text)
{
    if (text && *text)
        sqlite3_bind_text(s, i, text, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(s, i);
}

static bool write_line(struct sqlite_conn *conn, const struct attempt *a, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(conn, insert, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, a->job);
    sqlite3_bind_int(s, 2, a->number);
    sqlite3_bind_int64(s, 3, a->started_at);
    sqlite3_bind_int64(s, 4, a->ended_at);
    bind_text(s, 5, a->error);
    bind_text(s, 6, a->traceback);
    bind_text(s, 7, a->lane);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    if (rc != SQLITE_DONE || a->total < ATTEMPTS_KEPT)
        return rc == SQLITE_DONE;
    if (!(s = sqlite_prepared(conn, trim, err)))
        return false;
    sqlite3_bind_int64(s, 1, a->job);
    sqlite3_bind_int(s, 2, ATTEMPTS_KEPT);
    rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool record(struct sqlite_conn *conn, const struct effect *effect, struct err *err)
{
    return write_line(conn, (const struct attempt *)(const void *)effect, err);
}

static void free_attempt(struct effect *effect)
{
    struct attempt *a = (struct attempt *)(void *)effect;
    mem_free(a->error);
    mem_free(a->traceback);
    mem_free(a);
}

static const struct effect_type attempt_type = {.record = record, .free = free_attempt};

const struct attempt *attempt_of(const struct effect *effect)
{
    return effect->type == &attempt_type ? (const struct attempt *)(const void *)effect : NULL;
}

void attempt_log(struct jobs *jobs, const struct job *job, const struct run *run, int64_t now_wall)
{
    struct attempt *a = mem_zero(1, sizeof *a);
    a->effect.type = &attempt_type;
    a->job = job->id;
    a->started_at = job->started_at;
    a->ended_at = now_wall;
    a->number = job->attempt;
    a->total = job_extra(job)->logged ? ATTEMPTS_KEPT : job->attempt + job->crashes;
    a->error = mem_strdup(run->error);
    a->traceback = mem_strdup(run->traceback);
    if (run->worker)
        snprintf(a->lane, sizeof a->lane, "%s", run->worker->lane->name);
    batch_add_effect(&jobs->pending, &a->effect);
}

bool attempt_log_crash(struct sqlite_conn *conn, const struct job *job,
                       const struct flight_entry *entry, const char *evidence, int64_t now_wall,
                       struct err *err)
{
    struct attempt a = {.job = job->id,
                        .started_at = entry->started_wall,
                        .ended_at = now_wall,
                        .number = entry->attempt,
                        .total = ATTEMPTS_KEPT};
    a.error = (char *)evidence;
    return write_line(conn, &a, err);
}

void attempt_print_line(struct json *w, const struct attempt_line *line)
{
    json_open(w, '{');
    json_key(w, "attempt");
    json_int(w, line->attempt);
    print_time(w, "started_at", line->started_at);
    print_time(w, "ended_at", line->ended_at);
    json_key(w, "error");
    json_cstr(w, line->error);
    json_key(w, "traceback");
    json_cstr(w, line->traceback);
    json_key(w, "lane");
    json_cstr(w, line->lane);
    if (line->node) {
        json_key(w, "node");
        json_cstr(w, line->node);
    }
    json_close(w, '}');
}

static void print_line(struct json *w, sqlite3_stmt *s)
{
    const struct attempt_line line = {
        .attempt = sqlite3_column_int64(s, 0),
        .started_at = sqlite3_column_int64(s, 1),
        .ended_at = sqlite3_column_int64(s, 2),
        .error = (const char *)sqlite3_column_text(s, 3),
        .traceback = (const char *)sqlite3_column_text(s, 4),
        .lane = (const char *)sqlite3_column_text(s, 5),
    };
    attempt_print_line(w, &line);
}

bool attempt_print(struct sqlite_conn *conn, int64_t job, struct buf *out, struct err *err)
{
    static const char sql[] =
        "SELECT attempt, started_at, ended_at, error, traceback, lane FROM maru_job_attempt"
        " WHERE job = ?1 ORDER BY id";
    int rc;
    struct json w = json_to(out);
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, job);
    json_open(&w, '[');
    while ((rc = sqlite_step(conn, s, err)) == SQLITE_ROW)
        print_line(&w, s);
    json_close(&w, ']');
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}
