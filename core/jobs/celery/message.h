/* celery/message.h -- a task on Celery's wire: kombu's envelope around a protocol 2 body.
 *
 *   {"body": base64 of [args, kwargs, {"callbacks","errbacks","chain","chord"}],
 *    "content-type": "application/json", "content-encoding": "utf-8",
 *    "headers": {"task", "id", "eta", …}, "properties": {"delivery_tag", …}}
 *
 * What a Python worker dies of or drops without a word is a value with a reason here
 * (facts: a missing header `id` ends every worker that reads the message, one after the other).
 * Pure; any thread.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    CELERY_MESSAGE_BYTES = 4 << 20, /* a longer message is malformed */
    CELERY_DEPTH = 64,              /* nesting of its JSON */
    CELERY_NAME_BYTES = 255,        /* task names, ids, queues */
    CELERY_PRIORITIES = 10,         /* 0 … 9, and 0 is the first to run on Redis */
    CELERY_STEPS = 4,               /* lists of a queue: priorities from 0, 3, 6 and 9 on */
};

/* Empty strings stand for null and for absent.  JSON fields are raw text. */
struct celery_message {
    struct str task, id;
    struct str root_id, parent_id, group;
    struct str shadow, origin, reply_to;
    int group_index;                /* -1 = null */
    int64_t eta_wall, expires_wall; /* ns; 0 = none */
    int retries;
    double time_limit_s, soft_time_limit_s; /* 0 = none */
    int priority;
    bool ignore_result, redelivered;
    struct str exchange, routing_key, delivery_tag;
    struct str args, kwargs;               /* an array, an object */
    struct str callbacks, errbacks, chain; /* arrays of signatures */
    struct str chord;                      /* a signature */
    int64_t maru_id;    /* header `maru`: the job's id, of messages we pushed; 0 = none */
    int64_t version;    /* header `maru_version`: of a push that took another's place; 0 = none */
    struct str key;     /* header `maru_key`: whose limits hold */
    struct str headers; /* all of them, of a message that was read: what is not known rides along */
};

/* A string decoded into the arena; empty when it is none, or too long to be a name. */
struct str celery_decoded(struct arena *arena, struct str value);

/* Reads a message; strings live in text or the arena.  False with *err: ERR_INVALID or ERR_LIMIT
 * and a reason a person understands, for the quarantine. */
bool celery_message_read(struct str text, struct arena *arena, struct celery_message *out,
                         struct err *err);
/* Appends the message as a Python producer writes it, none of the fields left out that a worker
 * dies without.  task, id, delivery_tag and routing_key are set, args and kwargs may be empty. */
void celery_message_write(const struct celery_message *message, struct buf *out);

/* Any other envelope of kombu's (events, remote control): its body's JSON; false: there is none. */
bool celery_envelope_read(struct str text, struct buf *body);
void celery_envelope_write(struct str body, struct str exchange, struct str routing_key,
                           struct str headers, struct buf *out);

/* The same message as its next receiver shall see it: kombu's two marks of another delivery. */
void celery_redelivered(struct str message, struct buf *out);

/* The list a message of this priority stands in: "queue", or "queue\x06\x16" and the step. */
void celery_list_name(struct str queue, int priority, struct buf *out);

/* The arguments of a job: kwargs with the positional ones as "*args", or, when there are only
 * those, an array.  Typed values become plain. */
void celery_args_join(struct str args, struct str kwargs, struct buf *out);
/* The way back: which part of `json` is args and which is kwargs ("[]" and "{}" if it has none). */
void celery_args_split(struct str json, struct buf *args, struct buf *kwargs);
