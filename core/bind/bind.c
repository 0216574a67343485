#include "bind/bind.h"

#include "vm/args.h"

static const struct {
    const char *noun;
    lua_CFunction open;
} bindings[] = {
    {"cache", bind_cache},
    {"channels", bind_channels},
    {"client", bind_client},
    {"crypto", bind_crypto},
    {"events", bind_events},
    {"files", bind_files},
    {"http", bind_http},
    {"jobs", bind_jobs},
    {"json", bind_json},
    {"kernels", bind_kernels},
    {"log", bind_log},
    {"mail", bind_mail},
    {"metrics", bind_metrics},
    {"model", bind_model},
    {"objects", bind_objects},
    {"program", bind_program},
    {"search", bind_search},
    {"series", bind_series},
    {"store", bind_store},
    {"text", bind_text},
    {"time", bind_time},
    {"trace", bind_trace},
    {"workflows", bind_workflows},
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
