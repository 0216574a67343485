/* cron.h -- schedules: timers on the control lane that push jobs.
 *
 * A schedule is known by "plugin/id" for good; its pattern may change, what it
 * last did stays.  Each fire is one instant, and (schedule, instant) is a primary
 * key written in the transaction that makes the job, so that two leaders, a
 * restart or a clock set back cannot fire it twice.
 *
 * Where several nodes share a record, one of them leads: it holds a lease there,
 * renews it every quarter of its time and trusts it only up to a margin before its
 * end.  Whoever leads next goes on from what the record says.  The others fire
 * nothing.
 *
 * A schedule has one push under way at a time.  An instant that cannot be fired
 * yet (an earlier job is unfinished and the policy is to wait, or the queue
 * refuses) stays due and is tried again; what comes meanwhile is dealt with as
 * missed instants are.
 *
 * Threads: control lane, all of it, unless a comment says otherwise.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "cron/record.h"
#include "loop/lane.h"

struct cron;
struct store;

/* What becomes of instants that went by unfired: the host was down or asleep, its
 * clock was set forward, or they waited.  ORDER cron_missed, as in schedule_decl. */
enum cron_missed {
    MISSED_LATEST, /* the latest is made up for */
    MISSED_SKIP,   /* none that is a minute late */
    MISSED_ALL,    /* the latest missed_max, in their order */
};

/* While the job of an earlier fire is unfinished.  ORDER cron_overlap, too. */
enum cron_overlap {
    OVERLAP_SKIP,   /* the instant is dropped */
    OVERLAP_ALLOW,  /* both run */
    OVERLAP_QUEUE,  /* it waits */
    OVERLAP_CANCEL, /* the earlier job is cancelled, and it waits for that */
};

enum { CRON_MISSED = 100, CRON_MISSED_MAX = 1000 };

/* One schedule.  Strings are copied. */
struct cron_schedule {
    const char *plugin, *id, *pattern;
    const char *tz;        /* NULL = the options' */
    const char *kind;      /* of the job: "plugin.job" */
    const char *args_json; /* NULL = {} */
    bool enabled;
    int64_t jitter; /* seconds: a fire comes up to so much later, always the same for an instant */
    int64_t deadline; /* seconds after its instant a fire is dropped, its job too; 0 = none */
    enum cron_missed missed;
    int missed_max; /* MISSED_ALL: 1 … CRON_MISSED_MAX; 0 = CRON_MISSED */
    enum cron_overlap overlap;
};

/* A fire on its way to the queue.  Memory is cron's; strings until done. */
struct cron_push {
    struct str schedule; /* "plugin/id" */
    struct str kind, args;
    struct lane *lane; /* where done is called: the control lane */
    int64_t at;        /* the instant, seconds */
    bool by_hand;      /* cron_run_now(): the instant is not recorded */
    enum cron_overlap overlap;
    int64_t expires; /* the job's, seconds since 1970; 0 = none */
    int64_t earlier; /* the last job of this schedule, to be cancelled if it is what refuses; 0 */
    /* Answer of the glue (bind/cron_push.h), on the control lane, exactly once:
     * err.code ERR_NONE = on disk, ERR_EXISTS = fired before or an earlier job
     * is unfinished (skipped says which), others are failures. */
    struct err err;
    bool skipped;
    int64_t job_id;
    void (*done)(struct cron_push *push);
};

struct cron_options {
    struct store *store;              /* where fires are recorded (table maru_cron_fire), */
    const struct cron_record *record; /* unless here; copied */
    struct lane *lane;
    bool idle;                                       /* fires nothing, shows what others do */
    int64_t lease_ns;                                /* of the record's leader; 0 = 20 s */
    const char *tz;                                  /* default zone; NULL = "Asia/Seoul" */
    const char *zone_dir;                            /* NULL = ZONE_DIR */
    void (*push)(struct cron_push *push, void *arg); /* done may come before it returns */
    void *arg;
    int64_t (*wall_ns)(void); /* NULL = clock_wall_ns; tests bring their own */
    int64_t (*mono_ns)(void); /* NULL = clock_ns */
};

/* Reads what fired last.  Blocks; before the lane runs or on it. */
struct cron *cron_open(const struct cron_options *options, struct err *err);
void cron_close(struct cron *cron); /* after the lane has stopped, no push under way */

/* Any thread: whether a pattern and a zone are good.  tz NULL = the default. */
bool cron_check(const struct cron *cron, const char *pattern, const char *tz, struct err *err);

/* Replaces the set in one step; a bad entry leaves the old set with *err "plugin
 * x: schedule "y": …".  The first call starts the clock, and deals with what was
 * missed while the host was down.  What was disabled or paused missed nothing. */
bool cron_set(struct cron *cron, const struct cron_schedule *schedules, int count, struct err *err);

/* Fires once now, beside its pattern.  done(arg, err) on the lane: ERR_NOT_FOUND,
 * ERR_EXISTS (an earlier job is unfinished). */
void cron_run_now(struct cron *cron, struct str plugin, struct str id,
                  void (*done)(void *arg, const struct err *err, int64_t job_id), void *arg);

/* Pauses or resumes; done(arg, err) on the lane when it is on disk: ERR_NOT_FOUND.
 * Another node that leads hears of it within a quarter of the lease. */
void cron_pause(struct cron *cron, struct str plugin, struct str id, bool paused,
                void (*done)(void *arg, const struct err *err), void *arg);

/* [{"id","plugin","pattern","tz","job","next_at","next":[5 instants],"changes":[{"at","before",
 * "after","run"}],"last_at","last_status","enabled","paused","missed","missed_max","overlap","jitter",
 * "deadline","dropped":{"missed","overlap","deadline","failed"}}]; changes are those of the clock
 * up to the last of next (run: the first that is not before it), offsets as "+09:00"; jitter and
 * deadline in seconds. */
void cron_print(struct cron *cron, struct buf *out);
/* One of these objects.  False with *err: ERR_NOT_FOUND. */
bool cron_print_one(struct cron *cron, struct str plugin, struct str id, struct buf *out,
                    struct err *err);

/* Whether this node fires now. */
bool cron_leads(const struct cron *cron);
/* Fires what is due; returns when the next is, seconds (SCHEDULE_NEVER: none).
 * The lane's timer calls it; tests with their own clock do. */
int64_t cron_tick(struct cron *cron);
/* For tests of plugins, after the wall clock was set where time stands still: what was due
 * meanwhile is not made up for. */
void cron_begin_anew(struct cron *cron);
/* Takes no more part: no fire after it; the lease is given back. */
void cron_stop(struct cron *cron);
/* After that: whether the shared record has answered, so that the lane may end.  Lane. */
bool cron_is_quiet(const struct cron *cron);
