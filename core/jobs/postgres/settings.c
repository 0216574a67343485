/* postgres/settings.c -- what an operator set of queues, for all nodes. */
#include "jobs/postgres/postgres.h"

struct job_queue_change pg_read_settings(const PGresult *r, int row, int first)
{
    struct job_queue_change c;
    memset(&c, 0, sizeof c); /* settings_seen() compares it whole */
    c.set = (unsigned)pg_get_int(r, row, first);
    c.paused = str_eq_c(pg_get(r, row, first + 1), "t");
    c.limits.concurrency = (int)pg_get_int(r, row, first + 2);
    c.limits.rate.count = pg_get_int(r, row, first + 3);
    c.limits.rate.period_ns = pg_get_int(r, row, first + 4);
    c.limits.weight = (int)pg_get_int(r, row, first + 5);
    c.limits.key_concurrency = (int)pg_get_int(r, row, first + 6);
    c.limits.key_rate.count = pg_get_int(r, row, first + 7);
    c.limits.key_rate.period_ns = pg_get_int(r, row, first + 8);
    return c;
}

static bool write_setting(struct pg *pg, struct setting_op *op, struct err *err)
{
    const struct job_queue_change *w = &op->what;
    const struct job_queue_limits *l = &w->limits;
    const int64_t numbers[] = {
        l->concurrency,     l->rate.count,     l->rate.period_ns,    l->weight,
        l->key_concurrency, l->key_rate.count, l->key_rate.period_ns};
    struct pg_args a = {0};
    pg_text(&a, op->queue->name);
    pg_int(&a, w->set);
    pg_int(&a, w->reset);
    pg_text(&a, w->paused ? "t" : "f");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        pg_int(&a, numbers[i]);
    PGresult *r = pg_call(&pg->to_write,
                          "SELECT " PG_SETTINGS " FROM maru.set_queue($1, $2::int, $3::int,"
                          " $4::bool, $5::int, $6, $7, $8::int, $9::int, $10, $11) q",
                          &a, err);
    if (r && PQntuples(r))
        op->result = pg_read_settings(r, 0, 0);
    PQclear(r);
    return r != NULL;
}

bool pg_write_settings(struct pg *pg, struct setting_op *ops, struct err *err)
{
    for (struct setting_op *op = ops; op; op = op->next)
        if (!write_setting(pg, op, err))
            return false;
    return true;
}
