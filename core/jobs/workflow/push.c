#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/workflow/private.h"

void wf_ids_add(struct wf_ids *ids, int64_t id)
{
    if (ids->n == ids->cap) {
        ids->cap = ids->cap ? ids->cap * 2 : 64;
        ids->ids = mem_realloc(ids->ids, ids->cap * sizeof *ids->ids);
    }
    ids->ids[ids->n++] = id;
}

void wf_add_ref(struct workflows *w, const struct wf_run *run, int64_t job, int seq)
{
    if (w->store->shared)
        return;
    struct wf_ref *ref = mem_alloc(sizeof *ref);
    *ref = (struct wf_ref){w->added, job, run->id, seq, run->shape == WORKFLOW_GRAPH};
    w->added = ref;
}

bool wf_ref_of(const struct workflows *w, const struct job *job, struct wf_ref *ref)
{
    const struct wf_ref *own = w->by_job.count ? index_get(&w->by_job, job->id) : NULL;
    const struct job_extra *extra = job_extra(job);
    if (own)
        *ref = *own;
    else if (w->store->shared && extra->workflow && extra->step)
        *ref = (struct wf_ref){.job = job->id, .run = extra->workflow, .seq = (int)extra->step};
    else
        return false;
    return true;
}

static struct job_spec spec_of(const struct wf *f, const struct wf_push *p)
{
    return (struct job_spec){
        .kind = p->kind,
        .queue = p->queue,
        .priority = p->priority,
        .retries = p->retries,
        .timeout_ns = p->timeout_ns,
        .run_at_wall = p->delay_ns > 0 ? f->now + p->delay_ns : 0,
    };
}

/* The queue takes nothing more (it is closing, or the disk failed): then nothing of this
 * transaction may count, or the run would stop here.  Other refusals are the run's. */
static bool is_final(const struct err *err)
{
    return err->code == ERR_LIMIT || err->code == ERR_FULL || err->code == ERR_INVALID;
}

static struct push_op *make_job(struct wf *f, int64_t run, int seq, const struct wf_push *p,
                                struct err *why)
{
    struct job_spec spec = spec_of(f, p);
    if (p->previous.n > JOBS_ARGS_BYTES) {
        err_set(why, ERR_LIMIT, "the results it gets have %zu bytes, the most is %d", p->previous.n,
                JOBS_ARGS_BYTES);
        return NULL;
    }
    struct push_op *op = push_follow(f->jobs, &spec, p->args, why);
    if (!op)
        return NULL;
    struct job_extra *extra = extra_make(op->first);
    extra->workflow = run;
    extra->step = seq;
    if (p->previous.n)
        extra->previous = str_dup(p->previous);
    return op;
}

bool wf_push(struct wf *f, const struct wf_run *run, int seq, const struct wf_push *p, int64_t *job,
             struct err *why)
{
    *job = 0;
    err_clear(why);
    struct push_op *op = make_job(f, run->id, seq, p, why);
    if (!op && !is_final(why))
        *f->err = *why;
    if (!op)
        return is_final(why);
    *f->w->pushes_end = op;
    f->w->pushes_end = &op->next;
    if (!f->store->push(f, op))
        return false;
    *job = op->first->id; /* a shared record may have given it just now */
    wf_add_ref(f->w, run, *job, seq);
    return true;
}

/* kind queue priority retries timeout delay args, apart by a character that names and JSON
 * do not hold. */
void wf_spec_write(struct buf *out, const struct workflow_member *m)
{
    buf_add_str(out, m->kind);
    buf_add_char(out, '\x1f');
    buf_add_str(out, m->queue);
    buf_printf(out, "\x1f%d\x1f%d\x1f%lld\x1f%lld\x1f", m->priority, m->retries,
               (long long)m->timeout_ns, (long long)m->delay_ns);
    buf_add_str(out, m->args);
}

static long long split_number(struct str *rest)
{
    long long value = 0;
    str_int64(str_split(rest, '\x1f'), &value);
    return value;
}

bool wf_push_planned(struct wf *f, struct wf_run *run, int seq, const char *role, struct str spec,
                     struct str previous)
{
    int64_t job;
    struct err why;
    struct wf_push p = {.previous = previous};
    p.kind = str_split(&spec, '\x1f');
    p.queue = str_split(&spec, '\x1f');
    p.priority = (int)split_number(&spec);
    p.retries = (int)split_number(&spec);
    p.timeout_ns = split_number(&spec);
    p.delay_ns = split_number(&spec);
    p.args = spec;
    if (!wf_push(f, run, seq, &p, &job, &why))
        return false;
    if (!job)
        return wf_fail(f, run, "%.*s: %s", (int)p.kind.n, p.kind.p, why.message);
    run->steps++;
    run->active++;
    struct wf_queued row = {.seq = seq, .name = p.kind, .job = job, .role = str_c(role)};
    return f->store->queue(f, run->id, &row);
}

static void free_pushes(struct jobs *jobs, bool rolled_back)
{
    struct workflows *w = jobs->workflows;
    for (struct push_op *op = w->pushes, *next; op; op = next) {
        next = op->next;
        push_drop(jobs, op, rolled_back);
    }
    w->pushes = NULL;
    w->pushes_end = &w->pushes;
}

static void clear(struct workflows *w)
{
    for (struct wf_ref *ref = w->added, *next; ref; ref = next) {
        next = ref->next;
        mem_free(ref);
    }
    w->added = NULL;
    w->cancels.n = w->ended.n = 0;
    w->running_by = w->waiting_by = w->done_by = w->failed_by = w->cancelled_by = 0;
    w->due_new = 0;
    w->due_read = false;
}

void wf_forget(struct jobs *jobs)
{
    free_pushes(jobs, true);
    clear(jobs->workflows);
}

/* Which jobs are steps follows the commit (W2). */
static void follow(struct workflows *w)
{
    for (size_t i = 0; i < w->ended.n; i++)
        mem_free(index_remove(&w->by_job, w->ended.ids[i]));
    for (struct wf_ref *ref = w->added, *next; ref; ref = next) {
        next = ref->next;
        mem_free(index_remove(&w->by_job, ref->job));
        index_set(&w->by_job, ref->job, ref);
    }
    w->added = NULL;
}

/* Lock held. */
static void cancel_job(struct jobs *jobs, int64_t id)
{
    struct job *job = index_get(&jobs->index, id);
    if (!job || job->place == PLACE_FINISHING || job->place == PLACE_NONE)
        return;
    if (job->place == PLACE_RUNNING) {
        run_ask(job->run, JOB_END_CANCELLED);
        return;
    }
    if (job->place == PLACE_CLAIMED)
        unclaim(jobs, job);
    job_over(jobs, job, JOB_END_CANCELLED);
}

/* Lock held. */
static void publish_counts(struct jobs *jobs)
{
    struct workflows *w = jobs->workflows;
    if (!w->store->shared) { /* of others' runs workflow_seen() tells */
        w->running += w->running_by;
        w->waiting += w->waiting_by;
    }
    w->done_total += w->done_by;
    w->failed_total += w->failed_by;
    w->cancelled_total += w->cancelled_by;
    if (w->due_read)
        w->due_wall = w->due_next;
    if (w->due_new && (!w->due_wall || w->due_new < w->due_wall))
        w->due_wall = w->due_new;
    if (w->due_wall)
        jobs_wake(jobs, w->due_wall);
}

void wf_publish(struct jobs *jobs)
{
    struct workflows *w = jobs->workflows;
    follow(w);
    if (w->pushes)
        push_publish(jobs, w->pushes);
    if (w->store->cancel && w->cancels.n)
        w->store->cancel(jobs, w->cancels.ids, w->cancels.n);
    jobs_lock(jobs);
    for (size_t i = 0; !w->store->cancel && i < w->cancels.n; i++)
        cancel_job(jobs, w->cancels.ids[i]);
    publish_counts(jobs);
    if (w->cancels.n)
        dispatch(jobs);
    jobs_unlock(jobs);
    free_pushes(jobs, false);
    clear(w);
}
