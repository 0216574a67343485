/* workflow/record.c -- the decisions of one batch, in the order in which things came. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/workflow/private.h"

/* What the batch brings beside ends and changes. */
struct brought {
    struct wf_ref due[WF_DUE_SLICE];
    struct wf_stray strays[WF_STRAYS];
    int due_count, stray_count;
};

/* Until it is written; at once, or with all others. */
static bool decide(struct wf *f, bool (*one)(struct wf *f, const void *arg), const void *arg)
{
    int is = 1;
    bool ok;
    do {
        if (f->store->each)
            wf_forget(f->jobs);
        ok = one(f, arg);
        if (ok && f->store->each)
            is = f->store->commit(f);
    } while (ok && is == 0);
    if (ok && is == 1 && f->store->each)
        wf_publish(f->jobs);
    return ok && is == 1;
}

static bool end_step(struct wf *f, const void *arg)
{
    const struct job *job = arg;
    struct wf_ref ref;
    enum job_end how = (enum job_end)job->end;
    if (!wf_ref_of(f->w, job, &ref))
        return true;
    int is = f->store->end_of ? f->store->end_of(f, job, &how) : 1;
    if (is < 1 || how == JOB_END_RETRY || how == JOB_END_INTERRUPTED)
        return is >= 0;
    struct wf_end end = wf_end_of(job, how);
    return wf_ended(f, &ref, &end);
}

static bool record_ends(struct wf *f)
{
    bool ok = true;
    struct wf_ref ref;
    if (!f->store->shared && f->w->by_job.count == 0)
        return true;
    list_each (node, &f->jobs->batch.ends) {
        f->job = list_entry(node, struct job, link);
        /* Whether one that goes back was cancelled on the way, the record says. */
        if (f->store->each ? workflow_is_step(f->jobs, f->job) : wf_ref_of(f->w, f->job, &ref))
            ok = decide(f, end_step, f->job);
        if (!ok)
            break;
    }
    f->job = NULL;
    return ok;
}

static bool end_stray(struct wf *f, const void *arg)
{
    const struct wf_stray *s = arg;
    struct wf_end end = {
        .done = s->how == JOB_END_DONE,
        .state = s->how == JOB_END_DONE        ? WF_DONE
                 : s->how == JOB_END_CANCELLED ? WF_CANCELLED
                                               : WF_FAILED,
        .job = s->ref.job,
        .started_at = s->started_at,
        .attempt = s->attempt,
        .result = s->how == JOB_END_DONE ? str_c(s->result) : (struct str){0},
        .error = s->how == JOB_END_DONE        ? (struct str){0}
                 : s->how == JOB_END_CANCELLED ? STR("its job was cancelled")
                 : s->how == JOB_END_EXPIRED   ? STR("its job expired before it started")
                 : s->error                    ? str_c(s->error)
                                               : STR("its job did not end well"),
    };
    return wf_ended(f, &s->ref, &end);
}

static bool record_strays(struct wf *f, const struct brought *b)
{
    bool ok = true;
    for (int i = 0; ok && i < b->stray_count; i++) {
        f->stray = &b->strays[i];
        ok = decide(f, end_stray, f->stray);
    }
    f->stray = NULL;
    return ok;
}

static bool record_revivals(struct wf *f)
{
    for (const struct change_op *op = f->jobs->batch.revivals; op && !f->store->retry;
         op = op->next)
        if (op->revived && !wf_revived(f, op->id))
            return false;
    return true;
}

static bool apply(struct wf *f, const void *arg)
{
    (void)arg;
    return wf_apply(f, f->change);
}

static bool record_changes(struct wf *f)
{
    bool ok = true;
    for (struct wf_change *c = f->w->taken; ok && c; c = c->next) {
        f->change = c;
        if (c->applied)
            continue;
        ok = decide(f, apply, NULL);
        c->applied = ok && f->store->each;
    }
    f->change = NULL;
    return ok;
}

static bool end_wait(struct wf *f, const void *arg)
{
    return wf_end_wait(f, arg);
}

static bool record_due(struct wf *f, const struct brought *b)
{
    int64_t next = f->w->due_next;
    bool ok = true;
    for (int i = 0; ok && i < b->due_count; i++)
        ok = decide(f, end_wait, &b->due[i]);
    f->w->due_next = next;
    f->w->due_read = f->w->due_taken;
    return ok;
}

static bool remove_one(struct wf *f, const void *arg)
{
    return f->store->remove(f, *(const int64_t *)arg);
}

static bool record_expiry(struct wf *f)
{
    struct wf_ids gone = {0};
    bool ok = wf_read_expired(f, &gone);
    for (size_t i = 0; ok && i < gone.n; i++)
        ok = decide(f, remove_one, &gone.ids[i]);
    mem_free(gone.ids);
    return ok;
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Each once, ascending; 0 is none. */
static void settle_ids(struct wf_ids *ids)
{
    size_t n = 0;
    if (ids->n > 1)
        qsort(ids->ids, ids->n, sizeof *ids->ids, compare_ids);
    for (size_t i = 0; i < ids->n; i++)
        if (ids->ids[i] && (n == 0 || ids->ids[n - 1] != ids->ids[i]))
            ids->ids[n++] = ids->ids[i];
    ids->n = n;
}

static bool begin(struct wf *f, const struct brought *b)
{
    struct wf_ids runs = {0};
    struct wf_ref ref;
    if (!f->store->begin)
        return true;
    list_each (node, &f->jobs->batch.ends)
        if (wf_ref_of(f->w, list_entry(node, struct job, link), &ref))
            wf_ids_add(&runs, ref.run);
    for (const struct wf_change *c = f->w->taken; c; c = c->next)
        wf_ids_add(&runs, c->type == WF_SIGNAL || c->type == WF_CANCEL ? c->id : 0);
    for (int i = 0; i < b->due_count; i++)
        wf_ids_add(&runs, b->due[i].run);
    for (int i = 0; i < b->stray_count; i++)
        wf_ids_add(&runs, b->strays[i].ref.run);
    settle_ids(&runs);
    bool ok = f->store->begin(f, runs.ids, runs.n);
    mem_free(runs.ids);
    return ok;
}

static bool record_all(struct wf *f, struct brought *b)
{
    if (f->w->due_taken &&
        (!wf_read_due(f, b->due, &b->due_count) ||
         (f->store->strays && !f->store->strays(f, b->strays, WF_STRAYS, &b->stray_count))))
        return false;
    return begin(f, b) && record_ends(f) && record_strays(f, b) && record_revivals(f) &&
           record_changes(f) && record_due(f, b) && record_expiry(f) &&
           (!f->store->flush || f->store->flush(f));
}

bool workflow_record(struct jobs *jobs, void *record, struct err *err)
{
    struct workflows *w = jobs->workflows;
    struct brought *b = w && w->due_taken ? mem_zero(1, sizeof *b) : NULL;
    struct brought nothing;
    if (!w)
        return true;
    nothing.due_count = nothing.stray_count = 0;
    wf_forget(jobs);
    const struct wf_set *set = wf_set_ref(jobs);
    struct wf f = {.jobs = jobs,
                   .w = w,
                   .store = w->store,
                   .record = record,
                   .set = set,
                   .now = clock_wall_ns(),
                   .err = err};
    bool ok = record_all(&f, b ? b : &nothing);
    wf_set_unref(jobs, set);
    for (int i = 0; b && i < b->stray_count; i++) {
        mem_free(b->strays[i].error);
        mem_free(b->strays[i].result);
    }
    mem_free(b);
    return ok;
}
