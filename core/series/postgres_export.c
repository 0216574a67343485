/* postgres_export.c -- points of PostgreSQL as a Parquet file, written by DuckDB.
 *
 * The rows stream through a table in DuckDB's memory (or its spill file), a block at a time. */
#include "base/mem.h"
#include "series/duckdb_driver.h"
#include "series/postgres_driver.h"
#include "series/question.h"

enum { BLOCK = 20000 };

/* A series as DuckDB's appender sees it: all columns as they are declared. */
static void lay_out(struct series *to, const struct series *s, int *layout)
{
    *to = *s;
    to->layout_count = s->key_count + s->value_count;
    to->layout = layout;
    for (int i = 0; i < to->layout_count; i++)
        layout[i] = i;
}

static bool hand_over(struct series_conn *conn, const struct series *s, struct frame_builder *b,
                      struct err *err)
{
    struct series_frame *frame = frame_finish(b);
    bool ok = duck_append_rows(conn, s, "points", frame, err);
    series_frame_free(frame);
    return ok;
}

/* Rows come one at a time: the server sends as fast as they are taken. */
static bool stream(struct series_conn *conn, const struct series *s, struct frame_builder *b,
                   struct err *err)
{
    struct series_pg *pg = conn->pg;
    PGresult *r;
    bool ok = true;
    PQsetSingleRowMode(pg->c);
    while ((r = pgs_next(pg, err))) {
        ExecStatusType status = PQresultStatus(r);
        if (ok && status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK) {
            pgs_fail(pg, r, err);
            pgs_drain(pg);
            return false;
        }
        if (ok)
            pgs_take_rows(b, r);
        PQclear(r);
        if (ok && b->n >= BLOCK)
            ok = hand_over(conn, s, b, err);
        if (!ok) {
            struct err why = *err;
            pgs_disconnect(pg);
            *err = why;
            return false;
        }
    }
    return pg->c && (!b->n || hand_over(conn, s, b, err));
}

static bool ask_for_points(struct series_pg *pg, const struct series_call *call, struct err *err)
{
    const struct series *s = call->series;
    struct query q = {0};
    question_columns(&q, s, "\"at\"");
    buf_printf(&q.sql, " from maru_series.\"%s\"", s->table);
    question_where(&q, call);
    buf_add_c(&q.sql, " order by \"at\", _order");
    return pgs_send(pg, &q, 1, err) && pgs_flush(pg, err);
}

static bool export_points(struct series_conn *conn, struct series_call *call)
{
    int layout[SERIES_COLUMNS];
    struct series s;
    lay_out(&s, call->series, layout);
    struct frame_builder *b = question_frame(call);
    bool ok = duck_create_table(conn, "create or replace temp table", "points", &s, &call->err) &&
              ask_for_points(conn->pg, call, &call->err) && stream(conn, &s, b, &call->err);
    frame_discard(b);
    mem_free(b);
    struct query q = {0};
    buf_add_c(&q.sql, "from points");
    if (ok)
        return duck_write_parquet(conn, &q, call);
    buf_free(&q.sql);
    return false;
}

bool pgs_duck(struct series_conn *conn, struct err *err)
{
    return conn->con || duck_connect(conn->store, NULL, &conn->con, err) ||
           err_wrap(err, "a Parquet file is written by DuckDB");
}

bool pgs_export(struct series_conn *conn, struct series_call *call)
{
    struct err dropped;
    if (!pgs_duck(conn, &call->err))
        return false;
    bool ok = export_points(conn, call);
    conn_exec(conn, "drop table if exists points", NULL, &dropped);
    return ok;
}
