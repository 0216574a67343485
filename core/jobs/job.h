/* job.h -- a job as the layer above sees it while it runs, and how it ends. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/lane.h"

struct jobs;

enum {
    JOBS_NAME_BYTES = 128,       /* kinds and queues */
    JOBS_UNIQUE_BYTES = 512,     /* unique keys */
    JOBS_ARGS_BYTES = 1 << 20,   /* arguments of one job, as JSON */
    JOBS_RESULT_BYTES = 1 << 20, /* a longer result fails the job */
    JOBS_ERROR_BYTES = 4096,     /* a longer error or traceback is cut */
    JOBS_PROGRESS_BYTES = 500,   /* a longer message of a running job is cut */
    JOBS_PUSH_COUNT = 1000000,   /* jobs of one push */
    JOBS_TRACED = 100,           /* a push of more does not hand its trace on */
    JOBS_QUEUED = 5000000,       /* unfinished jobs; over it a push fails with ERR_FULL */
    JOBS_CAPACITY = 1024,        /* jobs one worker runs at once */
    JOBS_CRASHES = 2,            /* processes a job may take down before it is dead */
    JOBS_HISTORY = 65536,        /* finished jobs remembered without a result */
};

/* At most `count` starts in a period, over a token bucket that holds as many. */
struct job_rate {
    int64_t count; /* 0 = no bound */
    int64_t period_ns;
};

enum job_priority { JOB_HIGH, JOB_NORMAL, JOB_LOW }; /* ORDER job_priority, as in job_decl */

/* How long until the next attempt.  Zeros are the defaults. */
struct job_backoff {
    int64_t first_ns; /* 2 s */
    int64_t max_ns;   /* 6 h */
    double factor;    /* 2: of each delay to the one before */
    double jitter;    /* one more than the share by which a delay may differ either way: 1.2 */
};

/* What a job is while it runs.  Constant from `run` until jobs_finish(). */
struct job_run {
    struct jobs *jobs;
    int64_t id;
    uint64_t fence;
    const char *kind, *queue;
    struct str args;           /* JSON */
    struct str previous;       /* JSON: results of what it follows in a workflow; or empty */
    struct str trace;          /* as its push said, NUL-terminated; or empty */
    int attempt, max_attempts; /* 1 on the first run */
    int64_t scheduled_at_wall; /* the schedule's instant, ns; 0 = not from a schedule */
    int64_t timeout_ns;        /* 0 = the plugin's own */
    void *target;              /* of its kind, as it was at the start of this run */
    struct lane *lane;
    void *user; /* the layer above's */
};

enum job_end {
    JOB_END_DONE,        /* result */
    JOB_END_FAILED,      /* error; tried again after a back-off, or dead */
    JOB_END_RETRY,       /* the handler asked for another attempt after delay_ns; counted */
    JOB_END_DISCARDED,   /* the handler gave up: dead */
    JOB_END_CANCELLED,   /* by jobs_cancel() */
    JOB_END_INTERRUPTED, /* shutdown, generation retired: runs again, attempt not counted */
    JOB_END_EXPIRED,     /* it had not started when its time for that was over */
};

struct job_outcome {
    enum job_end end;
    struct str result; /* JSON or empty */
    struct str error;
    struct str traceback; /* of a failure, for its log of attempts; may be empty */
    int64_t delay_ns;     /* RETRY: < 0 = the kind's back-off; INTERRUPTED: not before */
};
