/* elsewhere.h -- tx.jobs:push where plugins' tables are in another server (store.driver postgres).
 *
 * What is pushed inside its transaction is a row of maru_job_outbox there, in the plugin's schema,
 * with this state.dir's home.  Once the transaction is committed the job is taken into the queue as
 * if it had been pushed in a transaction of the embedded SQLite, together with its id in
 * maru_job_taken; then the row goes, then the id.  What a process before this one left is taken by
 * jobs_take_elsewhere(), unless its id says that it was: so every row becomes one job, whichever of
 * the two dies in between.
 *
 * Threads: elsewhere_open() while starting, the others the lane of the transaction.
 */
#pragma once

#include "jobs/private.h"

/* Tables, and the home.  Blocks. */
bool elsewhere_open(struct jobs *jobs, struct err *err);
void elsewhere_close(struct jobs *jobs);
/* The prepared push as a step of the transaction.  False with *err: nothing was begun. */
bool elsewhere_push(struct jobs *jobs, struct push_op *op, struct store_tx *tx,
                    const struct job_spec *spec, const struct str *args, struct err *err);

/* push_tx.c: the commit of SQLite that takes the op's jobs, and its ends. */
bool push_tx_work(struct sqlite_conn *conn, struct sqlite_write *w);
void push_tx_committed(struct sqlite_write *w);
