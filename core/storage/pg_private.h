/* pg_private.h -- what the files of the PostgreSQL client share.  All of it is a lane's own. */
#pragma once

#include <pthread.h>
#include <uv.h>

#include "base/list.h"
#include "base/map.h"
#include "loop/pool.h"
#include "storage/pg.h"
#include "storage/rows.h"

enum {
    PGSQL_LANES = 256,
    PGSQL_STATEMENTS = 512, /* prepared on one connection */
    PGSQL_DEPTH = 128,      /* calls under way on one connection */
    PGSQL_CHUNK = 500,      /* rows of STORE_MANY sent before their answers are looked at */
    PGSQL_PARAMS = STORE_PARAMS,
    PGSQL_FOLDS = 5, /* how many rows one statement may insert: 2, 4 … 32 */
    PGSQL_SWEEP_MS = 50,
    PGSQL_SWEEP_IDLE_MS = 5000,
    PGSQL_GRACE_MS = 1000,     /* an answer may be so late after its time before all is given up */
    PGSQL_CANCEL_MS = 200,     /* the server's own statement_timeout has so long to come first */
    PGSQL_IDLE_S = 300,        /* an unused connection is closed */
    PGSQL_PAUSE_LEAST_MS = 50, /* before the next attempt to connect, doubled up to … */
    PGSQL_PAUSE_MOST_MS = 2000,
    PGSQL_TRIES = 3, /* of what only reads, or was not run */
};

/* A text that was seen: what its parameters are.  ref counts works that use it. */
struct pgsql_statement {
    struct list link; /* in pool->used, the newest last */
    struct str sql;
    int slot;
    uint32_t version; /* of slot, never 0: "m<slot>_<version>" is its name on a connection */
    int refs;
    enum { STMT_UNKNOWN, STMT_ASKED, STMT_KNOWN } state;
    struct list waiters; /* works that wait for STMT_KNOWN */
    bool reads;          /* as far as its words tell */
    bool host;           /* a text of the host's own: nobody else's */
    int param_count;
    Oid *params;
    enum { PGSQL_FOLDS_UNKNOWN, PGSQL_FOLDS_NOT, PGSQL_FOLDS_WELL } folding;
    struct str folded[PGSQL_FOLDS]; /* texts for several rows, pg_fold.c; empty: none */
    uint64_t of;                    /* slot and version of what it folds; 0: it folds nothing */
};

enum work_phase { WORK_QUEUED, WORK_DESCRIBE, WORK_RUN };

struct pgsql_work {
    struct list link; /* pool->queue, statement->waiters, conn->works, or finished */
    struct pgsql_lane *pool;
    struct pgsql_conn *conn;
    struct store_call *call;
    struct pgsql_statement *stmt;
    struct pgsql_session *session; /* it is a step of */
    const char *plain;             /* instead of call->sql: begin, commit … no values */
    enum work_phase phase;
    struct rows_builder rows;
    struct err err;
    char state[6];           /* the server's SQLSTATE */
    bool stale;              /* … says that its prepared statement is no longer good */
    bool overdue;            /* it was cancelled for its time */
    bool repeated;           /* it may have been run before: what it calls may not write now */
    bool given_up;           /* its caller has been told: nothing of it is run that was not sent */
    bool urgent;             /* a cancel: goes to a connection that is free, or to one more */
    int64_t began, deadline; /* when it was given; when it is given up, steady ns */
    int64_t sent, answered;  /* rows of STORE_MANY */
    bool folded;             /* some went several at once … */
    bool row_by_row;         /* … which failed, or nothing is to */
    int tries;
};

enum command_kind { COMMAND_PREPARE, COMMAND_DESCRIBE, COMMAND_ROWS, COMMAND_PLAIN, COMMAND_SYNC };
struct command {
    enum command_kind kind;
    struct pgsql_work *work; /* NULL: nobody looks at it */
    int rows;                /* COMMAND_ROWS: of STORE_MANY */
};

struct pgsql_conn {
    struct list link; /* pool->conns */
    struct pgsql_lane *pool;
    PGconn *pg;
    uv_poll_t poll;
    int events;
    struct command *commands; /* ring: sent, not answered */
    unsigned first, count, room;
    bool single;       /* the first command's rows come one by one */
    struct list works; /* under way, in order */
    int work_count;
    struct pgsql_work *open; /* has more to send: nothing may follow */
    struct pgsql_session *session;
    struct pgsql_copying *copying; /* pg_copy.c: not in pipeline mode meanwhile */
    bool cancelling;               /* a cancel is under way: nothing new */
    bool demoted;       /* the server only reads now: the next connection finds who leads */
    bool was_cancelled; /* … since nothing was under way here */
    bool lost;
    uint32_t tag;                        /* in its prepared statements' names */
    uint32_t prepared[PGSQL_STATEMENTS]; /* version of each slot, 0 = none */
    int64_t idle_since, head_since;
};

struct pgsql_lane {
    struct pgsql *db;
    struct lane *lane;
    struct list conns, queue, takers, connecting;
    struct list finished, granted; /* works and sessions whose owners are to be told */
    struct pgsql_conn *reserved;   /* takes nothing new: for the first of takers, or NULL */
    struct lane_message wake;
    int conn_count, connecting_count, session_count, queued;
    struct map *statements; /* by text */
    struct list used;
    struct pgsql_statement *slots[PGSQL_STATEMENTS];
    uint32_t versions[PGSQL_STATEMENTS];
    int slot_count;
    struct timer sweep;
    bool sweeping, sweep_soon, delivering, closed, away;
    bool waking;  /* wake is posted */
    bool crowded; /* something was sent behind another's statement */
    int64_t retry_at, pause_ms;
    struct err last; /* why the last attempt to connect failed */
    struct buf scratch;
    /* of one statement's values */
    const char *values[PGSQL_PARAMS];
    int lengths[PGSQL_PARAMS], formats[PGSQL_PARAMS];
};

struct pgsql {
    struct list link;
    struct pgsql_address *address;
    char *what, *url, *user, *password, *settings;
    int connections;
    int64_t timeout_ns, most_ns, patience_ns;
    struct driver_health *health;
    bool (*log_in)(void *arg, struct pgsql_login *login, struct err *err);
    bool (*check)(void *arg, struct str sql, struct err *err);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t quiet;
    int running;                           /* under lock: threads that connect */
    struct pgsql_lane *lanes[PGSQL_LANES]; /* each its lane's own */
    bool ended[PGSQL_LANES];               /* … as well: pgsql_close_lane() was there */
};

/* pg_threads.c: connects on a thread.  arrived runs on the lane, with c NULL and err when it
 * failed; not at all after pg_connecting_drop().  The struct is gone behind it. */
struct pgsql_connecting {
    struct list link; /* its owner's, or linked to itself */
    struct list wait; /* pg_threads.c's */
    struct lane_message message;
    struct pool_job job;
    struct pgsql *db;
    struct lane *lane;
    enum { CONNECTING_RUNS, CONNECTING_ARRIVES, CONNECTING_DROPPED } state; /* under db->lock */
    PGconn *c;
    struct err err;
    void (*arrived)(struct pgsql_connecting *connecting);
    void *arg;
};
struct pgsql_connecting *pg_connecting_start(struct pgsql *db, struct lane *lane,
                                             void (*arrived)(struct pgsql_connecting *connecting),
                                             void *arg);
/* False: it arrives all the same, its message is on its way. */
bool pg_connecting_drop(struct pgsql_connecting *connecting);
struct pgsql_address *pg_threads_ref(const char *url, struct err *err); /* NULL with *err */
void pg_threads_unref(struct pgsql_address *address);
/* An attempt has ended: at its host-th host, -1: at none. */
void pg_address_tried(struct pgsql_address *address, int host, int64_t took_ns);
int pg_address_first(struct pgsql_address *address); /* the host to begin with, from 0 */

/* pg_pool.c */
struct pgsql_lane *pgpool_of(struct pgsql *db, struct lane *lane);
struct pgsql_work *pgwork_new(struct pgsql_lane *pool, struct store_call *call);
void pgpool_submit_work(struct pgsql_lane *pool, struct pgsql_work *work);
void pgpool_dispatch(struct pgsql_lane *pool);
void pgpool_reconnect(struct pgsql_lane *pool);
void pgpool_sweep_soon(struct pgsql_lane *pool); /* pg_sweep.c */
/* Tells owners in a turn of its own, not below their own call. */
void pgpool_wake(struct pgsql_lane *pool);
void pgpool_free(struct pgsql_lane *pool);      /* once nothing points at it */
void pg_session_grant(struct pgsql_session *s); /* it has its connection, or err */
/* The work has its end: delivered by pgpool_deliver(). */
void pgwork_finish(struct pgsql_work *work);
void pgpool_deliver(struct pgsql_lane *pool);
int64_t pgwork_timeout(const struct pgsql_work *work);
bool pgwork_is_unknown(const struct pgsql_work *work); /* sent, and what it does stays done */
void pgwork_reset(struct pgsql_work *work);            /* as if nothing had been sent */
/* The connection is gone; why may be NULL. */
void pgconn_lost(struct pgsql_conn *conn, const struct err *why);
void pgconn_cancel(struct pgsql_conn *conn);
/* Nothing is under way on it any more. */
void pgconn_idle(struct pgsql_conn *conn);
bool pgconn_is_free(const struct pgsql_conn *conn);

/* pg_conn.c */
struct pgsql_conn *pgconn_create(struct pgsql_lane *pool, PGconn *c);
void pgconn_destroy(struct pgsql_conn *conn); /* closes; its works are gone */
/* Begins a work; it was taken out of its list. */
void pgconn_start(struct pgsql_conn *conn, struct pgsql_work *work);
void pgconn_flush(struct pgsql_conn *conn);
void pgconn_send_plain(struct pgsql_conn *conn, const char *sql, struct pgsql_work *work);
void pgconn_send_prepare(struct pgsql_conn *conn, struct pgsql_statement *stmt,
                         struct pgsql_work *work, bool describe);
void pgconn_send_rows(struct pgsql_conn *conn, const struct pgsql_statement *stmt,
                      struct pgsql_work *work, int rows); /* pool->values */
void pgconn_send_sync(struct pgsql_conn *conn, struct pgsql_work *work);

void pgconn_failed(struct pgsql_conn *conn); /* libpq says why */
void pgconn_watch(struct pgsql_conn *conn, bool writable);

/* pg_copy.c */
void pg_copy_go_on(struct pgsql_conn *conn);
void pg_copy_lost(struct pgsql_conn *conn, const struct err *why);

/* pg_work.c: what a work sends, and what it makes of the answers. */
void pgwork_send(struct pgsql_work *work);      /* its first commands */
void pgwork_send_more(struct pgsql_work *work); /* STORE_MANY */
void pgwork_go_on(struct pgsql_work *work);     /* … a row was answered */
void pgwork_on_result(struct pgsql_work *work, const struct command *command, PGresult *r);
void pgwork_on_sync(struct pgsql_work *work);

/* pg_statement.c */
struct pgsql_statement *pgstatement_get(struct pgsql_lane *pool, const struct store_call *call,
                                        struct err *err); /* takes a ref; NULL with *err */
void pgstatement_unref(struct pgsql_statement *stmt);
void pgstatement_renew(struct pgsql_lane *pool, struct pgsql_statement *stmt);
void pgstatements_free(struct pgsql_lane *pool);

/* pg_fold.c: what inserts the next *rows of those that are left: the work's statement, or a text
 * for several.  And none of these texts is prepared on its connection any more. */
struct pgsql_statement *pg_fold(struct pgsql_work *work, int64_t left, int *rows);
void pg_fold_lost(struct pgsql_work *work);

/* pg_param.c: fills pool->values, lengths, formats for the statement; false with *err. */
bool pg_params_fill(struct pgsql_lane *pool, const struct pgsql_statement *stmt,
                    const struct value *values, struct err *err);
/* pg_value.c */
void pg_result_columns(struct rows_builder *rows, const PGresult *r);
void pg_result_row(struct rows_builder *rows, const PGresult *r, int row);
int64_t pg_result_changed(PGresult *r);
/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, and back. */
int64_t pg_days_of(int64_t year, int month, int day);
void pg_date_of(int64_t days, int64_t *year, int *month, int *day);

/* pg_array.c: '{1,2}' of PostgreSQL as JSON and back; false: it is none. */
bool pg_array_to_json(struct str text, Oid element, struct buf *out);
bool pg_array_from_json(struct str json, struct buf *out);
Oid pg_array_element(Oid array); /* 0: not one that is known */

/* pg_error.c */
const char *pg_result_state(const PGresult *r); /* SQLSTATE, "" without */
bool pg_error_of(const char *state, const char *message, const char *detail, const char *position,
                 struct err *err);

enum pgsql_type {
    TYPE_BOOL = 16,
    TYPE_BYTEA = 17,
    TYPE_NAME = 19,
    TYPE_INT8 = 20,
    TYPE_INT2 = 21,
    TYPE_INT4 = 23,
    TYPE_TEXT = 25,
    TYPE_OID = 26,
    TYPE_JSON = 114,
    TYPE_FLOAT4 = 700,
    TYPE_FLOAT8 = 701,
    TYPE_BPCHAR = 1042,
    TYPE_VARCHAR = 1043,
    TYPE_DATE = 1082,
    TYPE_TIMESTAMP = 1114,
    TYPE_TIMESTAMPTZ = 1184,
    TYPE_NUMERIC = 1700,
    TYPE_UUID = 2950,
    TYPE_JSONB = 3802,
};
