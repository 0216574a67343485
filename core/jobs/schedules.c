#include "jobs/schedules.h"

#include "jobs/driver.h"
#include "jobs/private.h"

bool jobs_shares_schedules(const struct jobs *jobs)
{
    return jobs->driver->schedules != NULL;
}

static void on_answer(struct lane_message *message)
{
    struct jobs_schedules *s = (struct jobs_schedules *)(void *)message;
    s->done(s);
}

void schedules_answer(struct jobs_schedules *s)
{
    s->message.fn = on_answer;
    if (s->lane)
        lane_post(s->lane, &s->message);
    else
        s->done(s);
}

void jobs_schedules(struct jobs *jobs, struct jobs_schedules *s)
{
    err_clear(&s->err);
    s->held = false;
    if (jobs->driver->schedules) {
        jobs->driver->schedules(jobs, s);
        return;
    }
    err_set(&s->err, ERR_INVALID, "jobs: %s keeps no schedules", jobs->driver->name);
    schedules_answer(s);
}
