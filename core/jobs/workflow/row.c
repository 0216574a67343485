/* workflow/row.c -- rows as the decisions see them, and how many runs there are of each state. */
#include "base/mem.h"
#include "jobs/workflow/private.h"

static enum workflow_state state_now(const struct wf_run *run)
{
    return run->state == WORKFLOW_RUNNING && run->active && run->waiting == run->active
               ? WORKFLOW_WAITING
               : run->state;
}

int wf_load(struct wf *f, int64_t id, struct wf_run *run)
{
    *run = (struct wf_run){.id = id};
    int is = f->store->load(f, id, run);
    run->was = state_now(run);
    return is;
}

/* The counts follow what a run is now. */
static void count(struct workflows *w, enum workflow_state state, int by)
{
    if (state == WORKFLOW_RUNNING || state == WORKFLOW_WAITING)
        w->running_by += by;
    if (state == WORKFLOW_WAITING)
        w->waiting_by += by;
    if (by < 0)
        return;
    w->done_by += state == WORKFLOW_DONE;
    w->failed_by += state == WORKFLOW_FAILED;
    w->cancelled_by += state == WORKFLOW_CANCELLED;
}

static void recount(struct wf *f, struct wf_run *run)
{
    enum workflow_state is = state_now(run);
    if (is == run->was)
        return;
    count(f->w, run->was, -1);
    count(f->w, is, 1);
    run->was = is;
}

bool wf_save(struct wf *f, struct wf_run *run)
{
    recount(f, run);
    return f->store->save(f, run);
}

int wf_insert(struct wf *f, struct wf_run *run, struct str key)
{
    int is = f->store->insert(f, run, key);
    run->state = WORKFLOW_RUNNING;
    run->was = WORKFLOW_ANY;
    return is;
}

void wf_run_free(struct wf_run *run)
{
    mem_free(run->plugin);
    mem_free(run->name);
    mem_free(run->error);
    buf_free(&run->arrived);
    buf_free(&run->data);
    buf_free(&run->result);
    *run = (struct wf_run){0};
}

int wf_load_step(struct wf *f, int64_t run, int seq, struct wf_step *step)
{
    *step = (struct wf_step){.run = run, .seq = seq};
    return f->store->load_step(f, run, seq, step);
}

void wf_step_free(struct wf_step *step)
{
    mem_free(step->name);
    mem_free(step->await);
    mem_free(step->next);
    mem_free(step->otherwise);
    mem_free(step->on_error);
    *step = (struct wf_step){0};
}
