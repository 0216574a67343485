/* stop.c -- the end: every generation's stop(), then its VMs. */

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "observe/log.h"
#include "reload/internal.h"

struct stopping {
    struct reload *reload;
    int64_t until; /* for tasks, also those of a change that is under way */
    struct generation **generations;
    int *order;
    int count, at; /* at: stops are made in the reverse of the order of starts */
    void (*done)(void *arg);
    void *arg;
};

static void stop_next(struct stopping *s);

static void on_stop_result(struct generation *g, char *result, const struct err *failure, void *arg)
{
    if (failure)
        log_error("reload", "%s: stop: %s", g->label, failure->message);
    mem_free(result);
    stop_next(arg);
}

static bool is_lost(const struct reload *r, int lane)
{
    return atomic_load(&r->options.on.lanes[lane]->lost);
}

static bool has_lost(const struct reload *r)
{
    bool lost = false;
    for (int i = 0; i < r->options.on.count; i++)
        lost = lost || is_lost(r, i);
    return lost;
}

/* VMs on a lost lane are never closed, so nobody waits for any. */
static void end_without_lanes(struct reload *r)
{
    void (*stopped)(void *arg) = r->stopped;
    if (!has_lost(r) || !stopped)
        return;
    r->stopped = NULL;
    stopped(r->stopped_arg);
}

static int64_t time_left(const struct stopping *s)
{
    int64_t left = s->until - clock_ns();
    return left > 0 ? left : 0;
}

static void stop_next(struct stopping *s)
{
    struct reload *r = s->reload;
    while (s->at-- > 0) {
        struct generation *g = s->generations[s->order ? s->order[s->at] : s->at];
        if (is_lost(r, g->home))
            continue;
        generation_stop(g, r->options.start_ns, on_stop_result, s);
        return;
    }
    end_without_lanes(r);
    if (reload_current(r)) /* else nothing ever served, and nobody waits for the lanes' answers */
        reload_swap(r, NULL, s->generations, s->count, time_left(s), NULL, NULL);
    mem_free(s->generations);
    mem_free(s->order);
    mem_free(s);
    reload_check_stopped(r);
}

static void stop_begin(struct stopping *s)
{
    struct reload *r = s->reload;
    const struct set *set = reload_current(r);
    struct err ignored;
    guard_end_all(r);
    r->stop = NULL;
    r->stopped = s->done;
    r->stopped_arg = s->arg;
    s->count = s->at = set ? set->count : 0;
    s->generations = mem_zero((size_t)s->count + 1, sizeof *s->generations);
    if (s->count)
        memcpy(s->generations, set->generations, (size_t)s->count * sizeof *s->generations);
    set_requirements(s->generations, s->count, &s->order, &ignored);
    stop_next(s);
}

void reload_stop_when_idle(struct reload *r)
{
    if (r->stop)
        stop_begin(r->stop);
}

/* A change under way reads what serves, and a pool thread may be loading for it: it ends first.
 * On a lost lane it never would. */
void reload_stop(struct reload *r, int64_t drain_ns, void (*done)(void *arg), void *arg)
{
    struct stopping *s = mem_zero(1, sizeof *s);
    r->stopping = true;
    atomic_store(&r->options.on.stopping, true);
    guard_end_all(r);
    s->reload = r;
    s->until = clock_ns() + drain_ns;
    s->done = done;
    s->arg = arg;
    r->stop = s;
    if (!r->busy || has_lost(r))
        stop_begin(s);
}
