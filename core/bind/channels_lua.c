/* channels_lua.c -- app.channels.  Wraps channels/channel.h; core/lua/maru/channels.lua adds JSON
 * and M.on. */
#include "bind/bind.h"

#include <lauxlib.h>

#include "base/mem.h"
#include "bind/listen.h"
#include "channels/channel.h"
#include "loop/lane.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define SUB_TYPE "app.subscription"
#define RECEIVE  "subscription:receive([timeout])"

/* Freed at the task's end at the latest; the Lua handle is a pointer to it, NULL
 * from then on.  So no collector on a foreign thread (a retired VM is closed by
 * the reaper) ever finds it open.  Closed by another task it stays until its own
 * has been told. */
struct subscription {
    struct task_deferred deferred;
    struct channel_sub *sub;      /* NULL when another task has closed it */
    struct subscription **handle; /* the userdata */
    struct task *waiting;         /* in receive, or NULL */
    bool timed;                   /* with a timeout that counts */
    struct timer timeout;         /* also wakes it when it is closed */
    struct vm *vm;
    struct task *task; /* that made it */
    struct lane *lane;
};

static struct subscription *check_subscription(lua_State *L)
{
    struct subscription **handle = luaL_checkudata(L, 1, SUB_TYPE);
    if (!*handle)
        luaL_error(L, RECEIVE ": the subscription is closed");
    return *handle;
}

static void give_timer(struct subscription *s)
{
    if (s->timed)
        vm_give(s->vm, CAP_TIMERS);
    s->timed = false;
}

static void stop_waiting(void *arg)
{
    struct subscription *s = arg;
    s->waiting = NULL;
    timer_stop(s->lane, &s->timeout);
    give_timer(s);
}

static void end_listening(struct subscription *s)
{
    if (s->sub)
        listen_end(s->vm, s->sub);
    s->sub = NULL;
}

static void free_subscription(void *arg)
{
    struct subscription *s = arg;
    if (s->handle)
        *s->handle = NULL;
    task_undefer(&s->deferred);
    end_listening(s);
    mem_free(s);
}

/* Its task hears of it once; a call after that raises, so that no loop turns for ever. */
static struct err tell_closed(struct subscription *s)
{
    free_subscription(s);
    return (struct err){.code = ERR_CLOSED,
                        .message = "the subscription was closed by another task"};
}

/* Pushes message JSON and the number lost before it; false when nothing waits. */
static bool push_message(lua_State *L, struct subscription *s)
{
    int64_t lost;
    const struct channel_message *message = channel_receive(s->sub, &lost);
    if (!message)
        return false;
    lua_pushlstring(L, message->json.p, message->json.n);
    lua_pushnumber(L, (double)lost);
    channel_release(message);
    return true;
}

static int push_woken(lua_State *L, void *arg)
{
    push_message(L, arg);
    return 2;
}

static void on_message(struct channel_sub *sub, void *arg)
{
    (void)sub;
    struct subscription *s = arg;
    struct task *task = s->waiting;
    if (!task)
        return;
    stop_waiting(s);
    task_wake_with(task, push_woken, s);
}

static void on_timeout(struct timer *timer)
{
    struct subscription *s =
        (struct subscription *)(void *)((char *)timer - offsetof(struct subscription, timeout));
    struct task *task = s->waiting;
    struct err err = {.code = ERR_TIMEOUT, .message = "timeout"};
    stop_waiting(s);
    if (!s->sub)
        err = tell_closed(s);
    task_resume_error(task, &err);
}

static int l_gc(lua_State *L)
{
    struct subscription **handle = luaL_checkudata(L, 1, SUB_TYPE), *s = *handle;
    if (s && s->waiting)
        s->handle = NULL; /* the wait has hold of it, and the task's end */
    else if (s)
        free_subscription(s);
    return 0;
}

static int l_close(lua_State *L)
{
    struct subscription **handle = luaL_checkudata(L, 1, SUB_TYPE), *s = *handle;
    if (!s || s->task == task_current(L))
        return l_gc(L);
    end_listening(s);
    if (s->waiting)
        timer_start(s->lane, &s->timeout, 0);
    return 0;
}

/*** Next message as JSON text and how many were lost before it.  (waits)
 * @param timeout number|string|nil
 * @return string|nil json, number|string lost_or_message, string? code */
static int l_receive(lua_State *L)
{
    struct subscription *s = check_subscription(L);
    int64_t timeout = args_opt_duration(L, 2, -1, RECEIVE, "timeout");
    struct task *task = task_check(L, "subscription:receive");
    if (task != s->task)
        return args_error(L, RECEIVE ": the subscription belongs to another task");
    struct err err;
    if (!s->sub) {
        err = tell_closed(s);
        return push_error(L, &err);
    }
    if (push_message(L, s))
        return 2;
    if (timeout >= 0 && !vm_take(s->vm, CAP_TIMERS, &err))
        return push_error(L, &err);
    s->timed = timeout >= 0;
    s->waiting = task;
    if (timeout >= 0)
        timer_start(s->lane, &s->timeout, timeout);
    return task_wait(task, stop_waiting, s);
}

/*** Listens to a topic until the task ends.
 * @param topic string
 * @return userdata|nil subscription, string? message, string? code */
static int l_subscribe(lua_State *L)
{
    static const char usage[] = "app.channels:subscribe(topic)";
    struct str topic = args_string(L, 1, usage, "topic");
    struct task *task = task_check(L, "app.channels:subscribe");
    struct vm *vm = task_vm(task);
    struct err err = {0};
    bind_part(L, vm_host(vm)->channels, "app.channels:subscribe", "channels");
    if (!listen_may_begin(vm, &err))
        return push_error(L, &err);
    struct subscription **handle = lua_newuserdata(L, sizeof *handle);
    *handle = NULL;
    luaL_getmetatable(L, SUB_TYPE);
    lua_setmetatable(L, -2);
    struct subscription *s = mem_alloc(sizeof *s);
    *s = (struct subscription){
        .vm = vm, .task = task, .lane = vm_lane(vm), .timeout.fire = on_timeout};
    s->sub = channel_subscribe(vm_host(vm)->channels, s->lane, topic, 0, on_message, s, &err);
    if (!s->sub) {
        mem_free(s);
        return push_error(L, &err);
    }
    listen_begin(vm, s->sub);
    s->handle = handle;
    *handle = s;
    task_defer(task, &s->deferred, free_subscription, s);
    return 1;
}

/*** Delivers JSON text to everyone who listens now.
 * @return integer|nil listeners, string? message, string? code */
static int l_publish(lua_State *L)
{
    static const char usage[] = "app.channels:publish(topic, message)";
    struct str topic = args_string(L, 1, usage, "topic");
    struct str json = args_string(L, 2, usage, "message");
    struct channel_hub *hub = vm_host(vm_of(L))->channels;
    struct err err = {0};
    bind_part(L, hub, "app.channels:publish", "channels");
    int listeners = channel_publish(hub, topic, json, &err);
    if (listeners < 0)
        return push_error(L, &err);
    lua_pushinteger(L, listeners);
    return 1;
}

int bind_channels(lua_State *L)
{
    static const luaL_Reg methods[] = {{"receive", l_receive}, {"close", l_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"subscribe", l_subscribe}, {"publish", l_publish}, {NULL, NULL}};
    listen_open(L);
    bind_class(L, SUB_TYPE, methods, l_gc);
    lua_createtable(L, 0, 2);
    luaL_register(L, NULL, functions);
    return 1;
}
