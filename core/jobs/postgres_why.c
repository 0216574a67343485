/* postgres_why.c -- what keeps a job that nobody has claimed from running. */
#include "jobs/postgres.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"

/* Columns: run_at, not due, paused, kind's running and limit, queue's, parked, key's limit */
static const char sql[] =
    "SELECT j.run_at, (j.run_at > maru.now())::int, q.paused::int,"
    " (SELECT count(*) FROM maru.claimed x JOIN maru.flow y ON y.id = x.flow WHERE y.kind = k.id),"
    " k.most,"
    " (SELECT count(*) FROM maru.claimed x JOIN maru.flow y ON y.id = x.flow WHERE y.queue = q.id),"
    " CASE WHEN q.set & 2 > 0 THEN q.concurrency ELSE q.most END, (p.id IS NOT NULL)::int,"
    " k.key_most FROM maru.job j JOIN maru.flow f ON f.id = j.flow JOIN maru.kind k ON k.id = "
    "f.kind"
    " JOIN maru.queue q ON q.id = f.queue LEFT JOIN maru.claimed c ON c.id = j.id"
    " LEFT JOIN maru.parked p ON p.flow = j.flow AND p.key = j.key AND p.id = j.id"
    " WHERE j.id = $1 AND c.id IS NULL";

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

static void add_reasons(struct json *w, const PGresult *r)
{
    int64_t kind = pg_get_int(r, 0, 3), kind_most = pg_get_int(r, 0, 4);
    int64_t queue = pg_get_int(r, 0, 5), queue_most = pg_get_int(r, 0, 6);
    int64_t key_most = pg_get_int(r, 0, 8);
    bool kind_full = kind_most && kind >= kind_most, queue_full = queue_most && queue >= queue_most;
    bool not_due = pg_get_int(r, 0, 1), paused = pg_get_int(r, 0, 2), parked = pg_get_int(r, 0, 7);
    if (not_due)
        add_reason(w, "not_due", pg_get_int(r, 0, 0));
    if (paused)
        add_reason(w, "paused", 0);
    if (kind_full)
        add_full(w, "kind_full", kind, kind_most);
    if (queue_full)
        add_full(w, "queue_full", queue, queue_most);
    if (parked)
        add_full(w, "key_full", key_most, key_most);
    if (!not_due && !paused && !kind_full && !queue_full && !parked)
        add_reason(w, "behind", 0);
}

void pg_why(struct pg *pg, struct jobs_query *q)
{
    struct pg_args a = {0};
    struct buf out = {0};
    struct json w = json_to(&out);
    pg_int(&a, q->id);
    PGresult *r = pg_call(&pg->to_ask, sql, &a, &q->err);
    if (r && PQntuples(r) == 1) {
        json_open(&w, '[');
        add_reasons(&w, r);
        json_close(&w, ']');
        if (out.n < sizeof q->why)
            snprintf(q->why, sizeof q->why, "%.*s", (int)out.n, out.p);
    }
    buf_free(&out);
    PQclear(r);
}
