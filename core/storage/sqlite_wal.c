/* sqlite_wal.c -- the write-ahead log's length: checkpoints, and room made ahead.
 *
 * A sync of a file that has grown writes the file's metadata, too: on ext4 a commit into blocks
 * that have been written before takes half the time (p50 0.10 for 0.20 ms here).  After a
 * checkpoint the log is written anew from its beginning, so only its first round grows: that one
 * gets its room from here, in zeros, which no reader takes for a frame (a frame's page number is
 * not 0, and its salt is the header's: sqlite.org/fileformat2.html, 4.1).
 */
#include "base/clock.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "storage/sqlite_private.h"

enum {
    WAL_FACTOR = 8,          /* a WAL that many checkpoints long is worth waiting for readers */
    RESTART_MS = 200,        /* … so long at most */
    ROOM = 1024 * 1024,      /* made at once … */
    ROOM_LEFT = ROOM / 4,    /* … when less than this is left */
    ROOM_PAUSE_SECONDS = 60, /* after the disk had none */
    FRAME_HEADER = 24,
};

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

bool wal_prepare(struct writer *w, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(&w->conn, "pragma page_size", err);
    if (!s || sqlite_step(&w->conn, s, err) != SQLITE_ROW)
        return false;
    w->page_bytes = sqlite3_column_int(s, 0);
    sqlite3_reset(s);
    w->checkpoint_at = SQLITE_CHECKPOINT;
    sqlite3_wal_hook(w->conn.db, on_wal, w);
    return true;
}

static int write_zeros(sqlite3_file *file, sqlite3_int64 from)
{
    static const char zeros[ROOM / 16];
    int rc = SQLITE_OK;
    for (int i = 0; i < ROOM && rc == SQLITE_OK; i += (int)sizeof zeros)
        rc = file->pMethods->xWrite(file, zeros, sizeof zeros, from + i);
    return rc;
}

/* What cannot be written is not missed: a commit grows the file then, or says that it cannot.
 * A failed sync is as bad as any. */
static void make_room(struct sqlite *db)
{
    struct writer *w = &db->writer;
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0, used = (sqlite3_int64)w->wal_pages * (w->page_bytes + FRAME_HEADER);
    if (w->wal_pages == 0 || clock_steady_ns() < w->room_at_ns)
        return;
    sqlite3_file_control(w->conn.db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
    if (!file || !file->pMethods || file->pMethods->xFileSize(file, &size) != SQLITE_OK ||
        size - used > ROOM_LEFT)
        return;
    if (write_zeros(file, size) != SQLITE_OK) {
        w->room_at_ns = clock_steady_ns() + ROOM_PAUSE_SECONDS * NS_PER_SECOND;
        return;
    }
    int rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
    struct err err;
    if (rc == SQLITE_OK)
        return;
    err_set(&err, ERR_IO, "sync of the write-ahead log: %s", sqlite3_errstr(rc));
    writer_fail(db, &err);
}

/* Readers may keep the WAL from being started anew: then the next attempt
 * comes only after as many pages again, and when it has grown long it is worth
 * a short wait for them. */
static void checkpoint(struct sqlite *db)
{
    struct writer *w = &db->writer;
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

void wal_keep(struct sqlite *db)
{
    struct writer *w = &db->writer;
    metric_set(w->wal_size, w->wal_pages);
    if (w->failed)
        return;
    if (w->wal_pages >= w->checkpoint_at)
        checkpoint(db);
    else
        make_room(db);
}
