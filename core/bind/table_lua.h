/* table_lua.h -- rows with their columns in order, as app.series:query and app.store:query answer.
 */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

struct rows;

/* Pushes { columns, types, rows = arrays, n, more, seconds }.  types: a letter a column (enum
 * series_type), or NULL for what the values are.  At most limit rows; more says that there were
 * more.  A number that JSON cannot hold is null. */
int table_push(lua_State *L, const struct rows *rows, const char *types, int64_t limit, bool more,
               int64_t began_ns);
/* The letter for "integer" …; 't' for what is none of them. */
char table_type(const char *name);
