/* crowd.h -- a plugin's batch in memory, from its push to the commit of its last end.
 *
 * Threads: jobs->lock; a crowd that is being pushed belongs to its push.
 */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

#include "base/err.h"

struct job;
struct jobs;
struct kind;
struct sqlite_conn;
struct tally;

struct crowd {
    int64_t id; /* of the same sequence as the jobs' */
    int64_t total, succeeded, failed;
    int64_t created_at, finished_at; /* wall, ns; finished_at 0 = not yet */
    int64_t done_job;                /* 0 = not pushed */
    struct kind *done_kind;          /* NULL: nothing follows */
    char *done_args, *description;   /* JSON object; text; or NULL */
    struct tally *pending;           /* what the next commit writes of it, or NULL */
};

/* Lock held: a member came to its end, and its end is in the pending commit. */
void crowd_member_over(struct jobs *jobs, const struct job *job);
/* Writer thread: the row of a new one. */
bool crowd_record(struct sqlite_conn *conn, const struct crowd *crowd, struct err *err);
void crowd_free(struct crowd *crowd); /* NULL is fine */
void crowds_free(struct jobs *jobs);
/* Recovery: what is unfinished, a row of crowd_read.  False: it is not readable. */
extern const char crowd_read[];
bool crowd_restore(struct jobs *jobs, sqlite3_stmt *s);
