/* floats.h -- many float32 as one value of Lua's: the userdata of app.kernels.floats.
 *
 * It lies in the VM's memory and nobody writes to it once a plugin has it, so a pool thread may
 * read it while a task that waits keeps it on its stack.
 */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct floats {
    size_t n;
    float values[]; /* finite, or NaN for what is missing */
};

/* Once for each VM: pops the metatable of its floats. */
void floats_class(lua_State *L);

/* NULL when the value at index is something else. */
const struct floats *floats_at(lua_State *L, int index);

/* Pushes one with room for n values that the caller fills (n may be lowered afterwards).  NULL with
 * nil, message, "limit" pushed when the VM's memory has no room for it. */
struct floats *floats_push(lua_State *L, size_t n);

/* Whether the VM has room for so many bytes more, after a collection if need be; false with *err
 * (ERR_LIMIT).  A VM that runs into its limit inside of Lua is lost, so large things ask before. */
bool floats_has_room(lua_State *L, size_t bytes, struct err *err);
