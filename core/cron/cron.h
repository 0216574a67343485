/* cron.h -- schedules: timers on the control lane that push jobs.
 *
 * A schedule is known by "plugin/id" for good; its pattern may change, what it
 * last did stays.  Each fire is one instant, and (schedule, instant) is a primary
 * key written in the transaction that makes the job, so that two leaders, a
 * restart or a clock set back cannot fire it twice.
 *
 * Fires missed while the host was down, asleep or its clock was set forward are
 * made up by one, the latest.  A fire is skipped while the job of an earlier one
 * of the same schedule is unfinished.
 *
 * Threads: control lane, all of it, unless a comment says otherwise.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/lane.h"

struct cron;
struct store;

/* One schedule.  Strings are copied. */
struct cron_schedule {
    const char *plugin, *id, *pattern;
    const char *tz;        /* NULL = the options' */
    const char *kind;      /* of the job: "plugin.job" */
    const char *args_json; /* NULL = {} */
    bool enabled;
};

/* A fire on its way to the queue.  Memory is cron's; strings until done. */
struct cron_push {
    struct str schedule; /* "plugin/id" */
    struct str kind, args;
    struct lane *lane; /* where done is called: the control lane */
    int64_t at;        /* the instant, seconds */
    bool by_hand;      /* cron_run_now(): the instant is not recorded */
    /* Answer of the glue (bind/cron_push.h), on the control lane, exactly once:
     * err.code ERR_NONE = on disk, ERR_EXISTS = fired before or an earlier job
     * is unfinished (skipped says which), others are failures. */
    struct err err;
    bool skipped;
    int64_t job_id;
    void (*done)(struct cron_push *push);
};

struct cron_options {
    struct store *store; /* where fires are recorded (table maru_cron_fire) */
    struct lane *lane;
    const char *tz;                                  /* default zone; NULL = "Asia/Seoul" */
    const char *zone_dir;                            /* NULL = ZONE_DIR */
    void (*push)(struct cron_push *push, void *arg); /* done may come before it returns */
    void *arg;
    int64_t (*wall_ns)(void); /* NULL = clock_wall_ns; tests bring their own */
};

/* Reads what fired last.  Blocks; before the lane runs or on it. */
struct cron *cron_open(const struct cron_options *options, struct err *err);
void cron_close(struct cron *cron); /* after the lane has stopped, no push under way */

/* Any thread: whether a pattern and a zone are good.  tz NULL = the default. */
bool cron_check(const struct cron *cron, const char *pattern, const char *tz, struct err *err);

/* Replaces the set in one step; a bad entry leaves the old set with *err "plugin
 * x: schedule "y": …".  The first call starts the clock, and makes up for what was
 * missed while the host was down.  What was disabled missed nothing. */
bool cron_set(struct cron *cron, const struct cron_schedule *schedules, int count, struct err *err);

/* Fires once now, beside its pattern.  done(arg, err) on the lane: ERR_NOT_FOUND,
 * ERR_EXISTS (an earlier job is unfinished). */
void cron_run_now(struct cron *cron, struct str plugin, struct str id,
                  void (*done)(void *arg, const struct err *err, int64_t job_id), void *arg);

/* [{"id","plugin","pattern","tz","job","next_at","last_at","last_status","enabled"}] */
void cron_print(struct cron *cron, struct buf *out);

/* Fires what is due; returns the next instant, seconds (SCHEDULE_NEVER: none).
 * The lane's timer calls it; tests with their own clock do. */
int64_t cron_tick(struct cron *cron);
/* For tests of plugins, after the wall clock was set where time stands still: what was due
 * meanwhile is not made up for. */
void cron_begin_anew(struct cron *cron);
/* Takes no more part: no fire after it. */
void cron_stop(struct cron *cron);
