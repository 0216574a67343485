/* celery/result.h -- what Celery's Redis result backend keeps of a task, and of a chord's parts.
 *
 * Pure; any thread.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

enum celery_state {
    CELERY_PENDING, /* nothing is known: no key */
    CELERY_STARTED,
    CELERY_RETRY,
    CELERY_SUCCESS,
    CELERY_FAILURE,
    CELERY_REVOKED,
}; /* ORDER celery_state */
const char *celery_state_name(enum celery_state state);

struct celery_result {
    enum celery_state state;
    struct str task_id, parent_id, group;
    struct str result;                            /* SUCCESS: JSON, empty = null */
    struct str exc_type, exc_message, exc_module; /* FAILURE, RETRY, REVOKED */
    struct str traceback;                         /* empty = null */
    struct str children;                          /* JSON array of ids, empty = none */
    int pid;                                      /* STARTED */
    struct str hostname;
    int64_t done_wall; /* ns; 0 = null, as STARTED and RETRY have it */
};
/* The JSON of key celery-task-meta-<id>, fields in Celery's order. */
void celery_result_write(const struct celery_result *result, struct buf *out);
/* Only "result" of it: what a chord keeps of a part. */
void celery_result_value(const struct celery_result *result, struct buf *out);

/* The member of celery-taskset-meta-<group>.j: [1, id, state, result]. */
void celery_part_write(const struct celery_result *result, struct buf *out);
/* Reads one: its result, if it was a success; otherwise false and the text of the ChordError. */
bool celery_part_read(struct str part, struct str *result, struct buf *error);

/* What a client finds under the key.  False: it is not a result. */
struct celery_answer {
    enum celery_state state;
    struct str result; /* raw JSON, borrowed; empty = null */
    struct buf error;  /* "ValueError: boom"; the caller frees it */
};
bool celery_result_read(struct str json, struct celery_answer *out);
