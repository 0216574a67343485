/* json_lua.c -- app.json.  Wraps vm/json.h. */
#include <lauxlib.h>

#include "bind/bind.h"
#include "vm/args.h"
#include "vm/json.h"
#include "vm/vm.h"

/* app.json.encode(value) -> string; raises on what JSON cannot hold */
static int l_encode(lua_State *L)
{
    struct buf *out = vm_scratch(vm_of(L));
    struct err err;
    luaL_checkany(L, 1);
    if (!lua_json_encode(L, 1, out, &err))
        return args_error(L, "app.json.encode(value): %s", err.message);
    lua_pushlstring(L, out->p, out->n);
    return 1;
}

/* app.json.decode(text, [options]) -> value | nil, message, "json" */
static int l_decode(lua_State *L)
{
    static const char usage[] = "app.json.decode(text, [options])";
    static const char *const known[] = {"max_depth", "floats", NULL};
    struct str text = args_string(L, 1, usage, "text"), floats = {0};
    double depth = JSON_DEPTH_DEFAULT;
    if (args_opt_table(L, 2, usage, "options")) {
        opt_known(L, 2, known, usage);
        depth = opt_number(L, 2, "max_depth", depth, usage);
        floats = opt_string(L, 2, "floats", floats, usage);
    }
    if (!(depth >= 1 && depth <= JSON_DEPTH_MAX))
        args_error(L, "%s: max_depth must be from 1 to %d", usage, JSON_DEPTH_MAX);
    struct err err;
    if (lua_json_decode_floats(L, text, (int)depth, floats, &err))
        return 1;
    if (err.code == ERR_MEMORY)
        return luaL_error(L, "not enough memory");
    lua_pushnil(L);
    lua_pushstring(L, err.message);
    lua_pushliteral(L, "json");
    return 3;
}

/* app.json.array(t) -> t, which encodes as an array also when it is empty */
static int l_array(lua_State *L)
{
    args_table(L, 1, "app.json.array(t)", "t");
    lua_settop(L, 1);
    lua_json_mark_array(L);
    return 1;
}

static int l_null_text(lua_State *L)
{
    lua_pushstring(L, lua_touserdata(L, 1) ? "userdata" : "null");
    return 1;
}

/* tostring(app.json.null) is "null". */
static void name_null(lua_State *L)
{
    lua_json_push_null(L);
    lua_newtable(L);
    lua_pushcfunction(L, l_null_text);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "null");
}

static const luaL_Reg functions[] = {
    {"encode", l_encode},
    {"decode", l_decode},
    {"array", l_array},
    {NULL, NULL},
};

int bind_json(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    name_null(L);
    lua_newtable(L);
    lua_json_mark_array(L);
    lua_getmetatable(L, -1);
    lua_setfield(L, -3, "array_mark");
    lua_pop(L, 1);
    return 1;
}
