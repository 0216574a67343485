/* test_stream_lua.c -- raw.test.connect: bytes to the server of the same process and back. */
#include <lauxlib.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/test.h"
#include "loop/lane.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define CLASS "test.stream"

/* Outlives its userdata until libuv has closed the pipe. */
struct stream {
    uv_pipe_t pipe; /* first */
    struct timer timer;
    struct lane *lane;
    struct task *task; /* waits in receive */
    struct buf input;
    bool ended; /* the server closed it, or a task */
};

static int push_input(lua_State *L, void *arg)
{
    struct stream *s = arg;
    if (s->input.n) {
        lua_pushlstring(L, s->input.p, s->input.n);
        buf_clear(&s->input);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, s->ended ? "closed" : "timeout");
    return 2;
}

static void wake(struct stream *s)
{
    struct task *task = s->task;
    timer_stop(s->lane, &s->timer);
    s->task = NULL;
    if (task)
        task_wake_with(task, push_input, s);
}

static void on_closed(uv_handle_t *handle)
{
    struct stream *s = (struct stream *)(void *)handle;
    s->ended = true;
    wake(s); /* another task has closed it */
    buf_free(&s->input);
    mem_free(s);
}

static void on_timer(struct timer *timer)
{
    wake((struct stream *)(void *)((char *)timer - offsetof(struct stream, timer)));
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *out)
{
    struct stream *s = (struct stream *)(void *)handle;
    buf_reserve(&s->input, wanted);
    *out = uv_buf_init(s->input.p + s->input.n, (unsigned)wanted);
}

static void on_read(uv_stream_t *pipe, ssize_t n, const uv_buf_t *room)
{
    struct stream *s = (struct stream *)(void *)pipe;
    (void)room;
    s->lane->heard++;
    if (n > 0)
        s->input.n += (size_t)n;
    else if (n < 0)
        s->ended = true;
    if (n < 0)
        uv_read_stop(pipe);
    if (n)
        wake(s);
}

static struct stream **stream_check(lua_State *L)
{
    struct stream **s = luaL_checkudata(L, 1, CLASS);
    if (!*s)
        args_error(L, "the connection is closed");
    return s;
}

static void cancel_receive(void *arg)
{
    struct stream *s = arg;
    s->task = NULL;
    timer_stop(s->lane, &s->timer);
}

/* stream:receive(seconds) -> bytes | nil, "closed" or "timeout" (waits) */
static int l_receive(lua_State *L)
{
    struct stream *s = *stream_check(L);
    int64_t ns = args_opt_duration(L, 2, NS_PER_SECOND, "stream:receive(timeout)", "timeout");
    struct task *task = task_check(L, "stream:receive");
    if (s->task)
        return args_error(L, "stream:receive: another task waits already");
    if (s->input.n || s->ended)
        return push_input(L, s);
    s->task = task;
    timer_start(s->lane, &s->timer, ns);
    return task_wait(task, cancel_receive, s);
}

struct sending {
    uv_write_t write; /* first */
    char bytes[];
};

static void on_sent(uv_write_t *write, int status)
{
    (void)status;
    mem_free(write);
}

/* stream:send(bytes) -> whether the server still listens */
static int l_send(lua_State *L)
{
    struct stream *s = *stream_check(L);
    struct str bytes = args_string(L, 2, "stream:send(bytes)", "bytes");
    struct sending *w = mem_alloc(sizeof *w + bytes.n);
    memcpy(w->bytes, bytes.p, bytes.n);
    uv_buf_t piece = uv_buf_init(w->bytes, (unsigned)bytes.n);
    bool ok = uv_write(&w->write, (uv_stream_t *)&s->pipe, &piece, 1, on_sent) == 0;
    if (!ok)
        mem_free(w);
    lua_pushboolean(L, ok);
    return 1;
}

/* stream:close(), and the collector */
static int l_close(lua_State *L)
{
    struct stream **s = luaL_checkudata(L, 1, CLASS);
    if (*s && !uv_is_closing((uv_handle_t *)&(*s)->pipe)) {
        timer_stop((*s)->lane, &(*s)->timer);
        uv_close((uv_handle_t *)&(*s)->pipe, on_closed);
    }
    *s = NULL;
    return 0;
}

static bool open_pipe(struct stream *s, int fd)
{
    bool ok = uv_pipe_init(&s->lane->loop, &s->pipe, 0) == 0 && uv_pipe_open(&s->pipe, fd) == 0 &&
              uv_read_start((uv_stream_t *)&s->pipe, on_room, on_read) == 0;
    invariant(ok); /* a fresh socket of our own */
    return ok;
}

/* connect(as operator) -> stream | nil, message, code */
static int l_connect(lua_State *L)
{
    struct test_host *host = vm_host(vm_of(L))->test;
    struct err err = {0};
    bool operator= lua_toboolean(L, 1);
    struct stream **s = lua_newuserdata(L, sizeof(struct stream *));
    *s = NULL;
    luaL_getmetatable(L, CLASS);
    lua_setmetatable(L, -2);
    int fd = host->connect(host->arg, operator, & err);
    if (fd < 0)
        return push_error(L, &err);
    *s = mem_zero(1, sizeof **s);
    (*s)->lane = vm_lane(vm_of(L));
    (*s)->timer.fire = on_timer;
    open_pipe(*s, fd);
    return 1;
}

void test_add_streams(lua_State *L)
{
    static const luaL_Reg functions[] = {{"connect", l_connect}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"receive", l_receive}, {"send", l_send}, {"close", l_close}, {NULL, NULL}};
    bind_class(L, CLASS, methods, l_close);
    luaL_register(L, NULL, functions);
}
