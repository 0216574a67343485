#include "bind/table_lua.h"

#include <lauxlib.h>
#include <math.h>

#include "base/clock.h"
#include "series/series.h"
#include "storage/store.h"
#include "vm/json.h"

static const struct {
    char letter;
    const char *name;
} names[] = {{SERIES_TEXT, "text"},
             {SERIES_INTEGER, "integer"},
             {SERIES_NUMBER, "number"},
             {SERIES_BOOLEAN, "boolean"},
             {SERIES_TIME, "time"}};
enum { NAMES = sizeof names / sizeof *names };

static const char *type_name(char letter)
{
    for (int i = 0; i < NAMES; i++)
        if (names[i].letter == letter)
            return names[i].name;
    return names[0].name;
}

char table_type(const char *name)
{
    for (int i = 0; i < NAMES; i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].letter;
    return SERIES_TEXT;
}

/* Numbers of both kinds are numbers; anything beside something else is text. */
static char column_type(const struct rows *rows, int column)
{
    char type = 0;
    for (int64_t row = 0; row < rows->row_count; row++) {
        char each = 0;
        switch (rows->values[row * rows->column_count + column].type) {
        case VALUE_NULL:
            continue;
        case VALUE_BOOL:
            each = SERIES_BOOLEAN;
            break;
        case VALUE_INT:
            each = type == SERIES_NUMBER ? SERIES_NUMBER : SERIES_INTEGER;
            break;
        case VALUE_DOUBLE:
            each = SERIES_NUMBER;
            type = type == SERIES_INTEGER ? SERIES_NUMBER : type;
            break;
        case VALUE_TEXT:
        case VALUE_BLOB:
            return SERIES_TEXT;
        }
        if (type && type != each)
            return SERIES_TEXT;
        type = each;
    }
    return type ? type : SERIES_TEXT;
}

static void push_cell(lua_State *L, const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOL:
        lua_pushboolean(L, v->b);
        return;
    case VALUE_INT:
        lua_pushnumber(L, (double)v->i);
        return;
    case VALUE_DOUBLE:
        if (isfinite(v->d))
            lua_pushnumber(L, v->d);
        else
            lua_json_push_null(L);
        return;
    case VALUE_TEXT:
    case VALUE_BLOB:
        lua_pushlstring(L, v->s.p, v->s.n);
        return;
    case VALUE_NULL:
        break;
    }
    lua_json_push_null(L);
}

static void push_array(lua_State *L, int64_t n)
{
    lua_createtable(L, (int)n, 0);
    lua_json_mark_array(L);
}

int table_push(lua_State *L, const struct rows *rows, const char *types, int64_t limit, bool more,
               int64_t began_ns)
{
    int64_t n = rows->row_count < limit ? rows->row_count : limit;
    lua_createtable(L, 0, 6);
    push_array(L, rows->column_count);
    for (int c = 0; c < rows->column_count; c++) {
        lua_pushstring(L, rows->columns[c]);
        lua_rawseti(L, -2, c + 1);
    }
    lua_setfield(L, -2, "columns");
    push_array(L, rows->column_count);
    for (int c = 0; c < rows->column_count; c++) {
        lua_pushstring(L, type_name(types ? types[c] : column_type(rows, c)));
        lua_rawseti(L, -2, c + 1);
    }
    lua_setfield(L, -2, "types");
    push_array(L, n);
    for (int64_t row = 0; row < n; row++) {
        push_array(L, rows->column_count);
        for (int c = 0; c < rows->column_count; c++) {
            push_cell(L, &rows->values[row * rows->column_count + c]);
            lua_rawseti(L, -2, c + 1);
        }
        lua_rawseti(L, -2, (int)row + 1);
    }
    lua_setfield(L, -2, "rows");
    lua_pushnumber(L, (double)n);
    lua_setfield(L, -2, "n");
    lua_pushboolean(L, more || rows->row_count > limit);
    lua_setfield(L, -2, "more");
    lua_pushnumber(L, (double)(clock_steady_ns() - began_ns) / (double)NS_PER_SECOND);
    lua_setfield(L, -2, "seconds");
    return 1;
}
