/* jobs_unique_lua.c -- options.unique of a push: a key, or { key, scope, period, replace }. */
#include <lauxlib.h>

#include "bind/jobs_lua.h"
#include "vm/args.h"

#define PUSH "app.jobs:push(name, [args], [options])"

void jobs_read_unique(lua_State *L, int options, struct job_spec *spec)
{
    static const char *const known[] = {"key", "scope", "period", "replace", NULL};
    opt_push(L, options, "unique");
    int at = lua_gettop(L);
    if (lua_type(L, at) == LUA_TTABLE) {
        opt_known(L, at, known, PUSH);
        spec->unique = opt_string(L, at, "key", STR(""), PUSH);
        struct str scope = opt_string(L, at, "scope", STR("unfinished"), PUSH);
        spec->unique_queued = str_eq_c(scope, "queued");
        if (!spec->unique_queued && !str_eq_c(scope, "unfinished"))
            args_error(L, PUSH ": options.unique.scope must be queued or unfinished");
        if (spec->unique.n == 0)
            args_error(L, PUSH ": options.unique.key must be text, not empty");
        spec->unique_period_ns = opt_duration(L, at, "period", 0, PUSH);
        spec->unique_replace = opt_boolean(L, at, "replace", false, PUSH);
    } else {
        spec->unique = opt_string(L, options, "unique", (struct str){0}, PUSH);
        if (spec->unique.p && spec->unique.n == 0)
            args_error(L, PUSH ": options.unique must be text, not empty");
    }
    lua_settop(L, at - 1);
}
