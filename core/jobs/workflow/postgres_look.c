/* workflow/postgres_look.c -- the ask thread's part: looks at runs, and whether there is something
 * to decide that no process here has brought about. */
#include "base/clock.h"
#include "base/mem.h"
#include "jobs/workflow/postgres.h"

#define COLUMNS                                                                                    \
    "SELECT r.id, r.plugin, r.name, r.shape, r.version, r.uniq, r.state, r.created_at,"            \
    " r.finished_at, r.steps, r.active, r.waiting, r.error, (SELECT string_agg(x.name, ' ') FROM"  \
    " (SELECT DISTINCT s.name FROM maru.workflow_step s WHERE s.run = r.id AND s.state IN (1, 2)"  \
    " LIMIT 5) x), "

static struct wf_run_row read_run(const PGresult *r, int i)
{
    return (struct wf_run_row){
        .id = pg_get_int(r, i, 0),
        .plugin = pg_get(r, i, 1),
        .name = pg_get(r, i, 2),
        .shape = (int)pg_get_int(r, i, 3),
        .version = (int)pg_get_int(r, i, 4),
        .key = pg_get(r, i, 5),
        .state = (int)pg_get_int(r, i, 6),
        .created_at = pg_get_int(r, i, 7),
        .finished_at = pg_get_int(r, i, 8),
        .steps = (int)pg_get_int(r, i, 9),
        .active = (int)pg_get_int(r, i, 10),
        .waiting = (int)pg_get_int(r, i, 11),
        .error = pg_get(r, i, 12),
        .at = pg_get(r, i, 13),
        .data = pg_get(r, i, 14),
        .result = pg_get(r, i, 15),
    };
}

static void list(struct pg *pg, struct workflow_query *q)
{
    struct pg_args a = {0};
    pg_int(&a, q->before ? q->before : INT64_MAX);
    pg_int(&a, wf_list_limit(q));
    wfp_str(&a, q->plugin);
    wfp_str(&a, q->name);
    wfp_str(&a, q->key);
    pg_int(&a, q->state == WORKFLOW_WAITING ? WORKFLOW_RUNNING : q->state);
    pg_int(&a, q->state);
    PGresult *r =
        pg_call(&pg->to_ask,
                COLUMNS "NULL, NULL FROM maru.workflow r WHERE r.id < $1"
                        " AND ($3 IS NULL OR r.plugin = $3) AND ($4 IS NULL OR r.name = $4)"
                        " AND ($5 IS NULL OR r.uniq = $5) AND ($6 = 0 OR r.state = $6)"
                        " AND ($7 NOT IN (1, 2) OR (r.active > 0 AND r.waiting = r.active)"
                        " = ($7 = 2)) ORDER BY r.id DESC LIMIT $2",
                &a, &q->err);
    for (int i = 0; r && i < PQntuples(r); i++) {
        struct wf_run_row row = read_run(r, i);
        wf_list_add(q, &row);
    }
    PQclear(r);
}

static bool show_steps(struct pg *pg, struct wf_shown *shown)
{
    struct pg_args a = {0};
    pg_int(&a, shown->query->id);
    pg_int(&a, WF_STEPS_SHOWN);
    pg_int(&a, shown->graph);
    PGresult *r = pg_call(
        &pg->to_ask,
        "SELECT s.seq, s.name, s.state, s.job, s.at, s.started_at, s.ended_at, s.woke_at, s.due_at,"
        " s.attempt, s.version, s.await, s.next, s.error,"
        " CASE WHEN $3 = 1 AND s.next = 'member' THEN NULL ELSE s.result END, s.otherwise, s.spec,"
        " CASE WHEN s.state <> 1 THEN 0 WHEN c.id IS NOT NULL THEN 3 WHEN j.run_at > maru.now()"
        " THEN 2 ELSE 1 END FROM maru.workflow_step s LEFT JOIN maru.job j ON j.id = s.job"
        " LEFT JOIN maru.claimed c ON c.id = s.job WHERE s.run = $1 AND s.seq > 0"
        " ORDER BY s.seq LIMIT $2",
        &a, &shown->query->err);
    for (int i = 0; r && i < PQntuples(r); i++) {
        int state = (int)pg_get_int(r, i, 17);
        struct wf_step_row row = {
            .seq = (int)pg_get_int(r, i, 0),
            .name = pg_get(r, i, 1),
            .state = (int)pg_get_int(r, i, 2),
            .job = pg_get_int(r, i, 3),
            .created_at = pg_get_int(r, i, 4),
            .started_at = pg_get_int(r, i, 5),
            .ended_at = pg_get_int(r, i, 6),
            .woke_at = pg_get_int(r, i, 7),
            .due_at = pg_get_int(r, i, 8),
            .attempt = (int)pg_get_int(r, i, 9),
            .version = (int)pg_get_int(r, i, 10),
            .await = pg_get(r, i, 11),
            .next = pg_get(r, i, 12),
            .error = pg_get(r, i, 13),
            .result = pg_get(r, i, 14),
            .otherwise = pg_get(r, i, 15),
            .from = shown->graph ? pg_get(r, i, 16) : STR(""),
            .job_state = state ? job_state_name((enum job_state)state) : NULL,
        };
        wf_show_step(shown, &row);
    }
    PQclear(r);
    return r != NULL;
}

static bool show_signals(struct pg *pg, struct wf_shown *shown)
{
    struct pg_args a = {0};
    pg_int(&a, shown->query->id);
    pg_int(&a, WF_SIGNALS_SHOWN);
    PGresult *r = pg_call(&pg->to_ask,
                          "SELECT name, data, who, at FROM maru.workflow_signal WHERE run = $1"
                          " ORDER BY seq LIMIT $2",
                          &a, &shown->query->err);
    for (int i = 0; r && i < PQntuples(r); i++)
        wf_show_signal(shown, pg_get(r, i, 0), pg_get(r, i, 1), pg_get(r, i, 2),
                       pg_get_int(r, i, 3));
    PQclear(r);
    return r != NULL;
}

static void one(struct pg *pg, struct workflow_query *q)
{
    struct wf_shown shown = {.jobs = pg->jobs, .query = q};
    struct pg_args a = {0};
    pg_int(&a, q->id);
    PGresult *r =
        pg_call(&pg->to_ask,
                COLUMNS "r.data, r.result, (SELECT i.spec FROM maru.workflow_step i"
                        " WHERE i.run = r.id AND i.seq = 0) FROM maru.workflow r WHERE r.id = $1",
                &a, &q->err);
    bool there = r && PQntuples(r) && (!q->plugin.n || str_eq(q->plugin, pg_get(r, 0, 1)));
    if (there) {
        struct wf_run_row row = read_run(r, 0);
        wf_show_begin(&shown, &row, pg_get(r, 0, 16));
    }
    PQclear(r);
    if (!there)
        return;
    if (show_steps(pg, &shown) && show_signals(pg, &shown))
        wf_show_end(&shown);
}

/* In one snapshot: a step's row is not older than its run's. */
void pg_show_workflow(struct pg *pg, struct workflow_query *q)
{
    struct err ignored;
    if (pg_connect(&pg->to_ask, &q->err) &&
        pg_run(&pg->to_ask, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &q->err)) {
        if (q->id)
            one(pg, q);
        else
            list(pg, q);
        pg_run(&pg->to_ask, "COMMIT", &ignored);
    }
    workflow_answer(q);
}

void wfp_query(struct jobs *jobs, struct workflow_query *q)
{
    pg_submit(jobs, (struct pg_ask){.workflow = q});
}

bool pg_look_for_workflows(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    const struct wf_set *set = wf_set_ref(pg->jobs);
    wfp_add_declared(&a, set);
    wf_set_unref(pg->jobs, set);
    PGresult *r = pg_call(
        &pg->to_ask,
        "SELECT (EXISTS (SELECT 1 FROM maru.stray x LEFT JOIN maru.workflow w ON w.id ="
        " (x.extra::json->>'workflow')::bigint WHERE w.shape IS DISTINCT FROM 0"
        " OR w.plugin || '.' || w.name = ANY($1))"
        " OR EXISTS (SELECT 1 FROM maru.workflow_step s JOIN maru.workflow w ON w.id = s.run"
        " WHERE s.state = 2 AND s.due_at > 0 AND s.due_at <= (SELECT maru.now())"
        " AND w.plugin || '.' || w.name = ANY($1)))::int",
        &a, err);
    if (r && pg_get_int(r, 0, 0))
        workflow_poll(pg->jobs);
    PQclear(r);
    return r != NULL;
}

bool pg_count_workflows(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    PGresult *r = pg_call(&pg->to_ask,
                          "SELECT count(*), count(*) FILTER (WHERE active > 0 AND waiting = active)"
                          " FROM maru.workflow WHERE state = 1",
                          &a, err);
    if (r)
        workflow_seen(pg->jobs, pg_get_int(r, 0, 0), pg_get_int(r, 0, 1));
    PQclear(r);
    return r != NULL;
}

bool pg_cancel_orphans(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    PGresult *r = pg_call(&pg->to_ask,
                          "SELECT maru.cancel(s.job) FROM maru.workflow_step s JOIN maru.workflow w"
                          " ON w.id = s.run WHERE s.state = 1 AND (w.state = 5 OR (w.state = 4 AND"
                          " w.shape = 0)) ORDER BY s.job LIMIT 100",
                          &a, err);
    if (r && PQntuples(r))
        pg_look_soon(pg);
    PQclear(r);
    return r != NULL;
}

void pg_open_workflows(struct pg *pg)
{
    pg->workflows = mem_zero(1, sizeof *pg->workflows);
    workflow_open(pg->jobs, &wf_postgres);
}

void pg_close_workflows(struct pg *pg)
{
    if (!pg->workflows)
        return;
    wfp_forget(pg);
    mem_free(pg->workflows->rows);
    mem_free(pg->workflows->overs);
    mem_free(pg->workflows);
}
