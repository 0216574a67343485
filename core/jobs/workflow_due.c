/* What time brings: waits that end, finished runs that are too old, and what a restart finds. */
#include "base/clock.h"
#include "base/mem.h"
#include "jobs/workflow_private.h"

static const int64_t expire_pause_ns = 60 * NS_PER_SECOND;

/* The first wait's end, and those that are over, up to a slice. */
static bool read_due(struct wf *f, struct wf_ref *list, int *count)
{
    int rc = SQLITE_ERROR;
    sqlite3_stmt *s = wf_query(f,
                               "SELECT run, seq, due_at FROM maru_workflow_step WHERE state = 2"
                               " AND due_at > 0 ORDER BY due_at LIMIT ?1",
                               "i", (int64_t)WF_DUE_SLICE + 1);
    *count = 0;
    f->w->due_next = 0;
    f->w->due_read = true;
    while (s && (rc = sqlite_step(f->conn, s, f->err)) == SQLITE_ROW) {
        int64_t at = sqlite3_column_int64(s, 2);
        if (at > f->now || *count == WF_DUE_SLICE) {
            f->w->due_next = at;
            rc = SQLITE_DONE;
            break;
        }
        list[(*count)++] =
            (struct wf_ref){.run = sqlite3_column_int64(s, 0), .seq = sqlite3_column_int(s, 1)};
    }
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool end_one(struct wf *f, const struct wf_ref *ref)
{
    struct wf_run run = {0};
    struct wf_step step = {0};
    int is = wf_load_step(f, ref->run, ref->seq, &step);
    bool ok = is >= 0;
    if (is == 1 && step.state == WF_WAITING && (is = wf_load(f, ref->run, &run)) == 1 &&
        run.state == WORKFLOW_RUNNING)
        ok = wf_graph_late(f, &run, &step) && wf_save(f, &run);
    wf_step_free(&step);
    wf_run_free(&run);
    return ok && is >= 0;
}

bool wf_due(struct wf *f)
{
    struct wf_ref *list = mem_alloc(WF_DUE_SLICE * sizeof *list);
    int count;
    bool ok = read_due(f, list, &count);
    for (int i = 0; ok && i < count; i++)
        ok = end_one(f, &list[i]);
    mem_free(list);
    return ok;
}

static bool remove_run(struct wf *f, int64_t id)
{
    return wf_exec(f, "DELETE FROM maru_workflow_step WHERE run = ?1", "i", id) &&
           wf_exec(f, "DELETE FROM maru_workflow_signal WHERE run = ?1", "i", id) &&
           wf_exec(f, "DELETE FROM maru_workflow WHERE id = ?1", "i", id);
}

/* Runs of one state that ended before ttl; some may still have a job that has not ended. */
static bool expire_state(struct wf *f, enum workflow_state state, struct wf_ids *gone)
{
    int rc = SQLITE_ERROR;
    sqlite3_stmt *s =
        wf_query(f,
                 "SELECT id FROM maru_workflow WHERE state = ?1 AND finished_at <"
                 " ?2 AND active = 0 ORDER BY finished_at LIMIT ?3",
                 "iii", (int64_t)state, f->now - f->w->ttl_ns, (int64_t)WF_EXPIRE_SLICE);
    while (s && (rc = sqlite_step(f->conn, s, f->err)) == SQLITE_ROW)
        wf_ids_add(gone, sqlite3_column_int64(s, 0));
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

bool wf_expire(struct wf *f)
{
    struct wf_ids gone = {0};
    if (clock_ns() < f->w->expire_next_ns)
        return true;
    bool ok = true;
    for (int state = WORKFLOW_DONE; ok && state <= WORKFLOW_CANCELLED; state++)
        ok = expire_state(f, (enum workflow_state)state, &gone);
    for (size_t i = 0; ok && i < gone.n; i++)
        ok = remove_run(f, gone.ids[i]);
    f->w->expire_next_ns =
        clock_ns() + (gone.n >= WF_EXPIRE_SLICE ? NS_PER_SECOND : expire_pause_ns);
    mem_free(gone.ids);
    return ok;
}

/* -- recovery ------------------------------------------------------------------------------- */

static bool read_steps(struct wf *f)
{
    int rc = SQLITE_ERROR;
    struct workflows *w = f->w;
    sqlite3_stmt *s =
        wf_query(f,
                 "SELECT s.job, s.run, s.seq, r.shape, r.state FROM maru_workflow_step s JOIN"
                 " maru_workflow r ON r.id = s.run WHERE s.state = 1",
                 "");
    while (s && (rc = sqlite_step(f->conn, s, f->err)) == SQLITE_ROW) {
        struct wf_ref *ref = mem_zero(1, sizeof *ref);
        enum workflow_state state = (enum workflow_state)sqlite3_column_int(s, 4);
        ref->job = sqlite3_column_int64(s, 0);
        ref->run = sqlite3_column_int64(s, 1);
        ref->seq = sqlite3_column_int(s, 2);
        ref->graph = sqlite3_column_int(s, 3) == WORKFLOW_GRAPH;
        index_set(&w->by_job, ref->job, ref);
        if (state == WORKFLOW_CANCELLED || (state == WORKFLOW_FAILED && ref->graph))
            wf_ids_add(&w->orphans, ref->job);
    }
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool read_counts(struct wf *f)
{
    sqlite3_stmt *s = wf_query(f,
                               "SELECT count(*), coalesce(sum(active > 0 AND waiting = active),"
                               " 0), (SELECT min(due_at) FROM maru_workflow_step WHERE state = 2"
                               " AND due_at > 0) FROM maru_workflow WHERE state = 1",
                               "");
    int rc = s ? sqlite_step(f->conn, s, f->err) : SQLITE_ERROR;
    if (rc == SQLITE_ROW) {
        f->w->running = sqlite3_column_int64(s, 0);
        f->w->waiting = sqlite3_column_int64(s, 1);
        f->w->due_wall = sqlite3_column_int64(s, 2);
    }
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_ROW;
}

bool workflow_recover(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    struct wf f = {.jobs = jobs, .w = jobs->workflows, .conn = conn, .err = err};
    return !jobs->workflows || (read_steps(&f) && read_counts(&f));
}

bool workflow_defers(struct jobs *jobs, struct job *job)
{
    struct workflows *w = jobs->workflows;
    if (!w || w->set || !index_get(&w->by_job, job->id))
        return false;
    wf_ids_add(&w->late, job->id);
    return true;
}

void workflow_recovered(struct jobs *jobs)
{
    struct workflows *w = jobs->workflows;
    for (size_t i = 0; w && i < w->orphans.n; i++) {
        struct job *job = index_get(&jobs->index, w->orphans.ids[i]);
        if (job && job->place != PLACE_FINISHING)
            job_over(jobs, job, JOB_END_CANCELLED);
    }
}
