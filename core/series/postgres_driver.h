/* postgres_driver.h -- what the files of the PostgreSQL driver share.
 *
 * Blocking, on the store's own pool threads: what it does is encoding a million points, or
 * reading as many, which no lane may be held up by.  Every wait has an end: a server that
 * stands still is given up after ANSWER_MS without a byte.
 */
#pragma once

#include <libpq-fe.h>

#include "series/series_private.h"

struct series_pg {
    struct series_conn *owner;
    PGconn *c;                /* NULL: not connected */
    struct series_call *call; /* that may be cancelled meanwhile, or NULL */
    int64_t answer_ms;        /* 0: SERIES_PG_ANSWER_MS */
};

enum { SERIES_PG_ANSWER_MS = 12000, SERIES_PG_STATEMENT_MS = 10000 };

/* Microseconds between 1970 and PostgreSQL's 2000, and its first instant. */
#define SERIES_PG_EPOCH_US INT64_C(946684800000000)
#define SERIES_PG_FIRST_US (-INT64_C(210866803200000000))

/* postgres_conn.c */
bool pgs_ready(struct series_conn *conn, struct err *err);
/* Runs the statements of a text; the last one's result, or NULL with *err (ERR_IO: the
 * connection was lost, and is closed). */
PGresult *pgs_run(struct series_pg *pg, const char *sql, struct err *err);
/* Runs q and frees it; columns are binary. */
PGresult *pgs_query(struct series_pg *pg, struct query *q, struct err *err);
/* The next result of what was sent, NULL at the end or when the connection is lost or silent. */
PGresult *pgs_next(struct series_pg *pg, struct err *err);
bool pgs_flush(struct series_pg *pg, struct err *err); /* what libpq has taken goes out */
/* False with *err, which says what r (taken, may be NULL) says. */
bool pgs_fail(struct series_pg *pg, PGresult *r, struct err *err);
void pgs_drain(struct series_pg *pg); /* to the end of what was sent, after a failure */
void pgs_disconnect(struct series_pg *pg);
bool pgs_send(struct series_pg *pg, struct query *q, int format, struct err *err); /* frees q */

/* postgres_watch.c: whether the server is in reach; a thread that finds out when it is again. */
bool pgs_watch_start(struct series_store *store, struct err *err);
void pgs_watch_stop(struct series_store *store);
bool pgs_in_reach(struct series_store *store, struct err *err); /* false with why it is not */
void pgs_away(struct series_store *store, const struct err *err);
void pgs_back(struct series_store *store);
bool pgs_connect(struct series_pg *pg, const char *url, struct err *err);
/* False with *err when a pooler stands before it that conn cannot be used through. */
bool pgs_check_sessions(struct series_conn *conn, struct err *err);

/* postgres_table.c */
bool pgs_ensure(struct series_conn *conn, struct series *s, struct err *err);
int64_t pgs_expire(struct series_conn *conn, struct series *s, int64_t before_us, struct err *err);
/* Partitions for these instants, if they are near enough; others go where late points go. */
bool pgs_make_parts(struct series_pg *pg, struct series *s, const int64_t *at_us, int64_t n,
                    struct err *err);

/* postgres_append.c, postgres_read.c, postgres_export.c */
bool pgs_append(struct series_conn *conn, struct series_call *call);
bool pgs_read(struct series_conn *conn, struct series_call *call);
bool pgs_export(struct series_conn *conn, struct series_call *call);
bool pgs_duck(struct series_conn *conn, struct err *err);
bool pgs_ask(struct series_conn *conn, struct series_call *call); /* postgres_query.c */
struct frame_builder;
void pgs_take_rows(struct frame_builder *b, const PGresult *r);

int64_t pgs_int64(const char *p); /* eight bytes in network order */
double pgs_double(const char *p);
void pgs_put64(char *p, uint64_t value);
/* Extern text of postgres.sql. */
extern const char series_postgres_sql[];
