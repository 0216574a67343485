/* embedded.h -- files carried inside the program: the host library in Lua, and texts.
 *
 * The build writes both arrays.  The library comes from core/lua/maru: bytecode
 * with debug names like "maru/app.lua", or source text; luaL_loadbuffer takes
 * either (give it the chunk name "@maru/app.lua").  Texts are what `maru types`
 * and `maru new` write: maru.d.lua and core/cli/scaffold.
 */
#pragma once

#include <stddef.h>

#include "base/str.h"

struct embedded_file {
    const char *name; /* as in require: "maru.app"; of a text its path in the repository */
    const unsigned char *bytes;
    size_t n;
};

extern const struct embedded_file embedded_lua[]; /* sorted by name, ends with a NULL name */
extern const size_t embedded_lua_count;
extern const struct embedded_file embedded_text[]; /* the same */

/* A text by its path in the repository; a path nobody embedded is a broken invariant. */
struct str embedded_text_find(const char *path);
