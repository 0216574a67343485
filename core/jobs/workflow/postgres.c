/* workflow/postgres.c -- runs, and what a transaction keeps of them. */
#include "jobs/workflow/postgres.h"
#include "base/mem.h"

char *wfp_keep(struct str text)
{
    return text.n ? str_dup(text) : NULL;
}

char *wfp_dup(const PGresult *r, int row, int column)
{
    return wfp_keep(pg_get(r, row, column));
}

void wfp_str(struct pg_args *a, struct str text)
{
    char *copy = wfp_keep(text);
    pg_text(a, copy);
    mem_free(copy);
}

int wfp_row(struct wf *f, const char *sql, struct pg_args *a, PGresult **r)
{
    *r = pg_call(&wfp_pg(f)->to_write, sql, a, f->err);
    if (!*r)
        return -1;
    if (PQntuples(*r))
        return 1;
    PQclear(*r);
    *r = NULL;
    return 0;
}

bool wfp_exec(struct wf *f, const char *sql, struct pg_args *a)
{
    PGresult *r = pg_call(&wfp_pg(f)->to_write, sql, a, f->err);
    PQclear(r);
    return r != NULL;
}

/* -- what is kept --------------------------------------------------------------------------- */

static void forget_runs(struct wf_postgres *w)
{
    for (size_t i = 0; i < w->runs.size; i++)
        if (w->runs.slots[i].id) {
            struct wfp_run *run = w->runs.slots[i].value;
            wf_run_free(&run->row);
            mem_free(run);
        }
    index_free(&w->runs);
}

static void forget_steps(struct wf_postgres *w)
{
    for (size_t i = 0; i < w->steps.size; i++)
        if (w->steps.slots[i].id) {
            struct wfp_step *step = w->steps.slots[i].value;
            wf_step_free(&step->row);
            mem_free(step);
        }
    index_free(&w->steps);
}

void wfp_forget_rows(struct wf_postgres *w)
{
    for (size_t i = 0; i < w->row_count; i++) {
        mem_free(w->rows[i].name);
        mem_free(w->rows[i].next);
        mem_free(w->rows[i].on_error);
        mem_free(w->rows[i].spec);
    }
    for (size_t i = 0; i < w->over_count; i++) {
        mem_free(w->overs[i].error);
        mem_free(w->overs[i].result);
    }
    w->row_count = w->over_count = 0;
    index_free(&w->touched);
}

void wfp_forget(struct pg *pg)
{
    struct wf_postgres *w = pg->workflows;
    forget_runs(w);
    forget_steps(w);
    wfp_forget_rows(w);
    w->written = NULL;
}

/* -- runs ----------------------------------------------------------------------------------- */

#define RUN                                                                                        \
    "SELECT id, plugin, name, shape, state, created_at, version, steps, active, waiting, arrived," \
    " data, error, finished_at FROM maru.workflow "

static struct wfp_run *keep_run(struct wf_postgres *w, const PGresult *r, int i)
{
    struct wfp_run *kept = mem_zero(1, sizeof *kept);
    struct wf_run *run = &kept->row;
    run->id = pg_get_int(r, i, 0);
    run->plugin = str_dup(pg_get(r, i, 1));
    run->name = str_dup(pg_get(r, i, 2));
    run->shape = (enum workflow_shape)pg_get_int(r, i, 3);
    run->state = (enum workflow_state)pg_get_int(r, i, 4);
    run->created_at = pg_get_int(r, i, 5);
    run->version = (int)pg_get_int(r, i, 6);
    run->steps = (int)pg_get_int(r, i, 7);
    run->active = (int)pg_get_int(r, i, 8);
    run->waiting = (int)pg_get_int(r, i, 9);
    buf_add_str(&run->arrived, pg_get(r, i, 10));
    buf_add_str(&run->data, pg_get(r, i, 11));
    run->error = wfp_dup(r, i, 12);
    run->finished_at = pg_get_int(r, i, 13);
    index_set(&w->runs, run->id, kept);
    return kept;
}

static void copy_buf(struct buf *to, const struct buf *from)
{
    buf_clear(to);
    buf_add_str(to, buf_str(from));
}

/* What may change; plugin, name and id stay. */
static void copy_run(struct wf_run *to, const struct wf_run *from)
{
    to->shape = from->shape;
    to->state = from->state;
    to->created_at = from->created_at;
    to->finished_at = from->finished_at;
    to->version = from->version;
    to->steps = from->steps;
    to->active = from->active;
    to->waiting = from->waiting;
    copy_buf(&to->arrived, &from->arrived);
    copy_buf(&to->data, &from->data);
    char *error = mem_strdup(from->error);
    mem_free(to->error);
    to->error = error;
}

static int load(struct wf *f, int64_t id, struct wf_run *run)
{
    struct wf_postgres *w = wfp_pg(f)->workflows;
    struct wfp_run *kept = index_get(&w->runs, id);
    struct pg_args a = {0};
    PGresult *r;
    if (!kept) {
        pg_int(&a, id);
        int is = wfp_row(f, RUN "WHERE id = $1 FOR UPDATE", &a, &r);
        if (is < 1)
            return is;
        kept = keep_run(w, r, 0);
        PQclear(r);
    }
    run->plugin = mem_strdup(kept->row.plugin);
    run->name = mem_strdup(kept->row.name);
    copy_run(run, &kept->row);
    return 1;
}

static bool save(struct wf *f, const struct wf_run *run)
{
    struct wf_postgres *w = wfp_pg(f)->workflows;
    struct wfp_run *kept = index_get(&w->runs, run->id);
    copy_run(&kept->row, run);
    if (run->result.n)
        copy_buf(&kept->row.result, &run->result);
    kept->changed = true;
    return true;
}

#define NEXT_RUN "nextval(pg_get_serial_sequence('maru.workflow', 'id'))"

static bool number(struct wf *f, int64_t *id)
{
    struct pg_args a = {0};
    PGresult *r;
    if (wfp_row(f, "SELECT " NEXT_RUN, &a, &r) != 1)
        return false;
    *id = pg_get_int(r, 0, 0);
    PQclear(r);
    return true;
}

static int insert(struct wf *f, struct wf_run *run, struct str key)
{
    struct pg_args a = {0};
    PGresult *r;
    pg_text(&a, run->plugin);
    pg_text(&a, run->name);
    pg_int(&a, run->shape);
    pg_int(&a, run->version);
    wfp_str(&a, key);
    pg_int(&a, run->id);
    int is = wfp_row(f,
                     "INSERT INTO maru.workflow(id, plugin, name, shape, version, uniq, state,"
                     " created_at) OVERRIDING SYSTEM VALUE VALUES(CASE WHEN $6::bigint > 0 THEN $6"
                     " ELSE " NEXT_RUN " END, $1, $2, $3::smallint, $4::int, $5, 1, maru.now())"
                     " ON CONFLICT (plugin, name, uniq) WHERE state = 1 AND uniq IS NOT NULL"
                     " DO NOTHING RETURNING id",
                     &a, &r);
    if (is < 1)
        return is;
    run->id = pg_get_int(r, 0, 0);
    PQclear(r);
    struct wfp_run *kept = mem_zero(1, sizeof *kept);
    kept->row.id = run->id;
    kept->row.plugin = mem_strdup(run->plugin);
    kept->row.name = mem_strdup(run->name);
    index_set(&wfp_pg(f)->workflows->runs, run->id, kept);
    return 1;
}

static int blocked(struct wf *f, int64_t run)
{
    struct pg_args a = {0};
    PGresult *r;
    if (!wfp_settle(f, run))
        return -1;
    pg_int(&a, run);
    int is = wfp_row(
        f,
        "SELECT 1 FROM maru.workflow_step WHERE run = $1 AND state = 5 UNION ALL"
        " SELECT 1 FROM maru.workflow a JOIN maru.workflow b ON b.plugin = a.plugin AND b.name ="
        " a.name AND b.uniq = a.uniq AND b.state = 1 WHERE a.id = $1 AND a.uniq IS NOT NULL"
        " AND b.id <> a.id LIMIT 1",
        &a, &r);
    if (is == 1)
        PQclear(r);
    return is;
}

/* -- a transaction -------------------------------------------------------------------------- */

/* All runs of the batch, locked in the order of their ids. */
static bool lock_runs(struct wf *f, const int64_t *runs, size_t count)
{
    struct pg_args a = {0};
    pg_array(&a, PG_INT8S);
    for (size_t i = 0; i < count; i++)
        pg_add_int(&a, runs[i]);
    PGresult *r =
        pg_call(&wfp_pg(f)->to_write, RUN "WHERE id = ANY($1) ORDER BY id FOR UPDATE", &a, f->err);
    for (int i = 0; r && i < PQntuples(r); i++)
        keep_run(wfp_pg(f)->workflows, r, i);
    PQclear(r);
    return r != NULL;
}

/* The next job from *at on that may have ended a step and that the database took. */
static const struct job *next_end(struct wf *f, struct list **at, struct wf_ref *ref)
{
    struct pg *pg = wfp_pg(f);
    for (; *at != &f->jobs->batch.ends; *at = (*at)->next) {
        const struct job *job = list_entry(*at, struct job, link);
        if (!wf_ref_of(f->w, job, ref) || !index_get(&pg->taken, job->id))
            continue;
        *at = (*at)->next;
        return job;
    }
    return NULL;
}

static bool read_steps(struct wf *f)
{
    struct pg_args a = {0};
    struct wf_ref ref;
    const struct job *job;
    for (int column = 0; column < 3; column++) {
        struct list *at = f->jobs->batch.ends.next;
        pg_array(&a, column == 2 ? PG_INT4S : PG_INT8S);
        while ((job = next_end(f, &at, &ref)))
            pg_add_int(&a, column == 0 ? job->id : column == 1 ? ref.run : ref.seq);
    }
    PGresult *r = pg_call(&wfp_pg(f)->to_write,
                          "SELECT u.job, u.run, u.seq, s.name, s.state, s.await, s.next,"
                          " s.otherwise, s.on_error FROM unnest($1, $2, $3) u(job, run, seq)"
                          " JOIN maru.workflow_step s ON s.run = u.run AND s.seq = u.seq",
                          &a, f->err);
    for (int i = 0; r && i < PQntuples(r); i++) {
        struct wfp_step *kept = mem_zero(1, sizeof *kept);
        kept->row = (struct wf_step){
            .run = pg_get_int(r, i, 1),
            .seq = (int)pg_get_int(r, i, 2),
            .name = str_dup(pg_get(r, i, 3)),
            .state = (enum wf_step_state)pg_get_int(r, i, 4),
            .await = wfp_dup(r, i, 5),
            .next = wfp_dup(r, i, 6),
            .otherwise = wfp_dup(r, i, 7),
            .on_error = wfp_dup(r, i, 8),
        };
        index_set(&wfp_pg(f)->workflows->steps, pg_get_int(r, i, 0), kept);
    }
    PQclear(r);
    return r != NULL;
}

static bool begin(struct wf *f, const int64_t *runs, size_t count)
{
    wfp_forget(wfp_pg(f));
    return count == 0 || (lock_runs(f, runs, count) && read_steps(f));
}

static int end_of(struct wf *f, const struct job *job, enum job_end *end)
{
    struct pg *pg = wfp_pg(f);
    if (!index_get(&pg->taken, job->id))
        return 0;
    if (index_get(&pg->cancelled, job->id))
        *end = JOB_END_CANCELLED;
    return 1;
}

/* An id now; its row goes with the others. */
static bool push(struct wf *f, struct push_op *op)
{
    wfp_pg(f)->followed = true;
    return op->first->id != 0 || pg_give_ids(wfp_pg(f), op, f->err);
}

static bool write_pushes(struct wf *f)
{
    struct wf_postgres *w = wfp_pg(f)->workflows;
    struct push_op *first = w->written ? w->written->next : f->w->pushes;
    if (!first)
        return true;
    for (struct push_op *op = first; op; op = op->next)
        w->written = op;
    return pg_write_pushes(wfp_pg(f), first, f->err);
}

static void add_run(struct pg_args *a, int column, const struct wf_run *run, int64_t now)
{
    const int64_t numbers[] = {
        run->id,     run->state,  run->finished_at == now ? -1 : run->finished_at,
        run->steps,  run->active, run->waiting,
        run->version};
    const struct str texts[] = {buf_str(&run->arrived), buf_str(&run->data), str_c(run->error),
                                buf_str(&run->result)};
    if (column < 7)
        pg_add_int(a, numbers[column]);
    else
        pg_add_text(a, texts[column - 7], texts[column - 7].n == 0);
}

static bool write_runs(struct wf *f)
{
    struct pg_args a = {0};
    struct index *runs = &wfp_pg(f)->workflows->runs;
    for (int column = 0; column < 11; column++) {
        pg_array(&a, column < 7 ? PG_INT8S : PG_TEXTS);
        for (size_t i = 0; i < runs->size; i++) {
            const struct wfp_run *run = runs->slots[i].id ? runs->slots[i].value : NULL;
            if (run && run->changed)
                add_run(&a, column, &run->row, f->now);
        }
    }
    if (a.counts[0] == 0) {
        pg_args_free(&a);
        return true;
    }
    return wfp_exec(f,
                    "UPDATE maru.workflow w SET state = u.state, finished_at = CASE WHEN u.fin = -1"
                    " THEN (SELECT maru.now()) ELSE u.fin END, steps = u.steps, active = u.active,"
                    " waiting = u.waiting, version = u.version, arrived = u.arrived, data = u.data,"
                    " error = u.error, result = coalesce(u.result, w.result)"
                    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) u(id, state, fin,"
                    " steps, active, waiting, version, arrived, data, error, result)"
                    " WHERE w.id = ANY(ARRAY[u.id])", /* as in postgres/functions.sql */
                    &a);
}

static bool flush(struct wf *f)
{
    bool ok = write_pushes(f) && wfp_settle(f, 0) && write_runs(f);
    wfp_forget(wfp_pg(f));
    return ok;
}

const struct wf_store wf_postgres = {
    .shared = true,
    .begin = begin,
    .flush = flush,
    .load = load,
    .save = save,
    .number = number,
    .insert = insert,
    .blocked = blocked,
    .remove = wfp_remove,
    .load_step = wfp_load_step,
    .put_input = wfp_put_input,
    .input = wfp_input,
    .plan = wfp_plan,
    .queue = wfp_queue,
    .end_step = wfp_end_step,
    .begin_wait = wfp_begin_wait,
    .end_wait = wfp_end_wait,
    .hurry = wfp_hurry,
    .revive = wfp_revive,
    .cancel_steps = wfp_cancel_steps,
    .queued = wfp_queued,
    .planned = wfp_planned,
    .members = wfp_members,
    .waiting = wfp_waiting,
    .failed = wfp_failed,
    .keep_signal = wfp_keep_signal,
    .take_signal = wfp_take_signal,
    .drop_signals = wfp_drop_signals,
    .due = wfp_due,
    .expired = wfp_expired,
    .push = push,
    .end_of = end_of,
    .retry = wfp_retry,
    .strays = wfp_strays,
    .cancel = wfp_cancel,
    .query = wfp_query,
};
