/* pg_sweep.c -- what is over its time: cancelled by a statement on another connection, and given up
 * with its connection when even that brings no answer. */
#include "base/clock.h"
#include "base/mem.h"
#include "storage/pg_private.h"

struct cancel {
    struct store_call call; /* first */
    struct pgsql_lane *pool;
    int pid;
    char sql[64];
};

static void on_cancelled(struct store_call *call)
{
    struct cancel *c = (struct cancel *)call;
    list_each (link, &c->pool->conns) {
        struct pgsql_conn *conn = list_entry(link, struct pgsql_conn, link);
        if (PQbackendPID(conn->pg) == c->pid)
            conn->cancelling = false;
    }
    mem_free(c);
}

/* Whoever stands behind the cancelled one may be hit instead when the cancel comes late: nothing
 * new goes there, and what was hit so is run again. */
void pgconn_cancel(struct pgsql_conn *conn)
{
    if (conn->cancelling || conn->lost)
        return;
    struct cancel *c = mem_zero(1, sizeof *c);
    conn->cancelling = conn->was_cancelled = true;
    c->pool = conn->pool;
    c->pid = PQbackendPID(conn->pg);
    snprintf(c->sql, sizeof c->sql, "select pg_cancel_backend(%d)", c->pid);
    c->call.mode = STORE_EXEC;
    c->call.done = on_cancelled;
    struct pgsql_work *work = pgwork_new(conn->pool, &c->call);
    work->plain = c->sql;
    work->urgent = true;
    list_push_front(&conn->pool->queue, &work->link);
    pgpool_wake(conn->pool);
}

static void refuse(struct pgsql_work *work)
{
    struct pgsql_lane *pool = work->pool;
    double waited = (double)(clock_steady_ns() - work->began) / (double)NS_PER_SECOND;
    if (pool->conn_count == 0 && pool->last.code)
        work->err = pool->last;
    else if (pool->conn_count == 0)
        err_set(&work->err, ERR_IO, "PostgreSQL: not connected within %.1f s", waited);
    else
        err_set(&work->err, ERR_TIMEOUT, "no connection was free for %.1f s", waited);
    pgwork_finish(work);
}

static void sweep_queue(struct pgsql_lane *pool, int64_t now)
{
    list_each_safe (link, &pool->queue) {
        struct pgsql_work *work = list_entry(link, struct pgsql_work, link);
        int64_t most = pool->conn_count ? pgwork_timeout(work) : pool->db->patience_ns;
        if (now - work->began > most && (pool->conn_count || pool->away || work->tries ||
                                         now - work->began > pgwork_timeout(work)))
            refuse(work);
    }
    list_each_safe (link, &pool->takers) {
        struct pgsql_session *s = list_entry(link, struct pgsql_session, link);
        int64_t since = s->deadline - pool->db->timeout_ns;
        bool out = now > s->deadline ||
                   (pool->conn_count == 0 && pool->away && now - since > pool->db->patience_ns);
        if (!out)
            continue;
        if (pool->conn_count == 0 && pool->last.code)
            s->err = pool->last;
        else
            err_set(&s->err, ERR_TIMEOUT, "no connection was free for a transaction");
        pg_session_grant(s);
    }
}

/* Nobody is to be told of what is left of a call that was given up. */
static void forget(struct store_call *call)
{
    rows_free(call->rows);
    mem_free(call);
}

/* Tells the caller of what is behind others on a connection; what was sent of it cannot be taken
 * back, and is answered to nobody. */
static void give_up(struct pgsql_work *work, int64_t now)
{
    struct pgsql_work *told = pgwork_new(work->pool, work->call);
    struct store_call *left = mem_alloc(sizeof *left);
    bool unknown = pgwork_is_unknown(work);
    err_set(&told->err, unknown ? ERR_IO : ERR_TIMEOUT, "it was %.1f s behind other statements%s",
            (double)(now - work->began) / (double)NS_PER_SECOND,
            unknown ? "; it is not known whether the statement was done" : "");
    pgwork_finish(told);
    *left = *work->call;
    left->done = forget;
    left->params = NULL;
    work->call = left;
    work->given_up = true;
}

static bool is_over(const struct pgsql_work *work, int64_t now)
{
    return now - work->began > pgwork_timeout(work) + PGSQL_GRACE_MS * NS_PER_MS;
}

/* Those behind the first: their own time does not wait for its end, nor does that of works that
 * wait to know the same statement. */
static void sweep_behind(struct pgsql_conn *conn, int64_t now)
{
    list_each (link, &conn->works) {
        struct pgsql_work *work = list_entry(link, struct pgsql_work, link);
        if (link != conn->works.next && !work->plain && !work->given_up && work != conn->open &&
            is_over(work, now))
            give_up(work, now);
        if (work->phase != WORK_DESCRIBE)
            continue;
        list_each_safe (waiter, &work->stmt->waiters) {
            struct pgsql_work *waits = list_entry(waiter, struct pgsql_work, link);
            if (is_over(waits, now))
                refuse(waits);
        }
    }
}

static void sweep_conn(struct pgsql_conn *conn, int64_t now)
{
    struct err err;
    if (conn->copying) {
        if (now - conn->head_since > conn->pool->db->timeout_ns) {
            err_set(&err, ERR_TIMEOUT, "PostgreSQL: COPY stood still");
            pgconn_lost(conn, &err);
        }
        return;
    }
    if (conn->work_count == 0) {
        if (!conn->session && now - conn->idle_since > PGSQL_IDLE_S * NS_PER_SECOND) {
            conn->lost = true;
            list_remove(&conn->link);
            conn->pool->conn_count--;
            pgconn_destroy(conn);
        }
        return;
    }
    sweep_behind(conn, now);
    struct pgsql_work *head = list_entry(conn->works.next, struct pgsql_work, link);
    int64_t since = head->began > conn->head_since ? head->began : conn->head_since;
    int64_t time = pgwork_timeout(head);
    int64_t patience = time < conn->pool->db->most_ns ? 0 : PGSQL_CANCEL_MS * NS_PER_MS;
    if (now - since > time + PGSQL_GRACE_MS * NS_PER_MS) {
        head->overdue = true;
        err_set(&err, ERR_TIMEOUT, "PostgreSQL: no answer within %.1f s",
                (double)(now - since) / (double)NS_PER_SECOND);
        pgconn_lost(conn, &err);
    } else if (now - since > time + patience && !head->overdue) {
        head->overdue = true;
        pgconn_cancel(conn);
    }
}

static void on_sweep(struct timer *timer)
{
    struct pgsql_lane *pool = list_entry(timer, struct pgsql_lane, sweep);
    int64_t now = clock_steady_ns();
    pool->sweeping = false;
    pool->delivering = true; /* nobody changes the lists while they are gone through */
    list_each_safe (link, &pool->conns)
        sweep_conn(list_entry(link, struct pgsql_conn, link), now);
    sweep_queue(pool, now);
    pool->delivering = false;
    pgpool_deliver(pool);
    bool wanted = pool->db->health || !list_empty(&pool->queue) || !list_empty(&pool->takers);
    if (pool->away && wanted && !pool->connecting_count && now >= pool->retry_at)
        pgpool_reconnect(pool);
    pgpool_sweep_soon(pool);
}

static bool is_active(const struct pgsql_lane *pool)
{
    if (!list_empty(&pool->queue) || !list_empty(&pool->takers) || (pool->away && pool->db->health))
        return true;
    list_each (link, &pool->conns)
        if (list_entry(link, struct pgsql_conn, link)->work_count)
            return true;
    return false;
}

void pgpool_sweep_soon(struct pgsql_lane *pool)
{
    bool active = is_active(pool);
    if (pool->closed || (pool->sweeping && (!active || pool->sweep_soon)))
        return;
    pool->sweeping = true;
    pool->sweep_soon = active;
    pool->sweep.fire = on_sweep;
    pool->sweep.upkeep = true;
    timer_start(pool->lane, &pool->sweep,
                active ? PGSQL_SWEEP_MS * NS_PER_MS : PGSQL_SWEEP_IDLE_MS * NS_PER_MS);
}
