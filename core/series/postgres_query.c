/* postgres_query.c -- questions in SQL to PostgreSQL: in a transaction that only reads, with no
 * schema in reach but through the question's own tables, bounded in time. */
#include <stdlib.h>

#include "base/mem.h"
#include "series/postgres_driver.h"
#include "storage/rows.h"
#include "storage/sql_guard.h"

enum {
    GRACE_MS = 2000,
    OID_BOOL = 16,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_UNKNOWN = 0
};
enum {
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_TIMESTAMP = 1114,
    OID_TIMESTAMPTZ = 1184,
    OID_NUMERIC = 1700
};

struct answer {
    struct series_pg *pg;
    struct series_call *call;
    struct rows_builder rows;
    int columns;
    size_t begin; /* of the SQL within the statement */
};

/* The names that no table may be reached by. */
static bool begin(struct answer *a, struct buf *schemas)
{
    char *sql = mem_printf("begin transaction read only; set local statement_timeout = %lld;"
                           " select string_agg(nspname, ',') from pg_catalog.pg_namespace",
                           (long long)series_left_ms(a->call));
    PGresult *r = pgs_run(a->pg, sql, &a->call->err);
    mem_free(sql);
    if (!r)
        return false;
    buf_add_c(schemas, PQgetvalue(r, 0, 0));
    PQclear(r);
    return true;
}

/* What r (taken) says, with its place in the SQL. */
static bool fail(struct answer *a, PGresult *r)
{
    const char *text = PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION);
    size_t place = text ? strtoul(text, NULL, 10) : 0; /* in characters, from 1 */
    struct str sql = a->call->sql;
    const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    char words[ERR_MESSAGE_BYTES];
    snprintf(words, sizeof words, "%s", primary ? primary : "");
    pgs_fail(a->pg, r, &a->call->err);
    if (a->call->err.code == ERR_TIMEOUT)
        err_set(&a->call->err, ERR_TIMEOUT, "the question took longer than %.1f s",
                (double)series_timeout_ms(a->call) / 1000);
    if (place <= a->begin)
        return false;
    err_set(&a->call->err, a->call->err.code, "%s", words);
    size_t at = 0;
    for (place -= a->begin + 1; place > 0 && at < sql.n; place--)
        do
            at++;
        while (at < sql.n && (sql.p[at] & 0xc0) == 0x80);
    return at < sql.n ? sql_at(sql, at, &a->call->err) : false;
}

static char type_of(Oid oid)
{
    switch (oid) {
    case OID_BOOL:
        return SERIES_BOOLEAN;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
        return SERIES_INTEGER;
    case OID_FLOAT4:
    case OID_FLOAT8:
    case OID_NUMERIC:
        return SERIES_NUMBER;
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ:
        return SERIES_TIME;
    default:
        return SERIES_TEXT;
    }
}

static void param_types(const struct series_call *call, Oid *types)
{
    for (int i = 0; i < call->param_count; i++) {
        enum value_type type = call->params[i].type;
        types[i] = type == VALUE_BOOL     ? OID_BOOL
                   : type == VALUE_INT    ? OID_INT8
                   : type == VALUE_DOUBLE ? OID_FLOAT8
                                          : OID_UNKNOWN;
    }
}

static bool only_good(struct answer *a, PGresult **last)
{
    PGresult *r;
    bool ok = true;
    *last = NULL;
    if (!pgs_flush(a->pg, &a->call->err))
        return false;
    while ((r = pgs_next(a->pg, &a->call->err))) {
        ExecStatusType status = PQresultStatus(r);
        if (ok && status != PGRES_COMMAND_OK) {
            ok = fail(a, r);
            pgs_drain(a->pg);
            break;
        }
        PQclear(*last);
        *last = r;
    }
    return ok && a->pg->c;
}

/* Names and types of the columns, without running anything. */
static bool describe(struct answer *a)
{
    struct series_call *call = a->call;
    Oid types[SERIES_QUERY_PARAMS];
    struct buf sql = {0};
    PGresult *r = NULL;
    param_types(call, types);
    a->begin = series_wrap(&sql, call, "maru_series.", 0, NULL, NULL);
    bool ok = PQsendPrepare(a->pg->c, "", sql.p, call->param_count, types)
                  ? only_good(a, &r)
                  : pgs_fail(a->pg, NULL, &call->err);
    PQclear(r);
    buf_free(&sql);
    if (!ok)
        return false;
    if (!PQsendDescribePrepared(a->pg->c, ""))
        return pgs_fail(a->pg, NULL, &call->err);
    if (!only_good(a, &r))
        return false;
    a->columns = PQnfields(r);
    if (a->columns > SERIES_QUERY_COLUMNS)
        ok = err_set(&call->err, ERR_LIMIT, "at most %d columns", SERIES_QUERY_COLUMNS);
    if (ok && PQnparams(r) != call->param_count)
        ok = err_set(&call->err, ERR_SQL, "the question takes %d values, got %d", PQnparams(r),
                     call->param_count);
    for (int i = 0; ok && i < a->columns; i++) {
        rows_column(&a->rows, PQfname(r, i));
        call->types[i] = type_of(PQftype(r, i));
    }
    PQclear(r);
    return ok;
}

static void expression(struct buf *out, int column, void *arg)
{
    const struct answer *a = arg;
    switch (a->call->types[column]) {
    case SERIES_TIME:
        buf_printf(out, "c%d::timestamp", column + 1);
        break;
    case SERIES_INTEGER:
        buf_printf(out, "c%d::bigint", column + 1);
        break;
    case SERIES_NUMBER:
        buf_printf(out, "c%d::double precision", column + 1);
        break;
    case SERIES_BOOLEAN:
        buf_printf(out, "c%d", column + 1);
        break;
    default:
        buf_printf(out, "left(c%d::text, %d)", column + 1, SERIES_QUERY_BYTES + 1);
    }
}

static void param_texts(const struct series_call *call, struct buf *texts, const char **values)
{
    for (int i = 0; i < call->param_count; i++) {
        const struct value *v = &call->params[i];
        if (v->type == VALUE_INT)
            buf_printf(&texts[i], "%lld", (long long)v->i);
        else if (v->type == VALUE_DOUBLE)
            buf_printf(&texts[i], "%.17g", v->d);
        else if (v->type == VALUE_BOOL)
            buf_add_c(&texts[i], v->b ? "t" : "f");
        else if (v->type == VALUE_TEXT) {
            buf_reserve(&texts[i], 1);
            buf_add_str(&texts[i], v->s);
        }
        values[i] = texts[i].p;
    }
}

static struct value cell(const struct answer *a, const PGresult *r, int column)
{
    const char *p = PQgetvalue(r, 0, column);
    if (PQgetisnull(r, 0, column))
        return (struct value){.type = VALUE_NULL};
    switch (a->call->types[column]) {
    case SERIES_TIME:
        return (struct value){.type = VALUE_DOUBLE,
                              .d = (double)(pgs_int64(p) + SERIES_PG_EPOCH_US) / 1e6};
    case SERIES_INTEGER:
        return (struct value){.type = VALUE_INT, .i = pgs_int64(p)};
    case SERIES_NUMBER:
        return (struct value){.type = VALUE_DOUBLE, .d = pgs_double(p)};
    case SERIES_BOOLEAN:
        return (struct value){.type = VALUE_BOOL, .b = p[0] != 0};
    default:
        return (struct value){.type = VALUE_TEXT, .s = str_n(p, (size_t)PQgetlength(r, 0, column))};
    }
}

/* Rows come one at a time: those over a limit are never held. */
static bool take(struct answer *a)
{
    PGresult *r;
    bool ok = true;
    if (!pgs_flush(a->pg, &a->call->err))
        return false;
    while (ok && (r = pgs_next(a->pg, &a->call->err))) {
        ExecStatusType status = PQresultStatus(r);
        if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK) {
            ok = fail(a, r);
            pgs_drain(a->pg);
            return false;
        }
        if (status == PGRES_SINGLE_TUPLE) {
            for (int c = 0; c < a->columns; c++)
                rows_value(&a->rows, cell(a, r, c));
            ok = rows_end_row(&a->rows, &a->call->err);
        }
        PQclear(r);
    }
    if (!ok)
        pgs_disconnect(a->pg); /* rather than read what nobody wants */
    return ok && a->pg->c;
}

static bool execute(struct answer *a)
{
    struct series_call *call = a->call;
    Oid types[SERIES_QUERY_PARAMS];
    const char *values[SERIES_QUERY_PARAMS];
    struct buf texts[SERIES_QUERY_PARAMS] = {{0}}, sql = {0};
    param_types(call, types);
    param_texts(call, texts, values);
    a->begin = series_wrap(&sql, call, "maru_series.", a->columns, expression, a);
    bool ok = PQsendQueryParams(a->pg->c, sql.p, call->param_count, types, values, NULL, NULL, 1) &&
              PQsetSingleRowMode(a->pg->c);
    ok = ok ? take(a) : pgs_fail(a->pg, NULL, &call->err);
    for (int i = 0; i < call->param_count; i++)
        buf_free(&texts[i]);
    buf_free(&sql);
    return ok;
}

static void end(struct series_pg *pg)
{
    struct err err;
    if (pg->c)
        PQclear(pgs_run(pg, "rollback", &err));
}

bool pgs_ask(struct series_conn *conn, struct series_call *call)
{
    struct answer *a = mem_zero(1, sizeof *a);
    struct buf schemas = {0};
    *a = (struct answer){
        .pg = conn->pg,
        .call = call,
        .rows = {.max_rows = SERIES_QUERY_ROWS_MAX + 1, .max_bytes = SERIES_QUERY_BYTES}};
    conn->pg->call = call;
    conn->pg->answer_ms = series_left_ms(call) + GRACE_MS;
    bool ok = begin(a, &schemas) && sql_question(&call->sql, buf_str(&schemas), &call->err) &&
              describe(a) && execute(a) && series_take_table(call, &a->rows);
    conn->pg->call = NULL;
    conn->pg->answer_ms = 0;
    end(conn->pg);
    buf_free(&schemas);
    rows_discard(&a->rows);
    mem_free(a);
    return ok;
}
