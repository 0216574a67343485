/* server_plugins.c -- what plugins stand on, and what makes them reload. */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/develop.h"
#include "base/mem.h"
#include "base/sys.h"
#include "bind/bind.h"
#include "config/config.h"
#include "objects/object.h"
#include "observe/log.h"
#include "reload/watch.h"
#include "server_parts.h"
#include "share.h"

static char *config_json(void *arg, const char *plugin)
{
    struct server *s = arg;
    struct buf out = {0};
    char *given = s->guest ? s->guest->config_json(s, plugin) : NULL;
    if (given)
        return given;
    config_plugin(s->plugin_config ? s->plugin_config : s->config, plugin, &out);
    return buf_take(&out, &(size_t){0});
}

static const char **copy_list(const struct config *c, const char *key)
{
    const char *const *items;
    int count = config_list(c, key, &items);
    const char **list = mem_zero((size_t)count + 1, sizeof *list);
    for (int i = 0; i < count; i++)
        list[i] = items[i];
    return list;
}

static void fill_host(struct server *s)
{
    s->host = (struct host){
        .config = s->config,
        .pool = s->pool,
        .loader = s->loader,
        .store = s->plugin_store,
        .series = s->series,
        .objects = s->objects,
        .mail = &s->mail,
        .search = s->search,
        .cache = s->cache,
        .events = s->events,
        .jobs = s->jobs,
        .channels = s->channels,
        .clients = s->clients,
        .programs = s->programs,
        .model = s->model,
        .state_dir = s->state_dir,
        .development = config_boolean(s->config, "development"),
        .bind = bind_all,
        .find_export = reload_find_export,
    };
}

/* Plugins' settings are read again; the host's own hold until the next start. */
static void refresh_config(void *arg)
{
    struct server *s = arg;
    struct err err = {0};
    if (s->guest) /* its settings are the spec's */
        return;
    struct config *fresh = s->source->load(s->source->arg, &err);
    if (fresh) {
        if (s->plugin_config)
            config_free(s->plugin_config);
        s->plugin_config = fresh;
    } else {
        log_error("config", "%s -- the old configuration stays", err.message);
    }
}

static void plugin_failed(void *arg, const struct reload_error *error, const struct bundle *bundle)
{
    struct server *s = arg;
    if (s->shown.develop)
        develop_failed(s->shown.develop, error, bundle);
}

static void plugin_recovered(void *arg, const char *plugin)
{
    struct server *s = arg;
    if (s->shown.develop)
        develop_recovered(s->shown.develop, plugin);
}

static void swapped(void *arg, const struct set *set, struct generation *const *gone, int count)
{
    struct server *s = arg;
    work_swapped(s, set, gone, count);
    if (s->shown.develop)
        develop_swapped(s->shown.develop, set->number);
}

static void show_parts(struct server *s)
{
    s->shown = (struct admin_parts){
        .config = s->config,
        .state_dir = s->state_dir,
        .node = s->node.name,
        .roles = s->node.roles,
        .control = s->control,
        .lanes = s->lanes,
        .lane_count = s->lane_count,
        .web_count = s->web_count,
        .web = s->web,
        .store = s->store,
        .cache = s->cache,
        .events = s->events,
        .objects = s->objects,
        .search = s->search,
        .jobs = s->jobs,
        .cron = s->cron,
        .model = s->model,
        .develop = config_boolean(s->config, "development") ? develop_create(s->channels) : NULL,
        .supervisor = s->in.supervisor,
        .crashes = s->in.crashes,
        .admin_host = s->in.admin.host,
        .runaway = watch_protection_name(s->protection),
        .admin_port = s->in.admin.count ? s->in.admin.port : 0,
        .refresh = refresh_config,
        .arg = s,
    };
}

bool plugins_start(struct server *s, struct err *err)
{
    const struct config *c = s->config;
    s->public_dir = *config_text(c, "public.dir") ? mem_strdup(config_text(c, "public.dir"))
                                                  : share_find("public");
    /* A build folder holds what npm brought; an installed public/ has it inside. */
    s->vendor_dir = *config_text(c, "public.dir") ? NULL : share_find("../public/vendor");
    s->plugin_dirs = share_plugin_dirs(config_text(c, "plugins.path"));
    s->disabled = copy_list(c, "plugins.disable");
    s->tolerated = copy_list(c, "plugins.tolerate");
    s->trusted = copy_list(c, "plugins.trust");
    s->accepted_dir = mem_printf("%s/accepted", s->state_dir);
    s->keep_dir = mem_printf("%s/generations", s->state_dir);
    show_parts(s);
    s->admin = admin_create(&s->shown, err);
    if (!s->admin)
        return false;
    fill_host(s);
    struct reload_options options = {
        .on = {.lanes = s->lanes, .count = s->lane_count, .control = s->control, .host = &s->host},
        .fixed = {.routes = admin_routes(s->admin),
                  .route_count = admin_route_count(s->admin),
                  .public_dir = s->public_dir,
                  .vendor_dir = s->vendor_dir,
                  .development = s->host.development},
        .dirs = (const char *const *)s->plugin_dirs,
        .disabled = s->disabled,
        .tolerated = s->tolerated,
        .trusted = s->trusted,
        .accepted_dir = s->accepted_dir,
        .drain_ns = config_ns(c, "reload.drain"),
        .guard = {.percent = (int)config_integer(c, "reload.guard"),
                  .tasks = (int)config_integer(c, "reload.guard_tasks"),
                  .ns = config_ns(c, "reload.guard_time")},
        .generations = (int)config_integer(c, "reload.generations"),
        .start_ns = config_ns(c, "reload.start_time"),
        .http = s->http,
        .store = s->plugin_store,
        .keep_dir = s->keep_dir,
        .fallback = s->in.restart,
        .config_json = config_json,
        .quarantine = s->quarantine,
        .held = work_held,
        .check = work_check,
        .swapped = swapped,
        .failed = plugin_failed,
        .recovered = plugin_recovered,
        .arg = s,
    };
    s->reload = reload_create(&options);
    s->host.reload = s->reload;
    s->shown.reload = s->reload;
    return true;
}

void plugins_stop(struct server *s)
{
    objects_end(s->objects); /* its sweeps ask the set who there is */
    reload_destroy(s->reload);
    plugin_store_leave(s);
    admin_destroy(s->admin);
    develop_destroy(s->shown.develop);
    for (int i = 0; s->plugin_dirs[i]; i++)
        mem_free(s->plugin_dirs[i]);
    mem_free(s->plugin_dirs);
    mem_free(s->public_dir);
    mem_free(s->vendor_dir);
    mem_free(s->keep_dir);
    mem_free(s->accepted_dir);
    mem_free(s->disabled);
    mem_free(s->tolerated);
    mem_free(s->trusted);
    if (s->plugin_config)
        config_free(s->plugin_config);
}

void plugins_load(struct server *s, reload_done_fn *done)
{
    struct reload_request request = {.cause = "start-up", .done = done, .arg = s};
    reload_run(s->reload, &request);
}

void plugins_reload(struct server *s, const char *cause)
{
    struct reload_request request = {.cause = cause};
    refresh_config(s);
    reload_run(s->reload, &request);
}

static void on_changed(const char *const *names, void *arg)
{
    struct server *s = arg;
    struct reload_request request = {.names = names, .cause = "file change"};
    reload_run(s->reload, &request);
}

void plugins_watch(struct server *s)
{
    struct err err = {0};
    if (!config_boolean(s->config, "plugins.watch"))
        return;
    s->watch = watch_start(s->control, (const char *const *)s->plugin_dirs, on_changed, s, &err);
    if (!s->watch)
        log_warn("reload", "%s: files are not watched", err.message);
}
