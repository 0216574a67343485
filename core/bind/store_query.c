#include "bind/store_query.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "bind/table_lua.h"
#include "observe/trace.h"
#include "vm/args.h"
#include "vm/task.h"
#include "vm/vm.h"

enum { WHOLE_BITS = 53 };

/* How many bytes the value at index needs beside its struct value. */
static size_t check_value(lua_State *L, int index, int number, const char *usage)
{
    char name[24];
    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
        return 0;
    case LUA_TNUMBER:
        if (!isnan(lua_tonumber(L, index)))
            return 0;
        break;
    case LUA_TSTRING:
        return lua_objlen(L, index);
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index)) /* json.null */
            return 0;
        break;
    default:
        break;
    }
    snprintf(name, sizeof name, "$%d", number);
    args_fail(L, usage, name, "nil, a boolean, a number or a string", index);
}

static struct value number_value(double d)
{
    double most = ldexp(1, WHOLE_BITS);
    if (d == floor(d) && d >= -most && d <= most)
        return (struct value){.type = VALUE_INT, .i = (int64_t)d};
    return (struct value){.type = VALUE_DOUBLE, .d = d};
}

/* Text where it is text; other bytes become a blob. */
static struct value string_value(lua_State *L, int index, char **bytes)
{
    struct value v = {.type = VALUE_TEXT, .s.p = *bytes};
    const char *p = lua_tolstring(L, index, &v.s.n);
    memcpy(*bytes, p, v.s.n);
    *bytes += v.s.n;
    if (!utf8_valid(v.s) || memchr(p, 0, v.s.n))
        v.type = VALUE_BLOB;
    return v;
}

static struct value take_value(lua_State *L, int index, char **bytes)
{
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        return (struct value){.type = VALUE_BOOL, .b = lua_toboolean(L, index)};
    case LUA_TNUMBER:
        return number_value(lua_tonumber(L, index));
    case LUA_TSTRING:
        return string_value(L, index, bytes);
    default:
        return (struct value){.type = VALUE_NULL};
    }
}

/* Beyond what a double counts one by one it is text, exact to its last digit. */
static void push_whole(lua_State *L, int64_t n)
{
    char text[24];
    if (n <= INT64_C(1) << WHOLE_BITS && n >= -(INT64_C(1) << WHOLE_BITS)) {
        lua_pushnumber(L, (double)n);
    } else {
        snprintf(text, sizeof text, "%lld", (long long)n);
        lua_pushstring(L, text);
    }
}

static void push_value(lua_State *L, const struct value *v)
{
    switch (v->type) {
    case VALUE_NULL:
        lua_pushnil(L);
        break;
    case VALUE_BOOL:
        lua_pushboolean(L, v->b);
        break;
    case VALUE_INT:
        push_whole(L, v->i);
        break;
    case VALUE_DOUBLE:
        lua_pushnumber(L, v->d);
        break;
    case VALUE_TEXT:
    case VALUE_BLOB:
        lua_pushlstring(L, v->s.p, v->s.n);
        break;
    }
}

/* names: stack index of the first of the column names. */
static void push_row(lua_State *L, const struct rows *rows, int64_t row, int names)
{
    lua_createtable(L, 0, rows->column_count);
    for (int i = 0; i < rows->column_count; i++) {
        const struct value *v = &rows->values[row * rows->column_count + i];
        if (v->type == VALUE_NULL)
            continue;
        lua_pushvalue(L, names + i);
        push_value(L, v);
        lua_rawset(L, -3);
    }
}

static int push_names(lua_State *L, const struct rows *rows)
{
    int first = lua_gettop(L) + 1;
    luaL_checkstack(L, rows->column_count + 4, "too many columns");
    for (int i = 0; i < rows->column_count; i++)
        lua_pushstring(L, rows->columns[i]);
    return first;
}

static int push_rows(lua_State *L, const struct rows *rows)
{
    int names = push_names(L, rows);
    lua_createtable(L, (int)rows->row_count, 0);
    for (int64_t row = 0; row < rows->row_count; row++) {
        push_row(L, rows, row, names);
        lua_rawseti(L, -2, (int)row + 1);
    }
    return 1;
}

static int push_result(lua_State *L, void *arg)
{
    struct store_call *call = arg;
    const struct query *q = arg;
    if (q->limit > 0)
        return table_push(L, call->rows, NULL, q->limit, false, q->began_ns);
    switch (call->mode) {
    case STORE_ALL:
        return push_rows(L, call->rows);
    case STORE_ONE:
        if (call->rows->row_count == 0)
            lua_pushboolean(L, false);
        else
            push_row(L, call->rows, 0, push_names(L, call->rows));
        return 1;
    case STORE_EXEC:
    case STORE_MANY:
        lua_pushnumber(L, (double)call->changed);
        return 1;
    }
    return 0;
}

static void on_done(struct store_call *call)
{
    struct query *q = (struct query *)call;
    struct task *task = q->task;
    if (task)
        vm_uncharge(task_vm(task), q->charged);
    task_answer(task, &call->err, push_result, call);
    rows_free(call->rows);
    mem_free(q);
}

void query_forget(void *arg)
{
    struct query *q = arg;
    vm_uncharge(task_vm(q->task), q->charged);
    q->task = NULL;
}

static struct query *query_make(lua_State *L, int64_t values, struct str sql, size_t bytes,
                                char **rest)
{
    const char *plugin = vm_plugin(vm_of(L));
    size_t at = sizeof(struct query) + (size_t)values * sizeof(struct value);
    size_t plugin_n = strlen(plugin) + 1, whole = at + plugin_n + sql.n + bytes;
    struct err err;
    if (!vm_charge(vm_of(L), whole, &err))
        args_error(L, "app.store: the statement and its values: %s", err.message);
    struct query *q = mem_alloc(whole);
    char *p = (char *)q + at;
    *q = (struct query){.call = {.params = (struct value *)(void *)(q + 1), .done = on_done},
                        .charged = whole};
    q->call.plugin = memcpy(p, plugin, plugin_n);
    q->call.sql = (struct str){memcpy(p + plugin_n, sql.p, sql.n), sql.n};
    *rest = p + plugin_n + sql.n;
    return q;
}

/* sql at index, its values behind it. */
static struct query *query_values(lua_State *L, int index, const char *usage)
{
    struct str sql = args_string(L, index, usage, "sql");
    int count = lua_gettop(L) - index;
    size_t bytes = 0;
    if (count > STORE_PARAMS)
        luaL_error(L, "%s: at most %d values", usage, STORE_PARAMS);
    for (int i = 1; i <= count; i++)
        bytes += check_value(L, index + i, i, usage);
    char *rest;
    struct query *q = query_make(L, count, sql, bytes, &rest);
    struct value *values = (struct value *)(void *)(q + 1);
    for (int i = 0; i < count; i++)
        values[i] = take_value(L, index + 1 + i, &rest);
    q->call.param_count = count;
    return q;
}

struct shape {
    int64_t rows;
    int width; /* of the longest row */
    size_t bytes;
};

/* rows at index: an array of arrays, missing values are NULL. */
static struct shape check_rows(lua_State *L, int index, const char *usage)
{
    args_table(L, index, usage, "rows");
    struct shape shape = {.rows = (int64_t)lua_objlen(L, index)};
    if (shape.rows > STORE_MANY_ROWS)
        luaL_error(L, "%s: at most %d rows", usage, STORE_MANY_ROWS);
    for (int row = 1; row <= shape.rows; row++) {
        lua_rawgeti(L, index, row);
        if (!lua_istable(L, -1))
            args_fail(L, usage, "rows", "an array of arrays", -1);
        int width = (int)lua_objlen(L, -1);
        if (width > STORE_PARAMS)
            luaL_error(L, "%s: at most %d values in a row", usage, STORE_PARAMS);
        shape.width = width > shape.width ? width : shape.width;
        for (int i = 1; i <= width; i++) {
            lua_rawgeti(L, -1, i);
            shape.bytes += check_value(L, lua_gettop(L), i, usage);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    return shape;
}

static struct query *query_rows(lua_State *L, int index, const char *usage)
{
    struct str sql = args_string(L, index, usage, "sql");
    struct shape shape = check_rows(L, index + 1, usage);
    char *rest;
    struct query *q = query_make(L, shape.rows * shape.width, sql, shape.bytes, &rest);
    struct value *value = (struct value *)(void *)(q + 1);
    for (int row = 1; row <= shape.rows; row++) {
        lua_rawgeti(L, index + 1, row);
        for (int i = 1; i <= shape.width; i++) {
            lua_rawgeti(L, -1, i);
            *value++ = take_value(L, lua_gettop(L), &rest);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    q->call.param_count = shape.width;
    q->call.param_rows = shape.rows;
    return q;
}

struct query *query_check(lua_State *L, int index, enum store_mode mode, const char *usage)
{
    struct query *q =
        mode == STORE_MANY ? query_rows(L, index, usage) : query_values(L, index, usage);
    q->call.mode = mode;
    span_text(task_wait_span(task_current(L)), "db.query.text", q->call.sql);
    return q;
}
