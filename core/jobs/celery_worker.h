/* celery_worker.h -- this process as a Celery worker; known to celery_events.c and
 * celery_control.c. */
#pragma once

#include "jobs/redis_record.h"

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
    int64_t beat_at, started_at; /* monotonic, ns; keeper only */
    bool online;
};

/* Runs what a request asks for; `reply` gets its JSON, unless nobody wants one. */
void celery_control_run(struct redis_record *rec, struct str message);
/* Appends [{id, name, args, …}] of what runs here (running) or waits in hand; takes both locks. */
void celery_active(struct redis_record *rec, bool running, struct buf *out);
