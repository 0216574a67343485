/* jobs_run.h -- a job of the queue, or a batch of them, becomes a task of its plugin, and its end
 * an outcome, or one of each.
 *
 * A kind's target is a struct job_target; the generation owns it and keeps it
 * until jobs_when_idle() says that nothing runs with it.
 */
#pragma once

#include "jobs/job.h"

struct vm;

struct job_target {
    /* The VM of this generation on a lane; NULL when there is none (it is being
     * rebuilt): the job goes back to the queue. */
    struct vm *(*vm)(void *owner, struct lane *lane);
    void *owner;
    int handler; /* index in the plugin's declaration */
};

struct task;
/* As jobs_progress(), of the job with this id that the task runs, or (0) of all that it runs.
 * ERR_CANCELLED: stale.  ERR_NOT_FOUND: it runs no such job. */
bool jobs_run_progress(struct task *task, int64_t id, double fraction, struct str message,
                       struct err *err);

/* For struct jobs_options; arg is not used. */
void jobs_run_task(struct job_run *run, void *arg);
void jobs_run_batch_task(struct job_run *const *runs, int count, void *arg);
void jobs_cancel_task(struct job_run *run, enum job_end why, void *arg);
void jobs_kill_task(struct job_run *run, void *arg);
