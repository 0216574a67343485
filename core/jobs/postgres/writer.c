/* postgres/writer.c -- the thread that writes, and how long it is patient. */
#include "jobs/postgres/postgres.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

enum { RETRY_MS = 100, LET_CLAIM_MS = 5 };

/* Every node reads what is set of queues, this one too. */
static void notify_settings(struct pg *pg)
{
    struct err ignored;
    pg_run(&pg->to_write, "NOTIFY maru, 'q'", &ignored);
}

/* Nodes that listen look for work; once in a while is enough, they ask again while there is more.
 */
static void notify(struct pg *pg)
{
    struct err ignored;
    int64_t now = clock_ns();
    pg->notify_owed = now - pg->notified_ns < PG_NOTIFY_MS * NS_PER_MS;
    if (pg->notify_owed)
        return;
    pg->notified_ns = now;
    pg_run(&pg->to_write, "NOTIFY maru, 'w'", &ignored);
}

static void mark_stale(struct pg *pg)
{
    list_each (node, &pg->jobs->batch.ends) {
        struct job *job = list_entry(node, struct job, link);
        if (!index_get(&pg->taken, job->id))
            shared_stale(pg->jobs, job);
    }
    index_free(&pg->taken);
}

/* Whether it is worth trying again what failed like this. */
static bool is_patient(struct pg *pg, const struct err *err, int64_t until_ns)
{
    pthread_mutex_lock(&pg->lock);
    bool ending = pg->ending;
    pthread_mutex_unlock(&pg->lock);
    jobs_lock(pg->jobs);
    bool closed = pg->jobs->closed;
    jobs_unlock(pg->jobs);
    return (err->code == ERR_IO || err->code == ERR_BUSY) && !ending && !closed &&
           clock_ns() < until_ns;
}

/* What waits for a claim that comes in a moment keeps what is pushed meanwhile from being taken at
 * once, which then waits for the next one, and so on. */
static void let_claim_end(struct pg *pg)
{
    int64_t until = clock_ns() + LET_CLAIM_MS * NS_PER_MS;
    pthread_mutex_lock(&pg->lock);
    while (pg->refused && pg->caught_up && (pg->claiming || pg->claim_wanted) && !pg->ending &&
           clock_ns() < until)
        pg_sleep(pg, &pg->claim_over, until);
    pthread_mutex_unlock(&pg->lock);
}

/* The lease that they were claimed with is lost: others have them, or will. */
static void forget_taken(struct pg *pg)
{
    pthread_mutex_lock(&pg->lock);
    bool kept = pg->taker == pg->node;
    pthread_mutex_unlock(&pg->lock);
    if (pg->taker && !kept)
        shared_mark(pg->jobs, pg->jobs->batch.pushes, 0);
}

/* Nobody knows whether this batch was committed, and nobody will ask again: if it was, this node's
 * lease keeps what was claimed with it from all others. */
static void remember_lost(struct pg *pg)
{
    for (struct push_op *op = pg->jobs->batch.pushes; op && pg->taker; op = op->next)
        for (struct job *job = op->first; job; job = job->next) {
            int64_t fence = (int64_t)job_extra(job)->lease;
            bool known = fence == 0 || pg->lost_n == PG_LOST;
            for (int i = 0; i < pg->lost_n && !known; i++)
                known = pg->lost[i] == fence;
            if (!known)
                pg->lost[pg->lost_n++] = fence;
        }
}

/* Their claims go back. */
static void give_back_lost(struct pg *pg)
{
    struct err err = {0};
    struct pg_args a = {0};
    if (!pg->lost_n || !pg_connect(&pg->to_write, &err) || !pg_settle(pg, &err))
        return;
    pg_array(&a, PG_INT8S);
    for (int i = 0; i < pg->lost_n; i++)
        pg_add_int(&a, pg->lost[i]);
    PGresult *r = pg_call(&pg->to_write, PG_GIVE_BACK(" WHERE c.fence = ANY($1)"), &a, &err);
    if (!r)
        return;
    if (PQntuples(r))
        log_warn("jobs", "%d jobs go back: the answer to their push did not arrive", PQntuples(r));
    PQclear(r);
    pg->lost_n = 0;
    pthread_mutex_lock(&pg->lock);
    pg->claim_wanted = true;
    pthread_cond_signal(&pg->claim_wake);
    pthread_mutex_unlock(&pg->lock);
}

/* What was being written is here, or is not: claims may have its room. */
static void come(struct pg *pg)
{
    if (atomic_exchange(&pg->coming, 0) == 0)
        return;
    atomic_store(&pg->room, true);
    pthread_mutex_lock(&pg->lock);
    pthread_cond_signal(&pg->claim_wake);
    pthread_mutex_unlock(&pg->lock);
}

static void write_batch(struct pg *pg)
{
    struct jobs *jobs = pg->jobs;
    struct err err = {0};
    int64_t until = clock_ns() + PG_PATIENCE_MS * NS_PER_MS;
    give_back_lost(pg);
    let_claim_end(pg);
    batch_take(jobs);
    pg->followed = false;
    bool returned = shared_frees(jobs, &jobs->batch.ends);
    while (!pg_write(pg, &err)) {
        if (err.code == ERR_IO)
            pg_away(pg, &err);
        if (!is_patient(pg, &err, until)) {
            if (pg->unknown) {
                err_set(&err, err.code, "PostgreSQL did not answer the commit: it may be done");
                remember_lost(pg);
            }
            pg->unknown = false;
            index_free(&pg->taken);
            batch_over(jobs, &err);
            come(pg);
            return;
        }
        pthread_mutex_lock(&pg->lock);
        pg_sleep(pg, &pg->write_wake, clock_ns() + RETRY_MS * NS_PER_MS);
        pthread_mutex_unlock(&pg->lock);
        err_clear(&err);
    }
    bool pushed = pg->waits || pg->followed;
    mark_stale(pg);
    if (jobs->batch.settings)
        notify_settings(pg);
    forget_taken(pg);
    batch_over(jobs, NULL);
    come(pg);
    if (pushed || returned) {
        pthread_mutex_lock(&pg->lock);
        pg->claim_wanted = true;
        pthread_cond_signal(&pg->claim_wake);
        pthread_mutex_unlock(&pg->lock);
    }
    if (pushed || pg->notify_owed)
        notify(pg);
}

void *pg_write_main(void *arg)
{
    struct pg *pg = arg;
    pthread_mutex_lock(&pg->lock);
    for (;;) {
        while (!pg->write_wanted && !pg->relay_wanted && !pg->ending) {
            if (!pg->lost_n) {
                pthread_cond_wait(&pg->write_wake, &pg->lock);
                continue;
            }
            pg_sleep(pg, &pg->write_wake, clock_ns() + PG_POLL_MS * NS_PER_MS);
            pthread_mutex_unlock(&pg->lock);
            give_back_lost(pg);
            pthread_mutex_lock(&pg->lock);
        }
        bool write = pg->write_wanted, relay = pg->relay_wanted;
        if (!write && pg->ending)
            break;
        pg->write_wanted = pg->relay_wanted = false;
        pthread_mutex_unlock(&pg->lock);
        if (write)
            write_batch(pg);
        if (relay)
            pg_relay(pg);
        pthread_mutex_lock(&pg->lock);
    }
    pthread_mutex_unlock(&pg->lock);
    pg_disconnect(&pg->to_write);
    return NULL;
}
