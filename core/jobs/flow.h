/* flow.h -- which ready job is next: queues, in them flows, in them streams.
 *
 *   jobs->ring ─▶ queue ─▶ flow ─▶ stream ─▶ job
 *
 * A flow is what one queue has under one key; jobs without a key are one flow.  A
 * stream is what a flow has of one kind, three lists of jobs by priority.  Queues take
 * turns by their weight, the flows of a queue one by one, and in a flow priorities by
 * 8:4:1, of each the streams one by one.  So who has a million jobs under one key does
 * not hold up who has one under another.
 *
 * What may not run now is in no ring, and costs nothing until it may:
 *
 *   queue   its limit is not open (or it is paused): `blocked`
 *   flow    the queue's limit for one key is not open: `blocked`
 *   stream  the kind's limit for one key, or the kind's own, is not open: it is PARKED
 *           in the list of that key or of its line
 *
 * They leave their ring when their turn comes and the limit is found shut, and come back
 * when the limit opens: an active job ended, the bucket refilled (jobs->refills), the
 * bounds changed.  A kind's limit is shared by many streams, so they come back one by
 * one.  A line is what one queue has of one kind; the rule that loses no wake-up is
 *
 *   while the kind's limit is open, a line with parked streams has one that is awake in
 *   a flow that is not blocked
 *
 * and line_settle() restores it after anything that could break it.
 *
 * Threads: under jobs->lock.
 */
#pragma once

#include "base/list.h"
#include "jobs/limit.h"

enum { JOBS_PRIORITIES = 3 }; /* ORDER job_priority */

struct job;
struct kind;
struct queue;

enum stream_state {
    STREAM_EMPTY,
    STREAM_AWAKE,          /* in its flow's rings, by priority */
    STREAM_PARKED_AT_KEY,  /* in key->parked */
    STREAM_PARKED_AT_KIND, /* in line->parked */
};

struct stream {
    struct flow *flow;
    struct line *line;
    struct key *key; /* the kind has limits for each key, or NULL */
    struct list ready[JOBS_PRIORITIES];
    struct list ring[JOBS_PRIORITIES]; /* in flow->ring while AWAKE and ready[p] is not empty */
    struct list parked;
    struct list link; /* flow->streams */
    uint32_t ready_n, active_n;
    uint8_t state; /* enum stream_state */
};

struct flow {
    struct queue *queue;
    char *key; /* NULL: the queue's flow of jobs without one */
    struct list streams;
    struct list ring[JOBS_PRIORITIES]; /* of streams */
    struct list turn;                  /* in queue->turns */
    struct list link;                  /* queue->flows */
    struct limit limit;
    int awake; /* streams */
    uint8_t credit[JOBS_PRIORITIES];
    bool blocked;
};

struct line {
    struct kind *kind;
    struct queue *queue;
    struct stream *plain; /* of the flow without key */
    struct list parked;   /* streams */
    struct list link;     /* kind->lines */
    int awake;            /* streams, in flows that are not blocked */
    int64_t ready;        /* jobs */
};

/* Jobs of one kind with one key, in whatever queues. */
struct key {
    struct kind *kind;
    char *text;
    struct limit limit;
    struct list parked;
    int streams; /* that lead to it */
};

struct jobs;

/* The job becomes READY, or stops being that; called by place.c only. */
void flow_enter(struct jobs *jobs, struct job *job, bool front);
void flow_leave(struct jobs *jobs, struct job *job);
/* It becomes active (by = 1) or stops being that (-1), under all limits that hold for it. */
void flow_active(struct jobs *jobs, struct job *job, int by);
/* A start that did not happen costs no token; the job is active still. */
void flow_give_back(struct job *job);
/* The job has its last place: neither READY nor active.  Forgets its stream. */
void flow_forget(struct jobs *jobs, struct job *job);

/* The next job that may run, still READY; or NULL. */
struct job *flow_pick(struct jobs *jobs);
/* Whether nothing but its turn keeps this READY job. */
bool flow_may_run(const struct jobs *jobs, const struct job *job);
/* The limit that keeps it, from the outside in; or NULL. */
const struct limit *flow_blocking(const struct job *job);

/* Something about these limits changed: what they kept may run. */
void flow_kind_changed(struct jobs *jobs, struct kind *kind);
void flow_queue_changed(struct jobs *jobs, struct queue *queue);
/* Buckets that have refilled by now; called by the control lane's look. */
void flow_refilled(struct jobs *jobs, int64_t now);

void flow_queue_init(struct queue *queue);
void flow_queue_free(struct queue *queue);
void flow_kind_init(struct kind *kind);
void flow_kind_free(struct kind *kind);
