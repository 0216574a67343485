/* pg_pool.c -- the connections of one identity on one lane, and who waits for them.
 *
 * A call goes at once to the connection with the fewest under way; one more connection is made
 * while none is free.  A session waits for a connection of its own: when all are at their limit
 * one takes nothing new until it is free.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/drivers.h"
#include "observe/log.h"
#include "storage/pg_private.h"

struct pgsql_work *pgwork_new(struct pgsql_lane *pool, struct store_call *call)
{
    struct pgsql_work *work = mem_zero(1, sizeof *work);
    work->pool = pool;
    work->call = call;
    work->began = clock_steady_ns();
    list_init(&work->link);
    pgwork_reset(work);
    return work;
}

void pgwork_reset(struct pgsql_work *work)
{
    rows_discard(&work->rows);
    work->rows = (struct rows_builder){
        .max_rows = work->call->max_rows ? work->call->max_rows : STORE_ROWS,
        .max_bytes = work->call->max_bytes ? work->call->max_bytes : STORE_BYTES,
    };
    err_clear(&work->err);
    work->state[0] = '\0';
    work->stale = false;
    work->phase = WORK_QUEUED;
    work->sent = work->answered = 0;
    work->call->changed = 0;
}

void pgwork_finish(struct pgsql_work *work)
{
    list_remove(&work->link);
    list_push_back(&work->pool->finished, &work->link);
}

int64_t pgwork_timeout(const struct pgsql_work *work)
{
    int64_t asked = work->call->timeout_ns;
    return asked ? asked : work->pool->db->timeout_ns;
}

static void deliver(struct pgsql_work *work)
{
    struct store_call *call = work->call;
    bool rows = call->mode == STORE_ALL || call->mode == STORE_ONE;
    call->err = work->err;
    if (work->overdue && call->err.code == ERR_TIMEOUT)
        err_set(&call->err, ERR_TIMEOUT, "the statement ran longer than %.1f s and was cancelled",
                (double)pgwork_timeout(work) / (double)NS_PER_SECOND);
    if (call->err.code) {
        rows_discard(&work->rows);
        call->changed = 0;
    } else if (rows && !work->plain) {
        call->rows = rows_finish(&work->rows);
    }
    pgstatement_unref(work->stmt);
    mem_free(work);
    call->done(call);
}

void pg_session_grant(struct pgsql_session *s)
{
    list_remove(&s->link);
    list_push_back(&s->pool->granted, &s->link);
}

void pgpool_deliver(struct pgsql_lane *pool)
{
    if (pool->delivering)
        return;
    pool->delivering = true;
    while (!list_empty(&pool->finished) || !list_empty(&pool->granted)) {
        if (!list_empty(&pool->finished)) {
            struct pgsql_work *work = list_entry(pool->finished.next, struct pgsql_work, link);
            list_remove(&work->link);
            deliver(work);
        } else {
            struct pgsql_session *s = list_entry(pool->granted.next, struct pgsql_session, link);
            list_remove(&s->link);
            s->ready(s);
        }
    }
    pool->delivering = false;
    if (!pool->closed)
        pgpool_dispatch(pool);
}

static void on_wake(struct lane_message *message)
{
    struct pgsql_lane *pool = list_entry(message, struct pgsql_lane, wake);
    pool->waking = false;
    if (pool->closed)
        pgpool_free(pool);
    else
        pgpool_deliver(pool);
}

void pgpool_wake(struct pgsql_lane *pool)
{
    if (pool->waking || pool->delivering)
        return;
    pool->waking = true;
    pool->wake.fn = on_wake;
    lane_post(pool->lane, &pool->wake);
}

void pgpool_free(struct pgsql_lane *pool)
{
    if (list_empty(&pool->connecting) && !pool->waking)
        mem_free(pool);
}

/* -- connections come and go -- */

static void tell_health(struct pgsql_lane *pool, const struct err *err)
{
    struct pgsql *db = pool->db;
    if (err && driver_health_down(db->health, err))
        log_error(db->what, "the database is out of reach: %s", err->message);
    else if (!err && driver_health_up(db->health))
        log_info(db->what, "the database answers again");
}

static void on_connected(struct pgsql_connecting *connecting)
{
    struct pgsql_lane *pool = connecting->arg;
    pool->connecting_count--;
    if (connecting->c) {
        struct pgsql_conn *conn = pgconn_create(pool, connecting->c);
        list_push_back(&pool->conns, &conn->link);
        pool->conn_count++;
        pool->pause_ms = 0;
        pool->away = false;
        tell_health(pool, NULL);
    } else {
        int64_t pause = pool->pause_ms ? pool->pause_ms * 2 : PGSQL_PAUSE_LEAST_MS;
        pool->pause_ms = pause > PGSQL_PAUSE_MOST_MS ? PGSQL_PAUSE_MOST_MS : pause;
        pool->retry_at = clock_steady_ns() +
                         (int64_t)((double)pool->pause_ms * (0.75 + rand_unit() / 2) * NS_PER_MS);
        pool->last = connecting->err;
        pool->away = pool->conn_count == 0;
        if (pool->away)
            tell_health(pool, &pool->last);
    }
    pgpool_dispatch(pool);
    pgpool_sweep_soon(pool);
}

void pgpool_reconnect(struct pgsql_lane *pool)
{
    pool->connecting_count++;
    struct pgsql_connecting *c = pg_connecting_start(pool->db, pool->lane, on_connected, pool);
    list_push_back(&pool->connecting, &c->link);
}

/* It was sent, no answer came, and what it does stays done. */
bool pgwork_is_unknown(const struct pgsql_work *work)
{
    if (work->plain)
        return !strcmp(work->plain, "commit");
    return work->phase == WORK_RUN && !work->stmt->reads && !work->session;
}

/* What a lost connection does to a call: it is run again when that changes nothing. */
static void lose_work(struct pgsql_work *work, const struct err *why)
{
    struct pgsql_lane *pool = work->pool;
    struct pgsql_statement *stmt = work->stmt;
    bool unsent = work->phase == WORK_DESCRIBE;
    bool over = work->given_up || (work->err.code && work->err.code != ERR_IO); /* it was told */
    list_remove(&work->link);
    if (unsent && stmt->state == STMT_ASKED)
        stmt->state = STMT_UNKNOWN;
    while (unsent && !list_empty(&stmt->waiters)) {
        struct list *waiter = stmt->waiters.prev;
        list_remove(waiter);
        list_push_front(&pool->queue, waiter);
    }
    if (stmt && !work->session && !over && (unsent || stmt->reads) && !work->overdue &&
        ++work->tries < PGSQL_TRIES) {
        work->repeated = work->repeated || !unsent;
        pgwork_reset(work);
        work->conn = NULL;
        list_push_front(&pool->queue, &work->link);
        return;
    }
    if (!over) {
        work->err = *why;
        if (why->code == ERR_SQL || (pgwork_is_unknown(work) && why->code == ERR_TIMEOUT))
            work->err.code = ERR_IO;
        if (work->err.code == ERR_IO && pgwork_is_unknown(work))
            err_wrap(&work->err, "it is not known whether the %s was done",
                     stmt ? "statement" : "commit");
    }
    if (work->session)
        work->session->work = NULL;
    list_push_back(&pool->finished, &work->link);
}

void pgconn_lost(struct pgsql_conn *conn, const struct err *why)
{
    struct pgsql_lane *pool = conn->pool;
    if (conn->lost)
        return;
    conn->lost = true;
    if (pool->reserved == conn)
        pool->reserved = NULL;
    list_remove(&conn->link);
    pool->conn_count--;
    while (!list_empty(&conn->works))
        lose_work(list_entry(conn->works.prev, struct pgsql_work, link), why);
    if (conn->session) {
        conn->session->conn = NULL;
        conn->session->err = *why;
        pool->session_count--;
    }
    if (conn->copying)
        pg_copy_lost(conn, why);
    pgconn_destroy(conn);
    if (!pool->closed && pool->db->health && pool->conn_count == 0 && !pool->connecting_count &&
        clock_steady_ns() >= pool->retry_at)
        pgpool_reconnect(pool); /* so that it is known whether the server is away */
    pgpool_sweep_soon(pool);
}

void pgconn_idle(struct pgsql_conn *conn)
{
    struct err err;
    if (conn->demoted && !conn->session) {
        err_set(&err, ERR_READONLY, "PostgreSQL: the server only reads");
        pgconn_lost(conn, &err);
        return;
    }
    conn->idle_since = clock_steady_ns();
    if (!conn->cancelling)
        conn->was_cancelled = false;
}

/* -- who gets which -- */

bool pgconn_is_free(const struct pgsql_conn *conn)
{
    return !conn->session && conn->work_count == 0 && !conn->cancelling;
}

static struct pgsql_conn *least_busy(struct pgsql_lane *pool, bool for_session)
{
    struct pgsql_conn *best = NULL;
    list_each (link, &pool->conns) {
        struct pgsql_conn *conn = list_entry(link, struct pgsql_conn, link);
        if (conn->session || conn->cancelling || conn->open || conn->work_count >= PGSQL_DEPTH ||
            (conn == pool->reserved && !for_session))
            continue;
        if (!best || conn->work_count < best->work_count)
            best = conn;
    }
    return best;
}

/* One at most is kept free for who waits, and none when nobody does. */
static void give_sessions(struct pgsql_lane *pool)
{
    int most = pool->db->connections > 1 ? pool->db->connections - 1 : 1;
    while (!list_empty(&pool->takers) && pool->session_count < most) {
        struct pgsql_session *s = list_entry(pool->takers.next, struct pgsql_session, link);
        struct pgsql_conn *conn = least_busy(pool, true);
        if (!conn)
            return;
        if (!pgconn_is_free(conn)) {
            if (!pool->reserved && pool->conn_count >= pool->db->connections)
                pool->reserved = conn;
            return;
        }
        pool->reserved = NULL;
        conn->session = s;
        s->conn = conn;
        pool->session_count++;
        pg_session_grant(s);
    }
    pool->reserved = NULL;
}

/* False: nothing can take it now. */
static bool start_work(struct pgsql_lane *pool, struct pgsql_work *work)
{
    if (work->stmt && work->stmt->state == STMT_ASKED) {
        list_remove(&work->link);
        list_push_back(&work->stmt->waiters, &work->link);
        return true;
    }
    struct pgsql_conn *conn = least_busy(pool, false);
    if (!conn || (work->urgent && !pgconn_is_free(conn)))
        return false;
    pool->crowded = pool->crowded || conn->work_count > 0;
    list_remove(&work->link);
    pgconn_start(conn, work);
    return true;
}

void pgpool_dispatch(struct pgsql_lane *pool)
{
    bool urgent = false, waits = false;
    if (pool->delivering || pool->closed)
        return;
    give_sessions(pool);
    list_each_safe (link, &pool->queue) {
        struct pgsql_work *work = list_entry(link, struct pgsql_work, link);
        if (start_work(pool, work))
            continue;
        urgent = urgent || work->urgent;
        waits = true;
        if (!work->urgent)
            break;
    }
    int count = pool->conn_count + pool->connecting_count;
    bool more = waits || pool->crowded || !list_empty(&pool->takers);
    pool->crowded = false;
    if (more && count < pool->db->connections + urgent && clock_steady_ns() >= pool->retry_at &&
        (!pool->away || !pool->connecting_count))
        pgpool_reconnect(pool);
    pgpool_sweep_soon(pool);
    if (!list_empty(&pool->finished) || !list_empty(&pool->granted))
        pgpool_wake(pool);
}

void pgpool_submit_work(struct pgsql_lane *pool, struct pgsql_work *work)
{
    if (work->urgent)
        list_push_front(&pool->queue, &work->link);
    else
        list_push_back(&pool->queue, &work->link);
    pgpool_dispatch(pool);
}
