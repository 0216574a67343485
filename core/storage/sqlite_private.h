/* sqlite_private.h -- what the files of the SQLite driver share. */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "storage/migrate.h"
#include "storage/sqlite.h"

struct metric;

enum { CONN_STATEMENTS = 256, CONN_PROGRESS_OPS = 2000, CONN_BUSY_MS = 1000 };

enum conn_kind { CONN_WRITER, CONN_READER, CONN_SCRATCH };

/* What a gate_item in the writer's hands is part of; WRITER_UNDONE is a
 * WRITER_WORK whose transaction was rolled back. */
enum writer_kind { WRITER_CALL, WRITER_WORK, WRITER_TX, WRITER_UNDONE };

/* Who owns which table: name → owner, "" for the host's.  Read by the
 * authorizer on any thread, replaced by the writer after schema changes. */
struct owners {
    pthread_rwlock_t lock;
    struct map *map;
};

/* ORDER writer_step: what the writer says to SQLite by itself. */
enum writer_step {
    STEP_BEGIN,
    STEP_COMMIT,
    STEP_ROLLBACK,
    STEP_SAVE,
    STEP_RELEASE,
    STEP_UNDO,
    WRITER_STEPS
};

struct writer {
    pthread_t thread;
    sqlite3_stmt *steps[WRITER_STEPS]; /* writer thread */
    struct sqlite_conn conn;           /* writer thread */
    int wal_pages;                     /* writer thread: after the last commit */
    int checkpoint_at;                 /* writer thread: wal_pages that call for one */
    struct list todo, ran;             /* writer thread: gate_items it has taken; of one commit */
    pthread_mutex_t lock;              /* guards what follows */
    pthread_cond_t wake;               /* something to do for the writer */
    struct list queue;
    int64_t queued;
    bool resting; /* waits for something to do */
    bool stopping;
    bool failed;
    struct err failure;
    struct metric *commits, *members, *commit_seconds, *wal_size;
};

/* Under its own lock. */
struct health {
    pthread_mutex_t lock;
    struct err err; /* ERR_NONE: the last write reached the disk */
    bool probing;
    int64_t probe_at; /* not before, steady ns */
    struct sqlite_write probe;
};

struct sqlite {
    struct store store;            /* first */
    struct sqlite_options options; /* path is a copy of ours */
    int lock_fd;
    struct owners owners;
    struct writer writer;
    struct health health;
    struct sqlite_conn *readers;
    struct gate *gate;
};

extern const char sqlite_base_schema[]; /* sqlite.c: the tables of migrations and owners */

/* sqlite_still.c: SQLite's name for what it asks for the time, NULL where time is real.  While the
 * store is being opened. */
const char *conn_vfs(void);

/* sqlite_gather.c: the VFS of the writing connection, above the one of that name (NULL: the
 * default).  While the store is being opened. */
const char *gather_vfs(const char *name);

/* sqlite_lock.c */
int lock_take(const char *path, int64_t wait_ns, struct err *err); /* fd or -1 */
void lock_give(int fd);

/* sqlite_conn.c */
bool conn_open(struct sqlite_conn *conn, struct sqlite *owner, const char *path,
               enum conn_kind kind, struct err *err);
void conn_close(struct sqlite_conn *conn);
/* As sqlite_prepared, by length, and refusing what plugins may not run. */
sqlite3_stmt *conn_prepare(struct sqlite_conn *conn, struct str sql, struct err *err);
void conn_done(sqlite3_stmt *stmt); /* resets, clears bindings */

/* sqlite_auth.c */
void owners_init(struct owners *owners);
void owners_fini(struct owners *owners);
bool owners_load(struct owners *owners, struct sqlite_conn *conn, struct err *err);
/* The authorizer; arg is the struct sqlite_conn. */
int conn_authorize(void *arg, int action, const char *a, const char *b, const char *schema,
                   const char *trigger);

/* sqlite_call.c */
enum call_result { CALL_DONE, CALL_FAILED, CALL_WRITES };
/* Runs the call's statement; CALL_FAILED with call->err; CALL_WRITES when it
 * writes and reader_only says that it may not. */
enum call_result conn_call(struct sqlite_conn *conn, struct store_call *call, bool reader_only);
void call_deliver(struct store_call *call); /* done, on the lane */
/* Whether the statement's parameters are $1, $2 … and as many as given (-1 = any number). */
bool call_check_parameters(sqlite3_stmt *stmt, int given, struct err *err);

/* sqlite_writer.c */
bool writer_start(struct sqlite *db, struct err *err);
void writer_stop(struct sqlite *db);
void writer_submit(struct sqlite *db, struct gate_item *item, int kind);
/* Answers an item without running it. */
void writer_refuse(struct gate_item *item, const struct err *err);
/* Runs one member under a savepoint; false with its err set.  alone: it is not a step of a
 * transaction, so its deferred constraints hold at its end.  A lost
 * transaction shows in writer_in_transaction(). */
bool writer_member(struct sqlite *db, struct gate_item *item, bool alone);
/* After the commit (or refusal): committed if its err is clear, then done. */
void writer_committed(struct gate_item *item);
/* writer_commit() of a transaction that is open, together with what the host itself wants written
 * by now.  False with *err: the transaction is gone. */
bool writer_commit_shared(struct sqlite *db, struct err *err);

/* sqlite_commit.c */
bool writer_prepare(struct sqlite *db, struct err *err); /* its own statements */
void writer_forget(struct writer *w);                    /* finalizes them */
bool writer_step(struct sqlite *db, enum writer_step step, struct err *err);
/* BEGIN; false with *err, the store failed if need be. */
bool writer_begin(struct sqlite *db, struct err *err);
/* COMMIT; false with *err after rolling back. */
bool writer_commit(struct sqlite *db, struct err *err);
void writer_rollback(struct sqlite *db);
bool writer_in_transaction(struct sqlite *db);
/* No more acknowledgements from now on; the first caller's reason stays. */
void writer_fail(struct sqlite *db, const struct err *err);
/* After an I/O error nobody knows what is on disk until it is read anew. */
void writer_fail_if_io(struct sqlite *db, const struct err *err);
void writer_checkpoint(struct sqlite *db); /* when the WAL has become long */

/* sqlite_health.c */
void health_init(struct sqlite *db);
void health_fini(struct sqlite *db);
/* Writer thread: a write failed with this, or (NULL) a commit is on disk. */
void health_note(struct sqlite *db, const struct err *err);

/* sqlite_tx.c */
void sqlite_tx_begin(struct store *store, struct store_tx *tx);
void sqlite_tx_run(struct store_tx *tx, struct store_call *call);
void sqlite_tx_end(struct store_tx *tx, bool commit);
void tx_serve(struct sqlite *db, struct gate_item *item); /* writer thread: begin to end */
void tx_refuse(struct gate_item *item, const struct err *err);

/* sqlite_migrate.c */
bool sqlite_migrate(struct store *store, const char *plugin, const struct migration *migrations,
                    int count, bool dry_run, struct err *err);
/* On a connection of kind CONN_SCRATCH. */
bool migrate_scratch(struct sqlite_conn *conn, const char *plugin,
                     const struct migration *migrations, int count, struct err *err);
bool sqlite_migrations_ahead(struct store *store, const char *plugin,
                             const struct migration *migrations, int count, struct buf *names,
                             struct err *err);
