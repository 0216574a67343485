/* forecaster_lua.h -- app.kernels.forecaster; its file for forecasts of many series is
 * forecaster_forecast_lua.c. */
#pragma once

#include <lua.h>

struct forecaster;

/* The classes, and app.kernels.forecaster into the table on top of the stack. */
void forecaster_register(lua_State *L);

/* Raises for anything else. */
struct forecaster *forecaster_at(lua_State *L, int index, const char *usage);
int forecaster_l_forecast(lua_State *L); /* forecaster:forecast(list, [options]) */
