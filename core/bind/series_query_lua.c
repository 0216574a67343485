/* series_query_lua.c -- app.series:query and app.series:parquet.  Wraps series/series.h. */
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/series_ask.h"
#include "bind/table_lua.h"
#include "series/series.h"
#include "storage/rows.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/json.h"
#include "vm/task.h"
#include "vm/vm.h"

#define QUERY   "app.series:query(sql, [options])"
#define PARQUET "app.series:parquet(table)"

/* One value as SQL knows it; false for what is none.  Text stays Lua's. */
static bool to_value(lua_State *L, int index, struct value *v)
{
    double number = lua_tonumber(L, index);
    *v = (struct value){.type = VALUE_NULL};
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return true;
    case LUA_TLIGHTUSERDATA:
        return !lua_touserdata(L, index);
    case LUA_TBOOLEAN:
        *v = (struct value){.type = VALUE_BOOL, .b = lua_toboolean(L, index)};
        return true;
    case LUA_TNUMBER:
        *v = number == floor(number) && fabs(number) < ldexp(1, 53)
                 ? (struct value){.type = VALUE_INT, .i = (int64_t)number}
                 : (struct value){.type = VALUE_DOUBLE, .d = number};
        return true;
    case LUA_TSTRING:
        v->type = VALUE_TEXT;
        v->s.p = lua_tolstring(L, index, &v->s.n);
        return utf8_valid(v->s) && !memchr(v->s.p, 0, v->s.n);
    default:
        return false;
    }
}

/* options.params: how many, and how many bytes of text; the array stays on the stack. */
static int check_params(lua_State *L, size_t *bytes)
{
    struct value v;
    *bytes = 0;
    lua_pushnil(L);
    if (!lua_istable(L, 2))
        return 0;
    lua_pop(L, 1);
    opt_push(L, 2, "params");
    if (lua_isnil(L, -1))
        return 0;
    if (!lua_istable(L, -1) || lua_objlen(L, -1) > SERIES_QUERY_PARAMS)
        args_fail(L, QUERY, "params", "an array of at most 32 values", -1);
    int count = (int)lua_objlen(L, -1);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 3, i);
        if (!to_value(L, -1, &v))
            args_fail(L, QUERY, "params", "null, booleans, numbers and texts", -1);
        *bytes += v.type == VALUE_TEXT ? v.s.n : 0;
        lua_pop(L, 1);
    }
    return count;
}

/* Values and their text in one block of the call's. */
static struct value *copy_params(lua_State *L, int count, size_t bytes)
{
    struct value *values = mem_alloc((size_t)count * sizeof *values + bytes + 1);
    char *text = (char *)(values + count);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 3, i + 1);
        to_value(L, -1, &values[i]);
        if (values[i].type == VALUE_TEXT) {
            values[i].s.p = memcpy(text, values[i].s.p, values[i].s.n);
            text += values[i].s.n;
        }
        lua_pop(L, 1);
    }
    return values;
}

/*** One SELECT over this plugin's series, each a table of its name.  (waits)
 * @param sql string
 * @param options? { params?: any[], limit?: integer, timeout?: string|number }
 * @return maru.Table|nil, string? message, string? code */
int series_lua_query(lua_State *L)
{
    static const char *const known[] = {"params", "limit", "timeout", NULL};
    struct str sql = args_string(L, 1, QUERY, "sql");
    struct err err;
    size_t bytes;
    lua_settop(L, 2);
    if (args_opt_table(L, 2, QUERY, "options"))
        opt_known(L, 2, known, QUERY);
    double limit = opt_number(L, 2, "limit", SERIES_QUERY_ROWS, QUERY);
    int64_t timeout_ms = opt_duration(L, 2, "timeout", 0, QUERY) / NS_PER_MS;
    if (!(limit >= 1 && limit <= SERIES_QUERY_ROWS_MAX && limit == floor(limit)))
        luaL_error(L, QUERY ": limit must be a whole number from 1 to %d", SERIES_QUERY_ROWS_MAX);
    if (timeout_ms > SERIES_QUERY_MS_MAX)
        luaL_error(L, QUERY ": timeout must be at most 60s");
    int count = check_params(L, &bytes);
    struct series_store *series = series_check_part(L, QUERY);
    struct task *task = task_check(L, "app.series:query");
    struct series_ask *a = series_ask_make(L, SERIES_QUERY, STR(""), sql.n, bytes, &err);
    if (!a)
        return push_error(L, &err);
    a->call.sql = str_n(memcpy(a->text, sql.p, sql.n), sql.n);
    a->call.limit = (int64_t)limit;
    a->call.timeout_ms = timeout_ms;
    a->call.param_count = count;
    a->call.params = a->params = copy_params(L, count, bytes);
    return series_ask_run(task, a, series);
}

/* The array named key of the table at 1, on top of the stack. */
static int check_array(lua_State *L, const char *key, int most)
{
    opt_push(L, 1, key);
    if (!lua_istable(L, -1) || (int)lua_objlen(L, -1) > most)
        args_fail(L, PARQUET, key, "an array, as app.series:query gives it", -1);
    return (int)lua_objlen(L, -1);
}

/* Columns at 2, types at 3, rows at 4. */
static size_t check_table(lua_State *L, int columns, int rows)
{
    struct value v;
    size_t bytes = (size_t)rows * (size_t)columns * sizeof v;
    for (int i = 1; i <= rows; i++) {
        lua_rawgeti(L, 4, i);
        if (!lua_istable(L, -1))
            args_fail(L, PARQUET, "rows", "an array of arrays", -1);
        for (int c = 1; c <= columns; c++) {
            lua_rawgeti(L, -1, c);
            if (!to_value(L, -1, &v))
                args_fail(L, PARQUET, "rows", "arrays of null, booleans, numbers and texts", -1);
            bytes += v.type == VALUE_TEXT ? v.s.n : 0;
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    return bytes;
}

static void take_table(lua_State *L, struct series_call *call, int columns, int rows)
{
    struct rows_builder b = {.max_rows = INT64_MAX, .max_bytes = INT64_MAX};
    struct value v;
    struct err err;
    for (int c = 1; c <= columns; c++) {
        lua_rawgeti(L, 2, c);
        lua_rawgeti(L, 3, c);
        rows_column(&b, lua_isstring(L, -2) ? lua_tostring(L, -2) : "");
        call->types[c - 1] = table_type(lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
        lua_pop(L, 2);
    }
    for (int i = 1; i <= rows; i++) {
        lua_rawgeti(L, 4, i);
        for (int c = 1; c <= columns; c++) {
            lua_rawgeti(L, -1, c);
            to_value(L, -1, &v);
            rows_value(&b, v);
            lua_pop(L, 1);
        }
        rows_end_row(&b, &err);
        lua_pop(L, 1);
    }
    call->table = rows_finish(&b);
}

/*** The bytes of a Parquet file with what a query answered.  (waits)
 * @param table maru.Table
 * @return string|nil bytes, string? message, string? code */
int series_lua_parquet(lua_State *L)
{
    struct err err;
    args_table(L, 1, PARQUET, "table");
    lua_settop(L, 1);
    int columns = check_array(L, "columns", SERIES_QUERY_COLUMNS);
    if (check_array(L, "types", SERIES_QUERY_COLUMNS) != columns || columns == 0)
        luaL_error(L, PARQUET ": columns and types must be as many, and at least one");
    int rows = check_array(L, "rows", SERIES_QUERY_ROWS_MAX);
    size_t bytes = check_table(L, columns, rows);
    struct series_store *series = series_check_part(L, PARQUET);
    struct task *task = task_check(L, "app.series:parquet");
    struct series_ask *a = series_ask_make(L, SERIES_PARQUET, STR(""), 0, bytes, &err);
    if (!a)
        return push_error(L, &err);
    take_table(L, &a->call, columns, rows);
    return series_ask_run(task, a, series);
}
