/* views.c -- what the operator sees; every answer as in docs of the API. */

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/internal.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/sys.h"
#include "config/config.h"
#include "cron/cron.h"
#include "http/server.h"
#include "model/model.h"
#include "observe/drivers.h"
#include "observe/log.h"
#include "reload/reload.h"
#include "reload/rollback.h"
#include "vm/bundle.h"
#include "vm/capability.h"
#include "vm/vm.h"

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long long rss_bytes(void)
{
    long long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%lld %lld", &size, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

/* The generation's tasks on one lane. */
static int64_t lane_tasks(const struct set *set, int lane)
{
    int64_t sum = 0;
    for (int i = 0; set && i < set->count; i++) {
        struct vm *vm = __atomic_load_n(&set->generations[i]->vms[lane], __ATOMIC_ACQUIRE);
        sum += vm ? vm_usage(vm).tasks : 0;
    }
    return sum;
}

static void write_lanes(struct json *w, const struct admin_parts *p, const struct set *set)
{
    json_key(w, "lanes");
    json_open(w, '[');
    for (int i = 0; i < p->lane_count; i++) {
        bool web = i < p->web_count;
        json_open(w, '{');
        json_key(w, "id");
        json_cstr(w, p->lanes[i]->name);
        json_key(w, "kind");
        json_cstr(w, web ? "web" : "job");
        json_key(w, "tasks");
        json_int(w, lane_tasks(set, i));
        json_key(w, "connections");
        json_int(w, web && p->web[i] ? http_lane_connections(p->web[i]) : 0);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static bool is_simulated(const struct set *set)
{
    return set && set_plugin(set, STR("simulator")) != NULL;
}

static void write_admin_http(struct json *w, const struct admin_parts *p)
{
    char url[128];
    snprintf(url, sizeof url, "http://%s:%d", p->admin_host, p->admin_port);
    json_key(w, "admin_http");
    json_cstr(w, p->admin_port ? url : NULL);
}

static void write_node(struct json *w, const struct admin_parts *p)
{
    json_key(w, "node");
    json_cstr(w, p->node);
    json_key(w, "roles");
    json_open(w, '[');
    for (int i = 0; p->roles[i]; i++)
        json_cstr(w, p->roles[i]);
    json_close(w, ']');
    json_key(w, "leads"); /* the schedules fire here */
    json_bool(w, cron_leads(p->cron));
}

static void view_status(struct admin_call *call)
{
    const struct admin_parts *p = call->admin->parts;
    const struct set *set = reload_current(p->reload);
    struct json w = json_to(&call->out);
    json_open(&w, '{');
    json_key(&w, "version");
    json_cstr(&w, MARU_VERSION);
    json_key(&w, "pid");
    json_int(&w, p->supervisor);
    json_key(&w, "server_pid");
    json_int(&w, getpid());
    write_admin_http(&w, p);
    write_node(&w, p);
    json_key(&w, "uptime_s");
    json_int(&w, (clock_ns() - call->admin->started) / NS_PER_SECOND);
    json_key(&w, "generation_set");
    json_int(&w, set ? (long long)set->number : 0);
    json_key(&w, "simulated");
    json_bool(&w, is_simulated(set));
    write_lanes(&w, p, set);
    json_key(&w, "memory");
    json_open(&w, '{');
    json_key(&w, "rss_bytes");
    json_int(&w, rss_bytes());
    json_close(&w, '}');
    json_key(&w, "cpu_seconds");
    json_num(&w, cpu_seconds());
    json_key(&w, "crashes");
    json_int(&w, p->crashes);
    json_key(&w, "runaway_code");
    json_cstr(&w, p->runaway);
    json_key(&w, "ready");
    json_bool(&w, atomic_load(&p->ready));
    json_key(&w, "role"); /* of who asks */
    json_cstr(&w, call->role == ADMIN_OPERATOR ? "operator" : "viewer");
    json_close(&w, '}');
    admin_answer(call, 200);
}

static void write_last_error(struct json *w, const struct reload_error *e)
{
    json_key(w, "last_error");
    if (!e) {
        json_null(w);
        return;
    }
    json_open(w, '{');
    json_time(w, "at", e->at_wall);
    json_key(w, "message");
    json_cstr(w, e->message);
    json_close(w, '}');
}

static const struct reload_error *error_of(const struct reload *r, const char *plugin)
{
    int count;
    const struct reload_error *list = reload_errors(r, &count);
    for (int i = 0; i < count; i++) {
        if (!strcmp(list[i].plugin, plugin))
            return &list[i];
    }
    return NULL;
}

static void write_allow(struct json *w, const struct plugin_decl *decl)
{
    json_key(w, "allow");
    json_open(w, '{');
    for (enum capability_kind kind = 0; kind < CAPABILITY_KINDS; kind++) {
        json_key(w, capability_key(kind));
        json_open(w, '[');
        for (int i = 0; i < decl->allow[kind].count; i++)
            json_cstr(w, decl->allow[kind].entries[i]);
        json_close(w, ']');
    }
    json_close(w, '}');
}

/* Of the plugin, beside its generation's. */
static void write_reloads(struct json *w, const struct reload *r, const char *plugin)
{
    const char *dir = reload_keep_dir(r);
    struct rollback back;
    json_key(w, "generations");
    json_int(w, reload_live(r, plugin));
    json_key(w, "rolled_back");
    if (!dir || !rollback_read(dir, plugin, &back)) {
        json_null(w);
        return;
    }
    json_open(w, '{');
    json_key(w, "from");
    json_cstr(w, back.from);
    json_key(w, "to");
    json_cstr(w, back.to);
    json_key(w, "reason");
    json_cstr(w, back.reason);
    json_time(w, "at", back.at_wall);
    json_close(w, '}');
}

static void write_plugin(struct json *w, const struct reload *r, const struct generation *g,
                         const struct reload_error *e)
{
    struct generation_usage u = generation_usage(g);
    const struct {
        const char *key;
        long long value;
    } counts[] = {
        {"routes", g->decl->route_count}, {"jobs", g->decl->job_count},
        {"memory_bytes", u.memory_bytes}, {"tasks", u.tasks},
        {"requests", u.started},          {"faults", u.faults},
    };
    json_key(w, "name");
    json_cstr(w, g->name);
    json_key(w, "version");
    json_cstr(w, g->decl->version);
    json_key(w, "generation");
    json_str(w, str_n(g->bundle->hash, 12));
    json_key(w, "state");
    json_cstr(w, generation_state_name(g->state));
    json_time(w, "loaded_at", g->loaded_wall);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        json_key(w, counts[i].key);
        json_int(w, counts[i].value);
    }
    view_usage(w, g);
    write_allow(w, g->decl);
    write_reloads(w, r, g->name);
    admin_write_kills(w, r, g);
    write_last_error(w, e);
}

/* A plugin that never came up. */
static void write_failed(struct json *w, const struct reload *r, const struct reload_error *e)
{
    json_key(w, "name");
    json_cstr(w, e->plugin);
    json_key(w, "version");
    json_null(w);
    json_key(w, "generation");
    json_null(w);
    json_key(w, "state");
    json_cstr(w, "failed");
    json_time(w, "loaded_at", 0);
    static const char *const zeros[] = {"routes", "jobs",     "memory_bytes",
                                        "tasks",  "requests", "faults"};
    for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++) {
        json_key(w, zeros[i]);
        json_int(w, 0);
    }
    view_usage(w, NULL);
    json_key(w, "kills");
    json_int(w, 0);
    json_key(w, "quarantine");
    json_null(w);
    write_reloads(w, r, e->plugin);
    write_last_error(w, e);
}

bool admin_write_plugin(struct json *w, const struct reload *r, const char *plugin)
{
    const struct set *set = reload_current(r);
    struct generation *g = set ? set_plugin(set, str_c(plugin)) : NULL;
    const struct reload_error *e = error_of(r, plugin);
    if (g)
        write_plugin(w, r, g, e);
    else if (e)
        write_failed(w, r, e);
    return g || e;
}

static void write_row(struct json *w, const struct reload *r, const char *plugin)
{
    json_open(w, '{');
    admin_write_plugin(w, r, plugin);
    json_close(w, '}');
}

static void view_plugins(struct admin_call *call)
{
    struct reload *r = call->admin->parts->reload;
    const struct set *set = reload_current(r);
    struct json w = json_to(&call->out);
    int errors;
    const struct reload_error *list = reload_errors(r, &errors);
    json_open(&w, '[');
    for (int i = 0; set && i < set->count; i++)
        write_row(&w, r, set->generations[i]->name);
    for (int i = 0; i < errors; i++) {
        if (!set || !set_plugin(set, str_c(list[i].plugin)))
            write_row(&w, r, list[i].plugin);
    }
    json_close(&w, ']');
    admin_answer(call, 200);
}

static void view_schedules(struct admin_call *call)
{
    cron_print(call->admin->parts->cron, &call->out);
    admin_answer(call, 200);
}

static void view_schedule(struct admin_call *call)
{
    struct err err = {0};
    if (cron_print_one(call->admin->parts->cron, str_c(call->first), str_c(call->second),
                       &call->out, &err))
        admin_answer(call, 200);
    else
        admin_answer_err(call, &err);
}

static void view_logs(struct admin_call *call)
{
    char *level = admin_query(call, "level", "debug"), *plugin = admin_query(call, "plugin", "");
    enum log_level least = LOG_DEBUG;
    int64_t seq = admin_query_int64(call, "after", 0);
    log_level_parse(str_c(level), &least);
    buf_add_c(&call->out, "{\"lines\":");
    uint64_t last = log_recent(&call->out, (uint64_t)seq, least, str_c(plugin),
                               admin_query_int(call, "limit", 200, 1, LOG_RING_LINES));
    buf_printf(&call->out, ",\"last\":%llu}", (unsigned long long)last);
    mem_free(level);
    mem_free(plugin);
    admin_answer(call, 200);
}

static void view_config(struct admin_call *call)
{
    const struct config *c = call->admin->parts->config;
    struct json w = json_to(&call->out);
    json_open(&w, '{');
    json_key(&w, "state_dir");
    json_cstr(&w, config_text(c, "state.dir"));
    json_key(&w, "plugins_path");
    json_cstr(&w, config_text(c, "plugins.path"));
    json_key(&w, "development");
    json_bool(&w, config_boolean(c, "development"));
    json_close(&w, '}');
    admin_answer(call, 200);
}

static void write_driver(const struct driver_state *d, void *arg)
{
    struct json *w = arg;
    json_open(w, '{');
    json_key(w, "kind");
    json_cstr(w, d->kind);
    json_key(w, "driver");
    json_cstr(w, d->driver);
    json_key(w, "address");
    json_cstr(w, *d->address ? d->address : NULL);
    json_key(w, "required");
    json_bool(w, d->required);
    json_key(w, "up");
    json_bool(w, d->level == DRIVER_UP);
    json_key(w, "state");
    json_cstr(w, driver_level_name(d->level));
    json_time(w, "since", d->since_wall);
    json_key(w, "error");
    json_cstr(w, d->err.code ? d->err.message : NULL);
    json_key(w, "latency_ms");
    if (d->took_ns)
        json_num(w, (double)(d->took_ns / 1000) / 1000);
    else
        json_null(w);
    json_close(w, '}');
}

static void view_drivers(struct admin_call *call)
{
    struct json w = json_to(&call->out);
    json_open(&w, '[');
    driver_health_list(write_driver, &w);
    json_close(&w, ']');
    admin_answer(call, 200);
}

static void view_model(struct admin_call *call)
{
    struct json w = json_to(&call->out);
    json_open(&w, '{');
    model_write(call->admin->parts->model, &w);
    json_close(&w, '}');
    admin_answer(call, 200);
}

const struct admin_action admin_views[] = {
    {"GET", "/admin/v1/status", view_status, NULL},
    {"GET", "/admin/v1/plugins", view_plugins, NULL},
    {"GET", "/admin/v1/plugins/{name}", admin_view_plugin, NULL},
    {"GET", "/admin/v1/schedules", view_schedules, NULL},
    {"GET", "/admin/v1/schedules/{plugin}/{id}", view_schedule, NULL},
    {"GET", "/admin/v1/logs", view_logs, NULL},
    {"GET", "/admin/v1/drivers", view_drivers, NULL},
    {"GET", "/admin/v1/nodes", admin_view_nodes, NULL},
    {"GET", "/admin/v1/model", view_model, NULL},
    {"GET", "/admin/v1/audit", audit_list, NULL},
    {"GET", "/admin/v1/config", view_config, NULL},
    {NULL, NULL, NULL, NULL},
};
