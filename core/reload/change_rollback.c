/* change_rollback.c -- a kept bundle in the folder's place, and back. */

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "reload/internal.h"
#include "reload/keep.h"
#include "reload/rollback.h"
#include "storage/migrate.h"
#include "vm/bundle.h"

static const struct generation *serving_of(const struct change *c, const char *plugin)
{
    const struct set *set = reload_current(c->reload);
    return set ? set_plugin(set, str_c(plugin)) : NULL;
}

/* The newest that neither serves nor failed. */
static struct bundle *read_newest(const char *dir, const char *plugin,
                                  const struct generation *serving, struct err *err)
{
    int count, i = 0;
    struct kept *list = keep_list(dir, plugin, &count);
    while (i < count && (list[i].failed[0] ||
                         (serving && !strncmp(serving->bundle->hash, list[i].hash, KEEP_HASH))))
        i++;
    struct bundle *bundle = i < count ? keep_read(dir, plugin, list[i].hash, err) : NULL;
    if (!count && !serving)
        err_set(err, ERR_NOT_FOUND, "no plugin '%s' serves, and no generation of one is kept",
                plugin);
    else if (i == count)
        err_set(err, ERR_NOT_FOUND, "%s: no other generation that served well is kept", plugin);
    mem_free(list);
    return bundle;
}

static struct bundle *read_kept(struct change *c, const char *plugin, struct err *err)
{
    const struct generation *serving = serving_of(c, plugin);
    const char *dir = c->reload->options.keep_dir;
    struct bundle *bundle =
        c->hash ? keep_read(dir, plugin, c->hash, err) : read_newest(dir, plugin, serving, err);
    if (bundle && serving && !strcmp(bundle->hash, serving->bundle->hash)) {
        err_set(err, ERR_CONFLICT, "%s serves already", serving->label);
        bundle_free(bundle);
        return NULL;
    }
    return bundle;
}

static struct rollback describe(struct change *c, const struct bundle *to)
{
    const struct generation *serving = serving_of(c, to->name);
    struct rollback r = {.at_wall = clock_wall_ns()};
    snprintf(r.plugin, sizeof r.plugin, "%s", to->name);
    snprintf(r.from, sizeof r.from, "%.*s", KEEP_HASH, serving ? serving->bundle->hash : "0");
    snprintf(r.to, sizeof r.to, "%.*s", KEEP_HASH, to->hash);
    snprintf(r.reason, sizeof r.reason, "%s", c->reason);
    if (!c->from) {
        struct scan now = scan_read(c->reload->options.dirs, (const char *const *)c->names);
        if (now.count && now.entries[0].bundle)
            snprintf(r.folder, sizeof r.folder, "%.*s", KEEP_HASH, now.entries[0].bundle->hash);
        scan_free(&now);
    }
    return r;
}

/* A guard's, and something else has come to serve meanwhile. */
bool change_is_late(const struct change *c)
{
    const struct generation *serving = c->from ? serving_of(c, c->names[0]) : NULL;
    return c->from && (!serving || strcmp(serving->bundle->hash, c->from));
}

bool change_find_kept(struct change *c)
{
    struct err err = {0};
    const char *plugin = c->names[0];
    struct bundle *bundle = c->reload->options.keep_dir ? read_kept(c, plugin, &err) : NULL;
    if (!bundle) {
        change_add_error(c, plugin, err.code ? err.message : "no generations are kept here", false);
        return false;
    }
    c->rolling = describe(c, bundle);
    c->scan.entries = mem_zero(1, sizeof *c->scan.entries);
    c->scan.count = 1;
    c->scan.entries[0].bundle = bundle;
    c->scan.entries[0].note = rollback_text(&c->rolling);
    snprintf(c->scan.entries[0].name, sizeof c->scan.entries[0].name, "%s", plugin);
    return true;
}

static struct metric *rollbacks_of(const char *plugin, const char *cause)
{
    struct buf labels = {0};
    metrics_label(&labels, "plugin", str_c(plugin));
    metrics_label(&labels, "cause", str_c(cause));
    struct metric *m = metrics_counter("maru_plugin_rollbacks_total",
                                       "Kept generations that were put back.", labels.p);
    buf_free(&labels);
    return m;
}

static void settle_back(struct change *c)
{
    const struct rollback *r = &c->rolling;
    const char *dir = c->reload->options.keep_dir;
    struct err err = {0};
    char *text = rollback_text(r);
    if (!rollback_write(dir, r, &err))
        log_error("reload", "%s: a restart will load the folder again: %s", r->plugin, err.message);
    metric_add(rollbacks_of(r->plugin, c->from ? "guard" : "operator"), 1);
    if (serving_of(c, r->plugin) && !keep_fail(dir, r->plugin, r->from, r->reason, &err))
        log_warn("reload", "%s", err.message);
    log_warn("reload", "%s %s", r->plugin, text);
    mem_free(text);
}

/* A folder that serves ends an earlier rollback. */
void change_settle_rollbacks(struct change *c)
{
    const char *dir = c->reload->options.keep_dir;
    if (!dir)
        return;
    if (c->rollback) {
        settle_back(c);
        return;
    }
    for (int i = 0; i < c->plan.count; i++) {
        const struct plan_step *s = &c->plan.steps[i];
        bool serves = s->found >= 0 && !c->found[s->found].note;
        if (serves || s->action == PLAN_STOP)
            rollback_forget(dir, s->plugin);
    }
}

void change_warn_ahead(struct change *c)
{
    struct buf names = {0};
    struct err err = {0};
    const struct bundle *bundle = c->items[0].fresh->bundle;
    int count = change_migrations(bundle, NULL);
    struct migration *list = mem_zero((size_t)count + 1, sizeof *list);
    change_migrations(bundle, list);
    if (!store_migrations_ahead(c->reload->options.store, bundle->name, list, count, &names, &err))
        buf_printf(&c->warning, "%s", err.message);
    else if (names.n)
        buf_printf(&c->warning,
                   "the database stays as it is: %s was applied and %s@%.12s does not know it",
                   names.p, bundle->name, bundle->hash);
    buf_free(&names);
    mem_free(list);
}
