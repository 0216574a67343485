/* postgres_watch.c -- whether the server is in reach, for all connections at once.
 *
 * The first call that loses it says so; from then on calls are answered at once with what it
 * said, and one thread with a connection of its own tries, with growing pauses, until the server
 * answers again.  So a dead server costs one time-out, not one for each call.
 */
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/drivers.h"
#include "observe/log.h"
#include "series/postgres_driver.h"
#include "storage/pg.h"

enum { PAUSE_LEAST_MS = 100, PAUSE_MOST_MS = 3000 };

struct postgres {
    struct series_store *store;
    struct driver_health *health;
    struct series_pg *lines; /* of the store's connections */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* below */
    pthread_cond_t wake;
    bool ending;
    struct err away; /* code NONE: in reach */
    bool sessions;   /* pgsql_check_pooler() has found nothing */
};

bool pgs_in_reach(struct series_store *store, struct err *err)
{
    struct postgres *p = store->postgres;
    pthread_mutex_lock(&p->lock);
    bool in_reach = p->away.code == ERR_NONE;
    if (!in_reach)
        *err = p->away;
    pthread_mutex_unlock(&p->lock);
    return in_reach;
}

void pgs_away(struct series_store *store, const struct err *err)
{
    struct postgres *p = store->postgres;
    if (err->code == ERR_CANCELLED)
        return;
    pthread_mutex_lock(&p->lock);
    p->away = *err;
    p->away.code = ERR_IO;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    if (driver_health_down(p->health, err))
        log_error("series", "%s -- calls fail until it answers", err->message);
}

void pgs_back(struct series_store *store)
{
    struct postgres *p = store->postgres;
    pthread_mutex_lock(&p->lock);
    err_clear(&p->away);
    pthread_mutex_unlock(&p->lock);
    if (driver_health_up(p->health))
        log_info("series", "PostgreSQL answers again");
}

/* Lock held.  False when the driver ends. */
static bool pause_for(struct postgres *p, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms * NS_PER_MS;
    until.tv_sec += ns / NS_PER_SECOND;
    until.tv_nsec = ns % NS_PER_SECOND;
    while (!p->ending && pthread_cond_timedwait(&p->wake, &p->lock, &until) == 0)
        ;
    return !p->ending;
}

static void try_it(struct postgres *p)
{
    struct series_pg probe = {0};
    struct err err;
    if (pgs_connect(&probe, p->store->options.url, &err)) {
        pgs_disconnect(&probe);
        pgs_back(p->store);
    } else
        pgs_away(p->store, &err);
}

bool pgs_check_sessions(struct series_conn *conn, struct err *err)
{
    struct postgres *p = conn->store->postgres;
    struct series_pg second = {0};
    pthread_mutex_lock(&p->lock);
    bool known = p->sessions;
    pthread_mutex_unlock(&p->lock);
    if (known)
        return true;
    bool ok = pgs_connect(&second, conn->store->options.url, err) &&
              (pgsql_check_pooler(conn->pg->c, second.c, err) || err_wrap(err, "series.url"));
    if (second.c)
        pgs_disconnect(&second);
    pthread_mutex_lock(&p->lock);
    p->sessions = ok;
    pthread_mutex_unlock(&p->lock);
    return ok;
}

static void *watch(void *arg)
{
    struct postgres *p = arg;
    int64_t pause_ms = PAUSE_LEAST_MS;
    pthread_mutex_lock(&p->lock);
    while (!p->ending) {
        if (p->away.code == ERR_NONE) {
            pause_ms = PAUSE_LEAST_MS;
            pthread_cond_wait(&p->wake, &p->lock);
            continue;
        }
        /* Jitter, so that many servers do not come back at one moment. */
        if (!pause_for(p, pause_ms / 2 + (int64_t)(rand_u64() % (uint64_t)pause_ms)))
            break;
        pause_ms = pause_ms * 2 < PAUSE_MOST_MS ? pause_ms * 2 : PAUSE_MOST_MS;
        pthread_mutex_unlock(&p->lock);
        try_it(p);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

bool pgs_watch_start(struct series_store *store, struct err *err)
{
    struct postgres *p = mem_zero(1, sizeof *p);
    pthread_condattr_t attr;
    store->postgres = p;
    p->store = store;
    p->health = driver_health_register("series", "postgres", true);
    driver_health_address(p->health, store->options.url);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &attr);
    pthread_condattr_destroy(&attr);
    p->lines = mem_zero((size_t)store->conn_count, sizeof *p->lines);
    for (int i = 0; i < store->conn_count; i++) {
        p->lines[i].owner = &store->conns[i];
        store->conns[i].pg = &p->lines[i];
    }
    int failed = pthread_create(&p->thread, NULL, watch, p);
    p->started = !failed;
    return !failed || err_sys(err, failed, "series: a thread");
}

void pgs_watch_stop(struct series_store *store)
{
    struct postgres *p = store->postgres;
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    if (p->started)
        pthread_join(p->thread, NULL);
    for (int i = 0; i < store->conn_count; i++)
        if (p->lines[i].c)
            pgs_disconnect(&p->lines[i]);
    driver_health_unregister(p->health);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    mem_free(p->lines);
    mem_free(p);
    store->postgres = NULL;
}
