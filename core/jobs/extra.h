/* extra.h -- what few jobs have: kept out of line, so that a plain queued job stays small.
 *
 * A job's `extra` is NULL until something is set.  job_extra() reads without
 * asking whether it is there; extra_make() is for writing.
 *
 * The fields of the first part are on disk, as one JSON object in the column
 * `extra` of maru_job and maru_job_dead: NULL when all of them are zero.  To add
 * one: a line here and a line in the table of extra.c.  Texts belong to the extra.
 *
 * Threads: as the job (jobs->lock).  A push's jobs belong to who prepares it, and of a
 * FINISHING job neither `extra` nor what it holds changes any more, so the writer
 * thread reads it without the lock.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/heap.h"
#include "base/str.h"

struct job;
struct job_spec;

struct job_extra {
    /* on disk */
    int64_t result_ttl_ns;    /* 0 = the queue's */
    int64_t expires_at;       /* wall, ns: it must have started by then; 0 = no matter when */
    char *key;                /* whose turn it is, and whose limits hold; or NULL */
    int64_t unique_queued;    /* 1: its unique key is free once it runs */
    int64_t unique_period_ns; /* in an outbox only: how long its key is held */
    int64_t batch;            /* the crowd it is counted in, or 0 */
    int64_t workflow;         /* the run it is a step of, or 0 */
    int64_t step;             /* and which; 0: an older record does not say */
    int64_t logged;           /* 1: its log of attempts may have lines of a life before this one */
    char *previous;           /* JSON: the results of what it follows in a workflow */
    char *trace;              /* where its push stands in a trace, or NULL */
    /* on disk in columns of their own */
    int64_t scheduled_at; /* wall, ns: the schedule's instant */
    uint32_t timeout_ms;  /* 0 = the kind's */
    char *error;          /* of the last failed attempt */
    struct job *job;
    struct heap_node expiry; /* in jobs->expiring, by expires_at, while it may expire */
    /* not on disk */
    float progress; /* 0 … 1, of the run that has_progress */
    bool has_progress;
    char *message; /* what it says it does, or NULL */
    bool external; /* for a Python worker; and its options */
    uint8_t wire_priority;
    uint16_t wire_retries;
    uint32_t soft_timeout_ms;
    char *traceback;         /* of its last run, which failed, for a shared record; or NULL */
    struct job *unique_next; /* who waits with the same unique key (unique.c), or NULL */
    uint64_t lease;          /* a shared record's fence of this claim (driver.h) */
};

extern const struct job_extra extra_none; /* all zero: what most jobs have */

/* For writing: made when it is missing. */
struct job_extra *extra_make(struct job *job);
void extra_free(struct job *job);
/* What a push asks for beyond the hot fields. */
void extra_fill(struct job *job, const struct job_spec *spec);
/* The two that have columns of their own, as read from a row. */
void extra_read(struct job *job, int64_t timeout_ms, int64_t scheduled_at);
/* Takes `error` (may be NULL), frees the one before. */
void extra_set_error(struct job *job, char *error);
void extra_clear_progress(struct job *job); /* the run is over, or taken away */
/* The column's text appended to out: nothing when there is nothing to keep. */
void extra_print(const struct job_extra *extra, struct buf *out);
/* The reverse; unknown fields, of a newer maru, are passed over.  ERR_CORRUPT. */
bool extra_parse(struct job *job, struct str text, struct err *err);
