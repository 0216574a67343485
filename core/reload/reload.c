#include "reload/reload.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/server.h"
#include "observe/log.h"
#include "reload/events.h"
#include "reload/internal.h"
#include "vm/vm.h"

enum { LANE_CHECK_MS = 20 };

/* A replaced set on one lane. */
struct held_set {
    struct list link;
    struct set *set;
};

/* A generation that goes, on one lane. */
struct leaving {
    struct list link;
    struct generation *generation;
    uint64_t last_set; /* number of the last set that had it */
    int64_t deadline;
    bool left, cancelled;
};

/* -- the lanes' side ------------------------------------------------------------------------ */

struct freed {
    struct reload *reload;
    struct set *set;
    struct generation *generation;
};

void reload_check_stopped(struct reload *r)
{
    if (r->stopped && !r->leaving && !r->options.on.vms_open) {
        void (*stopped)(void *arg) = r->stopped;
        r->stopped = NULL;
        stopped(r->stopped_arg);
    }
}

/* One whose last VM was closed while it served has none to say that it has stopped. */
static void let_go(struct reload *r, struct generation *g)
{
    if (g->state == GENERATION_DRAINING && !g->vms_open)
        g->state = GENERATION_STOPPED;
    generation_unref(g);
    draining_prune(r);
}

static void freed_on_control(void *arg)
{
    struct freed *f = arg;
    if (f->set && --f->set->lanes_left == 0)
        set_free(f->set);
    if (f->generation)
        let_go(f->reload, f->generation);
    f->reload->leaving--;
    reload_check_stopped(f->reload);
    mem_free(f);
}

static void tell_freed(struct reload *r, struct set *set, struct generation *generation)
{
    struct freed *f = mem_zero(1, sizeof *f);
    *f = (struct freed){r, set, generation};
    lane_call(r->options.on.control, freed_on_control, f);
}

/* The number of the oldest replaced set with requests in flight here. */
static uint64_t drop_quiet_sets(struct reload_lane *l)
{
    uint64_t oldest = UINT64_MAX;
    list_each_safe (link, &l->held) {
        struct held_set *h = list_entry(link, struct held_set, link);
        if (h->set->pins[l->lane->index]) {
            if (h->set->number < oldest)
                oldest = h->set->number;
            continue;
        }
        list_remove(link);
        tell_freed(l->reload, h->set, NULL);
        mem_free(h);
    }
    return oldest;
}

/* A VM takes no new tasks once no request here could still be sent to it; its
 * tasks are cancelled at the deadline. */
static void check_once(struct reload_lane *l)
{
    uint64_t oldest = drop_quiet_sets(l);
    int64_t now = clock_ns();
    list_each_safe (link, &l->leaving) {
        struct leaving *e = list_entry(link, struct leaving, link);
        bool late = now >= e->deadline;
        if (!e->left && (late || oldest > e->last_set)) {
            e->left = true;
            generation_leave(e->generation, l->lane);
        }
        if (late && !e->cancelled) {
            e->cancelled = true;
            generation_cancel(e->generation, l->lane);
        }
        if (!e->left || e->generation->vms[l->lane->index])
            continue; /* without a VM: one that was ended by force may be made again */
        list_remove(link);
        tell_freed(l->reload, NULL, e->generation);
        mem_free(e);
    }
}

/* A task that is cancelled may let the last request of a set go, and so ask again. */
static void lane_check(struct reload_lane *l)
{
    l->again = true;
    if (l->checking)
        return;
    l->checking = true;
    while (l->again) {
        l->again = false;
        check_once(l);
    }
    l->checking = false;
    if (!list_empty(&l->leaving) || !list_empty(&l->held))
        timer_start(l->lane, &l->check, LANE_CHECK_MS * NS_PER_MS);
}

void reload_hurry_on_lane(struct reload_lane *l, const struct generation *g)
{
    list_each (link, &l->leaving) {
        struct leaving *e = list_entry(link, struct leaving, link);
        if (e->generation == g)
            e->deadline = 0;
    }
    lane_check(l);
}

static void on_check(struct timer *timer)
{
    lane_check(list_entry(timer, struct reload_lane, check));
}

const struct set *reload_current(const struct reload *r)
{
    return atomic_load_explicit(&((struct reload *)(uintptr_t)r)->current, memory_order_acquire);
}

const struct http_set *reload_acquire(void *reload, struct lane *lane)
{
    struct reload *r = reload;
    struct set *set = atomic_load_explicit(&r->current, memory_order_acquire);
    if (!set)
        return NULL;
    set->pins[lane->index]++;
    return &set->http;
}

void reload_release(void *reload, struct lane *lane, const struct http_set *http)
{
    struct reload *r = reload;
    struct set *set = (struct set *)(uintptr_t)http;
    if (--set->pins[lane->index] == 0 && set != reload_current(r) &&
        !list_empty(&r->lanes[lane->index].held))
        lane_check(&r->lanes[lane->index]);
}

struct vm *reload_find_export(void *reload, struct lane *lane, const char *plugin,
                              const char *function, int *handler, struct err *err)
{
    const struct set *set = reload_current(reload);
    struct generation *g = set ? set_plugin(set, str_c(plugin)) : NULL;
    struct vm *vm = NULL;
    for (int i = 0; g && i < g->decl->export_count && !vm; i++) {
        if (strcmp(g->decl->exports[i], function))
            continue;
        *handler = g->decl->export_handlers[i];
        vm = generation_vm(g, lane);
    }
    const struct generation_hold *held = g ? generation_held(g) : NULL;
    if (held)
        err_set(err, ERR_QUARANTINED, "%s is held back: %s", plugin, held->reason);
    else if (!vm)
        err_set(err, ERR_NOT_FOUND, "%s.%s is not there", plugin, function);
    return vm;
}

/* -- the swap ------------------------------------------------------------------------------- */

struct swap {
    struct reload *reload;
    struct set *old;
    struct generation **gone;
    int count, left;
    int64_t deadline;
    void (*acked)(void *arg);
    void *arg;
};

struct swap_note {
    struct swap *swap;
    struct reload_lane *lane;
};

static void acked_on_control(void *arg)
{
    struct swap *s = arg;
    if (--s->left)
        return;
    if (s->acked)
        s->acked(s->arg);
    mem_free(s->gone);
    mem_free(s);
}

static void swap_on_lane(void *arg)
{
    struct swap_note *note = arg;
    struct swap *s = note->swap;
    struct reload_lane *l = note->lane;
    if (s->old) {
        struct held_set *h = mem_zero(1, sizeof *h);
        h->set = s->old;
        list_push_back(&l->held, &h->link);
    }
    for (int i = 0; i < s->count; i++) {
        struct leaving *e = mem_zero(1, sizeof *e);
        *e = (struct leaving){.generation = s->gone[i],
                              .last_set = s->old ? s->old->number : 0,
                              .deadline = s->deadline};
        list_push_back(&l->leaving, &e->link);
    }
    /* The answer goes first: what it reports on may be freed by what follows. */
    lane_call(l->reload->options.on.control, acked_on_control, s);
    lane_check(l);
    mem_free(note);
}

void reload_swap(struct reload *r, struct set *set, struct generation *const *gone, int count,
                 int64_t drain_ns, void (*acked)(void *arg), void *arg)
{
    struct swap *s = mem_zero(1, sizeof *s);
    int lanes = r->options.on.count;
    s->reload = r;
    s->gone = mem_zero((size_t)count + 1, sizeof *s->gone);
    s->count = count;
    s->left = lanes;
    s->deadline = clock_ns() + drain_ns;
    s->acked = acked;
    s->arg = arg;
    if (set)
        set->number = ++r->sets;
    s->old = atomic_exchange_explicit(&r->current, set, memory_order_acq_rel);
    if (s->old)
        s->old->lanes_left = lanes;
    r->leaving += s->old ? lanes : 0;
    for (int i = 0; i < count; i++) {
        s->gone[i] = gone[i];
        gone[i]->state = GENERATION_DRAINING;
        gone[i]->refs += lanes;
        r->leaving += lanes;
        if (r->options.http)
            http_server_forget(r->options.http, gone[i]->name);
    }
    for (int i = 0; set && i < set->count; i++)
        set->generations[i]->state = GENERATION_SERVING;
    for (int i = 0; i < lanes; i++) {
        struct swap_note *note = mem_zero(1, sizeof *note);
        *note = (struct swap_note){s, &r->lanes[i]};
        lane_call(r->options.on.lanes[i], swap_on_lane, note);
    }
    for (int i = 0; i < count; i++)
        draining_add(r, gone[i]);
}

/* -- the queue of changes ------------------------------------------------------------------- */

void reload_next(struct reload *r)
{
    r->busy = false;
    if (list_empty(&r->queue)) {
        reload_stop_when_idle(r);
        return;
    }
    struct change *change = change_of(r->queue.next);
    list_remove(change_link(change));
    r->busy = true;
    change_begin(change);
}

void reload_run(struct reload *r, const struct reload_request *request)
{
    if (r->stopping)
        return;
    list_push_back(&r->queue, change_link(change_create(r, request)));
    if (!r->busy)
        reload_next(r);
}

/* -- life ----------------------------------------------------------------------------------- */

static void on_vm_closed(void *arg)
{
    draining_prune(arg);
    reload_check_stopped(arg);
}

struct reload *reload_create(const struct reload_options *options)
{
    struct reload *r = mem_zero(1, sizeof *r);
    r->options = *options;
    r->options.on.vm_closed = on_vm_closed;
    r->options.on.vm_closed_arg = r;
    r->options.on.killed = reload_killed;
    r->options.on.killed_arg = r;
    list_init(&r->queue);
    list_init(&r->draining);
    list_init(&r->guards);
    r->events = events_create();
    r->lanes = mem_zero((size_t)options->on.count + 1, sizeof *r->lanes);
    for (int i = 0; i < options->on.count; i++) {
        struct reload_lane *l = &r->lanes[i];
        l->reload = r;
        l->lane = options->on.lanes[i];
        l->check.fire = on_check;
        list_init(&l->held);
        list_init(&l->leaving);
    }
    return r;
}

static void leave_lane(void *arg)
{
    struct reload_lane *l = arg;
    timer_stop(l->lane, &l->check);
}

/* A lane may still be on its way out of the function that let the last one go. */
void reload_destroy(struct reload *r)
{
    for (int i = 0; i < r->options.on.count; i++)
        lane_call_wait(r->lanes[i].lane, leave_lane, &r->lanes[i]);
    draining_prune(r);
    events_destroy(r->events);
    mem_free(r->errors);
    mem_free(r->lanes);
    mem_free(r);
}
