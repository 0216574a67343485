#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>

#include "vm/embedded.h"
#include "vm/internal.h"
#include "vm/library.h"

static const struct embedded_file *find(const char *name)
{
    for (size_t i = 0; i < embedded_lua_count; i++)
        if (strcmp(embedded_lua[i].name, name) == 0)
            return &embedded_lua[i];
    return NULL;
}

struct str embedded_text_find(const char *path)
{
    const struct embedded_file *file = embedded_text;
    while (file->name && strcmp(file->name, path) != 0)
        file++;
    invariant(file->name);
    return str_n((const char *)file->bytes, file->n);
}

void library_load(lua_State *L, const char *name)
{
    const struct embedded_file *file = find(name);
    if (!file)
        luaL_error(L, "the host library has no file %s", name);
    char chunk[80];
    snprintf(chunk, sizeof chunk, "@%s.lua", name);
    for (char *c = chunk; c < chunk + 1 + strlen(name); c++)
        if (*c == '.')
            *c = '/';
    if (luaL_loadbuffer(L, (const char *)file->bytes, file->n, chunk) != 0)
        lua_error(L);
}

/* Runs the file in the host environment; its value is on top afterwards. */
static void run_file(lua_State *L, const char *name)
{
    library_load(L, name);
    lua_getfield(L, LUA_REGISTRYINDEX, VM_HOST_ENV);
    lua_setfenv(L, -2);
    lua_call(L, 0, 1);
}

void library_push(lua_State *L, const char *name)
{
    luaL_findtable(L, LUA_REGISTRYINDEX, "maru.library", 32);
    lua_getfield(L, -1, name);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        run_file(L, name);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, name);
    }
    lua_remove(L, -2);
}

bool library_is_source(const char *source)
{
    char name[80];
    size_t n = strcspn(source, ".");
    if (strncmp(source, "maru/", 5) != 0 || n >= sizeof name || strncmp(source + n, ".lua", 4) != 0)
        return false;
    for (size_t i = 0; i < n; i++)
        name[i] = source[i] == '/' ? '.' : source[i];
    name[n] = '\0';
    return (source[n + 4] == '\0' || source[n + 4] == ':') && find(name);
}
