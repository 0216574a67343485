/* model_lua.c -- app.model.  Wraps model/model.h; core/lua/maru/model*.lua speaks with providers.
 *
 * The provider's key and address are put in here: Lua never sees the key, and a request goes to
 * the provider's own host only. */
#include <lauxlib.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/client.h"
#include "loop/lane.h"
#include "model/model.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/json.h"
#include "vm/task.h"
#include "vm/vm.h"

#define WHO         "app.model"
#define TICKET_TYPE "app.model_ticket"

enum { ANSWER_BYTES = 16 << 20, TOKENS_MOST = 1000000000 };

/* Given up at the task's end at the latest, and freed then; the Lua handle is a pointer to it, NULL
 * from then on. */
struct held {
    struct task_deferred deferred;
    struct model_ticket *ticket; /* NULL when its request has left */
    struct held **handle;        /* the userdata, NULL when there is none */
    struct task *task;
    struct model *model;
    struct lane *lane;
    struct timer late; /* runs while it waits in line */
    int provider;
    bool sent;
};

static struct model *check_model(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct model *model = vm_host(vm)->model;
    bind_part(L, model, WHO, "language models");
    return model;
}

static int check_provider(lua_State *L, const struct model *model)
{
    return (int)args_integer(L, 1, 1, model_provider_count(model), WHO, "provider") - 1;
}

/* settings() -> what model_describe() says, or nil without a model */
static int l_settings(lua_State *L)
{
    struct model *model = vm_host(vm_of(L))->model;
    struct buf *out = vm_scratch(vm_of(L));
    struct err err = {0};
    if (!model)
        return 0;
    model_describe(model, out);
    if (!lua_json_decode(L, buf_str(out), JSON_DEPTH_MAX, &err))
        return args_error(L, WHO ": %s", err.message);
    return 1;
}

/* allowed() -> boolean: M.allow.model */
static int l_allowed(lua_State *L)
{
    lua_pushboolean(L, vm_decl(vm_of(L))->allow[CAPABILITY_MODEL].count > 0);
    return 1;
}

/* rests(provider) -> boolean */
static int l_rests(lua_State *L)
{
    struct model *model = check_model(L);
    lua_pushboolean(L, model_provider_rests(model, check_provider(L, model)));
    return 1;
}

/* answered(provider) */
static int l_answered(lua_State *L)
{
    struct model *model = check_model(L);
    model_provider_answered(model, check_provider(L, model));
    return 0;
}

/* failed(provider, message) */
static int l_failed(lua_State *L)
{
    struct model *model = check_model(L);
    int provider = check_provider(L, model);
    struct str message = args_string(L, 2, WHO, "message");
    struct err err = {0};
    err_set(&err, ERR_IO, "%.*s", (int)message.n, message.p);
    model_provider_failed(model, provider, &err);
    return 0;
}

/* hide(text) -> text without the providers' keys */
static int l_hide(lua_State *L)
{
    struct model *model = check_model(L);
    struct str text = args_string(L, 1, WHO, "text");
    struct buf *out = vm_scratch(vm_of(L));
    model_hide_keys(model, text, out);
    lua_pushlstring(L, out->n ? out->p : "", out->n);
    return 1;
}

/* count_free(source): an answer of "rules" or "cache" */
static int l_count_free(lua_State *L)
{
    struct model *model = check_model(L);
    struct str source = args_string(L, 1, WHO, "source");
    model_count_free(model, vm_plugin(vm_of(L)), source.p);
    return 0;
}

/* -- tickets -------------------------------------------------------------------------------- */

static void give_up(void *arg)
{
    struct held *h = arg;
    if (h->handle)
        *h->handle = NULL;
    task_undefer(&h->deferred);
    timer_stop(h->lane, &h->late);
    if (h->ticket)
        model_abandon(h->ticket, h->sent);
    mem_free(h);
}

static int push_ticket(lua_State *L, void *arg)
{
    struct held *h = arg;
    struct held **handle = lua_newuserdata(L, sizeof *handle);
    *handle = NULL;
    luaL_getmetatable(L, TICKET_TYPE);
    lua_setmetatable(L, -2);
    *handle = h;
    h->handle = handle;
    return 1;
}

static void on_entered(void *arg)
{
    struct held *h = arg;
    timer_stop(h->lane, &h->late);
    task_wake_with(h->task, push_ticket, h);
}

static int push_late(lua_State *L, void *arg)
{
    (void)arg;
    lua_pushnil(L);
    lua_pushliteral(L, "the provider had no room within the time allowed");
    lua_pushliteral(L, "timeout");
    return 3;
}

static void on_late(struct timer *timer)
{
    struct held *h = (struct held *)((char *)timer - offsetof(struct held, late));
    struct task *task = h->task;
    give_up(h);
    task_wake_with(task, push_late, NULL);
}

/* enter(provider, tokens_in, tokens_out, embeds, seconds) -> ticket | nil, message, code  (waits
 * for room, at most so long) */
static int l_enter(lua_State *L)
{
    struct model *model = check_model(L);
    struct task *task = task_check(L, WHO);
    struct model_estimate estimate = {
        .tokens_in = args_integer(L, 2, 0, TOKENS_MOST, WHO, "tokens_in"),
        .tokens_out = args_integer(L, 3, 0, TOKENS_MOST, WHO, "tokens_out"),
        .embeds = lua_toboolean(L, 4),
    };
    double seconds = args_number(L, 5, 0, 86400, WHO, "seconds");
    int provider = check_provider(L, model);
    struct held *h = mem_alloc(sizeof *h);
    struct err err = {0};
    bool at_once;
    *h = (struct held){.lane = task_lane(task),
                       .late.fire = on_late,
                       .task = task,
                       .model = model,
                       .provider = provider};
    h->ticket = model_enter(model, h->provider, vm_plugin(vm_of(L)), &estimate, task_lane(task),
                            on_entered, h, &at_once, &err);
    if (!h->ticket) {
        mem_free(h);
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        lua_pushliteral(L, "budget");
        return 3;
    }
    task_defer(task, &h->deferred, give_up, h);
    if (at_once)
        return push_ticket(L, h);
    timer_start(h->lane, &h->late, (int64_t)(seconds * NS_PER_SECOND));
    return task_wait(task, give_up, h);
}

static struct held *check_ticket(lua_State *L)
{
    struct held **handle = luaL_checkudata(L, 1, TICKET_TYPE);
    if (!*handle)
        args_error(L, WHO ": the request is over");
    return *handle;
}

/* ticket:open(path, body, options) -> as client_stream_open()  (waits) */
static int l_open(lua_State *L)
{
    struct held *h = check_ticket(L);
    struct task *task = task_check(L, WHO);
    const struct model_provider *p = model_provider(h->model, h->provider);
    struct str path = args_string(L, 2, WHO, "path");
    struct trace_headers trace;
    struct fetch_header headers[FETCH_HEADERS] = {{STR("content-type"), STR("application/json")},
                                                  {STR("user-agent"), STR("maru")}};
    int count = 2;
    char bearer[FETCH_URL_BYTES], url[FETCH_URL_BYTES];
    const char *allow[] = {p->allow};
    snprintf(url, sizeof url, "%s%.*s", p->url, (int)path.n, path.p);
    snprintf(bearer, sizeof bearer, "Bearer %s", p->key);
    if (*p->key)
        headers[count++] = (struct fetch_header){STR("authorization"), str_c(bearer)};
    struct fetch_options options = {
        .method = STR("POST"),
        .url = str_c(url),
        .body = args_string(L, 3, WHO, "body"),
        .headers = headers,
        .header_count = count,
        .allow = {allow, 1},
        .max_bytes = ANSWER_BYTES,
        .timeout_ns = opt_duration(L, 4, "timeout", 30 * NS_PER_SECOND, WHO),
        .silence_ns = opt_duration(L, 4, "silence", 0, WHO),
    };
    client_trace(task, &trace, &options, headers, options.url);
    h->sent = true;
    return client_stream_open(L, task, &options);
}

/* Heap, because the disk answers also when nobody waits any more. */
struct leaving {
    struct task *task; /* NULL when it went away */
    double cost;
};

static int push_cost(lua_State *L, void *arg)
{
    lua_pushnumber(L, ((struct leaving *)arg)->cost);
    return 1;
}

static void on_written(void *arg)
{
    struct leaving *leaving = arg;
    if (leaving->task)
        task_wake_with(leaving->task, push_cost, leaving);
    mem_free(leaving);
}

static void stop_leaving(void *arg)
{
    ((struct leaving *)arg)->task = NULL;
}

/* ticket:leave(ok, tokens_in, tokens_cached, tokens_out, embeds) -> cost  (waits for the disk) */
static int l_leave(lua_State *L)
{
    struct held *h = check_ticket(L);
    struct task *task = task_check(L, WHO);
    struct model_usage usage = {
        .outcome = lua_toboolean(L, 2) ? MODEL_ANSWERED : MODEL_FAILED,
        .tokens_in = args_integer(L, 3, 0, TOKENS_MOST, WHO, "tokens_in"),
        .tokens_cached = args_integer(L, 4, 0, TOKENS_MOST, WHO, "tokens_cached"),
        .tokens_out = args_integer(L, 5, 0, TOKENS_MOST, WHO, "tokens_out"),
        .embeds = lua_toboolean(L, 6),
    };
    struct leaving *leaving = mem_zero(1, sizeof *leaving);
    struct model_ticket *ticket = h->ticket;
    h->ticket = NULL;
    give_up(h);
    leaving->task = task;
    model_leave(ticket, &usage, on_written, leaving);
    leaving->cost = usage.cost;
    return task_wait(task, stop_leaving, leaving);
}

static int l_collect(lua_State *L)
{
    struct held **handle = luaL_checkudata(L, 1, TICKET_TYPE);
    if (*handle)
        give_up(*handle);
    return 0;
}

int bind_model(lua_State *L)
{
    static const luaL_Reg methods[] = {{"open", l_open}, {"leave", l_leave}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"settings", l_settings}, {"allowed", l_allowed},       {"rests", l_rests},
        {"answered", l_answered}, {"failed", l_failed},         {"hide", l_hide},
        {"enter", l_enter},       {"count_free", l_count_free}, {NULL, NULL}};
    bind_class(L, TICKET_TYPE, methods, l_collect);
    lua_createtable(L, 0, 8);
    luaL_register(L, NULL, functions);
    return 1;
}
