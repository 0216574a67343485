/* program_lua.c -- app.exec: programs that M.allow.exec names.  Wraps loop/program.h. */
#include <ctype.h>
#include <lauxlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "loop/program.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define USAGE "app.exec(program, [args], [options])"

enum { EXEC_BYTES_MOST = 64 << 20 };

struct call {
    struct task *task;
    struct program *program;
};

static void cancel_call(void *arg)
{
    program_cancel(((struct call *)arg)->program);
}

static int push_answer(lua_State *L, void *arg)
{
    const struct program_result *r = arg;
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, r->signal ? r->signal : r->status);
    lua_setfield(L, -2, r->signal ? "signal" : "status");
    lua_pushlstring(L, r->out.p ? r->out.p : "", r->out.n);
    lua_setfield(L, -2, "stdout");
    lua_pushlstring(L, r->err.p ? r->err.p : "", r->err.n);
    lua_setfield(L, -2, "stderr");
    return 1;
}

static int push_failure(lua_State *L, void *arg)
{
    /* ORDER program_code */
    static const char *const codes[] = {"", "missing", "timeout", "limit", "io"};
    const struct program_result *r = arg;
    lua_pushnil(L);
    lua_pushstring(L, r->message);
    lua_pushstring(L, codes[r->code]);
    return 3;
}

static void on_done(void *arg, const struct program_result *result)
{
    struct call *call = arg;
    task_push_fn *push = result->code == PROGRAM_DONE ? push_answer : push_failure;
    task_wake_with(call->task, push, (void *)(uintptr_t)result);
}

static bool is_allowed(const struct allow_decl *exec, struct str program)
{
    for (int i = 0; i < exec->count; i++) {
        if (str_eq_c(program, exec->entries[i]))
            return true;
    }
    return false;
}

/* Texts as the kernel takes them: no NUL, and not too long. */
static bool is_text(lua_State *L, int index)
{
    size_t n;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &n) : NULL;
    return text && n < PROGRAM_TEXT_BYTES && !memchr(text, 0, n);
}

/* The list at `index`; its strings stay where they are. */
static const char **read_args(lua_State *L, struct task *task, int index, int *count)
{
    *count = 0;
    if (!args_opt_table(L, index, USAGE, "args"))
        return NULL;
    size_t n = lua_objlen(L, index);
    if (n > PROGRAM_ARGS)
        args_error(L, USAGE ": more than %d args", PROGRAM_ARGS);
    const char **list = task_alloc(task, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        if (!is_text(L, -1))
            args_error(L, USAGE ": args[%d] must be text without NUL of less than %d bytes",
                       (int)i + 1, PROGRAM_TEXT_BYTES);
        list[i] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    *count = (int)n;
    return list;
}

/* What the loader listens to could bring other code into the program. */
static bool is_variable(const char *name)
{
    if (!strncmp(name, "LD_", 3) || isdigit((unsigned char)*name))
        return false;
    for (const char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '_')
            return false;
    }
    return *name != '\0';
}

/* options.env, which is on top of the stack, as "NAME=value". */
static const char **read_env(lua_State *L, struct task *task, int *count)
{
    int env = lua_gettop(L), n = 0;
    *count = 0;
    if (lua_isnil(L, env))
        return NULL;
    args_table(L, env, USAGE, "options.env");
    for (lua_pushnil(L); lua_next(L, env); lua_pop(L, 1))
        n++;
    if (n > PROGRAM_ARGS)
        args_error(L, USAGE ": more than %d variables in options.env", PROGRAM_ARGS);
    const char **list = task_alloc(task, ((size_t)n + 1) * sizeof *list);
    for (lua_pushnil(L); lua_next(L, env); lua_pop(L, 1)) {
        if (!is_text(L, -2) || lua_type(L, -2) != LUA_TSTRING || !is_variable(lua_tostring(L, -2)))
            args_error(L, USAGE ": options.env: a variable's name is [A-Za-z_][A-Za-z0-9_]*, "
                                "and not one of the loader's (LD_…)");
        if (!is_text(L, -1))
            args_error(L, USAGE ": options.env.%s must be text without NUL of less than %d bytes",
                       lua_tostring(L, -2), PROGRAM_TEXT_BYTES);
        size_t name = strlen(lua_tostring(L, -2)), value = strlen(lua_tostring(L, -1));
        char *text = task_alloc(task, name + value + 2);
        memcpy(text, lua_tostring(L, -2), name);
        text[name] = '=';
        memcpy(text + name + 1, lua_tostring(L, -1), value);
        list[(*count)++] = text;
    }
    return list;
}

static int64_t read_bytes(lua_State *L)
{
    struct err err = {0};
    int64_t bytes;
    struct str text = opt_string(L, 3, "max_bytes", STR("1M"), USAGE);
    if (!size_parse(text, &bytes, &err) || bytes > EXEC_BYTES_MOST)
        args_error(L, USAGE ": options.max_bytes must be a size of at most 64M");
    return bytes;
}

/*** Runs a program and waits for its end.
 * @param program string @param args string[]|nil @param options table|nil
 * @return table|nil answer, string? message, string? code */
static int l_exec(lua_State *L)
{
    static const char *const known[] = {"env", "input", "timeout", "max_bytes", NULL};
    struct err err = {0};
    lua_settop(L, 3);
    struct program_options o = {.path = args_string(L, 1, USAGE, "program").p};
    struct str program = args_string(L, 1, USAGE, "program");
    struct task *task = task_check(L, "app.exec");
    struct vm *vm = task_vm(task);
    o.owner = vm_plugin(vm);
    o.args = read_args(L, task, 2, &o.arg_count);
    if (args_opt_table(L, 3, USAGE, "options"))
        opt_known(L, 3, known, USAGE);
    o.input = opt_string(L, 3, "input", STR(""), USAGE);
    o.timeout_ns = opt_duration(L, 3, "timeout", 10 * NS_PER_SECOND, USAGE);
    o.max_bytes = read_bytes(L);
    if (lua_istable(L, 3)) {
        opt_push(L, 3, "env");
        o.env = read_env(L, task, &o.env_count);
    }
    if (!is_allowed(&vm_decl(vm)->allow[CAPABILITY_EXEC], program)) {
        err_set(&err, ERR_FORBIDDEN, "%.300s is not in the plugin's allow.exec", o.path);
        return push_error(L, &err);
    }
    bind_part(L, vm_host(vm)->programs, "app.exec", "programs");
    struct call *call = task_alloc(task, sizeof *call);
    call->task = task;
    call->program = program_start(vm_host(vm)->programs, vm_lane(vm), &o, on_done, call, &err);
    if (!call->program)
        return push_error(L, &err);
    return task_wait(task, cancel_call, call);
}

int bind_program(lua_State *L)
{
    static const luaL_Reg functions[] = {{"exec", l_exec}, {NULL, NULL}};
    lua_createtable(L, 0, 1);
    luaL_register(L, NULL, functions);
    return 1;
}
