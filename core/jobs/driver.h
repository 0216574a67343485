/* driver.h -- where the record of the jobs is.  Known to core/jobs only.
 *
 * The engine (all other files) keeps dispatch, limits, workers, cancels and finishes;
 * a driver keeps the record.  There are two sorts:
 *
 *  own     (sqlite.c) The record is this process's alone.  Memory knows every unfinished
 *          job and says what runs next; a claim is not written.
 *  shared  Several processes work from one record.  Memory knows only the jobs that this
 *          process has claimed and that have not ended:
 *          - A push is written and forgotten; it is not published here.  Unique keys and
 *            schedules' instants are the record's, so ERR_EXISTS comes with `done`, and
 *            first_id is good when `done` is called (before, it may be 0).
 *          - The driver claims at most as many jobs as there is room for, and gives them
 *            to the engine with the record's fence.  Then they are READY like any other.
 *          - Whatever ends a job's stay here is an end in jobs->batch.ends, guarded by (id,
 *            fence): JOB_END_DONE, DISCARDED and CANCELLED end the job, JOB_END_RETRY puts
 *            it back with job->attempt, job->text and job->run_at, JOB_END_INTERRUPTED puts
 *            it back as it was, in front if job->run_at is past.  A
 *            stale one changes nothing (I4).
 *          - Looks and changes go to the driver, so that every process sees the same.
 *
 * Threads: as said at each function.  "Lock" is jobs->lock.
 */
#pragma once

#include "jobs/admin.h"

struct batch;
struct job;
struct push_op;

struct jobs_driver {
    const char *name;
    bool shared;
    /* From jobs_open().  Blocks.  Fills jobs->record; what it made is freed by close,
     * which comes also when this fails. */
    bool (*open)(struct jobs *jobs, struct err *err);
    /* From jobs_start(): it may claim from now on.  NULL: nothing to do. */
    void (*start)(struct jobs *jobs);
    /* No lock.  jobs->pending has something, or jobs->upkeep_now was set.  It answers with
     * batch_take(), then batch_over(), from a thread of its own; not called again before. */
    void (*write)(struct jobs *jobs);
    /* From jobs_close().  No lock.  Nothing is being written, or (shared) it cannot be. */
    void (*close)(struct jobs *jobs);

    /* Shared drivers only, NULL in the others. */

    /* Lock held, often: there is more room than jobs for it.  Must not block. */
    void (*room)(struct jobs *jobs);
    /* Any thread.  As jobs_query(), jobs_cancel() and jobs_retry(). */
    void (*query)(struct jobs *jobs, struct jobs_query *query);
    void (*cancel)(struct jobs *jobs, struct jobs_change *change, int64_t id);
    void (*retry)(struct jobs *jobs, struct jobs_change *change, int64_t id);
    /* Any thread, never blocks: what was read last. */
    void (*print_queues)(struct jobs *jobs, struct buf *out);
    void (*counts)(struct jobs *jobs, struct jobs_counts *counts);
    /* Any thread, never blocks.  False with *err: the record is out of reach. */
    bool (*healthy)(struct jobs *jobs, struct err *err);
};

extern const struct jobs_driver jobs_sqlite;
const struct jobs_driver *jobs_driver_named(const char *name); /* NULL: there is none */

/* batch.c, for drivers; no lock.  batch_take() moves what is pending into jobs->batch;
 * after batch_over() the batch is answered, published or (err) pending again, and another
 * write may come. */
void batch_take(struct jobs *jobs);
void batch_over(struct jobs *jobs, const struct err *err);
