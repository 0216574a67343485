/* draining.c -- replaced generations on their way out, and how many there may be.
 *
 * Reloads that come faster than tasks end would pile generations up, each with
 * a VM for every lane.  Over the cap the oldest one's time is over at once.
 */

#include <string.h>

#include "base/mem.h"
#include "observe/log.h"
#include "reload/internal.h"
#include "vm/bundle.h"

struct draining {
    struct list link;
    struct generation *generation;
    bool hurried;
};

struct hurry {
    struct reload *reload;
    struct reload_lane *lane;
    struct generation *generation;
};

static void drop(struct draining *d)
{
    list_remove(&d->link);
    generation_unref(d->generation);
    mem_free(d);
}

void draining_prune(struct reload *r)
{
    list_each_safe (link, &r->draining) {
        struct draining *d = list_entry(link, struct draining, link);
        if (d->generation->state == GENERATION_STOPPED)
            drop(d);
    }
}

static int count_live(const struct reload *r, const char *plugin, bool hurried_too)
{
    const struct set *set = reload_current(r);
    int count = set && set_plugin(set, str_c(plugin)) ? 1 : 0;
    list_each (link, &r->draining) {
        const struct draining *d = list_entry(link, struct draining, link);
        count += !strcmp(d->generation->name, plugin) && (hurried_too || !d->hurried);
    }
    return count;
}

int reload_live(const struct reload *r, const char *plugin)
{
    return count_live(r, plugin, true);
}

static void hurried_on_control(void *arg)
{
    struct hurry *h = arg;
    struct reload *r = h->reload;
    generation_unref(h->generation);
    r->leaving--;
    mem_free(h);
    reload_check_stopped(r);
}

static void hurry_on_lane(void *arg)
{
    struct hurry *h = arg;
    reload_hurry_on_lane(h->lane, h->generation);
    lane_call(h->reload->options.on.control, hurried_on_control, h);
}

static void end_now(struct reload *r, struct draining *d)
{
    struct generation *g = d->generation;
    d->hurried = true;
    reload_event(r, g->name, "ended", g->bundle->hash,
                 "its tasks were cancelled: more than %d generations were live",
                 r->options.generations);
    log_warn("reload", "%s ends at once: more than %d generations of it are live", g->label,
             r->options.generations);
    for (int i = 0; i < r->options.on.count; i++) {
        struct hurry *h = mem_zero(1, sizeof *h);
        *h = (struct hurry){r, &r->lanes[i], g};
        generation_ref(g);
        r->leaving++;
        lane_call(r->lanes[i].lane, hurry_on_lane, h);
    }
}

void draining_add(struct reload *r, struct generation *g)
{
    struct draining *added = mem_zero(1, sizeof *added);
    added->generation = g;
    generation_ref(g);
    list_push_back(&r->draining, &added->link);
    int over =
        r->options.generations > 0 ? count_live(r, g->name, false) - r->options.generations : 0;
    list_each (link, &r->draining) {
        struct draining *d = list_entry(link, struct draining, link);
        if (over > 0 && !d->hurried && !strcmp(d->generation->name, g->name)) {
            end_now(r, d);
            over--;
        }
    }
}
