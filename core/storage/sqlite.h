/* sqlite.h -- the embedded store: one writing connection, many reading ones.
 *
 * One thread owns the only connection that writes or checkpoints.  It drains
 * what is queued into one transaction, each member under a savepoint of its
 * own, commits once with synchronous=FULL and then answers all members: the
 * batching appears by itself while the previous sync runs.  Readers open
 * read-only, run on pool threads and never checkpoint.  (SQLite 3.40 can
 * corrupt a WAL when two connections write or checkpoint.)
 *
 * Any I/O or sync error of a commit fails the store for good: nothing more is
 * acknowledged, `failed` is called once, and the process is expected to exit
 * and recover from disk.  A full disk fails its callers only.
 *
 * A lock file keeps a second process out; a successor waits for its
 * predecessor to close.
 */
#pragma once

#include <sqlite3.h>

#include "loop/pool.h"
#include "storage/store.h"

struct sqlite;
struct stmt_cache;

enum {
    SQLITE_BATCH = 4000, /* members of one commit */
    /* WAL pages after which the writer checkpoints: 4 MB of a file made with pages of 8 KB, 2 MB of
     * an older one, whose pages have 4 KB.  Few: nothing commits meanwhile, and a log that begins
     * anew soon is written where it was written before.  When pages had 4 KB, 4000 (16 MB) made the
     * 99th of 100 pushes at 100,000 a second wait 4.5 ms instead of 2.9, and bulk pushes a quarter
     * slower; of larger pages nobody has compared numbers. */
    SQLITE_CHECKPOINT = 500,
    SQLITE_READERS = 4,
};

struct sqlite_options {
    const char *path;     /* database file; its directory exists.  The lock is path + ".lock" */
    struct pool *pool;    /* where reads run; outlives the store */
    int readers;          /* 0 = SQLITE_READERS */
    int64_t lock_wait_ns; /* how long to wait for another process to close; 0 = not at all */
    int64_t tx_idle_ns;   /* 0 = STORE_TX_IDLE_MS */
    int64_t max_pages;    /* 0 = no limit; a bound on the file for tests and quotas */
    /* Every connection, before its first statement: functions and tokenizers of the owner's. */
    bool (*opened)(sqlite3 *db, struct err *err);
    void (*failed)(void *arg, const struct err *err); /* writer thread, at most once */
    void *failed_arg;
};

/* NULL with *err: "…/maru.db is in use by process 4711". */
struct store *sqlite_open(const struct sqlite_options *options, struct err *err);
/* The database behind a store, NULL when its driver is another. */
struct sqlite *store_sqlite(struct store *store);
/* Whether writes reach the disk.  False with *err (ERR_FULL, ERR_READONLY, ERR_IO, ERR_CORRUPT)
 * while they do not; then a small one is tried, at most one a second, so that asking again
 * tells when the disk is mended.  Any thread; does not wait. */
bool sqlite_healthy(struct sqlite *db, struct err *err);
/* Puts the file and, where it helps, what to do about it into the message.  Returns false. */
bool sqlite_explain(const struct sqlite *db, struct err *err);
bool sqlite_is_idle(struct sqlite *db); /* no write waits or is under way; any thread */

/* A connection as work functions see it. */
struct sqlite_conn {
    sqlite3 *db;
    const char *plugin;       /* whose statement is being prepared or run; NULL = the host */
    char denied[256];         /* why the authorizer said no */
    struct stmt_cache *cache; /* private */
    struct sqlite *owner;     /* private */
    int64_t deadline_ns;      /* private */
    bool migrating;           /* private: DDL is allowed */
    bool schema_changed;      /* private: the owners of tables must be read anew */
};

/* A prepared statement of the connection, cached by its text, reset and without
 * bindings; NULL with *err.  Never finalize it. */
sqlite3_stmt *sqlite_prepared(struct sqlite_conn *conn, const char *sql, struct err *err);
/* One step: SQLITE_ROW, SQLITE_DONE, or another code with *err filled. */
int sqlite_step(struct sqlite_conn *conn, sqlite3_stmt *stmt, struct err *err);
/* Runs statements without values or results. */
bool sqlite_exec(struct sqlite_conn *conn, const char *sql, struct err *err);
/* Statements from now on end with ERR_TIMEOUT after so long; 0 = never. */
void sqlite_deadline(struct sqlite_conn *conn, int64_t after_ns);
/* Fills *err from the connection's last error, code as in store.h.  Returns false. */
bool sqlite_error(struct sqlite_conn *conn, int rc, struct err *err);

/* A write of the host's own (jobs, cron).  Its memory is the caller's until
 * `done`, which comes exactly once and last. */
struct sqlite_write {
    struct lane_message message; /* private, first */
    /* Writer thread, inside the transaction under a savepoint of its own.  False
     * with w->err undoes this write only.  It may be run again if a neighbour's
     * failure made SQLite drop the whole transaction: only the last run counts. */
    bool (*work)(struct sqlite_conn *conn, struct sqlite_write *w);
    /* Writer thread, after the commit is on disk, in the order of the works.  May be NULL. */
    void (*committed)(struct sqlite_write *w);
    /* In a transaction only, lane: the work has run (w->err tells), nothing is
     * committed yet.  May be NULL. */
    void (*ran)(struct sqlite_write *w);
    void (*done)(struct sqlite_write *w); /* lane, or the writer thread without one; may be NULL */
    struct err err;                       /* why nothing was written, or ERR_NONE */
    /* private */
    struct lane_message ran_message;
    struct lane *lane;
    struct gate_item item;
};
void sqlite_write(struct sqlite *db, struct sqlite_write *w, struct lane *lane);
/* Whether the transaction is SQLite's, so that the host's own rows can be part of it; false with
 * *err
 * "<what>: …". */
bool store_tx_is_local(const struct store_tx *tx, const char *what, struct err *err);
/* Takes part in an open transaction that is local (a step like store_tx_run): work, then ran;
 * after the transaction's end committed, if it was, and done. */
void store_tx_work(struct store_tx *tx, struct sqlite_write *w);

/* The same, waiting for the commit.  Not from the writer thread; on a lane only
 * while starting or stopping. */
bool sqlite_work_wait(struct sqlite *db,
                      bool (*work)(struct sqlite_conn *conn, void *arg, struct err *err), void *arg,
                      struct err *err);
bool sqlite_exec_wait(struct sqlite *db, const char *sql, struct err *err);

/* A read of the host's own on a pool thread; done on the lane. */
struct sqlite_read {
    struct lane_message message;                                   /* private, first */
    bool (*work)(struct sqlite_conn *conn, struct sqlite_read *r); /* one snapshot */
    void (*done)(struct sqlite_read *r);                           /* lane, or the pool thread */
    struct err err;
    /* private */
    struct lane *lane;
    struct gate_item item;
};
void sqlite_read(struct sqlite *db, struct sqlite_read *r, struct lane *lane);
/* Reads on the calling thread, for start-up. */
bool sqlite_read_wait(struct sqlite *db,
                      bool (*work)(struct sqlite_conn *conn, void *arg, struct err *err), void *arg,
                      struct err *err);
