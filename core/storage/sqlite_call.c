/* sqlite_call.c -- one store_call on one connection: bind, step, collect. */
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "storage/rows.h"
#include "storage/sqlite_private.h"

/* The number n of the parameter "$n", 0 when it is written otherwise. */
static int parameter_number(sqlite3_stmt *stmt, int index)
{
    const char *name = sqlite3_bind_parameter_name(stmt, index);
    if (!name || name[0] != '$' || name[1] < '1' || name[1] > '9')
        return 0;
    char *end;
    long n = strtol(name + 1, &end, 10);
    return *end == '\0' && n <= STORE_PARAMS ? (int)n : 0;
}

bool call_check_parameters(sqlite3_stmt *stmt, int given, struct err *err)
{
    int wanted = 0;
    int count = sqlite3_bind_parameter_count(stmt);
    for (int i = 1; i <= count; i++) {
        int n = parameter_number(stmt, i);
        if (n == 0)
            return err_set(err, ERR_SQL, "parameters are written $1, $2 … $%d", STORE_PARAMS);
        wanted = n > wanted ? n : wanted;
    }
    if (given >= 0 && wanted != given)
        return err_set(err, ERR_SQL, "the statement takes %d value%s, got %d", wanted,
                       wanted == 1 ? "" : "s", given);
    return true;
}

static int bind_value(sqlite3_stmt *stmt, int index, const struct value *v)
{
    switch (v->type) {
    case VALUE_NULL:
        return sqlite3_bind_null(stmt, index);
    case VALUE_BOOL:
        return sqlite3_bind_int(stmt, index, v->b);
    case VALUE_INT:
        return sqlite3_bind_int64(stmt, index, v->i);
    case VALUE_DOUBLE:
        return sqlite3_bind_double(stmt, index, v->d);
    case VALUE_TEXT:
        return sqlite3_bind_text64(stmt, index, v->s.p, v->s.n, SQLITE_STATIC, SQLITE_UTF8);
    case VALUE_BLOB:
        return sqlite3_bind_blob64(stmt, index, v->s.n ? v->s.p : "", v->s.n, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

static bool bind_row(struct sqlite_conn *conn, sqlite3_stmt *stmt, const struct value *params,
                     struct err *err)
{
    int count = sqlite3_bind_parameter_count(stmt);
    for (int i = 1; i <= count; i++) {
        int rc = bind_value(stmt, i, &params[parameter_number(stmt, i) - 1]);
        if (rc != SQLITE_OK)
            return sqlite_error(conn, rc, err);
    }
    return true;
}

/* SQLite has no boolean: a column declared so answers with one, as PostgreSQL does. */
static bool is_boolean(sqlite3_stmt *stmt, int column)
{
    const char *type = sqlite3_column_decltype(stmt, column);
    return type && strncasecmp(type, "bool", 4) == 0;
}

static struct value column_value(sqlite3_stmt *stmt, int i)
{
    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER: {
        int64_t n = sqlite3_column_int64(stmt, i);
        if ((n == 0 || n == 1) && is_boolean(stmt, i))
            return (struct value){.type = VALUE_BOOL, .b = n != 0};
        return (struct value){.type = VALUE_INT, .i = n};
    }
    case SQLITE_FLOAT:
        return (struct value){.type = VALUE_DOUBLE, .d = sqlite3_column_double(stmt, i)};
    case SQLITE_TEXT:
        return (struct value){.type = VALUE_TEXT,
                              .s = {(const char *)sqlite3_column_text(stmt, i),
                                    (size_t)sqlite3_column_bytes(stmt, i)}};
    case SQLITE_BLOB:
        return (struct value){
            .type = VALUE_BLOB,
            .s = {sqlite3_column_blob(stmt, i), (size_t)sqlite3_column_bytes(stmt, i)}};
    default:
        return (struct value){.type = VALUE_NULL};
    }
}

static bool collect_row(sqlite3_stmt *stmt, struct rows_builder *rows, struct err *err)
{
    for (int i = 0; i < rows->column_count; i++)
        rows_value(rows, column_value(stmt, i));
    return rows_end_row(rows, err);
}

/* Steps to the end; `rows` may be NULL.  A reading statement asked for one row
 * stops after it, a writing one does not. */
static bool step_all(struct sqlite_conn *conn, sqlite3_stmt *stmt, struct rows_builder *rows,
                     bool one, struct err *err)
{
    int rc;
    while ((rc = sqlite_step(conn, stmt, err)) == SQLITE_ROW) {
        if (!rows || (one && rows->row_count > 0))
            continue;
        if (!collect_row(stmt, rows, err))
            return false;
        if (one && sqlite3_stmt_readonly(stmt))
            return true;
    }
    return rc == SQLITE_DONE;
}

static bool run_many(struct sqlite_conn *conn, sqlite3_stmt *stmt, struct store_call *call)
{
    for (int64_t row = 0; row < call->param_rows; row++) {
        const struct value *params = call->params + row * call->param_count;
        if (!bind_row(conn, stmt, params, &call->err) ||
            !step_all(conn, stmt, NULL, false, &call->err))
            return err_wrap(&call->err, "row %lld", (long long)row + 1);
        call->changed += sqlite3_changes64(conn->db);
        sqlite3_reset(stmt);
    }
    return true;
}

static bool run_rows(struct sqlite_conn *conn, sqlite3_stmt *stmt, struct store_call *call)
{
    struct rows_builder rows = {
        .max_rows = call->max_rows ? call->max_rows : STORE_ROWS,
        .max_bytes = call->max_bytes ? call->max_bytes : STORE_BYTES,
    };
    int columns = sqlite3_column_count(stmt);
    for (int i = 0; i < columns; i++)
        rows_column(&rows, sqlite3_column_name(stmt, i));
    if (!step_all(conn, stmt, &rows, call->mode == STORE_ONE, &call->err)) {
        rows_discard(&rows);
        return false;
    }
    call->rows = rows_finish(&rows);
    return true;
}

static bool run_statement(struct sqlite_conn *conn, sqlite3_stmt *stmt, struct store_call *call)
{
    bool nothing = call->mode == STORE_MANY && call->param_rows == 0;
    if (!call_check_parameters(stmt, nothing ? -1 : call->param_count, &call->err))
        return false;
    if (call->mode == STORE_MANY)
        return run_many(conn, stmt, call);
    if (!bind_row(conn, stmt, call->params, &call->err))
        return false;
    bool ok = call->mode == STORE_EXEC ? step_all(conn, stmt, NULL, false, &call->err)
                                       : run_rows(conn, stmt, call);
    if (ok && !sqlite3_stmt_readonly(stmt))
        call->changed = sqlite3_changes64(conn->db);
    return ok;
}

enum call_result conn_call(struct sqlite_conn *conn, struct store_call *call, bool reader_only)
{
    int64_t timeout_ns = call->timeout_ns ? call->timeout_ns : STORE_TIMEOUT_MS * NS_PER_MS;
    err_clear(&call->err); /* a call may run again after a lost transaction */
    rows_free(call->rows);
    call->rows = NULL;
    call->changed = 0;
    conn->plugin = call->plugin;
    enum call_result result = CALL_FAILED;
    sqlite3_stmt *stmt = conn_prepare(conn, call->sql, &call->err);
    if (stmt && reader_only && !sqlite3_stmt_readonly(stmt)) {
        result = CALL_WRITES;
    } else if (stmt) {
        conn->deadline_ns = clock_steady_ns() + timeout_ns;
        if (run_statement(conn, stmt, call))
            result = CALL_DONE;
        conn_done(stmt);
        conn->deadline_ns = 0;
    }
    conn->plugin = NULL;
    return result;
}

static void on_delivered(struct lane_message *message)
{
    struct store_call *call = (struct store_call *)message;
    call->done(call);
}

void call_deliver(struct store_call *call)
{
    if (call->err.code != ERR_NONE) {
        rows_free(call->rows);
        call->rows = NULL;
        call->changed = 0;
    }
    call->message.fn = on_delivered;
    if (call->lane)
        lane_post(call->lane, &call->message);
    else
        call->done(call);
}
