/* server_data.c -- declared series. */

#include "base/clock.h"
#include "base/mem.h"
#include "config/config.h"
#include "observe/log.h"
#include "series/series.h"
#include "server_parts.h"
#include "vm/bundle.h"

static bool declare(struct server *s, const struct generation *g, bool check_only, struct err *err)
{
    int count = g->decl->series_count;
    struct series_schema *list = mem_zero((size_t)count + 1, sizeof *list);
    for (int i = 0; i < count; i++) {
        const struct series_decl *d = &g->decl->series[i];
        list[i] = (struct series_schema){.name = d->name,
                                         .keys = d->keys,
                                         .values = d->values,
                                         .key_count = d->key_count,
                                         .value_count = d->value_count,
                                         .retention_ns = d->retention_ns};
    }
    bool ok = series_declare(s->series, g->name, list, count, check_only, err);
    mem_free(list);
    return ok;
}

bool series_check(struct server *s, const struct set *set, struct err *err)
{
    for (int i = 0; i < set->count; i++) {
        if (!declare(s, set->generations[i], true, err))
            return err_wrap(err, "%s/plugin.lua", set->generations[i]->bundle->dir);
    }
    return true;
}

/* Opening DuckDB takes as long as all the rest of a start: it comes after. */
void series_begin(struct server *s)
{
    if (s->expire.fire)
        series_warm(s->series);
}

static void on_expired(void *arg, int64_t dropped)
{
    struct server *s = arg;
    if (dropped)
        log_info("series", "%lld points over their retention dropped", (long long)dropped);
    if (!s->draining)
        timer_start(s->control, &s->expire, config_ns(s->config, "series.upkeep"));
}

static void on_expire(struct timer *timer)
{
    struct server *s = list_entry(timer, struct server, expire);
    series_expire(s->series, s->control, on_expired, s);
}

/* Old points are dropped from series.upkeep after the start on. */
void series_follow(struct server *s, const struct set *set)
{
    struct err err = {0};
    bool any = false;
    for (int i = 0; i < set->count; i++) {
        if (!declare(s, set->generations[i], false, &err))
            log_error("series", "%s: %s", set->generations[i]->label, err.message);
        any = any || set->generations[i]->decl->series_count;
    }
    if (any && !s->expire.fire) {
        s->expire.fire = on_expire;
        timer_start(s->control, &s->expire, config_ns(s->config, "series.upkeep"));
    }
}
