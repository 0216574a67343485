/* http_stream_lua.c -- app.sse(fn) and maru.Stream.  Wraps the streams of http/request.h.
 *
 * A handler that returns app.sse(fn) ends; fn then runs as a task of its own for
 * as long as the client stays. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/http_internal.h"
#include "bind/listen.h"
#include "channels/channel.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/json.h"

#define SSE_TYPE    "maru.sse"
#define STREAM_TYPE "maru.stream"

enum { STREAM_EVENT_BYTES = 100, STREAM_MESSAGE_BYTES = 1 << 20, STREAM_WAITING_BYTES = 2 << 20 };
static const int64_t heartbeat_ns = 15 * NS_PER_SECOND;
static const int64_t longest_ns =
    365 * 86400 * NS_PER_SECOND; /* a stream has no deadline of its own */

struct lua_stream {
    struct http_request *request; /* NULL: the client left, or closed */
    struct task *task;            /* NULL: not begun or ended */
    struct lua_stream **handle;   /* the userdata, NULL before it is made */
    int anchor;                   /* keeps it from the collector while we point at it */
    struct channel_sub *sub;      /* in follow */
    struct buf out;               /* one event under construction */
    char event[STREAM_EVENT_BYTES + 1];
    bool in_send;
    struct channel_budget budget; /* of sub when it is detached */
    bool detached; /* its VM is gone or going: what the channel says is still forwarded */
    int refs;
    int function; /* registry reference of fn */
    struct lane_message message;
};

static void unref(struct lua_stream *s)
{
    if (--s->refs > 0)
        return;
    buf_free(&s->out);
    mem_free(s);
}

int l_http_sse(lua_State *L)
{
    if (!lua_isfunction(L, 1))
        args_fail(L, "app.sse(fn)", "fn", "a function", 1);
    lua_settop(L, 1);
    lua_newuserdata(L, 1);
    luaL_getmetatable(L, SSE_TYPE);
    lua_setmetatable(L, -2);
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, -2);
    return 1;
}

bool http_is_sse(lua_State *L, int index)
{
    if (!lua_isuserdata(L, index) || !lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, SSE_TYPE);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static void stop_following(void *arg)
{
    struct lua_stream *s = arg;
    if (s->sub && s->detached)
        channel_unsubscribe(s->sub);
    else if (s->sub)
        listen_end(task_vm(s->task), s->sub);
    s->sub = NULL;
}

/* ---- the client leaves ---- */

static void on_turn(struct lane_message *message)
{
    struct lua_stream *s =
        (struct lua_stream *)(void *)((char *)message - offsetof(struct lua_stream, message));
    if (s->task) {
        task_cancel(s->task);
    } else if (s->detached) {
        stop_following(s);
        unref(s);
    }
    unref(s);
}

static void on_gone(void *arg)
{
    struct lua_stream *s = arg;
    struct lane *lane = request_lane(s->request);
    s->request = NULL;
    s->message.fn = on_turn;
    s->refs++;
    lane_post(lane, &s->message);
}

static int push_true(lua_State *L, void *arg)
{
    (void)arg;
    lua_pushboolean(L, 1);
    return 1;
}

static void forward(struct lua_stream *s);

static void on_drained(void *arg)
{
    struct lua_stream *s = arg;
    if (s->sub) {
        forward(s);
    } else if (s->in_send && s->task) {
        s->in_send = false;
        task_wake_with(s->task, push_true, NULL);
    }
}

/* ---- sending ---- */

static void add_field(struct buf *out, const char *name, struct str value)
{
    while (value.n > 0 || name) {
        size_t end = 0;
        while (end < value.n && value.p[end] != '\n' && value.p[end] != '\r')
            end++;
        buf_printf(out, "%s: ", name);
        buf_add(out, value.p, end);
        buf_add_char(out, '\n');
        bool more = end < value.n;
        if (more && value.p[end] == '\r' && end + 1 < value.n && value.p[end + 1] == '\n')
            end++;
        if (!more)
            return;
        value = str_n(value.p + end + 1, value.n - end - 1);
    }
}

/* Event names and ids are one line by definition; they were checked. */
static void add_event(struct buf *out, struct str event, struct str id, struct str data)
{
    if (event.n > 0)
        add_field(out, "event", event);
    if (id.n > 0)
        add_field(out, "id", id);
    add_field(out, "data", data);
    buf_add_char(out, '\n');
}

static bool is_line(struct str s)
{
    return str_find(s, '\n') == s.n && str_find(s, '\r') == s.n && str_find(s, '\0') == s.n;
}

static struct lua_stream *check_stream(lua_State *L, const char *usage)
{
    struct lua_stream **handle = luaL_checkudata(L, 1, STREAM_TYPE);
    if (!*handle)
        luaL_error(L, "%s: the stream is over", usage);
    return *handle;
}

/* Only the stream's own task is woken for it. */
static struct task *check_task(lua_State *L, const struct lua_stream *s, const char *who)
{
    struct task *task = task_check(L, who);
    if (task != s->task)
        args_error(L, "%s: the stream belongs to another task", who);
    return task;
}

static void stop_sending(void *arg)
{
    ((struct lua_stream *)arg)->in_send = false;
}

/* Adds an event to s->out; its data at 3 is JSON unless it is text. */
static void write_event(lua_State *L, struct lua_stream *s, const char *usage, struct str event,
                        struct str id)
{
    struct buf *json = vm_scratch(vm_of(L));
    struct str data = {NULL, 0};
    struct err err;
    if (lua_type(L, 3) == LUA_TSTRING) {
        data.p = lua_tolstring(L, 3, &data.n);
    } else {
        if (!lua_json_encode(L, 3, json, &err))
            luaL_error(L, "%s: data: %s", usage, err.message);
        data = buf_str(json);
    }
    if (data.n > STREAM_MESSAGE_BYTES)
        luaL_error(L, "%s: data is over 1 MiB", usage);
    add_event(&s->out, event, id, data);
}

/* stream:send(event, data, [options]) -> boolean (waits) */
static int l_send(lua_State *L)
{
    static const char usage[] = "stream:send(event, data, [options])";
    static const char *const known[] = {"id", "retry", NULL};
    struct lua_stream *s = check_stream(L, usage);
    struct str event = args_opt_string(L, 2, STR(""), usage, "event");
    struct str id = {NULL, 0};
    double retry = -1;
    lua_settop(L, 4);
    if (args_opt_table(L, 4, usage, "options")) {
        opt_known(L, 4, known, usage);
        id = opt_string(L, 4, "id", id, usage);
        retry = opt_number(L, 4, "retry", -1, usage);
    }
    if (event.n > STREAM_EVENT_BYTES || !is_line(event) || !is_line(id))
        return luaL_error(L, "%s: event and id are one short line", usage);
    struct task *task = check_task(L, s, "stream:send");
    buf_clear(&s->out);
    if (retry >= 0)
        buf_printf(&s->out, "retry: %.0f\n", retry * 1000);
    write_event(L, s, usage, event, id);
    if (!s->request || s->detached) {
        lua_pushboolean(L, 0);
        return 1;
    }
    enum stream_result result = stream_write(s->request, buf_str(&s->out));
    if (result != STREAM_FULL) {
        lua_pushboolean(L, result == STREAM_OK);
        return 1;
    }
    s->in_send = true;
    return task_wait(task, stop_sending, s);
}

/* ---- following a channel ---- */

/* Writes what waits in the subscription until the client is behind. */
static void forward(struct lua_stream *s)
{
    int64_t lost;
    const struct channel_message *message;
    while (s->request && (message = channel_receive(s->sub, &lost))) {
        buf_clear(&s->out);
        if (lost > 0)
            buf_printf(&s->out, ": %lld messages were dropped for this slow client\n",
                       (long long)lost);
        add_event(&s->out, str_c(s->event), str_n(NULL, 0), message->json);
        channel_release(message);
        if (stream_write(s->request, buf_str(&s->out)) != STREAM_OK)
            return;
    }
}

static void on_message(struct channel_sub *sub, void *arg)
{
    (void)sub;
    forward(arg);
}

/* A stream that follows a channel needs no Lua, so it outlives the generation that began it. */
static int push_reloaded(lua_State *L, void *arg)
{
    (void)arg;
    lua_pushnil(L);
    lua_pushliteral(L, "the plugin was reloaded; the stream goes on without this task");
    lua_pushliteral(L, "reloaded");
    return 3;
}

static void detach(struct lua_stream *s)
{
    s->detached = true;
    listen_pass(task_vm(s->task), s->sub, &s->budget);
}

static void on_retired(void *arg)
{
    struct lua_stream *s = arg;
    detach(s);
    task_wake_with(s->task, push_reloaded, NULL);
}

/* stream:follow(topic, [event]) -> nil, message, code when the client has gone (waits) */
static int l_follow(lua_State *L)
{
    static const char usage[] = "stream:follow(topic, [event])";
    struct lua_stream *s = check_stream(L, usage);
    struct str topic = args_string(L, 2, usage, "topic");
    size_t word = topic.n;
    while (word > 0 && topic.p[word - 1] != '.' && topic.p[word - 1] != '/' &&
           topic.p[word - 1] != ':')
        word--;
    struct str event = args_opt_string(L, 3, str_n(topic.p + word, topic.n - word), usage, "event");
    if (event.n > STREAM_EVENT_BYTES || !is_line(event))
        return luaL_error(L, "%s: event is one short line", usage);
    struct task *task = check_task(L, s, "stream:follow");
    bind_part(L, vm_host(task_vm(task))->channels, "stream:follow", "channels");
    if (!s->request || s->detached) {
        lua_pushboolean(L, 0);
        return 1;
    }
    struct err err = {0};
    if (!listen_may_begin(task_vm(task), &err))
        return push_error(L, &err);
    snprintf(s->event, sizeof s->event, "%.*s", (int)event.n, event.p);
    s->sub = channel_subscribe(vm_host(task_vm(task))->channels, task_lane(task), topic, 0,
                               on_message, s, &err);
    if (!s->sub)
        return push_error(L, &err);
    listen_begin(task_vm(task), s->sub);
    if (vm_retired(task_vm(task))) {
        detach(s);
        return push_reloaded(L, NULL);
    }
    task_when_retired(task, on_retired, s);
    return task_wait(task, stop_following, s);
}

/* ---- life ---- */

static int push_stream(lua_State *L, void *arg)
{
    struct lua_stream *s = arg;
    s->task = task_current(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->function);
    struct lua_stream **handle = lua_newuserdata(L, sizeof *handle);
    *handle = NULL;
    luaL_getmetatable(L, STREAM_TYPE);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    s->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    s->handle = handle;
    *handle = s;
    return 2;
}

static void on_end(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                   void *arg)
{
    struct lua_stream *s = arg;
    (void)results;
    if (outcome == TASK_FAILED)
        http_log_failure(task, s->request);
    luaL_unref(L, LUA_REGISTRYINDEX, s->function);
    if (s->handle) {
        *s->handle = NULL;
        luaL_unref(L, LUA_REGISTRYINDEX, s->anchor);
    }
    s->handle = NULL;
    if (s->detached && s->request) {
        s->task = NULL;
        return; /* until on_turn */
    }
    stop_following(s);
    s->detached = false;
    s->task = NULL;
    if (s->request)
        stream_close(s->request);
    s->request = NULL;
    unref(s);
}

void http_stream_begin(struct http_request *r, struct task *task, lua_State *L, int index)
{
    static const struct stream_events events = {on_drained, on_gone};
    struct vm *vm = task_vm(task);
    struct lua_stream *s = mem_zero(1, sizeof *s);
    s->refs = 1;
    s->budget.most = STREAM_WAITING_BYTES;
    s->request = r;
    lua_getfenv(L, index);
    lua_rawgeti(L, -1, 1);
    s->function = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 1);
    const struct task_options options = {.kind = TASK_REQUEST,
                                         .handler = -1,
                                         .label = "app.sse",
                                         .deadline_ns = longest_ns,
                                         .push = push_stream,
                                         .end = on_end,
                                         .arg = s};
    struct err err;
    s->task = task_start_soon(vm, &options, &err);
    if (!s->task) {
        luaL_unref(L, LUA_REGISTRYINDEX, s->function);
        unref(s);
        http_refuse(r, &err, CAP_TASKS);
        return;
    }
    request_span_end(r); /* a stream may go on for days */
    stream_start(r, 200, STR("text/event-stream"), &events, s);
    stream_heartbeat(r, STR(":\n\n"), heartbeat_ns);
    stream_write(r, STR(":\n\n"));
}

void http_stream_class(lua_State *L)
{
    static const luaL_Reg methods[] = {{"send", l_send}, {"follow", l_follow}, {NULL, NULL}};
    static const luaL_Reg none[] = {{NULL, NULL}};
    bind_class(L, STREAM_TYPE, methods, NULL);
    bind_class(L, SSE_TYPE, none, NULL);
}
