/* sqlite_commit.c -- begin, commit, checkpoint; and when to give up. */
#include "base/clock.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "storage/sqlite_private.h"

enum {
    WAL_FACTOR = 64,  /* a WAL that many checkpoints long is worth waiting for readers */
    RESTART_MS = 200, /* … so long at most */
};

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

static int on_wal(void *arg, sqlite3 *handle, const char *schema, int pages)
{
    struct writer *w = arg;
    (void)handle;
    (void)schema;
    if (pages < w->wal_pages)
        w->checkpoint_at = SQLITE_CHECKPOINT; /* the WAL began anew */
    w->wal_pages = pages;
    return SQLITE_OK;
}

/* Readers may keep the WAL from being started anew: then the next attempt
 * comes only after as many pages again, and when it has grown long it is worth
 * a short wait for them. */
void writer_checkpoint(struct sqlite *db)
{
    struct writer *w = &db->writer;
    metric_set(w->wal_size, w->wal_pages);
    if (w->wal_pages < w->checkpoint_at)
        return;
    bool restart = w->wal_pages > SQLITE_CHECKPOINT * WAL_FACTOR;
    sqlite3_busy_timeout(w->conn.db, restart ? RESTART_MS : 0);
    int mode = restart ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
    int rc = sqlite3_wal_checkpoint_v2(w->conn.db, NULL, mode, NULL, NULL);
    sqlite3_busy_timeout(w->conn.db, CONN_BUSY_MS);
    w->checkpoint_at = w->wal_pages + SQLITE_CHECKPOINT;
    struct err err;
    if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED) {
        sqlite_error(&w->conn, rc, &err);
        err_wrap(&err, "checkpoint");
        log_error("storage", "%s", err.message);
        writer_fail_if_io(db, &err);
    }
}

/* ORDER writer_step.  Prepared once: each member of a batch takes two of them. */
bool writer_prepare(struct sqlite *db, struct err *err)
{
    static const char *const sql[WRITER_STEPS] = {"begin immediate", "commit",    "rollback",
                                                  "savepoint m",     "release m", "rollback to m"};
    struct writer *w = &db->writer;
    w->checkpoint_at = SQLITE_CHECKPOINT;
    sqlite3_wal_hook(w->conn.db, on_wal, w);
    for (int i = 0; i < WRITER_STEPS; i++) {
        int rc = sqlite3_prepare_v3(w->conn.db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &w->steps[i],
                                    NULL);
        if (rc != SQLITE_OK)
            return sqlite_error(&w->conn, rc, err);
    }
    return true;
}

void writer_forget(struct writer *w)
{
    for (int i = 0; i < WRITER_STEPS; i++) {
        sqlite3_finalize(w->steps[i]);
        w->steps[i] = NULL;
    }
}
