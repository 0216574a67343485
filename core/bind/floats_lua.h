/* floats_lua.h -- app.kernels.floats, app.kernels.parse_floats and what their values can. */
#pragma once

#include <lua.h>

/* The class, and both functions into the table on top of the stack. */
void floats_register(lua_State *L);
