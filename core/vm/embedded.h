/* embedded.h -- the host library in Lua, carried inside the program.
 *
 * The build writes the array from core/lua/maru: bytecode with debug names
 * like "maru/app.lua", or source text; luaL_loadbuffer takes either (give it
 * the chunk name "@maru/app.lua").
 */
#pragma once

#include <stddef.h>

struct embedded_file {
    const char *name; /* as in require: "maru.app" */
    const unsigned char *bytes;
    size_t n;
};

extern const struct embedded_file embedded_lua[]; /* sorted by name, ends with a NULL name */
extern const size_t embedded_lua_count;
