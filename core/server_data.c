/* server_data.c -- declared series, and topics whose messages become jobs (M.on). */

#include "base/clock.h"
#include "base/mem.h"
#include "channels/channel.h"
#include "config/config.h"
#include "jobs/jobs.h"
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

struct topic {
    struct list link;
    struct server *server;
    struct channel_sub *sub;
    char *topic, *kind;
};

struct topic_push {
    struct jobs_push push; /* first */
    char *kind;
};

static void on_pushed(struct jobs_push *push)
{
    struct topic_push *p = (struct topic_push *)push;
    if (push->err.code)
        log_error("jobs", "%s: %s", p->kind, push->err.message);
    mem_free(p->kind);
    mem_free(p);
}

static void push_job(struct topic *t, struct str json)
{
    struct topic_push *p = mem_zero(1, sizeof *p);
    struct job_spec spec = {.kind = str_c(t->kind)};
    struct err err = {0};
    p->kind = mem_strdup(t->kind);
    p->push.done = on_pushed;
    p->push.lane = t->server->control;
    if (!jobs_push(t->server->jobs, &p->push, &spec, &json, 1, &err)) {
        p->push.err = err;
        on_pushed(&p->push);
    }
}

static void on_message(struct channel_sub *sub, void *arg)
{
    struct topic *t = arg;
    const struct channel_message *m;
    int64_t lost;
    while ((m = channel_receive(sub, &lost))) {
        if (lost)
            log_warn("channels", "%lld messages of %s lost before %s", (long long)lost, t->topic,
                     t->kind);
        push_job(t, m->json);
        channel_release(m);
    }
}

static void topic_open(struct server *s, const struct topic_decl *d)
{
    struct err err = {0};
    struct topic *t = mem_zero(1, sizeof *t);
    t->server = s;
    t->topic = mem_strdup(d->topic);
    t->kind = mem_strdup(d->kind);
    list_push_back(&s->topics, &t->link);
    t->sub =
        channel_subscribe(s->channels, s->control, str_c(d->topic), 10000, on_message, t, &err);
    if (!t->sub)
        log_error("channels", "%s", err.message);
}

void topics_follow(struct server *s, const struct set *set)
{
    list_each_safe (link, &s->topics) {
        struct topic *t = list_entry(link, struct topic, link);
        list_remove(link);
        if (t->sub)
            channel_unsubscribe(t->sub);
        mem_free(t->topic);
        mem_free(t->kind);
        mem_free(t);
    }
    for (int i = 0; set && i < set->count; i++) {
        const struct plugin_decl *decl = set->generations[i]->decl;
        for (int k = 0; k < decl->topic_count; k++)
            topic_open(s, &decl->topics[k]);
    }
}
