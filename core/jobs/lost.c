/* lost.c -- what a lane had that does not answer any more. */
#include "jobs/private.h"

#include "base/clock.h"
#include "base/mem.h"

/* The run itself stays the lane's: it may come back, and is stale then. */
static void fail(struct jobs *jobs, struct job *job, struct worker *w, const char *error)
{
    struct run over = {.end = JOB_END_FAILED, .error = mem_strdup(error), .worker = w};
    job->run = NULL;
    job->fence = ++jobs->fence;
    settle_failed(jobs, job, &over, clock_wall_ns());
    mem_free(over.error);
}

static void take_all(struct jobs *jobs, struct worker *w, int64_t guilty, const char *error)
{
    w->lost = true;
    worker_unclaim(jobs, w);
    for (int i = 0; i < w->capacity; i++) {
        struct run *run = &w->runs[i];
        if (!run->in_use || run->job->run != run)
            continue;
        if (run->view.id == guilty) {
            flight_clear(jobs->flight, run->slot);
            fail(jobs, run->job, w, error);
        } else
            run_take_away(jobs, run->job);
    }
}

void jobs_lane_lost(struct jobs *jobs, const struct lane *lane, int64_t guilty, const char *error)
{
    jobs_lock(jobs);
    for (int i = 0; i < jobs->worker_count; i++) {
        if (jobs->workers[i]->lane == lane)
            take_all(jobs, jobs->workers[i], guilty, error);
    }
    dispatch(jobs);
    jobs_check_stopped(jobs);
    jobs_unlock(jobs);
}

bool jobs_is_settled(struct jobs *jobs)
{
    jobs_lock(jobs);
    bool settled = jobs->failed.code ||
                   (!jobs->writing && batch_is_empty(&jobs->pending) && !workflow_pending(jobs));
    jobs_unlock(jobs);
    return settled;
}
