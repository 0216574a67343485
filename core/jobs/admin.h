/* admin.h -- the queue as an operator sees it: looks, counts, changes of one job.
 *
 * Threads: any.
 */
#pragma once

#include "jobs/jobs.h"

/* An operator's change of one job.  Memory is the caller's until done. */
struct jobs_change {
    struct lane_message message;              /* private, first */
    void (*done)(struct jobs_change *change); /* lane; on disk, or change->err */
    struct lane *lane;                        /* NULL = the writer thread */
    struct err err;
};
/* Queued: gone for good.  Running: asked to end; done comes when it was asked.
 * ERR_NOT_FOUND. */
void jobs_cancel(struct jobs *jobs, struct jobs_change *change, int64_t id);
/* A dead job becomes ready with all its attempts; a delayed one becomes ready
 * now.  ERR_NOT_FOUND, ERR_EXISTS (its unique key was taken meanwhile). */
void jobs_retry(struct jobs *jobs, struct jobs_change *change, int64_t id);
/* A dead job is forgotten, a queued one is gone for good.  ERR_NOT_FOUND. */
void jobs_discard(struct jobs *jobs, struct jobs_change *change, int64_t id);

/* "100/s", "10/m", "1000/h", "5/d". */
enum { JOBS_RATE_TEXT = 48 };
bool job_rate_parse(struct str text, struct job_rate *out);
const char *job_rate_format(struct job_rate rate, char text[JOBS_RATE_TEXT]); /* returns text */

/* What an operator changes of a queue; what is neither set nor reset stays as it is.
 * ORDER queue_field */
enum queue_field {
    QUEUE_PAUSED = 1,
    QUEUE_CONCURRENCY = 2,
    QUEUE_RATE = 4,
    QUEUE_WEIGHT = 8,
    QUEUE_KEY_CONCURRENCY = 16,
    QUEUE_KEY_RATE = 32,
    QUEUE_FIELDS = 63,
};
struct job_queue_change {
    unsigned set;   /* enum queue_field: these get the values below */
    unsigned reset; /* these go back to what is declared */
    bool paused;    /* nothing of it starts; what runs goes on */
    struct job_queue_limits limits;
};
/* Kept on disk, and in force from the commit on until it is changed or reset, whatever is
 * declared meanwhile.  ERR_NOT_FOUND, ERR_INVALID. */
void jobs_queue_set(struct jobs *jobs, struct jobs_change *change, struct str queue,
                    const struct job_queue_change *what);

enum job_state {
    JOB_ANY, /* of a query */
    JOB_READY,
    JOB_DELAYED,
    JOB_RUNNING,
    JOB_DONE,
    JOB_CANCELLED,
    JOB_EXPIRED,
    JOB_DEAD,
}; /* ORDER job_state */
bool job_state_parse(struct str text, enum job_state *out);
const char *job_state_name(enum job_state state);

enum { JOB_STATES = JOB_DEAD + 1 };

/* A look at jobs as JSON.  Memory is the caller's until done. */
struct jobs_query {
    struct lane_message message; /* private, first */
    /* set by the caller; strings are borrowed until done */
    int64_t id; /* one job, or 0 */
    enum job_state state;
    struct str queue, kind; /* empty = any */
    struct str text;        /* words that are in kind, arguments or error */
    struct str after;       /* `next` of the look before; empty = the first */
    bool count;             /* fill `counts`, which looks at everything */
    int limit;              /* 1 … 500; 0 = 50 */
    /* Instead of a list: `out` is an array of int64_t, the ids of all that match, once each,
     * rising.  Of these states, 1 << enum job_state each.  Takes as long as it takes. */
    unsigned ids_of;
    void (*done)(struct jobs_query *query); /* lane */
    struct lane *lane;
    /* Result.  A list: the inside of {"jobs":[…]}, newest first, delayed ones in the order of
     * their time.  One job: its object with "result" too, or empty when there is none such. */
    struct buf out;
    char why[1024]; /* of one job: as jobs_why(), from a shared record; or empty: ask jobs_why() */
    char next[48];  /* where to go on; empty = that was all */
    int64_t counts[JOB_STATES]; /* what matches but for the state */
    bool partial;               /* looking at old ones took too long: counts are at least these */
    struct err err;
};
void jobs_query(struct jobs *jobs, struct jobs_query *query);
/* Why a queued job does not run now: [{"code"}], empty when it is not queued here.  Codes:
 * not_due, queue_rate, queue_key_rate, kind_rate, key_rate (with "until"), queue_full,
 * queue_key_full, kind_full, key_full (with "running" and "limit"), paused, held (no handler;
 * "until": when it is given up), crashed (one at a time since the process died with it),
 * workers_busy, no_workers, stopping, behind (others stand before it), gathering (it waits for
 * others that its handler takes together; "until"). */
void jobs_why(struct jobs *jobs, int64_t id, struct buf *out);

/* The same change of every job that matches.  Memory is the caller's until done. */
enum jobs_action { JOBS_RETRY, JOBS_CANCEL, JOBS_DISCARD }; /* ORDER jobs_action */
bool jobs_action_parse(struct str text, enum jobs_action *out);
struct jobs_bulk {
    struct jobs_query query; /* first; its state, queue, kind and text say which */
    enum jobs_action action;
    const int64_t *ids; /* these instead of a search, or NULL; borrowed until done */
    size_t id_count;
    bool dry;                             /* count only */
    void (*done)(struct jobs_bulk *bulk); /* lane: what changed is on disk */
    struct lane *lane;
    /* Result.  Jobs that ended or changed meanwhile are in matched, not in changed. */
    int64_t matched, changed;
    struct err err; /* of the search, or of the last that failed for another reason than that */
    /* private */
    struct jobs *jobs;
    struct bulk_step *step;
};
/* In portions, so that others get their turn.  ERR_INVALID: not done to jobs in that state. */
void jobs_bulk(struct jobs *jobs, struct jobs_bulk *bulk);

/* [{"queue","ready","delayed","running","held","held_s","dead","done_total","failed_total",
 * "expired_total","oldest_s","paused","concurrency","rate","weight","key_concurrency","key_rate","declared":{…},
 * "per_second":{"pushed","done","failed"}}]; held_s: how long the oldest held one has been due, as
 * of ten seconds ago at most; oldest_s: how long the one that waits longest has been due, a
 * sixteenth off at most; a limit that is null bounds nothing, declared holds what it would be
 * without an operator's change; per_second: over the last ten.  By name. */
void jobs_print_queues(struct jobs *jobs, struct buf *out);

/* {"queue","seconds":{"from","step","pushed":[…],"done":[…],"failed":[…],"wait_p50_ms":[…],
 * "wait_p99_ms":[…]},"minutes":{…}}: five minutes by the second, a day by the minute, of one
 * queue or (empty) of all; `from` in seconds since 1970, nothing before `since`.  A wait is from
 * due to start, of runs that ended then, a fifth off at most; null when there was none.  Minutes
 * survive a restart.  False: no such queue. */
bool jobs_print_rates(struct jobs *jobs, struct str queue, int64_t since, struct buf *out);

/* [{"node","lane","capacity","used","lost","running":[{"id","kind","queue","attempt",
 * "started_at"}]}], with "progress" and "message" of a run that told: this process's lanes and what
 * each runs now, at most 200 of a lane. */
void jobs_print_workers(struct jobs *jobs, const char *node, struct buf *out);

/* A batch by query->id: {"id","total","succeeded","failed","pending","created_at",
 * "finished_at","done_job","description"}; empty when there is none.  Only lane and done
 * are looked at besides. */
void jobs_query_batch(struct jobs *jobs, struct jobs_query *query);

/* For tests of plugins: while the queue is held nothing is claimed, except a ready job
 * that jobs_claim() names (false: it is not ready, or no worker has room).  A hold that
 * is repeated looks again at what is due: the wall clock may have been set. */
void jobs_hold(struct jobs *jobs, bool held);
bool jobs_claim(struct jobs *jobs, int64_t id);

/* Whether pushes can be recorded.  False with *err, why not.  Never blocks. */
bool jobs_healthy(struct jobs *jobs, struct err *err);

struct jobs_counts {
    int64_t ready, held, delayed, running, dead, pushing;
    int64_t pushed_total, done_total, failed_total, retried_total, dead_total, stale_total;
};
struct jobs_counts jobs_counts(struct jobs *jobs);
/* Refreshes the gauges maru_jobs_*; arg is the struct jobs *.  For metrics_on_scrape(). */
void jobs_scrape(void *arg);
