/* crowd.h -- a plugin's batch in memory, from its push to the commit of its last end.
 *
 * Threads: jobs->lock; a crowd that is being pushed belongs to its push.
 */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct buf;
struct job;
struct jobs;
struct jobs_batch;
struct jobs_query;
struct kind;
struct push_op;
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
    /* Of a shared record, which counts by itself: the last job as it is to be pushed, but for
     * its time and for the text CROWD_COUNTS in its arguments; NULL: nothing follows. */
    struct job *last;
    struct jobs_batch *asked; /* hears the id */
};

/* What stands in the last job's arguments, once, until the counts do, as crowd_counts() writes
 * them: the value of the last member of the object. */
#define CROWD_COUNTS "\"$batch\""
void crowd_counts(struct buf *out, int64_t id, int64_t total, int64_t succeeded, int64_t failed);
/* How many ids a push of a batch takes, and gives them from `first` on: the batch's own, the
 * last job's, the members'. */
int64_t crowd_ids(const struct push_op *op);
void crowd_number(struct push_op *op, int64_t first);
/* The row of a look (jobs_query_batch()). */
struct crowd_row {
    int64_t id, total, succeeded, failed, created_at, finished_at, done_job;
    struct str description; /* or empty */
};
void crowd_print(struct buf *out, const struct crowd_row *row);

/* Lock held: a member came to its end, and its end is in the pending commit. */
void crowd_member_over(struct jobs *jobs, const struct job *job);
/* Writer thread: the row of a new one. */
bool crowd_record(struct sqlite_conn *conn, const struct crowd *crowd, struct err *err);
void crowd_free(struct crowd *crowd); /* NULL is fine */
void crowds_free(struct jobs *jobs);
/* Recovery: what is unfinished, a row of crowd_read.  False: it is not readable. */
extern const char crowd_read[];
bool crowd_restore(struct jobs *jobs, sqlite3_stmt *s);
