/* outbox.h -- tx.jobs:push where the record is elsewhere: rows of the server's own transaction.
 *
 * What is pushed inside store:tx is a row in maru_job_outbox of the same SQLite commit.  The
 * driver's writer thread reads the rows after it, takes them to the record, and deletes them.
 * The record has, for this state.dir (its home), the number of the last row that arrived, in
 * the same step that takes the row in; so a row that is brought again after a crash of either
 * side does nothing.
 *
 * Threads: outbox_push() the writer thread of SQLite, all others the driver's.
 */
#pragma once

#include "jobs/private.h"

enum { OUTBOX_ROWS = 500, OUTBOX_RETRY_MS = 1000 };

struct outbox {
    struct jobs *jobs;
    char home[40]; /* a UUID that this state.dir got once */
};

struct outbox_row {
    struct outbox_row *next;
    int64_t seq;       /* rising, never used twice */
    struct push_op op; /* one job, which has its id */
};
struct outbox_rows {
    struct outbox *box;
    struct outbox_row *first, **end;
    int count; /* OUTBOX_ROWS: there may be more */
};

/* Makes the tables.  Blocks; while starting. */
bool outbox_open(struct outbox *box, struct jobs *jobs, struct err *err);
/* As jobs_driver.push_tx. */
bool outbox_push(struct jobs *jobs, struct sqlite_conn *conn, struct push_op *op, struct err *err);

/* The oldest rows; what cannot be read back is passed over, and said.  Blocks.  The caller frees
 * them, also after a failure. */
bool outbox_read(struct outbox *box, struct outbox_rows *rows, struct err *err);
void outbox_free(struct outbox_rows *rows);
/* Those above `seq`, linked by next; they stay the rows'. */
struct push_op *outbox_pushes(const struct outbox_rows *rows, int64_t seq);
int64_t outbox_last(const struct outbox_rows *rows); /* the number of the last; 0 = there is none */
/* All up to the last have arrived.  Blocks. */
bool outbox_delete(const struct outbox_rows *rows, struct err *err);
/* Nobody waits any more who could be told that its unique key was taken. */
void outbox_complain(const struct push_op *pushes);
