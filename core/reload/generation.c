#include "reload/generation.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "loop/pool.h"
#include "observe/log.h"
#include "reload/internal.h"
#include "storage/cache_driver.h"
#include "vm/bundle.h"
#include "vm/host.h"
#include "vm/vm.h"

static const int64_t retry_ns = GENERATION_RETRY_SECONDS * NS_PER_SECOND;

/* A lane asked to let a generation go that never served, and the way back. */
struct hop {
    struct generation *generation;
    struct lane *lane;
};

void generation_label(const struct bundle *bundle, char out[GENERATION_LABEL_BYTES])
{
    snprintf(out, GENERATION_LABEL_BYTES, "%s@%.12s", bundle->name, bundle->hash);
}

void generation_config_hash(struct str config_json, char out[17])
{
    unsigned char hash[crypto_generichash_BYTES_MIN];
    crypto_generichash(hash, sizeof hash, (const unsigned char *)config_json.p, config_json.n, NULL,
                       0);
    sodium_bin2hex(out, 17, hash, 8);
}

const char *generation_state_name(enum generation_state state)
{
    static const char *const names[] = {"loading", "ready", "serving", "draining", "stopped"};
    return names[state];
}

/* The same lane for every generation of a plugin; a job lane if there is one,
 * so that what a plugin runs in the background does not delay requests. */
static int home_lane(const struct generation_lanes *on, const char *name)
{
    unsigned sum = 0;
    int jobs = 0, pick;
    for (const char *c = name; *c; c++)
        sum = sum * 31 + (unsigned char)*c;
    for (int i = 0; i < on->count; i++)
        jobs += on->lanes[i]->kind == LANE_JOB;
    pick = (int)(sum % (unsigned)(jobs ? jobs : on->count));
    for (int i = 0; i < on->count && jobs; i++) {
        if (on->lanes[i]->kind == LANE_JOB && pick-- == 0)
            return i;
    }
    return pick;
}

struct generation *generation_create(struct generation_lanes *on, struct bundle *bundle,
                                     struct str config_json)
{
    struct generation *g = mem_zero(1, sizeof *g);
    g->on = on;
    g->bundle = bundle;
    snprintf(g->name, sizeof g->name, "%s", bundle->name);
    generation_label(bundle, g->label);
    g->config_json = str_dup(config_json);
    generation_config_hash(config_json, g->config_hash);
    g->home = home_lane(on, g->name);
    g->loaded_wall = clock_wall_ns();
    g->vms = mem_zero((size_t)on->count, sizeof *g->vms);
    g->slots = mem_zero((size_t)on->count, sizeof *g->slots);
    g->refs = 1;
    return g;
}

void generation_ref(struct generation *g)
{
    g->refs++;
}

void generation_unref(struct generation *g)
{
    if (--g->refs)
        return;
    invariant(!g->vms_open);
    if (g->decl)
        plugin_decl_free(g->decl);
    bundle_free(g->bundle);
    mem_free(g->config_json);
    mem_free(g->given);
    mem_free(g->attached);
    mem_free(atomic_load(&g->hold));
    mem_free(g->vms);
    mem_free(g->slots);
    mem_free(g);
}

/* Only the lane writes its slot; the control lane looks at it for the admin API. */
static void set_vm(struct generation *g, const struct lane *lane, struct vm *vm)
{
    __atomic_store_n(&g->vms[lane->index], vm, __ATOMIC_RELEASE);
}

struct vm_totals generation_totals(const struct generation *g)
{
    struct vm_totals totals = {0};
    for (int i = 0; i < g->on->count; i++)
        vm_totals_add(&totals, &g->slots[i].counters);
    return totals;
}

struct generation_usage generation_usage(const struct generation *g)
{
    struct vm_totals t = generation_totals(g);
    struct generation_usage usage = {
        .memory_bytes = t.memory_bytes,
        .tasks = t.tasks,
        .started = t.started,
        .ended = t.ended,
        .cancelled = t.cancelled,
        .faults = t.faults,
        .cpu_ns = t.cpu_ns,
        .p50 = vm_latency(&t, 0.5),
        .p99 = vm_latency(&t, 0.99),
        .hold_p50 = vm_hold(&t, 0.5),
        .hold_p99 = vm_hold(&t, 0.99),
    };
    memcpy(usage.refused, t.refused, sizeof usage.refused);
    return usage;
}

/* -- VMs leave ----------------------------------------------------------------------------- */

struct reaping {
    struct pool_job job;
    struct vm *vm;
    struct generation *generation;
};

static void settle(struct generation_lanes *on)
{
    on->vms_open--;
    if (on->vm_closed)
        on->vm_closed(on->vm_closed_arg);
}

static void reap_work(struct pool_job *job)
{
    struct reaping *r = list_entry(job, struct reaping, job);
    vm_reap(r->vm);
}

static void reap_done(struct pool_job *job)
{
    struct reaping *r = list_entry(job, struct reaping, job);
    struct generation *g = r->generation;
    struct generation_lanes *on = g->on;
    if (--g->vms_open == 0) {
        if (g->state != GENERATION_SERVING) /* all of them were killed; it gets others */
            g->state = GENERATION_STOPPED;
        if (on->host->cache)
            cache_driver_release(on->host->cache, g); /* its locks */
    }
    mem_free(r);
    generation_unref(g);
    settle(on);
}

static void reap_on_control(void *arg)
{
    struct reaping *r = arg;
    struct generation_lanes *on = r->generation->on;
    pool_submit(generation_pool(on), &r->job, on->control);
}

/* On the VM's lane: nothing of it runs any more.  A state of 150 MB takes 0.2 s
 * to close, so a pool thread does it. */
void generation_idle(struct vm *vm, void *owner)
{
    struct generation *g = owner;
    struct lane *lane = vm_lane(vm);
    struct reaping *r = mem_zero(1, sizeof *r);
    r->job.work = reap_work;
    r->job.done = reap_done;
    r->vm = vm;
    r->generation = g;
    if (g->vms[lane->index] == vm)
        set_vm(g, lane, NULL);
    lane_call(g->on->control, reap_on_control, r);
}

void generation_leave(struct generation *g, struct lane *lane)
{
    g->slots[lane->index].leaving = true;
    if (g->vms[lane->index])
        vm_retire(g->vms[lane->index]);
}

void generation_cancel(struct generation *g, struct lane *lane)
{
    if (g->vms[lane->index])
        vm_cancel_tasks(g->vms[lane->index]);
}

void generation_settle(struct generation *g)
{
    struct generation_lanes *on = g->on;
    generation_unref(g);
    settle(on);
}

static void discarded_on_control(void *arg)
{
    struct hop *hop = arg;
    struct generation *g = hop->generation;
    mem_free(hop);
    generation_settle(g);
}

static void discard_on_lane(void *arg)
{
    struct hop *hop = arg;
    generation_leave(hop->generation, hop->lane);
    generation_cancel(hop->generation, hop->lane);
    lane_call(hop->generation->on->control, discarded_on_control, hop);
}

void generation_discard(struct generation *g)
{
    g->state = GENERATION_STOPPED;
    for (int i = 0; i < g->on->count; i++) {
        struct hop *hop = mem_zero(1, sizeof *hop);
        *hop = (struct hop){.generation = g, .lane = g->on->lanes[i]};
        generation_ref(g);
        g->on->vms_open++;
        lane_call(hop->lane, discard_on_lane, hop);
    }
    generation_unref(g);
}

/* -- VMs that are made again --------------------------------------------------------------- */

static struct vm *fresh_vm(struct generation *g, struct lane *lane)
{
    struct plugin_decl *decl = NULL;
    struct err err = {0};
    struct vm *vm = generation_make_vm(g, lane, NULL, &decl, &err);
    if (!vm) {
        log_error("reload", "%s: rebuild on %s: %s", g->label, lane->name, err.message);
        g->slots[lane->index].retry_at = clock_ns() + retry_ns;
        return NULL;
    }
    plugin_decl_free(decl);
    lane_call(g->on->control, generation_count_vm, g);
    set_vm(g, lane, vm);
    g->slots[lane->index].missing = false;
    log_warn("reload", "%s was rebuilt on %s", g->label, lane->name);
    return vm;
}

void generation_drop_vm(struct generation *g, struct lane *lane)
{
    struct vm *vm = g->vms[lane->index];
    if (!vm)
        return;
    set_vm(g, lane, NULL);
    g->slots[lane->index].missing = true;
    vm_cancel_tasks(vm);
    vm_retire(vm);
}

struct kill {
    struct generation *generation;
    char reason[200];
};

/* The VM, which holds a reference, cannot be closed before this was heard. */
static void killed_on_control(void *arg)
{
    struct kill *k = arg;
    struct generation_lanes *on = k->generation->on;
    if (on->killed)
        on->killed(on->killed_arg, k->generation, k->reason);
    mem_free(k);
}

void generation_killed(struct generation *g, struct lane *lane, const char *reason)
{
    struct kill *k = mem_zero(1, sizeof *k);
    k->generation = g;
    snprintf(k->reason, sizeof k->reason, "%s", reason);
    atomic_fetch_add(&g->kills, 1);
    log_error("reload", "%s was ended by force on %s: %s", g->label, lane->name, reason);
    lane_call(g->on->control, killed_on_control, k);
    if (g->vms[lane->index] && vm_broken(g->vms[lane->index]))
        generation_drop_vm(g, lane);
}

struct vm *generation_vm(struct generation *g, struct lane *lane)
{
    struct generation_slot *slot = &g->slots[lane->index];
    struct vm *vm = g->vms[lane->index];
    if (generation_held(g))
        return NULL;
    if (!vm && slot->missing && !slot->leaving && clock_ns() >= slot->retry_at)
        return fresh_vm(g, lane);
    return vm;
}
