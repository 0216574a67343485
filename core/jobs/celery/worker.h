/* celery/worker.h -- this process as a Celery worker, in the eyes of monitors.
 *
 *   celery/worker.c   that it is there: heartbeats, and what it has to be asked
 *   celery/events.c   what it tells of tasks
 *   celery/control.c  who asks, and the answer's way back; what is asked stands in
 *   celery/inspect.c  about tasks, celery/stats.c about this node, celery/order.c what is ordered
 *
 * Known to these.  Keeper thread, but for what says otherwise.
 */
#pragma once

#include "base/json.h"
#include "jobs/celery/request.h"
#include "jobs/redis/record.h"

enum { EVENTS_BYTES = 256 << 10, CONTROL_MOST = 64, BEAT_MS = 2000, STARTED_MS = 250 };

struct celery_worker {
    pthread_mutex_t lock; /* a leaf */
    struct buf events;    /* JSON objects, comma between; sent as one task.multi */
    int64_t dropped;      /* events that had no room */
    char *control[CONTROL_MOST];
    int control_count;
    int64_t clock; /* Lamport's */
    int64_t processed;
    struct map *totals; /* by task: struct total */
    struct total {
        char *task;
        int64_t count;
    } * total[REDIS_KINDS];
    int total_count;
    bool quiet; /* no events of tasks: a monitor ordered so */

    /* keeper only */
    int64_t beat_at, started_at; /* monotonic, ns */
    bool online;
    /* Queues that remote control added, and those it cancelled; until this process ends. */
    char *added[REDIS_QUEUES], *left[REDIS_QUEUES];
    int added_count, left_count;
};

/* One request of remote control. */
struct celery_call {
    struct redis_record *rec;
    struct str arguments; /* JSON, or empty */
};
/* Appends the answer's JSON; nothing stands for null. */
typedef void celery_method_fn(struct celery_call *call, struct buf *out);
struct celery_method {
    const char *name;
    celery_method_fn *run;
};
/* The last one's name is NULL. */
extern const struct celery_method celery_questions[];        /* celery/inspect.c */
extern const struct celery_method celery_worker_questions[]; /* celery/stats.c */
extern const struct celery_method celery_orders[];           /* celery/order.c */

/* Runs what a request asks for, and answers who wants an answer. */
void celery_control_run(struct redis_record *rec, struct str message);

/* celery/order.c */
void celery_order_free(struct celery_worker *worker);

/* celery/events.c.  An event with the fields that all have, left open; the worker's lock held. */
struct json celery_event_begin(struct redis_record *rec, struct buf *out, const char *type,
                               int64_t at_wall);
/* What began to run since the last look. */
void celery_events_started(struct redis_record *rec);
/* It was revoked while it was not due, and nobody had it. */
void celery_events_revoked(struct redis_record *rec, struct str uuid);
/* Arguments as their sender wants them shown (header `header`), or else their
 * repr. */
void celery_shown_field(struct json *w, const char *key, const struct celery_message *m,
                        const char *header, struct str json);

/* celery/worker.c: a heartbeat, at once. */
bool celery_beat(struct redis_record *rec, struct err *err);
