#include "jobs/outbox.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "jobs/driver.h"
#include "observe/log.h"

static bool make_tables(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct outbox *box = arg;
    static const char tables[] = "CREATE TABLE IF NOT EXISTS maru_job_outbox(seq INTEGER PRIMARY "
                                 "KEY AUTOINCREMENT, kind TEXT,"
                                 " queue TEXT, priority INT, max_attempts INT, run_at INT, "
                                 "timeout_ms INT, uniq TEXT, args TEXT,"
                                 " extra TEXT, id INT);"
                                 "CREATE TABLE IF NOT EXISTS maru_job_home(home TEXT PRIMARY KEY)";
    if (!schema_make(conn, box->jobs, err) || !sqlite_exec(conn, tables, err))
        return false;
    sqlite3_stmt *s = sqlite_prepared(conn, "SELECT home FROM maru_job_home", err);
    if (!s)
        return false;
    bool there = sqlite_step(conn, s, err) == SQLITE_ROW;
    if (there)
        snprintf(box->home, sizeof box->home, "%s", (const char *)sqlite3_column_text(s, 0));
    sqlite3_reset(s);
    if (there)
        return true;
    rand_uuid7(box->home);
    s = sqlite_prepared(conn, "INSERT INTO maru_job_home VALUES(?1)", err);
    if (!s)
        return false;
    sqlite3_bind_text(s, 1, box->home, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

bool outbox_open(struct outbox *box, struct jobs *jobs, struct err *err)
{
    box->jobs = jobs;
    return sqlite_work_wait(jobs->db, make_tables, box, err);
}

static void bind_text(sqlite3_stmt *s, int i, struct str text)
{
    sqlite3_bind_text64(s, i, text.p, text.n, SQLITE_STATIC, SQLITE_UTF8);
}

static bool insert(struct sqlite_conn *conn, sqlite3_stmt *s, const struct job *job,
                   struct err *err)
{
    struct buf extra = {0};
    if (job->extra)
        extra_print(job->extra, &extra);
    bind_text(s, 1, str_c(job->kind->name));
    bind_text(s, 2, str_c(job->queue->name));
    sqlite3_bind_int(s, 3, job->priority);
    sqlite3_bind_int(s, 4, job->max_attempts);
    sqlite3_bind_int64(s, 5, job->run_at > job->created_at ? job->run_at : 0);
    sqlite3_bind_int64(s, 6, job_extra(job)->timeout_ms);
    bind_text(s, 7, job_unique(job));
    bind_text(s, 8, job_args(job));
    bind_text(s, 9, buf_str(&extra));
    sqlite3_bind_int64(s, 10, job->id);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    buf_free(&extra);
    return rc == SQLITE_DONE;
}

bool outbox_push(struct jobs *jobs, struct sqlite_conn *conn, struct push_op *op, struct err *err)
{
    (void)jobs;
    sqlite3_stmt *s =
        sqlite_prepared(conn,
                        "INSERT INTO maru_job_outbox(kind, queue, priority, max_attempts,"
                        " run_at, timeout_ms, uniq, args, extra, id)"
                        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                        err);
    if (op->unique_period_ns)
        extra_make(op->first)->unique_period_ns = op->unique_period_ns;
    for (const struct job *job = op->first; s && job; job = job->next)
        if (!insert(conn, s, job, err))
            return false;
    return s != NULL;
}

static struct str column(sqlite3_stmt *s, int i)
{
    const void *p = sqlite3_column_blob(s, i);
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(s, i));
}

static bool fill(struct job *job, sqlite3_stmt *s, struct err *err)
{
    job->priority = (uint8_t)sqlite3_column_int(s, 3);
    job->max_attempts = (uint16_t)sqlite3_column_int(s, 4);
    job->created_at = clock_wall_ns();
    job->run_at = sqlite3_column_int64(s, 5);
    extra_read(job, sqlite3_column_int64(s, 6), 0);
    return extra_parse(job, column(s, 9), err);
}

static bool read_rows(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct outbox_rows *rows = arg;
    struct jobs *jobs = rows->box->jobs;
    sqlite3_stmt *s =
        sqlite_prepared(conn,
                        "SELECT seq, kind, queue, priority, max_attempts, run_at, timeout_ms,"
                        " uniq, args, extra, id FROM maru_job_outbox ORDER BY seq LIMIT ?1",
                        err);
    int rc = SQLITE_ERROR;
    if (s)
        sqlite3_bind_int(s, 1, OUTBOX_ROWS);
    while (s && (rc = sqlite_step(conn, s, err)) == SQLITE_ROW) {
        struct outbox_row *row = mem_zero(1, sizeof *row);
        struct job *job = shared_job(jobs, sqlite3_column_int64(s, 10), 0, column(s, 1),
                                     column(s, 2), column(s, 8), column(s, 7));
        struct err why = {0};
        row->seq = sqlite3_column_int64(s, 0);
        row->op = (struct push_op){.jobs = jobs, .first = job, .count = 1};
        *rows->end = row;
        rows->end = &row->next;
        rows->count++;
        if (!job || !fill(job, s, &why))
            log_error("jobs", "job %lld, pushed in a transaction, is not whole: %s",
                      (long long)sqlite3_column_int64(s, 10),
                      job ? why.message : "too many names of kinds and queues are known");
        row->op.unique_period_ns = job ? job_extra(job)->unique_period_ns : 0;
    }
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

bool outbox_read(struct outbox *box, struct outbox_rows *rows, struct err *err)
{
    *rows = (struct outbox_rows){.box = box};
    rows->end = &rows->first;
    return sqlite_read_wait(box->jobs->db, read_rows, rows, err);
}

struct push_op *outbox_pushes(const struct outbox_rows *rows, int64_t seq)
{
    struct push_op *pushes = NULL, **end = &pushes;
    for (struct outbox_row *row = rows->first; row; row = row->next) {
        if (row->seq <= seq || !row->op.first)
            continue;
        *end = &row->op;
        end = &row->op.next;
    }
    *end = NULL;
    return pushes;
}

int64_t outbox_last(const struct outbox_rows *rows)
{
    int64_t last = 0;
    for (const struct outbox_row *row = rows->first; row; row = row->next)
        last = row->seq;
    return last;
}

static bool delete_rows(struct sqlite_conn *conn, void *arg, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(conn, "DELETE FROM maru_job_outbox WHERE seq <= ?1", err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, *(const int64_t *)arg);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

bool outbox_delete(const struct outbox_rows *rows, struct err *err)
{
    int64_t last = outbox_last(rows);
    return sqlite_work_wait(rows->box->jobs->db, delete_rows, &last, err);
}

void outbox_complain(const struct push_op *op)
{
    for (; op; op = op->next)
        if (op->duplicate)
            log_warn("jobs", "%s pushed in a transaction was not: its unique key was taken",
                     op->first->kind->name);
}

void outbox_free(struct outbox_rows *rows)
{
    for (struct outbox_row *row = rows->first, *next; row; row = next) {
        next = row->next;
        if (row->op.first)
            job_unref(row->op.first);
        mem_free(row);
    }
    rows->first = NULL;
}
