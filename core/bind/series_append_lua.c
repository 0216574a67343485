/* series_append_lua.c -- app.series:append: rows of Lua tables as columns. */
#include <lauxlib.h>
#include <math.h>

#include "bind/series_ask.h"
#include "vm/args.h"
#include "vm/task.h"
#include "vm/vm.h"

#define APPEND "app.series:append(name, rows)"

enum { COLUMN_BYTES = 64 };

/* The declared columns: keys first, then values. */
struct columns {
    int keys, count;
    char names[SERIES_COLUMNS][COLUMN_BYTES];
};

static bool find_columns(struct series_store *series, const char *plugin, struct str name,
                         struct columns *c, struct err *err)
{
    char *text;
    struct series_frame *f = series_rows(series, plugin, name, 0, 0, &text, err);
    if (!f)
        return false;
    c->keys = f->key_count;
    c->count = f->key_count + f->value_count;
    for (int i = 0; i < c->count; i++)
        snprintf(c->names[i], COLUMN_BYTES, "%s", series_column_name(f, i));
    series_frame_free(f);
    return true;
}

/* A reload may declare the series anew between two looks at it. */
static bool same_columns(const struct columns *c, const struct series_frame *f, struct err *err)
{
    bool same = c->keys == f->key_count && c->count == f->key_count + f->value_count;
    for (int i = 0; same && i < c->count; i++)
        same = strcmp(c->names[i], series_column_name(f, i)) == 0;
    return same || err_set(err, ERR_CONFLICT, "the series was declared anew meanwhile");
}

static bool is_null(lua_State *L, int index)
{
    return lua_isnil(L, index) ||
           (lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL);
}

_Noreturn static void bad_field(lua_State *L, int row, const char *name, const char *expected)
{
    char where[COLUMN_BYTES + 32];
    snprintf(where, sizeof where, "row %d: %s", row, name);
    args_fail(L, APPEND, where, expected, -1);
}

/* The row on top of the stack; how many bytes its keys take.  names: stack
 * index of the columns' names. */
static size_t check_row(lua_State *L, int row, const struct columns *c, int names)
{
    size_t bytes = 0;
    int fields = 1, seen = 0;
    int at = lua_gettop(L);
    opt_push(L, at, "at");
    if (lua_type(L, -1) != LUA_TNUMBER || !(fabs(lua_tonumber(L, -1)) <= SERIES_TIME_MOST))
        bad_field(L, row, "at", "a number of seconds since 1970");
    lua_pop(L, 1);
    for (int i = 0; i < c->count; i++) {
        lua_pushvalue(L, names + i);
        lua_rawget(L, at);
        fields += !lua_isnil(L, -1);
        if (i < c->keys && lua_type(L, -1) != LUA_TSTRING)
            bad_field(L, row, c->names[i], "text");
        if (i < c->keys)
            bytes += lua_objlen(L, -1);
        else if (!is_null(L, -1) &&
                 (lua_type(L, -1) != LUA_TNUMBER || !isfinite(lua_tonumber(L, -1))))
            bad_field(L, row, c->names[i], "a finite number or nil");
        lua_pop(L, 1);
    }
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1))
        seen++;
    if (seen != fields)
        luaL_error(L, APPEND ": row %d has a field that series does not declare", row);
    return bytes;
}

static size_t check_rows(lua_State *L, int count, const struct columns *c, int names)
{
    size_t bytes = 0;
    for (int row = 1; row <= count; row++) {
        lua_rawgeti(L, 2, row);
        if (!lua_istable(L, -1))
            args_fail(L, APPEND, "rows", "an array of tables", -1);
        bytes += check_row(L, row, c, names);
        lua_pop(L, 1);
    }
    return bytes;
}

/* Takes no memory of Lua's, so that nothing raises: names and "at" are on the stack. */
static void fill_rows(lua_State *L, struct series_frame *f, char *text, int names)
{
    int columns = f->key_count + f->value_count;
    for (int64_t row = 0; row < f->n; row++) {
        lua_rawgeti(L, 2, (int)row + 1);
        lua_pushvalue(L, names + columns);
        lua_rawget(L, -2);
        f->at_us[row] = llround(lua_tonumber(L, -1) * 1e6);
        lua_pop(L, 1);
        for (int i = 0; i < columns; i++) {
            lua_pushvalue(L, names + i);
            lua_rawget(L, -2);
            if (i < f->key_count)
                f->keys[i][row] = series_copy_text(L, -1, &text);
            else
                f->values[i - f->key_count][row] =
                    is_null(L, -1) ? (double)NAN : lua_tonumber(L, -1);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
}

/*** Appends one batch, all or nothing.  (waits)
 * @param name string
 * @param rows table[]  { at = seconds, <key> = text, <value> = number|nil }
 * @return integer|nil rows, string? message, string? code */
int series_lua_append(lua_State *L)
{
    struct str name = args_string(L, 1, APPEND, "name");
    args_table(L, 2, APPEND, "rows");
    lua_settop(L, 2);
    struct series_store *series = series_check_part(L, APPEND);
    struct task *task = task_check(L, "app.series:append");
    const char *plugin = vm_plugin(vm_of(L));
    struct columns columns;
    struct err err;
    if (!find_columns(series, plugin, name, &columns, &err))
        return push_error(L, &err);
    int count = (int)lua_objlen(L, 2);
    if (count > SERIES_APPEND_ROWS)
        luaL_error(L, APPEND ": at most %d rows", SERIES_APPEND_ROWS);
    luaL_checkstack(L, columns.count + 8, "too many columns");
    for (int i = 0; i < columns.count; i++)
        lua_pushstring(L, columns.names[i]);
    lua_pushliteral(L, "at");
    size_t bytes = check_rows(L, count, &columns, 3);
    size_t frame = bytes + (size_t)count * (size_t)(columns.count + 1) * sizeof(struct str);
    struct series_ask *a = series_ask_make(L, SERIES_APPEND, name, 0, frame, &err);
    if (!a)
        return push_error(L, &err);
    char *text;
    struct series_frame *rows = series_rows(series, plugin, name, count, bytes, &text, &err);
    if (!rows || !same_columns(&columns, rows, &err)) {
        series_frame_free(rows);
        series_ask_drop(L, a);
        return push_error(L, &err);
    }
    fill_rows(L, rows, text, 3);
    a->call.rows = rows;
    return series_ask_run(task, a, series);
}
