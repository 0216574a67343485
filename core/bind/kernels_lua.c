/* kernels_lua.c -- app.kernels.  Wraps kernels/. */
#include <lauxlib.h>
#include <math.h>

#include "bind/bind.h"
#include "bind/floats_lua.h"
#include "bind/forecaster_lua.h"
#include "kernels/moving_average.h"
#include "vm/args.h"
#include "vm/json.h"
#include "vm/vm.h"

enum { KERNEL_VALUES = 10000000 };

/* Copies the array at `index` into numbers: json.null and nil inside are NaN. */
static void read_numbers(lua_State *L, int index, size_t n, double *to, const char *usage)
{
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (int)(i + 1));
        if (lua_type(L, -1) == LUA_TNUMBER)
            to[i] = lua_tonumber(L, -1);
        else if (lua_islightuserdata(L, -1) || lua_isnil(L, -1))
            to[i] = NAN;
        else
            args_error(L, "%s: values[%d] must be a number or app.json.null, got %s", usage,
                       (int)(i + 1), luaL_typename(L, -1));
        lua_pop(L, 1);
    }
}

/* app.kernels.moving_average(values, window, [min_periods]) -> array; json.null where missing */
static int l_moving_average(lua_State *L)
{
    static const char usage[] = "app.kernels.moving_average(values, window, [min_periods])";
    args_table(L, 1, usage, "values");
    size_t window = (size_t)args_integer(L, 2, 1, KERNEL_VALUES, usage, "window");
    size_t min_periods = window;
    if (!lua_isnoneornil(L, 3))
        min_periods = (size_t)args_integer(L, 3, 1, (int64_t)window, usage, "min_periods");
    size_t n = lua_objlen(L, 1);
    if (n > KERNEL_VALUES)
        return args_error(L, "%s: more than %d values", usage, KERNEL_VALUES);
    double *x = lua_newuserdata(L, 2 * (n + 1) * sizeof *x), *out = x + n + 1;
    read_numbers(L, 1, n, x, usage);
    moving_average_f64(x, n, window, min_periods, out);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        if (isfinite(out[i]))
            lua_pushnumber(L, out[i]);
        else
            lua_json_push_null(L);
        lua_rawseti(L, -2, (int)(i + 1));
    }
    if (n == 0)
        lua_json_mark_array(L);
    return 1;
}

static const luaL_Reg functions[] = {
    {"moving_average", l_moving_average},
    {NULL, NULL},
};

int bind_kernels(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    floats_register(L);
    forecaster_register(L);
    return 1;
}
