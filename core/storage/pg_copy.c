/* pg_copy.c -- COPY … FROM STDIN: much data, as fast as the server takes it. */
#include "base/clock.h"
#include "base/mem.h"
#include "storage/pg_private.h"

enum { PIECE = 64 << 10 };

struct pgsql_copying {
    struct pgsql_session session; /* first */
    struct store_call *call;
    struct str data;
    size_t sent;
    char *sql;
    enum { COPY_ASKED, COPY_SENDS, COPY_ENDS } state;
    bool ended; /* PQputCopyEnd took */
    struct err err;
};

static void finish(struct pgsql_copying *c)
{
    int64_t changed = c->call->changed;
    struct pgsql_work *work = pgwork_new(c->session.pool, c->call);
    c->call->changed = changed;
    c->call->mode = STORE_EXEC;
    work->err = c->err;
    pgwork_finish(work);
    pgsql_give(&c->session);
    mem_free(c->sql);
    mem_free(c);
}

void pg_copy_lost(struct pgsql_conn *conn, const struct err *why)
{
    struct pgsql_copying *c = conn->copying;
    conn->copying = NULL;
    if (!c->err.code)
        c->err = *why;
    if (c->err.code == ERR_IO)
        err_wrap(&c->err, "it is not known whether the rows were taken");
    conn->session = NULL;
    c->session.conn = NULL;
    finish(c);
}

/* False: the connection takes no more for now, or is lost. */
static bool send_some(struct pgsql_conn *conn, struct pgsql_copying *c)
{
    while (c->sent < c->data.n) {
        size_t n = c->data.n - c->sent < PIECE ? c->data.n - c->sent : PIECE;
        int took = PQputCopyData(conn->pg, c->data.p + c->sent, (int)n);
        if (took < 0)
            pgconn_failed(conn);
        if (took <= 0)
            return false;
        c->sent += n;
        conn->head_since = clock_steady_ns();
        int left = PQflush(conn->pg);
        if (left < 0)
            pgconn_failed(conn);
        if (left != 0)
            return false;
    }
    int took = c->ended ? 1 : PQputCopyEnd(conn->pg, NULL);
    if (took < 0)
        pgconn_failed(conn);
    c->ended = took > 0;
    return took > 0;
}

/* An answer: that it may be sent, that it was taken, or why not. */
static void on_answer(struct pgsql_copying *c, PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_COPY_IN)
        c->state = COPY_SENDS;
    else if (status == PGRES_COMMAND_OK)
        c->call->changed = pg_result_changed(r);
    else if (!c->err.code)
        pgsql_error(NULL, r, &c->err);
    PQclear(r);
}

void pg_copy_go_on(struct pgsql_conn *conn)
{
    struct pgsql_copying *c = conn->copying;
    if (!PQconsumeInput(conn->pg)) {
        pgconn_failed(conn);
        return;
    }
    while (!conn->lost && c->state != COPY_SENDS && !PQisBusy(conn->pg)) {
        PGresult *r = PQgetResult(conn->pg);
        if (!r && PQenterPipelineMode(conn->pg)) {
            conn->copying = NULL;
            pgconn_watch(conn, false);
            finish(c);
            return;
        }
        on_answer(c, r);
    }
    if (!conn->lost && c->state == COPY_SENDS && send_some(conn, c))
        c->state = COPY_ENDS;
    if (conn->lost)
        return;
    int left = PQflush(conn->pg);
    if (left < 0)
        pgconn_failed(conn);
    else
        pgconn_watch(conn, left > 0 || c->state == COPY_SENDS);
}

static void on_ready(struct pgsql_session *s)
{
    struct pgsql_copying *c = (struct pgsql_copying *)s;
    struct pgsql_conn *conn = s->conn;
    if (!conn) {
        c->err = s->err;
        finish(c);
        return;
    }
    conn->copying = c;
    conn->head_since = clock_steady_ns();
    if (!PQexitPipelineMode(conn->pg) || !PQsendQuery(conn->pg, c->sql))
        pgconn_failed(conn);
    else
        pg_copy_go_on(conn);
    pgpool_sweep_soon(s->pool);
}

void pgsql_copy(struct pgsql *db, struct store_call *call, struct str data)
{
    if (db->ended[call->lane->index]) {
        pgsql_run(db, call); /* which refuses it */
        return;
    }
    struct pgsql_copying *c = mem_zero(1, sizeof *c);
    c->call = call;
    c->data = data;
    c->sql = str_dup(call->sql);
    call->rows = NULL;
    call->changed = 0;
    c->session.ready = on_ready;
    pgsql_take(db, &c->session, call->lane);
}
