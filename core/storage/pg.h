/* pg.h -- PostgreSQL on a lane's own loop: libpq without waiting.
 *
 * A struct pgsql is one identity: an address, a role, settings.  Every lane that uses it has a
 * pool of connections to it, made when there is something to do.  Statements are prepared once a
 * connection and pipelined: a call goes out while answers to others are still on their way, each
 * in a transaction of its own.  A session is a connection for one caller at a time: transactions.
 *
 * A server that is away is tried again with back-off by itself; a call waits for it a while
 * (patience), then fails with ERR_IO and the reason.  A statement over its time is cancelled; a
 * connection on which nothing comes is closed.  What only reads, as far as its words tell, is run
 * once more when its connection was lost, and may not write then; what writes answers ERR_IO, and
 * whether it was done is not known.
 *
 * Threads: pgsql_open and pgsql_close any, everything else on the lane it is for.
 */
#pragma once

#include <libpq-fe.h>

#include "storage/store.h"

struct driver_health;
struct pgsql;
struct pgsql_conn;
struct pgsql_lane;
struct pgsql_work;

enum {
    PGSQL_CONNECTIONS = 4,    /* of one identity on one lane */
    PGSQL_PATIENCE_MS = 2000, /* a call waits so long for a server that is away */
    PGSQL_CONNECT_S = 5,      /* time to connect */
};

/* Who connects; borrowed from whoever filled it in until the identity is closed. */
struct pgsql_login {
    const char *user;     /* instead of the URL's; NULL = the URL's */
    const char *password; /* with user; NULL = none */
};

struct pgsql_options {
    const char *what;     /* "store": in application_name and in messages */
    const char *url;      /* postgresql://… as libpq takes it; its sslmode decides on TLS */
    const char *user;     /* instead of the URL's; NULL = the URL's */
    const char *password; /* with user; NULL = none */
    const char *settings; /* SQL for every new connection, e.g. "set search_path to a"; or NULL */
    int connections;      /* of one lane; 0 = PGSQL_CONNECTIONS */
    int64_t timeout_ns;   /* of a statement; 0 = STORE_TIMEOUT_MS */
    int64_t most_ns; /* no call asks for more: the server's own statement_timeout; 0 = timeout_ns */
    int64_t patience_ns;          /* 0 = PGSQL_PATIENCE_MS; -1 = none */
    struct driver_health *health; /* is told; outlives the identity; may be NULL */
    /* On a thread that may wait, before each connection; in the place of user and password.  False
     * with *err: nobody connects now.  May be NULL. */
    bool (*log_in)(void *arg, struct pgsql_login *login, struct err *err);
    /* Once for every text of a statement, on its lane: false with *err refuses it.  May be NULL. */
    bool (*check)(void *arg, struct str sql, struct err *err);
    void *arg;
};

/* False with *err "store.url: must be postgresql://…"; says nothing of the URL, which has the
 * password.  key: the configuration's. */
bool pgsql_check_url(const char *key, const char *url, struct err *err);

/* Connects nothing.  NULL with *err. */
struct pgsql *pgsql_open(const struct pgsql_options *options, struct err *err);
/* When nothing of it is under way and its lanes have been closed. */
void pgsql_close(struct pgsql *db);
/* Whether the last attempt to reach its address was long and in vain.  Any thread. */
bool pgsql_is_slow(struct pgsql *db);
/* Ends what this lane has of every identity: what is under way answers ERR_CLOSED. */
void pgsql_close_lane(struct lane *lane);

/* Whether a statement only reads, as far as its words tell. */
bool pgsql_reads(struct str sql);
/* Runs call->sql as store_run() does: $1 … $n, all modes, the limits of store.h kept while rows
 * arrive; STORE_MANY is one transaction.  call->lane is the calling lane; call->plugin is not
 * looked at.  COPY is refused. */
void pgsql_run(struct pgsql *db, struct store_call *call);

/* A connection for one caller. */
struct pgsql_session {
    void (*ready)(struct pgsql_session *s); /* lane, once: it is there, or s->err says why not */
    struct err err;
    bool again;   /* the server says of a failure: run the whole transaction anew (40001, 40P01) */
    int64_t lock; /* not 0: this advisory lock is held from before the beginning until the end */
    /* private */
    struct list link;
    struct pgsql_lane *pool;
    struct pgsql_conn *conn;
    struct pgsql_work *work; /* a step that is under way */
    const char *begin;
    int64_t deadline;
    bool begun, undo; /* undo: a step failed, its savepoint is to be rolled back */
};
/* `ready` comes within the identity's statement time. */
void pgsql_take(struct pgsql *db, struct pgsql_session *s, struct lane *lane);
/* A step of a transaction, one at a time: the first is sent behind `begin` ("begin isolation level
 * serializable"), each under a savepoint of its own, so that a failed one leaves the others. */
void pgsql_step(struct pgsql_session *s, const char *begin, struct store_call *call);
/* Ends the transaction: "commit" or "rollback".  call->done tells; nothing is sent when no step
 * was. */
void pgsql_finish(struct pgsql_session *s, const char *how, struct store_call *call);
/* Has the server end the step that is under way; it answers ERR_TIMEOUT, unless it was done before.
 */
void pgsql_cancel(struct pgsql_session *s);
/* Gives the connection back, or what is waited for up.  With a step or a transaction open the
 * connection is closed. */
void pgsql_give(struct pgsql_session *s);

/* COPY … FROM STDIN: rows in COPY's text or csv form, in one transaction.  data is borrowed until
 * done.  call->changed: rows. */
void pgsql_copy(struct pgsql *db, struct store_call *call, struct str data);

/* LISTEN on a connection of its own, made anew when it is lost. */
struct pgsql_listen;
/* heard: lane; payload NULL after each (re)connection: something may have been missed. */
struct pgsql_listen *pgsql_listen(struct pgsql *db, struct lane *lane, const char *channel,
                                  void (*heard)(const char *payload, void *arg), void *arg);
void pgsql_unlisten(struct pgsql_listen *listen); /* on its lane */

/* For threads that may wait (start-up, reload's own): a connection of its own with the identity's
 * settings; NULL with *err.  PQfinish() ends it. */
PGconn *pgsql_connect_wait(struct pgsql *db, struct err *err);
/* One or several statements without values.  False with *err. */
bool pgsql_exec_wait(PGconn *c, const char *sql, struct err *err);
/* One statement with text values; the caller clears the result.  NULL with *err. */
PGresult *pgsql_query_wait(PGconn *c, const char *sql, int count, const char *const *values,
                           struct err *err);
/* Fills *err from a failed result (or, without one, the connection): store.h's codes, the server's
 * words, where it is. Returns false. */
bool pgsql_error(PGconn *c, const PGresult *r, struct err *err);

/* What to do about a refusal with this SQLSTATE (may be NULL), to stand behind its message: "" or
 * " (…)".  A prepared statement that is there or is not, when the connection says otherwise, is
 * on another server connection: a pooler changes them between transactions. */
const char *pgsql_hint(const char *state);

/* False with *err (ERR_INVALID) when a's server connection is another one after b, a second
 * connection to the same address, has taken one: a pooler gives each transaction any, and settings,
 * locks and prepared statements are nobody's there.  One whose other clients happen to move in
 * between may pass.  Blocks; a and b are used by nobody else, and b is of no more use after it. */
bool pgsql_check_pooler(PGconn *a, PGconn *b, struct err *err);
