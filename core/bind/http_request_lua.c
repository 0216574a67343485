/* http_request_lua.c -- the request as a handler sees it: maru.Request.  Wraps http/request.h.
 *
 * Fields are made when they are first read and kept in the userdata's
 * environment, so a handler that reads nothing costs nothing. */
#include <stdio.h>
#include <string.h>

#include "bind/http_internal.h"
#include "http/validate.h"
#include "vm/json.h"

#define REQUEST_TYPE "maru.request"

/* Raised as app.fail(status, code, message) would be: see failure_open of vm/failure.c. */
static int raise_failure(lua_State *L, int status, const char *code, const char *message)
{
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, status);
    lua_setfield(L, -2, "status");
    lua_pushstring(L, code);
    lua_setfield(L, -2, "code");
    lua_pushstring(L, message);
    lua_setfield(L, -2, "message");
    luaL_getmetatable(L, "maru.failure");
    lua_setmetatable(L, -2);
    return lua_error(L);
}

static int raise_bad_request(lua_State *L, const char *code, const char *message)
{
    return raise_failure(L, 400, code, message);
}

static struct request_handle *check_handle(lua_State *L, int index)
{
    struct request_handle *handle = luaL_checkudata(L, index, REQUEST_TYPE);
    if (!handle->of || !handle->of->request)
        luaL_error(L, "the request is over: its fields cannot be read any more");
    return handle;
}

/* Keeps the value on top under `name` and leaves it there. */
static void keep(lua_State *L, struct request_handle *handle, const char *name)
{
    if (!handle->caches) {
        lua_createtable(L, 0, 4);
        lua_setfenv(L, 1);
        handle->caches = true;
    }
    lua_getfenv(L, 1);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

static void push_str(lua_State *L, struct str s)
{
    lua_pushlstring(L, s.p ? s.p : "", s.n);
}

/* t[name] = value on top; the second value of a name makes an array of both. */
static void add_value(lua_State *L, int table)
{
    lua_pushvalue(L, -2);
    lua_rawget(L, table);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_rawset(L, table);
    } else if (lua_istable(L, -1)) {
        lua_insert(L, -2);
        lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
        lua_pop(L, 2);
    } else {
        lua_createtable(L, 2, 0);
        lua_insert(L, -2);
        lua_rawseti(L, -2, 1);
        lua_insert(L, -2);
        lua_rawseti(L, -2, 2);
        lua_rawset(L, table);
    }
}

static void push_query(lua_State *L, const struct http_request *r)
{
    struct str query = request_query(r), name, value;
    struct buf *scratch = vm_scratch(vm_of(L)); /* has an owner: a push may raise */
    lua_newtable(L);
    int table = lua_gettop(L);
    size_t at = 0;
    bool bad = false;
    while (query_next(query, &at, scratch, &name, &value, &bad)) {
        push_str(L, name);
        push_str(L, value);
        add_value(L, table);
    }
    if (bad)
        raise_bad_request(L, "bad_query", "the query string is not percent-encoded UTF-8");
}

static void push_params(lua_State *L, const struct http_request *r)
{
    struct str name, value;
    lua_createtable(L, 0, request_param_count(r));
    for (int i = 0; request_param_at(r, i, &name, &value); i++) {
        push_str(L, name);
        push_str(L, value);
        lua_rawset(L, -3);
    }
}

static void push_headers(lua_State *L, const struct http_request *r)
{
    struct str name, value;
    lua_newtable(L);
    lua_pushliteral(L, "host");
    push_str(L, request_host(r));
    lua_rawset(L, -3);
    for (int i = 0; request_header_at(r, i, &name, &value); i++) {
        push_str(L, name);
        lua_pushvalue(L, -1);
        lua_rawget(L, -3);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            push_str(L, value);
        } else {
            lua_pushstring(L, str_eq_c(name, "cookie") ? "; " : ", ");
            push_str(L, value);
            lua_concat(L, 3);
        }
        lua_rawset(L, -3);
    }
}

/* The value of a field that is not kept yet; false when there is no such field. */
static bool push_field(lua_State *L, const struct http_request *r, struct str key)
{
    static const struct {
        const char *name;
        struct str (*get)(const struct http_request *r);
    } texts[] = {{"method", request_method},     {"path", request_path},
                 {"raw_body", request_body},     {"id", request_id},
                 {"client", request_client},     {"query_string", request_query},
                 {"trace_id", request_trace_id}, {"user", request_subject}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (str_eq_c(key, texts[i].name)) {
            push_str(L, texts[i].get(r));
            return true;
        }
    if (str_eq_c(key, "params"))
        push_params(L, r);
    else if (str_eq_c(key, "query"))
        push_query(L, r);
    else if (str_eq_c(key, "headers"))
        push_headers(L, r);
    else
        return false;
    return true;
}

static void push_json(lua_State *L, struct str body)
{
    struct err err = {0};
    if (body.n == 0)
        raise_bad_request(L, "json", "the body is empty; JSON was expected");
    if (!lua_json_decode(L, body, JSON_DEPTH_DEFAULT, &err)) {
        char message[ERR_MESSAGE_BYTES + 32];
        snprintf(message, sizeof message, "the body is not JSON: %s", err.message);
        raise_bad_request(L, "json", message);
    }
}

static int l_json(lua_State *L)
{
    struct request_handle *handle = check_handle(L, 1);
    if (handle->caches) {
        lua_getfenv(L, 1);
        lua_getfield(L, -1, "json");
        if (!lua_isnil(L, -1))
            return 1;
    }
    push_json(L, request_body(handle->of->request));
    keep(L, handle, "json");
    return 1;
}

/* raw.http.body(req, optional): the body of a route that declares one.  What does not say
 * that it is JSON is refused: a page of another origin can send text without asking first. */
int l_http_body(lua_State *L)
{
    struct request_handle *handle = check_handle(L, 1);
    struct http_request *r = handle->of->request;
    struct str body = request_body(r), type = request_header(r, STR("content-type"));
    struct str coding = request_header(r, STR("content-encoding"));
    if (body.n == 0 && lua_toboolean(L, 2)) {
        lua_pushnil(L);
        return 1;
    }
    if (body.n > 0 && !content_is_json(type)) {
        respond_header(r, STR("accept"), STR("application/json"));
        return raise_failure(L, 415, "not_json",
                             "the body must be JSON and say so: content-type: application/json");
    }
    if (coding.n > 0 && !str_eq_c(coding, "identity")) {
        respond_header(r, STR("accept-encoding"), STR("identity"));
        return raise_failure(L, 415, "encoded", "the body must come without a content-encoding");
    }
    push_json(L, body);
    return 1;
}

static int l_index(lua_State *L)
{
    struct request_handle *handle = check_handle(L, 1);
    size_t n;
    const char *p = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &n) : NULL;
    if (!p)
        return luaL_error(L, "a request's field is named by text, got %s", luaL_typename(L, 2));
    if (strcmp(p, "json") == 0) {
        lua_pushcfunction(L, l_json);
        return 1;
    }
    if (handle->caches) {
        lua_getfenv(L, 1);
        lua_pushvalue(L, 2);
        lua_rawget(L, -2);
        if (!lua_isnil(L, -1))
            return 1;
    }
    if (strcmp(p, "body") == 0) {
        lua_pushnil(L);
        return 1;
    }
    if (!push_field(L, handle->of->request, str_n(p, n)))
        return luaL_error(L, "a request has no field \"%s\"", p);
    keep(L, handle, p);
    return 1;
}

static int l_newindex(lua_State *L)
{
    return luaL_error(L, "a request is read only");
}

int l_http_set(lua_State *L)
{
    struct request_handle *handle = check_handle(L, 1);
    const char *field = luaL_checkstring(L, 2);
    lua_settop(L, 3);
    keep(L, handle, field);
    return 0;
}

/* Where the metatable also is: an address is found faster than a name. */
static const char class_key;

void http_request_class(lua_State *L)
{
    luaL_newmetatable(L, REQUEST_TYPE);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&class_key);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, l_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushliteral(L, REQUEST_TYPE);
    lua_setfield(L, -2, "__name");
    lua_pushliteral(L, "method path raw_body id client query_string trace_id user params query "
                       "headers body json");
    lua_setfield(L, -2, "__fields"); /* for maru check: __index is a function */
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void http_request_push(lua_State *L, struct lua_request *of)
{
    struct request_handle *handle = lua_newuserdata(L, sizeof *handle);
    handle->of = NULL;
    handle->caches = false;
    luaL_getmetatable(L, REQUEST_TYPE);
    lua_setmetatable(L, -2);
    /* The plugin may drop it long before its task ends. */
    lua_pushvalue(L, -1);
    of->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    handle->of = of;
    of->handle = handle;
}

void http_request_release(lua_State *L, struct lua_request *of)
{
    if (!of->handle)
        return;
    of->handle->of = NULL;
    of->handle = NULL;
    luaL_unref(L, LUA_REGISTRYINDEX, of->anchor); /* sets what is there: takes no memory */
}
