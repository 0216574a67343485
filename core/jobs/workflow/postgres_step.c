/* workflow/postgres_step.c -- steps of runs, and signals that nobody waited for yet. */
#include "base/mem.h"
#include "jobs/workflow/postgres.h"

static struct wf_postgres *kept_of(struct wf *f)
{
    return wfp_pg(f)->workflows;
}

/* -- what is kept until it is written together ---------------------------------------------- */

static struct wfp_row *add_row(struct wf *f, int64_t run, int seq, enum wf_step_state state)
{
    struct wf_postgres *w = kept_of(f);
    if (w->row_count == w->row_cap) {
        w->row_cap = w->row_cap ? w->row_cap * 2 : 64;
        w->rows = mem_realloc(w->rows, w->row_cap * sizeof *w->rows);
    }
    struct wfp_row *row = &w->rows[w->row_count++];
    *row = (struct wfp_row){.run = run, .seq = seq, .state = state};
    index_set(&w->touched, run, w);
    return row;
}

bool wfp_plan(struct wf *f, int64_t run, int seq, struct str name, const char *role,
              struct str spec)
{
    struct wfp_row *row = add_row(f, run, seq, WF_PLANNED);
    row->name = str_dup(name);
    row->next = mem_strdup(role);
    row->spec = wfp_keep(spec);
    return true;
}

bool wfp_queue(struct wf *f, int64_t run, const struct wf_queued *q)
{
    struct wfp_row *row = add_row(f, run, q->seq, WF_QUEUED);
    row->job = q->job;
    row->version = q->version;
    row->name = str_dup(q->name);
    row->next = wfp_keep(q->role);
    row->on_error = wfp_keep(q->on_error);
    row->spec = wfp_keep(q->from);
    return true;
}

bool wfp_put_input(struct wf *f, int64_t run, struct str input)
{
    struct wfp_row *row = add_row(f, run, 0, WF_DONE);
    row->name = mem_strdup("");
    row->spec = wfp_keep(input);
    return true;
}

bool wfp_end_step(struct wf *f, int64_t run, const struct wf_over *s)
{
    struct wf_postgres *w = kept_of(f);
    if (w->over_count == w->over_cap) {
        w->over_cap = w->over_cap ? w->over_cap * 2 : 64;
        w->overs = mem_realloc(w->overs, w->over_cap * sizeof *w->overs);
    }
    w->overs[w->over_count++] = (struct wfp_over){
        .run = run,
        .started_at = s->started_at,
        .seq = s->seq,
        .attempt = s->attempt,
        .state = s->state,
        .error = wfp_keep(s->error),
        .result = wfp_keep(s->result),
    };
    index_set(&w->touched, run, w);
    return true;
}

static void add_row_value(struct pg_args *a, int column, const struct wfp_row *row)
{
    const int64_t numbers[] = {row->run, row->seq, row->state, row->job, row->version};
    const char *const texts[] = {row->name, row->next, row->on_error, row->spec};
    if (column < 5)
        pg_add_int(a, numbers[column]);
    else
        pg_add_text(a, str_c(texts[column - 5]), !texts[column - 5]);
}

static bool write_rows(struct wf *f)
{
    const struct wf_postgres *w = kept_of(f);
    bool ok = true;
    for (size_t from = 0; ok && from < w->row_count; from += PG_ROWS) {
        struct pg_args a = {0};
        for (int column = 0; column < 9; column++) {
            pg_array(&a, column < 5 ? PG_INT8S : PG_TEXTS);
            for (size_t i = from; i < w->row_count && i < from + PG_ROWS; i++)
                add_row_value(&a, column, &w->rows[i]);
        }
        ok = wfp_exec(
            f,
            "INSERT INTO maru.workflow_step(run, seq, name, state, job, at, attempt, version, next,"
            " on_error, spec) SELECT u.run, u.seq, u.name, u.state, nullif(u.job, 0),"
            " (SELECT maru.now()), 0, u.version, u.next, u.on_error, u.spec"
            " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)"
            " u(run, seq, state, job, version, name, next, on_error, spec)"
            " ON CONFLICT (run, seq) DO UPDATE SET state = excluded.state, job = excluded.job,"
            " at = excluded.at",
            &a);
    }
    return ok;
}

static void add_over_value(struct pg_args *a, int column, const struct wfp_over *o)
{
    const int64_t numbers[] = {o->run, o->seq, o->state, o->started_at, o->attempt};
    const char *const texts[] = {o->error, o->result};
    if (column < 5)
        pg_add_int(a, numbers[column]);
    else
        pg_add_text(a, str_c(texts[column - 5]), !texts[column - 5]);
}

static bool write_overs(struct wf *f)
{
    const struct wf_postgres *w = kept_of(f);
    struct pg_args a = {0};
    if (w->over_count == 0)
        return true;
    for (int column = 0; column < 7; column++) {
        pg_array(&a, column < 5 ? PG_INT8S : PG_TEXTS);
        for (size_t i = 0; i < w->over_count; i++)
            add_over_value(&a, column, &w->overs[i]);
    }
    return wfp_exec(f,
                    "UPDATE maru.workflow_step s SET state = u.state, started_at = u.began,"
                    " ended_at = (SELECT maru.now()), attempt = u.attempt, error = u.error,"
                    " result = u.result FROM unnest($1, $2, $3, $4, $5, $6, $7)"
                    " u(run, seq, state, began, attempt, error, result)"
                    " WHERE s.run = u.run AND s.seq = u.seq",
                    &a);
}

bool wfp_settle(struct wf *f, int64_t run)
{
    struct wf_postgres *w = kept_of(f);
    if (run ? !index_get(&w->touched, run) : !w->touched.count)
        return true;
    bool ok = write_rows(f) && write_overs(f);
    wfp_forget_rows(w);
    return ok;
}

/* -- the rows ------------------------------------------------------------------------------- */

static void add_step(struct pg_args *a, int64_t run, int seq)
{
    pg_int(a, run);
    pg_int(a, seq);
}

/* What was read ahead serves once: later something else may have been decided. */
static bool take_read(struct wf *f, int64_t run, int seq, struct wf_step *step)
{
    struct index *steps = &kept_of(f)->steps;
    struct wfp_step *kept = f->job ? index_get(steps, f->job->id) : NULL;
    if (!kept || kept->row.run != run || kept->row.seq != seq)
        return false;
    *step = kept->row;
    index_remove(steps, f->job->id);
    mem_free(kept);
    return true;
}

int wfp_load_step(struct wf *f, int64_t run, int seq, struct wf_step *step)
{
    struct pg_args a = {0};
    PGresult *r;
    if (take_read(f, run, seq, step))
        return 1;
    if (!wfp_settle(f, run))
        return -1;
    add_step(&a, run, seq);
    int is = wfp_row(f,
                     "SELECT name, state, await, next, otherwise, on_error FROM maru.workflow_step"
                     " WHERE run = $1 AND seq = $2",
                     &a, &r);
    if (is < 1)
        return is;
    step->name = str_dup(pg_get(r, 0, 0));
    step->state = (enum wf_step_state)pg_get_int(r, 0, 1);
    step->await = wfp_dup(r, 0, 2);
    step->next = wfp_dup(r, 0, 3);
    step->otherwise = wfp_dup(r, 0, 4);
    step->on_error = wfp_dup(r, 0, 5);
    PQclear(r);
    return 1;
}

bool wfp_input(struct wf *f, int64_t run, struct buf *out)
{
    struct pg_args a = {0};
    PGresult *r;
    if (!wfp_settle(f, run))
        return false;
    pg_int(&a, run);
    int is = wfp_row(f, "SELECT spec FROM maru.workflow_step WHERE run = $1 AND seq = 0", &a, &r);
    if (is == 1) {
        buf_add_str(out, pg_get(r, 0, 0));
        PQclear(r);
    }
    return is >= 0;
}

bool wfp_begin_wait(struct wf *f, int64_t run, const struct wf_wait *w)
{
    struct pg_args a = {0};
    if (!wfp_settle(f, run))
        return false;
    add_step(&a, run, w->seq);
    wfp_str(&a, w->name);
    wfp_str(&a, w->next);
    wfp_str(&a, w->otherwise);
    pg_int(&a, w->due_at ? w->due_at - f->now : 0);
    pg_int(&a, w->due_at != 0);
    return wfp_exec(f,
                    "UPDATE maru.workflow_step SET state = 2, await = $3, next = $4,"
                    " otherwise = $5, due_at = CASE WHEN $7 = 1 THEN maru.now() + $6 END"
                    " WHERE run = $1 AND seq = $2",
                    &a);
}

bool wfp_end_wait(struct wf *f, int64_t run, int seq, const char *error)
{
    struct pg_args a = {0};
    if (!wfp_settle(f, run))
        return false;
    add_step(&a, run, seq);
    pg_text(&a, error);
    return wfp_exec(f,
                    "UPDATE maru.workflow_step SET state = 3, woke_at = maru.now(), due_at = NULL,"
                    " error = $3 WHERE run = $1 AND seq = $2",
                    &a);
}

bool wfp_hurry(struct wf *f, int64_t run, int seq)
{
    struct pg_args a = {0};
    if (!wfp_settle(f, run))
        return false;
    add_step(&a, run, seq);
    return wfp_exec(
        f, "UPDATE maru.workflow_step SET due_at = maru.now() WHERE run = $1 AND seq = $2", &a);
}

bool wfp_revive(struct wf *f, int64_t run, int seq)
{
    struct pg_args a = {0};
    if (!wfp_settle(f, run))
        return false;
    add_step(&a, run, seq);
    return wfp_exec(f,
                    "UPDATE maru.workflow_step SET state = 1, error = NULL"
                    " WHERE run = $1 AND seq = $2",
                    &a);
}

bool wfp_cancel_steps(struct wf *f, int64_t run, enum wf_step_state from)
{
    struct pg_args a = {0};
    if (!wfp_settle(f, run))
        return false;
    pg_int(&a, run);
    pg_int(&a, from);
    return wfp_exec(f,
                    "UPDATE maru.workflow_step SET state = 5, due_at = NULL,"
                    " woke_at = CASE WHEN $2 = 2 THEN maru.now() ELSE woke_at END"
                    " WHERE run = $1 AND state = $2",
                    &a);
}

bool wfp_queued(struct wf *f, int64_t run, struct wf_ids *jobs)
{
    struct pg_args a = {0};
    if (!wfp_settle(f, run))
        return false;
    pg_int(&a, run);
    PGresult *r =
        pg_call(&wfp_pg(f)->to_write,
                "SELECT job FROM maru.workflow_step WHERE run = $1 AND state = 1", &a, f->err);
    for (int i = 0; r && i < PQntuples(r); i++)
        wf_ids_add(jobs, pg_get_int(r, i, 0));
    PQclear(r);
    return r != NULL;
}

int wfp_planned(struct wf *f, int64_t run, int from, const char *role, int *seq, struct buf *out)
{
    struct pg_args a = {0};
    PGresult *r;
    if (!wfp_settle(f, run))
        return -1;
    add_step(&a, run, from);
    pg_text(&a, role);
    int is = wfp_row(f,
                     "SELECT seq, spec FROM maru.workflow_step WHERE run = $1 AND seq >= $2"
                     " AND state = 0 AND next = $3 ORDER BY seq LIMIT 1",
                     &a, &r);
    if (is == 1) {
        *seq = (int)pg_get_int(r, 0, 0);
        buf_add_str(out, pg_get(r, 0, 1));
        PQclear(r);
    }
    return is;
}

bool wfp_members(struct wf *f, int64_t run, void (*each)(void *arg, const struct wf_member_row *m),
                 void *arg)
{
    struct pg_args a = {0};
    if (!wfp_settle(f, run))
        return false;
    pg_int(&a, run);
    PGresult *r = pg_call(&wfp_pg(f)->to_write,
                          "SELECT seq, state, result, name, error FROM maru.workflow_step"
                          " WHERE run = $1 AND next = 'member' ORDER BY seq",
                          &a, f->err);
    for (int i = 0; r && i < PQntuples(r); i++) {
        struct wf_member_row m = {
            .seq = (int)pg_get_int(r, i, 0),
            .state = (enum wf_step_state)pg_get_int(r, i, 1),
            .result = pg_get(r, i, 2),
            .name = pg_get(r, i, 3),
            .error = pg_get(r, i, 4),
        };
        each(arg, &m);
    }
    PQclear(r);
    return r != NULL;
}

int wfp_waiting(struct wf *f, int64_t run, struct str signal, int *seq)
{
    struct pg_args a = {0};
    PGresult *r;
    if (!wfp_settle(f, run))
        return -1;
    pg_int(&a, run);
    wfp_str(&a, signal);
    int is = wfp_row(f,
                     "SELECT seq FROM maru.workflow_step WHERE run = $1 AND state = 2"
                     " AND await = $2 ORDER BY seq LIMIT 1",
                     &a, &r);
    if (is == 1) {
        *seq = (int)pg_get_int(r, 0, 0);
        PQclear(r);
    }
    return is;
}

/* The job is in the queue again: its extra says whose it is. */
int wfp_failed(struct wf *f, int64_t job, int64_t *run, int *seq)
{
    struct pg_args a = {0};
    PGresult *r;
    pg_int(&a, job);
    int is = wfp_row(f,
                     "SELECT s.run, s.seq FROM maru.job j JOIN maru.workflow_step s"
                     " ON s.run = (j.extra::json->>'workflow')::bigint"
                     " AND s.seq = (j.extra::json->>'step')::int"
                     " WHERE j.id = $1 AND s.job = $1 AND s.state = 4",
                     &a, &r);
    if (is == 1) {
        *run = pg_get_int(r, 0, 0);
        *seq = (int)pg_get_int(r, 0, 1);
        PQclear(r);
    }
    return is;
}

/* -- signals -------------------------------------------------------------------------------- */

int wfp_keep_signal(struct wf *f, int64_t run, struct str name, struct str data, struct str who)
{
    struct pg_args a = {0};
    PGresult *r;
    pg_int(&a, run);
    wfp_str(&a, name);
    wfp_str(&a, data);
    wfp_str(&a, who);
    pg_int(&a, WORKFLOW_SIGNALS);
    int is = wfp_row(f,
                     "INSERT INTO maru.workflow_signal(run, seq, name, data, at, who)"
                     " SELECT $1, coalesce(max(seq), 0) + 1, $2, $3, maru.now(), $4"
                     " FROM maru.workflow_signal WHERE run = $1 HAVING count(*) < $5 RETURNING seq",
                     &a, &r);
    if (is == 1)
        PQclear(r);
    return is;
}

int wfp_take_signal(struct wf *f, int64_t run, struct str name, struct buf *data, struct buf *who,
                    int64_t *at)
{
    struct pg_args a = {0};
    PGresult *r;
    pg_int(&a, run);
    wfp_str(&a, name);
    int is = wfp_row(f,
                     "DELETE FROM maru.workflow_signal WHERE run = $1 AND seq = (SELECT min(seq)"
                     " FROM maru.workflow_signal WHERE run = $1 AND name = $2)"
                     " RETURNING data, who, at",
                     &a, &r);
    if (is < 1)
        return is;
    buf_add_str(data, pg_get(r, 0, 0));
    buf_add_str(who, pg_get(r, 0, 1));
    *at = pg_get_int(r, 0, 2);
    PQclear(r);
    return 1;
}

bool wfp_drop_signals(struct wf *f, int64_t run)
{
    struct pg_args a = {0};
    pg_int(&a, run);
    return wfp_exec(f, "DELETE FROM maru.workflow_signal WHERE run = $1", &a);
}
