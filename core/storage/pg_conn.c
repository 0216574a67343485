/* pg_conn.c -- one connection on its loop: what was sent, and whose answer comes next.
 *
 * DESIGN.  Everything is sent in libpq's pipeline mode.  `commands` is what was sent and not
 * answered, in order.  A work's commands end with a sync, behind which the server has committed
 * them or taken them back, so works on one connection do not see each other's failures.  Works
 * that ended are gathered while the answers are read and handed out afterwards: whoever is told
 * may run the next statement at once.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "storage/pg_private.h"

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct pgsql_conn *conn, int events)
{
    if (conn->events == events)
        return;
    conn->events = events;
    uv_poll_start(&conn->poll, events, on_poll);
}

void pgconn_watch(struct pgsql_conn *conn, bool writable)
{
    watch(conn, writable ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

void pgconn_failed(struct pgsql_conn *conn)
{
    struct err err;
    pgsql_error(conn->pg, NULL, &err);
    pgconn_lost(conn, &err);
}

struct pgsql_conn *pgconn_create(struct pgsql_lane *pool, PGconn *c)
{
    struct pgsql_conn *conn = mem_zero(1, sizeof *conn);
    conn->tag = (uint32_t)rand_u64();
    conn->pool = pool;
    conn->pg = c;
    conn->idle_since = clock_steady_ns();
    list_init(&conn->works);
    PQsetnonblocking(c, 1);
    PQenterPipelineMode(c);
    uv_poll_init(&pool->lane->loop, &conn->poll, PQsocket(c));
    conn->poll.data = conn;
    watch(conn, UV_READABLE);
    return conn;
}

static void on_closed(uv_handle_t *handle)
{
    struct pgsql_conn *conn = handle->data;
    mem_free(conn->commands);
    mem_free(conn);
}

void pgconn_destroy(struct pgsql_conn *conn)
{
    uv_poll_stop(&conn->poll);
    PQfinish(conn->pg);
    conn->pg = NULL;
    uv_close((uv_handle_t *)&conn->poll, on_closed);
}

static void push_command(struct pgsql_conn *conn, enum command_kind kind, struct pgsql_work *work)
{
    if (conn->count == conn->room) {
        unsigned room = conn->room ? conn->room * 2 : 64;
        struct command *list = mem_alloc(room * sizeof *list);
        for (unsigned i = 0; i < conn->count; i++)
            list[i] = conn->commands[(conn->first + i) % conn->room];
        mem_free(conn->commands);
        conn->commands = list;
        conn->room = room;
        conn->first = 0;
    }
    conn->commands[(conn->first + conn->count++) % conn->room] = (struct command){kind, work, 1};
}

/* Rows come one by one, so that a result over its bounds is never held whole.  To be said when its
 * command is the next to be answered and nothing of it was read. */
static void look_at_first(struct pgsql_conn *conn)
{
    struct command *first = &conn->commands[conn->first];
    if (!conn->count || conn->single || first->kind != COMMAND_ROWS || !first->work)
        return;
    enum store_mode mode = first->work->call->mode;
    if (mode == STORE_ALL || mode == STORE_ONE)
        PQsetSingleRowMode(conn->pg);
    conn->single = true;
}

static void pop_command(struct pgsql_conn *conn)
{
    conn->first = (conn->first + 1) % conn->room;
    conn->count--;
    conn->single = false;
    look_at_first(conn);
}

static void sent(struct pgsql_conn *conn, int ok, enum command_kind kind, struct pgsql_work *work)
{
    if (ok) {
        push_command(conn, kind, work);
        look_at_first(conn);
    } else if (!conn->lost) {
        pgconn_failed(conn);
    }
}

void pgconn_send_plain(struct pgsql_conn *conn, const char *sql, struct pgsql_work *work)
{
    if (!conn->lost)
        sent(conn, PQsendQueryParams(conn->pg, sql, 0, NULL, NULL, NULL, NULL, 0), COMMAND_PLAIN,
             work);
}

void pgconn_send_sync(struct pgsql_conn *conn, struct pgsql_work *work)
{
    if (!conn->lost)
        sent(conn, PQpipelineSync(conn->pg), COMMAND_SYNC, work);
}

/* No other connection's: a pooler may hand this one's statements to a server connection on which
 * that other has prepared something else. */
static void prepared_name(const struct pgsql_conn *conn, int slot, uint32_t version, char out[32])
{
    snprintf(out, 32, "m%08x_%d_%u", conn->tag, slot, version);
}

void pgconn_send_prepare(struct pgsql_conn *conn, struct pgsql_statement *stmt,
                         struct pgsql_work *work, bool describe)
{
    char name[32], old[48];
    uint32_t *prepared = &conn->prepared[stmt->slot];
    if (*prepared && !conn->lost) {
        prepared_name(conn, stmt->slot, *prepared, name);
        snprintf(old, sizeof old, "deallocate %s", name);
        pgconn_send_plain(conn, old, NULL);
    }
    prepared_name(conn, stmt->slot, stmt->version, name);
    *prepared = stmt->version;
    if (!conn->lost)
        sent(conn,
             PQsendPrepare(conn->pg, name, stmt->sql.p, stmt->of ? stmt->param_count : 0,
                           stmt->of ? stmt->params : NULL),
             COMMAND_PREPARE, work);
    if (describe && !conn->lost)
        sent(conn, PQsendDescribePrepared(conn->pg, name), COMMAND_DESCRIBE, work);
}

void pgconn_send_rows(struct pgsql_conn *conn, const struct pgsql_statement *stmt,
                      struct pgsql_work *work, int rows)
{
    struct pgsql_lane *pool = conn->pool;
    char name[32];
    prepared_name(conn, stmt->slot, stmt->version, name);
    if (!conn->lost)
        sent(conn,
             PQsendQueryPrepared(conn->pg, name, stmt->param_count, pool->values, pool->lengths,
                                 pool->formats, 0),
             COMMAND_ROWS, work);
    if (!conn->lost)
        conn->commands[(conn->first + conn->count - 1) % conn->room].rows = rows;
}

void pgconn_flush(struct pgsql_conn *conn)
{
    if (conn->lost)
        return;
    int left = PQflush(conn->pg);
    if (left < 0)
        pgconn_failed(conn);
    else
        pgconn_watch(conn, left > 0);
}

void pgconn_start(struct pgsql_conn *conn, struct pgsql_work *work)
{
    if (conn->work_count++ == 0)
        conn->head_since = clock_steady_ns();
    list_push_back(&conn->works, &work->link);
    work->conn = conn;
    pgwork_send(work);
    pgconn_flush(conn);
}

static void on_sync(struct pgsql_conn *conn, struct pgsql_work *work)
{
    if (work)
        pgwork_on_sync(work);
    if (conn->lost)
        return;
    conn->head_since = clock_steady_ns();
    if (conn->work_count == 0)
        pgconn_idle(conn);
}

/* One thing that libpq has for us; false: nothing more until bytes come. */
static bool take_result(struct pgsql_conn *conn)
{
    if (conn->count == 0 || PQisBusy(conn->pg))
        return false;
    struct command command = conn->commands[conn->first];
    PGresult *r = PQgetResult(conn->pg);
    if (!r && command.kind == COMMAND_SYNC)
        return false;
    if (!r) {
        pop_command(conn);
        if (conn->open && command.work == conn->open)
            pgwork_go_on(conn->open);
        return !conn->lost;
    }
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_PIPELINE_SYNC) {
        PQclear(r);
        pop_command(conn);
        on_sync(conn, command.work);
        return !conn->lost;
    }
    if (status == PGRES_PIPELINE_ABORTED)
        PQclear(r);
    else if (command.work)
        pgwork_on_result(command.work, &command, r);
    else
        PQclear(r);
    return !conn->lost;
}

static void conn_read(struct pgsql_conn *conn)
{
    bool alive = PQconsumeInput(conn->pg);
    while (!conn->lost && take_result(conn))
        ;
    if (conn->lost)
        return;
    if (!alive || PQstatus(conn->pg) != CONNECTION_OK)
        pgconn_failed(conn);
    else
        pgconn_flush(conn);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct pgsql_conn *conn = poll->data;
    struct pgsql_lane *pool = conn->pool;
    (void)events;
    if (conn->lost)
        return;
    if (status < 0) {
        struct err err;
        err_set(&err, ERR_IO, "PostgreSQL: %s", uv_strerror(status));
        pgconn_lost(conn, &err);
    } else if (conn->copying) {
        pg_copy_go_on(conn);
    } else {
        conn_read(conn);
    }
    pgpool_deliver(pool);
}
