/* Where the queue's commits take runs along. */
#include "jobs/workflow_private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/driver.h"
#include "observe/metrics.h"

static const int64_t default_ttl_ns = 7 * 24 * 3600 * NS_PER_SECOND;

bool workflow_open(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    struct workflows *w = jobs->workflows ? jobs->workflows : mem_zero(1, sizeof *w);
    int64_t ttl = jobs->options.workflow_ttl_ns;
    w->changes_end = &w->changes;
    w->pushes_end = &w->pushes;
    w->ttl_ns = ttl ? ttl : default_ttl_ns;
    jobs->workflows = w;
    return sqlite_exec(conn, wf_schema, err);
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

static bool record_ends(struct wf *f)
{
    if (f->w->by_job.count == 0)
        return true;
    list_each (node, &f->jobs->batch.ends) {
        const struct job *job = list_entry(node, struct job, link);
        const struct wf_ref *ref = index_get(&f->w->by_job, job->id);
        if (ref && !wf_ended(f, ref, job))
            return false;
    }
    return true;
}

static bool record_revivals(struct wf *f)
{
    for (const struct change_op *op = f->jobs->batch.revivals; op; op = op->next)
        if (op->revived && !wf_revived(f, op->id))
            return false;
    return true;
}

static bool record_all(struct wf *f)
{
    if (!record_ends(f) || !record_revivals(f))
        return false;
    for (struct wf_change *c = f->w->taken; c; c = c->next)
        if (!wf_apply(f, c))
            return false;
    if (f->w->due_taken && !wf_due(f))
        return false;
    /* Names of kinds that the steps' jobs brought. */
    return wf_expire(f) &&
           (!f->w->pushes || record_words(f->jobs, f->conn, &f->jobs->words_written, f->err));
}

bool workflow_record(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    struct workflows *w = jobs->workflows;
    if (!w)
        return true;
    wf_forget(jobs);
    const struct wf_set *set = wf_set_ref(jobs);
    struct wf f = {jobs, w, conn, set, clock_wall_ns(), err};
    bool ok = record_all(&f);
    wf_set_unref(jobs, set);
    return ok;
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
