#include "reload/guard.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "reload/internal.h"
#include "vm/bundle.h"

struct guard {
    struct list link;
    struct generation *generation;
    char to[KEEP_HASH + 1]; /* its predecessor */
    struct guard_count before;
    int64_t until;
};

bool guard_is_bad(const struct guard_rule *rule, const struct guard_count *before,
                  const struct guard_count *now)
{
    if (rule->percent <= 0)
        return false;
    if (now->kills >= GUARD_KILLS)
        return true;
    return now->ended >= rule->tasks && now->failed * 100 > rule->percent * now->ended &&
           (!before->ended || now->failed * before->ended > before->failed * now->ended);
}

static struct guard_count count_of(const struct generation *g)
{
    struct generation_usage u = generation_usage(g);
    return (struct guard_count){u.ended - u.cancelled, u.faults, atomic_load(&g->kills)};
}

static void drop(struct guard *guard)
{
    list_remove(&guard->link);
    generation_unref(guard->generation);
    mem_free(guard);
}

static double share(const struct guard_count *c)
{
    return c->ended ? 100.0 * (double)c->failed / (double)c->ended : 0;
}

static void on_done(const struct reload_result *result, void *arg)
{
    char *label = arg;
    if (!result->ok)
        log_error("reload", "%s serves on: it could not be rolled back", label);
    mem_free(label);
}

static void go_back(struct reload *r, const struct guard *guard, const struct guard_count *now)
{
    const struct generation *g = guard->generation;
    const char *names[] = {g->name, NULL};
    char reason[ROLLBACK_REASON];
    if (now->kills >= GUARD_KILLS)
        snprintf(reason, sizeof reason, "killed %d times in the first %lld s", now->kills,
                 (long long)(r->options.guard.ns / NS_PER_SECOND));
    else
        snprintf(reason, sizeof reason, "%lld of %lld tasks failed (%.0f %%, %.0f %% before)",
                 (long long)now->failed, (long long)now->ended, share(now), share(&guard->before));
    log_error("reload", "%s does worse than %s: %s", g->label, guard->to, reason);
    reload_event(r, g->name, "guard", g->bundle->hash, "%s", reason);
    reload_run(r, &(struct reload_request){.names = names,
                                           .rollback = true,
                                           .hash = guard->to,
                                           .from = g->bundle->hash,
                                           .reason = reason,
                                           .cause = "guard",
                                           .done = on_done,
                                           .arg = mem_strdup(g->label)});
}

static bool is_over(const struct reload *r, const struct guard *guard, int64_t now)
{
    const struct set *set = reload_current(r);
    return now > guard->until || !set ||
           set_plugin(set, str_c(guard->generation->name)) != guard->generation;
}

static void look(struct timer *timer)
{
    struct reload *r = list_entry(timer, struct reload, guard_timer);
    int64_t now = clock_ns();
    list_each_safe (link, &r->guards) {
        struct guard *guard = list_entry(link, struct guard, link);
        struct guard_count count = count_of(guard->generation);
        bool bad = guard_is_bad(&r->options.guard, &guard->before, &count);
        if (!is_over(r, guard, now)) {
            if (!bad)
                continue;
            go_back(r, guard, &count);
        }
        drop(guard);
    }
    if (!list_empty(&r->guards))
        timer_start(r->options.on.control, timer, GUARD_LOOK_MS * NS_PER_MS);
}

/* What its successor replaced needs no watching, and shall not be kept alive for it. */
static void drop_replaced(struct reload *r, const char *plugin)
{
    list_each_safe (link, &r->guards) {
        struct guard *guard = list_entry(link, struct guard, link);
        if (!strcmp(guard->generation->name, plugin))
            drop(guard);
    }
}

void guard_begin(struct reload *r, struct generation *fresh, const struct generation *old)
{
    if (r->options.guard.percent <= 0 || !r->options.keep_dir ||
        !strcmp(fresh->bundle->hash, old->bundle->hash) || generation_held(old))
        return;
    bool looking = !list_empty(&r->guards); /* reloads in a row must not put the look off */
    drop_replaced(r, fresh->name);
    struct guard *guard = mem_zero(1, sizeof *guard);
    guard->generation = fresh;
    generation_ref(fresh);
    snprintf(guard->to, sizeof guard->to, "%.*s", KEEP_HASH, old->bundle->hash);
    guard->before = count_of(old);
    guard->until = clock_ns() + r->options.guard.ns;
    list_push_back(&r->guards, &guard->link);
    r->guard_timer.fire = look;
    if (!looking)
        timer_start(r->options.on.control, &r->guard_timer, GUARD_LOOK_MS * NS_PER_MS);
}

void guard_end_all(struct reload *r)
{
    timer_stop(r->options.on.control, &r->guard_timer);
    list_each_safe (link, &r->guards)
        drop(list_entry(link, struct guard, link));
}
