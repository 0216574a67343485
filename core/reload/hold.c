/* hold.c -- what kills lead to: the count, the quarantine, and the ways out of it. */

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/server.h"
#include "loop/pool.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "reload/internal.h"
#include "reload/quarantine.h"
#include "vm/bundle.h"
#include "vm/host.h"

static struct metric *metric_of(const char *plugin, bool kills)
{
    struct buf labels = {0};
    metrics_label(&labels, "plugin", str_c(plugin));
    struct metric *m =
        kills ? metrics_counter("maru_plugin_kills_total", "VMs of a plugin ended by force.",
                                labels.p)
              : metrics_gauge("maru_plugin_quarantined",
                              "1 while a plugin is held back after too many kills.", labels.p);
    buf_free(&labels);
    return m;
}

/* -- the records go to disk ------------------------------------------------------------------- */

/* The server does not stop before it is done. */
struct saving {
    struct pool_job job;
    struct reload *reload;
    struct err err;
};

static void save_work(struct pool_job *job)
{
    struct saving *s = list_entry(job, struct saving, job);
    quarantine_save(s->reload->options.quarantine, &s->err);
}

static void save_done(struct pool_job *job)
{
    struct saving *s = list_entry(job, struct saving, job);
    struct reload *r = s->reload;
    if (s->err.code)
        log_error("reload", "%s", s->err.message);
    mem_free(s);
    r->leaving--;
    reload_check_stopped(r);
}

static void save(struct reload *r)
{
    struct saving *s = mem_zero(1, sizeof *s);
    s->job.work = save_work;
    s->job.done = save_done;
    s->reload = r;
    r->leaving++;
    pool_submit(r->options.on.host->pool, &s->job, r->options.on.control);
}

/* -- in --------------------------------------------------------------------------------------- */

/* What its last handlers answered may have been kept. */
static void on_emptied(void *reload, struct generation *g)
{
    struct reload *r = reload;
    if (r->options.http)
        http_server_forget(r->options.http, g->name);
}

static void hold(struct reload *r, struct generation *g, const struct generation_hold *why)
{
    generation_hold(g, why);
    if (r->options.held && g->state == GENERATION_SERVING)
        r->options.held(r->options.arg, g);
    generation_empty(g, on_emptied, r);
}

static struct generation_hold hold_of(const struct quarantine_state *state)
{
    struct generation_hold why = {.since_wall = state->since_wall, .kills = state->kills};
    snprintf(why.reason, sizeof why.reason, "%s", state->reason);
    return why;
}

/* What is killed may have been replaced meanwhile, by the same content or by another. */
static void hold_content(struct reload *r, struct generation *g,
                         const struct quarantine_state *state)
{
    const struct set *set = reload_current(r);
    struct generation *serving = set ? set_plugin(set, str_c(g->name)) : NULL;
    struct generation_hold why = hold_of(state);
    hold(r, g, &why);
    if (!serving || strcmp(serving->bundle->hash, g->bundle->hash))
        return;
    metric_set(metric_of(g->name, false), 1);
    if (serving != g)
        hold(r, serving, &why);
}

void reload_killed(void *reload, struct generation *g, const char *reason)
{
    struct reload *r = reload;
    struct quarantine *q = r->options.quarantine;
    metric_add(metric_of(g->name, true), 1);
    if (!q)
        return;
    reload_event(r, g->name, "killed", g->bundle->hash, "%s", reason);
    if (quarantine_count(q, g->name, g->bundle->hash, reason, false, clock_wall_ns())) {
        struct quarantine_state state = quarantine_of(q, g->name, g->bundle->hash);
        log_error("reload",
                  "%s is quarantined after %d kills: its routes answer 503 and its jobs are held "
                  "until its files change or `maru plugins release %s`",
                  g->label, state.kills, g->name);
        reload_event(r, g->name, "quarantined", g->bundle->hash, "after %d kills", state.kills);
        hold_content(r, g, &state);
    }
    save(r);
}

void reload_suspend(struct reload *r, const char *label, const char *reason)
{
    struct generation_hold why = {.since_wall = clock_wall_ns(), .restarting = true};
    const struct set *set = reload_current(r);
    snprintf(why.reason, sizeof why.reason, "%s", reason);
    for (int i = 0; set && i < set->count; i++) {
        struct generation *g = set->generations[i];
        if (!strcmp(g->label, label) && !generation_held(g))
            hold(r, g, &why);
    }
}

/* -- fresh generations, and out ---------------------------------------------------------------- */

void reload_meet(struct reload *r, struct generation *fresh, bool release)
{
    struct quarantine *q = r->options.quarantine;
    if (!q || release)
        return;
    struct quarantine_state state = quarantine_of(q, fresh->name, fresh->bundle->hash);
    fresh->interpreted = state.interpreted;
    if (state.interpreted)
        log_warn("reload",
                 "%s runs interpreted, since it took a process along (%s), until its files change "
                 "or `maru plugins release %s`",
                 fresh->label, state.reason, fresh->name);
    if (!state.held)
        return;
    log_error("reload", "%s is in quarantine (%s)", fresh->label, state.reason);
    struct generation_hold why = hold_of(&state); /* it has no VMs yet that would have to go */
    generation_hold(fresh, &why);
}

bool reload_may_replace(const struct generation *fresh, const struct generation *old,
                        struct err *err)
{
    const struct generation_hold *held = generation_held(fresh);
    if (!held || !old || generation_held(old))
        return true;
    return err_set(err, ERR_QUARANTINED,
                   "%s/plugin.lua: %s is quarantined after %d kills (%s) until its files change or "
                   "`maru plugins release %s`",
                   fresh->bundle->dir, fresh->label, held->kills, held->reason, fresh->name);
}

void reload_welcome(struct reload *r, struct generation *fresh, bool release)
{
    struct quarantine *q = r->options.quarantine;
    if (q)
        metric_set(metric_of(fresh->name, false), generation_held(fresh) != NULL);
    if (!q || generation_held(fresh))
        return;
    const char *spared = release ? NULL : fresh->bundle->hash;
    enum quarantine_forgot forgot = quarantine_forget(q, fresh->name, spared);
    if (forgot == FORGOT_HOLD) {
        log_info("reload", "%s is released: nothing is held against it", fresh->label);
        reload_event(r, fresh->name, "released", fresh->bundle->hash, "nothing is held against it");
    }
    if (forgot != FORGOT_NOTHING)
        save(r);
}

struct quarantine_state reload_kills(const struct reload *r, const struct generation *g)
{
    if (!r->options.quarantine)
        return (struct quarantine_state){0};
    return quarantine_of(r->options.quarantine, g->name, g->bundle->hash);
}

bool reload_has_kills(const struct reload *r, const char *plugin)
{
    return r->options.quarantine && quarantine_has(r->options.quarantine, plugin);
}
