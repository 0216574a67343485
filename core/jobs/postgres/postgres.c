#include "jobs/postgres/postgres.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/drivers.h"
#include "observe/log.h"

static const int64_t default_lease_ns = 20 * NS_PER_SECOND;

/* Under pg->lock. */
static void show_health(struct pg *pg)
{
    if (pg->away.code)
        driver_health_down(pg->health, &pg->away);
    else if (pg->unclaimed.code)
        driver_health_degraded(pg->health, &pg->unclaimed);
    else
        driver_health_up(pg->health);
}

void pg_away(struct pg *pg, const struct err *err)
{
    pthread_mutex_lock(&pg->lock);
    bool was = pg->away.code != ERR_NONE;
    pg->away = err ? *err : (struct err){0};
    show_health(pg);
    pthread_mutex_unlock(&pg->lock);
    if (err && !was)
        log_error("jobs", "the database is out of reach: %s", err->message);
    else if (!err && was)
        log_info("jobs", "the database is back");
}

void pg_unclaimed(struct pg *pg, const struct err *err)
{
    pthread_mutex_lock(&pg->lock);
    bool was = pg->unclaimed.code != ERR_NONE;
    bool news = err && (!was || strcmp(pg->unclaimed.message, err->message) != 0);
    pg->unclaimed = err ? *err : (struct err){0};
    show_health(pg);
    pthread_mutex_unlock(&pg->lock);
    if (news)
        log_error("jobs", "nothing is claimed: %s; trying again", err->message);
    else if (!err && was)
        log_info("jobs", "jobs are claimed again");
}

void pg_sleep(struct pg *pg, pthread_cond_t *wake, int64_t until_ns)
{
    struct timespec t = {.tv_sec = until_ns / NS_PER_SECOND, .tv_nsec = until_ns % NS_PER_SECOND};
    pthread_cond_timedwait(wake, &pg->lock, &t);
}

static void init_wake(pthread_cond_t *wake)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(wake, &attr);
    pthread_condattr_destroy(&attr);
}

static struct pg_conn connection(struct pg *pg, const char *what)
{
    return (struct pg_conn){.pg = pg, .what = what};
}

static struct pg *create(struct jobs *jobs)
{
    struct pg *pg = mem_zero(1, sizeof *pg);
    char host[128] = "host";
    gethostname(host, sizeof host - 1);
    pg->jobs = jobs;
    pg->url = jobs->options.url;
    pg->name = jobs->options.node && *jobs->options.node ? mem_strdup(jobs->options.node)
                                                         : mem_printf("%s-%d", host, (int)getpid());
    pg->lease_ns = jobs->options.lease_ns ? jobs->options.lease_ns : default_lease_ns;
    rand_uuid7(pg->writer);
    pthread_mutex_init(&pg->lock, NULL);
    init_wake(&pg->write_wake);
    init_wake(&pg->claim_wake);
    init_wake(&pg->ask_wake);
    init_wake(&pg->claim_over);
    list_init(&pg->asks);
    pg->flows = map_create();
    pg->schedules = pg_schedules_create(pg);
    pg_open_workflows(pg);
    pg->to_write = connection(pg, "write");
    pg->to_claim = connection(pg, "claim");
    pg->to_beat = connection(pg, "beat");
    pg->to_ask = connection(pg, "ask");
    return pg;
}

static void *(*const mains[])(void *) = {pg_beat_main, pg_write_main, pg_ask_main, pg_claim_main};

/* Signals are the control lane's. */
static bool start_threads(struct pg *pg, int until, struct err *err)
{
    sigset_t all, before;
    int failed = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; pg->started < until && !failed; pg->started += !failed)
        failed = pthread_create(&pg->threads[pg->started], NULL, mains[pg->started], pg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? err_sys(err, failed, "jobs: thread") : true;
}

static bool open_record(struct jobs *jobs, struct err *err)
{
    struct pg *pg = jobs->record = create(jobs);
    if (!pg->url || !*pg->url)
        return err_set(err, ERR_INVALID, "jobs.driver is postgres, but jobs.url is empty");
    pg->relay_wanted = true; /* what a process before this one left in the outbox */
    pg->health = driver_health_register("queue", "postgres", true);
    driver_health_address(pg->health, pg->url);
    pg->prepared = pg_check_url(pg->url, err) && outbox_open(&pg->outbox, jobs, err) &&
                   pg_prepare(pg, &pg->to_beat, err) && pg_register(pg, err) && pg_ids(pg, err);
    return pg->prepared && start_threads(pg, 3, err);
}

static void start(struct jobs *jobs)
{
    struct pg *pg = jobs->record;
    struct err err = {0};
    atomic_store(&pg->room, true);
    if (!start_threads(pg, 4, &err))
        log_error("jobs", "%s", err.message);
}

static void write_batch(struct jobs *jobs)
{
    struct pg *pg = jobs->record;
    pthread_mutex_lock(&pg->lock);
    pg->write_wanted = true;
    pthread_cond_signal(&pg->write_wake);
    pthread_mutex_unlock(&pg->lock);
}

static void room(struct jobs *jobs)
{
    struct pg *pg = jobs->record;
    if (atomic_load(&pg->room) || atomic_exchange(&pg->room, true))
        return;
    pthread_mutex_lock(&pg->lock);
    pthread_cond_signal(&pg->claim_wake);
    pthread_mutex_unlock(&pg->lock);
}

static void free_names(struct pg *pg)
{
    for (size_t i = 0; i < pg->names.size; i++) {
        struct pg_flow *f = pg->names.slots[i].id ? pg->names.slots[i].value : NULL;
        if (!f)
            continue;
        mem_free(f->kind);
        mem_free(f->queue);
        mem_free(f);
    }
    index_free(&pg->names);
}

static void close_record(struct jobs *jobs)
{
    struct pg *pg = jobs->record;
    pthread_mutex_lock(&pg->lock);
    pg->ending = true;
    pthread_cond_broadcast(&pg->write_wake);
    pthread_cond_broadcast(&pg->claim_wake);
    pthread_cond_broadcast(&pg->ask_wake);
    pthread_cond_broadcast(&pg->claim_over);
    pthread_mutex_unlock(&pg->lock);
    for (int i = pg->started - 1; i >= 0; i--)
        pthread_join(pg->threads[i], NULL);
    pg_schedules_free(pg->schedules);
    pg_close_workflows(pg);
    pg_disconnect(&pg->to_beat);
    driver_health_unregister(pg->health);
    free_names(pg);
    index_free(&pg->taken);
    index_free(&pg->cancelled);
    map_destroy(pg->flows);
    pthread_cond_destroy(&pg->write_wake);
    pthread_cond_destroy(&pg->claim_wake);
    pthread_cond_destroy(&pg->ask_wake);
    pthread_cond_destroy(&pg->claim_over);
    pthread_mutex_destroy(&pg->lock);
    mem_free(pg->name);
    mem_free(pg);
    jobs->record = NULL;
}

static bool healthy(struct jobs *jobs, struct err *err)
{
    struct pg *pg = jobs->record;
    pthread_mutex_lock(&pg->lock);
    bool ok = pg->away.code == ERR_NONE;
    if (!ok)
        *err = pg->away;
    pthread_mutex_unlock(&pg->lock);
    return ok;
}

const struct jobs_driver jobs_postgres = {
    .name = "postgres",
    .shared = true,
    .open = open_record,
    .start = start,
    .write = write_batch,
    .close = close_record,
    .room = room,
    .query_batch = pg_query_batch,
    .query = pg_query,
    .cancel = pg_cancel,
    .retry = pg_retry,
    .discard = pg_discard,
    .unique_modes = true,
    .push_tx = outbox_push,
    .tx_committed = pg_tx_committed,
    .schedules = pg_ask_schedules,
    .healthy = healthy,
};
