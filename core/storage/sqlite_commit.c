/* sqlite_commit.c -- begin and commit; and when to give up. */
#include "base/clock.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "storage/sqlite_private.h"

void writer_fail(struct sqlite *db, const struct err *err)
{
    struct writer *w = &db->writer;
    pthread_mutex_lock(&w->lock);
    bool first = !w->failed;
    if (first) {
        w->failed = true;
        w->failure = *err;
        err_wrap(&w->failure, "the store has failed");
    }
    pthread_mutex_unlock(&w->lock);
    if (!first)
        return;
    log_error("storage", "%s: nothing more is acknowledged", w->failure.message);
    if (db->options.failed)
        db->options.failed(db->options.failed_arg, &w->failure);
}

/* After an I/O error nobody knows what is on disk until it is read anew. */
void writer_fail_if_io(struct sqlite *db, const struct err *err)
{
    if (err->code == ERR_IO)
        writer_fail(db, err);
}

bool writer_in_transaction(struct sqlite *db)
{
    return !sqlite3_get_autocommit(db->writer.conn.db);
}

bool writer_step(struct sqlite *db, enum writer_step step, struct err *err)
{
    struct sqlite_conn *conn = &db->writer.conn;
    sqlite3_stmt *stmt = db->writer.steps[step];
    int rc = sqlite_step(conn, stmt, err);
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE;
}

bool writer_begin(struct sqlite *db, struct err *err)
{
    if (writer_step(db, STEP_BEGIN, err))
        return true;
    health_note(db, err);
    writer_fail_if_io(db, err);
    return false;
}

void writer_rollback(struct sqlite *db)
{
    struct err err;
    db->writer.conn.schema_changed = false;
    if (writer_in_transaction(db) && !writer_step(db, STEP_ROLLBACK, &err))
        writer_fail(db, &err);
}

/* Whether it is certain that nothing of the failed commit is on disk. */
static bool is_harmless(enum err_code code)
{
    return code == ERR_FULL || code == ERR_READONLY || code == ERR_CONSTRAINT ||
           code == ERR_UNIQUE || code == ERR_CORRUPT;
}

bool writer_commit(struct sqlite *db, struct err *err)
{
    struct writer *w = &db->writer;
    int64_t start = clock_steady_ns();
    bool ok = writer_step(db, STEP_COMMIT, err);
    metric_observe(w->commit_seconds, (double)(clock_steady_ns() - start) / (double)NS_PER_SECOND);
    health_note(db, ok ? NULL : err);
    if (!ok) {
        if (!is_harmless(err->code))
            writer_fail(db, err);
        writer_rollback(db);
        return false;
    }
    metric_add(w->commits, 1);
    if (w->conn.schema_changed) {
        w->conn.schema_changed = false;
        struct err load;
        if (!owners_load(&db->owners, &w->conn, &load))
            writer_fail(db, &load);
    }
    return true;
}

/* ORDER writer_step.  Prepared once: each member of a batch takes two of them. */
bool writer_prepare(struct sqlite *db, struct err *err)
{
    static const char *const sql[WRITER_STEPS] = {"begin immediate", "commit",    "rollback",
                                                  "savepoint m",     "release m", "rollback to m"};
    struct writer *w = &db->writer;
    for (int i = 0; i < WRITER_STEPS; i++) {
        int rc = sqlite3_prepare_v3(w->conn.db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &w->steps[i],
                                    NULL);
        if (rc != SQLITE_OK)
            return sqlite_error(&w->conn, rc, err);
    }
    return wal_prepare(w, err);
}

void writer_forget(struct writer *w)
{
    for (int i = 0; i < WRITER_STEPS; i++) {
        sqlite3_finalize(w->steps[i]);
        w->steps[i] = NULL;
    }
}
