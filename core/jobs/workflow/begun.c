/* workflow/begun.c -- keys of runs whose transactions were committed here and which no record has
 * yet: for these milliseconds nobody else knows that the key is taken. */
#include "base/clock.h"
#include "base/mem.h"
#include "jobs/workflow/private.h"
#include "storage/carry.h"

struct begun {
    int64_t id;
    int64_t until; /* monotonic; behind it another process may have brought the run over */
    bool kept;
};

static struct buf name_of(const struct workflow_start *start)
{
    struct buf name = {0};
    buf_printf(&name, "%.*s\n%.*s\n", (int)start->plugin.n, start->plugin.p, (int)start->name.n,
               start->name.p);
    buf_add(&name, start->key.p, start->key.n);
    return name;
}

void wf_begun_add(struct jobs *jobs, const struct workflow_start *start)
{
    if (!start->key.n)
        return;
    struct buf name = name_of(start);
    struct begun *begun = mem_zero(1, sizeof *begun);
    begun->id = start->id;
    begun->until = clock_steady_ns() + 2 * CARRY_ALONE_S * NS_PER_SECOND;
    jobs_lock(jobs);
    mem_free(map_set(jobs->begun, buf_str(&name), begun));
    jobs_unlock(jobs);
    buf_free(&name);
}

void wf_begun_keep(struct jobs *jobs, const struct workflow_start *start)
{
    struct buf name = name_of(start);
    jobs_lock(jobs);
    struct begun *begun = map_get(jobs->begun, buf_str(&name));
    if (begun && begun->id == start->id)
        begun->kept = true;
    jobs_unlock(jobs);
    buf_free(&name);
}

void wf_begun_remove(struct jobs *jobs, const struct workflow_start *start)
{
    struct buf name = name_of(start);
    jobs_lock(jobs);
    struct begun *begun = map_get(jobs->begun, buf_str(&name));
    if (begun && begun->id == start->id)
        mem_free(map_remove(jobs->begun, buf_str(&name)));
    jobs_unlock(jobs);
    buf_free(&name);
}

bool wf_begun_has(struct jobs *jobs, const struct workflow_start *start)
{
    struct buf name = name_of(start);
    jobs_lock(jobs);
    const struct begun *begun = map_get(jobs->begun, buf_str(&name));
    bool has = begun && begun->kept && clock_steady_ns() < begun->until;
    jobs_unlock(jobs);
    buf_free(&name);
    return has;
}

void workflow_begun_free(struct jobs *jobs)
{
    size_t at = 0;
    struct str name;
    void *value;
    while (map_next(jobs->begun, &at, &name, &value))
        mem_free(value);
    map_destroy(jobs->begun);
}
