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
    if (now - pg->notified_ns < PG_NOTIFY_MS * NS_PER_MS)
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

static void write_batch(struct pg *pg)
{
    struct jobs *jobs = pg->jobs;
    struct err err = {0};
    int64_t until = clock_ns() + PG_PATIENCE_MS * NS_PER_MS;
    let_claim_end(pg);
    batch_take(jobs);
    pg->followed = false;
    bool returned = shared_frees(jobs, &jobs->batch.ends);
    while (!pg_write(pg, &err)) {
        if (err.code == ERR_IO)
            pg_away(pg, &err);
        if (!is_patient(pg, &err, until)) {
            if (pg->unknown)
                err_set(&err, err.code, "PostgreSQL did not answer the commit: it may be done");
            pg->unknown = false;
            index_free(&pg->taken);
            batch_over(jobs, &err);
            atomic_store(&pg->coming, 0);
            return;
        }
        pthread_mutex_lock(&pg->lock);
        pg_sleep(pg, &pg->write_wake, clock_ns() + RETRY_MS * NS_PER_MS);
        pthread_mutex_unlock(&pg->lock);
        err_clear(&err);
    }
    bool pushed = pg->waits || pg->followed;
    mark_stale(pg);
    forget_taken(pg);
    if (jobs->batch.settings)
        notify_settings(pg);
    batch_over(jobs, NULL);
    atomic_store(&pg->coming, 0);
    if (pushed || returned) {
        pthread_mutex_lock(&pg->lock);
        pg->claim_wanted = true;
        pthread_cond_signal(&pg->claim_wake);
        pthread_mutex_unlock(&pg->lock);
    }
    if (pushed)
        notify(pg);
}

void *pg_write_main(void *arg)
{
    struct pg *pg = arg;
    pthread_mutex_lock(&pg->lock);
    for (;;) {
        while (!pg->write_wanted && !pg->relay_wanted && !pg->ending)
            pthread_cond_wait(&pg->write_wake, &pg->lock);
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
