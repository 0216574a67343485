/* schedules.h -- what nodes that share a queue keep in its record about schedules: what fired
 * last, what is paused, and the lease of the one node that fires.
 *
 * The lease is a row with its owner and an epoch that grows each time another node takes it.
 * It is renewed by its owner while the epoch is still the same, and taken when its time is
 * over by the record's own clock.
 *
 * Threads: any.  A request is its maker's until done, which comes once.
 */
#pragma once

#include "base/list.h"
#include "jobs/jobs.h"

struct jobs_schedule {
    char *name;               /* "plugin/id" */
    int64_t last, since, job; /* instants in seconds; nothing up to `since` was missed; 0 = none */
    bool paused;
};

enum jobs_schedules_ask {
    SCHEDULES_LEAD,   /* the lease, or to keep it: lease_ns, epoch (0 = not held) → held, epoch */
    SCHEDULES_RESIGN, /* gives it up: epoch */
    SCHEDULES_LOAD,   /* → rows, all that are known; the maker's to free, names too */
    SCHEDULES_SINCE,  /* rows: since, unless a later one is known */
    SCHEDULES_PAUSE,  /* rows: since as above, and paused; the version grows */
    SCHEDULES_PRUNE,  /* rows: forget fires before `since` but for the last */
};

struct jobs_schedules {
    struct lane_message message; /* private, first */
    struct list link;            /* private */
    struct lane *lane;           /* where done runs; NULL = a thread of the queue's */
    void (*done)(struct jobs_schedules *s);
    enum jobs_schedules_ask ask;
    struct jobs_schedule *rows;
    int count;
    int64_t lease_ns, epoch, version;
    bool held;
    struct err err;
};

/* Whether the record is shared, so that schedules are to be kept there. */
bool jobs_shares_schedules(const struct jobs *jobs);
void jobs_schedules(struct jobs *jobs, struct jobs_schedules *s);
