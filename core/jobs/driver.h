/* driver.h -- where the record of the jobs is.  Known to core/jobs only.
 *
 * The engine (all other files) keeps dispatch, limits, workers, cancels and finishes;
 * a driver keeps the record.  There are two sorts:
 *
 *  own     (sqlite.c) The record is this process's alone.  Memory knows every unfinished
 *          job and says what runs next; a claim is not written.
 *  shared  Several processes work from one record.  Memory knows only the jobs that this
 *          process has claimed and that have not ended:
 *          - A push is written and forgotten; it is not published here, unless the driver
 *            claimed its jobs with it (shared_mark()).  Unique keys and
 *            schedules' instants are the record's, so ERR_EXISTS comes with `done`, and
 *            first_id is good when `done` is called (before, it may be 0).
 *          - The driver claims at most as many jobs as shared_room() says, and gives them
 *            to shared_arrive() with the record's fence (extra->lease).  Then they are READY like
 * any other.
 *          - Whatever ends a job's stay here is an end in jobs->batch.ends, guarded by (id,
 *            lease): JOB_END_DONE, DISCARDED, CANCELLED and EXPIRED end the job, JOB_END_RETRY puts
 *            it back with job->attempt, job->text and job->run_at, JOB_END_INTERRUPTED puts
 *            it back as it was, in front if job->run_at is past.  The
 *            driver calls shared_stale() for one that is stale; it changes nothing (I4).
 *          - Looks and changes go to the driver, so that every process sees the same.
 *
 * Threads: as said at each function.  "Lock" is jobs->lock.
 */
#pragma once

#include "jobs/admin.h"

struct batch;
struct job;
struct jobs_schedules;
struct list;
struct push_op;
struct sqlite_conn;

struct jobs_driver {
    const char *name;
    bool shared;
    /* The record gives ids as it writes; those that lie ready (shared_ids()) are for pushes
     * inside a transaction, which cannot wait for it. */
    bool numbers;
    /* From jobs_open().  Blocks.  Fills jobs->record; what it made is freed by close,
     * which comes also when this fails and jobs->record is set. */
    bool (*open)(struct jobs *jobs, struct err *err);
    /* From jobs_start(), no lock: it may claim from now on.  NULL: nothing to do. */
    void (*start)(struct jobs *jobs);
    /* No lock.  jobs->pending has something, or jobs->upkeep_now was set.  It answers with
     * batch_take(), then batch_over(), from a thread of its own; not called again before. */
    void (*write)(struct jobs *jobs);
    /* From jobs_close().  No lock.  Nothing is being written, or (shared) it cannot be. */
    void (*close)(struct jobs *jobs);

    /* Shared drivers only, NULL in the others. */

    /* Lock held, often: there is more room than jobs for it (shared_room()).  Must not block. */
    void (*room)(struct jobs *jobs);
    /* Any thread.  As jobs_query_batch().  NULL: there are no batches.  A push of one has
     * op->crowd: the record counts the members whose extra names it, each once, and pushes
     * crowd->last in the step that counts the last of them. */
    void (*query_batch)(struct jobs *jobs, struct jobs_query *query);
    /* Any thread.  As jobs_query(), jobs_cancel() and jobs_retry(). */
    void (*query)(struct jobs *jobs, struct jobs_query *query);
    void (*cancel)(struct jobs *jobs, struct jobs_change *change, int64_t id);
    void (*retry)(struct jobs *jobs, struct jobs_change *change, int64_t id);
    /* As jobs_discard().  NULL: dead jobs stay until they are too old. */
    void (*discard)(struct jobs *jobs, struct jobs_change *change, int64_t id);
    /* Unique keys of scope queued, with a period, and replacing ones are the record's, too:
     * extra->unique_queued of a job, unique_period_ns and replace of a push_op; `replaced` of
     * a push that became a queued job's work is that one's id. */
    bool unique_modes;
    /* Writer thread of SQLite, inside a transaction of the store's: keeps the push there, from
     * where it goes to the record after the commit, exactly once.  The other: it is committed. */
    bool (*push_tx)(struct jobs *jobs, struct sqlite_conn *conn, struct push_op *op,
                    struct err *err);
    void (*tx_committed)(struct jobs *jobs);
    /* Any thread, never blocks; answers by schedules_answer(). */
    void (*schedules)(struct jobs *jobs, struct jobs_schedules *s);
    /* Any thread, never blocks.  False with *err: the record is out of reach. */
    bool (*healthy)(struct jobs *jobs, struct err *err);
};

extern const struct jobs_driver jobs_sqlite;
extern const struct jobs_driver jobs_postgres;
extern const struct jobs_driver jobs_redis;
const struct jobs_driver *jobs_driver_named(const char *name); /* NULL: there is none */

void schedules_answer(struct jobs_schedules *s);

/* commit.c, for drivers; no lock.  batch_take() moves what is pending into jobs->batch;
 * after batch_over() the batch is answered, published or (err) pending again, and another
 * write may come. */
void batch_take(struct jobs *jobs);
void batch_over(struct jobs *jobs, const struct err *err);

/* shared.c: what a shared driver asks and tells the engine. */

enum {
    SHARED_KINDS = 1024,        /* kinds one claim can ask for */
    SHARED_UNSTARTED_MS = 3000, /* a claimed job that did not start by then goes back */
    SHARED_BUFFER = 2000,       /* claimed jobs that wait for a lane, at most */
    SHARED_BUFFER_MS = 100,     /* so much work of the lanes lies ready for them */
};

/* What the lanes could take now: at most `jobs`, of these kinds. */
struct shared_room {
    int jobs, kinds;
    const struct kind *kind[SHARED_KINDS]; /* live as long as the jobs; limits are as of now */
    int most[SHARED_KINDS];                /* their declared concurrency, 0 = no bound */
};
/* Takes the lock.  room->jobs is 0 while nothing may be claimed. */
void shared_room(struct jobs *jobs, struct shared_room *room);

/* A claimed job with its names and its lease; other fields are the caller's to fill
 * before shared_arrive().  Takes the lock.  NULL: too many names. */
struct job *shared_job(struct jobs *jobs, int64_t id, uint64_t lease, struct str kind,
                       struct str queue, struct str args, struct str unique);
/* Claimed jobs, linked by next; they are the engine's from here.  Takes the lock. */
void shared_arrive(struct jobs *jobs, struct job *first);
void shared_enter(struct jobs *jobs, struct job *first); /* lock held; dispatch() follows */

/* For a driver that can claim jobs as it writes them: gives SHARED_MARK as extra->lease to
 * those of these pushes, at most `most`, that the lanes have room for and could begin at once;
 * all others lose theirs.  The driver puts the record's fence there, or 0; after the commit
 * jobs that have a lease are here.  Returns how many it marked.  Takes the lock. */
#define SHARED_MARK UINT64_MAX
int shared_mark(struct jobs *jobs, struct push_op *pushes, int most);

/* Whether one of these ends may let a job start that waits in the record: it waits again itself,
 * it ran alone for its crashes, or something bounds jobs like it; true when they are too many to
 * look at.  Takes the lock. */
bool shared_frees(struct jobs *jobs, const struct list *ends);

/* The job was asked to end, wherever that was.  Takes the lock. */
void shared_cancel(struct jobs *jobs, int64_t id);
/* The leases of this process are gone: its jobs are others'.  What runs is asked to
 * end, and is stale.  Takes the lock. */
void shared_lose_all(struct jobs *jobs);
/* No lock, between batch_take() and batch_over(): the record refused this end. */
void shared_stale(struct jobs *jobs, struct job *job);
/* False with *err ERR_INVALID when the record is shared: what is kept beside the jobs, in this
 * server's own database, would not be seen by the other servers. */
bool shared_has(const struct jobs *jobs, const char *what, struct err *err);
/* Lock held: the job leaves this process; its end is pending. */
void shared_leave(struct jobs *jobs, struct job *job, enum job_end end);
/* Lock held: jobs that have not started go back: those that arrived before this (wall,
 * ns), and those whose kind has no handler. */
void shared_release(struct jobs *jobs, int64_t before_wall);

/* Ids that pushes are given at once: [next, limit) when there is none left. */
void shared_ids(struct jobs *jobs, int64_t next, int64_t limit);

/* What other nodes' lanes do: objects as of jobs_print_workers(), comma-separated.  Takes the
 * lock. */
void shared_others(struct jobs *jobs, struct str workers);
/* nodes.c.  What this node says of itself, appended: nothing, or an object.  Takes the lock. */
void shared_card(struct jobs *jobs, struct buf *out);
/* Collects what the other nodes say. */
struct shared_cards {
    struct buf all;
    int seen, missing;
};
void shared_cards_add(struct shared_cards *cards, struct str card, int64_t seen_wall, bool missing);
/* Takes the lock, and frees what was collected. */
void shared_cards_end(struct jobs *jobs, struct shared_cards *cards);
/* What the record has in a queue, by places READY, DELAYED and RUNNING, for looks
 * that do not wait.  Takes the lock. */
void shared_seen(struct jobs *jobs, struct str queue, int64_t ready, int64_t delayed,
                 int64_t running, int64_t dead);
