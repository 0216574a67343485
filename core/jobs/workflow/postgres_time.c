/* workflow/postgres_time.c -- waits that are over, ends that the database made by itself, runs that
 * are old; jobs of runs that are over. */
#include "base/mem.h"
#include "jobs/workflow/postgres.h"

enum { CANCELS = 100 }; /* of one statement */

void wfp_add_declared(struct pg_args *a, const struct wf_set *set)
{
    pg_array(a, PG_TEXTS);
    for (int i = 0; set && i < set->count; i++) {
        char *name = mem_printf("%s.%s", set->list[i].plugin, set->list[i].name);
        pg_add_text(a, str_c(name), false);
        mem_free(name);
    }
}

/* One node at a time looks; that a wait is still one is asked again when its run is locked. */
bool wfp_due(struct wf *f, struct wf_ref *list, int most, int *count, int64_t *next)
{
    struct pg_args a = {0};
    pg_int(&a, most + 1);
    wfp_add_declared(&a, f->set);
    PGresult *r = pg_call(&wfp_pg(f)->to_write,
                          "SELECT s.run, s.seq, s.due_at - maru.now() FROM maru.workflow_step s"
                          " JOIN maru.workflow w ON w.id = s.run WHERE s.state = 2 AND s.due_at > 0"
                          " AND w.plugin || '.' || w.name = ANY($2)"
                          " AND pg_try_advisory_xact_lock(7004) ORDER BY s.due_at LIMIT $1",
                          &a, f->err);
    *count = 0;
    *next = 0;
    for (int i = 0; r && i < PQntuples(r) && !*next; i++) {
        int64_t in = pg_get_int(r, i, 2);
        if (in > 0 || *count == most)
            *next = f->now + (in > 0 ? in : 0);
        else
            list[(*count)++] =
                (struct wf_ref){.run = pg_get_int(r, i, 0), .seq = (int)pg_get_int(r, i, 1)};
    }
    PQclear(r);
    return r != NULL;
}

/* Whose step a job with this extra was. */
static bool read_ref(const PGresult *r, int i, struct wf_ref *ref)
{
    struct err ignored = {0};
    struct job *job = job_create(STR(""), STR(""));
    bool ok = extra_parse(job, pg_get(r, i, 1), &ignored);
    *ref = (struct wf_ref){.job = pg_get_int(r, i, 0),
                           .run = job_extra(job)->workflow,
                           .seq = (int)job_extra(job)->step};
    job_unref(job);
    return ok && ref->run;
}

bool wfp_strays(struct wf *f, struct wf_stray *list, int most, int *count)
{
    struct pg_args a = {0};
    pg_int(&a, most);
    wfp_add_declared(&a, f->set);
    PGresult *r = pg_call(
        &wfp_pg(f)->to_write,
        "DELETE FROM maru.stray WHERE id = ANY(ARRAY(SELECT x.id FROM maru.stray x LEFT JOIN"
        " maru.workflow w ON w.id = (x.extra::json->>'workflow')::bigint WHERE w.shape IS"
        " DISTINCT FROM 0 OR w.plugin || '.' || w.name = ANY($2) ORDER BY x.id LIMIT $1"
        " FOR UPDATE OF x SKIP LOCKED)) RETURNING job, extra, fin, started_at, attempt,"
        " error, result",
        &a, f->err);
    *count = 0;
    for (int i = 0; r && i < PQntuples(r); i++) {
        struct wf_stray *s = &list[*count];
        if (!read_ref(r, i, &s->ref))
            continue;
        s->how = (enum job_end)pg_get_int(r, i, 2);
        s->started_at = pg_get_int(r, i, 3);
        s->attempt = (int)pg_get_int(r, i, 4);
        s->error = wfp_dup(r, i, 5);
        s->result = wfp_dup(r, i, 6);
        ++*count;
    }
    PQclear(r);
    return r != NULL;
}

bool wfp_expired(struct wf *f, enum workflow_state state, int64_t before, int limit,
                 struct wf_ids *ids)
{
    struct pg_args a = {0};
    pg_int(&a, state);
    pg_int(&a, f->now - before);
    pg_int(&a, limit);
    PGresult *r = pg_call(&wfp_pg(f)->to_write,
                          "SELECT id FROM maru.workflow WHERE state = $1 AND finished_at <"
                          " (SELECT maru.now()) - $2 AND active = 0 ORDER BY finished_at LIMIT $3"
                          " FOR UPDATE SKIP LOCKED",
                          &a, f->err);
    for (int i = 0; r && i < PQntuples(r); i++)
        wf_ids_add(ids, pg_get_int(r, i, 0));
    PQclear(r);
    return r != NULL;
}

bool wfp_remove(struct wf *f, int64_t run)
{
    struct pg_args a = {0};
    pg_int(&a, run);
    return wfp_exec(f,
                    "WITH steps AS (DELETE FROM maru.workflow_step WHERE run = $1), signals AS"
                    " (DELETE FROM maru.workflow_signal WHERE run = $1)"
                    " DELETE FROM maru.workflow WHERE id = $1",
                    &a);
}

/* A key that another has fails this one alone, so the transaction goes on before it. */
int wfp_retry(struct wf *f, int64_t job)
{
    struct pg_args a = {0};
    struct pg_conn *conn = &wfp_pg(f)->to_write;
    if (!pg_run(conn, "SAVEPOINT retry", f->err))
        return -1;
    pg_int(&a, job);
    PGresult *r = pg_call(conn, "SELECT maru.retry($1)", &a, f->err);
    bool there = r && !PQgetisnull(r, 0, 0);
    PQclear(r);
    wfp_pg(f)->followed = true;
    if (r)
        return pg_run(conn, "RELEASE retry", f->err) ? there : -1;
    if (f->err->code != ERR_EXISTS)
        return -1;
    f->change->err = *f->err;
    err_clear(f->err);
    return pg_run(conn, "ROLLBACK TO retry", f->err) ? 0 : -1;
}

/* What stays because this fails, upkeep finds (pg_cancel_orphans()). */
void wfp_cancel(struct jobs *jobs, const int64_t *ids, size_t count)
{
    struct pg *pg = jobs->record;
    struct err err = {0};
    bool ok = true;
    for (size_t from = 0; ok && from < count; from += CANCELS) {
        struct pg_args a = {0};
        pg_array(&a, PG_INT8S);
        for (size_t i = from; i < count && i < from + CANCELS; i++)
            pg_add_int(&a, ids[i]);
        PGresult *r =
            pg_call(&pg->to_write, "SELECT maru.cancel(u.id) FROM unnest($1) u(id)", &a, &err);
        ok = r != NULL;
        PQclear(r);
    }
    pg_look_soon(pg);
}
