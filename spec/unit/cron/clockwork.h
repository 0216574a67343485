/* clockwork.h -- a cron beside a queue of its own, by a clock that only the test moves. */
#pragma once

#include "base/clock.h"
#include "cron/cron.h"
#include "cron/zone.h"
#include "jobs/host.h"
#include "test.h"

static _Atomic int64_t wall; /* seconds */

static inline int64_t test_wall(void)
{
    return wall * NS_PER_SECOND;
}

struct clockwork {
    struct host host;
    struct cron *cron;
    /* of a test with one schedule */
    struct cron_schedule schedule;
    struct buf out;
    enum err_code code;
    const char *id;
    bool paused;
    atomic_bool answered;
};

static void on_push(struct cron_push *push, void *arg); /* the test's */

static inline void open_cron(struct clockwork *c)
{
    struct err err = {0};
    struct cron_options o = {.store = c->host.store,
                             .lane = c->host.control,
                             .tz = "UTC",
                             .push = on_push,
                             .wall_ns = test_wall};
    c->cron = cron_open(&o, &err);
    CHECK(c->cron != NULL);
}

/* Midnight of a day in November. */
static inline void begin_clockwork(struct clockwork *c)
{
    wall = date_days(2026, 11, 21) * 86400;
    host_open(&c->host);
    open_cron(c);
}

static inline void tick_on_lane(void *arg)
{
    cron_tick(((struct clockwork *)arg)->cron);
}

static inline void pass(struct clockwork *c, int64_t seconds)
{
    wall += seconds;
    lane_call_wait(c->host.control, tick_on_lane, c);
}

static inline void stop_on_lane(void *arg)
{
    cron_stop(((struct clockwork *)arg)->cron);
}

static inline void close_cron(struct clockwork *c)
{
    lane_call_wait(c->host.control, stop_on_lane, c);
    cron_close(c->cron);
}

static inline void end(struct clockwork *c)
{
    close_cron(c);
    host_close(&c->host);
    host_remove(&c->host);
    buf_free(&c->out);
}
