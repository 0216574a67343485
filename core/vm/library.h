/* library.h -- the host library's Lua files, as a VM runs them. */
#pragma once

#include <lua.h>
#include <stdbool.h>

/* Pushes what the file "maru.boot" … returns, running it once in the state's host
 * environment.  Raises when there is no such file. */
void library_push(lua_State *L, const char *name);
/* Pushes the file, compiled, for any state.  Raises likewise. */
void library_load(lua_State *L, const char *name);
/* Whether "maru/app.lua" or "maru/app.lua:7: …" is a place in the host library. */
bool library_is_source(const char *source);
