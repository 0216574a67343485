/* schema.c -- the queue's tables, and what was added to them since their first version. */
#include "jobs/private.h"

#include <stdio.h>

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS maru_job(id INTEGER PRIMARY KEY, kind INT, queue INT,"
    " priority INT, created_at INT, run_at INT, attempt INT, max_attempts INT, timeout_ms INT,"
    " scheduled_at INT, crashes INT, uniq TEXT, args TEXT, error TEXT);"
    "CREATE TABLE IF NOT EXISTS maru_job_fin(seq INTEGER PRIMARY KEY, b BLOB);"
    "CREATE TABLE IF NOT EXISTS maru_job_dead(id INTEGER PRIMARY KEY, kind INT, queue INT,"
    " priority INT, created_at INT, max_attempts INT, timeout_ms INT, scheduled_at INT,"
    " attempt INT, crashes INT, started_at INT, dead_at INT, uniq TEXT, args TEXT, error TEXT);"
    "CREATE TABLE IF NOT EXISTS maru_job_done(id INTEGER PRIMARY KEY, expires_at INT, kind INT,"
    " queue INT, priority INT, attempt INT, max_attempts INT, created_at INT, started_at INT,"
    " finished_at INT, result TEXT);"
    "CREATE TABLE IF NOT EXISTS maru_job_attempt(id INTEGER PRIMARY KEY, job INT, attempt INT,"
    " started_at INT, ended_at INT, error TEXT, traceback TEXT, lane TEXT);"
    "CREATE INDEX IF NOT EXISTS maru_job_attempt_job ON maru_job_attempt(job);"
    "CREATE TABLE IF NOT EXISTS maru_job_batch(id INTEGER PRIMARY KEY, total INT, succeeded INT,"
    " failed INT, created_at INT, finished_at INT, done_kind INT, done_args TEXT, done_job INT,"
    " description TEXT);"
    "CREATE TABLE IF NOT EXISTS maru_job_unique(id INTEGER PRIMARY KEY, kind INT, key TEXT,"
    " until INT);"
    "CREATE TABLE IF NOT EXISTS maru_job_word(id INTEGER PRIMARY KEY, is_queue INT, word TEXT);"
    "CREATE TABLE IF NOT EXISTS maru_job_meta(key TEXT PRIMARY KEY, value INT) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS maru_job_rate(at INT, queue INT, pushed INT, done INT, failed INT,"
    " p50 INT, p99 INT, PRIMARY KEY(at, queue)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS maru_job_queue(queue TEXT PRIMARY KEY, paused INT,"
    " concurrency INT, rate INT, rate_period INT, weight INT, key_concurrency INT, key_rate INT,"
    " key_rate_period INT) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS maru_cron_fire(schedule TEXT, at INT, job INT,"
    " PRIMARY KEY(schedule, at)) WITHOUT ROWID;"
    "INSERT OR IGNORE INTO maru_job_meta(key, value) VALUES('epoch', 0), ('next_id', 1);"
    "UPDATE maru_job_meta SET value = value + 1 WHERE key = 'epoch';";

/* Every database gets these by ALTER TABLE, a new one too: the way is always tried. */
static const struct {
    const char *table, *column, *type;
} added[] = {
    {"maru_job", "extra", "TEXT"},
    {"maru_job_dead", "extra", "TEXT"},
};

static bool has_column(struct sqlite_conn *conn, const char *table, const char *column, bool *has,
                       struct err *err)
{
    sqlite3_stmt *s =
        sqlite_prepared(conn, "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2", err);
    if (!s)
        return false;
    sqlite3_bind_text(s, 1, table, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, column, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    *has = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

bool schema_make(struct sqlite_conn *conn, void *arg, struct err *err)
{
    char sql[160];
    if (!sqlite_exec(conn, schema, err))
        return false;
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        bool has;
        if (!has_column(conn, added[i].table, added[i].column, &has, err))
            return false;
        snprintf(sql, sizeof sql, "ALTER TABLE %s ADD COLUMN %s %s", added[i].table,
                 added[i].column, added[i].type);
        if (!has && !sqlite_exec(conn, sql, err))
            return false;
    }
    return workflow_open_sqlite(arg, conn, err);
}
