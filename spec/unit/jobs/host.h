/* host.h -- a queue on a database of its own, with lanes that run jobs by a C function. */
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/admin.h"
#include "jobs/jobs.h"
#include "observe/log.h"
#include "storage/carry.h"
#include "storage/sqlite.h"

enum { HOST_LANES = 2 };

struct host {
    char dir[64], db[96], flight[96];
    struct pool *pool;
    struct store *store;
    struct store *elsewhere; /* where plugins' tables are, or NULL: in store */
    struct carry *carry;
    struct lane *control, *lanes[HOST_LANES];
    struct jobs *jobs;
    void (*run)(struct job_run *run, void *arg);
    void (*cancel)(struct job_run *run, enum job_end why, void *arg);
    void (*kill)(struct job_run *run, void *arg);
    void (*run_batch)(struct job_run *const *runs, int count, void *arg);
    int batch; /* of the kinds that host_kind() makes */
    int64_t held_ttl_ns, batch_wait_ns;
};

static inline void host_sleep(int ms)
{
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

static inline void host_done(struct job_run *run, void *arg)
{
    (void)arg;
    jobs_finish(run, &(struct job_outcome){.end = JOB_END_DONE});
}

static inline void host_no_cancel(struct job_run *run, enum job_end why, void *arg)
{
    (void)run;
    (void)why;
    (void)arg;
}

static inline void host_die(const char *what, const struct err *err)
{
    fprintf(stderr, "%s: %s\n", what, err->message);
    abort();
}

static inline void host_make_dir(struct host *h)
{
    snprintf(h->dir, sizeof h->dir, "/tmp/maru_jobs_XXXXXX");
    if (!mkdtemp(h->dir))
        abort();
    snprintf(h->db, sizeof h->db, "%s/maru.db", h->dir);
    snprintf(h->flight, sizeof h->flight, "%s/jobs.flight", h->dir);
}

/* Opens store and queue in h->dir (made when empty).  Nothing runs yet. */
static inline void host_open(struct host *h)
{
    struct err err = {0};
    log_setup(-1, LOG_DEBUG);
    if (!h->dir[0])
        host_make_dir(h);
    h->pool = pool_create("pool", 2, &err);
    struct sqlite_options so = {.path = h->db, .pool = h->pool, .lock_wait_ns = 5 * NS_PER_SECOND};
    h->store = sqlite_open(&so, &err);
    if (!h->store)
        host_die("store", &err);
    h->control = lane_create(0, LANE_CONTROL, "control", &err);
    if (!h->control || !lane_start(h->control, NULL, NULL, &err))
        host_die("lane", &err);
    struct carry_options co = {.store = h->elsewhere, .local = h->store, .lane = h->control};
    if (h->elsewhere && !(h->carry = carry_open(&co, &err)))
        host_die("carry", &err);
    struct jobs_options jo = {.store = h->store,
                              .carry = h->carry,
                              .lane = h->control,
                              .flight_path = h->flight,
                              .run = h->run ? h->run : host_done,
                              .run_batch = h->run_batch,
                              .cancel = h->cancel ? h->cancel : host_no_cancel,
                              .kill = h->kill,
                              .held_ttl_ns = h->held_ttl_ns,
                              .arg = h};
    h->jobs = jobs_open(&jo, &err);
    if (!h->jobs)
        host_die("jobs", &err);
}

static inline void host_start(struct host *h, int lanes, int capacity)
{
    struct err err = {0};
    for (int i = 0; i < lanes; i++) {
        h->lanes[i] = lane_create(i + 1, LANE_JOB, "job", &err);
        if (!lane_start(h->lanes[i], NULL, NULL, &err) ||
            !jobs_add_worker(h->jobs, h->lanes[i], capacity, &err))
            host_die("worker", &err);
    }
    jobs_start(h->jobs);
}

static inline void host_stopped(void *arg)
{
    atomic_store((_Atomic int *)arg, 1);
}

static inline void host_stop(struct host *h, int64_t grace_ns)
{
    _Atomic int stopped = 0;
    jobs_stop(h->jobs, grace_ns, h->control, host_stopped, &stopped);
    while (!atomic_load(&stopped))
        host_sleep(1);
}

/* After host_stop(), or when nothing was started. */
static inline void host_close(struct host *h)
{
    for (int i = 0; i < HOST_LANES; i++)
        if (h->lanes[i]) {
            lane_stop(h->lanes[i]);
            lane_join(h->lanes[i]);
        }
    jobs_close(h->jobs);
    lane_stop(h->control);
    lane_join(h->control);
    for (int i = 0; i < HOST_LANES; i++)
        if (h->lanes[i])
            lane_destroy(h->lanes[i]);
    lane_destroy(h->control);
    if (h->carry)
        carry_close(h->carry);
    store_close(h->store);
    pool_destroy(h->pool);
    memset(h->lanes, 0, sizeof h->lanes);
}

static inline void host_remove(struct host *h)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", h->dir);
    if (system(command) != 0)
        abort();
}

static inline void host_kind(struct host *h, const char *kind, int retries, int64_t backoff_ns,
                             int concurrency)
{
    struct job_kind_options k = {.kind = kind,
                                 .queue = "default",
                                 .priority = JOB_NORMAL,
                                 .retries = retries,
                                 .backoff_ns = backoff_ns,
                                 .concurrency = concurrency,
                                 .batch = h->batch,
                                 .batch_wait_ns = h->batch_wait_ns,
                                 .target = h};
    jobs_set_kinds(h->jobs, &k, 1);
}

static inline int64_t host_push(struct host *h, const char *kind, const char *args)
{
    struct err err = {0};
    struct job_spec spec = {.kind = str_c(kind)};
    struct str a = str_c(args);
    return jobs_push_wait(h->jobs, &spec, &a, 1, &err);
}

/* Waits until nothing is queued, delayed or running. */
static inline bool host_drain(struct host *h, int ms)
{
    for (int i = 0; i < ms; i++, host_sleep(1)) {
        struct jobs_counts c = jobs_counts(h->jobs);
        if (c.ready + c.delayed + c.running + c.pushing == 0)
            return true;
    }
    return false;
}

struct host_look {
    struct jobs_query query;
    _Atomic int over;
};

static inline void host_looked(struct jobs_query *query)
{
    atomic_store(&((struct host_look *)(void *)query)->over, 1);
}

/* The JSON of a query; to be freed with mem_free. */
static inline char *host_query(struct host *h, struct jobs_query query)
{
    struct host_look look = {.query = query};
    size_t n;
    look.query.done = host_looked;
    look.query.lane = h->control;
    jobs_query(h->jobs, &look.query);
    while (!atomic_load(&look.over))
        host_sleep(1);
    buf_add_c(&look.query.out, "");
    return buf_take(&look.query.out, &n);
}

static inline bool host_is(struct host *h, int64_t id, const char *state)
{
    char text[64];
    snprintf(text, sizeof text, "\"state\":\"%s\"", state);
    char *json = host_query(h, (struct jobs_query){.id = id});
    bool is = json && strstr(json, text);
    mem_free(json);
    return is;
}

struct host_change {
    struct jobs_change change;
    _Atomic int over;
};

static inline void host_changed(struct jobs_change *change)
{
    atomic_store(&((struct host_change *)(void *)change)->over, 1);
}

static inline enum err_code
host_change(struct host *h, void (*fn)(struct jobs *, struct jobs_change *, int64_t), int64_t id)
{
    struct host_change c = {.change = {.done = host_changed, .lane = h->control}};
    fn(h->jobs, &c.change, id);
    while (!atomic_load(&c.over))
        host_sleep(1);
    return c.change.err.code;
}
