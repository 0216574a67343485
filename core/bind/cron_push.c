#include "bind/cron_push.h"

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/admin.h"

struct pushing {
    struct jobs_push push; /* first */
    struct cron_push *fire;
    struct jobs *jobs;
};

static void answer(struct cron_push *fire, const struct err *err, int64_t id)
{
    fire->err = *err;
    fire->job_id = id;
    fire->done(fire);
}

static void on_cancelled(struct jobs_change *change)
{
    mem_free(change);
}

/* It may be over by now; the fire is tried again anyway. */
static void cancel(struct jobs *jobs, int64_t id)
{
    struct jobs_change *change = mem_zero(1, sizeof *change);
    change->done = on_cancelled;
    jobs_cancel(jobs, change, id);
}

/* Refused for its unique key: the schedule's unfinished job. */
static void skip(struct cron_push *fire, struct jobs *jobs)
{
    fire->skipped = true;
    if (fire->overlap == OVERLAP_CANCEL && fire->earlier && !fire->by_hand)
        cancel(jobs, fire->earlier);
}

static void on_pushed(struct jobs_push *push)
{
    struct pushing *p = (struct pushing *)push;
    if (push->taken)
        skip(p->fire, p->jobs);
    answer(p->fire, &push->err, push->first_id);
    mem_free(p);
}

void cron_push_job(struct cron_push *fire, void *jobs)
{
    struct pushing *p = mem_zero(1, sizeof *p);
    struct err err = {0};
    struct job_spec spec = {
        .kind = fire->kind,
        .unique = fire->overlap == OVERLAP_ALLOW ? STR("") : fire->schedule,
        .schedule = fire->by_hand ? STR("") : fire->schedule,
        .scheduled_at_wall = fire->at * NS_PER_SECOND,
    };
    if (fire->expires) {
        int64_t left = fire->expires * NS_PER_SECOND - clock_wall_ns();
        spec.expires_ns = left > 0 ? left : 1;
    }
    p->fire = fire;
    p->jobs = jobs;
    p->push.done = on_pushed;
    p->push.lane = fire->lane;
    if (jobs_push(jobs, &p->push, &spec, &fire->args, 1, &err))
        return;
    if (err.code == ERR_EXISTS)
        skip(fire, jobs);
    mem_free(p);
    answer(fire, &err, 0);
}
