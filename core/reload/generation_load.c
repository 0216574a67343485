/* generation_load.c -- the VMs of a generation that does not serve yet.
 *
 * A loader thread makes them, one after another, so that no lane stands still
 * while files are parsed and run; what a lane gets is finished.  A lua_State may
 * be entered from any thread as long as it is one at a time, and no lane knows
 * of these before the set that has them becomes current.
 */

#include <string.h>

#include "base/mem.h"
#include "config/config.h"
#include "loop/lane.h"
#include "loop/pool.h"
#include "reload/internal.h"
#include "vm/bundle.h"
#include "vm/host.h"
#include "vm/vm.h"

struct load {
    struct pool_job job;
    struct generation *generation;
    generation_fn *done;
    void *arg;
    struct vm **vms; /* by lane */
    struct plugin_decl *decl;
    struct err err;
};

struct pool *generation_pool(const struct generation_lanes *on)
{
    return on->serves && on->host->loader ? on->host->loader : on->host->pool;
}

static void on_killed(struct vm *vm, void *owner, const char *reason)
{
    generation_killed(owner, vm_lane(vm), reason);
}

struct vm *generation_make_vm(struct generation *g, struct lane *lane, const atomic_bool *unwanted,
                              struct plugin_decl **decl, struct err *err)
{
    struct vm_options options = {
        .lane = lane,
        .host = g->on->host,
        .bundle = g->bundle,
        .label = g->label,
        .config_json = str_c(g->config_json),
        .interpreted = g->interpreted,
        .unwanted = unwanted,
        .watchdog_ns = config_ns(g->on->host->config, "watchdog"),
        .counters = &g->slots[lane->index].counters,
        .owner = g,
        .idle = generation_idle,
        .killed = on_killed,
    };
    return vm_create(&options, decl, err);
}

void generation_count_vm(void *generation)
{
    struct generation *g = generation;
    generation_ref(g);
    g->vms_open++;
    g->on->vms_open++;
}

static bool make(struct load *load, int i)
{
    struct generation *g = load->generation;
    struct plugin_decl *decl = NULL;
    load->vms[i] = generation_make_vm(g, g->on->lanes[i], &g->on->stopping, &decl, &load->err);
    if (!load->vms[i])
        return false;
    if (!load->decl) {
        load->decl = decl;
        return true;
    }
    bool same = !strcmp(decl->handlers_hash, load->decl->handlers_hash);
    plugin_decl_free(decl);
    return same ||
           err_set(&load->err, ERR_LUA,
                   "%s/plugin.lua: declares other handlers each time it is loaded", g->bundle->dir);
}

static void load_work(struct pool_job *job)
{
    struct load *load = list_entry(job, struct load, job);
    struct generation *g = load->generation;
    bool ok = make(load, g->home);
    for (int i = 0; ok && i < g->on->count; i++)
        ok = i == g->home || make(load, i);
    for (int i = 0; !ok && i < g->on->count; i++) {
        vm_destroy(load->vms[i]);
        load->vms[i] = NULL;
    }
}

static void load_done(struct pool_job *job)
{
    struct load *load = list_entry(job, struct load, job);
    struct generation *g = load->generation;
    if (job->cancelled)
        err_set(&load->err, ERR_CANCELLED, "%s: the server is stopping", g->label);
    bool ok = !load->err.code;
    if (ok) {
        g->decl = load->decl;
        g->state = GENERATION_READY;
    } else if (load->decl) {
        plugin_decl_free(load->decl);
    }
    for (int i = 0; ok && i < g->on->count; i++) {
        g->vms[i] = load->vms[i];
        generation_count_vm(g);
    }
    load->done(g, ok ? NULL : &load->err, load->arg);
    mem_free(load->vms);
    mem_free(load);
}

void generation_load(struct generation *g, generation_fn *done, void *arg)
{
    struct load *load = mem_zero(1, sizeof *load);
    *load = (struct load){
        .job = {.work = load_work, .done = load_done},
        .generation = g,
        .done = done,
        .arg = arg,
        .vms = mem_zero((size_t)g->on->count, sizeof *load->vms),
    };
    pool_submit(generation_pool(g->on), &load->job, g->on->control);
}
