#include <stdarg.h>

#include "base/json.h"
#include "base/mem.h"
#include "jobs/workflow_private.h"

/* Jobs of the run that have not ended: they are cancelled once this is on disk. */
static bool cancel_queued(struct wf *f, const struct wf_run *run)
{
    int rc = SQLITE_ERROR;
    sqlite3_stmt *s = wf_query(f, "SELECT job FROM maru_workflow_step WHERE run = ?1 AND state = 1",
                               "i", run->id);
    while (s && (rc = sqlite_step(f->conn, s, f->err)) == SQLITE_ROW)
        wf_ids_add(&f->w->cancels, sqlite3_column_int64(s, 0));
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool end_waiting(struct wf *f, struct wf_run *run)
{
    run->active -= run->waiting;
    run->waiting = 0;
    return wf_exec(f,
                   "UPDATE maru_workflow_step SET state = 5, woke_at = ?2, due_at = NULL"
                   " WHERE run = ?1 AND state = 2",
                   "ii", run->id, f->now);
}

bool wf_finish(struct wf *f, struct wf_run *run, enum workflow_state state)
{
    run->state = state;
    run->finished_at = f->now;
    /* Of a group that failed the other members go on: retrying the dead one completes it. */
    bool all =
        state == WORKFLOW_CANCELLED || (state == WORKFLOW_FAILED && run->shape == WORKFLOW_GRAPH);
    if (all && (!end_waiting(f, run) || !cancel_queued(f, run)))
        return false;
    if (state == WORKFLOW_CANCELLED &&
        !wf_exec(f, "UPDATE maru_workflow_step SET state = 5 WHERE run = ?1 AND state = 0", "i",
                 run->id))
        return false;
    return wf_exec(f, "DELETE FROM maru_workflow_signal WHERE run = ?1", "i", run->id);
}

/* The job that is to hear of a failure, if there is one. */
static bool push_on_error(struct wf *f, struct wf_run *run)
{
    struct buf spec = {0}, previous = {0};
    int seq = 0;
    sqlite3_stmt *s = wf_query(f,
                               "SELECT seq, spec FROM maru_workflow_step WHERE run = ?1"
                               " AND state = 0 AND next = 'on_error'",
                               "i", run->id);
    int rc = s ? sqlite_step(f->conn, s, f->err) : SQLITE_ERROR;
    if (rc == SQLITE_ROW) {
        seq = sqlite3_column_int(s, 0);
        buf_add_str(&spec, wf_column(s, 1));
    }
    if (s)
        sqlite3_reset(s);
    struct json w = json_to(&previous);
    json_open(&w, '{');
    json_key(&w, "error");
    json_cstr(&w, run->error);
    json_key(&w, "workflow");
    json_int(&w, run->id);
    json_close(&w, '}');
    bool ok = rc == SQLITE_DONE ||
              (rc == SQLITE_ROW &&
               wf_push_planned(f, run, seq, "on_error", buf_str(&spec), buf_str(&previous)));
    buf_free(&spec);
    buf_free(&previous);
    return ok;
}

bool wf_fail(struct wf *f, struct wf_run *run, const char *format, ...)
{
    struct buf text = {0};
    char line[1024];
    va_list values;
    if (run->state != WORKFLOW_RUNNING)
        return true;
    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    buf_add_c(&text, line);
    mem_free(run->error);
    run->error = buf_take(&text, NULL);
    return wf_finish(f, run, WORKFLOW_FAILED) &&
           (run->shape == WORKFLOW_GRAPH || push_on_error(f, run));
}

static struct wf_end end_of(const struct job *job)
{
    const struct job_extra *extra = job_extra(job);
    struct wf_end end = {.done = job->end == JOB_END_DONE};
    if (end.done && job->result)
        end.result = str_n(job->result->bytes, job->result->n);
    else if (!end.done)
        end.error = job->end == JOB_END_CANCELLED ? STR("its job was cancelled")
                    : job->end == JOB_END_EXPIRED ? STR("its job expired before it started")
                    : extra->error                ? str_c(extra->error)
                                                  : STR("its job did not end well");
    return end;
}

static bool save_step(struct wf *f, const struct wf_ref *ref, const struct job *job,
                      const struct wf_end *end)
{
    enum wf_step_state state = end->done                       ? WF_DONE
                               : job->end == JOB_END_CANCELLED ? WF_CANCELLED
                                                               : WF_FAILED;
    struct str none = {0};
    return wf_exec(f,
                   "UPDATE maru_workflow_step SET state = ?3, started_at = ?4, ended_at = ?5,"
                   " attempt = ?6, error = ?7, result = ?8 WHERE run = ?1 AND seq = ?2",
                   "iiiiiiss", ref->run, (int64_t)ref->seq, (int64_t)state, job->started_at, f->now,
                   (int64_t)job->attempt, end->done ? none : end->error,
                   end->result.n ? end->result : none);
}

bool wf_ended(struct wf *f, const struct wf_ref *ref, const struct job *job)
{
    struct wf_run run;
    struct wf_step step = {0};
    struct wf_end end = end_of(job);
    wf_ids_add(&f->w->ended, job->id);
    int is = wf_load(f, ref->run, &run);
    bool ok = is >= 0;
    if (is == 1 && (is = wf_load_step(f, ref->run, ref->seq, &step)) == 1) {
        run.active--;
        ok = save_step(f, ref, job, &end);
        if (ok && run.state == WORKFLOW_RUNNING)
            ok = run.shape == WORKFLOW_GRAPH ? wf_graph_ended(f, &run, &step, &end)
                                             : wf_list_ended(f, &run, &step, &end);
        ok = ok && wf_save(f, &run);
    }
    wf_step_free(&step);
    wf_run_free(&run);
    return ok && is >= 0;
}

/* Whether something keeps a failed run from going on where it failed: steps that were cancelled,
 * or another run that has its key now. */
static int blocked(struct wf *f, int64_t run)
{
    sqlite3_stmt *s = wf_query(
        f,
        "SELECT 1 FROM maru_workflow_step WHERE run = ?1 AND state = 5 UNION ALL"
        " SELECT 1 FROM maru_workflow a JOIN maru_workflow b ON b.plugin = a.plugin AND b.name ="
        " a.name AND b.uniq = a.uniq AND b.state = 1 WHERE a.id = ?1 AND a.uniq IS NOT NULL",
        "i", run);
    int rc = s ? sqlite_step(f->conn, s, f->err) : SQLITE_ERROR;
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -1;
}

static bool go_on(struct wf *f, struct wf_run *run, int seq, int64_t job)
{
    run->state = WORKFLOW_RUNNING;
    run->finished_at = 0;
    run->active++;
    mem_free(run->error);
    run->error = NULL;
    wf_add_ref(f->w, run, job, seq);
    return wf_save(f, run) && wf_exec(f,
                                      "UPDATE maru_workflow_step SET state = 1, error = NULL"
                                      " WHERE run = ?1 AND seq = ?2",
                                      "ii", run->id, (int64_t)seq);
}

/* A dead job was brought back: a run that failed by it goes on from there. */
bool wf_revived(struct wf *f, int64_t job)
{
    struct wf_run run = {0};
    int seq = 0;
    sqlite3_stmt *s = wf_query(
        f, "SELECT run, seq FROM maru_workflow_step WHERE job = ?1 AND state = 4", "i", job);
    int rc = s ? sqlite_step(f->conn, s, f->err) : SQLITE_ERROR;
    int64_t id = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    if (rc == SQLITE_ROW)
        seq = sqlite3_column_int(s, 1);
    if (s)
        sqlite3_reset(s);
    if (!id)
        return rc == SQLITE_DONE;
    int is = wf_load(f, id, &run);
    bool ok = is >= 0;
    /* Of a group several may be dead, and the first that came back has made it run. */
    bool waits = run.state == WORKFLOW_FAILED ||
                 (run.state == WORKFLOW_RUNNING && run.shape >= WORKFLOW_GROUP);
    if (is == 1 && waits) {
        int no = blocked(f, id);
        ok = no >= 0 && (no || go_on(f, &run, seq, job));
    }
    wf_run_free(&run);
    return ok;
}
