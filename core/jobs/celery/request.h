/* celery/request.h -- remote control on the wire (kombu's pidbox): what is asked, how it is
 * answered.
 *
 *   {"method": "stats", "arguments": {…}, "destination": null | [node, …], "pattern", "matcher",
 *    "ticket": uuid, "reply_to": {"exchange", "routing_key"}}
 *
 * in kombu's envelope, published to everybody.  Pure; any thread.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "jobs/job.h"

struct celery_request {
    struct str method;                /* "" = none, which nobody knows */
    struct str arguments;             /* JSON, or empty */
    struct str ticket;                /* JSON */
    struct str exchange, routing_key; /* of the answer; no key: nobody wants one */
    int64_t clock;                    /* Lamport's, of who asks */
};

/* Strings live in the arena.  False: it is not a request, or not one to this node.  A pattern that
 * is a regular expression (matcher "pcre") is to nobody: it would run on what anybody sends. */
bool celery_request_read(struct str text, struct str node, struct arena *arena,
                         struct celery_request *out);
/* The envelope of {node: json}. */
void celery_reply_write(const struct celery_request *request, struct str node, struct str json,
                        int64_t clock, struct buf *out);

/* An argument that is one text or a list of them: `fn` for each, at most 1000. */
typedef void celery_text_fn(void *arg, struct str text);
void celery_each_text(struct str value, celery_text_fn *fn, void *arg);

/* What Python takes for true: Flower says `terminate` as 1. */
bool celery_truth(struct str value);

/* A rate as Celery writes them: "10/s", "10/m", "10/h", 10 or "10" (a second); null, 0 and "" are
 * no bound.  False: it is none of these. */
bool celery_rate_read(struct str value, struct job_rate *out);
