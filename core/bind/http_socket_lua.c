/* http_socket_lua.c -- WebSocket events to Lua, and maru.SocketHandle.  Wraps http/socket.h.
 *
 * A handle is a number: the socket is looked up whenever it is used, so a handle
 * kept in a variable may outlive its socket, its task and its VM. */
#include <string.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "bind/http_internal.h"
#include "observe/log.h"
#include "vm/args.h"
#include "vm/json.h"

#define HANDLE_TYPE "maru.socket"

struct handle {
    uint64_t id;
};

struct lua_event {
    struct socket *socket;
    enum socket_event event;
    struct str data;
    struct lua_request request; /* of SOCKET_OPEN, while the callback runs */
    struct lua_event **alive;   /* the callback's, NULL when it has returned */
    char label[HTTP_LABEL_BYTES];
};

static struct socket *check_socket(lua_State *L)
{
    const struct handle *handle = luaL_checkudata(L, 1, HANDLE_TYPE);
    return socket_find(handle->id);
}

/* socket:send(data) -> boolean: false when the socket is closed or too slow */
static int l_send(lua_State *L)
{
    static const char usage[] = "socket:send(data)";
    struct socket *socket = check_socket(L);
    struct str text;
    struct err err;
    if (lua_isnoneornil(L, 2))
        args_fail(L, usage, "data", "text or a JSON value", 2);
    if (lua_type(L, 2) == LUA_TSTRING) {
        text.p = lua_tolstring(L, 2, &text.n);
    } else {
        struct buf *json = vm_scratch(vm_of(L));
        if (!lua_json_encode(L, 2, json, &err))
            return luaL_error(L, "%s: %s", usage, err.message);
        text = buf_str(json);
    }
    bool sent =
        socket && (utf8_valid(text) ? socket_send(socket, text) : socket_send_binary(socket, text));
    lua_pushboolean(L, sent);
    return 1;
}

/* socket:close([code], [reason]) */
static int l_close(lua_State *L)
{
    static const char usage[] = "socket:close([code], [reason])";
    struct socket *socket = check_socket(L);
    int64_t code = lua_isnoneornil(L, 2) ? 1000 : args_integer(L, 2, 1000, 4999, usage, "code");
    struct str reason = args_opt_string(L, 3, STR(""), usage, "reason");
    if (reason.n > 123 || !utf8_valid(reason))
        args_fail(L, usage, "reason", "at most 123 bytes of UTF-8", 3);
    if (socket)
        socket_close(socket, (int)code, reason);
    return 0;
}

static int l_is_open(lua_State *L)
{
    const struct socket *socket = check_socket(L);
    lua_pushboolean(L, socket && socket_is_open(socket));
    return 1;
}

static int l_id(lua_State *L)
{
    const struct handle *handle = luaL_checkudata(L, 1, HANDLE_TYPE);
    lua_pushnumber(L, (double)handle->id);
    return 1;
}

/* socket:client() -> address, or nil once it has gone */
static int l_client(lua_State *L)
{
    const struct socket *socket = check_socket(L);
    if (!socket)
        return 0;
    struct str client = socket_client(socket);
    lua_pushlstring(L, client.p, client.n);
    return 1;
}

static int push_event(lua_State *L, void *arg)
{
    struct lua_event *e = arg;
    struct handle *handle = lua_newuserdata(L, sizeof *handle);
    handle->id = socket_id(e->socket);
    luaL_getmetatable(L, HANDLE_TYPE);
    lua_setmetatable(L, -2);
    if (e->event == SOCKET_CLOSE)
        return 1;
    if (e->event == SOCKET_OPEN)
        http_request_push(L, &e->request);
    else
        lua_pushlstring(L, e->data.p, e->data.n);
    return 2;
}

static void on_end(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                   void *arg)
{
    struct lua_event *e = arg;
    (void)results;
    if (outcome == TASK_FAILED || outcome == TASK_KILLED)
        http_log_failure(task, NULL);
    if (outcome != TASK_DONE && e->event != SOCKET_CLOSE)
        socket_close(e->socket, outcome == TASK_CANCELLED ? 1012 : 1011, STR(""));
    http_request_release(L, &e->request);
    if (e->alive)
        *e->alive = NULL;
    struct socket *socket = e->socket;
    mem_free(e);
    socket_done(socket);
}

static int handler_of(const struct http_route *route, enum socket_event event)
{
    switch (event) {
    case SOCKET_OPEN:
        return route->open;
    case SOCKET_MESSAGE:
        return route->message;
    case SOCKET_CLOSE:
        return route->close;
    }
    return -1;
}

void http_socket_lua(struct socket *socket, const struct http_route *route, enum socket_event event,
                     struct http_request *request, struct str data)
{
    struct vm *vm = route ? http_route_vm(route, socket_lane(socket)) : NULL;
    int handler = route ? handler_of(route, event) : -1;
    if (!vm || handler < 1) {
        if (!vm && event != SOCKET_CLOSE)
            socket_close(socket, 1012, STR("the plugin is being restarted"));
        socket_done(socket);
        return;
    }
    struct lua_event *e = mem_zero(1, sizeof *e);
    e->socket = socket;
    e->event = event;
    e->data = data;
    e->request.request = request;
    struct lua_event *alive = e;
    e->alive = &alive;
    http_route_label(route, e->label);
    const struct task_options options = {.kind = TASK_SOCKET,
                                         .handler = handler,
                                         .label = e->label,
                                         .push = push_event,
                                         .end = on_end,
                                         .arg = e};
    struct err err;
    if (task_start(vm, &options, &err)) {
        if (alive) {
            alive->request.request = NULL;
            alive->alive = NULL;
        }
    } else {
        log_warn("http", "%s: %s", e->label, err.message);
        socket_close(socket, 1013, STR("try again later"));
        mem_free(e);
        socket_done(socket);
    }
}

void http_socket_class(lua_State *L)
{
    static const luaL_Reg methods[] = {{"send", l_send},       {"close", l_close},
                                       {"is_open", l_is_open}, {"id", l_id},
                                       {"client", l_client},   {NULL, NULL}};
    bind_class(L, HANDLE_TYPE, methods, NULL);
}
