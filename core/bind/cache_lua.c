/* cache_lua.c -- app.cache.  Wraps storage/cache.h.
 *
 * A key is "plugin:key".  Strings, numbers and booleans are kept as they are,
 * tables as JSON. */
#include <lauxlib.h>

#include "bind/bind.h"
#include "storage/cache.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/json.h"
#include "vm/vm.h"

enum { KEYS_DEFAULT = 1000, KEYS_MOST = 100000, PLUGIN_BYTES = 80 };

/* Tags of values, see storage/cache.h. */
enum { TAG_NUMBER = 'n', TAG_STRING = 's', TAG_BOOLEAN = 'b', TAG_JSON = 'j' };

struct name {
    struct str full; /* "plugin:key" */
    size_t prefix;   /* bytes of "plugin:" */
    char bytes[CACHE_KEY_BYTES + PLUGIN_BYTES];
};

static struct cache *check_cache(lua_State *L, const char *who)
{
    struct cache *cache = vm_host(vm_of(L))->cache;
    bind_part(L, cache, who, "a cache");
    return cache;
}

static void name_make(lua_State *L, struct str key, const char *usage, struct name *name)
{
    int n = snprintf(name->bytes, PLUGIN_BYTES, "%s:", vm_plugin(vm_of(L)));
    name->prefix = (size_t)n;
    if (key.n + name->prefix > CACHE_KEY_BYTES)
        luaL_error(L, "%s: a key has at most %d bytes", usage,
                   (int)(CACHE_KEY_BYTES - name->prefix));
    memcpy(name->bytes + n, key.p, key.n);
    name->full = (struct str){name->bytes, name->prefix + key.n};
}

static void check_name(lua_State *L, const char *usage, const char *argument, struct name *name)
{
    name_make(L, args_string(L, 1, usage, argument), usage, name);
}

/*** @param key string
 * @return any|nil value */
static int l_get(lua_State *L)
{
    static const char usage[] = "app.cache:get(key)";
    struct name name;
    struct cache_value v;
    struct err err;
    check_name(L, usage, "key", &name);
    if (!cache_get(check_cache(L, usage), name.full, &v, vm_scratch(vm_of(L))))
        lua_pushnil(L);
    else if (v.tag == TAG_NUMBER)
        lua_pushnumber(L, v.number);
    else if (v.tag == TAG_BOOLEAN)
        lua_pushboolean(L, v.number != 0);
    else if (v.tag == TAG_STRING)
        lua_pushlstring(L, v.bytes.p, v.bytes.n);
    else if (!lua_json_decode(L, v.bytes, JSON_DEPTH_MAX, &err))
        return luaL_error(L, "%s: %s", usage, err.message);
    return 1;
}

/* The value at index 2; what is not kept as it is is encoded into scratch. */
static struct cache_value check_value(lua_State *L, const char *usage)
{
    struct cache_value v = {.tag = TAG_STRING};
    struct buf *scratch = vm_scratch(vm_of(L));
    struct err err;
    switch (lua_type(L, 2)) {
    case LUA_TNUMBER:
        v.tag = TAG_NUMBER;
        v.number = lua_tonumber(L, 2);
        return v;
    case LUA_TBOOLEAN:
        v.tag = TAG_BOOLEAN;
        v.number = lua_toboolean(L, 2);
        return v;
    case LUA_TSTRING:
        v.bytes.p = lua_tolstring(L, 2, &v.bytes.n);
        return v;
    case LUA_TTABLE:
    case LUA_TLIGHTUSERDATA:
        if (!lua_json_encode(L, 2, scratch, &err))
            luaL_error(L, "%s: value: %s", usage, err.message);
        v.tag = TAG_JSON;
        v.bytes = buf_str(scratch);
        return v;
    default:
        args_fail(L, usage, "value", "a boolean, a number, a string or a table", 2);
    }
}

/*** @param value any  anything JSON can hold
 * @param ttl number|string|nil
 * @return true|nil, string? message, string? code */
static int l_set(lua_State *L)
{
    static const char usage[] = "app.cache:set(key, value, [ttl])";
    struct name name;
    struct err err;
    check_name(L, usage, "key", &name);
    int64_t ttl = args_opt_duration(L, 3, 0, usage, "ttl");
    struct cache *cache = check_cache(L, usage);
    struct cache_value v = check_value(L, usage);
    if (!cache_set(cache, name.full, &v, ttl, &err))
        return push_error(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

/*** Stores only when the key is absent.
 * @return boolean|nil stored, string? message, string? code */
static int l_add(lua_State *L)
{
    static const char usage[] = "app.cache:add(key, value, [ttl])";
    struct name name;
    struct err err;
    bool stored;
    check_name(L, usage, "key", &name);
    int64_t ttl = args_opt_duration(L, 3, 0, usage, "ttl");
    struct cache *cache = check_cache(L, usage);
    struct cache_value v = check_value(L, usage);
    if (!cache_add(cache, name.full, &v, ttl, &stored, &err))
        return push_error(L, &err);
    lua_pushboolean(L, stored);
    return 1;
}

/*** @return boolean existed */
static int l_delete(lua_State *L)
{
    static const char usage[] = "app.cache:delete(key)";
    struct name name;
    check_name(L, usage, "key", &name);
    lua_pushboolean(L, cache_delete(check_cache(L, usage), name.full));
    return 1;
}

/*** @param by number|nil  default 1
 * @param ttl number|string|nil  counts from the first incr
 * @return number|nil, string? message, string? code */
static int l_incr(lua_State *L)
{
    static const char usage[] = "app.cache:incr(key, [by], [ttl])";
    struct name name;
    struct err err;
    double result;
    check_name(L, usage, "key", &name);
    double by = lua_isnoneornil(L, 2) ? 1 : args_number(L, 2, -1e15, 1e15, usage, "by");
    int64_t ttl = args_opt_duration(L, 3, 0, usage, "ttl");
    if (!cache_incr(check_cache(L, usage), name.full, by, ttl, &result, &err))
        return push_error(L, &err);
    lua_pushnumber(L, result);
    return 1;
}

struct found {
    struct buf *bytes; /* size_t length and key, one after another */
    size_t prefix;
};

static void add_key(void *arg, struct str key)
{
    struct found *found = arg;
    size_t n = key.n - found->prefix;
    buf_add(found->bytes, &n, sizeof n);
    buf_add(found->bytes, key.p + found->prefix, n);
}

/*** @param prefix string|nil
 * @param limit integer|nil  default 1000
 * @return string[] keys, in no order */
static int l_keys(lua_State *L)
{
    static const char usage[] = "app.cache:keys([prefix], [limit])";
    struct name name;
    name_make(L, args_opt_string(L, 1, STR(""), usage, "prefix"), usage, &name);
    int64_t limit =
        lua_isnoneornil(L, 2) ? KEYS_DEFAULT : args_integer(L, 2, 1, KEYS_MOST, usage, "limit");
    struct found found = {vm_scratch(vm_of(L)), name.prefix};
    int count = cache_keys(check_cache(L, usage), name.full, (int)limit, add_key, &found);
    const char *p = found.bytes->p;
    lua_createtable(L, count, 0);
    for (int i = 1; i <= count; i++) {
        size_t n;
        memcpy(&n, p, sizeof n);
        lua_pushlstring(L, p + sizeof n, n);
        lua_rawseti(L, -2, i);
        p += sizeof n + n;
    }
    return 1;
}

/*** A lock owned by this generation, released when it dies.
 * @param ttl number|string|nil
 * @return string|nil token  nil: somebody else holds it */
static int l_lock(lua_State *L)
{
    static const char usage[] = "app.cache:lock(name, [ttl])";
    struct name name;
    char token[CACHE_TOKEN_BYTES];
    check_name(L, usage, "name", &name);
    int64_t ttl = args_opt_duration(L, 2, 0, usage, "ttl");
    if (!cache_lock(check_cache(L, usage), name.full, ttl, vm_owner(vm_of(L)), token))
        lua_pushnil(L);
    else
        lua_pushstring(L, token);
    return 1;
}

/*** @param token string  what lock returned
 * @return boolean released */
static int l_unlock(lua_State *L)
{
    static const char usage[] = "app.cache:unlock(name, token)";
    struct name name;
    check_name(L, usage, "name", &name);
    struct str token = args_string(L, 2, usage, "token");
    lua_pushboolean(L, cache_unlock(check_cache(L, usage), name.full, token));
    return 1;
}

static const luaL_Reg functions[] = {
    {"get", l_get},       {"set", l_set},       {"add", l_add},
    {"delete", l_delete}, {"incr", l_incr},     {"keys", l_keys},
    {"lock", l_lock},     {"unlock", l_unlock}, {NULL, NULL},
};

int bind_cache(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
