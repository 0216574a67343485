#include "bind/bind.h"

#include "vm/args.h"

/* Bindings under construction are left out until their file is there. */
static const struct {
    const char *noun;
    lua_CFunction open;
} bindings[] = {
#if __has_include("bind/cache_lua.c")
    {"cache", bind_cache},
#endif
#if __has_include("bind/channels_lua.c")
    {"channels", bind_channels},
#endif
#if __has_include("bind/client_lua.c")
    {"client", bind_client},
#endif
#if __has_include("bind/crypto_lua.c")
    {"crypto", bind_crypto},
#endif
    {"files", bind_files},
#if __has_include("bind/http_lua.c")
    {"http", bind_http},
#endif
#if __has_include("bind/jobs_lua.c")
    {"jobs", bind_jobs},
#endif
#if __has_include("bind/json_lua.c")
    {"json", bind_json},
#endif
#if __has_include("bind/kernels_lua.c")
    {"kernels", bind_kernels},
#endif
#if __has_include("bind/log_lua.c")
    {"log", bind_log},
#endif
#if __has_include("bind/metrics_lua.c")
    {"metrics", bind_metrics},
#endif
#if __has_include("bind/series_lua.c")
    {"series", bind_series},
#endif
#if __has_include("bind/store_lua.c")
    {"store", bind_store},
#endif
#if __has_include("bind/text_lua.c")
    {"text", bind_text},
#endif
#if __has_include("bind/time_lua.c")
    {"time", bind_time},
#endif
    {NULL, NULL},
};

int bind_all(lua_State *L)
{
    lua_newtable(L);
    for (int i = 0; bindings[i].noun; i++) {
        bindings[i].open(L);
        lua_setfield(L, -2, bindings[i].noun);
    }
    return 1;
}

void bind_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_register(L, NULL, methods);
    lua_setfield(L, -2, "__index");
    if (gc) {
        lua_pushcfunction(L, gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void bind_part(lua_State *L, const void *part, const char *who, const char *name)
{
    if (!part)
        args_error(L, "%s: this host runs without %s", who, name);
}
