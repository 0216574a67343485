/* What time brings: waits that end, finished runs that are too old, and what a restart left. */
#include "base/clock.h"
#include "base/mem.h"
#include "jobs/workflow/private.h"

static const int64_t expire_pause_ns = 60 * NS_PER_SECOND; /* of what is kept for long */

bool wf_read_due(struct wf *f, struct wf_ref *list, int *count)
{
    int64_t next;
    *count = 0;
    if (!f->store->due(f, list, WF_DUE_SLICE, count, &next))
        return false;
    f->w->due_next = next;
    f->w->due_read = true;
    return true;
}

bool wf_end_wait(struct wf *f, const struct wf_ref *ref)
{
    struct wf_run run;
    struct wf_step step = {0};
    int is = wf_load(f, ref->run, &run);
    bool ok = is >= 0;
    if (is == 1 && run.state == WORKFLOW_RUNNING &&
        (is = wf_load_step(f, ref->run, ref->seq, &step)) == 1 && step.state == WF_WAITING)
        ok = wf_graph_due(f, &run, &step) && wf_save(f, &run);
    wf_step_free(&step);
    wf_run_free(&run);
    return ok && is >= 0;
}

int64_t wf_expire_pause_ns(const struct workflows *w)
{
    int64_t pause = w->ttl_ns / 10 < expire_pause_ns ? w->ttl_ns / 10 : expire_pause_ns;
    return pause < NS_PER_SECOND ? NS_PER_SECOND : pause;
}

/* Runs that ended before ttl; some may still have a job that has not ended. */
bool wf_read_expired(struct wf *f, struct wf_ids *gone)
{
    bool ok = true;
    if (clock_ns() < f->w->expire_next_ns)
        return true;
    for (int state = WORKFLOW_DONE; ok && state <= WORKFLOW_CANCELLED; state++)
        ok = f->store->expired(f, (enum workflow_state)state, f->now - f->w->ttl_ns,
                               WF_EXPIRE_SLICE, gone);
    f->w->expire_next_ns =
        clock_ns() + (gone->n >= WF_EXPIRE_SLICE ? NS_PER_SECOND : wf_expire_pause_ns(f->w));
    return ok;
}

/* -- recovery of an own record -------------------------------------------------------------- */

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
