/* kernels_lua.c -- app.kernels; moving_average here, the rest in files beside.  Wraps kernels/. */
#include <lauxlib.h>

#include "bind/bind.h"
#include "bind/floats_lua.h"
#include "bind/forecaster_lua.h"
#include "bind/kernels_rolling_lua.h"
#include "bind/numbers_lua.h"
#include "kernels/moving_average.h"
#include "vm/args.h"

/* app.kernels.moving_average(values, window, [min_periods]) -> as values | nil, message, code */
static int l_moving_average(lua_State *L)
{
    static const char usage[] = "app.kernels.moving_average(values, window, [min_periods])";
    struct numbers v;
    size_t window = (size_t)args_integer(L, 2, 1, NUMBERS_MOST, usage, "window");
    size_t min_periods = window;
    if (!lua_isnoneornil(L, 3))
        min_periods = (size_t)args_integer(L, 3, 1, (int64_t)window, usage, "min_periods");
    lua_settop(L, 3);
    if (!numbers_take(L, 1, usage, &v))
        return 3;
    if (v.single)
        moving_average_f32(v.from, v.n, window, min_periods, v.to);
    else
        moving_average_f64(v.from, v.n, window, min_periods, v.to);
    numbers_push(L, &v);
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
    kernels_rolling_register(L);
    return 1;
}
