/* permit.c -- whether a change may let a plugin reach more than it did.
 *
 * What was accepted is what the serving generation declares, or, when nothing serves, what
 * <accepted_dir>/<plugin> remembers of the last one that did (lines of capability.h).  A plugin
 * seen for the first time is accepted as it is.  A kept bundle has served before, so it was.
 */

#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "observe/log.h"
#include "reload/internal.h"
#include "vm/capability.h"

enum { ACCEPTED_BYTES = 1 << 20, NAMED_BYTES = 300 };

static const struct item *item_named(const struct change *c, const char *plugin)
{
    for (int i = 0; i < c->item_count; i++) {
        if (!strcmp(c->items[i].fresh->name, plugin))
            return &c->items[i];
    }
    return NULL;
}

void permit_plan(struct change *c)
{
    const struct set *set = reload_current(c->reload);
    for (int i = 0; i < c->plan.count; i++) {
        struct plan_step *step = &c->plan.steps[i];
        const struct item *item = item_named(c, step->plugin);
        const struct generation *old = set ? set_plugin(set, str_c(step->plugin)) : NULL;
        const struct plugin_decl *decl = item ? item->fresh->decl : NULL;
        struct capability_list before = {0}, after = {0};
        if (step->action == PLAN_KEEP || (step->to && !decl))
            continue;
        if (old)
            capability_list(old->decl, &before);
        if (decl)
            capability_list(decl, &after);
        plan_permissions(step, &before, &after);
        capability_list_free(&before);
        capability_list_free(&after);
    }
}

/* -- what was accepted ---------------------------------------------------------------------- */

/* False when the plugin has never been seen. */
static bool read_accepted(const struct change *c, const struct item *item,
                          struct capability_list *out)
{
    const char *dir = c->reload->options.accepted_dir;
    struct buf lines = {0};
    struct err err = {0};
    *out = (struct capability_list){0};
    if (item->old) {
        capability_list(item->old->decl, out);
        return true;
    }
    char *path = mem_printf("%s/%s", dir ? dir : "", item->fresh->name);
    bool seen = dir && (file_read(path, ACCEPTED_BYTES, &lines, &err) || err.code != ERR_NOT_FOUND);
    if (seen && err.code)
        log_warn("reload", "%s -- as if nothing had been accepted", err.message);
    else if (seen)
        capability_read(buf_str(&lines), out);
    buf_free(&lines);
    mem_free(path);
    return seen;
}

static bool is_trusted(const struct change *c, const char *plugin)
{
    const char *const *trusted = c->reload->options.trusted;
    for (int i = 0; trusted && trusted[i]; i++) {
        if (!strcmp(trusted[i], "*") || !strcmp(trusted[i], plugin))
            return true;
    }
    return false;
}

/* Cuts a long list between two of its items. */
static void cut(struct buf *list)
{
    if (list->n <= NAMED_BYTES)
        return;
    list->n = NAMED_BYTES;
    while (list->n && list->p[list->n - 1] != ',')
        list->n--;
    buf_add_c(list, " …");
}

bool permit_check(const struct change *c, const struct item *item, struct err *err)
{
    const char *plugin = item->fresh->name;
    struct capability_list accepted, now;
    struct buf more = {0};
    if (c->allow || item->fell_back || is_trusted(c, plugin))
        return true;
    bool seen = read_accepted(c, item, &accepted);
    capability_list(item->fresh->decl, &now);
    bool ok = !seen || !capability_widens(&accepted, &now, &more);
    if (!ok) {
        cut(&more);
        err_set(err, ERR_FORBIDDEN,
                "%s would reach more than was accepted: %s; `maru reload %s --allow` accepts it",
                plugin, more.p, plugin);
    }
    capability_list_free(&accepted);
    capability_list_free(&now);
    buf_free(&more);
    return ok;
}

/* -- keeping it ----------------------------------------------------------------------------- */

/* The lines in one order, whether they come from a declaration or were kept. */
static void print_canonical(const struct capability_list *list, struct buf *out)
{
    struct capability_list flat;
    struct buf lines = {0};
    capability_print(list, &lines);
    capability_read(buf_str(&lines), &flat);
    capability_print(&flat, out);
    capability_list_free(&flat);
    buf_free(&lines);
}

/* Written before anything else happens to the plugin, and only when it is news: it is synced. */
static void keep_accepted(const struct change *c, const struct item *item, bool seen,
                          const struct capability_list *accepted, const struct capability_list *now)
{
    const char *dir = c->reload->options.accepted_dir;
    struct buf before = {0}, after = {0};
    struct err err = {0};
    print_canonical(accepted, &before);
    print_canonical(now, &after);
    if (dir && (!seen || !str_eq(buf_str(&before), buf_str(&after)))) {
        char *path = mem_printf("%s/%s", dir, item->fresh->name);
        if (!dir_make(dir, 0700, &err) || !file_write(path, buf_str(&after), 0600, &err))
            log_error("reload", "%s -- what %s may reach is not kept", err.message,
                      item->fresh->name);
        mem_free(path);
    }
    buf_free(&before);
    buf_free(&after);
}

void permit_accept(const struct change *c, const struct item *item)
{
    struct capability_list accepted, now, none = {0};
    struct buf more = {0};
    bool seen = read_accepted(c, item, &accepted);
    capability_list(item->fresh->decl, &now);
    if (!seen && capability_widens(&none, &now, &more))
        log_info("reload", "%s is new and may reach: %s", item->fresh->name, more.p);
    else if (!seen)
        log_info("reload", "%s is new and reaches nothing outside", item->fresh->name);
    else if (capability_widens(&accepted, &now, &more))
        log_info("reload", "%s may reach more from now on: %s", item->fresh->name, more.p);
    keep_accepted(c, item, seen, &accepted, &now);
    capability_list_free(&accepted);
    capability_list_free(&now);
    buf_free(&more);
}
