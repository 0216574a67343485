/* pg_session.c -- a connection for one caller at a time. */
#include "base/clock.h"
#include "storage/pg_private.h"

static void on_refused(void *arg)
{
    struct pgsql_session *s = arg;
    s->ready(s);
}

void pgsql_take(struct pgsql *db, struct pgsql_session *s, struct lane *lane)
{
    if (db->ended[lane->index]) {
        list_init(&s->link);
        s->conn = NULL;
        err_set(&s->err, ERR_CLOSED, "%s: the server is stopping", db->what);
        lane_call(lane, on_refused, s);
        return;
    }
    struct pgsql_lane *pool = pgpool_of(db, lane);
    s->pool = pool;
    s->conn = NULL;
    s->work = NULL;
    s->begun = s->undo = s->again = false;
    s->deadline = clock_steady_ns() + db->timeout_ns;
    err_clear(&s->err);
    list_init(&s->link);
    list_push_back(&pool->takers, &s->link);
    pgpool_dispatch(pool);
}

static void start(struct pgsql_session *s, struct pgsql_work *work)
{
    work->session = s;
    if (s->conn) {
        s->work = work;
        pgconn_start(s->conn, work);
    } else {
        work->err = s->err;
        pgwork_finish(work);
    }
    if (!list_empty(&s->pool->finished))
        pgpool_wake(s->pool);
    pgpool_sweep_soon(s->pool);
}

void pgsql_step(struct pgsql_session *s, const char *begin, struct store_call *call)
{
    struct pgsql_work *work = pgwork_new(s->pool, call);
    call->rows = NULL;
    s->begin = begin;
    work->stmt = pgstatement_get(s->pool, call, &work->err);
    if (!work->err.code) {
        start(s, work);
    } else {
        pgwork_finish(work);
        pgpool_wake(s->pool);
    }
}

void pgsql_finish(struct pgsql_session *s, const char *how, struct store_call *call)
{
    struct pgsql_work *work = pgwork_new(s->pool, call);
    call->rows = NULL;
    call->mode = STORE_EXEC;
    work->plain = how;
    if (s->begun && s->conn) {
        start(s, work);
        s->begun = false;
        return;
    }
    if (!s->conn)
        work->err = s->err;
    pgwork_finish(work);
    pgpool_wake(s->pool);
}

void pgsql_cancel(struct pgsql_session *s)
{
    if (!s->conn || !s->work)
        return;
    s->work->tries = PGSQL_TRIES;
    pgconn_cancel(s->conn);
}

void pgsql_give(struct pgsql_session *s)
{
    struct pgsql_lane *pool = s->pool;
    struct pgsql_conn *conn = s->conn;
    struct err err;
    list_remove(&s->link);
    s->conn = NULL;
    if (!conn)
        return;
    conn->session = NULL;
    pool->session_count--;
    if (s->begun || s->work) {
        if (s->work)
            s->work->session = NULL;
        err_set(&err, ERR_CANCELLED, "the transaction was given up");
        pgconn_lost(conn, &err);
    } else {
        pgconn_idle(conn);
    }
    pgpool_wake(pool);
}
