/* client_stream_lua.c -- app.http:stream: an answer whose body is read as it comes.  Wraps
 * http/client.h; core/lua/maru/client_stream.lua adds lines and events. */
#include <lauxlib.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/client.h"
#include "loop/lane.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define USAGE       "app.http:stream(url, [options])"
#define READ        "stream:read()"
#define STREAM_TYPE "app.http_stream"

/* nil at the body's end, nil with why and the code after a failure. */
struct ending {
    const char *code; /* NULL: the body's end */
    char message[256];
};

/* Freed at the task's end at the latest; the Lua handle is a pointer to it, NULL from then on.
 * Closed by another task it stays, and says so to its own (as a subscription, channels_lua.c). */
struct stream {
    struct task_deferred deferred;
    struct http_fetch *fetch; /* NULL when it is over */
    struct stream **handle;   /* the userdata, NULL when there is none */
    struct task *task;        /* that opened it */
    struct vm *vm;
    bool waiting;         /* its task, for the head or a piece */
    struct timer closing; /* wakes it when another task has closed it */
    struct buf kept;      /* a piece that nobody waited for; the fetch is paused meanwhile */
    struct ending ending; /* once there is no fetch */
};

static void stop_waiting(void *arg)
{
    struct stream *s = arg;
    s->waiting = false;
    timer_stop(vm_lane(s->vm), &s->closing);
}

static void end_fetch(struct stream *s)
{
    buf_free(&s->kept);
    if (!s->fetch)
        return;
    vm_give(s->vm, CAP_CONNECTIONS);
    http_fetch_cancel(s->fetch);
    s->fetch = NULL;
}

static void free_stream(void *arg)
{
    struct stream *s = arg;
    if (s->handle)
        *s->handle = NULL;
    task_undefer(&s->deferred);
    end_fetch(s);
    mem_free(s);
}

struct opening {
    struct stream *stream;
    const struct fetch_result *head;
};

static int push_opened(lua_State *L, void *arg)
{
    const struct opening *opening = arg;
    struct stream **handle = lua_newuserdata(L, sizeof *handle);
    *handle = NULL;
    luaL_getmetatable(L, STREAM_TYPE);
    lua_setmetatable(L, -2);
    lua_pushinteger(L, opening->head->status);
    client_push_headers(L, opening->head);
    lua_pushlstring(L, opening->head->url.p, opening->head->url.n);
    *handle = opening->stream;
    opening->stream->handle = handle;
    return 4;
}

static void on_head(void *arg, const struct fetch_result *head)
{
    struct stream *s = arg;
    struct opening opening = {s, head};
    if (!s->waiting)
        return;
    s->waiting = false;
    task_wake_with(s->task, push_opened, &opening);
}

static int push_piece(lua_State *L, void *arg)
{
    const struct str *bytes = arg;
    lua_pushlstring(L, bytes->p, bytes->n);
    return 1;
}

static void on_body(void *arg, struct str bytes)
{
    struct stream *s = arg;
    if (!s->waiting) {
        buf_add_str(&s->kept, bytes);
        http_fetch_pause(s->fetch);
        return;
    }
    s->waiting = false;
    task_wake_with(s->task, push_piece, &bytes);
}

static int push_end(lua_State *L, void *arg)
{
    const struct ending *ending = arg;
    lua_pushnil(L);
    if (!ending->code)
        return 1;
    lua_pushstring(L, ending->message);
    lua_pushstring(L, ending->code);
    return 3;
}

static void on_done(void *arg, const struct fetch_result *result)
{
    struct stream *s = arg;
    struct ending ending = {.code =
                                result->code == FETCH_OK ? NULL : fetch_code_name(result->code)};
    snprintf(ending.message, sizeof ending.message, "%s", result->message);
    s->fetch = NULL;
    s->ending = ending;
    vm_give(s->vm, CAP_CONNECTIONS);
    if (!s->waiting)
        return;
    struct task *task = s->task;
    s->waiting = false;
    if (!s->handle)
        free_stream(s); /* no head came, or it was collected: nobody has it */
    task_wake_with(task, push_end, &ending);
}

static void on_closing(struct timer *timer)
{
    struct stream *s = (struct stream *)(void *)((char *)timer - offsetof(struct stream, closing));
    struct ending ending = s->ending; /* s may be collected while it is pushed */
    s->waiting = false;
    task_wake_with(s->task, push_end, &ending);
}

static struct stream *check_stream(lua_State *L)
{
    struct stream **handle = luaL_checkudata(L, 1, STREAM_TYPE);
    if (!*handle)
        args_error(L, READ ": the stream is closed");
    return *handle;
}

/*** The next piece of the body.  (waits)
 * @return string|nil bytes, string? message, string? code */
static int l_read(lua_State *L)
{
    struct stream *s = check_stream(L);
    struct task *task = task_check(L, "stream:read");
    if (task != s->task)
        return args_error(L, READ ": the stream belongs to another task");
    if (s->kept.n > 0) {
        lua_pushlstring(L, s->kept.p, s->kept.n);
        buf_free(&s->kept);
        return 1;
    }
    if (!s->fetch)
        return push_end(L, &s->ending);
    s->waiting = true;
    http_fetch_resume(s->fetch);
    return task_wait(task, stop_waiting, s);
}

static int l_gc(lua_State *L)
{
    struct stream **handle = luaL_checkudata(L, 1, STREAM_TYPE), *s = *handle;
    if (s && s->waiting)
        s->handle = NULL; /* the wait has hold of it, and the task's end */
    else if (s)
        free_stream(s);
    return 0;
}

static int l_close(lua_State *L)
{
    struct stream **handle = luaL_checkudata(L, 1, STREAM_TYPE), *s = *handle;
    if (!s || s->task == task_current(L))
        return l_gc(L);
    end_fetch(s);
    s->ending = (struct ending){err_code_name(ERR_CLOSED), "the stream was closed by another task"};
    if (s->waiting)
        timer_start(vm_lane(s->vm), &s->closing, 0);
    return 0;
}

int client_stream_open(lua_State *L, struct task *task, struct fetch_options *options)
{
    struct vm *vm = task_vm(task);
    struct err err = {0};
    bind_part(L, vm_host(vm)->clients, "app.http:stream", "an HTTP client");
    if (!vm_take(vm, CAP_CONNECTIONS, &err))
        return push_error(L, &err);
    struct stream *s = mem_alloc(sizeof *s);
    *s = (struct stream){.task = task, .vm = vm, .waiting = true, .closing.fire = on_closing};
    options->on_head = on_head;
    options->on_body = on_body;
    s->fetch = http_fetch(vm_host(vm)->clients[vm_lane(vm)->index], options, on_done, s, &err);
    if (!s->fetch) {
        mem_free(s);
        vm_give(vm, CAP_CONNECTIONS);
        return push_error(L, &err);
    }
    task_defer(task, &s->deferred, free_stream, s);
    return task_wait(task, free_stream, s); /* without a head there will be no handle */
}

/*** Sends a request and waits for the head of its answer.
 * @param url string
 * @param options table as of request
 * @return userdata|nil handle, integer|string status_or_message, table|string headers_or_code,
 * string? url */
int client_stream(lua_State *L)
{
    struct task *task = task_check(L, "app.http:stream");
    struct fetch_header headers[FETCH_HEADERS];
    struct client_defaults defaults = {task_left_ns(task), 30 * NS_PER_SECOND, "64M"};
    struct trace_headers trace;
    struct fetch_options options = client_read_options(L, task_vm(task), headers, &defaults, USAGE);
    client_trace(task, &trace, &options, headers, client_shown(L, &options, USAGE));
    return client_stream_open(L, task, &options);
}

void client_stream_class(lua_State *L)
{
    static const luaL_Reg methods[] = {{"read", l_read}, {"close", l_close}, {NULL, NULL}};
    bind_class(L, STREAM_TYPE, methods, l_gc);
}
