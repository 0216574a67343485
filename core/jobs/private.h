/* private.h -- the queue's structures, known to core/jobs only.
 *
 * One mutex, jobs->lock, guards every structure unless a comment names another
 * owner.  It is held for a bounded number of jobs at a time, never over a system
 * call, a callback or SQLite; under it only lane_post() is called, whose lock is a
 * leaf.  Three kinds of threads meet here: lanes that push and run, the writer
 * thread that commits, the control lane that wakes delayed jobs.
 *
 * Invariants:
 *  I1  A job is READY (so it may run) only after the commit that holds its row.
 *  I2  A job is in the index from the commit of its row until that of its end.
 *  I3  place, and nothing else, says which list a job is in; only place_set()
 *      changes it, and keeps all counts with it.  So a slot of a limit is not
 *      counted up and down: `active` is the number of jobs that are CLAIMED or
 *      RUNNING under it.
 *  I4  Every claim takes a new fence.  A run ends its job only if the job still
 *      carries the run's fence; otherwise its finish is stale and changes
 *      nothing but the worker's own place.
 *  I5  What a limit keeps from running is in no ring, and no wake-up is lost: a queue
 *      or flow is blocked, and a stream parked at a key, only while that limit is not
 *      open; a line with streams parked at its kind has one awake in a flow that is
 *      not blocked while the kind's limit is open.  A limit that lacks only tokens
 *      and keeps something is in jobs->refills (flow.h).
 *  I6  A unique key is taken from before the push's commit until after the
 *      commit that ends the job; one of scope queued is free while the job runs; one
 *      with a period is besides held on disk.  A job never conflicts with itself.  One
 *      that is replaced stays the same row: memory changes at once, the row with the
 *      commit that answers the push, so a crash before leaves the older work.
 *  I7  What is in a batch is published only after its commit.  A batch that
 *      failed gives its pushes and changes back to their callers; outcomes of
 *      runs are never dropped: they join the next batch.
 *  I8  Ids of job rows that came to their end are in maru_job_fin until the row
 *      is deleted; recovery is the rows minus these ids.
 *  I9  What joins `pending` under one hold of the lock is in one commit, or in none.
 *      So the end of a job (job_over()) and what follows from it (pushes by
 *      follow_push(), state by batch_add_effect()) are on disk together.  Like ends
 *      they are never given back: with a batch that failed they join the next one.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "jobs/admin.h"
#include "jobs/ages.h"
#include "jobs/crowd.h"
#include "jobs/extra.h"
#include "jobs/flight.h"
#include "jobs/flow.h"
#include "jobs/gather.h"
#include "jobs/index.h"
#include "jobs/jobs.h"
#include "jobs/rates.h"
#include "storage/carry.h"
#include "storage/sqlite.h"

struct jobs_driver;
struct json;
struct metric;
struct run;
struct workflows;

enum {
    JOBS_BATCH = 32,    /* jobs claimed for a lane and not yet started */
    JOBS_NAMES = 20000, /* kinds and queues a database may know */
    JOBS_WORKERS = 256, /* lanes */
    JOBS_TICK_MS = 100, /* upkeep while there is some */
    ATTEMPTS_KEPT = 20, /* of one job's log of failed attempts */
    JOBS_SLICE = 1024,  /* jobs that become due, or expire, under one hold of the lock */
};

/* ORDER place: PLACE_COUNT counters in queues and in jobs. */
enum place {
    PLACE_NONE,      /* pushed, not committed */
    PLACE_READY,     /* in its stream's list */
    PLACE_PARKED,    /* a suspect that waits for another to end */
    PLACE_DELAYED,   /* in the heap */
    PLACE_CLAIMED,   /* in a worker's inbox */
    PLACE_RUNNING,   /* has a run */
    PLACE_FINISHING, /* over, its end not yet committed */
    PLACE_COUNT,
};

struct target {
    void *pointer;
    int kinds;        /* that lead to it now */
    struct list runs; /* struct run */
    int running;
    struct list waiters; /* struct idle_waiter */
    struct list link;    /* jobs->targets */
};

struct queue {
    uint32_t word;
    char *name;
    struct list turns; /* flows with something that may be next */
    struct list flows; /* all of them */
    struct flow plain; /* of jobs without a key */
    struct list ring;  /* in jobs->ring while it is not blocked and `turns` is not empty */
    int turn;          /* jobs before the next queue has its turn */
    bool blocked;
    bool paused;
    struct limit limit;
    struct job_queue_limits limits;   /* in force */
    struct job_queue_limits declared; /* by a plugin; what M.queues says */
    struct job_queue_change changed;  /* by an operator, as on disk */
    int64_t count[PLACE_COUNT];
    int64_t seen[PLACE_COUNT];  /* of a shared record, as it was read last */
    int64_t held_at, held_next; /* held.c: the oldest, and that of the look under way; wall, ns */
    int64_t held, dead, done_total, failed_total, expired_total, limited_total;
    struct rates *rates; /* NULL until something happens, or when there are too many */
    struct ages *ages;   /* of those that wait for a worker; NULL until one does */
};

struct kind {
    uint32_t word;
    char *name;
    char *task;              /* its name for Celery, or NULL: the same */
    struct target *target;   /* NULL: nobody runs it */
    int64_t closed_at;       /* wall, ns: nobody runs it since then; 0 = somebody does */
    bool declared, exported; /* declared: also by a plugin that is held back */
    struct queue *queue;     /* defaults of a push */
    int priority, retries;
    struct job_backoff backoff; /* without zeros */
    int64_t timeout_ns, result_ttl_ns;
    int64_t unfinished; /* in the index; unless the record is shared */
    struct limit limit;
    int64_t hard_timeout_ns;
    _Atomic int64_t expires_ns;    /* this and the next are read without the lock */
    const char *_Atomic key_field; /* lives as long as the jobs; or NULL */
    int key_concurrency;           /* of jobs with one key */
    struct job_rate key_rate;
    int gather_most; /* its handler takes so many at once; 0 = it takes one, not in a list */
    int64_t gather_wait_ns;
    struct gather *gather; /* that takes more jobs, or NULL */
    struct list lines;     /* struct line, of each queue that had one */
    struct line *line;     /* the last that was asked for */
    struct metric *done, *failed, *retried, *dead, *run_seconds, *wait_seconds;
    struct metric *batches, *batched; /* NULL until it says batch */
};

/* What a run handed in, until the commit that keeps it. */
struct job_result {
    size_t n;
    char bytes[];
};

/* A job from its push to the commit that ends it; args and the unique key follow
 * the struct.  1,000,000 queued ones stay under 300 MB: what few jobs have goes into
 * struct job_extra. */
struct job {
    int64_t id;
    union {
        struct list link;     /* READY, PARKED, CLAIMED, FINISHING */
        struct heap_node due; /* DELAYED */
        struct job *next;     /* NONE: the push's next */
    };
    struct kind *kind;
    struct queue *queue;
    struct stream *stream; /* READY, CLAIMED, RUNNING */
    union {
        struct worker *worker;     /* CLAIMED */
        struct gather *gather;     /* CLAIMED, of a kind that says batch */
        struct run *run;           /* RUNNING */
        struct job_result *result; /* FINISHING, or NULL */
    };
    uint64_t fence;             /* of the last claim */
    int64_t created_at, run_at; /* wall, ns */
    int64_t started_at;         /* wall, ns: of the last run */
    struct job_extra *extra;    /* NULL for most: job_extra(), extra_make() */
    uint32_t args_n;
    uint16_t unique_n, attempt, max_attempts;
    uint8_t place, priority, crashes, end; /* end: enum job_end when FINISHING */
    uint8_t refs;                          /* the index, and stale runs that still read args */
    char bytes[];
};
_Static_assert(offsetof(struct job, bytes) <= 120, "a million of them are queued");
static inline const struct job_extra *job_extra(const struct job *job)
{
    return job->extra ? job->extra : &extra_none;
}
static inline struct str job_args(const struct job *job)
{
    return str_n(job->bytes, job->args_n);
}
static inline struct str job_unique(const struct job *job)
{
    return str_n(job->bytes + job->args_n, job->unique_n);
}
static inline struct str job_key(const struct job *job)
{
    return str_c(job_extra(job)->key);
}

struct run {
    struct job_run view; /* first; constant while it runs */
    struct job *job;     /* held by a reference */
    struct worker *worker;
    struct target *target;
    struct list link; /* target->runs */
    int slot;         /* in the flight recorder */
    int64_t started_wall;
    int64_t hard_at; /* monotonic: it is ended by force then; 0 = never */
    bool in_use, kill;
    /* the outcome, the lane's until it is settled */
    struct run *next; /* free or finished list */
    enum job_end end;
    struct job_result *result;
    char *error, *traceback;
    int64_t delay_ns;
    /* a request to end, on its way */
    struct lane_message cancel;
    bool cancelling;
    uint64_t cancel_fence; /* of the run that is meant */
    enum job_end why;
};

struct worker {
    struct jobs *jobs;
    struct lane *lane;
    int capacity, used; /* used: runs in use and claimed jobs */
    int claimed;
    struct list inbox; /* claimed jobs */
    struct list gathers;
    struct run *runs, *free_runs;
    struct lane_message message;
    bool posted, lost;
    struct worker *next_post;
    /* lane only */
    bool in_batch;
    struct run *finished, **finished_end;
};

/* Pushes, updates, ends and changes that wait for the next commit. */
struct push_op {
    struct push_op *next;
    struct jobs *jobs;
    struct jobs_push *push; /* NULL = nobody waits */
    struct job *first;      /* linked by next */
    int count;
    struct crowd *crowd; /* that these jobs are, or NULL */
    bool follows;        /* belongs to an end's commit: never given back, I9 */
    bool in_tx;          /* it is part of another transaction, and needs its ids now */
    char *schedule;      /* or NULL */
    int64_t instant;
    bool fired_before;    /* the schedule's instant was there: nothing was inserted */
    struct job *replaces; /* the queued one whose work this becomes, or NULL */
    int64_t unique_until; /* wall, ns: how long the key is held whatever happens; 0 = not */
    int64_t unique_was, unique_was_id; /* as in the update_op that replaces */
    bool duplicate;                    /* a shared record has the unique key: the same */
    /* for a shared record, which decides: what the push asked, and whether it was done */
    int64_t unique_period_ns;
    bool replace;
    int64_t replaced; /* id of the queued job whose work this is now; or 0 */
    bool refused;     /* a shared record cannot take it: ERR_INVALID */
    uint8_t round;    /* redis/push.c */
    bool published;
    void (*ran)(struct jobs_push *push);
    struct elsewhere *elsewhere; /* the store:tx was another server's; or NULL */
    struct sqlite_write write;   /* inside a store:tx */
};
struct update_op { /* another attempt later; row: other work under the same id */
    struct update_op *next;
    int64_t id, run_at;
    int attempt;
    char *error;
    struct change_op *change; /* who waits for it, or NULL */
    /* unique.c: NULL, or the job as it is now, by a reference */
    struct job *row;
    struct push_op *push; /* who replaced */
    char *extra;
    int64_t unique_until;
    uint32_t timeout_ms;
    int64_t unique_was, unique_was_id; /* a period that its own took the place of; 0 = none */
    bool missing;                      /* the row was not there */
};
struct change_op {
    struct change_op *next;
    struct jobs_change *change;
    struct jobs_wait *wait; /* instead of a change: who waits for an end */
    int64_t id;
    struct job *revived; /* a dead job that becomes ready */
    bool discard;        /* it is forgotten instead */
    struct queue *gone;  /* whose dead job was */
    struct err err;      /* why this one alone fails */
};
/* What a commit carries beside rows of jobs: an attempt's line, a counter of a batch, the
 * state of a workflow.  It embeds this first; batch_add_effect() takes it over.  I9. */
struct effect {
    const struct effect_type *type;
    struct effect *next;
};
struct effect_type {
    /* Writer thread, in the transaction, behind all pushes, updates and ends.  It may run
     * again after a rollback, so it changes nothing but the database. */
    bool (*record)(struct sqlite_conn *conn, const struct effect *effect, struct err *err);
    /* Lock held: the batch it is in is about to be written; nothing may be added to it any
     * more.  May be NULL. */
    void (*sealed)(struct effect *effect);
    /* Writer thread, without the lock, after the commit.  May be NULL. */
    void (*committed)(struct jobs *jobs, struct effect *effect);
    void (*free)(struct effect *effect); /* NULL: mem_free */
};
struct setting_op { /* an operator's change of a queue */
    struct setting_op *next;
    struct jobs_change *change;
    struct queue *queue;
    struct job_queue_change what;
    struct job_queue_change result; /* all that is set then; the writer's, until published */
};
struct batch {
    struct push_op *pushes, **pushes_end;
    struct effect *effects, **effects_end;
    struct update_op *updates, **updates_end;
    int updates_n;    /* of pending, under the lock */
    struct list ends; /* FINISHING jobs */
    struct change_op *revivals, **revivals_end;
    struct setting_op *settings, **settings_end;
};

/* One finished job as kept in memory and, in blobs, in maru_job_fin. */
struct fin_record {
    int64_t id, created_at, started_at, finished_at; /* wall, ns */
    uint32_t kind, queue;                            /* words */
    uint16_t attempt, max_attempts;
    uint8_t end, priority;
    uint8_t args_bits, padding; /* its arguments have less than 1 << args_bits bytes */
};
_Static_assert(sizeof(struct fin_record) == 48, "the record is also a file format");

struct history {
    struct fin_record *ring; /* JOBS_HISTORY */
    size_t next, count;      /* where the next one goes */
    struct index by_id;      /* values point into ring */
};

/* Ended rows: the newest are kept a while, so that their arguments can be looked at, the others
 * are deleted.  Writer thread only. */
struct fold {
    struct fold_id { /* in the order they ended */
        int64_t id;
        int64_t bytes; /* about, of its arguments */
    } * waiting;
    size_t waiting_at, waiting_n, waiting_cap;
    int64_t waiting_bytes;
    int64_t *chunk; /* sorted, being deleted */
    size_t chunk_n, chunk_at;
    /* fin rows still there, oldest first: seq and how many ids up to its end */
    struct fold_row {
        int64_t seq, until;
    } * rows;
    size_t rows_at, rows_n, rows_cap;
    int64_t recorded, folded; /* ids ever recorded, deleted */
    int64_t next_seq;
    int64_t done_at, dead_at, attempt_at, crowd_at, unique_at; /* how far the expiry of these got */
    int64_t next_expiry_ns;
    /* what this transaction does, applied when it is on disk */
    size_t done_now, rows_now, dead_gone;
    uint32_t *dead_queues; /* of the dead jobs that expired */
};

struct jobs {
    /* immutable */
    struct jobs_options options;
    const struct jobs_driver *driver;
    void *record; /* a shared driver's own */
    struct sqlite *db;
    struct flight *flight;
    struct workflows *workflows; /* NULL with a shared driver */
    /* before jobs_start() */
    struct worker *workers[JOBS_WORKERS];
    int worker_count, slots;

    pthread_mutex_t lock;  /* all below */
    struct map *elsewhere; /* elsewhere.c: pushes whose rows were not brought, by their ids */
    struct map *begun;     /* workflow/begun.c */
    struct index index;
    struct index crowds;  /* struct crowd by id: batches with unfinished members */
    struct index watched; /* lists of change_op by the id of the job whose end they wait for */
    struct map *fields;   /* names of arguments that say whose job it is */
    struct map *kinds, *queues, *uniques; /* by name; uniques by kind word and key */
    struct map *periods;                  /* keys held for a time, likewise */
    struct index late;                    /* what replaces jobs whose rows are not on disk yet */
    struct kind **kind_words;             /* by word; NULL where the word is a queue's */
    struct queue **queue_words;
    uint32_t words, words_cap;
    struct list targets;
    struct list ring;    /* queues with something that may be next */
    struct map *flows;   /* by the queue's word and the key; those without one are in their queue */
    struct map *keys;    /* struct key, by the kind's word and the key */
    struct index lines;  /* by the words of kind and queue */
    struct heap refills; /* limits, by the monotonic time they are to be looked at again */
    int64_t hard_at;     /* no run's is earlier; 0 = none has one */
    int64_t gather_at;   /* no gather's time is over earlier; 0 = none waits */
    bool cut_short;      /* a pick ended before it had seen everything */
    struct list suspects; /* jobs that were running at a crash run one at a time */
    int suspects_active;
    bool suspects_free; /* any number at once: the claims of a shared record see to it */
    struct heap due;
    struct heap
        expiring; /* extra->expiry of what waits, by the wall time it must have started by */
    int64_t count[PLACE_COUNT];
    struct worker *to_post;
    int64_t next_id, id_limit;     /* id_limit: of a shared record's ids that lie ready */
    int64_t kept_next, kept_limit; /* elsewhere.c: ids that are on disk as given */
    bool reserving;                /* another block of them is being written */
    uint64_t fence;
    bool started, stopping, closed;
    bool held;         /* nothing is claimed but by jobs_claim() */
    struct err failed; /* code ERR_NONE: the store works */
    struct history history;
    int64_t pushed_total, done_total, failed_total, retried_total, dead_total, dead;
    struct rates rates; /* of all queues */
    int rated;          /* queues with rates of their own, at most GAUGE_QUEUES */
    struct metric *commit_seconds, *commit_rows, *commit_errors;
    struct metric *claim_seconds; /* NULL: the record is not shared; and the same of the next */
    struct metric *claimed_at_push;
    int64_t rates_stored; /* minutes before this one are on disk */

    struct batch pending;
    int updates_writing;    /* of the batch under way */
    int64_t pushing;        /* jobs of pushes under way */
    struct buf others;      /* lanes of the other nodes of a shared record, JSON */
    struct buf card, cards; /* what this node says of itself, and what the others say (nodes.c) */
    struct pace {           /* shared.c */
        int64_t at_ns, ended;
        double per_ms;
    } pace;
    struct held { /* held.c */
        int64_t next_ns;
        size_t at;  /* in the index; 0 = no look is under way */
        bool watch; /* there was something at the last look */
    } held_look;
    bool writing;    /* the write below is under way */
    bool upkeep;     /* rows wait to be deleted */
    bool upkeep_now; /* a write is due although nothing is pending */
    int64_t next_upkeep_ns;
    int64_t retry_at_ns; /* a batch failed: the next one not before; 0 = none did */
    int64_t armed_wall;  /* when the control lane looks next; 0 = it sleeps */
    bool wake_wanted, waking;
    pthread_cond_t quiet; /* writing became false */
    int64_t stop_at_ns;   /* when what runs is asked to end, then taken away */
    bool asked, stopped;  /* stopped: the control lane has nothing of ours any more */
    struct lane *stop_lane;
    lane_fn *stop_fn;
    void *stop_arg;
    int64_t stale_total;

    /* the writer thread's while `writing` */
    struct sqlite_write write;
    struct batch batch;
    bool taken;       /* batch is filled; a second run of the work keeps it */
    int64_t taken_ns; /* when it was */
    struct buf blob;  /* records of this batch */
    struct fold fold;
    uint32_t words_written, words_stored; /* words up to words_stored are on disk */
    int64_t rates_written;                /* as rates_stored, once this is on disk */

    /* control lane */
    struct timer timer;
    struct lane_message wake;
};

/* jobs.c */
void jobs_lock(struct jobs *jobs);
/* Also hands a write to the store if something is pending, sends the lanes what
 * dispatch() gave them, and wakes the control lane if it should look earlier. */
void jobs_unlock(struct jobs *jobs);
void jobs_wake(struct jobs *jobs, int64_t at_wall); /* lock held: look then, at the latest */
void jobs_check_stopped(struct jobs *jobs);         /* lock held */

/* names.c.  Both make what is missing; NULL when JOBS_NAMES are there. */
struct kind *kind_get(struct jobs *jobs, struct str name);
struct queue *queue_get(struct jobs *jobs, struct str name);
/* Lock held: the kind with this Celery name; or NULL. */
struct kind *kind_of_task(struct jobs *jobs, struct str task);
/* Names as read from the database, with their words. */
bool names_restore(struct jobs *jobs, uint32_t word, bool is_queue, struct str name);
void names_free(struct jobs *jobs);
void names_restored(struct jobs *jobs);
void target_unref(struct run *run);

/* place.c */
void place_set(struct jobs *jobs, struct job *job, enum place place);
void place_ready_front(struct jobs *jobs, struct job *job);
void place_start(struct jobs *jobs, struct job *job, int64_t now_wall); /* READY or DELAYED */
/* A job that is picked may have to wait for what is not its limits: then it is not READY
 * any more. */
bool place_sets_aside(struct jobs *jobs, struct job *job);
/* At most JOBS_SLICE of them; the rest is still due, so the control lane looks again at once. */
void place_due(struct jobs *jobs, int64_t now_wall);     /* delayed → ready */
void place_expired(struct jobs *jobs, int64_t now_wall); /* what waited too long → finishing */

/* flow.c, beside flow.h */
void limit_look_at(struct jobs *jobs, struct limit *limit, int64_t at);
void stream_wake(struct jobs *jobs, struct stream *s);
void key_unblock(struct jobs *jobs, struct key *key); /* if it is open now */

/* stream.c.  The one of this job's queue, key and kind; made when missing. */
struct stream *stream_of(struct jobs *jobs, const struct job *job);
/* Idle ones go: nothing ready, nothing active, no tokens spent. */
void stream_rest(struct jobs *jobs, struct stream *s);
void flow_rest(struct jobs *jobs, struct flow *f);
void key_rest(struct jobs *jobs, struct key *key);
void keys_follow(struct jobs *jobs); /* the kinds' limits for each key have changed */
void flow_maps_free(struct jobs *jobs);

/* job.c */
struct job *job_create(struct str args, struct str unique); /* one reference */
void job_unref(struct job *job);
void job_forget(struct jobs *jobs, struct job *job); /* out of index and uniques, one ref less */
struct fin_record job_record(const struct job *job, int64_t now_wall);
struct job_backoff backoff_whole(struct job_backoff backoff); /* zeros filled in */
int64_t retry_delay_ns(const struct job_backoff *backoff, int attempt);

/* unique.c.  Lock held, but where the writer thread is named. */
bool unique_take(struct jobs *jobs, struct job *job); /* false: taken */
/* It waits with this key, whoever has it: it is the next to have it. */
void unique_share(struct jobs *jobs, struct job *job);
void unique_release(struct jobs *jobs, struct job *job);
void unique_started(struct jobs *jobs, struct job *job);     /* RUNNING: a key may be free */
void unique_waits_again(struct jobs *jobs, struct job *job); /* after a run */
/* Takes the key for a push's first job, or (op->replaces) finds whom it replaces; false
 * with ERR_EXISTS.  unique_undo(): the push came to nothing; job may be NULL. */
bool unique_admit(struct jobs *jobs, struct push_op *op, const struct job_spec *spec,
                  struct err *err);
void unique_undo(struct jobs *jobs, struct job *job);
void unique_replace(struct jobs *jobs, struct push_op *op); /* filled; takes op */
void unique_arrived(struct jobs *jobs, struct job *job);    /* it is in the index */
void unique_sweep(struct jobs *jobs, int64_t now_wall);     /* forgets what is over */
bool unique_record(struct sqlite_conn *conn, const struct job *job, int64_t id, int64_t until,
                   struct err *err); /* writer */
bool unique_record_row(struct sqlite_conn *conn, struct update_op *op,
                       struct err *err);                                              /* writer */
void unique_row_free(struct jobs *jobs, struct update_op *op, const struct err *err); /* no lock */
extern const char unique_read[];
void unique_restore(struct jobs *jobs, sqlite3_stmt *s);
void uniques_free(struct jobs *jobs);

/* dispatch.c */
void dispatch(struct jobs *jobs);
void workers_free(struct jobs *jobs);
void unclaim(struct jobs *jobs, struct job *job);
void worker_unclaim(struct jobs *jobs, struct worker *w);
void workers_unclaim(struct jobs *jobs);               /* claimed → ready */
void worker_post(struct jobs *jobs, struct worker *w); /* what it was given */
/* READY → CLAIMED, with a place of the worker; the caller puts it into a list of claimed ones. */
void claim_begin(struct jobs *jobs, struct job *job, struct worker *w);
/* On its lane: a claimed job gets its run, whose timeout is to be bound. */
struct run *run_bind(struct jobs *jobs, struct worker *w, struct job *job);
void run_bind_timeout(struct jobs *jobs, struct run *run, const struct kind *k, int64_t now);
void run_note(struct run *run); /* on its lane, no lock: in the flight recorder, as it starts */
void run_ask(struct run *run, enum job_end why);
void runs_overdue(struct jobs *jobs, int64_t now); /* those over their hard timeout are killed */

void held_begins(struct jobs *jobs); /* a job is held */
/* held.c.  Lock held: looks after jobs that nobody has a handler for. */
void held_look(struct jobs *jobs, int64_t now, int64_t now_wall);
int64_t held_oldest(const struct queue *queue, int64_t now_wall); /* seconds */
/* When this held job is given up, wall, ns, if nobody declares its kind until then; 0 = never. */
int64_t held_until(const struct jobs *jobs, const struct job *job);

/* follow.c.  Lock held.  Pushes one job for each of args in the commit of the end that this
 * hold of the lock makes (I9): a workflow's next step, a batch's last job.  It never fails
 * and nobody waits for it; limits of a push do not apply, since what ended made room.  The
 * spec has no unique key and no schedule.  Returns the first id (they are consecutive), or
 * 0 when JOBS_NAMES names are known and the kind is not one of them.
 *
 * The order is: job_over() (which a hook of yours may come from), then in the same hold
 *     follow_push(jobs, &spec, args, n);
 *     batch_add_effect(&jobs->pending, &state->effect);
 * A crash before the commit leaves the job unfinished: it runs again, and nothing of what
 * followed is there. */
int64_t follow_push(struct jobs *jobs, const struct job_spec *spec, const struct str *args,
                    int count);

/* attempt.c: the log of failed attempts.  Lock held: `run` failed, before its error is
 * taken.  The others on the writer thread and any thread with a connection. */
void attempt_log(struct jobs *jobs, const struct job *job, const struct run *run, int64_t now_wall);
bool attempt_log_crash(struct sqlite_conn *conn, const struct job *job,
                       const struct flight_entry *entry, const char *evidence, int64_t now_wall,
                       struct err *err);
bool attempt_print(struct sqlite_conn *conn, int64_t job, struct buf *out, struct err *err);

/* death.c.  Lock held: what the layer above keeps beside the death of a job. */
void death_note(struct jobs *jobs, struct job *job);       /* joins the pending batch */
void death_told(struct jobs *jobs, const struct job *job); /* a shared record has it */

/* settle.c: an outcome becomes the job's next state */
void settle(struct jobs *jobs, struct run *run, int64_t now_wall);
/* Lock held: the one way a job ends, by whatever it does (job->result is set before): it
 * waits for the commit that says so.  What follows from an end is added here. */
void job_over(struct jobs *jobs, struct job *job, enum job_end end);
void settle_failed(struct jobs *jobs, struct job *job, struct run *run, int64_t now_wall);
void run_take_away(struct jobs *jobs, struct job *job); /* RUNNING → READY, its run is stale */

/* batch.c */
void batch_init(struct batch *batch);
bool batch_is_empty(const struct batch *batch);
void batch_add_push(struct batch *batch, struct push_op *op);
void batch_add_update(struct batch *batch, struct update_op *op);
void batch_add_revival(struct batch *batch, struct change_op *op);
void batch_add_effect(struct batch *batch, struct effect *effect); /* takes it */
void effect_free(struct effect *effect);
void batch_drop(struct batch *batch);                  /* frees what a closed queue kept */
void batch_move(struct batch *to, struct batch *from); /* all of it, sealed; `to` is empty */
void batch_add_setting(struct batch *batch, struct setting_op *op);

/* commit.c */
void batch_setup(struct jobs *jobs); /* prepares jobs->write */

/* refuse.c.  No lock: pushes and changes that wait for a commit that will not come hear so;
 * outcomes, and what follows from them, stay. */
void batch_refuse(struct jobs *jobs, const struct err *err);

/* key.c: the key that the arguments say */
void key_fill(struct job *job, const char *field);

/* push.c */
bool push_check(const struct job_spec *spec, const struct str *args, int count, struct err *err);
bool push_room(struct jobs *jobs, int count, struct err *err); /* lock held */
/* Lock held: kind, queue and what depends on them; false: too many names. */
bool push_name(struct jobs *jobs, struct job *job, const struct job_spec *spec, struct err *err);
void push_fill_job(struct job *job, const struct job_spec *spec, int64_t now_wall); /* the rest */
void push_fill(struct push_op *op, const struct job_spec *spec); /* all but names, from the first */
/* Checks, names, ids, the unique key.  queue: hands it to the writer too; then the push may be over
 * when this returns.  NULL with *err. */
struct push_op *push_prepare(struct jobs *jobs, struct jobs_push *push, bool queue,
                             const struct job_spec *spec, const struct str *args, int count,
                             struct err *err);
/* An admitted one, to the writer.  False, and op is freed: the queue has failed since. */
bool push_hand_over(struct jobs *jobs, struct push_op *op, struct err *err);
void push_free(struct push_op *op); /* with its jobs, which nobody else knows yet */
void push_publish(struct jobs *jobs, struct push_op *ops); /* takes the lock: their jobs may run */
void push_answer(struct jobs *jobs, struct push_op *op, const struct err *err); /* frees op */
/* Writer thread: one job that follows from this transaction, for record_push() and
 * push_publish(); nobody waits for it.  NULL with *err. */
struct push_op *push_follow(struct jobs *jobs, const struct job_spec *spec, struct str args,
                            struct err *err);
void push_drop(struct jobs *jobs, struct push_op *op, bool rolled_back); /* frees op */

/* wait.c: one of the jobs it waits for is over; no lock.  Frees op. */
void wait_step(struct jobs *jobs, struct change_op *op);
void watchers_free(struct jobs *jobs); /* of a closed queue: nobody is told */

/* change.c */
void change_answer(struct change_op *op, const struct err *err); /* frees op */
bool change_revive(struct jobs *jobs, struct sqlite_conn *conn, struct change_op *op,
                   struct err *err);
void change_undo(struct jobs *jobs, struct change_op *op);

void change_reply(struct jobs_change *change, const struct err *err);

/* settings.c */
bool settings_load(struct jobs *jobs, struct sqlite_conn *conn, struct err *err);
bool settings_record(struct sqlite_conn *conn, struct setting_op *op, struct err *err);
/* Of a shared record: what is set there now.  Takes the lock. */
void settings_seen(struct jobs *jobs, struct str queue, const struct job_queue_change *now);
void settings_publish(struct jobs *jobs, const struct setting_op *op); /* takes the lock */
void settings_answer(struct setting_op *op, const struct err *err);    /* frees them */

/* record.c: statements of the hot path, on the writer thread */
bool record_push(struct sqlite_conn *conn, struct push_op *op, struct err *err);
bool record_revival(struct sqlite_conn *conn, struct job *job, struct err *err);
/* Names made since the last commit; *written says how far it got. */
bool record_words(struct jobs *jobs, struct sqlite_conn *conn, uint32_t *written, struct err *err);
bool record_batch(struct jobs *jobs, struct sqlite_conn *conn, struct err *err);

/* fold.c, on the writer thread */
void fold_recorded(struct fold *fold, int64_t seq, const struct fin_record *records, size_t n);
bool fold_step(struct jobs *jobs, struct sqlite_conn *conn, int64_t budget_ns, struct err *err);
void fold_committed(struct jobs *jobs); /* lock held */
bool fold_is_idle(const struct fold *fold);
size_t fold_backlog(const struct fold *fold); /* rows to be deleted */
bool record_next_id(struct jobs *jobs, struct sqlite_conn *conn, struct err *err);
void fold_free(struct fold *fold);

/* history.c */
void history_add(struct history *h, const struct fin_record *record);
const struct fin_record *history_find(const struct history *h, int64_t id);
const struct fin_record *history_back(const struct history *h, size_t n); /* 0 = newest; or NULL */
void history_free(struct history *h);

/* schema.c: makes the tables; arg: the jobs */
bool schema_make(struct sqlite_conn *conn, void *arg, struct err *err);

/* recover.c */
bool jobs_recover(struct jobs *jobs, struct err *err);

/* gauge.c: what queues do, over time.  Lock held but for gauge_record(). */
void gauge_add(struct jobs *jobs, struct queue *queue, int64_t now_wall, enum rate what);
void gauge_wait(struct jobs *jobs, const struct job *job, int64_t now_wall);
void gauge_move(const struct job *job, enum place from, enum place to);
int64_t gauge_oldest(const struct queue *queue, int64_t now_wall); /* seconds */
/* Over the last ten seconds that are closed. */
void gauge_per_second(struct queue *queue, int64_t now_wall, double per_second[RATE_COUNT]);
void gauge_setup(struct jobs *jobs); /* before anything else of it */
/* What is in jobs->batch is on disk, or is not.  No lock, who writes. */
void gauge_commit(struct jobs *jobs, bool ok);
void gauge_claim(struct jobs *jobs, int64_t began_ns); /* any thread, no lock; of a shared record */
/* Closed minutes, on the writer thread; they count as stored once committed. */
bool gauge_record(struct jobs *jobs, struct sqlite_conn *conn, struct err *err);
void gauge_restore(struct jobs *jobs, uint32_t word, int64_t minute,
                   const struct rates_bucket *bucket);
void gauge_free(struct jobs *jobs);

/* print_queues.c: a queue's jobs by place; of a shared record, as it was read last. */
const int64_t *queue_counts(const struct jobs *jobs, const struct queue *queue);

/* print.c */
struct job_row { /* a job as it is shown, wherever it comes from */
    int64_t id, created_at, run_at, started_at, finished_at; /* wall, ns; 0 = null */
    const char *kind, *queue;
    enum job_state state;
    int priority, attempt, max_attempts, crashes;
    struct str args, error, result;
    bool has_result;
    bool python; /* a Python worker's: nobody's here */
    struct str unique;
    const struct job_extra *extra; /* or NULL */
};
enum job_state job_state_of(const struct job *job);
void print_time(struct json *w, const char *key, int64_t wall_ns); /* null when not after 1970 */
enum job_state job_state_of_end(int end);                          /* of a fin_record */
void print_row(struct buf *out, const struct job_row *row);
void print_job(struct buf *out, const struct job *job); /* lock held */
/* Takes the lock.  args: empty when they are gone. */
void print_record(struct buf *out, struct jobs *jobs, const struct fin_record *record,
                  struct str args);

/* workflow/: runs of workflows take part in the record's transactions.  Nothing to do when
 * jobs->workflows is NULL. */
bool workflow_open_sqlite(struct jobs *jobs, struct sqlite_conn *conn,
                          struct err *err); /* with the schema */
bool workflow_recover(struct jobs *jobs, struct sqlite_conn *conn, struct err *err);
bool workflow_defers(struct jobs *jobs, struct job *job); /* lock held: its end is decided later */
void workflow_recovered(struct jobs *jobs);               /* lock held: all jobs have a place */
void workflow_carry(struct jobs *jobs);                   /* there is options.carry */
void workflow_begun_free(struct jobs *jobs);
void workflow_close(struct jobs *jobs);
bool workflow_pending(const struct jobs *jobs);                    /* lock held */
int64_t workflow_due_wall(const struct jobs *jobs);                /* lock held; 0 = no wait ends */
void workflow_look(struct jobs *jobs, int64_t now_wall);           /* lock held */
void workflow_take(struct jobs *jobs);                             /* lock held, with the batch */
bool workflow_is_graph_step(const struct jobs *jobs, int64_t job); /* writer thread, as below */
/* Whether it is a step's job, and its end is one of the step. */
bool workflow_is_step(const struct jobs *jobs, const struct job *job);
/* record: as the store of these runs wants it (workflow/store.h). */
bool workflow_record(struct jobs *jobs, void *record, struct err *err);
void workflow_committed(struct jobs *jobs);
void workflow_failed(struct jobs *jobs, const struct err *err);
void workflow_refuse(struct jobs *jobs, const struct err *err); /* no lock: what is pending */
void workflow_scrape(struct jobs *jobs);                        /* any thread */
/* Of a shared record; any thread, no lock.  A dead job of a step comes back, and its run with it.
 */
void workflow_retry(struct jobs *jobs, struct jobs_change *change, int64_t job);
void workflow_poll(struct jobs *jobs); /* waits may be over, or ends not yet decided about */
void workflow_seen(struct jobs *jobs, int64_t running, int64_t waiting);
