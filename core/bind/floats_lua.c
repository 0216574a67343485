/* floats_lua.c -- app.kernels.floats, .full and .parse_floats.  Wraps kernels/floats.h. */
#include "bind/floats_lua.h"

#include <float.h>
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "bind/bind.h"
#include "kernels/floats.h"
#include "vm/args.h"
#include "vm/floats.h"
#include "vm/json.h"
#include "vm/vm.h"

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

/* The floats on top, unless one is bad: its index from 1. */
static int check_values(lua_State *L, const struct floats *f, size_t bad)
{
    struct err err = {0};
    if (bad == 0)
        return 1;
    err_set(&err, ERR_INVALID, "value %zu is %s", bad,
            isnan(f->values[bad - 1]) ? "not a number" : "infinite");
    return push_bad(L, &err, bad);
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
    return check_values(L, f, floats_read(bytes.p, n, missing, f->values));
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

static int from_base64(lua_State *L, struct str text, bool missing)
{
    struct err err = {0};
    struct floats *f = floats_push(L, text.n / 16 * 3 + 3);
    if (!f)
        return 3;
    if (!floats_of_base64(text, f->values, &f->n)) {
        err_set(&err, ERR_INVALID, "it is no base64 of float32, with padding (RFC 4648)");
        return push_error(L, &err);
    }
    return check_values(L, f, floats_first_bad(f->values, f->n, missing));
}

/* app.kernels.floats(source, [options]) -> floats | nil, message, code, index */
static int l_floats(lua_State *L)
{
    static const char usage[] = "app.kernels.floats(source, [options])";
    static const char *const known[] = {"finite", "base64", NULL};
    int kind = lua_type(L, 1);
    if (kind != LUA_TTABLE && kind != LUA_TSTRING)
        args_fail(L, usage, "source", "an array of numbers or bytes of float32", 1);
    bool missing = true, base64 = false;
    if (args_opt_table(L, 2, usage, "options")) {
        opt_known(L, 2, known, usage);
        missing = !opt_boolean(L, 2, "finite", false, usage);
        base64 = opt_boolean(L, 2, "base64", false, usage);
    }
    if (kind == LUA_TTABLE)
        return from_array(L, missing);
    struct str text = args_string(L, 1, usage, "source");
    return base64 ? from_base64(L, text, missing) : from_bytes(L, text, missing);
}

/* app.kernels.full(n, value) -> floats */
static int l_full(lua_State *L)
{
    static const char usage[] = "app.kernels.full(n, value)";
    size_t n = (size_t)args_integer(L, 1, 0, FLOATS_MOST, usage, "n");
    float value = (float)args_number(L, 2, -(double)FLT_MAX, (double)FLT_MAX, usage, "value");
    struct floats *f = floats_push(L, n);
    if (!f)
        return 3;
    for (size_t i = 0; i < n; i++)
        f->values[i] = value;
    return 1;
}

/* ---- methods ----------------------------------------------------------- */

/* app.kernels.errors(values, forecast, [lag]) -> mean absolute error, root mean squared one, count
 */
static int l_errors(lua_State *L)
{
    static const char usage[] = "app.kernels.errors(values, forecast, [lag])";
    const struct floats *values = floats_at(L, 1), *forecast = floats_at(L, 2);
    if (!values || !forecast)
        args_error(L, "%s: values and forecast must be what app.kernels.floats gave", usage);
    int64_t lag = lua_isnoneornil(L, 3) ? 0 : args_integer(L, 3, 0, FLOATS_MOST, usage, "lag");
    size_t n = values->n < forecast->n + (size_t)lag ? values->n : forecast->n + (size_t)lag;
    struct floats_errors e = floats_errors(values->values, forecast->values, n, (size_t)lag);
    lua_pushnumber(L, e.absolute);
    lua_pushnumber(L, e.square);
    lua_pushinteger(L, (lua_Integer)e.count);
    return 3;
}

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

/* floats:base64() -> bytes() as base64 with padding, RFC 4648 section 4 */
static int l_base64(lua_State *L)
{
    const struct floats *f = check(L, "floats:base64()");
    struct err err = {0};
    size_t n = floats_base64_bytes(f->n);
    if (!floats_has_room(L, n, &err))
        return push_error(L, &err);
    struct buf *text = vm_scratch(vm_of(L));
    buf_reserve(text, n);
    floats_to_base64(f->values, f->n, text->p);
    lua_pushlstring(L, text->p, n);
    return 1;
}

/* from and to as floats:table and floats:slice take them: the values before, and how many. */
static size_t read_part(lua_State *L, const struct floats *f, const char *usage, size_t *before)
{
    int64_t from =
        lua_isnoneornil(L, 2) ? 1 : args_integer(L, 2, 1, FLOATS_MOST + 1, usage, "from");
    int64_t to =
        lua_isnoneornil(L, 3) ? FLOATS_MOST : args_integer(L, 3, 0, FLOATS_MOST, usage, "to");
    to = to > (int64_t)f->n ? (int64_t)f->n : to;
    *before = (size_t)from - 1;
    return to >= from ? (size_t)(to - from + 1) : 0;
}

/* floats:table([from], [to]) -> array; json.null where missing */
static int l_table(lua_State *L)
{
    static const char usage[] = "floats:table([from], [to])";
    const struct floats *f = check(L, usage);
    size_t before, n = read_part(L, f, usage, &before);
    struct err err = {0};
    if (!floats_has_room(L, n * sizeof(double), &err))
        return push_error(L, &err);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        float value = f->values[before + i];
        if (isnan(value))
            lua_json_push_null(L);
        else
            lua_pushnumber(L, (double)value);
        lua_rawseti(L, -2, (int)i + 1);
    }
    if (n == 0)
        lua_json_mark_array(L);
    return 1;
}

/* floats:slice([from], [to]) -> floats */
static int l_slice(lua_State *L)
{
    static const char usage[] = "floats:slice([from], [to])";
    const struct floats *f = check(L, usage);
    size_t before, n = read_part(L, f, usage, &before);
    struct floats *part = floats_push(L, n);
    if (!part)
        return 3;
    if (n)
        memcpy(part->values, f->values + before, n * sizeof *part->values);
    return 1;
}

/* floats:range() -> least, greatest; nil of none */
static int l_range(lua_State *L)
{
    const struct floats *f = check(L, "floats:range()");
    float least, greatest;
    if (!floats_range(f->values, f->n, &least, &greatest))
        return 0;
    lua_pushnumber(L, (double)least);
    lua_pushnumber(L, (double)greatest);
    return 2;
}

/* floats:round(decimals) -> floats */
static int l_round(lua_State *L)
{
    static const char usage[] = "floats:round(decimals)";
    const struct floats *f = check(L, usage);
    int decimals = (int)args_integer(L, 2, -38, 45, usage, "decimals");
    struct floats *rounded = floats_push(L, f->n);
    if (!rounded)
        return 3;
    floats_round(f->values, f->n, decimals, rounded->values);
    return 1;
}

static const luaL_Reg methods[] = {
    {"bytes", l_bytes}, {"base64", l_base64}, {"table", l_table}, {"slice", l_slice},
    {"range", l_range}, {"round", l_round},   {NULL, NULL},
};

/* floats[i]: a number (NaN where missing), nil outside; floats.bytes, … */
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
        {"floats", l_floats}, {"full", l_full}, {"parse_floats", l_parse_floats},
        {"errors", l_errors}, {NULL, NULL},
    };
    bind_class(L, "app.floats", methods, NULL);
    luaL_getmetatable(L, "app.floats");
    lua_pushliteral(L, "bytes base64 table slice range round"); /* for `maru types` */
    lua_setfield(L, -2, "__fields");
    lua_getfield(L, -1, "__index");
    lua_pushcclosure(L, l_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, l_length);
    lua_setfield(L, -2, "__len");
    floats_class(L);
    luaL_register(L, NULL, functions);
}
