/* pattern.h -- string.find, match, gmatch and gsub with a bound on their work.
 *
 * Semantics and errors are those of Lua 5.1 with %f, as the library's own.  The
 * library's matcher backtracks for as long as the pattern asks for (a subject of
 * 250 bytes keeps it busy for half a minute) in C, where nothing can stop it, and
 * its plain find takes the product of both lengths.  Here every comparison is a
 * step, and a call that takes too many raises.
 */
#pragma once

#include <lua.h>

enum {
    PATTERN_STEPS = 10 * 1000 * 1000, /* of one call (gmatch: one turn); about 20 ms */
    PATTERN_BYTE_STEPS = 16,          /* more for each byte of the subject */
    PATTERN_DEPTH = 200,              /* of the matcher's recursion: "pattern too complex" */
    PATTERN_CAPTURES = 32,
};

/* Puts the four functions into the table on top of the stack, while the global `string` is
 * still the library's own (find, match and gsub in C, the rest in lua/maru/find.lua).
 * May raise. */
void pattern_open(lua_State *L);
