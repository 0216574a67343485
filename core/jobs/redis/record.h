/* redis/record.h -- the Redis driver's own state.  Known to core/jobs/redis/.
 *
 * Three threads, each with a connection of its own that it opens again when it broke:
 *   writer    pushes and ends, batch by batch
 *   keeper    claims, leases, what is due, what is overdue, looks and changes, heartbeats
 *   listener  subscriptions: new messages, remote control, cancels
 *
 * record->lock guards what they share; it is a leaf below jobs->lock, and held over no call.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "jobs/celery/follow.h"
#include "jobs/driver.h"
#include "jobs/outbox.h"
#include "jobs/private.h"
#include "jobs/redis/scripts.h"
#include "jobs/workflow/workflow.h"

enum {
    REDIS_TIMEOUT_MS = 5000,
    REDIS_CLAIM_MOST = 128, /* messages of one claim */
    REDIS_QUEUES = 64,      /* one process consumes */
    REDIS_KINDS = 1000,     /* one claim names */
    REDIS_ENDS = 64,        /* jobs one call ends */
    REDIS_PUSHES = 100,     /* jobs one call pushes */
};

/* A message this process has in hand, from its claim to its end. */
struct claim {
    int64_t id;
    uint64_t lease; /* the fence */
    struct arena *arena;
    struct celery_message m; /* strings in the arena */
    struct str raw;
    char *queue;
    int attempt;
    int64_t claimed_wall;
    atomic_bool started; /* the event of its start is out */
    bool ending;         /* rec->lock: the writer has it in hand, and nobody else frees it */
};

/* A look or a change that waits for the keeper. */
struct redis_look {
    struct redis_look *next;
    enum redis_look_what {
        LOOK_QUERY,
        LOOK_BATCH,
        LOOK_CANCEL,
        LOOK_RETRY,
        LOOK_DISCARD,
        LOOK_RUNS
    } what;
    int64_t id;
    struct jobs_query *query;
    struct jobs_change *change;
    struct workflow_query *runs;
    int source;      /* of a search for ids: how far it is */
    char cursor[24]; /* empty: at the beginning of the source */
};

struct redis_record {
    /* immutable after open */
    struct jobs *jobs;
    struct redis_url url;
    char *prefix, *node, *default_queue;
    char *name;                 /* of this process, as other nodes call it */
    char *queues[REDIS_QUEUES]; /* of the configuration, consumed whatever the kinds say */
    int queue_count;
    int64_t visibility_s;
    uint32_t cluster; /* in the uuids of our jobs */
    char process[37]; /* no other has this name, nor had */
    int64_t started_wall;
    pthread_t writer, keeper, listener;
    bool has_writer, has_keeper, has_listener;

    struct redis_schedules *schedules; /* redis/schedules.c's */
    struct outbox outbox;

    pthread_mutex_t lock; /* all below */
    pthread_cond_t write_wake, keep_wake;
    bool stopping, write_due, keep_due;
    bool relay_wanted; /* rows in maru_job_outbox */
    int64_t relay_at;  /* monotonic, ns: not before */
    bool started;      /* may claim */
    bool more;         /* lists may have messages */
    struct err down;   /* code 0: Redis answers */
    struct driver_health *health;
    struct redis_look *looks, **looks_end;
    struct index claims;          /* struct claim by id */
    struct celery_worker *worker; /* celery/events.c */

    /* writer only */
    int64_t push_seq; /* calls before this batch */
    int push_calls, push_round, push_round_calls;

    /* keeper only */
    struct redis *keep;
    int64_t due_at, renew_at, sweep_at, seen_at, cards_at, poll_at; /* monotonic, ns */
    int64_t runs_old_at;                     /* when old runs of workflows are looked for */
    int64_t declare_at, prune_at, refill_at; /* refill_at: 0 = no bucket is waited for */
    uint64_t declared;                       /* what was declared last, as a number */
    struct map *declared_whos;
    int64_t claim_seq;
    bool unseen; /* the answer to the last claim did not arrive */
    int rotation;
    redisReply *seen; /* members of P queues */
};

static inline struct redis_record *record_of(const struct jobs *jobs)
{
    return jobs->record;
}

/* redis/redis.c, redis/hand.c */
/* Connects when *conn is NULL; notes in record->down how it went. */
bool redis_reach(struct redis_record *rec, struct redis **conn, const char *name, struct err *err);
/* After a failed call: gives a broken connection up. */
void redis_failed(struct redis_record *rec, struct redis **conn, const struct err *err);
void redis_works(struct redis_record *rec); /* it answered */
void redis_wake_keeper(struct redis_record *rec);
void redis_look_for_work(struct redis_record *rec); /* lists may have messages */
/* The id in a uuid of ours, or 0. */
int64_t redis_uuid_id(uint32_t cluster, struct str uuid);
void redis_uuid(uint32_t cluster, int64_t id, char out[37]);
/* The queue where tasks of this name go; takes jobs->lock. */
void redis_route(void *record, struct str task, struct buf *out);

void claim_free(struct claim *claim);
/* Writer thread: the claim, which is `ending` until one of the two below; NULL: not ours. */
struct claim *claim_find(struct redis_record *rec, int64_t id, uint64_t lease);
void claim_drop(struct redis_record *rec, struct claim *claim);
void claim_release(struct redis_record *rec, struct claim *claim); /* it did not end */

/* redis/end.c: how a claim ends. */
struct ending {
    struct claim *claim;
    enum ending_kind {
        ENDING_DONE,
        ENDING_DEAD,
        ENDING_CANCELLED,
        ENDING_EXPIRED,
        ENDING_RETRY, /* another attempt at run_at_wall */
        ENDING_BACK,  /* as it was, at run_at_wall; in front when that is 0 */
        ENDING_BAD,   /* to the quarantine */
    } kind;
    struct str error, result;
    struct str traceback;  /* of a failure; empty = the error alone */
    bool terminated;       /* cancelled while it ran */
    const char *exception; /* NULL = RuntimeError */
    int64_t run_at_wall;
    int attempt;
    int64_t ttl_ns; /* of its result; 0 = the queue's */
    bool began;     /* BACK: it ran */
    bool stale;     /* set: it changed nothing */
};
/* Ends them in Redis, with all that follows.  False with *err: the connection broke, and none to
 * all of them may have ended; it may be called again with the same. */
bool redis_ends_all(struct redis_record *rec, struct redis *conn, struct ending *endings, int count,
                    struct err *err);

/* One end that goes with other things in one call: the arguments that end.lua has for it, and what
 * it lacks when the answer is an array (a chord's parts), for another try. */
struct redis_parcel;
struct redis_parcel *redis_parcel_make(struct redis_record *rec, struct ending *e);
void redis_parcel_args(struct redis_record *rec, const struct redis_parcel *p,
                       struct redis_args *args);
void redis_parcel_complete(struct redis_parcel *p, const redisReply *there);
void redis_parcel_free(struct redis_parcel *p);

/* redis/change.c: the result of a job that was cancelled, with $uuid for its name; the message of
 * one that may start at once, `again`: with all its attempts ahead of it. */
void redis_cancelled_meta(struct buf *out);
bool redis_fresh_message(struct str raw, bool again, struct buf *out);

/* workflow/redis*.c: the decisions of this batch (writer thread); what waits for one, and looks
 * (keeper).  Fills q->out. */
bool redis_write_workflows(struct redis_record *rec, struct redis **conn, struct err *err);
bool redis_see_workflows(struct redis_record *rec, struct err *err);
bool redis_look_workflow(struct redis_record *rec, struct workflow_query *q, struct err *err);
void redis_query_workflow(struct jobs *jobs, struct workflow_query *q); /* any thread */

/* redis/push.c, writer thread */
/* Jobs of one call of redis_push or redis_relay, and the texts its arguments point to.  Zero to
 * begin with. */
struct redis_pushing {
    struct redis_args args;
    struct arena *arena;
    struct push_op *ops[REDIS_PUSHES]; /* of each job */
    int count;
    size_t bytes;
    char number[16];
};
void redis_pushing_begin(struct redis_record *rec, struct redis_pushing *p, const char *who,
                         int64_t seq);
/* One more: at most REDIS_PUSHES. */
void redis_pushing_add(struct redis_record *rec, struct redis_pushing *p, struct push_op *op,
                       const struct job *job);
const struct redis_args *redis_pushing_args(struct redis_pushing *p);
void redis_pushing_end(struct redis_pushing *p);
/* What put.lua says of a job. */
void redis_push_answer(struct push_op *op, struct str code, int round);
/* All of the batch.  False with *err: it may be called again, and does nothing twice, until
 * redis_pushes_over(). */
bool redis_write_pushes(struct redis_record *rec, struct redis *conn, struct err *err);
void redis_pushes_over(struct redis_record *rec);

/* redis/first.c: what is asked of a server before anything else. */
bool redis_first_look(struct redis_record *rec, struct err *err);

/* redis/write.c, writer thread */
struct ending redis_ending_of(const struct job *job, struct claim *claim);
void redis_write_batch(struct redis_record *rec, struct redis **conn);

/* redis/outbox.c, writer thread: what was committed since; ids for pushes in transactions. */
void redis_relay_rows(struct redis_record *rec, struct redis **conn);
bool redis_ids(struct redis_record *rec, struct redis *conn, struct err *err);
void redis_tx_committed(struct jobs *jobs); /* any thread */

/* redis/batch.c: batches among the pushes of this batch (writer thread); a look (keeper). */
bool redis_open_batches(struct redis_record *rec, struct redis *conn, struct err *err);
bool redis_look_batch(struct redis_record *rec, struct jobs_query *query, struct err *err);

/* redis/settings.c: the operator's, of the batch (writer thread); of all nodes (keeper). */
bool redis_write_settings(struct redis_record *rec, struct redis *conn, struct err *err);
bool redis_see_settings(struct redis_record *rec, struct err *err);

/* redis/claim.c and redis/keep.c, keeper thread.  False with *err: not all of it was done. */
bool redis_claim_some(struct redis_record *rec, struct err *err);
bool redis_keep(struct redis_record *rec, struct err *err);

/* redis/limits.c, keeper thread: bounds of kinds and queues, as they are declared here. */
bool redis_declare(struct redis_record *rec, struct err *err);
void redis_undeclare(struct redis_record *rec); /* frees what it keeps */

/* The queue a message of this exchange and routing key goes to. */
struct str redis_bound_queue(struct redis_record *rec, struct arena *arena, struct str exchange,
                             struct str key);

/* celery/events.c: this process as a Celery worker in the eyes of monitors. */
void celery_events_open(struct redis_record *rec);
void celery_events_received(struct redis_record *rec, const struct claim *claim);
/* Before the claims are dropped; `jobs` is NULL for those that never became jobs here. */
void celery_events_ended(struct redis_record *rec, const struct ending *endings,
                         struct job *const *jobs, int count);
/* Keeper thread: heartbeats, what is queued, answers to remote control. */
bool celery_events_run(struct redis_record *rec, struct err *err);
/* Keeper thread, last: says that the worker goes. */
void celery_events_stop(struct redis_record *rec);
/* Keeper thread: a list of the queues that this node consumes, as remote control has changed it:
 * without those it cancelled, with those it added; its length. */
int celery_consumed(const struct redis_record *rec, const char **list, int count);
/* A name more in such a list of REDIS_QUEUES, unless it is there; its length. */
int celery_queue_add(const char **list, int count, const char *name);
/* Listener thread: a request came in. */
void celery_control(struct redis_record *rec, struct str message);
void celery_events_close(struct redis_record *rec);

/* redis/look.c, redis/rows.c, redis/change.c, keeper thread */
void redis_looks_run(struct redis_record *rec, struct redis_look *looks);
void redis_answer(struct redis_look *look, const struct err *err); /* frees it */
bool redis_look_one(struct redis_record *rec, struct jobs_query *q, struct err *err);
void redis_run_change(struct redis_record *rec, struct redis_look *look); /* answers it */
struct search;
/* A job of redis_rows, as JSON behind others if the query wants its state.  False: it is gone or
 * does not match. */
bool redis_print_row(struct redis_record *rec, const struct jobs_query *query,
                     const struct search *search, const redisReply *row, struct buf *out,
                     enum job_state *state);
/* Every `step`-th of the ids.  NULL with *err; the caller frees it. */
redisReply *redis_rows_of(struct redis_record *rec, const redisReply *ids, size_t step,
                          struct err *err);
/* redis/find.c: one slice of a query's search for ids.  True: there is more of it. */
bool redis_find_ids(struct redis_record *rec, struct redis_look *look, struct err *err);
void redis_looks_refuse(struct redis_look *looks, const struct err *err);
void redis_cancel_id(struct redis_record *rec, int64_t id); /* wherever it is, if it is */
bool redis_see_queues(struct redis_record *rec, struct err *err);
/* redis/cards.c, keeper thread: what nodes say of themselves; and that this one ends. */
bool redis_tell_cards(struct redis_record *rec, struct err *err);
void redis_leave_cards(struct redis_record *rec);
void redis_query(struct jobs *jobs, struct jobs_query *query);
void redis_query_batch(struct jobs *jobs, struct jobs_query *query);
void redis_cancel_job(struct jobs *jobs, struct jobs_change *change, int64_t id);
void redis_retry_job(struct jobs *jobs, struct jobs_change *change, int64_t id);
void redis_discard_job(struct jobs *jobs, struct jobs_change *change, int64_t id);

/* redis/schedules.c */
struct redis_schedules *redis_schedules_create(struct redis_record *rec);
void redis_schedules_free(struct redis_schedules *r); /* answers what is left; NULL is fine */
void redis_ask_schedules(struct jobs *jobs, struct jobs_schedules *s);

/* redis/listen.c */
void *redis_listener_main(void *record);
