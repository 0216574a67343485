/* postgres_outbox.c -- tx.jobs:push: rows of the server's own transaction, relayed.
 *
 * What is pushed inside store:tx is a row in maru_job_outbox of the same SQLite commit; the
 * writer thread then takes it to PostgreSQL.  maru.relay has, for this state.dir, the number of
 * the last row that arrived, in the transaction that inserts it, so that a row which is
 * relayed again after a crash inserts nothing. */
#include "jobs/postgres.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/log.h"

enum { RELAY_ROWS = 500, RELAY_MS = 1000 };

struct outbox_row {
    struct outbox_row *next;
    int64_t seq;
    struct push_op op;
};

struct reading {
    struct pg *pg;
    struct outbox_row *first, **end;
    int count;
};

static bool make_tables(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct pg *pg = arg;
    static const char tables[] = "CREATE TABLE IF NOT EXISTS maru_job_outbox(seq INTEGER PRIMARY "
                                 "KEY AUTOINCREMENT, kind TEXT,"
                                 " queue TEXT, priority INT, max_attempts INT, run_at INT, "
                                 "timeout_ms INT, uniq TEXT, args TEXT,"
                                 " extra TEXT, id INT);"
                                 "CREATE TABLE IF NOT EXISTS maru_job_home(home TEXT PRIMARY KEY)";
    if (!schema_make(conn, pg->jobs, err) || !sqlite_exec(conn, tables, err))
        return false;
    sqlite3_stmt *s = sqlite_prepared(conn, "SELECT home FROM maru_job_home", err);
    if (!s)
        return false;
    bool there = sqlite_step(conn, s, err) == SQLITE_ROW;
    if (there)
        snprintf(pg->home, sizeof pg->home, "%s", (const char *)sqlite3_column_text(s, 0));
    sqlite3_reset(s);
    if (there)
        return true;
    rand_uuid7(pg->home);
    s = sqlite_prepared(conn, "INSERT INTO maru_job_home VALUES(?1)", err);
    if (!s)
        return false;
    sqlite3_bind_text(s, 1, pg->home, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

bool pg_open_outbox(struct pg *pg, struct err *err)
{
    return sqlite_work_wait(pg->jobs->db, make_tables, pg, err);
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

bool pg_push_tx(struct jobs *jobs, struct sqlite_conn *conn, struct push_op *op, struct err *err)
{
    (void)jobs;
    sqlite3_stmt *s =
        sqlite_prepared(conn,
                        "INSERT INTO maru_job_outbox(kind, queue, priority, max_attempts,"
                        " run_at, timeout_ms, uniq, args, extra, id)"
                        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                        err);
    for (const struct job *job = op->first; s && job; job = job->next)
        if (!insert(conn, s, job, err))
            return false;
    return s != NULL;
}

void pg_tx_committed(struct jobs *jobs)
{
    struct pg *pg = jobs->record;
    pthread_mutex_lock(&pg->lock);
    pg->relay_wanted = true;
    pthread_cond_signal(&pg->write_wake);
    pthread_mutex_unlock(&pg->lock);
}

static struct str column(sqlite3_stmt *s, int i)
{
    const void *p = sqlite3_column_blob(s, i);
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(s, i));
}

static bool read_rows(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct reading *r = arg;
    sqlite3_stmt *s =
        sqlite_prepared(conn,
                        "SELECT seq, kind, queue, priority, max_attempts, run_at, timeout_ms,"
                        " uniq, args, extra, id FROM maru_job_outbox ORDER BY seq LIMIT 500",
                        err);
    int rc = SQLITE_ERROR;
    while (s && (rc = sqlite_step(conn, s, err)) == SQLITE_ROW) {
        struct outbox_row *row = mem_zero(1, sizeof *row);
        struct job *job = shared_job(r->pg->jobs, sqlite3_column_int64(s, 10), 0, column(s, 1),
                                     column(s, 2), column(s, 8), column(s, 7));
        row->seq = sqlite3_column_int64(s, 0);
        row->op = (struct push_op){.jobs = r->pg->jobs, .first = job, .count = 1};
        *r->end = row;
        r->end = &row->next;
        r->count++;
        if (!job)
            continue;
        job->priority = (uint8_t)sqlite3_column_int(s, 3);
        job->max_attempts = (uint16_t)sqlite3_column_int(s, 4);
        job->created_at = clock_wall_ns();
        job->run_at = sqlite3_column_int64(s, 5);
        extra_read(job, sqlite3_column_int64(s, 6), 0);
        extra_parse(job, column(s, 9), err);
    }
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
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

/* The number of the last row that arrived; < 0 with *err.  Its row is locked until the end. */
static int64_t arrived(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    pg_text(&a, pg->home);
    PGresult *r = pg_call(&pg->to_write,
                          "INSERT INTO maru.relay VALUES($1, 0) ON CONFLICT (home) DO UPDATE"
                          " SET seq = maru.relay.seq RETURNING seq",
                          &a, err);
    int64_t seq = r ? pg_get_int(r, 0, 0) : -1;
    PQclear(r);
    return seq;
}

static bool advance(struct pg *pg, int64_t seq, struct err *err)
{
    struct pg_args a = {0};
    pg_text(&a, pg->home);
    pg_int(&a, seq);
    PGresult *r = pg_call(&pg->to_write, "UPDATE maru.relay SET seq = $2 WHERE home = $1", &a, err);
    PQclear(r);
    return r != NULL;
}

/* Rows that are new there, as the pushes of a batch of their own. */
static bool relay(struct pg *pg, struct reading *r, int64_t *last, struct err *err)
{
    struct push_op *pushes = NULL, **end = &pushes;
    int64_t seq;
    if (!pg_connect(&pg->to_write, err) || !pg_run(&pg->to_write, "BEGIN", err) ||
        (seq = arrived(pg, err)) < 0)
        return false;
    for (struct outbox_row *row = r->first; row; row = row->next) {
        *last = row->seq;
        if (row->seq <= seq || !row->op.first)
            continue;
        *end = &row->op;
        end = &row->op.next;
    }
    *end = NULL;
    if ((!pushes || pg_write_pushes(pg, pushes, err)) && advance(pg, *last, err) &&
        pg_run(&pg->to_write, "COMMIT", err)) {
        for (struct push_op *op = pushes; op; op = op->next)
            if (op->duplicate)
                log_warn("jobs", "%s pushed in a transaction was not: its unique key was taken",
                         op->first->kind->name);
        return true;
    }
    return false;
}

static void free_rows(struct outbox_row *row)
{
    for (struct outbox_row *next; row; row = next) {
        next = row->next;
        if (row->op.first)
            job_unref(row->op.first);
        mem_free(row);
    }
}

void pg_relay(struct pg *pg)
{
    struct reading r = {.pg = pg};
    struct err err = {0}, ignored;
    int64_t last = 0;
    r.end = &r.first;
    bool ok = pg_ids(pg, &err) && sqlite_read_wait(pg->jobs->db, read_rows, &r, &err);
    bool sent = ok && r.first && relay(pg, &r, &last, &err);
    if (ok && r.first && !sent)
        pg_run(&pg->to_write, "ROLLBACK", &ignored);
    if (sent)
        ok = sqlite_work_wait(pg->jobs->db, delete_rows, &last, &err);
    if (err.code)
        log_warn("jobs", "pushes of transactions wait: %s", err.message);
    pthread_mutex_lock(&pg->lock);
    pg->relay_wanted = !pg->ending && (err.code || r.count == RELAY_ROWS || pg->relay_wanted);
    pg->claim_wanted = pg->claim_wanted || sent;
    pthread_cond_signal(&pg->claim_wake);
    if (err.code && !pg->ending)
        pg_sleep(pg, &pg->write_wake, clock_ns() + RELAY_MS * NS_PER_MS);
    pthread_mutex_unlock(&pg->lock);
    free_rows(r.first);
}
