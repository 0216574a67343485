/* postgres/outbox.c -- rows of the outbox to PostgreSQL, on the write thread: maru.relay has the
 * number of the last one of this home, in the transaction that inserts them. */
#include "jobs/postgres/postgres.h"

#include "base/clock.h"
#include "observe/log.h"

void pg_tx_committed(struct jobs *jobs)
{
    struct pg *pg = jobs->record;
    pthread_mutex_lock(&pg->lock);
    pg->relay_wanted = true;
    pthread_cond_signal(&pg->write_wake);
    pthread_mutex_unlock(&pg->lock);
}

/* The number of the last row that arrived; < 0 with *err.  Its row is locked until the end. */
static int64_t arrived(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    pg_text(&a, pg->outbox.home);
    PGresult *r = pg_call(&pg->to_write,
                          "INSERT INTO maru.relay VALUES($1, 0) ON CONFLICT (home) DO UPDATE"
                          " SET seq = maru.relay.seq RETURNING seq",
                          &a, err);
    int64_t seq = r ? pg_get_int(r, 0, 0) : -1;
    PQclear(r);
    return seq;
}

static bool advance(struct pg *pg, int64_t seq, struct err *err)
{
    struct pg_args a = {0};
    pg_text(&a, pg->outbox.home);
    pg_int(&a, seq);
    PGresult *r = pg_call(&pg->to_write, "UPDATE maru.relay SET seq = $2 WHERE home = $1", &a, err);
    PQclear(r);
    return r != NULL;
}

/* Rows that are new there, as the pushes of a batch of their own. */
static bool relay(struct pg *pg, const struct outbox_rows *rows, struct err *err)
{
    int64_t seq;
    if (!pg_connect(&pg->to_write, err) || !pg_run(&pg->to_write, "BEGIN", err) ||
        (seq = arrived(pg, err)) < 0)
        return false;
    struct push_op *pushes = outbox_pushes(rows, seq);
    if ((!pushes || pg_write_pushes(pg, pushes, err)) && advance(pg, outbox_last(rows), err) &&
        pg_run(&pg->to_write, "COMMIT", err)) {
        outbox_complain(pushes);
        return true;
    }
    return false;
}

void pg_relay(struct pg *pg)
{
    struct outbox_rows rows = {0};
    struct err err = {0}, ignored;
    bool ok = pg_ids(pg, &err) && outbox_read(&pg->outbox, &rows, &err);
    bool sent = ok && rows.first && relay(pg, &rows, &err);
    if (ok && rows.first && !sent) {
        pg_forget_flows(pg);
        pg_run(&pg->to_write, "ROLLBACK", &ignored);
    }
    if (sent)
        outbox_delete(&rows, &err);
    if (err.code)
        log_warn("jobs", "pushes of transactions wait: %s", err.message);
    pthread_mutex_lock(&pg->lock);
    pg->relay_wanted = !pg->ending && (err.code || rows.count == OUTBOX_ROWS || pg->relay_wanted);
    pg->claim_wanted = pg->claim_wanted || sent;
    pthread_cond_signal(&pg->claim_wake);
    if (err.code && !pg->ending)
        pg_sleep(pg, &pg->write_wake, clock_ns() + OUTBOX_RETRY_MS * NS_PER_MS);
    pthread_mutex_unlock(&pg->lock);
    outbox_free(&rows);
}
