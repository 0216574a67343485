/* sort.h -- table.sort whose work is bounded.
 *
 * The library's sort takes the square of the length for lists that are made for it, and
 * compares long texts as often as it likes; both in C, where nothing can stop it.  With
 * a function to compare by, the function's own code can be stopped, and the library's
 * sort is used.
 */
#pragma once

#include <lua.h>

enum { SORT_TEXT_BYTES = 2000 * 1000 * 1000 }; /* compared in one call; about 0.2 s */

/* Replaces `sort` in the table on top of the stack.  May raise. */
void sort_open(lua_State *L);
