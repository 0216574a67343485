/* test_tape_lua.c -- raw.test: cassettes.  Wraps http/tape.h; maru/test/cassette.lua reads and
 * writes files. */
#include <lauxlib.h>

#include "bind/bind.h"
#include "bind/test.h"
#include "http/tape.h"
#include "vm/args.h"
#include "vm/vm.h"

static struct str field(lua_State *L, const char *key, const char *usage)
{
    return opt_string(L, 1, key, STR(""), usage);
}

/* tape_add(exchange) */
static int l_add(lua_State *L)
{
    static const char usage[] = "test.tape_add(exchange)";
    args_table(L, 1, usage, "exchange");
    struct tape_exchange x = {
        .method = field(L, "method", usage),
        .url = field(L, "url", usage),
        .request_headers = field(L, "request_headers", usage),
        .request_body = field(L, "request_body", usage),
        .status = (int)opt_number(L, 1, "status", 0, usage),
        .error = field(L, "error", usage),
        .headers = field(L, "headers", usage),
        .body = field(L, "body", usage),
    };
    tape_add(&x);
    return 0;
}

static void set(lua_State *L, const char *key, struct str value)
{
    lua_pushlstring(L, value.p ? value.p : "", value.n);
    lua_setfield(L, -2, key);
}

static void push_exchange(lua_State *L, const struct tape_exchange *x)
{
    lua_createtable(L, 0, 8);
    set(L, "method", x->method);
    set(L, "url", x->url);
    set(L, "request_headers", x->request_headers);
    set(L, "request_body", x->request_body);
    set(L, "error", x->error);
    set(L, "headers", x->headers);
    set(L, "body", x->body);
    lua_pushinteger(L, x->status);
    lua_setfield(L, -2, "status");
}

/* tape_all() -> exchanges */
static int l_all(lua_State *L)
{
    struct tape_exchange x;
    lua_newtable(L);
    for (int i = 0; tape_at(i, &x); i++) {
        push_exchange(L, &x);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* tape_clear() */
static int l_clear(lua_State *L)
{
    (void)L;
    tape_clear();
    return 0;
}

/* tape_hide(text, name) */
static int l_hide(lua_State *L)
{
    static const char usage[] = "test.tape_hide(text, name)";
    tape_hide(args_string(L, 1, usage, "text"), args_string(L, 2, usage, "name").p);
    return 0;
}

/* tape_misses() -> lines of the requests that no cassette answered, "" */
static int l_misses(lua_State *L)
{
    struct buf *out = vm_scratch(vm_of(L));
    tape_take_misses(out);
    lua_pushlstring(L, out->n ? out->p : "", out->n);
    return 1;
}

void test_add_tape(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"tape_add", l_add},   {"tape_all", l_all},       {"tape_clear", l_clear},
        {"tape_hide", l_hide}, {"tape_misses", l_misses}, {NULL, NULL},
    };
    luaL_register(L, NULL, functions);
}
