/* Reads the normalised declaration (lua/maru/contract.lua) into C.  Field names
 * are the same on both sides; durations are seconds there and ns here. */
#include "vm/plugin.h"

#include <lauxlib.h>
#include <lua.h>

#include "base/mem.h"
#include "jobs/workflow/workflow.h"
#include "vm/internal.h"

/* Each reads field `key` of the table on top of the stack. */

static char *text(lua_State *L, const char *key)
{
    lua_getfield(L, -1, key);
    char *copy = NULL;
    if (lua_type(L, -1) == LUA_TSTRING) {
        struct str s;
        s.p = lua_tolstring(L, -1, &s.n);
        copy = str_dup(s);
    }
    lua_pop(L, 1);
    return copy;
}

static double number(lua_State *L, const char *key, double otherwise)
{
    lua_getfield(L, -1, key);
    double value = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : otherwise;
    lua_pop(L, 1);
    return value;
}

static int integer(lua_State *L, const char *key, int otherwise)
{
    return (int)number(L, key, otherwise);
}

static int64_t duration(lua_State *L, const char *key)
{
    return (int64_t)(number(L, key, 0) * 1e9);
}

static bool boolean(lua_State *L, const char *key)
{
    lua_getfield(L, -1, key);
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

static char **texts(lua_State *L, const char *key, int *count)
{
    lua_getfield(L, -1, key);
    int n = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;
    char **list = n ? mem_zero((size_t)n, sizeof *list) : NULL;
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, -1, i + 1);
        list[i] = mem_strdup(lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    *count = n;
    return list;
}

/* Calls read for each item of the list `key`, the item on top, with the item's place in
 * an array made here. */
static void *items(lua_State *L, const char *key, size_t size, int *count,
                   void (*read)(lua_State *L, void *item))
{
    lua_getfield(L, -1, key);
    int n = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;
    char *list = n ? mem_zero((size_t)n, size) : NULL;
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, -1, i + 1);
        read(L, list + (size_t)i * size);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    *count = n;
    return list;
}

static void read_route(lua_State *L, void *item)
{
    struct route_decl *route = item;
    route->method = text(L, "method");
    route->pattern = text(L, "pattern");
    route->handler = integer(L, "handler", -1);
    route->summary = text(L, "summary");
    route->auth = text(L, "auth");
    route->rate = number(L, "rate", 0);
    route->rate_burst = integer(L, "rate_burst", 0);
    route->cache_ns = duration(L, "cache");
    route->max_body = (int64_t)number(L, "max_body", 0);
    route->timeout_ns = duration(L, "timeout");
    route->operation_json = text(L, "operation_json");
}

static struct rate_decl rate(lua_State *L, const char *count, const char *period)
{
    return (struct rate_decl){(int64_t)number(L, count, 0), duration(L, period)};
}

static void read_queue(lua_State *L, void *item)
{
    struct queue_decl *queue = item;
    queue->name = text(L, "name");
    queue->weight = integer(L, "weight", 1);
    queue->concurrency = integer(L, "concurrency", 0);
    queue->key_concurrency = integer(L, "key_concurrency", 0);
    queue->rate = rate(L, "rate_count", "rate_period");
    queue->key_rate = rate(L, "key_rate_count", "key_rate_period");
}

static void read_job(lua_State *L, void *item)
{
    struct job_decl *job = item;
    job->kind = text(L, "kind");
    job->handler = integer(L, "handler", -1);
    job->queue = text(L, "queue");
    job->celery = text(L, "celery");
    job->exported = boolean(L, "export");
    job->priority = integer(L, "priority", 1);
    job->retries = integer(L, "retries", 0);
    job->backoff_ns = duration(L, "backoff");
    job->backoff_max_ns = duration(L, "backoff_max");
    job->backoff_factor = number(L, "backoff_factor", 2);
    job->backoff_jitter = number(L, "backoff_jitter", 0.2);
    job->result_ttl_ns = duration(L, "result_ttl");
    job->timeout_ns = duration(L, "timeout");
    job->hard_timeout_ns = duration(L, "hard_timeout");
    job->expires_ns = duration(L, "expires");
    job->concurrency = integer(L, "concurrency", 0);
    job->rate = rate(L, "rate_count", "rate_period");
    job->batch = integer(L, "batch", 0);
    job->batch_wait_ns = duration(L, "batch_wait");
    job->key = text(L, "key");
    job->key_concurrency = integer(L, "key_concurrency", 0);
    job->key_rate = rate(L, "key_rate_count", "key_rate_period");
}

static void read_workflow_step(lua_State *L, void *item)
{
    struct workflow_step_decl *step = item;
    step->name = text(L, "name");
    step->on_error = text(L, "on_error");
    step->each = boolean(L, "each");
    step->next = texts(L, "next", &step->next_count);
    step->join = texts(L, "join", &step->join_count);
}

static void read_workflow(lua_State *L, void *item)
{
    struct workflow_decl *workflow = item;
    workflow->plugin = text(L, "plugin");
    workflow->name = text(L, "name");
    workflow->start = text(L, "start");
    workflow->version = integer(L, "version", 1);
    workflow->max_steps = integer(L, "max_steps", 0);
    workflow->steps =
        items(L, "steps", sizeof *workflow->steps, &workflow->step_count, read_workflow_step);
}

static void read_schedule(lua_State *L, void *item)
{
    struct schedule_decl *schedule = item;
    schedule->id = text(L, "id");
    schedule->pattern = text(L, "pattern");
    schedule->tz = text(L, "tz");
    schedule->kind = text(L, "kind");
    schedule->args_json = text(L, "args_json");
    schedule->enabled = boolean(L, "enabled");
    schedule->jitter_ns = duration(L, "jitter");
    schedule->deadline_ns = duration(L, "deadline");
    schedule->missed = integer(L, "missed", 0);
    schedule->missed_max = integer(L, "missed_max", 0);
    schedule->overlap = integer(L, "overlap", 0);
}

static void read_topic(lua_State *L, void *item)
{
    struct topic_decl *topic = item;
    topic->topic = text(L, "topic");
    topic->kind = text(L, "kind");
    topic->beginning = boolean(L, "beginning");
}

static void read_socket(lua_State *L, void *item)
{
    struct socket_decl *socket = item;
    socket->path = text(L, "path");
    socket->open = integer(L, "open", -1);
    socket->message = integer(L, "message", -1);
    socket->close = integer(L, "close", -1);
    socket->upgrade = integer(L, "upgrade", -1);
}

static void read_series(lua_State *L, void *item)
{
    struct series_decl *series = item;
    series->name = text(L, "name");
    series->keys = texts(L, "keys", &series->key_count);
    series->values = texts(L, "values", &series->value_count);
    series->retention_ns = duration(L, "retention");
}

static void read_index(lua_State *L, void *item)
{
    struct index_decl *index = item;
    int same;
    index->name = text(L, "name");
    index->fields = texts(L, "fields", &index->field_count);
    index->types = texts(L, "types", &same);
    invariant(same == index->field_count);
}

static void read_page(lua_State *L, void *item)
{
    struct page_decl *page = item;
    page->path = text(L, "path");
    page->title_ko = text(L, "title_ko");
    page->title_en = text(L, "title_en");
    page->module = text(L, "module");
}

static void read_exports(lua_State *L, struct plugin_decl *decl)
{
    decl->exports = texts(L, "exports", &decl->export_count);
    decl->export_handlers = mem_zero((size_t)decl->export_count + 1, sizeof(int));
    lua_getfield(L, -1, "export_handlers");
    for (int i = 0; i < decl->export_count; i++) {
        lua_rawgeti(L, -1, i + 1);
        decl->export_handlers[i] = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_allow(lua_State *L, struct plugin_decl *decl)
{
    static const struct {
        const char *entries, *from;
    } keys[CAPABILITY_KINDS] = {
        [CAPABILITY_NET] = {"allow_net", "allow_net_from"},
        [CAPABILITY_FS] = {"allow_fs", "allow_fs_from"},
        [CAPABILITY_ENV] = {"allow_env", NULL},
        [CAPABILITY_EXEC] = {"allow_exec", "allow_exec_from"},
        [CAPABILITY_CALL] = {"allow_exports", NULL},
        [CAPABILITY_JOB] = {"allow_jobs", NULL},
        [CAPABILITY_EVENT] = {"allow_events", NULL},
        [CAPABILITY_MAIL] = {"allow_mail", NULL},
        [CAPABILITY_HEAR] = {"allow_on", NULL},
        [CAPABILITY_MODEL] = {"allow_model", NULL},
    };
    for (int i = 0; i < CAPABILITY_KINDS; i++) {
        struct allow_decl *allow = &decl->allow[i];
        int same;
        allow->entries = texts(L, keys[i].entries, &allow->count);
        allow->from = keys[i].from ? texts(L, keys[i].from, &same) : NULL;
        invariant(!keys[i].from || same == allow->count);
    }
}

static void read_caps(lua_State *L, struct plugin_decl *decl)
{
    for (int cap = 0; cap < CAP_COUNT; cap++) {
        char key[32];
        snprintf(key, sizeof key, "limit_%s", vm_cap_name((enum vm_cap)cap));
        decl->caps[cap] = (int64_t)number(L, key, 0);
    }
}

void plugin_read(lua_State *L, struct plugin_decl *decl)
{
    decl->name = text(L, "name");
    decl->version = text(L, "version");
    decl->requires = texts(L, "requires", &decl->require_count);
    decl->routes = items(L, "routes", sizeof *decl->routes, &decl->route_count, read_route);
    decl->jobs = items(L, "jobs", sizeof *decl->jobs, &decl->job_count, read_job);
    decl->workflows =
        items(L, "workflows", sizeof *decl->workflows, &decl->workflow_count, read_workflow);
    decl->queues = items(L, "queues", sizeof *decl->queues, &decl->queue_count, read_queue);
    decl->schedules =
        items(L, "schedules", sizeof *decl->schedules, &decl->schedule_count, read_schedule);
    decl->topics = items(L, "topics", sizeof *decl->topics, &decl->topic_count, read_topic);
    decl->sockets = items(L, "sockets", sizeof *decl->sockets, &decl->socket_count, read_socket);
    decl->series = items(L, "series", sizeof *decl->series, &decl->series_count, read_series);
    decl->indexes = items(L, "search", sizeof *decl->indexes, &decl->index_count, read_index);
    decl->pages = items(L, "pages", sizeof *decl->pages, &decl->page_count, read_page);
    read_exports(L, decl);
    read_allow(L, decl);
    decl->secrets = texts(L, "secrets", &decl->secret_count);
    read_caps(L, decl);
    decl->memory_limit = (int64_t)number(L, "memory_limit", 0);
    decl->task_ns = duration(L, "task");
    decl->watchdog_ns = duration(L, "watchdog");
    decl->jit = boolean(L, "jit");
    decl->start = integer(L, "start", -1);
    decl->stop = integer(L, "stop", -1);
    decl->health = integer(L, "health", -1);
    decl->handler_count = integer(L, "handler_count", 0);
    decl->handlers_hash = text(L, "handlers_hash");
}

static void free_texts(char **list, int count)
{
    for (int i = 0; i < count; i++)
        mem_free(list[i]);
    mem_free(list);
}

static void free_routes_and_jobs(struct plugin_decl *decl)
{
    for (int i = 0; i < decl->route_count; i++) {
        struct route_decl *route = &decl->routes[i];
        char *owned[] = {route->method, route->pattern, route->summary, route->auth,
                         route->operation_json};
        for (size_t k = 0; k < sizeof owned / sizeof *owned; k++)
            mem_free(owned[k]);
    }
    for (int i = 0; i < decl->job_count; i++) {
        mem_free(decl->jobs[i].kind);
        mem_free(decl->jobs[i].queue);
        mem_free(decl->jobs[i].celery);
        mem_free(decl->jobs[i].key);
    }
    for (int i = 0; i < decl->queue_count; i++)
        mem_free(decl->queues[i].name);
    mem_free(decl->queues);
    mem_free(decl->routes);
    mem_free(decl->jobs);
}

static void free_workflows(struct plugin_decl *decl)
{
    for (int i = 0; i < decl->workflow_count; i++) {
        struct workflow_decl *w = &decl->workflows[i];
        for (int k = 0; k < w->step_count; k++) {
            mem_free(w->steps[k].name);
            mem_free(w->steps[k].on_error);
            free_texts(w->steps[k].next, w->steps[k].next_count);
            free_texts(w->steps[k].join, w->steps[k].join_count);
        }
        mem_free(w->steps);
        mem_free(w->plugin);
        mem_free(w->name);
        mem_free(w->start);
    }
    mem_free(decl->workflows);
}

static void free_events(struct plugin_decl *decl)
{
    for (int i = 0; i < decl->schedule_count; i++) {
        struct schedule_decl *s = &decl->schedules[i];
        char *owned[] = {s->id, s->pattern, s->tz, s->kind, s->args_json};
        for (size_t k = 0; k < sizeof owned / sizeof *owned; k++)
            mem_free(owned[k]);
    }
    for (int i = 0; i < decl->topic_count; i++) {
        mem_free(decl->topics[i].topic);
        mem_free(decl->topics[i].kind);
    }
    for (int i = 0; i < decl->socket_count; i++)
        mem_free(decl->sockets[i].path);
    mem_free(decl->schedules);
    mem_free(decl->topics);
    mem_free(decl->sockets);
}

static void free_series_and_pages(struct plugin_decl *decl)
{
    for (int i = 0; i < decl->series_count; i++) {
        mem_free(decl->series[i].name);
        free_texts(decl->series[i].keys, decl->series[i].key_count);
        free_texts(decl->series[i].values, decl->series[i].value_count);
    }
    for (int i = 0; i < decl->index_count; i++) {
        mem_free(decl->indexes[i].name);
        free_texts(decl->indexes[i].fields, decl->indexes[i].field_count);
        free_texts(decl->indexes[i].types, decl->indexes[i].field_count);
    }
    for (int i = 0; i < decl->page_count; i++) {
        struct page_decl *page = &decl->pages[i];
        char *owned[] = {page->path, page->title_ko, page->title_en, page->module};
        for (size_t k = 0; k < sizeof owned / sizeof *owned; k++)
            mem_free(owned[k]);
    }
    mem_free(decl->series);
    mem_free(decl->indexes);
    mem_free(decl->pages);
}

void plugin_decl_free(struct plugin_decl *decl)
{
    if (!decl)
        return;
    free_routes_and_jobs(decl);
    free_workflows(decl);
    free_events(decl);
    free_series_and_pages(decl);
    free_texts(decl->requires, decl->require_count);
    free_texts(decl->exports, decl->export_count);
    for (int i = 0; i < CAPABILITY_KINDS; i++) {
        free_texts(decl->allow[i].entries, decl->allow[i].count);
        free_texts(decl->allow[i].from, decl->allow[i].from ? decl->allow[i].count : 0);
    }
    free_texts(decl->secrets, decl->secret_count);
    mem_free(decl->export_handlers);
    mem_free(decl->name);
    mem_free(decl->version);
    mem_free(decl->handlers_hash);
    mem_free(decl);
}
