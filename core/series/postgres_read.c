/* postgres_read.c -- questions to one series (question.h), answers as columns: equal to DuckDB's,
 * but for the order in which a sum adds up. */
#include <math.h>

#include "base/mem.h"
#include "series/postgres_driver.h"
#include "series/question.h"

/* The newest n points of each line: of one line by the index from its end, else by windows. */
static void add_newest(struct query *q, const struct series_call *call, int64_t n)
{
    const struct series *s = call->series;
    bool one_line = call->where_count == s->key_count;
    if (one_line) {
        buf_printf(&q->sql, " from (select * from maru_series.\"%s\"", s->table);
        question_where(q, call);
        buf_add_c(&q->sql, " order by \"at\" desc, _order desc limit ");
        query_number(q, n);
        buf_add_c(&q->sql, ") q");
    } else if (n == 1) {
        buf_add_c(&q->sql, " from (select distinct on (");
        question_keys(q, s);
        buf_printf(&q->sql, ") * from maru_series.\"%s\"", s->table);
        question_where(q, call);
        buf_add_c(&q->sql, " order by ");
        question_keys(q, s);
        buf_add_c(&q->sql, ", \"at\" desc, _order desc) q");
    } else {
        buf_add_c(&q->sql, " from (select *, row_number() over (partition by ");
        question_keys(q, s);
        buf_printf(&q->sql, " order by \"at\" desc, _order desc) _newest from maru_series.\"%s\"",
                   s->table);
        question_where(q, call);
        buf_add_c(&q->sql, ") q where _newest <= ");
        query_number(q, n);
    }
}

static void points_query(struct query *q, const struct series_call *call)
{
    const struct series *s = call->series;
    int64_t newest = call->op == SERIES_LATEST ? 1 : call->last;
    question_columns(q, s, "\"at\"");
    if (newest > 0)
        add_newest(q, call, newest);
    else {
        buf_printf(&q->sql, " from maru_series.\"%s\"", s->table);
        question_where(q, call);
    }
    buf_add_c(&q->sql, " order by \"at\", _order");
    question_limit(q, call);
}

/* Steps are counted from 1970; the instant they are counted from has to lie before all points. */
static int64_t origin(int64_t step_us)
{
    return SERIES_PG_FIRST_US / step_us * step_us;
}

static void add_step(struct query *q, int64_t step_us)
{
    buf_add_c(&q->sql, "date_bin(");
    query_add(q, (struct param){.type = PARAM_SPAN, .number = step_us});
    buf_add_c(&q->sql, ", \"at\", ");
    query_add(q, (struct param){.type = PARAM_TIME, .number = origin(step_us)});
    buf_add_char(&q->sql, ')');
}

static const struct question_words words = {
    .schema = "maru_series.",
    .newest = "(array_agg(\"%1$s\" order by \"at\" desc, _order desc)"
              " filter (where \"%1$s\" is not null))[1]",
    .step = add_step,
};

void pgs_take_rows(struct frame_builder *b, const PGresult *r)
{
    int n = PQntuples(r);
    for (int i = 0; i < n; i++) {
        int64_t at_us = pgs_int64(PQgetvalue(r, i, 0)) + SERIES_PG_EPOCH_US;
        buf_add(&b->at, &at_us, sizeof at_us);
        for (int c = 0; c < b->key_count; c++)
            frame_key(b, c, str_n(PQgetvalue(r, i, 1 + c), (size_t)PQgetlength(r, i, 1 + c)));
        for (int c = 0; c < b->value_count; c++) {
            int column = 1 + b->key_count + c;
            frame_value(b, c,
                        PQgetisnull(r, i, column) ? (double)NAN
                                                  : pgs_double(PQgetvalue(r, i, column)));
        }
        if (b->counted) {
            int64_t count = pgs_int64(PQgetvalue(r, i, 1 + b->key_count + b->value_count));
            buf_add(&b->counts, &count, sizeof count);
        }
    }
    b->n += n;
}

static bool read_frame(struct series_pg *pg, struct series_call *call)
{
    struct query q = {0};
    if (call->op == SERIES_DOWNSAMPLE)
        question_steps(&q, call, &words);
    else
        points_query(&q, call);
    PGresult *r = pgs_query(pg, &q, &call->err);
    if (!r)
        return false;
    bool ok = series_check_count(call, PQntuples(r));
    if (ok) {
        struct frame_builder *b = question_frame(call);
        pgs_take_rows(b, r);
        call->frame = frame_finish(b);
        mem_free(b);
    }
    PQclear(r);
    return ok;
}

/* Grouping by the keys first: it needs no sorting of all points by them. */
static bool read_stats(struct series_pg *pg, struct series_call *call)
{
    const struct series *s = call->series;
    int64_t *const fields[] = {&call->count, &call->lines, &call->first_us, &call->last_us};
    struct query q = {0};
    buf_add_c(&q.sql, "select coalesce(sum(n), 0)::bigint, count(*), min(a), max(z) from (select"
                      " count(*) n, min(\"at\") a, max(\"at\") z");
    buf_printf(&q.sql, " from maru_series.\"%s\"", s->table);
    question_where(&q, call);
    if (s->key_count > 0) {
        buf_add_c(&q.sql, " group by ");
        question_keys(&q, s);
    }
    buf_add_c(&q.sql, " having count(*) > 0) q");
    PGresult *r = pgs_query(pg, &q, &call->err);
    if (!r)
        return false;
    for (int i = 0; i < 4; i++) {
        *fields[i] = PQgetisnull(r, 0, i) ? SERIES_NO_TIME : pgs_int64(PQgetvalue(r, 0, i));
        if (i >= 2 && *fields[i] != SERIES_NO_TIME)
            *fields[i] += SERIES_PG_EPOCH_US;
    }
    PQclear(r);
    return true;
}

static bool read_once(struct series_conn *conn, struct series_call *call)
{
    if (call->op == SERIES_EXPORT)
        return pgs_export(conn, call);
    if (call->op == SERIES_STATS)
        return read_stats(conn->pg, call);
    if (call->op == SERIES_LATEST || call->op == SERIES_WINDOW || call->op == SERIES_DOWNSAMPLE)
        return read_frame(conn->pg, call);
    return err_set(&call->err, ERR_INVALID, "series: no such question");
}

bool pgs_read(struct series_conn *conn, struct series_call *call)
{
    conn->pg->call = call;
    bool ok = read_once(conn, call);
    conn->pg->call = NULL;
    return ok;
}

static bool open_driver(struct series_store *store, struct err *err)
{
    PQconninfoOption *options = PQconninfoParse(store->options.url, NULL);
    PQconninfoFree(options);
    if (!options) /* libpq's own words have the password in them */
        return err_set(err, ERR_INVALID,
                       "series.url: must be postgresql://user:password@host:port/database");
    return pgs_watch_start(store, err);
}

static void close_driver(struct series_store *store)
{
    pgs_watch_stop(store);
    series_duckdb.close(store);
}

const struct series_driver series_postgres = {
    .name = "postgres",
    .names = SERIES_NAME_MOST,
    .open = open_driver,
    .close = close_driver,
    .ready = pgs_ready,
    .ensure = pgs_ensure,
    .append = pgs_append,
    .read = pgs_read,
    .ask = pgs_ask,
    .duck = pgs_duck,
    .expire = pgs_expire,
};
