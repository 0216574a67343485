/* args.h -- arguments of bound functions, checked strictly, and results.
 *
 * Every check comes before anything is acquired.  A wrong argument raises with
 * the usage line: "app.sleep(seconds): seconds must be a number from 0 to 1e9,
 * got string".  A numeric string is not a number.
 */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* `usage` is the call's usage line, `name` the argument's word in it. */
double args_number(lua_State *L, int index, double least, double most, const char *usage,
                   const char *name);
int64_t args_integer(lua_State *L, int index, int64_t least, int64_t most, const char *usage,
                     const char *name);
struct str args_string(lua_State *L, int index, const char *usage, const char *name);
struct str args_opt_string(lua_State *L, int index, struct str otherwise, const char *usage,
                           const char *name);
void args_table(lua_State *L, int index, const char *usage, const char *name);
bool args_opt_table(lua_State *L, int index, const char *usage, const char *name);
/* A number of seconds or text such as "5m" -> nanoseconds; absent -> otherwise. */
int64_t args_opt_duration(lua_State *L, int index, int64_t otherwise, const char *usage,
                          const char *name);
/* Pushes options[key] of the table at `index` (nil: there is none) without its metamethods: code of
 * a plugin that ran between a check and a use could change what was checked, and free its strings.
 */
void opt_push(lua_State *L, int index, const char *key);
/* Reads options[key] likewise from the table at `index` (absent table = defaults);
 * leaves the stack as it was.  Strings stay valid while the table holds them. */
struct str opt_string(lua_State *L, int index, const char *key, struct str otherwise,
                      const char *usage);
double opt_number(lua_State *L, int index, const char *key, double otherwise, const char *usage);
int64_t opt_duration(lua_State *L, int index, const char *key, int64_t otherwise,
                     const char *usage);
bool opt_boolean(lua_State *L, int index, const char *key, bool otherwise, const char *usage);
/* Raises naming the first key of the table that is not in the NULL-terminated list. */
void opt_known(lua_State *L, int index, const char *const *keys, const char *usage);
_Noreturn void args_fail(lua_State *L, const char *usage, const char *name, const char *expected,
                         int index);

/* Raises a message with that place in front, like luaL_error with its lua_pushfstring
 * formats; `return args_error(…)`. */
int args_error(lua_State *L, const char *format, ...);
/* Pushes "plugins/x/plugin.lua:12: ", the place in the plugin's own code that
 * led here (host library frames are passed over), or "". */
void args_where(lua_State *L);

/* nil, message, code; returns 3. */
int push_error(lua_State *L, const struct err *err);
