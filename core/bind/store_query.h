/* store_query.h -- a call of the store, copied out of Lua and answered into it.
 *
 * It lives until the store gives it back, also when its task is cancelled
 * meanwhile: then nobody is woken.
 */
#pragma once

#include <lua.h>

#include "storage/store.h"

struct task;

/* One block: the query, its values, its text. */
struct query {
    struct store_call call; /* first */
    struct task *task;      /* NULL when nobody waits */
    size_t charged;         /* to its VM, while the task waits */
    int64_t limit;          /* > 0: answered as bind/table_lua.h says */
    int64_t began_ns;
};

/* sql at index and its values behind it, or for STORE_MANY an array of rows.
 * Raises with the usage line; otherwise the caller sets task and runs it. */
struct query *query_check(lua_State *L, int index, enum store_mode mode, const char *usage);
void query_forget(void *arg); /* the cancel function of its task's wait */
