/* time_lua.c -- app.now, app.sleep, app.spawn, app.call.  Wraps base/clock.h and vm/task.h. */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "observe/log.h"
#include "observe/trace.h"
#include "vm/args.h"
#include "vm/capability.h"
#include "vm/host.h"
#include "vm/json.h"
#include "vm/task.h"
#include "vm/vm.h"

/* app.now() -> seconds since the epoch */
static int l_now(lua_State *L)
{
    lua_pushnumber(L, (double)clock_wall_ns() / 1e9);
    return 1;
}

/* app.sleep(seconds) -> true | nil, message, code (waits) */
static int l_sleep(lua_State *L)
{
    static const char usage[] = "app.sleep(seconds)";
    if (lua_isnoneornil(L, 1))
        args_fail(L, usage, "seconds", "a number or a duration such as \"5s\"", 1);
    int64_t ns = args_opt_duration(L, 1, 0, usage, "seconds");
    return task_sleep(task_check(L, "app.sleep"), ns);
}

static void log_failure(struct task *task, const char *area)
{
    const struct task_failure *failure = task_failure(task);
    struct buf fields = {0};
    buf_add_c(&fields, "\"code\":");
    json_write_string(&fields, str_c(failure->code));
    buf_add_c(&fields, ",\"task\":");
    json_write_string(&fields, str_c(task_label(task)));
    if (failure->traceback[0]) {
        buf_add_c(&fields, ",\"traceback\":");
        json_write_string(&fields, str_c(failure->traceback));
    }
    log_write(LOG_ERROR, area, vm_label(task_vm(task)), str_c(failure->message), buf_str(&fields));
    buf_free(&fields);
}

/* ---- spawn ------------------------------------------------------------- */

/* fn and its arguments wait in a table of the registry until the task begins. */
struct spawned {
    int ref;
    int count;
};

static int push_spawned(lua_State *L, void *arg)
{
    const struct spawned *s = arg;
    luaL_checkstack(L, s->count + 4, "app.spawn: too many arguments");
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->ref);
    int table = lua_gettop(L);
    for (int i = 1; i <= s->count; i++)
        lua_rawgeti(L, table, i);
    lua_remove(L, table);
    return s->count;
}

static void end_spawned(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                        void *arg)
{
    (void)results;
    struct spawned *s = arg;
    luaL_unref(L, LUA_REGISTRYINDEX, s->ref);
    if (outcome != TASK_DONE && outcome != TASK_CANCELLED && outcome != TASK_TIMEOUT)
        log_failure(task, "spawn");
    mem_free(s);
}

/* app.spawn(fn, …) -> true | nil, message, code */
static int l_spawn(lua_State *L)
{
    static const char usage[] = "app.spawn(fn, …)";
    if (!lua_isfunction(L, 1))
        args_fail(L, usage, "fn", "a function", 1);
    if (!task_current(L))
        return args_error(L, "app.spawn: no handler is running");
    int count = lua_gettop(L);
    lua_createtable(L, count, 0);
    lua_insert(L, 1);
    for (int i = count; i >= 1; i--)
        lua_rawseti(L, 1, i);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    struct spawned *s = mem_zero(1, sizeof *s);
    s->ref = ref;
    s->count = count;
    struct task_options options = {
        .kind = TASK_SPAWN,
        .handler = -1,
        .label = "spawn",
        .span = span_child(task_span(task_current(L)), SPAN_INTERNAL, STR("app.spawn")),
        .push = push_spawned,
        .end = end_spawned,
        .arg = s,
    };
    struct err err;
    if (task_start_soon(vm_of(L), &options, &err)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    span_end(options.span);
    mem_free(s);
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
    return push_error(L, &err);
}

/* ---- call -------------------------------------------------------------- */

/* One call from plugin to plugin.  Values cross as JSON, since each plugin has a
 * state of its own.  Owned by the callee's task, which ends last. */
struct call {
    struct task *caller, *callee;
    char label[160];
    struct buf args, results;
    struct err err; /* ERR_NONE: results holds an array */
    const char *code;
};

static void push_items(lua_State *L, int array)
{
    int count = (int)lua_objlen(L, array);
    luaL_checkstack(L, count + 4, "app.call: too many values");
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, array, i);
        if (lua_islightuserdata(L, -1)) {
            lua_pop(L, 1);
            lua_pushnil(L);
        }
    }
}

static int push_values(lua_State *L, struct str json)
{
    struct err err;
    if (!lua_json_decode(L, json, JSON_DEPTH_MAX, &err))
        return luaL_error(L, "%s", err.message);
    int array = lua_gettop(L);
    push_items(L, array);
    lua_remove(L, array);
    return lua_gettop(L) - array + 1;
}

static int push_args(lua_State *L, void *arg)
{
    struct call *call = arg;
    return push_values(L, buf_str(&call->args));
}

static int push_results(lua_State *L, void *arg)
{
    struct call *call = arg;
    if (call->err.code != ERR_NONE) {
        lua_pushnil(L);
        lua_pushstring(L, call->err.message);
        lua_pushstring(L, call->code ? call->code : err_code_name(call->err.code));
        return 3;
    }
    lua_pushboolean(L, 1);
    return 1 + push_values(L, buf_str(&call->results));
}

/* Appends the values from `first` on as a JSON array. */
static bool encode_values(lua_State *L, int first, int count, struct buf *out, struct err *err)
{
    buf_add_char(out, '[');
    for (int i = 0; i < count; i++) {
        if (i)
            buf_add_char(out, ',');
        if (!lua_json_encode(L, first + i, out, err))
            return err_wrap(err, "value %d", i + 1);
    }
    buf_add_char(out, ']');
    return true;
}

static void take_failure(struct call *call, struct task *task, enum task_outcome outcome)
{
    if (outcome == TASK_CANCELLED) {
        err_set(&call->err, ERR_CANCELLED, "%s was cancelled", call->label);
    } else if (outcome == TASK_TIMEOUT) {
        err_set(&call->err, ERR_TIMEOUT, "%s took too long", call->label);
    } else {
        const struct task_failure *failure = task_failure(task);
        err_set(&call->err, ERR_LUA, "%s", failure->message);
        call->code = failure->code;
        if (failure->status == 0)
            log_failure(task, "call");
    }
}

static void end_call(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                     void *arg)
{
    struct call *call = arg;
    err_clear(&call->err);
    if (outcome == TASK_DONE)
        encode_values(L, lua_gettop(L) - results + 1, results, &call->results, &call->err);
    else
        take_failure(call, task, outcome);
    if (call->caller)
        task_wake_with(call->caller, push_results, call);
    buf_free(&call->args);
    buf_free(&call->results);
    mem_free(call);
}

static void cancel_call(void *arg)
{
    struct call *call = arg;
    call->caller = NULL;
    task_cancel(call->callee); /* may free the call */
}

static struct call *make_call(lua_State *L, const char *plugin, const char *function)
{
    struct err err;
    struct buf *args = vm_scratch(vm_of(L));
    if (!encode_values(L, 3, lua_gettop(L) - 2, args, &err))
        args_error(L, "app.call(\"%s.%s\", …): %s", plugin, function, err.message);
    struct call *call = mem_zero(1, sizeof *call);
    buf_add_str(&call->args, buf_str(args));
    snprintf(call->label, sizeof call->label, "%s.%s", plugin, function);
    return call;
}

/* A plugin may always call itself. */
static bool may_call(const struct vm *vm, const char *plugin, const char *function)
{
    return !strcmp(plugin, vm_plugin(vm)) ||
           capability_names(&vm_decl(vm)->allow[CAPABILITY_CALL], str_c(plugin), str_c(function));
}

/* call(plugin, function, …) -> true, results… | nil, message, code (waits) */
static int l_call(lua_State *L)
{
    static const char usage[] = "app.call(name, …)";
    const char *plugin = args_string(L, 1, usage, "plugin").p;
    const char *function = args_string(L, 2, usage, "function").p;
    const struct host *host = vm_host(vm_of(L));
    bind_part(L, host && host->find_export ? host->reload : NULL, "app.call", "other plugins");
    struct task *task = task_check(L, "app.call");
    if (!may_call(vm_of(L), plugin, function))
        return args_error(L, "app.call: '%s.%s' is not in this plugin's allow.exports", plugin,
                          function);
    struct err err;
    int handler;
    struct vm *vm =
        host->find_export(host->reload, task_lane(task), plugin, function, &handler, &err);
    if (!vm)
        return push_error(L, &err);
    struct call *call = make_call(L, plugin, function);
    call->caller = task;
    int64_t left = task_left_ns(task) + 1, limit = vm_decl(vm)->task_ns;
    struct task_options options = {
        .kind = TASK_CALL,
        .handler = handler,
        .label = call->label,
        .deadline_ns = left < limit ? left : limit,
        .span = span_child(task_wait_span(task), SPAN_INTERNAL, str_c(call->label)),
        .push = push_args,
        .end = end_call,
        .arg = call,
    };
    call->callee = task_start_soon(vm, &options, &err);
    if (!call->callee) {
        span_end(options.span);
        buf_free(&call->args);
        mem_free(call);
        return push_error(L, &err);
    }
    return task_wait(task, cancel_call, call);
}

static const luaL_Reg functions[] = {
    {"now", l_now}, {"sleep", l_sleep}, {"spawn", l_spawn}, {"call", l_call}, {NULL, NULL},
};

int bind_time(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
