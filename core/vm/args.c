#include "vm/args.h"

#include <lauxlib.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "vm/internal.h"

void args_where(lua_State *L)
{
    lua_Debug at;
    for (int level = 1; level < 16 && lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (at.currentline > 0 && at.source[0] == '@' && !library_is_source(at.source + 1)) {
            lua_pushfstring(L, "%s:%d: ", at.short_src, at.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

static _Noreturn void raise_message(lua_State *L)
{
    args_where(L);
    lua_insert(L, -2);
    lua_concat(L, 2);
    lua_error(L);
    __builtin_unreachable();
}

int args_error(lua_State *L, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    lua_pushvfstring(L, format, list);
    va_end(list);
    raise_message(L);
}

_Noreturn void args_fail(lua_State *L, const char *usage, const char *name, const char *expected,
                         int index)
{
    const char *got = lua_isnoneornil(L, index) ? "nothing" : luaL_typename(L, index);
    if (lua_type(L, index) == LUA_TNUMBER) {
        lua_pushvalue(L, index);
        got = lua_tostring(L, -1);
    }
    lua_pushfstring(L, "%s: %s must be %s, got %s", usage, name, expected, got);
    raise_message(L);
}

static _Noreturn void out_of_range(lua_State *L, int index, double least, double most,
                                   const char *what, const char *usage, const char *name)
{
    char expected[96];
    snprintf(expected, sizeof expected, "%s from %.15g to %.15g", what, least, most);
    args_fail(L, usage, name, expected, index);
}

double args_number(lua_State *L, int index, double least, double most, const char *usage,
                   const char *name)
{
    double value = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : NAN;
    if (!(value >= least && value <= most))
        out_of_range(L, index, least, most, "a number", usage, name);
    return value;
}

int64_t args_integer(lua_State *L, int index, int64_t least, int64_t most, const char *usage,
                     const char *name)
{
    double value = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : NAN;
    if (!(value >= (double)least && value <= (double)most && value == floor(value)))
        out_of_range(L, index, (double)least, (double)most, "a whole number", usage, name);
    return (int64_t)value;
}

struct str args_string(lua_State *L, int index, const char *usage, const char *name)
{
    if (lua_type(L, index) != LUA_TSTRING)
        args_fail(L, usage, name, "a string", index);
    struct str s;
    s.p = lua_tolstring(L, index, &s.n);
    return s;
}

struct str args_opt_string(lua_State *L, int index, struct str otherwise, const char *usage,
                           const char *name)
{
    return lua_isnoneornil(L, index) ? otherwise : args_string(L, index, usage, name);
}

void args_table(lua_State *L, int index, const char *usage, const char *name)
{
    if (!lua_istable(L, index))
        args_fail(L, usage, name, "a table", index);
}

bool args_opt_table(lua_State *L, int index, const char *usage, const char *name)
{
    if (lua_isnoneornil(L, index))
        return false;
    args_table(L, index, usage, name);
    return true;
}

int64_t args_opt_duration(lua_State *L, int index, int64_t otherwise, const char *usage,
                          const char *name)
{
    if (lua_isnoneornil(L, index))
        return otherwise;
    if (lua_type(L, index) == LUA_TNUMBER)
        return (int64_t)(args_number(L, index, 0, 1e9, usage, name) * 1e9);
    int64_t ns = 0;
    struct err err;
    if (lua_type(L, index) == LUA_TSTRING) {
        struct str text = args_string(L, index, usage, name);
        if (duration_parse(text, &ns, &err) && ns >= 0)
            return ns;
    }
    args_fail(L, usage, name, "seconds or a duration such as \"250ms\", \"30s\", \"5m\"", index);
}

void opt_push(lua_State *L, int index, const char *key)
{
    if (lua_isnoneornil(L, index)) {
        lua_pushnil(L);
        return;
    }
    lua_pushvalue(L, index);
    lua_pushstring(L, key);
    lua_rawget(L, -2);
    lua_remove(L, -2);
}

struct str opt_string(lua_State *L, int index, const char *key, struct str otherwise,
                      const char *usage)
{
    opt_push(L, index, key);
    struct str s = args_opt_string(L, lua_gettop(L), otherwise, usage, key);
    lua_pop(L, 1);
    return s;
}

double opt_number(lua_State *L, int index, const char *key, double otherwise, const char *usage)
{
    opt_push(L, index, key);
    double value = otherwise;
    if (!lua_isnil(L, -1))
        value = args_number(L, lua_gettop(L), -1e300, 1e300, usage, key);
    lua_pop(L, 1);
    return value;
}

int64_t opt_duration(lua_State *L, int index, const char *key, int64_t otherwise, const char *usage)
{
    opt_push(L, index, key);
    int64_t ns = args_opt_duration(L, lua_gettop(L), otherwise, usage, key);
    lua_pop(L, 1);
    return ns;
}

bool opt_boolean(lua_State *L, int index, const char *key, bool otherwise, const char *usage)
{
    opt_push(L, index, key);
    if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
        args_fail(L, usage, key, "true or false", lua_gettop(L));
    bool value = lua_isnil(L, -1) ? otherwise : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

static bool is_known(const char *const *keys, const char *key)
{
    for (int i = 0; keys[i]; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

void opt_known(lua_State *L, int index, const char *const *keys, const char *usage)
{
    if (lua_isnoneornil(L, index))
        return;
    lua_pushvalue(L, index);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        bool text = lua_type(L, -2) == LUA_TSTRING;
        if (text && is_known(keys, lua_tostring(L, -2)))
            continue;
        lua_pushfstring(L, "%s: unknown option %s", usage,
                        text ? lua_tostring(L, -2) : luaL_typename(L, -2));
        raise_message(L);
    }
    lua_pop(L, 1);
}

int push_error(lua_State *L, const struct err *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err->message);
    lua_pushstring(L, err_code_name(err->code));
    return 3;
}
