/* change_start.c -- a verified change: migrations, stop() and start(), the swap. */

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/pool.h"
#include "observe/log.h"
#include "reload/internal.h"
#include "reload/keep.h"
#include "storage/migrate.h"
#include "vm/bundle.h"
#include "vm/host.h"

/* -- swap ----------------------------------------------------------------------------------- */

static const char *event_kind(const struct change *c, const struct plan_step *step)
{
    if (step->action == PLAN_STOP)
        return "stopped";
    return c->rollback ? "rolled back" : "loaded";
}

static void on_swapped(void *arg)
{
    struct change *c = arg;
    int64_t now = clock_ns();
    for (int i = 0; i < c->plan.count; i++) {
        const struct plan_step *s = &c->plan.steps[i];
        double ms = (double)(now - c->since) / 1e6;
        if (s->action == PLAN_KEEP)
            continue;
        log_info("reload", "%s %s (%s, %s) %.1f ms", plan_action_name(s->action), s->plugin,
                 s->reason, c->cause, ms);
        reload_event(c->reload, s->plugin, event_kind(c, s), s->to ? s->to : s->from,
                     "%s (%s), %.1f ms", s->reason, c->cause, ms);
    }
    if (c->warning.n)
        log_warn("reload", "%s", c->warning.p);
    /* Only now: who reads that it is mended must not be answered by the old one. */
    for (int i = 0; i < c->item_count; i++) {
        if (!c->items[i].fell_back)
            reload_forget(c->reload, c->items[i].fresh->name);
    }
    change_end(c, true);
}

struct keeping {
    struct pool_job job;
    struct reload *reload;
    struct generation *generation;
    const char *dir;
    struct err err;
};

static void keep_work(struct pool_job *job)
{
    struct keeping *k = list_entry(job, struct keeping, job);
    keep_save(k->dir, k->generation->bundle, k->generation->decl->version, &k->err);
}

static void keep_done(struct pool_job *job)
{
    struct keeping *k = list_entry(job, struct keeping, job);
    struct reload *r = k->reload;
    if (k->err.code)
        log_warn("reload", "%s", k->err.message);
    generation_unref(k->generation);
    mem_free(k);
    r->leaving--;
    reload_check_stopped(r);
}

static void keep(struct reload *r, struct generation *g)
{
    struct keeping *k = r->options.keep_dir ? mem_zero(1, sizeof *k) : NULL;
    if (!k)
        return;
    generation_ref(g);
    r->leaving++;
    *k = (struct keeping){.job = {.work = keep_work, .done = keep_done},
                          .reload = r,
                          .generation = g,
                          .dir = r->options.keep_dir};
    pool_submit(generation_pool(&r->options.on), &k->job, r->options.on.control);
}

/* Whether an earlier rollback decided what of the plugin is loaded. */
static bool is_put_back(const struct change *c, const char *plugin)
{
    for (int i = 0; i < c->plan.count; i++) {
        const struct plan_step *s = &c->plan.steps[i];
        if (!strcmp(s->plugin, plugin))
            return s->found >= 0 && c->found[s->found].note;
    }
    return false;
}

static void swap(struct change *c)
{
    struct reload *r = c->reload;
    const struct set *old = reload_current(r);
    int count = 0;
    struct generation **gone = mem_zero((size_t)(old ? old->count : 0) + 1, sizeof *gone);
    for (int i = 0; old && i < old->count; i++) {
        if (set_plugin(c->set, str_c(old->generations[i]->name)) != old->generations[i])
            gone[count++] = old->generations[i];
    }
    for (int i = 0; i < c->item_count; i++) {
        permit_accept(c, &c->items[i]);
        if (!c->items[i].fell_back)
            keep(r, c->items[i].fresh);
        reload_welcome(r, c->items[i].fresh, c->release);
        generation_unref(c->items[i].fresh); /* the set holds it now */
    }
    change_settle_rollbacks(c);
    for (int i = 0; i < c->item_count && !c->rollback; i++) {
        struct item *item = &c->items[i];
        if (item->old && !is_put_back(c, item->fresh->name))
            guard_begin(r, item->fresh, item->old);
    }
    r->loaded_once = r->options.on.serves = true;
    c->swapped = clock_ns();
    struct set *set = c->set;
    c->set = NULL;
    reload_swap(r, set, gone, count, r->options.drain_ns, on_swapped, c);
    if (r->options.swapped)
        r->options.swapped(r->options.arg, set, gone, count);
    mem_free(gone);
}

/* -- stop and start ------------------------------------------------------------------------- */

static void start_next(struct change *c);

static struct item *item_of(struct change *c, const struct generation *g)
{
    for (int i = 0; i < c->item_count; i++) {
        if (c->items[i].fresh == g)
            return &c->items[i];
    }
    return NULL;
}

static void on_started(struct generation *g, const struct err *failure, void *arg)
{
    struct change *c = arg;
    struct item *item = item_of(c, g);
    if (failure && change_start_kept(c, item, failure))
        return;
    if (failure) {
        change_fail_with(c, g->name, failure);
        return;
    }
    item->started = true;
    start_next(c);
}

static void on_handed_over(struct generation *old, char *result, const struct err *failure,
                           void *arg)
{
    struct item *item = arg;
    item->stopped = true;
    item->fresh->given = result;
    if (failure)
        log_error("reload", "%s: stop: %s", old->label, failure->message);
    generation_start(item->fresh, result, item->change->reload->options.start_ns, on_started,
                     item->change);
}

static void start_next(struct change *c)
{
    struct reload *r = c->reload;
    if (r->stopping) {
        change_fail(c);
        return;
    }
    if (c->at == c->set->count) {
        swap(c);
        return;
    }
    struct generation *g = c->set->generations[c->order[c->at++]];
    struct item *item = item_of(c, g);
    if (!item || item->started)
        start_next(c);
    else if (item->old && item->old->decl->stop >= 0)
        generation_stop(item->old, r->options.start_ns, on_handed_over, item);
    else
        generation_start(g, NULL, r->options.start_ns, on_started, c);
}

/* -- migrations ----------------------------------------------------------------------------- */

int change_migrations(const struct bundle *bundle, struct migration *out)
{
    static const char folder[] = "migrations/";
    int n = 0;
    for (int i = 0; i < bundle->count; i++) {
        const struct bundle_file *f = &bundle->files[i];
        size_t length = strlen(f->name);
        if (strncmp(f->name, folder, sizeof folder - 1) || length < 4 ||
            strcmp(f->name + length - 4, ".sql"))
            continue;
        if (out)
            out[n] = (struct migration){f->name, str_n(f->bytes, f->n)};
        n++;
    }
    return n;
}

/* First all of them on scratch copies, so that one broken file changes nothing;
 * then for good. */
static bool migrate_all(struct change *c, bool for_good)
{
    struct store *store = c->reload->options.store;
    bool ok = true;
    for (int i = 0; ok && i < c->item_count; i++) {
        const struct generation *g = c->items[i].fresh;
        int count = change_migrations(g->bundle, NULL);
        struct migration *list = mem_zero((size_t)count + 1, sizeof *list);
        change_migrations(g->bundle, list);
        c->migrating = &c->items[i];
        ok = !count || (for_good ? store_migrate : store_migrate_check)(store, g->name, list, count,
                                                                        &c->migration_err);
        mem_free(list);
    }
    return ok;
}

static void migrate_work(struct pool_job *job)
{
    struct change *c = list_entry(job, struct change, migration);
    if (migrate_all(c, false) && migrate_all(c, true) && c->rollback)
        change_warn_ahead(c);
}

static void migrate_done(struct pool_job *job)
{
    struct change *c = list_entry(job, struct change, migration);
    if (job->cancelled) {
        change_fail(c);
    } else if (c->migration_err.code) {
        const struct generation *g = c->migrating->fresh;
        err_wrap(&c->migration_err, "%s", g->bundle->dir);
        char *colon = strstr(c->migration_err.message, ": migrations/");
        if (colon)
            memmove(memcpy(colon, "/", 1) + 1, colon + 2, strlen(colon + 2) + 1);
        change_fail_with(c, g->name, &c->migration_err);
    } else {
        start_next(c);
    }
}

void change_migrate(struct change *c)
{
    int count = 0;
    for (int i = 0; i < c->item_count; i++)
        count += change_migrations(c->items[i].fresh->bundle, NULL);
    c->migration = (struct pool_job){.work = migrate_work, .done = migrate_done};
    if ((count || c->rollback) && c->reload->options.store)
        pool_submit(c->reload->options.on.host->pool, &c->migration, c->reload->options.on.control);
    else
        start_next(c);
}
