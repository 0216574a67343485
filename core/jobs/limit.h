/* limit.h -- what bounds how many jobs run at once, and how many start in a time.
 *
 * The rate is a token bucket kept as one time (GCRA): `full_at` is when the bucket
 * would be full again; every start moves it one interval on, and a start is allowed
 * while it is no further ahead than the bucket holds.  Nothing is counted up by a timer.
 *
 * Threads: under jobs->lock.
 */
#pragma once

#include "base/clock.h"
#include "base/heap.h"
#include "jobs/job.h"

/* Whose limit it is; ORDER limit_of: who_names of why.c */
enum limit_of { LIMIT_KIND, LIMIT_QUEUE, LIMIT_FLOW, LIMIT_KEY };

struct limit {
    int most;              /* at once; 0 = no bound */
    int active;            /* I3 */
    bool closed;           /* nothing may run: a kind without handler, a paused queue */
    uint8_t of;            /* enum limit_of */
    int64_t interval_ns;   /* between two starts at full rate; 0 = no rate */
    int64_t burst_ns;      /* how far ahead full_at may be for one more start */
    int64_t full_at;       /* monotonic */
    struct job_rate rate;  /* as it was set */
    struct heap_node wait; /* in jobs->refills: looked at again then */
};

void limit_init(struct limit *limit, enum limit_of of);
/* Changes the bounds; what is active and what was spent stay as they are, but never
 * more than an empty bucket. */
void limit_set(struct limit *limit, int most, struct job_rate rate);
/* The monotonic time at which the bucket allows a start; <= now: it does already. */
int64_t limit_start_at(const struct limit *limit);
bool limit_has_tokens(const struct limit *limit);
/* Nothing is spent that time has not given back. */
bool limit_is_full(const struct limit *limit);
void limit_take(struct limit *limit);      /* one starts */
void limit_give_back(struct limit *limit); /* it did not start after all */

static inline bool limit_has_room(const struct limit *limit)
{
    return !limit->closed && (limit->most == 0 || limit->active < limit->most);
}
static inline bool limit_is_open(const struct limit *limit)
{
    return limit_has_room(limit) && (limit->interval_ns == 0 || limit_has_tokens(limit));
}
