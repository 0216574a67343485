/* postgres/postgres.h -- the driver of a queue that several servers share in PostgreSQL.
 *
 * Known to postgres/ only.  Everything that has an order is a function in postgres/functions.sql,
 * called with whole batches as arrays; nothing is put together as text.  Four threads,
 * each with a connection of its own, so that none waits for another's statement:
 *
 *  write  takes the engine's batch into one transaction: pushes, then ends.  A commit whose
 *         answer was lost is looked up by its number in maru.writer and not repeated.
 *         Jobs for which the lanes have room are claimed as they are written (postgres/put.c).
 *  claim  asks for as many others as the lanes have room for, when told that there are some,
 *         when the next one is due, or every second.
 *  beat   renews this node's lease and listens.  Nothing else runs there: a slow statement
 *         must not look like a dead node.
 *  ask    looks, changes, counts, upkeep, and the recovery of nodes that are gone.
 *
 * Locks: jobs->lock, then pg->lock; never the other way.
 */
#pragma once

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

#include "jobs/driver.h"
#include "jobs/outbox.h"
#include "jobs/private.h"

enum {
    PG_ARGS = 13,
    PG_VERSION = 12,       /* of the schema, maru.meta */
    PG_BLOCK_BITS = 20,    /* ids of a block: at least JOBS_PUSH_COUNT */
    PG_ROWS = 4000,        /* of one call */
    PG_PATIENCE_MS = 5000, /* a push waits so long for a database that is away */
    PG_POLL_MS = 1000,     /* the safety net of LISTEN */
    PG_LOST = 64,          /* claims of pushes whose commit was not answered, at most */
    PG_NOTIFY_MS = 5,      /* notifications of one node are at least so far apart */
    PG_PAST_ROWS = 65536,  /* ended jobs without a result that are remembered, about */
};

struct pg;
struct pg_conn {
    struct pg *pg;
    const char *what; /* in application_name */
    PGconn *c;        /* NULL: not connected */
    int64_t retry_at_ns;
    int64_t pause_ms;     /* before the next attempt; grows */
    struct map *prepared; /* by text: its number in its name; or NULL */
    uint32_t tag;         /* in their names */
    int names;            /* the last such number */
};

/* Arguments of one call. */
struct pg_args {
    int n;
    Oid types[PG_ARGS];
    struct buf bufs[PG_ARGS];
    const char *values[PG_ARGS];
    int lengths[PG_ARGS], formats[PG_ARGS];
    int counts[PG_ARGS]; /* elements of an array */
};

struct pg_ask { /* a look or a change that waits for the ask thread */
    struct list link;
    struct jobs_query *query;
    struct jobs_change *change;
    struct workflow_query *workflow;
    const char *sql; /* of the change */
    bool retry;      /* it brings a dead job back */
    bool batch;      /* the query is of one */
    int64_t id;
};

struct pg {
    struct jobs *jobs;
    const char *url;
    char *name, writer[40];
    struct outbox outbox;
    struct driver_health *health;
    int64_t lease_ns;
    struct pg_schedules *schedules; /* postgres/schedules.c's */
    struct wf_postgres *workflows;  /* workflow/postgres.c's */
    pthread_t threads[4];
    int started;
    bool prepared; /* from before the threads: a schema takes longer than a lease may last */

    pthread_mutex_t lock; /* below */
    pthread_cond_t write_wake, claim_wake, ask_wake, claim_over;
    bool ending;       /* threads end */
    bool write_wanted; /* the engine's batch */
    bool count_wanted; /* settings changed */
    bool relay_wanted; /* rows in maru_job_outbox */
    bool claim_wanted; /* something may be there */
    bool claiming;     /* a claim is under way */
    bool caught_up;    /* the last one left nothing that is due */
    bool look_wanted;  /* for what workflows have not heard of yet */
    struct list asks;
    int64_t node;         /* 0: not registered */
    int64_t steady_ns;    /* since when beats came through; 0: they do not */
    struct err away;      /* why the database is out of reach; code NONE: it is not */
    struct err unclaimed; /* why the last claim failed although it is; code NONE: it did not */
    _Atomic bool room;    /* the engine said so since the last look */
    _Atomic int coming;   /* jobs that are being written for this node's lanes */

    /* write thread */
    struct pg_conn to_write;
    int64_t seq;  /* of the last batch */
    bool unknown; /* its commit was not answered */
    int64_t next_id, id_limit;
    struct push_op *pushes; /* that are being written */
    int64_t here;           /* node that may have some of them at once; 0: none */
    int64_t taker;          /* the same, until the batch is answered */
    bool waits;             /* some of them wait for a claim */
    bool refused;           /* some that there was room for: something was due before them */
    struct map *flows;      /* "kind\0queue": id + 1 as a pointer */
    int64_t notified_ns;
    bool notify_owed;      /* one was left out, for it came too soon */
    int64_t lost[PG_LOST]; /* fences of claims that nobody here knows, if they were committed */
    int lost_n;
    bool followed;          /* the transaction has jobs that workflows pushed or brought back */
    struct index taken;     /* ids of ends that the database took: value anything */
    struct index cancelled; /* of these, what was to go back but had been cancelled */
    /* claim thread */
    struct pg_conn to_claim;
    struct index names; /* flow id: struct pg_flow */
    uint64_t declared;  /* hash of what was declared last */
    int32_t *kinds;     /* the ids of room.kind */
    struct shared_room room_now;
    int64_t next_poll_ns;
    int64_t last_fence; /* of the last claim whose answer arrived */
    bool unseen;        /* one was sent since */
    /* beat, ask */
    struct pg_conn to_beat, to_ask;
    int64_t next_count_ns, next_upkeep_ns, next_reap_ns, next_warning_ns, next_look_ns,
        next_vacuum_ns;
};

struct pg_flow {
    char *kind, *queue;
};

/* postgres/call.c */
/* False with *err when libpq could not read it; says nothing of it, for it has the password. */
bool pg_check_url(const char *url, struct err *err);
bool pg_connect(struct pg_conn *conn, struct err *err); /* true at once if it is connected */
void pg_disconnect(struct pg_conn *conn);
void pg_int(struct pg_args *a, int64_t value);
void pg_text(struct pg_args *a, const char *text); /* NULL is null */
void pg_array(struct pg_args *a, Oid array_type);  /* what is added from here on is its */
void pg_add_int(struct pg_args *a, int64_t value); /* as wide as the array's elements */
void pg_add_text(struct pg_args *a, struct str text,
                 bool null); /* bytes that are no UTF-8 become '?' */
void pg_args_free(struct pg_args *a);
/* One statement with its arguments, which are freed.  NULL with *err; ERR_IO: the connection
 * was lost, and is closed. */
PGresult *pg_call(struct pg_conn *conn, const char *sql, struct pg_args *a, struct err *err);
/* The same of a text that is one of few, which is prepared. */
PGresult *pg_call_often(struct pg_conn *conn, const char *sql, struct pg_args *a, struct err *err);
bool pg_run(struct pg_conn *conn, const char *sql, struct err *err);
int64_t pg_get_int(const PGresult *r, int row, int column); /* 0 for null */
struct str pg_get(const PGresult *r, int row, int column);  /* empty for null; borrowed */

enum { PG_INT2S = 1005, PG_INT4S = 1007, PG_TEXTS = 1009, PG_INT8S = 1016 };

/* postgres/postgres.c */
void pg_away(struct pg *pg, const struct err *err);                   /* NULL: it is in reach */
void pg_unclaimed(struct pg *pg, const struct err *err);              /* NULL: claims go through */
void pg_sleep(struct pg *pg, pthread_cond_t *wake, int64_t until_ns); /* lock held */

/* postgres/declare.c.  Claim thread: the database knows the room's kinds as they are declared,
 * and that this node has them; pg->kinds are their ids. */
bool pg_declare(struct pg *pg, const struct shared_room *room, int64_t node, struct err *err);

/* postgres/health.c, ask thread: metrics of dead rows and what keeps them; warns. */
bool pg_observe(struct pg *pg, struct err *err);

/* postgres/settings.c: what an operator set of queues.  The columns begin at `first`. */
#define PG_SETTINGS                                                                                \
    "q.set, q.paused, q.concurrency, q.rate, q.rate_period, q.weight, q.key_concurrency,"          \
    " q.key_rate, q.key_rate_period"
struct job_queue_change pg_read_settings(const PGresult *r, int row, int first);
bool pg_write_settings(struct pg *pg, struct setting_op *ops, struct err *err);

/* postgres/node.c */
bool pg_prepare(struct pg *pg, struct pg_conn *conn, struct err *err); /* the schema */
bool pg_register(struct pg *pg, struct err *err);                      /* this node, on to_beat */
void *pg_beat_main(void *pg);

/* A statement: claims c of which `where` holds go back as they were.  A row for each. */
#define PG_GIVE_BACK(where)                                                                        \
    "SELECT maru.finish(array_agg(c.id), array_agg(c.fence), array_agg(5::smallint),"              \
    " array_agg(j.attempt), array_agg(0::bigint), array_agg(0::bigint), array_agg(0::bigint),"     \
    " array_agg(NULL::text), array_agg(NULL::text))"                                               \
    " FROM maru.claimed c JOIN maru.job j ON j.id = ANY(ARRAY[c.id])" where " HAVING count(*) > 0"

/* postgres/write.c: jobs->batch into one transaction; it may have been written although this
 * failed (pg->unknown), which the next call finds out. */
bool pg_write(struct pg *pg, struct err *err);
/* Whether what was sent for commit before is committed is decided when this returns true. */
bool pg_settle(struct pg *pg, struct err *err);
/* Which ids the statement returned, as keys; frees it.  False: there is no result. */
bool pg_collect(struct pg *pg, PGresult *r, struct index *ids);

/* postgres/put.c.  Sees to it that ids lie ready for the engine. */
bool pg_ids(struct pg *pg, struct err *err);
/* Ids for a push that found none lying ready. */
bool pg_give_ids(struct pg *pg, struct push_op *op, struct err *err);
/* In an open transaction.  Says of each whether it was there already; with pg->here, jobs that
 * shared_mark() marked have the fence of their claim, or no lease. */
bool pg_write_pushes(struct pg *pg, struct push_op *pushes, struct err *err);

/* A kind and a queue as the database knows them together; 0 with *err. */
int pg_flow_of(struct pg *pg, const struct job *job, struct err *err);
void pg_forget_flows(struct pg *pg); /* they may have been made in a transaction that is not */

/* postgres/unique.c.  Of pg->pushes, whose instants are decided: which are duplicates, and whom
 * they replace. */
bool pg_take_keys(struct pg *pg, struct err *err);

/* postgres/attempt.c.  In a batch's transaction, behind its ends: the failures of those that the
 * database took.  And q->out, one job's object, gets its "attempts"; or q->err. */
bool pg_write_attempts(struct pg *pg, struct err *err);
void pg_print_attempts(struct pg *pg, struct jobs_query *q);

/* postgres/outbox.c: pushes inside store:tx */
void pg_tx_committed(struct jobs *jobs);
void pg_relay(struct pg *pg); /* write thread */

/* postgres/batch.c, in an open transaction.  New ones; which members and steps had been cancelled;
 * what ended is counted. */
bool pg_write_crowds(struct pg *pg, const struct push_op *pushes, struct err *err);
bool pg_read_cancelled(struct pg *pg, struct err *err);
bool pg_count_members(struct pg *pg, struct err *err);
void pg_show_batch(struct pg *pg, struct jobs_query *q); /* ask thread: q->out, or q->err */
void pg_query_batch(struct jobs *jobs, struct jobs_query *q);

/* postgres/writer.c, postgres/claim.c, postgres/ask.c */
void *pg_write_main(void *pg);
void *pg_claim_main(void *pg);
void *pg_ask_main(void *pg);
/* postgres/find.c: q->out gets the ids; or q->err. */
void pg_find_ids(struct pg *pg, struct jobs_query *q);
/* postgres/why.c: q->why of the job q->id, if nobody has claimed it; or q->err. */
void pg_why(struct pg *pg, struct jobs_query *q);
void pg_submit(struct jobs *jobs, struct pg_ask ask); /* to the ask thread */
void pg_look_soon(struct pg *pg); /* which looks then whether workflows have something to decide */
void pg_query(struct jobs *jobs, struct jobs_query *query);
void pg_cancel(struct jobs *jobs, struct jobs_change *change, int64_t id);
void pg_retry(struct jobs *jobs, struct jobs_change *change, int64_t id);
void pg_discard(struct jobs *jobs, struct jobs_change *change, int64_t id);

/* workflow/postgres_look.c; the first two from open and close, the others on the ask thread. */
struct workflow_query;
void pg_open_workflows(struct pg *pg);
void pg_close_workflows(struct pg *pg);
void pg_show_workflow(struct pg *pg, struct workflow_query *query);
bool pg_look_for_workflows(struct pg *pg, struct err *err);
bool pg_count_workflows(struct pg *pg, struct err *err);
/* postgres/cards.c, the same thread: what the nodes say of themselves (nodes.c). */
bool pg_see_cards(struct pg *pg, struct err *err);
bool pg_cancel_orphans(struct pg *pg, struct err *err); /* jobs that runs left when they ended */

/* postgres/schedules.c */
struct pg_schedules *pg_schedules_create(struct pg *pg);
void pg_schedules_free(struct pg_schedules *p); /* answers what is left */
void pg_ask_schedules(struct jobs *jobs, struct jobs_schedules *s);

/* Made of postgres/tables.sql, its versions one after the other, and of postgres/functions.sql. */
extern const char postgres_tables_sql[], postgres_functions_sql[];
