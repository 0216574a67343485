/* celery/follow.h -- what comes after a task: its callbacks, the rest of its chain, its chord.
 *
 * Pure; any thread.  Celery's worker does this in Python (trace.py, backends/base.py); here it is
 * text: signatures in, messages out.  All of it goes into Redis in the step that ends the task.
 */
#pragma once

#include "jobs/celery/message.h"
#include "jobs/celery/result.h"

enum { CELERY_FOLLOWERS = 500 }; /* messages that one end may send */

/* The queue a task goes to whose signature names none: appended to out. */
typedef void celery_route_fn(void *arg, struct str task, struct buf *out);

struct celery_pair {
    char *key;   /* a list; or, of a result, the task's id */
    char *value; /* the message; the result's JSON */
};
struct celery_follow {
    celery_route_fn *route;
    void *route_arg;
    int64_t now_wall;
    /* Filled.  A key celery-taskset-meta-<id>.s among the pushes is the size of a chord, to be set.
     */
    struct celery_pair *pushes, *results;
    int push_count, result_count;
    struct buf children; /* JSON array of task ids, for the result */
    struct err err;      /* what could not be sent, and why; code 0 = all was */
};
void celery_follow_fini(struct celery_follow *f);
/* Takes back all but the first so many. */
void celery_follow_cut(struct celery_follow *f, int pushes, int results);

/* After a success: callbacks, then the next of the chain, with the result as first argument. */
void celery_succeeded(struct celery_follow *f, const struct celery_message *m, struct str result);
/* After a failure: results of what the chain will not reach, then errbacks with the task's id. */
void celery_failed(struct celery_follow *f, const struct celery_message *m,
                   const struct celery_result *failure);

/* A chord whose parts are all there: `parts` are their members in order.  The body with the list of
 * results; or, when a part failed, the body's own failure and its errbacks. */
void celery_chord(struct celery_follow *f, const struct celery_message *m, const struct str *parts,
                  size_t count);
