/* http_socket_lua.c -- WebSocket events to Lua, and maru.SocketHandle.  Wraps http/socket.h.
 *
 * A handle is a number: the socket is looked up whenever it is used, so a handle
 * kept in a variable may outlive its socket, its task and its VM. */
#include <string.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "bind/http_internal.h"
#include "bind/http_socket.h"
#include "observe/log.h"
#include "vm/args.h"
#include "vm/json.h"

#define HANDLE_TYPE "maru.socket"

struct handle {
    uint64_t id;
};

struct lua_event {
    struct socket *socket;
    struct vm *vm;
    int handler;
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

/* The event is over, for the socket too. */
static void finish(struct lua_event *e)
{
    struct socket *socket = e->socket;
    if (e->event == SOCKET_CLOSE)
        socket_keep_free(socket);
    mem_free(e);
    socket_done(socket);
}

static void on_end(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                   void *arg)
{
    struct lua_event *e = arg;
    struct err err;
    (void)results;
    if (outcome == TASK_FAILED || outcome == TASK_KILLED)
        http_log_failure(task, NULL);
    if (!socket_keep_end(socket_keep(e->socket), L, outcome == TASK_DONE, &err)) {
        log_error("http", "%s: %s: socket.state %s", vm_label(e->vm), e->label, err.message);
        outcome = TASK_FAILED;
    }
    if (outcome != TASK_DONE && e->event != SOCKET_CLOSE)
        socket_close(e->socket, outcome == TASK_CANCELLED ? 1012 : 1011, STR(""));
    http_request_release(L, &e->request);
    if (e->alive)
        *e->alive = NULL;
    finish(e);
}

static void refuse(struct lua_event *e, const struct err *err)
{
    log_warn("http", "%s: %s", e->label, err->message);
    socket_keep(e->socket)->vm = NULL;
    socket_close(e->socket, 1013, STR("try again later"));
    finish(e);
}

static struct task_options options_of(struct lua_event *e)
{
    return (struct task_options){.kind = TASK_SOCKET,
                                 .handler = e->handler,
                                 .label = e->label,
                                 .push = push_event,
                                 .end = on_end,
                                 .arg = e};
}

/* ---- another version of the plugin ---- */

static int push_upgrade(lua_State *L, void *arg)
{
    const struct lua_event *e = arg;
    const struct socket_keep *keep = socket_keep(e->socket);
    struct err err;
    lua_pushstring(L, keep->version);
    if (!socket_keep_push(keep, L, &err))
        luaL_error(L, "socket.state: %s", err.message);
    return 2;
}

/* What upgrade returned is the state from now on; then the event itself. */
static bool take_state(struct lua_event *e, lua_State *L, int results)
{
    struct socket_keep *keep = socket_keep(e->socket);
    struct err err;
    lua_settop(L, results > 0 ? lua_gettop(L) - results + 1 : lua_gettop(L));
    if (results == 0)
        lua_pushnil(L);
    if (socket_keep_set(keep, L, lua_gettop(L), &err)) {
        socket_keep_version(keep, vm_decl(e->vm)->version);
        return true;
    }
    log_error("http", "%s: %s: upgrade returned a state that %s", vm_label(e->vm), e->label,
              err.message);
    return false;
}

static void on_upgraded(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                        void *arg)
{
    struct lua_event *e = arg;
    struct err err;
    if (outcome == TASK_FAILED || outcome == TASK_KILLED)
        http_log_failure(task, NULL);
    else if (outcome != TASK_DONE)
        log_error("http", "%s: %s: upgrade did not end", vm_label(e->vm), e->label);
    if (outcome != TASK_DONE || !take_state(e, L, results)) {
        socket_close(e->socket, 1011, STR("the plugin could not take the socket over"));
        finish(e);
        return;
    }
    if (e->handler < 1) {
        finish(e);
        return;
    }
    const struct task_options options = options_of(e);
    socket_keep_begin(socket_keep(e->socket), e->vm);
    if (!task_start_soon(e->vm, &options, &err))
        refuse(e, &err);
}

/* The handler that converts the socket's state, or -1 when there is nothing to convert. */
static int upgrade_of(struct lua_event *e, const struct http_route *route)
{
    struct socket_keep *keep = socket_keep(e->socket);
    const struct plugin_decl *decl = vm_decl(e->vm);
    if (e->event != SOCKET_OPEN && keep->version && strcmp(keep->version, decl->version) != 0) {
        for (int i = 0; i < decl->socket_count; i++) {
            if (!strcmp(decl->sockets[i].path, route->pattern) && decl->sockets[i].upgrade > 0)
                return decl->sockets[i].upgrade;
        }
    }
    socket_keep_version(keep, decl->version);
    return -1;
}

static void upgrade(struct lua_event *e, int handler)
{
    struct err err;
    const struct task_options options = {.kind = TASK_SOCKET,
                                         .handler = handler,
                                         .label = e->label,
                                         .push = push_upgrade,
                                         .end = on_upgraded,
                                         .arg = e};
    if (!task_start(e->vm, &options, &err))
        refuse(e, &err);
}

/* ---- an event ---- */

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

static void handle(struct lua_event *e)
{
    struct lua_event *alive = e;
    struct err err;
    const struct task_options options = options_of(e);
    e->alive = &alive;
    socket_keep_begin(socket_keep(e->socket), e->vm);
    if (!task_start(e->vm, &options, &err)) {
        refuse(e, &err);
    } else if (alive) {
        alive->request.request = NULL;
        alive->alive = NULL;
    }
}

void http_socket_lua(struct socket *socket, const struct http_route *route, enum socket_event event,
                     struct http_request *request, struct str data)
{
    struct lua_event *e = mem_zero(1, sizeof *e);
    *e = (struct lua_event){.socket = socket, .event = event, .data = data};
    e->vm = route ? http_route_vm(route, socket_lane(socket)) : NULL;
    e->request.request = request;
    if (!e->vm) {
        if (event != SOCKET_CLOSE)
            socket_close(socket, 1012, STR("the plugin is being restarted"));
        finish(e);
        return;
    }
    http_route_label(route, e->label);
    e->handler = handler_of(route, event);
    int converter = upgrade_of(e, route);
    if (converter > 0)
        upgrade(e, converter);
    else if (e->handler > 0)
        handle(e);
    else
        finish(e);
}

void http_socket_class(lua_State *L)
{
    static const luaL_Reg methods[] = {{"send", l_send},       {"close", l_close},
                                       {"is_open", l_is_open}, {"id", l_id},
                                       {"client", l_client},   {NULL, NULL}};
    bind_class(L, HANDLE_TYPE, methods, NULL);
    socket_state_class(L, HANDLE_TYPE, "send close is_open id client state", check_socket);
}
