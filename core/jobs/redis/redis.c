/* redis/redis.c -- the Redis driver: opens, starts, stops; its threads are in the files beside it.
 */
#include "jobs/workflow/redis.h"
#include "jobs/redis/record.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/drivers.h"
#include "observe/log.h"

/* -- connections -- */

static void note(struct redis_record *rec, const struct err *err)
{
    pthread_mutex_lock(&rec->lock);
    bool changed = (rec->down.code == 0) != (err->code == 0);
    rec->down = *err;
    pthread_mutex_unlock(&rec->lock);
    if (err->code)
        driver_health_down(rec->health, err);
    else
        driver_health_up(rec->health);
    if (changed && err->code)
        log_error("jobs", "%s; trying again", err->message);
    else if (changed)
        log_info("jobs", "redis answers again");
}

bool redis_reach(struct redis_record *rec, struct redis **conn, const char *name, struct err *err)
{
    char full[64];
    if (*conn)
        return true;
    snprintf(full, sizeof full, "maru-%s", name);
    *conn = redis_open(&rec->url, full, REDIS_TIMEOUT_MS, err);
    if (*conn)
        err_clear(err);
    note(rec, err);
    return *conn != NULL;
}

void redis_failed(struct redis_record *rec, struct redis **conn, const struct err *err)
{
    if (err->code == ERR_IO) {
        redis_close(*conn);
        *conn = NULL;
    }
    note(rec, err);
}

void redis_works(struct redis_record *rec)
{
    note(rec, &(struct err){0});
}

/* -- threads -- */

void redis_wake_keeper(struct redis_record *rec)
{
    pthread_mutex_lock(&rec->lock);
    rec->keep_due = true;
    pthread_cond_signal(&rec->keep_wake);
    pthread_mutex_unlock(&rec->lock);
}

void redis_look_for_work(struct redis_record *rec)
{
    pthread_mutex_lock(&rec->lock);
    rec->more = rec->keep_due = true;
    pthread_cond_signal(&rec->keep_wake);
    pthread_mutex_unlock(&rec->lock);
}

static bool relay_is_due(const struct redis_record *rec)
{
    return rec->relay_wanted && clock_steady_ns() >= rec->relay_at;
}

/* Lock held: until there is something to write, or it ends. */
static void writer_wait(struct redis_record *rec)
{
    while (!rec->write_due && !relay_is_due(rec) && !rec->stopping) {
        struct timespec until = {.tv_sec = rec->relay_at / NS_PER_SECOND,
                                 .tv_nsec = rec->relay_at % NS_PER_SECOND};
        if (rec->relay_wanted)
            pthread_cond_timedwait(&rec->write_wake, &rec->lock, &until);
        else
            pthread_cond_wait(&rec->write_wake, &rec->lock);
    }
}

static void *writer_main(void *arg)
{
    struct redis_record *rec = arg;
    struct redis *conn = NULL;
    pthread_mutex_lock(&rec->lock);
    for (;;) {
        writer_wait(rec);
        bool write = rec->write_due, relay = relay_is_due(rec);
        if (!write && rec->stopping)
            break;
        rec->write_due = false;
        rec->relay_wanted &= !relay;
        pthread_mutex_unlock(&rec->lock);
        if (write)
            redis_write_batch(rec, &conn);
        if (relay)
            redis_relay_rows(rec, &conn);
        pthread_mutex_lock(&rec->lock);
    }
    pthread_mutex_unlock(&rec->lock);
    redis_close(conn);
    return NULL;
}

enum { TURN_MS = 50, DOWN_MS = 500 };

/* Until something is asked of the keeper, or a while. */
static struct redis_look *keeper_wait(struct redis_record *rec, int wait_ms, bool *stopping)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + wait_ms * NS_PER_MS;
    until.tv_sec += ns / NS_PER_SECOND;
    until.tv_nsec = ns % NS_PER_SECOND;
    pthread_mutex_lock(&rec->lock);
    int rc = 0;
    while (!rec->keep_due && !rec->stopping && !rec->looks && rc == 0)
        rc = pthread_cond_timedwait(&rec->keep_wake, &rec->lock, &until);
    rec->keep_due = false;
    struct redis_look *looks = rec->looks;
    rec->looks = NULL;
    rec->looks_end = &rec->looks;
    *stopping = rec->stopping;
    pthread_mutex_unlock(&rec->lock);
    return looks;
}

/* Until a bucket refills, if it is soon. */
static int turn_ms(const struct redis_record *rec)
{
    int64_t left = (rec->refill_at - clock_steady_ns()) / NS_PER_MS + 1;
    return rec->refill_at == 0 || left > TURN_MS ? TURN_MS : left < 1 ? 1 : (int)left;
}

static void *keeper_main(void *arg)
{
    struct redis_record *rec = arg;
    int wait_ms = 0;
    for (;;) {
        struct err err = {0};
        bool stopping;
        struct redis_look *looks = keeper_wait(rec, wait_ms, &stopping);
        bool up = redis_reach(rec, &rec->keep, "keeper", &err);
        if (up)
            redis_looks_run(rec, looks);
        else
            redis_looks_refuse(looks, &err);
        if (stopping && !looks)
            break;
        if (up && redis_keep(rec, &err))
            redis_works(rec);
        else if (up)
            redis_failed(rec, &rec->keep, &err);
        wait_ms = rec->keep ? turn_ms(rec) : DOWN_MS;
    }
    celery_events_stop(rec);
    redis_leave_cards(rec);
    redis_close(rec->keep);
    rec->keep = NULL;
    return NULL;
}

/* -- the driver -- */

static void read_queues(struct redis_record *rec, struct str text)
{
    while (text.n && rec->queue_count < REDIS_QUEUES) {
        struct str name = str_trim(str_split(&text, ','));
        if (name.n && name.n <= JOBS_NAME_BYTES)
            rec->queues[rec->queue_count++] = str_dup(name);
    }
}

static struct redis_record *create(struct jobs *jobs)
{
    const struct jobs_options *o = &jobs->options;
    struct redis_record *rec = mem_zero(1, sizeof *rec);
    pthread_condattr_t monotonic;
    char host[128] = "localhost";
    gethostname(host, sizeof host - 1);
    jobs->record = rec;
    rec->jobs = jobs;
    rec->prefix = mem_strdup(o->celery.prefix ? o->celery.prefix : "maru:");
    rec->node = o->celery.node && *o->celery.node ? mem_strdup(o->celery.node)
                                                  : mem_printf("maru@%s", host);
    rec->name =
        o->node && *o->node ? mem_strdup(o->node) : mem_printf("%s-%d", host, (int)getpid());
    rand_uuid7(rec->process);
    rec->default_queue = mem_strdup(
        o->celery.default_queue && *o->celery.default_queue ? o->celery.default_queue : "celery");
    rec->visibility_s =
        (o->celery.visibility_ns ? o->celery.visibility_ns : 3600 * NS_PER_SECOND) / NS_PER_SECOND;
    rec->started_wall = clock_wall_ns();
    read_queues(rec, str_c(o->celery.queues));
    rec->looks_end = &rec->looks;
    pthread_mutex_init(&rec->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&rec->write_wake, &monotonic);
    pthread_cond_init(&rec->keep_wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return rec;
}

static bool open_record(struct jobs *jobs, struct err *err)
{
    struct redis_record *rec = create(jobs);
    redis_scripts_init();
    if (!jobs->options.url || !*jobs->options.url)
        return err_set(err, ERR_INVALID, "jobs.url: jobs.driver = \"redis\" needs redis://…");
    rec->health = driver_health_register("queue", "redis", true);
    driver_health_address(rec->health, jobs->options.url);
    if (!redis_url_parse(str_c(jobs->options.url), &rec->url, err))
        return err_wrap(err, "jobs.url");
    if (!redis_first_look(rec, err))
        return false;
    if (!outbox_open(&rec->outbox, jobs, err))
        return false;
    workflow_open(jobs, &wf_redis);
    rec->relay_wanted = true; /* what the process before this one left */
    rec->schedules = redis_schedules_create(rec);
    celery_events_open(rec);
    rec->has_writer = pthread_create(&rec->writer, NULL, writer_main, rec) == 0;
    rec->has_keeper = rec->has_writer && pthread_create(&rec->keeper, NULL, keeper_main, rec) == 0;
    rec->has_listener =
        rec->has_keeper && pthread_create(&rec->listener, NULL, redis_listener_main, rec) == 0;
    return rec->has_listener || err_set(err, ERR_IO, "jobs: no thread for Redis");
}

static void start(struct jobs *jobs)
{
    struct redis_record *rec = record_of(jobs);
    pthread_mutex_lock(&rec->lock);
    rec->started = rec->more = rec->keep_due = true;
    pthread_cond_signal(&rec->keep_wake);
    pthread_mutex_unlock(&rec->lock);
}

static void write_batch(struct jobs *jobs)
{
    struct redis_record *rec = record_of(jobs);
    pthread_mutex_lock(&rec->lock);
    rec->write_due = true;
    pthread_cond_signal(&rec->write_wake);
    pthread_mutex_unlock(&rec->lock);
}

static void room(struct jobs *jobs)
{
    struct redis_record *rec = record_of(jobs);
    pthread_mutex_lock(&rec->lock);
    if (rec->more && !rec->keep_due) {
        rec->keep_due = true;
        pthread_cond_signal(&rec->keep_wake);
    }
    pthread_mutex_unlock(&rec->lock);
}

static bool healthy(struct jobs *jobs, struct err *err)
{
    struct redis_record *rec = record_of(jobs);
    pthread_mutex_lock(&rec->lock);
    struct err down = rec->down;
    pthread_mutex_unlock(&rec->lock);
    if (down.code)
        *err = down;
    return down.code == 0;
}

static void free_record(struct redis_record *rec)
{
    struct err err = {0};
    err_set(&err, ERR_CLOSED, "jobs: the queue is closing");
    redis_looks_refuse(rec->looks, &err);
    driver_health_unregister(rec->health);
    celery_events_close(rec);
    redis_undeclare(rec);
    if (rec->seen)
        freeReplyObject(rec->seen);
    for (size_t i = 0; i < rec->claims.size; i++)
        if (rec->claims.slots[i].id)
            claim_free(rec->claims.slots[i].value);
    index_free(&rec->claims);
    for (int i = 0; i < rec->queue_count; i++)
        mem_free(rec->queues[i]);
    redis_url_fini(&rec->url);
    mem_free(rec->prefix);
    mem_free(rec->node);
    mem_free(rec->name);
    mem_free(rec->default_queue);
    pthread_cond_destroy(&rec->write_wake);
    pthread_cond_destroy(&rec->keep_wake);
    pthread_mutex_destroy(&rec->lock);
    mem_free(rec);
}

static void close_record(struct jobs *jobs)
{
    struct redis_record *rec = record_of(jobs);
    if (!rec)
        return;
    pthread_mutex_lock(&rec->lock);
    rec->stopping = true;
    pthread_cond_signal(&rec->write_wake);
    pthread_cond_signal(&rec->keep_wake);
    pthread_mutex_unlock(&rec->lock);
    redis_schedules_free(rec->schedules);
    if (rec->has_writer)
        pthread_join(rec->writer, NULL);
    if (rec->has_keeper)
        pthread_join(rec->keeper, NULL);
    if (rec->has_listener)
        pthread_join(rec->listener, NULL);
    free_record(rec);
    jobs->record = NULL;
}

const struct jobs_driver jobs_redis = {
    .name = "redis",
    .shared = true,
    .numbers = true,
    .open = open_record,
    .start = start,
    .write = write_batch,
    .close = close_record,
    .room = room,
    .query = redis_query,
    .query_batch = redis_query_batch,
    .cancel = redis_cancel_job,
    .retry = redis_retry_job,
    .discard = redis_discard_job,
    .unique_modes = true,
    .push_tx = outbox_push,
    .tx_committed = redis_tx_committed,
    .schedules = redis_ask_schedules,
    .healthy = healthy,
};
