/* Where the queue's commits take runs along. */
#include "jobs/workflow/private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/driver.h"
#include "observe/metrics.h"

static const int64_t default_ttl_ns = 7 * 24 * 3600 * NS_PER_SECOND;

void workflow_open(struct jobs *jobs, const struct wf_store *store)
{
    struct workflows *w = jobs->workflows ? jobs->workflows : mem_zero(1, sizeof *w);
    int64_t ttl = jobs->options.workflow_ttl_ns;
    w->store = store;
    w->changes_end = &w->changes;
    w->pushes_end = &w->pushes;
    w->ttl_ns = ttl ? ttl : default_ttl_ns;
    jobs->workflows = w;
}

static void free_refs(struct index *index)
{
    for (size_t i = 0; i < index->size; i++)
        if (index->slots[i].id)
            mem_free(index->slots[i].value);
    index_free(index);
}

void workflow_close(struct jobs *jobs)
{
    struct workflows *w = jobs->workflows;
    if (!w)
        return;
    wf_set_unref(jobs, w->set);
    for (struct wf_change *c = w->changes, *next; c; c = next) {
        next = c->next;
        wf_change_free(c);
    }
    free_refs(&w->by_job);
    mem_free(w->late.ids);
    mem_free(w->orphans.ids);
    mem_free(w->cancels.ids);
    mem_free(w->ended.ids);
    mem_free(w);
    jobs->workflows = NULL;
}

void workflow_refuse(struct jobs *jobs, const struct err *err)
{
    struct workflows *w = jobs->workflows;
    if (!w)
        return;
    jobs_lock(jobs);
    struct wf_change *changes = w->changes;
    w->changes = NULL;
    w->changes_end = &w->changes;
    jobs_unlock(jobs);
    for (struct wf_change *next; changes; changes = next) {
        next = changes->next;
        wf_change_answer(changes, err);
    }
}

bool workflow_pending(const struct jobs *jobs)
{
    const struct workflows *w = jobs->workflows;
    return w && (w->changes || w->due_now);
}

int64_t workflow_due_wall(const struct jobs *jobs)
{
    return jobs->workflows ? jobs->workflows->due_wall : 0;
}

void workflow_look(struct jobs *jobs, int64_t now_wall)
{
    struct workflows *w = jobs->workflows;
    if (w && w->set && w->due_wall && w->due_wall <= now_wall) {
        w->due_now = true;
        w->due_wall = 0;
    }
}

bool workflow_is_graph_step(const struct jobs *jobs, int64_t job)
{
    const struct workflows *w = jobs->workflows;
    const struct wf_ref *ref = w && w->by_job.count ? index_get(&w->by_job, job) : NULL;
    return ref && ref->graph;
}

bool workflow_is_step(const struct jobs *jobs, const struct job *job)
{
    struct wf_ref ref;
    return jobs->workflows && job->end != JOB_END_RETRY && job->end != JOB_END_INTERRUPTED &&
           wf_ref_of(jobs->workflows, job, &ref);
}

void workflow_poll(struct jobs *jobs)
{
    jobs_lock(jobs);
    if (jobs->workflows->set)
        jobs->workflows->due_now = true;
    jobs_unlock(jobs);
}

void workflow_seen(struct jobs *jobs, int64_t running, int64_t waiting)
{
    jobs_lock(jobs);
    jobs->workflows->running = running;
    jobs->workflows->waiting = waiting;
    jobs_unlock(jobs);
}

void workflow_take(struct jobs *jobs)
{
    struct workflows *w = jobs->workflows;
    if (!w)
        return;
    w->taken = w->changes;
    w->changes = NULL;
    w->changes_end = &w->changes;
    w->due_taken = w->due_now;
    w->due_now = false;
}

static void answer_all(struct jobs *jobs, const struct err *err)
{
    for (struct wf_change *c = jobs->workflows->taken, *next; c; c = next) {
        next = c->next;
        wf_change_answer(c, err);
    }
    jobs->workflows->taken = NULL;
}

void workflow_committed(struct jobs *jobs)
{
    if (!jobs->workflows)
        return;
    wf_publish(jobs);
    answer_all(jobs, NULL);
}

void workflow_failed(struct jobs *jobs, const struct err *err)
{
    struct workflows *w = jobs->workflows;
    if (!w)
        return;
    wf_forget(jobs);
    answer_all(jobs, err);
    jobs_lock(jobs);
    w->due_now = w->due_now || w->due_taken;
    jobs_unlock(jobs);
}

void workflow_scrape(struct jobs *jobs)
{
    static struct metric *gauges[2], *counters[3];
    jobs_lock(jobs);
    struct workflows *w = jobs->workflows;
    int64_t now[5] = {0}, shown[3] = {0};
    if (w) {
        int64_t is[5] = {w->running, w->waiting, w->done_total, w->failed_total,
                         w->cancelled_total};
        memcpy(now, is, sizeof now);
        memcpy(shown, w->shown, sizeof shown);
        memcpy(w->shown, is + 2, sizeof w->shown);
    }
    jobs_unlock(jobs);
    if (!gauges[0]) {
        gauges[0] = metrics_gauge("maru_workflows_running", "Workflow runs that are not over", "");
        gauges[1] = metrics_gauge("maru_workflows_waiting",
                                  "Of these, runs that only wait for a signal", "");
        counters[0] = metrics_counter("maru_workflows_done_total", "Workflow runs done", "");
        counters[1] = metrics_counter("maru_workflows_failed_total", "Workflow runs failed", "");
        counters[2] =
            metrics_counter("maru_workflows_cancelled_total", "Workflow runs cancelled", "");
    }
    for (int i = 0; i < 2; i++)
        metric_set(gauges[i], (double)now[i]);
    for (int i = 0; i < 3; i++)
        metric_add(counters[i], (double)(now[i + 2] - shown[i]));
}
