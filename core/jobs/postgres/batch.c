/* postgres/batch.c -- batches: a row counts the ends of its members, in the commit of these ends
 * (I10).
 *
 * Whoever counts the last one pushes what follows, from the same row.  A transaction counts once
 * for each batch, with its last statement but one: nodes that end members of one batch at once wait
 * for each other's commit alone, and the longer they wait the more ends the next one has. */
#include "jobs/postgres/postgres.h"

#include "base/mem.h"

struct count {
    int64_t id, succeeded, failed;
};

static void add_text(struct pg_args *a, struct str text)
{
    char *copy = text.p ? str_dup(text) : NULL;
    pg_text(a, copy);
    mem_free(copy);
}

/* What follows, as the columns of its row; its key is in the extra, too. */
static void add_last(struct pg_args *a, const struct job *last, int flow)
{
    struct buf text = {0};
    if (last->extra)
        extra_print(last->extra, &text);
    pg_int(a, last->id);
    pg_int(a, flow);
    pg_int(a, last->priority);
    pg_int(a, last->max_attempts);
    pg_int(a, job_extra(last)->timeout_ms);
    pg_text(a, job_extra(last)->key);
    add_text(a, job_args(last));
    pg_text(a, text.n ? text.p : NULL);
    buf_free(&text);
}

static bool write_one(struct pg *pg, const struct crowd *c, struct err *err)
{
    struct pg_args a = {0};
    int flow = c->last ? pg_flow_of(pg, c->last, err) : 0;
    if (c->last && !flow)
        return false;
    pg_int(&a, c->id);
    pg_int(&a, c->total);
    pg_text(&a, c->description);
    if (c->last)
        add_last(&a, c->last, flow);
    PGresult *r = pg_call(
        &pg->to_write,
        c->last ? "INSERT INTO maru.batch(id, total, description, created_at, last, flow, prio,"
                  " max_attempts, timeout_ms, key, args, extra) VALUES($1, $2, $3, maru.now(), $4,"
                  " $5::int, $6::smallint, $7::smallint, $8::int, $9, $10, $11)"
                : "INSERT INTO maru.batch(id, total, description, created_at)"
                  " VALUES($1, $2, $3, maru.now())",
        &a, err);
    PQclear(r);
    return r != NULL;
}

bool pg_write_crowds(struct pg *pg, const struct push_op *pushes, struct err *err)
{
    for (; pushes; pushes = pushes->next)
        if (pushes->crowd && !write_one(pg, pushes->crowd, err))
            return false;
    return true;
}

/* -- ends ----------------------------------------------------------------------------------- */

static bool goes_back(const struct job *job)
{
    return job->end == JOB_END_RETRY || job->end == JOB_END_INTERRUPTED;
}

bool pg_read_cancelled(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    index_free(&pg->cancelled);
    pg_array(&a, PG_INT8S);
    list_each (node, &pg->jobs->batch.ends) {
        const struct job *job = list_entry(node, struct job, link);
        bool counts = job_extra(job)->batch || job_extra(job)->workflow;
        if (counts && goes_back(job) && index_get(&pg->taken, job->id))
            pg_add_int(&a, job->id);
    }
    if (a.counts[0] == 0) {
        pg_args_free(&a);
        return true;
    }
    PGresult *r = pg_call(&pg->to_write,
                          "SELECT u.id FROM unnest($1) u(id) WHERE NOT EXISTS"
                          " (SELECT 1 FROM maru.job j WHERE j.id = u.id)",
                          &a, err);
    for (int i = 0; r && i < PQntuples(r); i++)
        index_set(&pg->cancelled, pg_get_int(r, i, 0), pg);
    PQclear(r);
    return r != NULL;
}

/* Of each batch what ended in this transaction. */
static void count_ends(struct pg *pg, struct index *counts)
{
    list_each (node, &pg->jobs->batch.ends) {
        const struct job *job = list_entry(node, struct job, link);
        int64_t id = job_extra(job)->batch;
        if (!id || !index_get(&pg->taken, job->id) ||
            (goes_back(job) && !index_get(&pg->cancelled, job->id)))
            continue;
        struct count *c = index_get(counts, id);
        if (!c) {
            c = mem_zero(1, sizeof *c);
            c->id = id;
            index_set(counts, id, c);
        }
        c->succeeded += job->end == JOB_END_DONE;
        c->failed += job->end != JOB_END_DONE;
    }
}

static void add_counts(struct pg_args *a, const struct index *counts)
{
    for (int column = 0; column < 3; column++) {
        pg_array(a, PG_INT8S);
        for (size_t i = 0; i < counts->size; i++) {
            const struct count *c = counts->slots[i].id ? counts->slots[i].value : NULL;
            if (c)
                pg_add_int(a, column == 0 ? c->id : column == 1 ? c->succeeded : c->failed);
        }
    }
}

bool pg_count_members(struct pg *pg, struct err *err)
{
    struct index counts = {0};
    struct pg_args a = {0};
    PGresult *r = NULL;
    count_ends(pg, &counts);
    bool any = counts.count > 0;
    if (any) {
        add_counts(&a, &counts);
        r = pg_call(&pg->to_write, "SELECT maru.count_members($1, $2, $3)", &a, err);
        pg->followed = pg->followed || (r && pg_get_int(r, 0, 0));
        PQclear(r);
    }
    for (size_t i = 0; i < counts.size; i++)
        if (counts.slots[i].id)
            mem_free(counts.slots[i].value);
    index_free(&counts);
    return r || !any;
}

/* -- a look --------------------------------------------------------------------------------- */

void pg_show_batch(struct pg *pg, struct jobs_query *q)
{
    struct pg_args a = {0};
    if (!pg_connect(&pg->to_ask, &q->err))
        return;
    pg_int(&a, q->id);
    PGresult *r = pg_call(&pg->to_ask,
                          "SELECT id, total, succeeded, failed, created_at, finished_at,"
                          " CASE WHEN finished_at > 0 THEN last END, description FROM maru.batch"
                          " WHERE id = $1",
                          &a, &q->err);
    if (r && PQntuples(r))
        crowd_print(&q->out, &(struct crowd_row){.id = pg_get_int(r, 0, 0),
                                                 .total = pg_get_int(r, 0, 1),
                                                 .succeeded = pg_get_int(r, 0, 2),
                                                 .failed = pg_get_int(r, 0, 3),
                                                 .created_at = pg_get_int(r, 0, 4),
                                                 .finished_at = pg_get_int(r, 0, 5),
                                                 .done_job = pg_get_int(r, 0, 6),
                                                 .description = pg_get(r, 0, 7)});
    PQclear(r);
}

void pg_query_batch(struct jobs *jobs, struct jobs_query *q)
{
    pg_submit(jobs, (struct pg_ask){.query = q, .batch = true});
}
