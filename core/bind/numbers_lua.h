/* numbers_lua.h -- what kernels take and give in Lua: an array (json.null, nil and NaN inside are
 * missing), computed in float64, or a floats, computed in float32.  The result is of the same kind.
 */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { NUMBERS_MOST = 10000000 };

struct numbers {
    size_t n;
    bool single;      /* float32 */
    const void *from; /* float or double, n of them */
    void *to;         /* the same, for the result */
    int owner;        /* private: where on the stack it lies */
};

/* Takes the value at index; raises with the usage line when it is neither.  Leaves one value on the
 * stack.  False with nil, message, "limit" pushed when the VM has no room for the result. */
bool numbers_take(lua_State *L, int index, const char *usage, struct numbers *numbers);
/* Pushes the result: what is not finite is missing. */
void numbers_push(lua_State *L, const struct numbers *numbers);
/* Pushes an array of n numbers likewise. */
void numbers_push_array(lua_State *L, const double *values, size_t n);
