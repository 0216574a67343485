/* kernels_rolling_lua.h -- app.kernels.rolling, exponential, cumulative_mean and holt_winters. */
#pragma once

#include <lua.h>

/* Puts them into the table on top of the stack. */
void kernels_rolling_register(lua_State *L);
