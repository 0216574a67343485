/* json.h -- Lua values as JSON text, and back.
 *
 * A table is an array when its keys are 1..n or when app.json.array marked it;
 * an empty unmarked table is an object.  null is the light userdata NULL.  Floats
 * (floats.h) are an array of numbers.
 * Metamethods are not called, so nothing of the plugin's runs meanwhile.
 *
 * None of these raises: reading stops with ERR_MEMORY at the VM's limit, and
 * writing takes no memory of the VM's.
 */
#pragma once

#include <lua.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

/* Of one text; a table counts 32 beside its own: two tables in two in two … are many. */
enum { LUA_JSON_BYTES = 32 << 20 };

/* Appends the value at index.  False with *err naming the path, "lives[3].title:
 * not valid UTF-8", for functions, cycles, NaN, mixed or sparse tables, and for a
 * text over LUA_JSON_BYTES or the VM's memory limit; *out is then as it was. */
bool lua_json_encode(lua_State *L, int index, struct buf *out, struct err *err);

/* The same for people: what JSON cannot hold becomes text, so it fails only for depth. */
bool lua_json_encode_lenient(lua_State *L, int index, struct buf *out, struct err *err);

/* Pushes the value, or pushes nothing and returns false with *err. */
bool lua_json_decode(lua_State *L, struct str text, int max_depth, struct err *err);

/* The same, but an array at `path` is floats when it has numbers only, 1 to FLOATS_MOST of them,
 * that float32 can hold.  path: names of members with '.' between; the items of arrays on the way
 * are looked into: "items.data" is of each item. */
bool lua_json_decode_floats(lua_State *L, struct str text, int max_depth, struct str path,
                            struct err *err);

/* Marks the table on top of the stack as an array. */
void lua_json_mark_array(lua_State *L);
void lua_json_push_null(lua_State *L);
