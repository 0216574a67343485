/* floats_lua.c -- app.kernels.floats, app.kernels.parse_floats.  Wraps kernels/floats.h. */
#include "bind/floats_lua.h"

#include <lauxlib.h>
#include <math.h>

#include "bind/bind.h"
#include "kernels/floats.h"
#include "vm/args.h"
#include "vm/json.h"
#include "vm/vm.h"

#define FLOATS_TYPE "app.floats"

enum { FLOATS_COLLECT = 1 << 20 }; /* bytes for which garbage is looked for first */

const struct floats *floats_at(lua_State *L, int index)
{
    void *p = lua_touserdata(L, index);
    if (!p || !lua_getmetatable(L, index))
        return NULL;
    luaL_getmetatable(L, FLOATS_TYPE);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? p : NULL;
}

bool floats_has_room(lua_State *L, size_t bytes, struct err *err)
{
    struct vm *vm = vm_of(L);
    if (bytes < FLOATS_COLLECT)
        return true;
    if (!vm_charge(vm, bytes, err)) {
        lua_gc(L, LUA_GCCOLLECT, 0);
        if (!vm_charge(vm, bytes, err))
            return false;
    }
    vm_uncharge(vm, bytes);
    return true;
}

struct floats *floats_push(lua_State *L, size_t n)
{
    struct err err = {0};
    size_t bytes = sizeof(struct floats) + n * sizeof(float);
    if (!floats_has_room(L, bytes, &err)) {
        push_error(L, &err);
        return NULL;
    }
    struct floats *f = lua_newuserdata(L, bytes);
    f->n = n;
    luaL_getmetatable(L, FLOATS_TYPE);
    lua_setmetatable(L, -2);
    return f;
}

/* nil, message, "invalid", index from 1 (absent for 0) */
static int push_bad(lua_State *L, const struct err *err, size_t index)
{
    int results = push_error(L, err);
    if (index == 0)
        return results;
    lua_pushinteger(L, (lua_Integer)index);
    return results + 1;
}

/* app.kernels.parse_floats(text) -> floats | nil, message, code, index */
static int l_parse_floats(lua_State *L)
{
    struct str text = args_string(L, 1, "app.kernels.parse_floats(text)", "text");
    struct err err = {0};
    size_t room, bad;
    if (!floats_room(text, &room, &err))
        return push_error(L, &err);
    struct floats *f = floats_push(L, room);
    if (!f)
        return 3;
    if (!floats_parse(text, f->values, room, &f->n, &bad, &err))
        return push_bad(L, &err, bad);
    return 1;
}

static int from_bytes(lua_State *L, struct str bytes, bool missing)
{
    struct err err = {0};
    size_t n = bytes.n / sizeof(float);
    if (bytes.n % sizeof(float))
        err_set(&err, ERR_INVALID, "%zu bytes are no whole number of float32", bytes.n);
    else if (n > FLOATS_MOST)
        err_set(&err, ERR_LIMIT, "more than %d values", FLOATS_MOST);
    if (err.code)
        return push_error(L, &err);
    struct floats *f = floats_push(L, n);
    if (!f)
        return 3;
    size_t bad = floats_read(bytes.p, n, missing, f->values);
    if (bad == 0)
        return 1;
    err_set(&err, ERR_INVALID, "value %zu is %s", bad,
            isnan(f->values[bad - 1]) ? "not a number" : "infinite");
    return push_bad(L, &err, bad);
}

/* The value on top as float32; false with *err when it is none. */
static bool read_value(lua_State *L, size_t place, bool missing, float *out, struct err *err)
{
    bool number = lua_type(L, -1) == LUA_TNUMBER;
    bool absent = lua_isnil(L, -1) || (lua_islightuserdata(L, -1) && !lua_touserdata(L, -1));
    if (!number && !absent)
        return err_set(err, ERR_INVALID, "value %zu is a %s", place, luaL_typename(L, -1));
    double value = number ? lua_tonumber(L, -1) : NAN;
    if (isnan(value) && !missing)
        return err_set(err, ERR_INVALID, "value %zu is %s", place, number ? "NaN" : "null");
    *out = (float)value;
    return !isinf(*out) || err_set(err, ERR_INVALID, "value %zu is %s", place,
                                   isinf(value) ? "infinite" : "too large for float32");
}

static int from_array(lua_State *L, bool missing)
{
    struct err err = {0};
    size_t n = lua_objlen(L, 1);
    if (n > FLOATS_MOST) {
        err_set(&err, ERR_LIMIT, "more than %d values", FLOATS_MOST);
        return push_error(L, &err);
    }
    struct floats *f = floats_push(L, n);
    if (!f)
        return 3;
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (int)(i + 1));
        bool ok = read_value(L, i + 1, missing, &f->values[i], &err);
        lua_pop(L, 1);
        if (!ok)
            return push_bad(L, &err, i + 1);
    }
    return 1;
}

/* app.kernels.floats(source, [options]) -> floats | nil, message, code, index */
static int l_floats(lua_State *L)
{
    static const char usage[] = "app.kernels.floats(source, [options])";
    static const char *const known[] = {"finite", NULL};
    int kind = lua_type(L, 1);
    if (kind != LUA_TTABLE && kind != LUA_TSTRING)
        args_fail(L, usage, "source", "an array of numbers or bytes of float32", 1);
    bool missing = true;
    if (args_opt_table(L, 2, usage, "options")) {
        opt_known(L, 2, known, usage);
        missing = !opt_boolean(L, 2, "finite", false, usage);
    }
    return kind == LUA_TTABLE ? from_array(L, missing)
                              : from_bytes(L, args_string(L, 1, usage, "source"), missing);
}

/* ---- methods ----------------------------------------------------------- */

static const struct floats *check(lua_State *L, const char *usage)
{
    const struct floats *f = floats_at(L, 1);
    if (!f)
        args_error(L, "%s: call it with a colon on what app.kernels.floats gave", usage);
    return f;
}

/* floats:bytes() -> float32, little-endian */
static int l_bytes(lua_State *L)
{
    const struct floats *f = check(L, "floats:bytes()");
    struct err err = {0};
    if (!floats_has_room(L, f->n * sizeof(float), &err))
        return push_error(L, &err);
    lua_pushlstring(L, (const char *)f->values, f->n * sizeof(float));
    return 1;
}

/* floats:table([from], [to]) -> array; json.null where missing */
static int l_table(lua_State *L)
{
    static const char usage[] = "floats:table([from], [to])";
    const struct floats *f = check(L, usage);
    int64_t from =
        lua_isnoneornil(L, 2) ? 1 : args_integer(L, 2, 1, FLOATS_MOST + 1, usage, "from");
    int64_t to =
        lua_isnoneornil(L, 3) ? FLOATS_MOST : args_integer(L, 3, 0, FLOATS_MOST, usage, "to");
    to = to > (int64_t)f->n ? (int64_t)f->n : to;
    int64_t n = to >= from ? to - from + 1 : 0;
    struct err err = {0};
    if (!floats_has_room(L, (size_t)n * sizeof(double), &err))
        return push_error(L, &err);
    lua_createtable(L, (int)n, 0);
    for (int i = 0; i < n; i++) {
        float value = f->values[from - 1 + i];
        if (isnan(value))
            lua_json_push_null(L);
        else
            lua_pushnumber(L, (double)value);
        lua_rawseti(L, -2, i + 1);
    }
    if (n == 0)
        lua_json_mark_array(L);
    return 1;
}

static const luaL_Reg methods[] = {
    {"bytes", l_bytes},
    {"table", l_table},
    {NULL, NULL},
};

/* floats[i]: a number (NaN where missing), nil outside; floats.bytes, floats.table */
static int l_index(lua_State *L)
{
    const struct floats *f = check(L, "floats[i]");
    if (lua_type(L, 2) == LUA_TNUMBER) {
        double i = lua_tonumber(L, 2);
        if (!(i >= 1 && i <= (double)f->n && i == floor(i)))
            return 0;
        lua_pushnumber(L, (double)f->values[(size_t)i - 1]);
        return 1;
    }
    lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

static int l_length(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check(L, "#floats")->n);
    return 1;
}

static int l_newindex(lua_State *L)
{
    return args_error(L, "floats: what it holds does not change");
}

void floats_register(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"floats", l_floats},
        {"parse_floats", l_parse_floats},
        {NULL, NULL},
    };
    bind_class(L, FLOATS_TYPE, methods, NULL);
    luaL_getmetatable(L, FLOATS_TYPE);
    lua_pushliteral(L, "bytes table"); /* for `maru types` */
    lua_setfield(L, -2, "__fields");
    lua_getfield(L, -1, "__index");
    lua_pushcclosure(L, l_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, l_length);
    lua_setfield(L, -2, "__len");
    lua_pop(L, 1);
    luaL_register(L, NULL, functions);
}
