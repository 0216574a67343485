#include "jobs/gather.h"

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/private.h"
#include "observe/metrics.h"

static bool has_place(const struct worker *w)
{
    return !w->lost && w->used < w->capacity;
}

static void post(struct jobs *jobs, struct gather *g)
{
    g->posted = true;
    worker_post(jobs, g->worker);
}

/* It takes no more. */
static void seal(struct gather *g)
{
    if (g->kind->gather == g)
        g->kind->gather = NULL;
}

static struct gather *create(struct jobs *jobs, struct kind *kind, struct worker *w)
{
    struct gather *g = mem_zero(1, sizeof *g);
    g->kind = kind;
    g->worker = w;
    list_init(&g->jobs);
    list_push_back(&w->gathers, &g->link);
    g->due = clock_ns() + kind->gather_wait_ns;
    if (kind->gather_wait_ns && (!jobs->gather_at || g->due < jobs->gather_at)) {
        jobs->gather_at = g->due;
        jobs_wake(jobs, clock_wall_ns() + kind->gather_wait_ns);
    }
    return g;
}

static bool runs_alone(const struct job *job)
{
    return job->crashes || (job->attempt > 0 && job->attempt + 1 >= job->max_attempts);
}

static struct gather *gather_for(struct jobs *jobs, struct job *job, struct worker *w, bool alone)
{
    struct gather *g = job->kind->gather;
    if (alone)
        return create(jobs, job->kind, w);
    if (g && has_place(g->worker))
        return g;
    if (g)
        seal(g);
    return job->kind->gather = create(jobs, job->kind, w);
}

void gather_claim(struct jobs *jobs, struct job *job, struct worker *w, bool alone)
{
    alone = alone || runs_alone(job);
    struct gather *g = gather_for(jobs, job, w, alone);
    claim_begin(jobs, job, g->worker);
    job->gather = g;
    list_push_back(&g->jobs, &job->link);
    g->count++;
    bool full = g->count >= job->kind->gather_most;
    if (full)
        seal(g);
    if (full || alone || !job->kind->gather_wait_ns || !has_place(g->worker))
        post(jobs, g);
}

static void gather_free(struct gather *g)
{
    seal(g);
    list_remove(&g->link);
    mem_free(g->runs);
    mem_free(g);
}

struct worker *gather_leave(struct job *job)
{
    struct gather *g = job->gather;
    struct worker *w = g->worker;
    list_remove(&job->link);
    if (--g->count == 0)
        gather_free(g);
    return w;
}

void gathers_due(struct jobs *jobs, int64_t now)
{
    if (!jobs->gather_at || now < jobs->gather_at)
        return;
    jobs->gather_at = 0;
    for (int i = 0; i < jobs->worker_count; i++)
        list_each (node, &jobs->workers[i]->gathers) {
            struct gather *g = list_entry(node, struct gather, link);
            if (g->posted)
                continue;
            if (g->due <= now)
                post(jobs, g);
            else if (!jobs->gather_at || g->due < jobs->gather_at)
                jobs->gather_at = g->due;
        }
}

/* The call has as long as the job that may take longest. */
static void bind_runs(struct jobs *jobs, struct gather *g, int64_t now_wall)
{
    int n = 0;
    int64_t longest = 0;
    g->runs = mem_alloc((size_t)g->count * sizeof *g->runs);
    while (!list_empty(&g->jobs)) {
        struct job *job = list_entry(g->jobs.next, struct job, link);
        job->started_at = now_wall;
        struct run *run = run_bind(jobs, g->worker, job);
        g->runs[n++] = &run->view;
        longest = run->view.timeout_ns > longest ? run->view.timeout_ns : longest;
    }
    for (int i = 0; i < n; i++) {
        g->runs[i]->timeout_ns = longest;
        run_bind_timeout(jobs, (struct run *)(void *)g->runs[i], g->kind, clock_ns());
    }
    metric_add(g->kind->batches, 1);
    metric_add(g->kind->batched, n);
}

void gathers_take(struct jobs *jobs, struct worker *w, int64_t now_wall, struct list *taken)
{
    list_init(taken);
    list_each_safe (node, &w->gathers) {
        struct gather *g = list_entry(node, struct gather, link);
        if (!g->posted)
            continue;
        seal(g);
        list_remove(&g->link);
        list_push_back(taken, &g->link);
        bind_runs(jobs, g, now_wall);
    }
}

void gathers_begin(struct jobs *jobs, struct list *taken)
{
    list_each_safe (node, taken) {
        struct gather *g = list_entry(node, struct gather, link);
        for (int i = 0; i < g->count; i++)
            run_note((struct run *)(void *)g->runs[i]);
        jobs->options.run_batch(g->runs, g->count, jobs->options.arg);
        list_remove(&g->link);
        mem_free(g->runs);
        mem_free(g);
    }
}
