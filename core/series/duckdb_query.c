/* duckdb_query.c -- questions in SQL to DuckDB: checked, bounded in time, stopped when nobody
 * waits. */
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "series/duckdb_driver.h"
#include "storage/rows.h"
#include "storage/sql_guard.h"

enum { IDLE_NS = 500000 };

struct answer {
    struct series_conn *conn;
    const struct duckdb *api;
    struct series_call *call;
    struct rows_builder rows;
    int columns;
};

static bool is_text_member(struct str object, const char *key, const char *value)
{
    struct buf text = {0};
    bool same =
        json_pick_text(json_pick_get(object, key), &text) && str_eq_c(buf_str(&text), value);
    buf_free(&text);
    return same;
}

/* DuckDB's words as JSON (errors_as_json), with their place in the whole statement. */
static bool fail_at(const struct answer *a, size_t begin, const char *message)
{
    struct buf text = {0};
    struct err *err = &a->call->err;
    struct str whole = str_c(message ? message : "");
    if (!whole.n || whole.p[0] != '{')
        return duck_fail(err, message);
    json_pick_text(json_pick_get(whole, "exception_message"), &text);
    err_set(err, ERR_SQL, "%.*s", (int)str_find(buf_str(&text), '\n'), text.p ? text.p : "");
    if (is_text_member(whole, "exception_type", "Out of Memory"))
        err->code = ERR_MEMORY;
    buf_clear(&text);
    if (json_pick_text(json_pick_get(whole, "position"), &text)) {
        size_t at = strtoul(text.p, NULL, 10);
        if (at >= begin && at <= begin + a->call->sql.n)
            sql_at(a->call->sql, at - begin, err);
    }
    buf_free(&text);
    return false;
}

static bool take_tree(void *arg, const struct duckdb *api, duck_chunk chunk, struct err *err)
{
    (void)err;
    const duck_text *texts = api->vector_get_data(api->data_chunk_get_vector(chunk, 0));
    buf_add_str(arg, duck_text_str(&texts[0]));
    return true;
}

static bool check(struct answer *a)
{
    struct series_call *call = a->call;
    struct buf tree = {0};
    struct query q = {0};
    if (!sql_question(&call->sql, STR(""), &call->err))
        return false;
    buf_add_c(&q.sql, "select json_serialize_sql(");
    query_text(&q, call->sql);
    buf_add_c(&q.sql, "::varchar)");
    bool ok = query_run(a->conn, &q, take_tree, &tree, &call->err) &&
              duck_check_tree(buf_str(&tree), call, &call->err);
    buf_free(&tree);
    return ok;
}

static char type_of(int kind)
{
    if (kind == DUCK_BOOLEAN)
        return SERIES_BOOLEAN;
    if (kind >= DUCK_TINYINT && kind <= DUCK_UINTEGER)
        return SERIES_INTEGER;
    if ((kind >= DUCK_UBIGINT && kind <= DUCK_DOUBLE) || kind == DUCK_HUGEINT ||
        kind == DUCK_DECIMAL || kind == DUCK_UHUGEINT)
        return SERIES_NUMBER;
    if (kind == DUCK_TIMESTAMP || (kind >= DUCK_TIMESTAMP_S && kind <= DUCK_TIMESTAMP_NS) ||
        kind == DUCK_TIMESTAMP_TZ)
        return SERIES_TIME;
    return SERIES_TEXT;
}

static void expression(struct buf *out, int column, void *arg)
{
    const struct answer *a = arg;
    switch (a->call->types[column]) {
    case SERIES_TIME:
        buf_printf(out, "epoch_us(c%d)", column + 1);
        break;
    case SERIES_INTEGER:
        buf_printf(out, "c%d::bigint", column + 1);
        break;
    case SERIES_NUMBER:
        buf_printf(out, "c%d::double", column + 1);
        break;
    case SERIES_BOOLEAN:
        buf_printf(out, "c%d", column + 1);
        break;
    default:
        buf_printf(out, "c%d::varchar", column + 1);
    }
}

static bool bind_values(const struct answer *a, duck_statement stmt)
{
    const struct duckdb *api = a->api;
    for (int i = 0; i < a->call->param_count; i++) {
        const struct value *v = &a->call->params[i];
        duck_idx n = (duck_idx)i + 1;
        duck_state state = v->type == VALUE_BOOL     ? api->bind_boolean(stmt, n, v->b)
                           : v->type == VALUE_INT    ? api->bind_int64(stmt, n, v->i)
                           : v->type == VALUE_DOUBLE ? api->bind_double(stmt, n, v->d)
                           : v->type == VALUE_TEXT
                               ? api->bind_varchar_length(stmt, n, v->s.p, v->s.n)
                               : api->bind_null(stmt, n);
        if (state != 0)
            return err_set(&a->call->err, ERR_SQL, "$%d does not fit", i + 1);
    }
    return true;
}

static bool take_columns(struct answer *a, duck_result *result)
{
    const struct duckdb *api = a->api;
    a->columns = (int)api->column_count(result);
    if (a->columns > SERIES_QUERY_COLUMNS)
        return err_set(&a->call->err, ERR_LIMIT, "at most %d columns", SERIES_QUERY_COLUMNS);
    for (int i = 0; i < a->columns; i++) {
        rows_column(&a->rows, api->column_name(result, (duck_idx)i));
        a->call->types[i] = type_of(api->column_type(result, (duck_idx)i));
    }
    return true;
}

/* Names and types of the columns: of an answer without rows, for the types of values are known
 * with the values only. */
static bool describe(struct answer *a)
{
    const struct duckdb *api = a->api;
    struct buf sql = {0};
    duck_statement stmt = NULL;
    size_t begin = series_wrap(&sql, a->call, "main.", 0, NULL, NULL);
    bool ok = api->prepare(a->conn->con, sql.p, &stmt) == 0 ||
              fail_at(a, begin, api->prepare_error(stmt));
    if (ok && (int)api->nparams(stmt) != a->call->param_count)
        ok = err_set(&a->call->err, ERR_SQL, "the question takes %d values, got %d",
                     (int)api->nparams(stmt), a->call->param_count);
    if (ok && bind_values(a, stmt)) {
        duck_result result;
        ok = api->execute_prepared(stmt, &result) == 0
                 ? take_columns(a, &result)
                 : fail_at(a, begin, api->result_error(&result));
        api->destroy_result(&result);
    } else
        ok = false;
    api->destroy_prepare(&stmt);
    buf_free(&sql);
    return ok;
}

static struct value cell(const struct answer *a, int column, const void *data, duck_idx row)
{
    switch (a->call->types[column]) {
    case SERIES_TIME:
        return (struct value){.type = VALUE_DOUBLE,
                              .d = (double)((const int64_t *)data)[row] / 1e6};
    case SERIES_INTEGER:
        return (struct value){.type = VALUE_INT, .i = ((const int64_t *)data)[row]};
    case SERIES_NUMBER:
        return (struct value){.type = VALUE_DOUBLE, .d = ((const double *)data)[row]};
    case SERIES_BOOLEAN:
        return (struct value){.type = VALUE_BOOL, .b = ((const bool *)data)[row]};
    default:
        return (struct value){.type = VALUE_TEXT,
                              .s = duck_text_str(&((const duck_text *)data)[row])};
    }
}

static bool take_rows(void *arg, const struct duckdb *api, duck_chunk chunk, struct err *err)
{
    struct answer *a = arg;
    duck_idx n = api->data_chunk_get_size(chunk);
    for (duck_idx row = 0; row < n; row++) {
        for (int c = 0; c < a->columns; c++) {
            duck_vector vector = api->data_chunk_get_vector(chunk, (duck_idx)c);
            bool there = duck_is_valid(api->vector_get_validity(vector), row);
            rows_value(&a->rows, there ? cell(a, c, api->vector_get_data(vector), row)
                                       : (struct value){.type = VALUE_NULL});
        }
        if (!rows_end_row(&a->rows, err))
            return false;
    }
    return true;
}

/* A piece at a time on this thread, so that there is always an end. */
static bool advance(struct answer *a, duck_pending pending)
{
    int state;
    while ((state = a->api->pending_execute_task(pending)) == DUCK_RESULT_NOT_READY ||
           state == DUCK_NO_TASKS) {
        bool late = clock_steady_ns() > a->call->deadline_ns;
        if (late || series_is_cancelled(a->call)) {
            a->api->interrupt(a->conn->con);
            return late
                       ? err_set(&a->call->err, ERR_TIMEOUT, "the question took longer than %.1f s",
                                 (double)series_timeout_ms(a->call) / 1000)
                       : err_set(&a->call->err, ERR_CANCELLED, "cancelled");
        }
        if (state == DUCK_NO_TASKS)
            nanosleep(&(struct timespec){.tv_nsec = IDLE_NS}, NULL);
    }
    return state == DUCK_RESULT_READY || fail_at(a, 0, a->api->pending_error(pending));
}

static bool finish(struct answer *a, duck_pending pending)
{
    const struct duckdb *api = a->api;
    duck_result result;
    duck_chunk chunk;
    bool ok = api->execute_pending(pending, &result) == 0;
    if (!ok)
        fail_at(a, 0, api->result_error(&result));
    while (ok && (chunk = api->fetch_chunk(result))) {
        ok = take_rows(a, api, chunk, &a->call->err);
        api->destroy_data_chunk(&chunk);
    }
    api->destroy_result(&result);
    return ok;
}

static bool execute(struct answer *a)
{
    const struct duckdb *api = a->api;
    struct buf sql = {0};
    duck_statement stmt = NULL;
    duck_pending pending = NULL;
    size_t begin = series_wrap(&sql, a->call, "main.", a->columns, expression, a);
    bool ok = api->prepare(a->conn->con, sql.p, &stmt) == 0 ||
              fail_at(a, begin, api->prepare_error(stmt));
    ok = ok && bind_values(a, stmt);
    if (ok && api->pending_prepared(stmt, &pending) != 0)
        ok = fail_at(a, begin, api->pending_error(pending));
    ok = ok && advance(a, pending) && finish(a, pending);
    api->destroy_pending(&pending);
    api->destroy_prepare(&stmt);
    buf_free(&sql);
    return ok;
}

bool duck_ask(struct series_conn *conn, struct series_call *call)
{
    struct answer *a = mem_zero(1, sizeof *a);
    *a = (struct answer){
        .conn = conn,
        .api = &conn->store->duck.api,
        .call = call,
        .rows = {.max_rows = SERIES_QUERY_ROWS_MAX + 1, .max_bytes = SERIES_QUERY_BYTES}};
    bool ok = check(a) && conn_exec(conn, "set errors_as_json = true", NULL, &call->err) &&
              describe(a) && execute(a) && series_take_table(call, &a->rows);
    rows_discard(&a->rows);
    mem_free(a);
    return ok;
}

/* ---- answers into a table, for Parquet --------------------------------- */

static int kind_of(char type)
{
    return type == SERIES_INTEGER   ? DUCK_BIGINT
           : type == SERIES_NUMBER  ? DUCK_DOUBLE
           : type == SERIES_BOOLEAN ? DUCK_BOOLEAN
           : type == SERIES_TIME    ? DUCK_TIMESTAMP
                                    : DUCK_VARCHAR;
}

static double number_of(const struct value *v)
{
    return v->type == VALUE_INT ? (double)v->i : v->type == VALUE_DOUBLE ? v->d : (double)NAN;
}

/* False when the value is none of its column's type: then it is null. */
static bool put(const struct duckdb *api, duck_vector vector, duck_idx row, char type,
                const struct value *v)
{
    void *data = api->vector_get_data(vector);
    double number = number_of(v);
    bool whole = isfinite(number) && fabs(number) < 9.2e18;
    switch (type) {
    case SERIES_INTEGER:
        ((int64_t *)data)[row] = v->type == VALUE_INT ? v->i : whole ? (int64_t)number : 0;
        return v->type == VALUE_INT || whole;
    case SERIES_TIME:
        whole = whole && fabs(number) < 9e12;
        ((int64_t *)data)[row] = whole ? (int64_t)llround(number * 1e6) : 0;
        return whole;
    case SERIES_NUMBER:
        ((double *)data)[row] = number;
        return v->type == VALUE_INT || v->type == VALUE_DOUBLE;
    case SERIES_BOOLEAN:
        ((bool *)data)[row] = v->type == VALUE_BOOL && v->b;
        return v->type == VALUE_BOOL;
    default:
        if (v->type == VALUE_TEXT)
            api->vector_assign_string_element_len(vector, row, v->s.p, v->s.n);
        return v->type == VALUE_TEXT;
    }
}

static void fill(const struct duckdb *api, duck_chunk chunk, const struct series_call *call,
                 int64_t from, duck_idx n)
{
    const struct rows *rows = call->table;
    for (int c = 0; c < rows->column_count; c++) {
        duck_vector vector = api->data_chunk_get_vector(chunk, (duck_idx)c);
        api->vector_ensure_validity_writable(vector);
        uint64_t *validity = api->vector_get_validity(vector);
        for (duck_idx i = 0; i < n; i++)
            if (!put(api, vector, i, call->types[c],
                     &rows->values[(from + (int64_t)i) * rows->column_count + c]))
                validity[i / 64] &= ~(UINT64_C(1) << (i % 64));
    }
    api->data_chunk_set_size(chunk, n);
}

static bool append_chunks(const struct duckdb *api, duck_appender appender, duck_chunk chunk,
                          const struct series_call *call)
{
    int64_t step = (int64_t)api->vector_size();
    for (int64_t from = 0; from < call->table->row_count; from += step) {
        int64_t left = call->table->row_count - from;
        api->data_chunk_reset(chunk);
        fill(api, chunk, call, from, (duck_idx)(left < step ? left : step));
        if (api->append_data_chunk(appender, chunk) != 0)
            return false;
    }
    return api->appender_close(appender) == 0;
}

bool duck_append_table(struct series_conn *conn, struct series_call *call)
{
    const struct duckdb *api = &conn->store->duck.api;
    duck_type types[SERIES_QUERY_COLUMNS];
    duck_appender appender = NULL;
    int count = call->table->column_count;
    for (int i = 0; i < count; i++)
        types[i] = api->create_logical_type(kind_of(call->types[i]));
    duck_chunk chunk = api->create_data_chunk(types, (duck_idx)count);
    for (int i = 0; i < count; i++)
        api->destroy_logical_type(&types[i]);
    bool ok = api->appender_create(conn->con, NULL, "answer", &appender) == 0 &&
              append_chunks(api, appender, chunk, call);
    if (!ok)
        duck_fail(&call->err, appender ? api->appender_error(appender) : NULL);
    api->destroy_data_chunk(&chunk);
    api->appender_destroy(&appender);
    return ok;
}
