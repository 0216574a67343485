/* pg_work.c -- what one call sends, and what it makes of the answers. */
#include "base/clock.h"
#include "base/mem.h"
#include "storage/pg_private.h"

static bool check_count(struct pgsql_work *work)
{
    int wanted = work->stmt->param_count, given = work->call->param_count;
    if (wanted == given || (work->call->mode == STORE_MANY && work->call->param_rows == 0))
        return true;
    return err_set(&work->err, ERR_SQL, "the statement takes %d value%s, got %d", wanted,
                   wanted == 1 ? "" : "s", given);
}

static void send_lock(struct pgsql_work *work, const char *function)
{
    char sql[80];
    snprintf(sql, sizeof sql, "select %s(%lld)", function, (long long)work->session->lock);
    pgconn_send_plain(work->conn, sql, work);
}

/* A step of a transaction is undone alone when it fails, as in SQLite. */
static void send_prelude(struct pgsql_work *work)
{
    struct pgsql_session *s = work->session;
    struct pgsql_conn *conn = work->conn;
    if (!s)
        return;
    if (!s->begun && s->lock) {
        send_lock(work, "pg_advisory_lock");
        pgconn_send_sync(conn, NULL); /* or what follows would be in the transaction that took it */
    }
    if (!s->begun)
        pgconn_send_plain(conn, s->begin, work);
    s->begun = true;
    if (s->undo) {
        pgconn_send_plain(conn, "rollback to savepoint maru", work);
        pgconn_send_plain(conn, "release savepoint maru", work);
    }
    s->undo = false;
    if (!work->plain)
        pgconn_send_plain(conn, "savepoint maru", work);
}

static void send_end(struct pgsql_work *work)
{
    if (work->session && !work->plain)
        pgconn_send_plain(work->conn, "release savepoint maru", work);
    pgconn_send_sync(work->conn, work);
}

void pgwork_send_more(struct pgsql_work *work)
{
    struct store_call *call = work->call;
    struct pgsql_conn *conn = work->conn;
    int64_t until = work->answered + PGSQL_CHUNK;
    while (work->sent < call->param_rows && work->sent < until && !work->err.code && !conn->lost) {
        const struct value *values = call->params + work->sent * call->param_count;
        int rows;
        struct pgsql_statement *stmt = pg_fold(work, call->param_rows - work->sent, &rows);
        if (!pg_params_fill(conn->pool, stmt, values, &work->err))
            break;
        if (conn->prepared[stmt->slot] != stmt->version)
            pgconn_send_prepare(conn, stmt, work, false);
        pgconn_send_rows(conn, stmt, work, rows);
        work->sent += rows;
    }
    if (conn->lost)
        return;
    if (work->err.code || work->sent == call->param_rows) {
        /* What was sent is taken back by a statement that fails, unless all of it went well. */
        if (work->err.code && work->sent)
            pgconn_send_plain(conn, "select maru_values_over_their_bounds", NULL);
        conn->open = NULL;
        send_end(work);
    } else {
        conn->open = work;
        PQsendFlushRequest(conn->pg);
    }
}

static void send_run(struct pgsql_work *work)
{
    struct pgsql_conn *conn = work->conn;
    work->phase = WORK_RUN;
    if (conn->prepared[work->stmt->slot] != work->stmt->version)
        pgconn_send_prepare(conn, work->stmt, work, false);
    if (conn->lost)
        return;
    if (work->call->mode == STORE_MANY) {
        pgwork_send_more(work);
        return;
    }
    if (pg_params_fill(conn->pool, work->stmt, work->call->params, &work->err)) {
        if (work->repeated)
            pgconn_send_plain(conn, "set local transaction_read_only = on", work);
        pgconn_send_rows(conn, work->stmt, work, 1);
    }
    if (!conn->lost) /* else the work may wait for another one by now */
        send_end(work);
}

static void finish_on(struct pgsql_work *work)
{
    struct pgsql_conn *conn = work->conn;
    if (work->session) {
        work->session->undo = work->err.code && !work->plain;
        work->session->work = NULL;
    }
    conn->work_count--;
    pgwork_finish(work);
}

void pgwork_send(struct pgsql_work *work)
{
    struct pgsql_conn *conn = work->conn;
    if (work->plain) {
        send_prelude(work);
        work->phase = WORK_RUN;
        pgconn_send_plain(conn, work->plain, work);
        if (work->session && work->session->lock) {
            pgconn_send_sync(conn, NULL); /* it is given back also when the commit fails */
            send_lock(work, "pg_advisory_unlock");
        }
        pgconn_send_sync(conn, work);
    } else if (work->stmt->state == STMT_KNOWN) {
        if (!check_count(work)) {
            bool undo = work->session && work->session->undo;
            finish_on(work);
            if (work->session)
                work->session->undo = undo;
            return;
        }
        send_prelude(work);
        send_run(work);
    } else {
        send_prelude(work);
        work->phase = WORK_DESCRIBE;
        work->stmt->state = STMT_ASKED;
        pgconn_send_prepare(conn, work->stmt, work, true);
        pgconn_send_sync(conn, work);
    }
}

/* -- answers -- */

static void note_failure(struct pgsql_work *work, const PGresult *r)
{
    const char *state = pg_result_state(r), *from = PQresultErrorField(r, PG_DIAG_SOURCE_FUNCTION);
    if (work->err.code && *work->state)
        return;
    bool ours = work->err.code != ERR_NONE; /* over our bounds, and cancelled for it */
    snprintf(work->state, sizeof work->state, "%s", state);
    work->stale = !strcmp(state, "26000") ||
                  (!strcmp(state, "0A000") && from && !strcmp(from, "RevalidateCachedQuery"));
    bool refused = !strcmp(state, "25006");
    work->conn->demoted = work->conn->demoted || (refused && !work->repeated);
    if (ours)
        return;
    if (refused && work->repeated) {
        err_set(&work->err, ERR_IO,
                "it is not known whether the statement was done: the connection to PostgreSQL was"
                " lost, and it writes");
        return;
    }
    pgsql_error(NULL, r, &work->err);
    if (work->call->mode == STORE_MANY && work->phase == WORK_RUN)
        err_wrap(&work->err, "row %lld", (long long)work->answered + 1);
    if (work->session && (!strcmp(state, "40001") || !strcmp(state, "40P01")))
        work->session->again = true;
}

static void learn(struct pgsql_statement *stmt, const PGresult *r)
{
    stmt->param_count = PQnparams(r);
    mem_free(stmt->params);
    stmt->params = mem_zero((size_t)stmt->param_count + 1, sizeof *stmt->params);
    for (int i = 0; i < stmt->param_count; i++)
        stmt->params[i] = PQparamtype(r, i);
}

static void take_rows(struct pgsql_work *work, const PGresult *r)
{
    struct store_call *call = work->call;
    if ((call->mode != STORE_ALL && call->mode != STORE_ONE) || work->given_up)
        return;
    pg_result_columns(&work->rows, r);
    for (int row = 0, n = PQntuples(r); row < n && !work->err.code; row++) {
        if (call->mode == STORE_ONE && work->rows.row_count > 0)
            break;
        pg_result_row(&work->rows, r, row);
        if (!rows_end_row(&work->rows, &work->err) && work->stmt->reads)
            pgconn_cancel(work->conn);
    }
}

static void take_end(struct pgsql_work *work, PGresult *r, int rows)
{
    work->call->changed += pg_result_changed(r);
    if (work->call->mode != STORE_MANY)
        return;
    work->answered += rows;
    work->conn->head_since = clock_steady_ns();
}

/* libpq loses count when something is sent between a result and the NULL behind it: so this comes
 * behind the NULL. */
void pgwork_go_on(struct pgsql_work *work)
{
    if (work->err.code) { /* the rest is not sent */
        work->conn->open = NULL;
        send_end(work);
    } else if (work->sent - work->answered <= PGSQL_CHUNK / 2) {
        pgwork_send_more(work);
    }
}

void pgwork_on_result(struct pgsql_work *work, const struct command *command, PGresult *r)
{
    enum command_kind kind = command->kind;
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_FATAL_ERROR || status == PGRES_NONFATAL_ERROR ||
        status == PGRES_BAD_RESPONSE) {
        note_failure(work, r);
    } else if (kind == COMMAND_DESCRIBE) {
        learn(work->stmt, r);
    } else if (kind == COMMAND_PLAIN && work->plain && !strcmp(work->plain, "commit") &&
               !strcmp(PQcmdStatus(r), "ROLLBACK")) {
        err_set(&work->err, ERR_BUSY, "the transaction had failed and was rolled back");
    } else if (kind == COMMAND_ROWS) {
        take_rows(work, r);
        if (status != PGRES_SINGLE_TUPLE)
            take_end(work, r, command->rows);
    }
    PQclear(r);
}

/* Whoever waits for what the statement takes goes on. */
static void wake_waiters(struct pgsql_work *work)
{
    struct pgsql_statement *stmt = work->stmt;
    while (!list_empty(&stmt->waiters)) {
        struct pgsql_work *waiter = list_entry(stmt->waiters.prev, struct pgsql_work, link);
        list_remove(&waiter->link);
        list_push_front(&work->pool->queue, &waiter->link);
    }
}

static void described(struct pgsql_work *work)
{
    if (work->stmt->state != STMT_KNOWN)
        work->stmt->state = work->err.code ? STMT_UNKNOWN : STMT_KNOWN;
    if (work->err.code)
        work->conn->prepared[work->stmt->slot] = 0;
    wake_waiters(work);
    if (!work->err.code && !work->given_up && check_count(work))
        send_run(work);
    else
        finish_on(work);
}

/* Several rows at once failed for what they are: which one is it? */
static bool may_run_row_by_row(struct pgsql_work *work)
{
    const char *state = work->state;
    bool own = !*state || (*state == '2' && strncmp(state, "25", 2) != 0) ||
               !strncmp(state, "42", 2) || !strncmp(state, "P0", 2) || !strncmp(state, "0A", 2);
    if (!work->folded || work->row_by_row || !own || work->overdue || work->given_up)
        return false;
    if (!strcmp(state, "26000"))
        pg_fold_lost(work);
    work->row_by_row = true;
    if (work->session)
        work->session->undo = true;
    return true;
}

/* Nothing of it was done: its statement is no longer what the tables are, or a cancel that was
 * meant for the one before it came late. */
static bool may_run_again(struct pgsql_work *work)
{
    bool stray = work->err.code == ERR_TIMEOUT && !work->overdue && work->conn->was_cancelled;
    if ((!work->stale && !stray) || work->plain || work->given_up || work->tries >= PGSQL_TRIES)
        return false;
    if (work->stale && !strcmp(work->state, "26000"))
        work->conn->prepared[work->stmt->slot] = 0;
    else if (work->stale)
        pgstatement_renew(work->pool, work->stmt);
    if (work->session)
        work->session->undo = true;
    return true;
}

void pgwork_on_sync(struct pgsql_work *work)
{
    if (work->err.code && may_run_row_by_row(work)) {
        pgwork_reset(work);
        pgwork_send(work);
    } else if (work->err.code && may_run_again(work)) {
        pgwork_reset(work);
        work->tries++;
        pgwork_send(work);
    } else if (work->phase == WORK_DESCRIBE) {
        described(work);
    } else {
        finish_on(work);
    }
}
