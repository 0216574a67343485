#include "bind/cron_record.h"

#include "base/mem.h"
#include "jobs/schedules.h"

/* One request of cron's, as the queue takes it. */
struct asking {
    struct jobs_schedules ask; /* first */
    union {
        struct cron_load *load;
        struct cron_keep *keep;
        struct cron_lead *lead;
    };
};

static struct asking *asking_create(enum jobs_schedules_ask what, struct lane *lane,
                                    void (*done)(struct jobs_schedules *s))
{
    struct asking *a = mem_zero(1, sizeof *a);
    a->ask.ask = what;
    a->ask.lane = lane;
    a->ask.done = done;
    return a;
}

static void on_loaded(struct jobs_schedules *s)
{
    struct cron_load *load = ((struct asking *)s)->load;
    load->err = s->err;
    load->rows = mem_zero((size_t)s->count + 1, sizeof *load->rows);
    for (load->count = 0; load->count < s->count; load->count++) {
        const struct jobs_schedule *row = &s->rows[load->count];
        load->rows[load->count] =
            (struct cron_row){row->name, row->last, row->since, row->job, row->paused};
    }
    mem_free(s->rows);
    mem_free(s);
    load->done(load);
}

static void load(void *jobs, struct cron_load *load)
{
    struct asking *a = asking_create(SCHEDULES_LOAD, load->lane, on_loaded);
    a->load = load;
    jobs_schedules(jobs, &a->ask);
}

static void on_kept(struct jobs_schedules *s)
{
    struct cron_keep *keep = ((struct asking *)s)->keep;
    keep->err = s->err;
    mem_free(s->rows);
    mem_free(s);
    keep->done(keep);
}

static void keep(void *jobs, struct cron_keep *keep)
{
    static const enum jobs_schedules_ask asks[] = {[KEEP_SINCE] = SCHEDULES_SINCE,
                                                   [KEEP_PAUSE] = SCHEDULES_PAUSE,
                                                   [KEEP_PRUNE] = SCHEDULES_PRUNE};
    struct asking *a = asking_create(asks[keep->what], keep->lane, on_kept);
    a->keep = keep;
    a->ask.rows = mem_zero((size_t)keep->count + 1, sizeof *a->ask.rows);
    for (; a->ask.count < keep->count; a->ask.count++) {
        const struct cron_row *row = &keep->rows[a->ask.count];
        a->ask.rows[a->ask.count] = (struct jobs_schedule){
            .name = row->schedule, .since = row->since, .paused = row->paused};
    }
    jobs_schedules(jobs, &a->ask);
}

static void on_led(struct jobs_schedules *s)
{
    struct cron_lead *lead = ((struct asking *)s)->lead;
    lead->err = s->err;
    lead->held = s->held;
    lead->epoch = s->epoch;
    lead->version = s->version;
    mem_free(s);
    lead->done(lead);
}

static void lead(void *jobs, struct cron_lead *lead)
{
    struct asking *a =
        asking_create(lead->resign ? SCHEDULES_RESIGN : SCHEDULES_LEAD, lead->lane, on_led);
    a->lead = lead;
    a->ask.lease_ns = lead->lease_ns;
    a->ask.epoch = lead->epoch;
    jobs_schedules(jobs, &a->ask);
}

struct cron_record cron_record_jobs(struct jobs *jobs)
{
    return (struct cron_record){load, keep, lead, jobs};
}
