/* crypto_lua.c -- app.crypto.  Wraps libsodium and base/rand.h. */
#include <lauxlib.h>
#include <sodium.h>

#include "base/rand.h"
#include "bind/bind.h"
#include "vm/args.h"
#include "vm/vm.h"

enum { RANDOM_BYTES = 1024 };

static int push_hex(lua_State *L, const unsigned char *bytes, size_t n)
{
    struct buf *hex = vm_scratch(vm_of(L));
    buf_reserve(hex, 2 * n + 1);
    sodium_bin2hex(hex->p, 2 * n + 1, bytes, n);
    lua_pushlstring(L, hex->p, 2 * n);
    return 1;
}

/* app.crypto.sha256(text) -> hex */
static int l_sha256(lua_State *L)
{
    struct str text = args_string(L, 1, "app.crypto.sha256(text)", "text");
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)text.p, text.n);
    return push_hex(L, hash, sizeof hash);
}

/* app.crypto.hmac_sha256(key, text) -> hex */
static int l_hmac_sha256(lua_State *L)
{
    static const char usage[] = "app.crypto.hmac_sha256(key, text)";
    struct str key = args_string(L, 1, usage, "key");
    struct str text = args_string(L, 2, usage, "text");
    unsigned char hash[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)key.p, key.n);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)text.p, text.n);
    crypto_auth_hmacsha256_final(&state, hash);
    return push_hex(L, hash, sizeof hash);
}

/* app.crypto.random(n) -> n bytes as hex */
static int l_random(lua_State *L)
{
    unsigned char bytes[RANDOM_BYTES];
    int64_t n = args_integer(L, 1, 1, RANDOM_BYTES, "app.crypto.random(n)", "n");
    rand_bytes(bytes, (size_t)n);
    return push_hex(L, bytes, (size_t)n);
}

/* app.crypto.uuid() -> version 7 */
static int l_uuid(lua_State *L)
{
    char text[37];
    rand_uuid7(text);
    lua_pushstring(L, text);
    return 1;
}

/* app.crypto.base64(text) -> with padding, RFC 4648 §4 */
static int l_base64(lua_State *L)
{
    struct str text = args_string(L, 1, "app.crypto.base64(text)", "text");
    struct buf *out = vm_scratch(vm_of(L));
    size_t room = sodium_base64_ENCODED_LEN(text.n, sodium_base64_VARIANT_ORIGINAL);
    buf_reserve(out, room);
    sodium_bin2base64(out->p, room, (const unsigned char *)text.p, text.n,
                      sodium_base64_VARIANT_ORIGINAL);
    lua_pushlstring(L, out->p, room - 1);
    return 1;
}

/* app.crypto.unbase64(text) -> bytes | nil, message, "invalid" */
static int l_unbase64(lua_State *L)
{
    struct str text = args_string(L, 1, "app.crypto.unbase64(text)", "text");
    struct buf *out = vm_scratch(vm_of(L));
    size_t n;
    buf_reserve(out, text.n + 1);
    if (sodium_base642bin((unsigned char *)out->p, text.n + 1, text.p, text.n, NULL, &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0) {
        lua_pushnil(L);
        lua_pushliteral(L, "not base64 with padding (RFC 4648)");
        lua_pushliteral(L, "invalid");
        return 3;
    }
    lua_pushlstring(L, out->p, n);
    return 1;
}

/* app.crypto.equal(a, b) -> boolean, in a time that does not tell where they differ */
static int l_equal(lua_State *L)
{
    static const char usage[] = "app.crypto.equal(a, b)";
    struct str a = args_string(L, 1, usage, "a");
    struct str b = args_string(L, 2, usage, "b");
    lua_pushboolean(L, a.n == b.n && sodium_memcmp(a.p, b.p, a.n) == 0);
    return 1;
}

static const luaL_Reg functions[] = {
    {"sha256", l_sha256}, {"hmac_sha256", l_hmac_sha256}, {"random", l_random}, {"uuid", l_uuid},
    {"base64", l_base64}, {"unbase64", l_unbase64},       {"equal", l_equal},   {NULL, NULL},
};

int bind_crypto(lua_State *L)
{
    if (sodium_init() < 0)
        luaL_error(L, "libsodium does not start");
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
