#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/metrics.h"

static void free_run(struct run *run)
{
    struct worker *w = run->worker;
    mem_free(run->result);
    mem_free(run->error);
    mem_free(run->traceback);
    run->result = NULL;
    run->error = run->traceback = NULL;
    run->in_use = false;
    run->next = w->free_runs;
    w->free_runs = run;
    w->used--;
}

void job_over(struct jobs *jobs, struct job *job, enum job_end end)
{
    job->end = (uint8_t)end;
    place_set(jobs, job, PLACE_FINISHING);
    if (job_extra(job)->batch)
        crowd_member_over(jobs, job);
    if (end == JOB_END_DISCARDED && !jobs->driver->shared)
        death_note(jobs, job);
}

static void end_job(struct jobs *jobs, struct job *job, struct run *run, enum job_end end)
{
    job->result = run->result;
    if (run->result && job->kind->result_ttl_ns && !job_extra(job)->result_ttl_ns)
        extra_make(job)->result_ttl_ns = job->kind->result_ttl_ns;
    run->result = NULL;
    if (run->error || end == JOB_END_DONE) {
        extra_set_error(job, run->error);
        run->error = NULL;
    }
    job_over(jobs, job, end);
}

static void try_again(struct jobs *jobs, struct job *job, struct run *run, int64_t now_wall)
{
    int64_t delay = run->end == JOB_END_RETRY && run->delay_ns >= 0
                        ? run->delay_ns
                        : retry_delay_ns(&job->kind->backoff, job->attempt);
    extra_set_error(job, run->error);
    run->error = NULL;
    job->run_at = now_wall + delay;
    jobs->retried_total++;
    metric_add(job->kind->retried, 1);
    if (jobs->driver->shared) {
        shared_leave(jobs, job, JOB_END_RETRY);
        return;
    }
    struct update_op *op = mem_alloc(sizeof *op);
    *op = (struct update_op){.id = job->id,
                             .run_at = job->run_at,
                             .attempt = job->attempt,
                             .error = mem_strdup(job_extra(job)->error)};
    batch_add_update(&jobs->pending, op);
    unique_waits_again(jobs, job);
    place_start(jobs, job, now_wall);
}

/* What has started once does not expire any more, nor after a restart. */
static void keep_from_expiry(struct jobs *jobs, struct job *job)
{
    struct buf extra = {0};
    if (job->attempt > 0 || !job->extra || !job->extra->expires_at)
        return;
    job->extra->expires_at = 0;
    if (jobs->driver->shared)
        return;
    extra_print(job->extra, &extra);
    struct update_op *op = mem_zero(1, sizeof *op);
    op->id = job->id;
    op->run_at = job->run_at;
    op->row = job;
    op->timeout_ms = job->extra->timeout_ms;
    op->extra = extra.n ? buf_take(&extra, NULL) : NULL;
    job->refs++; /* the row's */
    batch_add_update(&jobs->pending, op);
}

static void come_back(struct jobs *jobs, struct job *job, const struct run *run, int64_t now_wall)
{
    if (run->delay_ns > 0)
        job->run_at = now_wall + run->delay_ns;
    keep_from_expiry(jobs, job);
    unique_waits_again(jobs, job);
    if (jobs->driver->shared) {
        shared_leave(jobs, job, JOB_END_INTERRUPTED);
    } else if (run->delay_ns > 0) {
        place_set(jobs, job, PLACE_DELAYED);
    } else
        place_ready_front(jobs, job);
}

/* A shared record tells it to who waits elsewhere: with the error above it, as Lua prints one. */
static void hand_traceback(struct jobs *jobs, struct job *job, struct run *run)
{
    struct job_extra *extra = jobs->driver->shared ? extra_make(job) : NULL;
    if (!extra)
        return;
    mem_free(extra->traceback);
    extra->traceback =
        run->traceback && run->error ? mem_printf("%s\n%s", run->error, run->traceback) : NULL;
}

void settle_failed(struct jobs *jobs, struct job *job, struct run *run, int64_t now_wall)
{
    jobs->failed_total++;
    job->queue->failed_total++;
    metric_add(job->kind->failed, 1);
    attempt_log(jobs, job, run, now_wall);
    hand_traceback(jobs, job, run);
    gauge_add(jobs, job->queue, now_wall, RATE_FAILED);
    if (run->end != JOB_END_DISCARDED && job->attempt < job->max_attempts)
        try_again(jobs, job, run, now_wall);
    else
        end_job(jobs, job, run, JOB_END_DISCARDED);
}

static void observe(struct jobs *jobs, const struct job *job, int64_t now_wall)
{
    gauge_wait(jobs, job, now_wall);
    int64_t due = job->run_at > job->created_at ? job->run_at : job->created_at;
    double second = (double)NS_PER_SECOND;
    metric_observe(job->kind->run_seconds, (double)(now_wall - job->started_at) / second);
    metric_observe(job->kind->wait_seconds, (double)(job->started_at - due) / second);
}

void settle(struct jobs *jobs, struct run *run, int64_t now_wall)
{
    struct job *job = run->job;
    bool stale = job->place != PLACE_RUNNING || job->fence != run->view.fence;
    if (stale) {
        jobs->stale_total++;
    } else {
        job->run = NULL;
        extra_clear_progress(job);
        observe(jobs, job, now_wall);
        switch (run->end) {
        case JOB_END_DONE:
        case JOB_END_CANCELLED:
        case JOB_END_EXPIRED:
            end_job(jobs, job, run, run->end);
            break;
        case JOB_END_FAILED:
        case JOB_END_RETRY:
        case JOB_END_DISCARDED:
            settle_failed(jobs, job, run, now_wall);
            break;
        case JOB_END_INTERRUPTED:
            job->attempt--;
            come_back(jobs, job, run, now_wall);
            break;
        }
    }
    target_unref(run);
    run->job = NULL;
    job_unref(job);
    free_run(run);
}

void run_take_away(struct jobs *jobs, struct job *job)
{
    flight_clear(jobs->flight, job->run->slot); /* nobody is to be blamed for a crash */
    job->run = NULL;                            /* which keeps its target until it ends */
    extra_clear_progress(job);
    job->attempt--;
    job->fence = ++jobs->fence;
    keep_from_expiry(jobs, job);
    unique_waits_again(jobs, job);
    place_ready_front(jobs, job);
}

bool jobs_reclaim(struct jobs *jobs, int64_t id)
{
    jobs_lock(jobs);
    struct job *job = index_get(&jobs->index, id);
    bool running = job && job->place == PLACE_RUNNING;
    if (running) {
        run_take_away(jobs, job);
        dispatch(jobs);
    }
    jobs_unlock(jobs);
    return running;
}
