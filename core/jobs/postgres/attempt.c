/* postgres/attempt.c -- the log of failed attempts, in the transaction of the end that they are of.
 */
#include "jobs/postgres/postgres.h"

#include "base/json.h"
#include "jobs/attempt.h"

_Static_assert(ATTEMPTS_KEPT == 20, "maru.log_attempts() says so, too");

/* The batch's next failure from *e on whose end was taken: a stale one is another's attempt. */
static const struct attempt *next_line(const struct pg *pg, const struct effect **e)
{
    while (*e) {
        const struct attempt *a = attempt_of(*e);
        *e = (*e)->next;
        if (a && index_get(&pg->taken, a->job))
            return a;
    }
    return NULL;
}

static void add_field(struct pg_args *args, int column, const struct attempt *a)
{
    const int64_t numbers[] = {a->job, a->number, a->total, a->started_at, a->ended_at};
    const char *const texts[] = {a->error, a->traceback, a->lane};
    if (column < 5) {
        pg_add_int(args, numbers[column]);
        return;
    }
    const char *text = texts[column - 5];
    pg_add_text(args, str_c(text ? text : ""), !text || !*text);
}

/* From *at on, as many as one call takes. */
static bool put_lines(struct pg *pg, const struct effect **at, struct err *err)
{
    static const Oid types[] = {PG_INT8S, PG_INT4S, PG_INT4S, PG_INT8S,
                                PG_INT8S, PG_TEXTS, PG_TEXTS, PG_TEXTS};
    struct pg_args args = {0};
    const struct effect *e = *at;
    for (int column = 0; column < 8; column++) {
        const struct attempt *a;
        e = *at;
        pg_array(&args, types[column]);
        for (int n = 0; n < PG_ROWS && (a = next_line(pg, &e)); n++)
            add_field(&args, column, a);
    }
    *at = e;
    if (args.counts[0] == 0) {
        pg_args_free(&args);
        return true;
    }
    pg_text(&args, pg->name);
    PGresult *r =
        pg_call(&pg->to_write, "SELECT maru.log_attempts($1,$2,$3,$4,$5,$6,$7,$8,$9)", &args, err);
    PQclear(r);
    return r != NULL;
}

bool pg_write_attempts(struct pg *pg, struct err *err)
{
    const struct effect *at = pg->jobs->batch.effects;
    while (at)
        if (!put_lines(pg, &at, err))
            return false;
    return true;
}

static const char *text_of(const PGresult *r, int row, int column)
{
    return PQgetisnull(r, row, column) ? NULL : PQgetvalue(r, row, column);
}

/* The object is complete: its bracket goes behind what is added. */
void pg_print_attempts(struct pg *pg, struct jobs_query *q)
{
    struct pg_args args = {0};
    pg_int(&args, q->id);
    PGresult *r = pg_call(&pg->to_ask,
                          "SELECT attempt, started_at, ended_at, error, traceback, lane, node"
                          " FROM maru.attempt WHERE job = $1 ORDER BY id",
                          &args, &q->err);
    if (!r)
        return;
    q->out.n--;
    buf_add_c(&q->out, ",\"attempts\":");
    struct json w = json_to(&q->out);
    json_open(&w, '[');
    for (int i = 0; i < PQntuples(r); i++) {
        const struct attempt_line line = {.attempt = pg_get_int(r, i, 0),
                                          .started_at = pg_get_int(r, i, 1),
                                          .ended_at = pg_get_int(r, i, 2),
                                          .error = text_of(r, i, 3),
                                          .traceback = text_of(r, i, 4),
                                          .lane = text_of(r, i, 5),
                                          .node = text_of(r, i, 6)};
        attempt_print_line(&w, &line);
    }
    json_close(&w, ']');
    buf_add_char(&q->out, '}');
    PQclear(r);
}
