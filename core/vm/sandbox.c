/* The state's libraries, in two copies: the host library's own, and what is left
 * for the plugin.  What is left is a list of what may stay (lua/maru/sandbox.lua),
 * not a list of what must go. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/rand.h"
#include "vm/args.h"
#include "vm/internal.h"
#include "vm/pattern.h"
#include "vm/sort.h"

enum { MODULE_NAME_BYTES = 120 };

static const char loading; /* its address stands in `loaded` while a file runs */

static void open_library(lua_State *L, lua_CFunction open, const char *name)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

/* -- t -- copy */
static void copy_table(lua_State *L)
{
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, -3);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2); /* t copy key key value */
        lua_rawset(L, -4);
    }
    lua_remove(L, -2);
}

static int l_host_require(lua_State *L)
{
    library_push(L, luaL_checkstring(L, 1));
    return 1;
}

/* ---- what plugins get instead ------------------------------------------ */

static bool in_task(lua_State *L)
{
    struct task *task = task_current(L);
    return task && task_is_own(task, L);
}

/* coroutine.yield and coroutine.running do not show the task's own coroutine:
 * only the host resumes it. */
static int l_yield(lua_State *L)
{
    if (in_task(L))
        return args_error(L, "coroutine.yield: not inside a coroutine of the plugin's own");
    return lua_yield(L, lua_gettop(L));
}

static int l_running(lua_State *L)
{
    if (in_task(L) || lua_pushthread(L))
        lua_pushnil(L);
    return 1;
}

/* Whether a coroutine may be entered from here. */
static int l_has_room(lua_State *L)
{
    lua_pushboolean(L, vm_stack_has_room());
    return 1;
}

static int load_text(lua_State *L, struct str text, const char *name)
{
    if (luaL_loadbufferx(L, text.p, text.n, name, "t") == 0)
        return 1;
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

/* load(text or function, [name], [mode], [env]): text only, whatever mode says. */
static int l_load(lua_State *L)
{
    static const char usage[] = "load(chunk, [name], [mode], [env])";
    lua_settop(L, 4);
    const char *name = luaL_optstring(L, 2, "=(load)");
    if (name[0] == '@' && library_is_source(name + 1)) /* frames so called are not shown */
        name = "=(load)";
    if (lua_isfunction(L, 1)) {
        luaL_Buffer pieces;
        luaL_buffinit(L, &pieces);
        vm_stack_check(L, "load");
        for (;;) {
            lua_pushvalue(L, 1);
            lua_call(L, 0, 1);
            if (!lua_isstring(L, -1) || lua_objlen(L, -1) == 0)
                break;
            luaL_addvalue(&pieces);
        }
        lua_pop(L, 1);
        luaL_pushresult(&pieces);
        lua_replace(L, 1);
    }
    int results = load_text(L, args_string(L, 1, usage, "chunk"), name);
    if (results == 1 && args_opt_table(L, 4, usage, "env")) {
        lua_pushvalue(L, 4);
        lua_setfenv(L, -2);
    }
    return results;
}

/* ---- require ----------------------------------------------------------- */

/* Words of letters, digits and _ joined by single dots: no path can be hidden in it. */
static bool is_module_name(struct str name)
{
    bool word = false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (!letter && (c != '.' || !word))
            return false;
        word = letter;
    }
    return word && name.n <= MODULE_NAME_BYTES;
}

static const struct bundle_file *module_file(const struct bundle *bundle, struct str name)
{
    char path[MODULE_NAME_BYTES + 16];
    for (size_t i = 0; i < name.n; i++)
        path[i] = name.p[i];
    for (size_t i = 0; i < name.n; i++)
        if (path[i] == '.')
            path[i] = '/';
    memcpy(path + name.n, ".lua", 5);
    const struct bundle_file *file = bundle_find(bundle, str_c(path));
    if (file)
        return file;
    memcpy(path + name.n, "/init.lua", 10);
    return bundle_find(bundle, str_c(path));
}

void sandbox_push_file(lua_State *L, const struct bundle *bundle, const struct bundle_file *file)
{
    lua_pushfstring(L, "@%s/%s", bundle->dir, file->name);
    if (luaL_loadbufferx(L, file->bytes, file->n, lua_tostring(L, -1), "t") != 0)
        lua_error(L);
    lua_remove(L, -2);
}

/* require(name); upvalue 1: table of what is loaded. */
static int l_require(lua_State *L)
{
    struct str name = args_string(L, 1, "require(name)", "name");
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_rawget(L, lua_upvalueindex(1));
    if (lua_touserdata(L, -1) == &loading)
        return args_error(L, "require: '%s' is already being loaded (a cycle)", name.p);
    if (!lua_isnil(L, -1))
        return 1;
    const struct bundle *bundle = vm_of(L)->options.bundle;
    const struct bundle_file *file = is_module_name(name) ? module_file(bundle, name) : NULL;
    if (!file)
        return args_error(L, "require: no module '%s' in %s or maru.*", name.p, bundle->dir);
    vm_stack_check(L, "require");
    sandbox_push_file(L, bundle, file);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, (void *)&loading);
    lua_rawset(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    int status = lua_pcall(L, 1, 1, 0);
    lua_pushvalue(L, 1);
    if (status != 0)
        lua_pushnil(L);
    else if (lua_isnil(L, -2))
        lua_pushboolean(L, 1);
    else
        lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(1));
    if (status != 0)
        return lua_error(L);
    lua_pushvalue(L, 1);
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

/* ---- opening ----------------------------------------------------------- */

static const struct {
    const char *name;
    lua_CFunction open;
} libraries[] = {
    {"", luaopen_base},       {"table", luaopen_table}, {"string", luaopen_string},
    {"math", luaopen_math},   {"bit", luaopen_bit},     {"os", luaopen_os},
    {"debug", luaopen_debug}, {"jit", luaopen_jit},
};

/* Copies globals and library tables into the host environment. */
static void make_host_environment(lua_State *L)
{
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, LUA_GLOBALSINDEX);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2); /* env key key value */
        if (lua_istable(L, -1) && !lua_rawequal(L, -1, LUA_GLOBALSINDEX))
            copy_table(L);
        lua_rawset(L, -4);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
    lua_pushcfunction(L, l_host_require);
    lua_setfield(L, -2, "require");
    lua_setfield(L, LUA_REGISTRYINDEX, VM_HOST_ENV);
}

static void seed_random(lua_State *L)
{
    lua_getglobal(L, "math");
    lua_getfield(L, -1, "randomseed");
    lua_pushnumber(L, rand_unit());
    lua_call(L, 1, 0);
    lua_pop(L, 1);
}

void sandbox_open(lua_State *L)
{
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        open_library(L, libraries[i].open, libraries[i].name);
    lua_getglobal(L, "string");
    pattern_open(L);
    lua_getglobal(L, "table");
    sort_open(L);
    lua_pop(L, 2);
    seed_random(L);
    make_host_environment(L);
}

void sandbox_parts(lua_State *L)
{
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_setfield(L, -2, "globals");
    lua_pushcfunction(L, l_yield);
    lua_setfield(L, -2, "yield");
    lua_pushcfunction(L, l_running);
    lua_setfield(L, -2, "running");
    lua_pushcfunction(L, l_has_room);
    lua_setfield(L, -2, "has_room");
    lua_pushcfunction(L, l_load);
    lua_setfield(L, -2, "load");
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "loaded");
    lua_pushcclosure(L, l_require, 1);
    lua_setfield(L, -2, "require");
}
