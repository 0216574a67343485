#include <stdarg.h>

#include "base/json.h"
#include "base/mem.h"
#include "jobs/workflow/private.h"

static bool end_waiting(struct wf *f, struct wf_run *run)
{
    run->active -= run->waiting;
    run->waiting = 0;
    return f->store->cancel_steps(f, run->id, WF_WAITING);
}

bool wf_finish(struct wf *f, struct wf_run *run, enum workflow_state state)
{
    run->state = state;
    run->finished_at = f->now;
    /* Of a group that failed the other members go on: retrying the dead one completes it. */
    bool all =
        state == WORKFLOW_CANCELLED || (state == WORKFLOW_FAILED && run->shape == WORKFLOW_GRAPH);
    if (all && (!end_waiting(f, run) || !f->store->queued(f, run->id, &f->w->cancels)))
        return false;
    if (state == WORKFLOW_CANCELLED && !f->store->cancel_steps(f, run->id, WF_PLANNED))
        return false;
    return f->store->drop_signals(f, run->id);
}

/* The job that is to hear of a failure, if there is one. */
static bool push_on_error(struct wf *f, struct wf_run *run)
{
    struct buf spec = {0}, previous = {0};
    int seq, is = f->store->planned(f, run->id, 0, "on_error", &seq, &spec);
    struct json w = json_to(&previous);
    json_open(&w, '{');
    json_key(&w, "error");
    json_cstr(&w, run->error);
    json_key(&w, "workflow");
    json_int(&w, run->id);
    json_close(&w, '}');
    bool ok = is == 0 || (is == 1 && wf_push_planned(f, run, seq, "on_error", buf_str(&spec),
                                                     buf_str(&previous)));
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

struct wf_end wf_end_of(const struct job *job, enum job_end how)
{
    const struct job_extra *extra = job_extra(job);
    struct wf_end end = {
        .done = how == JOB_END_DONE,
        .state = how == JOB_END_DONE        ? WF_DONE
                 : how == JOB_END_CANCELLED ? WF_CANCELLED
                                            : WF_FAILED,
        .job = job->id,
        .started_at = job->started_at,
        .attempt = job->attempt,
    };
    if (end.done && job->result)
        end.result = str_n(job->result->bytes, job->result->n);
    else if (!end.done)
        end.error = how == JOB_END_CANCELLED ? STR("its job was cancelled")
                    : how == JOB_END_EXPIRED ? STR("its job expired before it started")
                    : extra->error           ? str_c(extra->error)
                                             : STR("its job did not end well");
    return end;
}

static bool save_step(struct wf *f, const struct wf_ref *ref, const struct wf_end *end)
{
    struct wf_over over = {
        .seq = ref->seq,
        .state = end->state,
        .started_at = end->started_at,
        .attempt = end->attempt,
        .error = end->error,
        .result = end->result,
    };
    return f->store->end_step(f, ref->run, &over);
}

/* A step that has ended is as it was: of a run that could not go on, a dead job that was retried
 * runs by itself. */
bool wf_ended(struct wf *f, const struct wf_ref *ref, const struct wf_end *end)
{
    struct wf_run run;
    struct wf_step step = {0};
    wf_ids_add(&f->w->ended, end->job);
    int is = wf_load(f, ref->run, &run);
    bool ok = is >= 0;
    if (is == 1 && (is = wf_load_step(f, ref->run, ref->seq, &step)) == 1 &&
        step.state == WF_QUEUED) {
        run.active--;
        ok = save_step(f, ref, end);
        if (ok && run.state == WORKFLOW_RUNNING)
            ok = run.shape == WORKFLOW_GRAPH ? wf_graph_ended(f, &run, &step, end)
                                             : wf_list_ended(f, &run, &step, end);
        ok = ok && wf_save(f, &run);
    }
    wf_step_free(&step);
    wf_run_free(&run);
    return ok && is >= 0;
}

static bool go_on(struct wf *f, struct wf_run *run, int seq, int64_t job)
{
    run->state = WORKFLOW_RUNNING;
    run->finished_at = 0;
    run->active++;
    mem_free(run->error);
    run->error = NULL;
    wf_add_ref(f->w, run, job, seq);
    return wf_save(f, run) && f->store->revive(f, run->id, seq);
}

/* A dead job was brought back: a run that failed by it goes on from there, unless something keeps
 * it: steps that were cancelled, or another run that has its key now. */
bool wf_revived(struct wf *f, int64_t job)
{
    struct wf_run run = {0};
    int64_t id;
    int seq, is = f->store->failed(f, job, &id, &seq);
    if (is < 1)
        return is == 0;
    is = wf_load(f, id, &run);
    bool ok = is >= 0;
    /* Of a group several may be dead, and the first that came back has made it run. */
    bool waits = run.state == WORKFLOW_FAILED ||
                 (run.state == WORKFLOW_RUNNING && run.shape >= WORKFLOW_GROUP);
    if (is == 1 && waits) {
        int no = f->store->blocked(f, id);
        ok = no >= 0 && (no || go_on(f, &run, seq, job));
    }
    wf_run_free(&run);
    return ok;
}
