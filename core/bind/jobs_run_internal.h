/* jobs_run_internal.h -- what jobs_run.c and jobs_run_batch.c share; nobody else includes it. */
#pragma once

#include "base/clock.h"
#include "bind/jobs_run.h"
#include "jobs/jobs.h"
#include "vm/task.h"

struct call;
struct span;

/* A VM that is being rebuilt is there again soon; a lane must not spin meanwhile. */
static const int64_t come_back_ns = 50 * NS_PER_MS;

/* A job that runs: job_run.user.  A task's argument is one, too: its job's, or its call's. */
struct running {
    struct job_run *run; /* NULL: it has ended, or this is a call's */
    struct task *task;   /* NULL until the handler's arguments are asked for, and in a call */
    enum job_end why;    /* of a cancel */
    struct call *call;   /* NULL: it has a task of its own */
};

/* Several jobs, one task. */
struct member {
    struct running running; /* first */
    int64_t id;
    int place;     /* in the handler's list; 0 = it is not there, see failure */
    bool asked;    /* to end */
    char *failure; /* what keeps it from being handed over */
};
struct call {
    struct running head; /* first: the task's argument */
    struct task *task;
    int count, places;
    int live, asked; /* members that have not ended, and those of them that were asked to */
    struct member members[];
};

/* Pushes the job table of maru.d.lua.  May raise; false with *err when what is kept of the job
 * cannot be read. */
bool jobs_push_run(lua_State *L, const struct job_run *run, struct err *err);
/* A handler that returns nil, message, code has failed, as everywhere. */
bool jobs_returned_failure(lua_State *L, int results, struct buf *message);
/* What a handler returned, with its text in *text or its failure in *err. */
struct job_outcome jobs_result(lua_State *L, int index, struct buf *text, struct err *err);
struct job_outcome jobs_raised(const struct task_failure *failure);
/* Whether the handler did not come to its end, and what that means for its jobs. */
bool jobs_ended_badly(const struct task *task, enum task_outcome result,
                      struct job_outcome *outcome);
/* count: jobs of the call, of which run is the first. */
void jobs_log_failure(const struct job_run *run, int count, const struct task *task,
                      const struct job_outcome *outcome);
void jobs_describe(struct span *span, const struct job_run *run);

/* jobs_run_batch.c */
void jobs_call_cancel(struct running *r, enum job_end why);
