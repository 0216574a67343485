#include "bind/numbers_lua.h"

#include <lauxlib.h>
#include <math.h>

#include "vm/args.h"
#include "vm/floats.h"
#include "vm/json.h"
#include "vm/vm.h"

/* Copies the array at `index` into numbers. */
static void read_array(lua_State *L, int index, size_t n, double *to, const char *usage)
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

static bool take_floats(lua_State *L, const struct floats *f, struct numbers *numbers)
{
    struct floats *result = floats_push(L, f->n);
    if (!result)
        return false;
    *numbers = (struct numbers){f->n, true, f->values, result->values, lua_gettop(L)};
    return true;
}

bool numbers_take(lua_State *L, int index, const char *usage, struct numbers *numbers)
{
    const struct floats *f = floats_at(L, index);
    if (f)
        return take_floats(L, f, numbers);
    args_table(L, index, usage, "values");
    size_t n = lua_objlen(L, index);
    if (n > NUMBERS_MOST)
        args_error(L, "%s: more than %d values", usage, NUMBERS_MOST);
    struct err err = {0};
    if (!floats_has_room(L, 3 * n * sizeof(double), &err)) {
        push_error(L, &err);
        return false;
    }
    double *x = lua_newuserdata(L, 2 * (n + 1) * sizeof *x);
    read_array(L, index, n, x, usage);
    *numbers = (struct numbers){n, false, x, x + n + 1, lua_gettop(L)};
    return true;
}

void numbers_push_array(lua_State *L, const double *values, size_t n)
{
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        if (isfinite(values[i]))
            lua_pushnumber(L, values[i]);
        else
            lua_json_push_null(L);
        lua_rawseti(L, -2, (int)(i + 1));
    }
    if (n == 0)
        lua_json_mark_array(L);
}

void numbers_push(lua_State *L, const struct numbers *numbers)
{
    if (!numbers->single) {
        numbers_push_array(L, numbers->to, numbers->n);
        return;
    }
    float *values = numbers->to;
    for (size_t i = 0; i < numbers->n; i++)
        values[i] = isinf(values[i]) ? NAN : values[i];
    lua_pushvalue(L, numbers->owner);
}
