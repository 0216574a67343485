/* bulk.c -- one change of many jobs: their ids are found first, then they are changed
 * a portion at a time, the next when the one before is on disk. */

#include <stdlib.h>

#include "base/mem.h"
#include "jobs/driver.h"
#include "jobs/private.h"

enum { PORTION = 500 };

struct bulk_change {
    struct jobs_change change; /* first */
    struct jobs_bulk *bulk;
};

struct bulk_step {
    struct bulk_change changes[PORTION];
    int waiting; /* lane */
    size_t next; /* of the ids */
};

/* ORDER jobs_action */
static const struct {
    const char *name;
    unsigned states; /* it is done to */
    void (*change)(struct jobs *jobs, struct jobs_change *change, int64_t id);
} actions[] = {
    {"retry", 1 << JOB_DELAYED | 1 << JOB_DEAD, jobs_retry},
    {"cancel", 1 << JOB_READY | 1 << JOB_DELAYED | 1 << JOB_RUNNING, jobs_cancel},
    {"discard", 1 << JOB_READY | 1 << JOB_DELAYED | 1 << JOB_DEAD, jobs_discard},
};

bool jobs_action_parse(struct str text, enum jobs_action *out)
{
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (str_eq_c(text, actions[i].name)) {
            *out = (enum jobs_action)i;
            return true;
        }
    return false;
}

static void finish(struct jobs_bulk *b)
{
    mem_free(b->step);
    buf_free(&b->query.out);
    b->done(b);
}

static void next_portion(struct jobs_bulk *b);

static void on_changed(struct jobs_change *change)
{
    struct jobs_bulk *b = ((struct bulk_change *)(void *)change)->bulk;
    enum err_code code = change->err.code;
    if (code == ERR_NONE)
        b->changed++;
    else if (code != ERR_NOT_FOUND && code != ERR_EXISTS)
        b->err = change->err;
    if (--b->step->waiting == 0)
        next_portion(b);
}

static void next_portion(struct jobs_bulk *b)
{
    struct bulk_step *step = b->step;
    size_t n = b->id_count - step->next;
    n = n > PORTION ? PORTION : n;
    if (n == 0 || b->err.code) {
        finish(b);
        return;
    }
    step->waiting = (int)n;
    const int64_t *ids = b->ids + step->next;
    step->next += n;
    for (size_t i = 0; i < n; i++) {
        step->changes[i] =
            (struct bulk_change){.change = {.done = on_changed, .lane = b->lane}, .bulk = b};
        actions[b->action].change(b->jobs, &step->changes[i].change, ids[i]);
    }
}

static void begin(struct jobs_bulk *b)
{
    b->matched = (int64_t)b->id_count;
    if (b->err.code || b->dry) {
        finish(b);
        return;
    }
    b->step = mem_zero(1, sizeof *b->step);
    next_portion(b);
}

static void on_found(struct jobs_query *query)
{
    struct jobs_bulk *b = (struct jobs_bulk *)(void *)query;
    b->err = query->err;
    b->ids = (const int64_t *)(void *)query->out.p;
    b->id_count = query->out.n / sizeof *b->ids;
    begin(b);
}

static void on_ids(void *bulk)
{
    begin(bulk);
}

void jobs_bulk(struct jobs *jobs, struct jobs_bulk *b)
{
    unsigned states = actions[b->action].states;
    b->jobs = jobs;
    b->step = NULL;
    b->matched = b->changed = 0;
    b->err = (struct err){0};
    if (b->query.state != JOB_ANY)
        states &= 1u << b->query.state;
    if (!states)
        err_set(&b->err, ERR_INVALID, "jobs that are %s cannot be %s",
                job_state_name(b->query.state),
                b->action == JOBS_RETRY    ? "retried"
                : b->action == JOBS_CANCEL ? "cancelled"
                                           : "discarded");
    else if (b->action == JOBS_DISCARD && !jobs->driver->discard)
        shared_has(jobs, "discards of many jobs", &b->err);
    if (b->ids || b->err.code) {
        lane_call(b->lane, on_ids, b);
        return;
    }
    b->query.ids_of = states;
    b->query.done = on_found;
    b->query.lane = b->lane;
    jobs_query(jobs, &b->query);
}
