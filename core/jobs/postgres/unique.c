/* postgres/unique.c -- the unique keys of a batch of pushes: taken, refused, or of whom it
 * replaces. */
#include "jobs/postgres/postgres.h"

#include <stdlib.h>

static bool wants_key(const struct push_op *op)
{
    return op->first->unique_n && !op->fired_before;
}

static bool is_special(const struct push_op *op)
{
    return op->replace || op->unique_period_ns;
}

/* ids, flows, keys; and of special ones how long they are held and whether they replace. */
static bool add_keys(struct pg *pg, bool special, struct pg_args *a, struct err *err)
{
    static const Oid types[] = {PG_INT8S, PG_INT4S, PG_TEXTS, PG_INT8S, PG_INT2S};
    for (int column = 0; column < (special ? 5 : 3); column++) {
        pg_array(a, types[column]);
        for (const struct push_op *op = pg->pushes; op; op = op->next) {
            int flow;
            if (!wants_key(op))
                continue;
            if (column == 1 && !(flow = pg_flow_of(pg, op->first, err)))
                return false;
            if (column == 2)
                pg_add_text(a, job_unique(op->first), false);
            else
                pg_add_int(a, column == 0   ? op->first->id
                              : column == 1 ? flow
                              : column == 3 ? op->unique_period_ns
                                            : op->replace);
        }
    }
    return true;
}

/* Those that the answer does not name were refused; `special` ones have a job in it. */
static void take_answer(struct pg *pg, bool special, const PGresult *r)
{
    struct index holders = {0};
    for (int i = 0; i < PQntuples(r); i++)
        index_set(&holders, pg_get_int(r, i, 0), (void *)PQgetvalue(r, i, special));
    for (struct push_op *op = pg->pushes; op; op = op->next) {
        if (!wants_key(op))
            continue;
        const char *holder = index_get(&holders, op->first->id);
        int64_t id = holder ? strtoll(holder, NULL, 10) : 0;
        op->duplicate = !id;
        op->replaced = id == op->first->id ? 0 : id;
    }
    index_free(&holders);
}

bool pg_take_keys(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    bool any = false, special = false;
    for (const struct push_op *op = pg->pushes; op; op = op->next) {
        any = any || wants_key(op);
        special = special || (wants_key(op) && is_special(op));
    }
    if (!any)
        return true;
    if (!add_keys(pg, special, &a, err)) {
        pg_args_free(&a);
        return false;
    }
    const char *sql = special ? "SELECT * FROM maru.take_special($1, $2, $3, $4, $5)"
                              : "SELECT maru.take_keys($1, $2, $3)";
    PGresult *r = pg_call(&pg->to_write, sql, &a, err);
    if (r)
        take_answer(pg, special, r);
    PQclear(r);
    return r != NULL;
}
