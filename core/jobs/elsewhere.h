/* elsewhere.h -- tx.jobs:push where plugins' tables are in another server (store.driver postgres):
 * the push is a row of that transaction, and brought over as storage/carry.h says.
 *
 * This process keeps what was prepared, with its unique key, and takes it into the queue when its
 * row is brought; of a row that another process left it makes the push anew.  Ids of an own record
 * come from a block that is on disk as given, so that a process after this one gives none of them
 * again.
 *
 * Threads: elsewhere_open() while starting, elsewhere_push() the lane of the transaction, what is
 * brought the control lane.
 */
#pragma once

#include "jobs/private.h"

/* Behind the recovery.  Blocks. */
bool elsewhere_open(struct jobs *jobs, struct err *err);
void elsewhere_close(struct jobs *jobs);
/* Ids for a push there; 0 with *err: there is none at hand.  Takes the lock. */
int64_t elsewhere_id(struct jobs *jobs, int count, struct err *err);
/* The prepared push as a step of the transaction.  False with *err: nothing was begun. */
bool elsewhere_push(struct jobs *jobs, struct push_op *op, struct store_tx *tx,
                    const struct job_spec *spec, const struct str *args, struct err *err);

/* push_tx.c: the commit of SQLite that takes the op's jobs, and its ends. */
bool push_tx_work(struct sqlite_conn *conn, struct sqlite_write *w);
void push_tx_committed(struct sqlite_write *w);
