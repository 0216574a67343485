#include "base/mem.h"
#include "cron/record.h"
#include "storage/sqlite.h"

/* maru_cron_fire has one row for each fire, and in databases of older programs one with job 0 for
 * the moment a schedule was first seen.  It is the queue's, which writes it with the job. */
static const char schema[] =
    "CREATE TABLE IF NOT EXISTS maru_cron_fire(schedule TEXT, at INT, job INT,"
    " PRIMARY KEY(schedule, at)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS maru_cron_state(schedule TEXT PRIMARY KEY, since INT,"
    " paused INT NOT NULL DEFAULT 0) WITHOUT ROWID;";

/* From one schedule's last row to the next one's: as many steps as there are schedules, however
 * many fires there are. */
static const char read_sql[] =
    "WITH RECURSIVE k(s) AS (SELECT min(schedule) FROM maru_cron_fire UNION ALL"
    " SELECT (SELECT min(schedule) FROM maru_cron_fire WHERE schedule > s) FROM k"
    " WHERE s IS NOT NULL),"
    " every(s) AS (SELECT s FROM k WHERE s IS NOT NULL UNION SELECT schedule FROM maru_cron_state)"
    " SELECT s, f.at, f.job, n.at, t.since, t.paused FROM every"
    " LEFT JOIN maru_cron_state t ON t.schedule = s"
    " LEFT JOIN maru_cron_fire n ON n.schedule = s AND n.at ="
    "  (SELECT max(at) FROM maru_cron_fire WHERE schedule = s)"
    " LEFT JOIN maru_cron_fire f ON f.schedule = s AND f.at ="
    "  (SELECT at FROM maru_cron_fire WHERE schedule = s AND job > 0 ORDER BY at DESC LIMIT 1)";

static bool read_work(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct cron_load *load = arg;
    sqlite3_stmt *s = sqlite_prepared(conn, read_sql, err);
    int rc = SQLITE_ERROR, cap = 0;
    while (s && (rc = sqlite_step(conn, s, err)) == SQLITE_ROW) {
        if (load->count == cap) {
            cap = cap ? cap * 2 : 64;
            load->rows = mem_realloc(load->rows, (size_t)cap * sizeof *load->rows);
        }
        int64_t newest = sqlite3_column_int64(s, 3), since = sqlite3_column_int64(s, 4);
        load->rows[load->count++] = (struct cron_row){
            .schedule = mem_strdup((const char *)sqlite3_column_text(s, 0)),
            .last = sqlite3_column_int64(s, 1),
            .job = sqlite3_column_int64(s, 2),
            .since = newest > since ? newest : since,
            .paused = sqlite3_column_int(s, 5) != 0,
        };
    }
    return rc == SQLITE_DONE;
}

struct keeping {
    struct sqlite_write write; /* first */
    struct cron_keep *keep;
};

static const char *const sql_of[] = {
    [KEEP_SINCE] = "INSERT INTO maru_cron_state(schedule, since) VALUES(?1, ?2)"
                   " ON CONFLICT(schedule) DO UPDATE SET since = max(since, ?2)",
    [KEEP_PAUSE] = "INSERT INTO maru_cron_state(schedule, since, paused) VALUES(?1, ?2, ?3)"
                   " ON CONFLICT(schedule) DO UPDATE SET since = max(since, ?2), paused = ?3",
    [KEEP_PRUNE] = "DELETE FROM maru_cron_fire WHERE schedule = ?1 AND at < ?2"
                   " AND at < (SELECT max(at) FROM maru_cron_fire WHERE schedule = ?1)",
};

static bool keep_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    const struct cron_keep *keep = ((struct keeping *)w)->keep;
    for (int i = 0; i < keep->count; i++) {
        const struct cron_row *row = &keep->rows[i];
        sqlite3_stmt *s = sqlite_prepared(conn, sql_of[keep->what], &w->err);
        if (!s)
            return false;
        sqlite3_bind_text(s, 1, row->schedule, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 2, row->since);
        if (keep->what == KEEP_PAUSE)
            sqlite3_bind_int(s, 3, row->paused);
        if (sqlite_step(conn, s, &w->err) != SQLITE_DONE)
            return false;
    }
    return true;
}

static void kept(struct sqlite_write *w)
{
    struct cron_keep *keep = ((struct keeping *)w)->keep;
    keep->err = w->err;
    mem_free(w);
    keep->done(keep);
}

static void keep(void *db, struct cron_keep *keep)
{
    struct keeping *k = mem_zero(1, sizeof *k);
    k->write.work = keep_work;
    k->write.done = kept;
    k->keep = keep;
    sqlite_write(db, &k->write, keep->lane);
}

void cron_rows_free(struct cron_row *rows, int count)
{
    for (int i = 0; i < count; i++)
        mem_free(rows[i].schedule);
    mem_free(rows);
}

static bool schema_work(struct sqlite_conn *conn, void *arg, struct err *err)
{
    (void)arg;
    return sqlite_exec(conn, schema, err);
}

bool record_sqlite(struct sqlite *db, struct cron_record *out, struct cron_load *load,
                   struct err *err)
{
    *out = (struct cron_record){.keep = keep, .arg = db};
    return (sqlite_work_wait(db, schema_work, NULL, err) &&
            sqlite_read_wait(db, read_work, load, err)) ||
           err_wrap(err, "cron: read what fired last");
}
