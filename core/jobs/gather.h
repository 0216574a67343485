/* gather.h -- jobs of one kind on their way to one call of its handler.  Known to core/jobs only.
 *
 * A kind that says `batch` has jobs only in gathers, also a single one.  What is in a gather is
 * CLAIMED: it counts under every limit and for a place of the worker, it has not started, and
 * may be taken back.  At most one gather of a kind takes more (kind->gather); it does until it is
 * full or its lane takes it.  The lane may take it when it is posted: at once when the kind waits
 * for nothing, otherwise when it is full, its time is over or its worker has no place left.
 *
 * A job runs by itself when it was there at a crash (so that only it can be blamed for the next),
 * and in the last of several attempts (so that another's error is not the end of it).
 *
 * Threads: under jobs->lock, but for gathers_begin().
 */
#pragma once

#include "base/list.h"
#include "jobs/job.h"

struct job;
struct jobs;
struct kind;
struct worker;

struct gather {
    struct list link; /* worker->gathers; or, taken, the lane's list */
    struct kind *kind;
    struct worker *worker;
    struct list jobs; /* CLAIMED */
    int count;
    bool posted;
    int64_t due;           /* monotonic: posted then */
    struct job_run **runs; /* NULL until it is taken */
};

/* A job that was picked goes to the gather of its kind, or begins one on this worker, which has
 * room.  alone: nothing else joins, and it does not wait. */
void gather_claim(struct jobs *jobs, struct job *job, struct worker *worker, bool alone);
/* A job that is in one leaves it.  Returns whose worker that was. */
struct worker *gather_leave(struct job *job);
/* Posts those whose time is over. */
void gathers_due(struct jobs *jobs, int64_t now);
/* On its lane: what is posted gets its runs and moves to `taken`. */
void gathers_take(struct jobs *jobs, struct worker *worker, int64_t now_wall, struct list *taken);
/* On its lane, no lock: begins what was taken. */
void gathers_begin(struct jobs *jobs, struct list *taken);
