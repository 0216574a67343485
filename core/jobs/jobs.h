/* jobs.h -- durable jobs: a push that returned is on disk and runs at least once.
 *
 * Memory decides what runs next, SQLite is the record of it.  A job goes
 *
 *   pushed ─▶ ready ─▶ claimed ─▶ running ─▶ done            (result kept a while)
 *     └▶ delayed ┘ ▲                 ├──▶ dead               (kept until retried or too old)
 *                  └── retry, delay ─┘    cancelled
 *
 * A claim is not written.  A memory-mapped flight recorder says after a crash
 * what was running; every claim has a fence of its own and a finish carries it,
 * so a stale finish changes nothing.
 *
 * It does not run anything itself: lanes register as workers, and a callback of
 * the layer above runs a job there.  A job whose kind nobody runs is held, and dead when nobody
 * has declared it for held_ttl.
 *
 * Threads: any, unless a comment says lane.  No callback comes from inside the
 * call that asked for it.
 */
#pragma once

#include "jobs/job.h"

struct sqlite_conn;
struct store;
struct store_tx;

/* A job that is dead: its last attempt failed, it was given up, or it took the process down. */
struct job_death {
    const char *kind, *error;
    int64_t id;
    struct str args; /* JSON */
    int attempts;
};
enum job_noted {
    JOB_NOTE_RECORDED, /* with the death, on disk */
    JOB_NOTE_ALONE,    /* a shared record has the death: the note is to be kept by who made it */
    JOB_NOTE_DROPPED,  /* the death is not on disk: the job will run again */
};

struct jobs_options {
    const char *driver;     /* where the record is (driver.h); NULL = "sqlite" */
    const char *url;        /* of a shared record's server */
    int64_t lease_ns;       /* of a shared record's claims; 0 = 20 s */
    const char *node;       /* what the others call this process; NULL = host and pid */
    struct celery_options { /* of driver "redis"; zero = the defaults of celery.* */
        const char *prefix, *queues, *default_queue, *node;
        int64_t visibility_ns;
    } celery;
    struct store *store;     /* its driver is SQLite; outlives the jobs */
    struct carry *carry;     /* where plugins' tables are elsewhere; or NULL */
    struct lane *lane;       /* control lane: delays and upkeep */
    const char *flight_path; /* state.dir/jobs.flight */
    /* Worker lane.  Starts the job; jobs_finish() exactly once, on that lane,
     * now or later. */
    void (*run)(struct job_run *run, void *arg);
    /* Worker lane.  As run, for jobs of a kind that says batch: 1 … batch of them, for one call.
     * Their timeouts are the same.  The array is valid until it returns. */
    void (*run_batch)(struct job_run *const *runs, int count, void *arg);
    /* Worker lane.  Asks a running job to end soon, preferably with `why`
     * (CANCELLED, INTERRUPTED); may come more than once. */
    void (*cancel)(struct job_run *run, enum job_end why, void *arg);
    /* Worker lane.  The run is over its kind's hard timeout: it is to fail now, whatever its
     * handler does.  NULL: it is asked again. */
    void (*kill)(struct job_run *run, void *arg);
    /* What the layer above keeps beside a death, in the same commit; or NULL.  The queue's lock is
     * held: it must not block, nor call the queue.  All three may be NULL. */
    void *(*died)(const struct job_death *death, void *arg);
    /* Writer thread, in that commit; may run again after a rollback. */
    bool (*note)(struct sqlite_conn *conn, void *note, struct err *err);
    /* Takes the note; must not block, nor call the queue. */
    void (*noted)(void *note, enum job_noted how);
    void *arg;
    int64_t result_ttl_ns;   /* 0 = 1 day */
    int64_t dead_ttl_ns;     /* 0 = 30 days; attempts are kept as long */
    int64_t held_ttl_ns;     /* due for so long and declared by nobody: dead; 0 = never */
    int64_t workflow_ttl_ns; /* finished runs of workflows; 0 = 7 days */
    /* How the process before this one died, for the log of what ran then: "signal 11
     * (Segmentation fault)".  Borrowed by jobs_open(); NULL: nobody knows. */
    const char *last_death;
    bool blameless; /* the last process ended because of its disk: not for what ran */
};

/* Makes the tables, reads what is unfinished (O(unfinished)), counts crashes
 * against what the flight recorder names.  Nothing runs before jobs_start().
 * Blocks; NULL with *err. */
struct jobs *jobs_open(const struct jobs_options *options, struct err *err);

/* Before jobs_start().  capacity: jobs at once on that lane. */
bool jobs_add_worker(struct jobs *jobs, struct lane *lane, int capacity, struct err *err);
void jobs_start(struct jobs *jobs);

/* How jobs of one kind run.  Strings are copied. */
struct job_kind_options {
    const char *kind;   /* "plugin.job" */
    const char *celery; /* its task name for Celery; NULL = the kind */
    bool exported;      /* other plugins may push it, as far as they are allowed to */
    const char *queue;
    int priority;
    int retries; /* so at most retries + 1 runs */
    int64_t backoff_ns, timeout_ns;
    int64_t backoff_max_ns; /* as struct job_backoff, whose first_ns is backoff_ns */
    double backoff_factor, backoff_jitter;
    int64_t result_ttl_ns;   /* of a push that does not say; 0 = the queue's */
    int64_t hard_timeout_ns; /* after so long `kill` comes; 0 = never */
    int64_t expires_ns;      /* not started so long after it was due: it never runs; 0 = it does */
    int concurrency;         /* 0 = no limit */
    struct job_rate rate;
    const char
        *key_field;      /* of the arguments: its value is the key of a push without one; or NULL */
    int key_concurrency; /* of jobs with one key; 0 = no limit */
    struct job_rate key_rate;
    int batch; /* 2 … JOBS_CAPACITY: run_batch() instead of run(); 0 or 1: it is not */
    int64_t batch_wait_ns; /* how long the first waits for others; 0: those that are there */
    void *target;          /* handed to `run`; NULL = known, but held for now */
};
/* Replaces the whole table in one step: kinds that are missing are held from
 * now on.  Jobs that run keep their target. */
void jobs_set_kinds(struct jobs *jobs, const struct job_kind_options *kinds, int count);
/* What others may do with a kind that this server's plugins declare, held back or not. */
enum job_offer { JOB_UNKNOWN, JOB_PRIVATE, JOB_EXPORTED };
enum job_offer jobs_offer(struct jobs *jobs, struct str kind);
/* Appends the declared kind that Celery's task of this name is; false: there is none. */
bool jobs_task_kind(struct jobs *jobs, struct str task, struct buf *out);
/* What bounds a queue, whatever kinds are in it.  Zero is no bound; weight 0 is 1: how
 * many jobs it has in its turn among the queues. */
struct job_queue_limits {
    int concurrency, weight;
    struct job_rate rate;
    int key_concurrency; /* of its jobs with one key */
    struct job_rate key_rate;
};
struct job_queue_options {
    const char *queue;
    struct job_queue_limits limits;
};
/* Replaces what is declared for all queues; an operator's change of one stays in force
 * (jobs_queue_set() of admin.h). */
void jobs_set_queues(struct jobs *jobs, const struct job_queue_options *queues, int count);
/* Jobs of this kind that have not ended; of a shared record all that wait in the kind's queue, as
 * it was read last.  Any thread. */
int64_t jobs_unfinished(struct jobs *jobs, struct str kind);
/* Whether several servers share the record: struct jobs_push's `also` is not called. */
bool jobs_is_shared(const struct jobs *jobs);
/* Jobs that run with this target. */
int jobs_target_running(struct jobs *jobs, const void *target);
/* Calls fn(arg) on the lane once no job runs with a target that no kind has any
 * more; fn may come at once. */
void jobs_when_idle(struct jobs *jobs, const void *target, struct lane *lane, lane_fn *fn,
                    void *arg);
/* Calls `cancel` for everything that runs with this target; what ends by it is
 * INTERRUPTED as the layer above sees fit. */
void jobs_interrupt(struct jobs *jobs, const void *target);

/* What this process says of itself to the others of a shared record: a JSON object, of at most
 * JOBS_CARD_BYTES (a longer one is not said).  They have it with the next heartbeat. */
enum { JOBS_CARD_BYTES = 16 << 10 };
void jobs_set_card(struct jobs *jobs, struct str card);
/* Appends what the others said, objects with a comma before each: to theirs are added "seen_at",
 * when they last said it, and "missing": whether that is longer ago than a lease.  One that ended
 * as it should is not among them, one that did not is for a day. */
void jobs_print_cards(struct jobs *jobs, struct buf *out);

/* What to push.  Zero and empty mean the kind's own value. */
struct job_spec {
    int64_t id; /* of the first, which was given it before; 0 = a new one */
    struct str kind;
    struct str queue;
    int priority; /* one more than enum job_priority: 1 high, 2 normal, 3 low */
    int retries;  /* one more than the number: 1 = run once */
    int64_t timeout_ns;
    int64_t run_at_wall; /* ns; not before */
    bool external;       /* for a Python worker: the result backend says what became of it */
    int wire_priority;   /* its priority there, one more than 0 … 9; 0: as `priority` */
    int wire_retries;    /* attempts that came before */
    int64_t soft_timeout_ns, expires_at_wall; /* 0 = none */
    struct str unique;   /* refused while another of this kind with this key is unfinished */
    bool unique_queued;  /* only while it is queued: free again once it runs */
    bool unique_replace; /* not refused: a queued one gets this push's work, and keeps its id */
    int64_t unique_period_ns; /* refused for so long after a push, too, whatever became of it */
    struct str schedule; /* "plugin/id": refused if (schedule, scheduled_at) was pushed before */
    int64_t scheduled_at_wall;
    struct str key;        /* whose turn and whose limits */
    int64_t expires_ns;    /* not started so long after it was due: it never runs */
    int64_t result_ttl_ns; /* how long a result is kept */
    struct str trace;      /* kept with the job and handed to its runs; or empty */
};

/* A push under way.  Its memory is the caller's until done. */
struct jobs_push {
    struct lane_message message;          /* private, first */
    void (*done)(struct jobs_push *push); /* lane; on disk, or push->err tells why not */
    struct lane *lane; /* where done runs; NULL = the writer thread (must not block) */
    struct err err;    /* ERR_EXISTS: schedule and instant were pushed before */
    /* Writer thread, in the commit that keeps the jobs, unless the record is shared (then it is
     * not called); may run again after a rollback.  Fails the whole commit.  May be NULL. */
    bool (*also)(struct sqlite_conn *conn, struct jobs_push *push, struct err *err);
    bool taken;       /* ERR_EXISTS it is for its unique key */
    int64_t first_id; /* ids are first_id … first_id + count - 1; set on return */
    int count;
};

/* Pushes one job for each of args[0 … count-1] (JSON), all or none.  Everything
 * is copied.  False with *err, and no `done`: ERR_INVALID, ERR_LIMIT, ERR_FULL,
 * ERR_CLOSED, ERR_EXISTS (unique key taken).  Without a lane `done` may come
 * before this returns. */
bool jobs_push(struct jobs *jobs, struct jobs_push *push, const struct job_spec *spec,
               const struct str *args, int count, struct err *err);
/* The same inside an open transaction: `ran` once the rows are in it, then, when
 * it has ended, `done` with err set if it was rolled back.  The job runs only
 * after the commit. */
bool jobs_push_tx(struct jobs *jobs, struct jobs_push *push, struct store_tx *tx,
                  void (*ran)(struct jobs_push *push), const struct job_spec *spec,
                  const struct str *args, int count, struct err *err);
/* A batch: jobs of any kinds that are counted together, and when all of them have ended
 * one more of kind done_kind, whose args are done_args (a JSON object, or empty) with
 * "batch": {"id", "total", "succeeded", "failed"} added.  Dead, cancelled and expired ones
 * have failed; one that is requeued later is not counted again. */
struct jobs_batch {
    struct str done_kind;              /* empty: nothing follows */
    struct str done_args, description; /* copied */
    int64_t id; /* set on return; of a shared record with `done`, until when it is borrowed */
};
/* As jobs_push(), a spec for each job; a unique key or a schedule is not for a batch
 * (ERR_INVALID). */
bool jobs_push_batch(struct jobs *jobs, struct jobs_push *push, struct jobs_batch *batch,
                     const struct job_spec *specs, const struct str *args, int count,
                     struct err *err);
/* What Celery calls the job, 36 characters; and the way back, 0 when it is none of ours.  False and
 * 0 unless the driver is "redis". */
bool jobs_celery_id(struct jobs *jobs, int64_t id, char out[37]);
int64_t jobs_celery_number(struct jobs *jobs, struct str uuid);

/* For start-up and tests: waits.  Returns the first id, or 0 with *err. */
int64_t jobs_push_wait(struct jobs *jobs, const struct job_spec *spec, const struct str *args,
                       int count, struct err *err);

/* How far a run is (0 … 1) and what it does, for looks at it; kept in memory only, and
 * forgotten when the run ends.  Its lane.  False: the run is stale. */
bool jobs_progress(struct job_run *run, double fraction, struct str message);

/* Calls done(arg) on the lane, once, when all of these jobs have ended and that is on
 * disk; a job that is not unfinished counts as ended.  jobs_wait_end() before that makes done
 * come soon.  Both: that lane. */
struct jobs_wait *jobs_wait(struct jobs *jobs, const int64_t *ids, int count, struct lane *lane,
                            void (*done)(void *arg), void *arg);
void jobs_wait_end(struct jobs_wait *wait);

/* Ends a run, on its lane, once; the run is gone afterwards.  The outcome is
 * copied, written with the next commit; the worker's place is free at once.
 * A stale run, whose job was taken away, changes nothing and is counted. */
void jobs_finish(struct job_run *run, const struct job_outcome *outcome);
/* Several of one lane, before their places are given to others. */
void jobs_finish_all(struct job_run *const *runs, const struct job_outcome *outcomes, int count);
/* Takes a job away from the lane that runs it (a stuck one): it is ready again
 * under a new fence, and its old run's finish will be stale.  False: not running. */
bool jobs_reclaim(struct jobs *jobs, int64_t id);

/* A lane does not answer any more: it gets no jobs, and those it has are taken away, to run
 * elsewhere.  `guilty`, the one it is stuck in (0: none), has failed with this error, which
 * counts as one of its attempts. */
void jobs_lane_lost(struct jobs *jobs, const struct lane *lane, int64_t guilty, const char *error);
/* Whether everything that ended or changed so far is on disk. */
bool jobs_is_settled(struct jobs *jobs);

/* Stops claiming, waits for what runs up to grace_ns, then asks it to end;
 * stopped(arg) on the lane when nothing runs any more, or half a second after
 * asking at the latest, when the rest is taken away. */
void jobs_stop(struct jobs *jobs, int64_t grace_ns, struct lane *lane, lane_fn *stopped, void *arg);
/* After jobs_stop() (or without jobs_start()), once the lanes have stopped or
 * take no more part.  Waits until everything under way is on disk. */
void jobs_close(struct jobs *jobs);
