/* change_plan.c -- the first steps of a change: what lies there, and what is to be done. */

#include <string.h>

#include "base/mem.h"
#include "reload/internal.h"
#include "vm/bundle.h"

static char *config_hash(struct reload *r, const char *plugin)
{
    char hash[17];
    char *config = r->options.config_json(r->options.arg, plugin);
    generation_config_hash(str_c(config), hash);
    mem_free(config);
    return mem_strdup(hash);
}

static void make_plan(struct change *c)
{
    struct reload *r = c->reload;
    const struct set *set = reload_current(r);
    int serving = set ? set->count : 0;
    c->serving = mem_zero((size_t)serving + 1, sizeof *c->serving);
    c->found = mem_zero((size_t)c->scan.count + 1, sizeof *c->found);
    for (int i = 0; i < serving; i++) {
        const struct generation *g = set->generations[i];
        c->serving[i] = (struct plan_plugin){g->name, g->bundle->hash, g->config_hash, false, NULL};
    }
    for (int i = 0; i < c->scan.count; i++) {
        const struct scan_entry *e = &c->scan.entries[i];
        c->found[i] = (struct plan_plugin){e->name, mem_strdup(e->bundle ? e->bundle->hash : ""),
                                           config_hash(r, e->name),
                                           change_is_listed(r->options.disabled, e->name), e->note};
    }
    c->plan = plan_make(c->serving, serving, c->found, c->scan.count, (const char *const *)c->names,
                        c->forced);
}

/* Folders that cannot be read fail the change, unless they may. */
static bool check_scan(struct change *c)
{
    bool ok = true;
    for (int i = c->scan.count - 1; i >= 0; i--) {
        struct scan_entry *e = &c->scan.entries[i];
        if (e->bundle)
            continue;
        change_add_error(c, e->name, e->err.message, false);
        ok = ok && c->first && change_is_listed(c->reload->options.tolerated, e->name);
        memmove(e, e + 1, (size_t)(c->scan.count-- - 1 - i) * sizeof *e);
    }
    return ok;
}

/* A plugin asked for by name must be somewhere; a file watch names any folder. */
static bool check_names(struct change *c)
{
    const struct set *set = reload_current(c->reload);
    bool ok = true;
    for (int i = 0; c->forced && c->names && c->names[i]; i++) {
        bool found = set && set_plugin(set, str_c(c->names[i]));
        for (int k = 0; !found && k < c->scan.count; k++)
            found = !strcmp(c->scan.entries[k].name, c->names[i]);
        if (found)
            continue;
        struct err err;
        err_set(&err, ERR_NOT_FOUND, "no plugin '%s' in plugins.path", c->names[i]);
        change_add_error(c, c->names[i], err.message, false);
        reload_forget(c->reload, c->names[i]);
        ok = false;
    }
    return ok;
}

/* What an operator names is read from its folder, whatever it was rolled back from; a release
 * is about what serves. */
static void read_folders(struct change *c)
{
    const struct reload_options *o = &c->reload->options;
    const char *const *names = (const char *const *)c->names;
    c->scan = scan_read(o->dirs, names);
    if (o->keep_dir)
        rollback_apply(o->keep_dir, &c->scan, c->forced && !c->release ? names : NULL);
}

void change_begin(struct change *c)
{
    struct reload *r = c->reload;
    c->first = !r->loaded_once;
    if (change_is_unwanted(c)) {
        change_fail(c);
        return;
    }
    if (change_is_late(c)) {
        change_end(c, true);
        return;
    }
    if (!c->rollback)
        read_folders(c);
    if ((c->rollback && !change_find_kept(c)) || !check_scan(c) || !check_names(c)) {
        change_fail(c);
        return;
    }
    make_plan(c);
    if (!c->dry)
        change_forget_undone(c);
    if (c->plan.changes || c->first) {
        change_load(c);
    } else {
        if (!c->dry)
            change_settle_rollbacks(c);
        change_end(c, true);
    }
}
