#include <lauxlib.h>

#include "base/mem.h"
#include "bind/http_socket.h"
#include "vm/args.h"
#include "vm/json.h"

static const char usage[] = "socket.state";

struct socket_keep *socket_keep(struct socket *socket)
{
    struct socket_keep *keep = socket_get_data(socket);
    if (keep)
        return keep;
    keep = mem_zero(1, sizeof *keep);
    keep->table = LUA_NOREF;
    socket_set_data(socket, keep);
    return keep;
}

void socket_keep_free(struct socket *socket)
{
    struct socket_keep *keep = socket_get_data(socket);
    if (!keep)
        return;
    mem_free(keep->state);
    mem_free(keep->version);
    mem_free(keep);
    socket_set_data(socket, NULL);
}

void socket_keep_version(struct socket_keep *keep, const char *version)
{
    mem_free(keep->version);
    keep->version = mem_strdup(version);
}

void socket_keep_begin(struct socket_keep *keep, struct vm *vm)
{
    keep->vm = vm;
}

bool socket_keep_set(struct socket_keep *keep, lua_State *L, int index, struct err *err)
{
    struct buf text = {0};
    bool nothing = lua_isnil(L, index);
    if (!nothing && !lua_json_encode(L, index, &text, err)) {
        buf_free(&text);
        return false;
    }
    if (text.n > SOCKET_STATE_BYTES) {
        err_set(err, ERR_LIMIT, "is %zu bytes of JSON, over %d", text.n, SOCKET_STATE_BYTES);
        buf_free(&text);
        return false;
    }
    mem_free(keep->state);
    keep->state = nothing ? NULL : mem_dup(text.p, text.n);
    keep->n = text.n;
    buf_free(&text);
    return true;
}

bool socket_keep_push(const struct socket_keep *keep, lua_State *L, struct err *err)
{
    if (keep->state)
        return lua_json_decode(L, str_n(keep->state, keep->n), JSON_DEPTH_MAX, err);
    lua_pushnil(L);
    return true;
}

static void drop_table(struct socket_keep *keep, lua_State *L)
{
    luaL_unref(L, LUA_REGISTRYINDEX, keep->table);
    keep->table = LUA_NOREF;
}

bool socket_keep_end(struct socket_keep *keep, lua_State *L, bool saved, struct err *err)
{
    bool ok = true;
    if (saved && keep->table != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, keep->table);
        ok = socket_keep_set(keep, L, lua_gettop(L), err);
        lua_pop(L, 1);
    }
    drop_table(keep, L);
    keep->vm = NULL;
    return ok;
}

/* The table at the top is the state as long as the event lasts. */
static void remember(struct socket_keep *keep, lua_State *L)
{
    if (keep->vm != vm_of(L) || !lua_istable(L, -1))
        return;
    lua_pushvalue(L, -1);
    keep->table = luaL_ref(L, LUA_REGISTRYINDEX);
}

static int push_state(lua_State *L, struct socket *socket)
{
    struct socket_keep *keep = socket ? socket_keep(socket) : NULL;
    struct err err;
    if (!keep)
        return 0;
    if (keep->vm == vm_of(L) && keep->table != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, keep->table);
        return 1;
    }
    if (!socket_keep_push(keep, L, &err))
        return luaL_error(L, "%s: %s", usage, err.message);
    remember(keep, L);
    return 1;
}

static socket_of_fn *finder(lua_State *L)
{
    return *(socket_of_fn **)lua_touserdata(L, lua_upvalueindex(1));
}

static int l_index(lua_State *L)
{
    struct socket *socket = finder(L)(L);
    size_t n;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &n) : "";
    if (strcmp(key, "state") == 0)
        return push_state(L, socket);
    lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(2));
    return 1;
}

static int l_newindex(lua_State *L)
{
    struct socket *socket = finder(L)(L);
    struct err err;
    size_t n;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &n) : "";
    if (strcmp(key, "state") != 0)
        return luaL_error(L, "socket: only state may be set, not '%s'", key);
    if (!socket)
        return 0;
    struct socket_keep *keep = socket_keep(socket);
    if (!socket_keep_set(keep, L, 3, &err))
        return luaL_error(L, "%s: %s", usage, err.message);
    if (keep->vm == vm_of(L)) {
        drop_table(keep, L);
        remember(keep, L);
    }
    return 0;
}

void socket_state_class(lua_State *L, const char *type, const char *fields, socket_of_fn *find)
{
    luaL_getmetatable(L, type);
    *(socket_of_fn **)lua_newuserdata(L, sizeof find) = find;
    lua_pushvalue(L, -1);
    lua_getfield(L, -3, "__index"); /* class find find methods */
    lua_pushcclosure(L, l_index, 2);
    lua_setfield(L, -3, "__index");
    lua_pushcclosure(L, l_newindex, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushstring(L, fields);
    lua_setfield(L, -2, "__fields"); /* for maru check: __index is a function */
    lua_pop(L, 1);
}
