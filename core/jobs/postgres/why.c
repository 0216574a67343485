/* postgres/why.c -- what keeps a job that nobody has claimed from running. */
#include "jobs/postgres/postgres.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"

/* Columns of maru.why(); behind them three for each limit (ORDER limit_of): how many run under it,
 * how many may, and when it has a token. */
enum { RUN_AT, NOT_DUE, PAUSED, HAS_NODE, HAS_KIND, NOW, FIRST_LIMIT };
static const char *const full_codes[] = {"kind_full", "queue_full", "queue_key_full", "key_full"};
static const char *const rate_codes[] = {"kind_rate", "queue_rate", "queue_key_rate", "key_rate"};

static void add_full(struct json *w, const char *code, int64_t running, int64_t limit)
{
    json_open(w, '{');
    json_key(w, "code");
    json_cstr(w, code);
    json_key(w, "running");
    json_int(w, running);
    json_key(w, "limit");
    json_int(w, limit);
    json_close(w, '}');
}

static void add_reason(struct json *w, const char *code, int64_t until_wall)
{
    char text[32];
    json_open(w, '{');
    json_key(w, "code");
    json_cstr(w, code);
    if (until_wall) {
        clock_format_utc(until_wall, text);
        json_key(w, "until");
        json_cstr(w, text);
    }
    json_close(w, '}');
}

static void add_limit(struct json *w, const PGresult *r, int of)
{
    int at = FIRST_LIMIT + 3 * of;
    int64_t active = pg_get_int(r, 0, at), most = pg_get_int(r, 0, at + 1);
    if (most && active >= most)
        add_full(w, full_codes[of], active, most);
    if (pg_get_int(r, 0, at + 2) > pg_get_int(r, 0, NOW))
        add_reason(w, rate_codes[of], pg_get_int(r, 0, at + 2));
}

static void add_reasons(struct buf *out, struct json *w, const PGresult *r)
{
    size_t before = out->n;
    if (pg_get_int(r, 0, NOT_DUE))
        add_reason(w, "not_due", pg_get_int(r, 0, RUN_AT));
    if (!pg_get_int(r, 0, HAS_NODE))
        add_reason(w, "no_workers", 0);
    else if (!pg_get_int(r, 0, HAS_KIND))
        add_reason(w, "held", 0);
    if (pg_get_int(r, 0, PAUSED))
        add_reason(w, "paused", 0);
    for (int of = LIMIT_KIND; of <= LIMIT_KEY; of++)
        add_limit(w, r, of);
    if (out->n == before)
        add_reason(w, "behind", 0);
}

void pg_why(struct pg *pg, struct jobs_query *q)
{
    struct pg_args a = {0};
    struct buf out = {0};
    struct json w = json_to(&out);
    pg_int(&a, q->id);
    PGresult *r = pg_call(&pg->to_ask, "SELECT * FROM maru.why($1)", &a, &q->err);
    if (r && PQntuples(r) == 1) {
        json_open(&w, '[');
        add_reasons(&out, &w, r);
        json_close(&w, ']');
        if (out.n < sizeof q->why)
            snprintf(q->why, sizeof q->why, "%.*s", (int)out.n, out.p);
    }
    buf_free(&out);
    PQclear(r);
}
