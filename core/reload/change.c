/* change.c -- one transaction of reload.h, as a chain of steps on the control lane:
 *
 *   scan → plan → load → verify → migrate → start → swap → done
 *
 * Every step either calls the next one or fails the change.  Until the swap the
 * set that serves is only read.  change_plan.c has the first two steps,
 * change_start.c those from migrate on.
 */

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "reload/internal.h"
#include "reload/keep.h"
#include "vm/bundle.h"

struct list *change_link(struct change *c)
{
    return &c->link;
}

struct change *change_of(struct list *link)
{
    return list_entry(link, struct change, link);
}

static char **copy_names(const char *const *names)
{
    size_t n = 0;
    while (names && names[n])
        n++;
    char **copy = names ? mem_zero(n + 1, sizeof *copy) : NULL;
    for (size_t i = 0; i < n; i++)
        copy[i] = mem_strdup(names[i]);
    return copy;
}

struct change *change_create(struct reload *r, const struct reload_request *request)
{
    struct change *c = mem_zero(1, sizeof *c);
    list_init(&c->link);
    c->reload = r;
    c->names = copy_names(request->names);
    c->forced = request->forced || request->rollback;
    c->allow = request->allow || request->rollback; /* what served before was accepted then */
    c->dry = request->dry;
    c->release = request->release;
    c->rollback = request->rollback;
    c->from = mem_strdup(request->from);
    c->hash = mem_strdup(request->hash);
    c->reason = mem_strdup(request->reason ? request->reason : "asked for");
    c->cause = request->cause;
    c->done = request->done;
    c->arg = request->arg;
    c->since = clock_ns();
    return c;
}

bool change_is_listed(const char *const *list, const char *name)
{
    for (int i = 0; list && list[i]; i++) {
        if (!strcmp(list[i], name))
            return true;
    }
    return false;
}

/* -- the end -------------------------------------------------------------------------------- */

static void change_free(struct change *c)
{
    for (int i = 0; c->names && c->names[i]; i++)
        mem_free(c->names[i]);
    for (int i = 0; c->found && i < c->scan.count; i++) {
        mem_free((void *)(uintptr_t)c->found[i].config_hash);
        mem_free((void *)(uintptr_t)c->found[i].hash);
    }
    mem_free(c->names);
    mem_free(c->hash);
    mem_free(c->reason);
    mem_free(c->from);
    buf_free(&c->warning);
    scan_free(&c->scan);
    plan_free(&c->plan);
    mem_free(c->serving);
    mem_free(c->found);
    mem_free(c->items);
    mem_free(c->order);
    mem_free(c->errors);
    mem_free(c);
}

void change_end(struct change *c, bool ok)
{
    struct reload *r = c->reload;
    struct reload_result result = {.ok = ok,
                                   .plan = c->plan,
                                   .errors = c->errors,
                                   .error_count = c->error_count,
                                   .warning = c->warning.n ? c->warning.p : NULL,
                                   .took_ns = clock_ns() - c->since,
                                   .swap_ns = c->swapped ? clock_ns() - c->swapped : 0};
    if (c->done)
        c->done(&result, c->arg);
    change_free(c);
    reload_next(r);
}

static void on_given_back(struct generation *g, const struct err *failure, void *arg)
{
    (void)arg;
    if (failure)
        log_error("reload", "%s: start after a failed change: %s", g->label, failure->message);
    generation_unref(g);
}

/* Everything made for the change goes; predecessors that stopped start again. */
static void give_up(struct change *c, bool ok)
{
    for (int i = 0; i < c->item_count; i++) {
        struct item *item = &c->items[i];
        if (item->stopped) {
            generation_ref(item->old);
            generation_start(item->old, item->fresh->given, c->reload->options.start_ns,
                             on_given_back, NULL);
        }
        if (item->fresh)
            generation_discard(item->fresh);
    }
    set_free(c->set);
    change_end(c, ok);
}

void change_fail(struct change *c)
{
    give_up(c, false);
}

void change_fail_with(struct change *c, const char *plugin, const struct err *err)
{
    change_add_error(c, plugin, err->message, false);
    change_fail(c);
}

/* -- verify --------------------------------------------------------------------------------- */

/* What serves, with the fresh ones in their predecessors' places. */
static struct generation **next_generations(struct change *c, int *count)
{
    const struct set *old = reload_current(c->reload);
    int most = c->item_count + (old ? old->count : 0);
    struct generation **list = mem_zero((size_t)most + 1, sizeof *list);
    *count = 0;
    for (int i = 0; i < c->plan.count; i++) {
        if (c->plan.steps[i].action == PLAN_KEEP && old)
            list[(*count)++] = set_plugin(old, str_c(c->plan.steps[i].plugin));
    }
    for (int i = 0; i < c->item_count; i++)
        list[(*count)++] = c->items[i].fresh;
    return list;
}

/* What of a declaration stands in the message, the longest: where it is written is where to look.
 */
static void consider(const char *message, const char *text, const char **best)
{
    if (text && strstr(message, text) && (!*best || strlen(text) > strlen(*best)))
        *best = text;
}

static const char *find_named(const struct plugin_decl *d, const char *message)
{
    const char *best = NULL;
    for (int i = 0; i < d->require_count; i++)
        consider(message, d->requires[i], &best);
    for (int i = 0; i < d->schedule_count; i++)
        consider(message, d->schedules[i].pattern, &best);
    for (int i = 0; i < d->socket_count; i++)
        consider(message, d->sockets[i].path, &best);
    for (int i = 0; i < d->page_count; i++)
        consider(message, d->pages[i].path, &best);
    for (int i = 0; i < d->series_count; i++)
        consider(message, d->series[i].name, &best);
    for (int i = 0; i < d->route_count; i++)
        consider(message, d->routes[i].pattern, &best);
    return best;
}

/* "… clashes with …" → "plugins/shop/plugin.lua:3: … clashes with …" */
static void add_place(const struct generation *g, struct err *err)
{
    char place[300], file[300];
    const char *named = find_named(g->decl, err->message);
    bundle_place(g->bundle, named ? named : "", place, sizeof place);
    snprintf(file, sizeof file, "%s/plugin.lua: ", g->bundle->dir);
    char *rest = err->message;
    if (!strncmp(rest, file, strlen(file)))
        memmove(rest, rest + strlen(file), strlen(rest + strlen(file)) + 1);
    err_wrap(err, "%s", place);
}

/* Whose fault it is that the set does not hold together. */
static const struct item *blame(const struct change *c, const char *message)
{
    const struct item *blamed = c->item_count ? &c->items[0] : NULL;
    for (int i = 0; i < c->item_count; i++) {
        if (find_named(c->items[i].fresh->decl, message) &&
            strstr(message, c->items[i].fresh->name))
            blamed = &c->items[i];
    }
    return blamed;
}

static void verify(struct change *c)
{
    const struct reload_options *o = &c->reload->options;
    struct err err = {0};
    int count;
    struct generation **list = next_generations(c, &count);
    c->set = set_create(list, count, &o->fixed, o->on.count, &err);
    bool ok = c->set && set_requirements(c->set->generations, count, &c->order, &err) &&
              (!o->check || o->check(o->arg, c->set, &err));
    const struct item *blamed = ok ? NULL : blame(c, err.message);
    if (blamed)
        add_place(blamed->fresh, &err);
    mem_free(list);
    if (ok && c->dry)
        give_up(c, !c->error_count);
    else if (ok)
        change_migrate(c);
    else
        change_fail_with(c, blamed ? blamed->fresh->name : "", &err);
}

/* -- load ----------------------------------------------------------------------------------- */

static void on_loaded(struct generation *g, const struct err *failure, void *arg);

static void load(struct change *c, struct item *item, struct bundle *bundle)
{
    struct reload *r = c->reload;
    char *config = r->options.config_json(r->options.arg, bundle->name);
    item->fresh = generation_create(&r->options.on, bundle, str_c(config));
    if (!c->dry)
        reload_meet(r, item->fresh, c->release);
    mem_free(config);
    c->loading++;
    generation_load(item->fresh, on_loaded, item);
}

static void drop_item(struct change *c, struct item *item)
{
    *item = c->items[--c->item_count];
}

/* The plan tells of what really serves. */
static void plan_kept(struct change *c, const struct bundle *bundle)
{
    for (int i = 0; i < c->plan.count; i++) {
        struct plan_step *s = &c->plan.steps[i];
        if (strcmp(s->plugin, bundle->name) || s->found < 0)
            continue;
        mem_free((void *)(uintptr_t)c->found[s->found].hash);
        s->to = c->found[s->found].hash = mem_strdup(bundle->hash);
    }
}

/* The kept bundle that served last instead of what does not do. */
static bool fall_back(struct change *c, struct item *item)
{
    const struct reload_options *o = &c->reload->options;
    struct err err = {0};
    if (!c->first || !o->keep_dir || item->fell_back)
        return false;
    struct bundle *bundle = keep_newest(o->keep_dir, item->fresh->name, &err);
    if (!bundle)
        return false;
    log_warn("reload", "%s serves its kept generation %.12s", bundle->name, bundle->hash);
    item->fell_back = true;
    plan_kept(c, bundle);
    generation_discard(item->fresh);
    load(c, item, bundle);
    return true;
}

bool change_start_kept(struct change *c, struct item *item, const struct err *failure)
{
    if (!c->first || !c->reload->options.fallback || item->fell_back)
        return false;
    change_add_error(c, item->fresh->name, failure->message, false);
    set_free(c->set);
    mem_free(c->order);
    c->set = NULL;
    c->order = NULL;
    c->at = 0;
    if (!fall_back(c, item))
        change_fail(c);
    return true;
}

/* What would reach more than was accepted is refused; at a first load the bundle that was
 * accepted serves in its place.  True when some of those are on their way. */
static bool permit_all(struct change *c)
{
    permit_plan(c);
    c->judged = true;
    c->loading++; /* as in change_load */
    for (int i = 0; i < c->item_count; i++) {
        struct item *item = &c->items[i];
        struct err err;
        if (item->fresh->state != GENERATION_READY)
            continue;
        if (!reload_may_replace(item->fresh, item->old, &err)) {
            change_add_error(c, item->fresh->name, err.message, false);
            item->refused = true;
        } else if (!permit_check(c, item, &err)) {
            change_add_error(c, item->fresh->name, err.message, true);
            item->refused = !c->dry && !fall_back(c, item);
        }
    }
    return --c->loading > 0;
}

static void after_loads(struct change *c)
{
    bool failed = false;
    if (change_is_unwanted(c)) {
        change_fail(c);
        return;
    }
    if (!c->judged && permit_all(c))
        return;
    for (int i = c->item_count - 1; i >= 0; i--) {
        struct item *item = &c->items[i];
        if (item->fresh->state == GENERATION_READY && !item->refused)
            continue;
        if (c->first && change_is_listed(c->reload->options.tolerated, item->fresh->name)) {
            generation_discard(item->fresh);
            drop_item(c, item);
        } else {
            failed = true;
        }
    }
    if (failed)
        change_fail(c);
    else
        verify(c);
}

static void on_loaded(struct generation *g, const struct err *failure, void *arg)
{
    struct item *item = arg;
    struct change *c = item->change;
    if (failure)
        change_add_error(c, g->name, failure->message, false);
    /* A restarted server must come up again although a folder is broken by now. */
    if (failure && c->reload->options.fallback)
        fall_back(c, item);
    if (--c->loading == 0)
        after_loads(c);
}

void change_load(struct change *c)
{
    const struct set *old = reload_current(c->reload);
    c->items = mem_zero((size_t)c->plan.count + 1, sizeof *c->items);
    c->loading = 1; /* so that a load that ends at once does not end the step */
    for (int i = 0; i < c->plan.count; i++) {
        const struct plan_step *s = &c->plan.steps[i];
        if (s->action != PLAN_START && s->action != PLAN_REPLACE)
            continue;
        struct item *item = &c->items[c->item_count++];
        struct scan_entry *e = &c->scan.entries[s->found];
        struct bundle *bundle = e->bundle;
        e->bundle = NULL;
        item->change = c;
        item->old = old ? set_plugin(old, str_c(s->plugin)) : NULL;
        load(c, item, bundle);
    }
    if (--c->loading == 0)
        after_loads(c);
}
