/* mend.h -- where LuaJIT does not survive that there is no memory.
 *
 * The interpreter and C functions do.  Compiled code does not on Debian 12: its
 * L->base is stale (mended upstream in June 2023), and it crashes about once in a
 * thousand times; the compiler leaves a wrong top of the stack behind; and no
 * version survives a failure while compiled code collects garbage.  So the
 * allocator asks what is going on.  Those get more than their share, compiled
 * code is made to leave at its next step of the collector, and then the
 * interpreter is told.
 *
 * Where this stands in LuaJIT's structures is found out by trying, once a
 * process; where that does not succeed nothing is known, and all is as it was.
 */
#pragma once

#include <lua.h>
#include <stdbool.h>

bool mend_find(void); /* any thread, before the others; whether anything is known */
/* From the allocator of L's states: whether the one who asks can be told that there is none. */
bool mend_can_fail(lua_State *L);
/* From there as well, when there is none for one who cannot: compiled code leaves soon. */
void mend_hurry(lua_State *L);
/* From there as well, when it has to be told all the same. */
void mend_frame(lua_State *L);
