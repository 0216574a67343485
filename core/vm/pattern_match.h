/* pattern_match.h -- one Lua pattern against one subject; used by pattern.c.
 *
 * Raises what the pattern does wrong, and "pattern takes too many steps".
 */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "vm/pattern.h"

/* Length of a capture that has none yet, or never will. */
enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

struct capture {
    const char *at;
    ptrdiff_t n;
};

struct matcher {
    lua_State *L;
    const char *who;
    const char *begin, *end; /* the subject; a NUL stands at the end */
    int64_t limit, left;     /* steps */
    int depth;
    int count; /* of captures */
    struct capture captures[PATTERN_CAPTURES];
};

/* Captures are set by matcher_try. */
void matcher_init(struct matcher *m, lua_State *L, const char *who, struct str subject);
/* The end of what the pattern (NUL-terminated, without its ^) matches at s, or NULL. */
const char *matcher_try(struct matcher *m, const char *s, const char *pattern);
/* Whether the text has no character that means more than itself. */
bool pattern_is_plain(struct str text);
