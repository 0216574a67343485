/* store.h -- the relational store: SQL with $1 parameters, whatever runs it.
 *
 * A driver (sqlite.h, postgres.h) is a table of functions.  A call is a
 * struct of its caller, filled in, handed to store_run() and given back by
 * `done` on the caller's lane, exactly once and never before store_run()
 * returned.  Values and SQL are borrowed until then.
 *
 * A plugin sees only the tables its own migrations made; NULL as plugin is the
 * host itself, which sees all.  Failures carry the words Lua sees: ERR_SQL
 * (wrong statement, another plugin's table), ERR_CONSTRAINT, ERR_UNIQUE,
 * ERR_READONLY, ERR_FULL, ERR_TIMEOUT, ERR_LIMIT (too many rows or bytes),
 * ERR_BUSY (the queue is over its bound), ERR_CLOSED, ERR_IO.
 *
 * Threads: everything here may be called from any thread, store_close() once
 * all callers are gone.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/lane.h"
#include "storage/gate.h"

struct store;

enum {
    STORE_ROWS = 100000,       /* rows one call may return */
    STORE_BYTES = 64 << 20,    /* text and blobs one call may return */
    STORE_PARAMS = 999,        /* values one statement may take */
    STORE_MANY_ROWS = 1000000, /* parameter rows of one STORE_MANY */
    STORE_SQL_BYTES = 1 << 20, /* longest statement */
    STORE_TIMEOUT_MS = 10000,  /* time a statement may run */
    STORE_TX_IDLE_MS = 5000,   /* an open transaction nobody talks to is rolled back */
    STORE_QUEUE = 200000,      /* calls waiting for the writer */
};

enum value_type { VALUE_NULL, VALUE_BOOL, VALUE_INT, VALUE_DOUBLE, VALUE_TEXT, VALUE_BLOB };

struct value {
    enum value_type type;
    union {
        bool b;
        int64_t i;
        double d;
        struct str s; /* TEXT, BLOB */
    };
};

/* A result, one block of memory.  Row-major: values[row * column_count + column]. */
struct rows {
    int column_count;
    int64_t row_count;
    const char **columns; /* names, NUL-terminated */
    struct value *values;
};
void rows_free(struct rows *rows); /* NULL is fine */

enum store_mode {
    STORE_ALL,  /* every row */
    STORE_ONE,  /* the first row; the statement runs to its end */
    STORE_EXEC, /* no rows, only `changed` */
    STORE_MANY, /* STORE_EXEC once for each of param_rows rows, all or none */
};

struct store_call {
    struct lane_message message; /* private, first */
    /* set by the caller; 0 in a limit means the default above */
    const char *plugin; /* NULL: the host */
    struct str sql;
    enum store_mode mode;
    const struct value *params; /* param_count values; MANY: param_rows times as many */
    int param_count;
    int64_t param_rows;
    int64_t max_rows, max_bytes, timeout_ns;
    bool host;    /* the host's own, about the plugin's tables (carry.h); without plugin: any's */
    bool replica; /* it only reads, and may be answered by a replica that is a little behind */
    void (*done)(struct store_call *call); /* on the lane; the call is its owner's again */
    /* result */
    struct err err;    /* code ERR_NONE when it worked */
    struct rows *rows; /* ALL, ONE: the owner's (rows_free); else NULL */
    int64_t changed;   /* rows inserted, updated or deleted */
    /* private */
    struct lane *lane;
    struct gate_item item;
    void *owner;
};

/* lane NULL: done runs on a thread of the store's. */
void store_run(struct store *store, struct store_call *call, struct lane *lane);

/* An interactive transaction.  While it is open nobody else writes, so it may
 * wait for nothing but its own calls; left alone for STORE_TX_IDLE_MS it is
 * rolled back and whatever is asked of it next answers ERR_TIMEOUT.
 *
 *   store_tx_begin → begun → store_tx_run → done → … → store_tx_end → ended
 *
 * All of it on the transaction's lane, one thing at a time: the next step only
 * after the callback of the last, except store_tx_end(tx, false), which may
 * come at any time, once, and takes effect after what is under way; begun does
 * not come any more then.  `ended` comes once, last, after the commit is on
 * disk; begun with tx->err set is followed by no `ended`. */
struct store_follower {
    struct list link; /* private */
    /* Lane, just before `ended` (or `begun`, when it did not begin). */
    void (*ended)(struct store_follower *follower, bool committed);
};
struct store_tx {
    const char *plugin;
    void (*begun)(struct store_tx *tx); /* lane */
    void (*ended)(struct store_tx *tx); /* lane; tx->err tells; the tx is its owner's again */
    struct err err;
    /* How often it was run before: a driver that could not put it in order with others sets
     * `again`, and its owner rolls it back and runs all of it once more. */
    int attempt;
    bool again;
    /* private */
    struct store *store;
    struct lane *lane;
    struct list followers;
    bool ending; /* store_tx_end() was called: nothing more is put into it */
    void *driver_state;
};
void store_tx_begin(struct store *store, struct store_tx *tx, struct lane *lane);
void store_tx_run(struct store_tx *tx, struct store_call *call);
void store_tx_end(struct store_tx *tx, bool commit);
/* Is told how it ended; not with SQLite, where store_tx_work() takes part. */
void store_tx_follow(struct store_tx *tx, struct store_follower *follower);
void store_tx_tell(struct store_tx *tx, bool committed); /* drivers: tells them */

struct migration; /* migrate.h */

/* The seam.  A driver embeds struct store first in its own. */
struct store_driver {
    const char *name; /* "sqlite": also the section of migrations it reads */
    void (*run)(struct store *store, struct store_call *call);
    void (*tx_begin)(struct store *store, struct store_tx *tx);
    void (*tx_run)(struct store_tx *tx, struct store_call *call);
    void (*tx_end)(struct store_tx *tx, bool commit);
    bool (*migrate)(struct store *store, const char *plugin, const struct migration *migrations,
                    int count, bool dry_run, struct err *err);
    bool (*ahead)(struct store *store, const char *plugin, const struct migration *migrations,
                  int count, struct buf *names, struct err *err);
    void (*close)(struct store *store);
};

struct store {
    const struct store_driver *driver;
};

/* Lets what is queued finish, then closes. */
void store_close(struct store *store);
