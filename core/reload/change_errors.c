/* change_errors.c -- why a plugin's change failed, and when that is over. */

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "reload/internal.h"
#include "vm/bundle.h"

/* What the change has of a plugin's files. */
static const struct bundle *bundle_of(const struct change *c, const char *plugin)
{
    for (int i = 0; i < c->item_count; i++) {
        if (c->items[i].fresh && !strcmp(c->items[i].fresh->name, plugin))
            return c->items[i].fresh->bundle;
    }
    for (int i = 0; i < c->scan.count; i++) {
        if (!strcmp(c->scan.entries[i].name, plugin))
            return c->scan.entries[i].bundle;
    }
    return NULL;
}

/* Whoever asked for it is told; the plugin itself has not failed. */
static bool is_refused_rollback(const struct change *c)
{
    return c->rollback && !c->item_count;
}

void change_add_error(struct change *c, const char *plugin, const char *message, bool refused)
{
    const struct set *set = reload_current(c->reload);
    struct generation *serving = set ? set_plugin(set, str_c(plugin)) : NULL;
    const struct bundle *bundle = bundle_of(c, plugin);
    struct reload_error e = {.at_wall = clock_wall_ns(), .refused = refused};
    snprintf(e.plugin, sizeof e.plugin, "%s", plugin);
    snprintf(e.message, sizeof e.message, "%s", message);
    snprintf(e.kept, sizeof e.kept, "%s", serving ? serving->label : "");
    if (bundle)
        generation_label(bundle, e.generation);
    c->errors = mem_realloc(c->errors, (size_t)(c->error_count + 1) * sizeof *c->errors);
    c->errors[c->error_count++] = e;
    if (c->dry || c->reload->stopping || is_refused_rollback(c))
        return;
    reload_note(c->reload, &e);
    if (c->reload->options.failed)
        c->reload->options.failed(c->reload->options.arg, &e, bundle);
    reload_event(c->reload, plugin, "refused", bundle ? bundle->hash : "", "%s", message);
    log_error("reload", "%s%s%s%s%s%s%s", message, bundle || serving ? " -- " : "", e.generation,
              bundle ? " is refused" : "", bundle && serving ? ", " : "", e.kept,
              serving ? " keeps serving" : "");
}

bool change_is_unwanted(struct change *c)
{
    if (c->reload->stopping)
        change_add_error(c, c->names && c->names[0] ? c->names[0] : "", "the server is stopping",
                         false);
    return c->reload->stopping;
}

static bool is_planned(const struct change *c, const char *plugin)
{
    for (int i = 0; i < c->plan.count; i++) {
        if (!strcmp(c->plan.steps[i].plugin, plugin))
            return true;
    }
    return false;
}

void change_forget_undone(struct change *c)
{
    for (int i = 0; i < c->plan.count; i++) {
        const struct plan_step *s = &c->plan.steps[i];
        if (s->action == PLAN_KEEP && s->found >= 0)
            reload_forget(c->reload, s->plugin);
    }
    for (int i = 0; c->names && c->names[i]; i++) {
        if (!is_planned(c, c->names[i]))
            reload_forget(c->reload, c->names[i]);
    }
}
