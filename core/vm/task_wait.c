/* The half of task.h that bindings use: checking, waiting, waking, asking. */
#include <lauxlib.h>
#include <lua.h>

#include "base/clock.h"
#include "vm/args.h"
#include "vm/task_internal.h"

struct task *task_current(lua_State *L)
{
    return vm_of(L)->running;
}

static int refuse(lua_State *L, const char *who, const char *why)
{
    return args_error(L, "%s: %s", who, why);
}

struct task *task_check(lua_State *L, const char *who)
{
    struct task *task = vm_of(L)->running;
    if (!task)
        refuse(L, who, "cannot wait while a file is loading: no handler is running");
    else if (L != task->L)
        refuse(L, who, "cannot wait inside a coroutine of the plugin's own (use app.spawn)");
    else if (!lua_isyieldable(L))
        refuse(L, who, "cannot wait inside a C callback (table.sort, string.gsub, require)");
    else if (task->holder && strncmp(who, task->holder, strlen(task->holder)) != 0)
        refuse(L, who, "only tx may wait inside store:tx");
    task->who = who;
    task_call_over(task);
    if (task->wait_span) /* the call before did not come to wait */
        task_wait_span_end(task);
    return task;
}

bool task_may_wait(const struct task *task, lua_State *L)
{
    return L == task->L && lua_isyieldable(L) && !task->holder;
}

int task_wait(struct task *task, task_cancel_fn *cancel, void *arg)
{
    if (task->stop != STOP_NO) {
        if (cancel)
            cancel(arg);
        if (task->refused++ < TASK_LAST_WAITS)
            return task_push_stopped(task, task->L);
        return lua_yield(task->L, 0); /* without a wait: task_run() drops the task */
    }
    task->waiting = true;
    task->cancel = cancel;
    task->cancel_arg = arg;
    if (task->part)
        task_wait_span(task);
    if (!task->timer.node.slot) {
        struct lane *lane = task->vm->options.lane;
        int64_t left = task->deadline - lane_now(lane);
        task->timer.fire = task_on_deadline;
        timer_start(lane, &task->timer, left > 0 ? left : 0);
    }
    return lua_yield(task->L, 0);
}

static void on_slept(struct timer *timer)
{
    struct task *task = list_entry(timer, struct task, sleep);
    lua_State *L = task_wake(task);
    vm_give(task->vm, CAP_TIMERS);
    lua_pushboolean(L, 1);
    task_run(task, 1);
}

static void stop_sleep(void *arg)
{
    struct task *task = arg;
    timer_stop(task->vm->options.lane, &task->sleep);
    vm_give(task->vm, CAP_TIMERS);
}

int task_sleep(struct task *task, int64_t ns)
{
    struct lane *lane = task->vm->options.lane;
    struct err err;
    if (!vm_take(task->vm, CAP_TIMERS, &err))
        return push_error(task->L, &err);
    int64_t late = clock_ns() - lane_now(lane); /* timers count from the turn's begin */
    task->sleep.fire = on_slept;
    timer_start(lane, &task->sleep, ns + (late > 0 ? late : 0));
    return task_wait(task, stop_sleep, task);
}

void task_when_retired(struct task *task, void (*fn)(void *arg), void *arg)
{
    task->retired = fn;
    task->retired_arg = arg;
}

bool task_waiting(const struct task *task)
{
    return task->waiting;
}

lua_State *task_wake(struct task *task)
{
    if (!task->waiting)
        return NULL;
    task->waiting = false;
    task->cancel = NULL;
    task->retired = NULL;
    if (task->wait_span)
        task_wait_span_end(task);
    task->vm->enforced = false; /* the caller's pushes cannot raise; task_run() looks again */
    return task->L;
}

void task_resume(struct task *task, int results)
{
    task_run(task, results);
}

struct pushing {
    task_push_fn *push;
    void *arg;
};

int task_push_protected(lua_State *L)
{
    const struct pushing *p = lua_touserdata(L, 1);
    lua_settop(L, 0);
    return p->push(L, p->arg);
}

void task_wake_with(struct task *task, task_push_fn *push, void *arg)
{
    lua_State *co = task_wake(task);
    if (!co)
        return;
    struct vm *vm = task->vm;
    lua_State *L = vm->L;
    struct pushing p = {push, arg};
    int top = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->push_ref);
    lua_pushlightuserdata(L, &p);
    vm->enforced = true;
    int status = lua_pcall(L, 1, LUA_MULTRET, 0);
    vm->enforced = false;
    int results = lua_gettop(L) - top;
    if (!lua_checkstack(co, results + 4))
        results = 0;
    lua_xmove(L, co, results);
    lua_settop(L, top);
    if (status == 0)
        task_run(task, results);
    else
        task_finish(task, task_outcome_of(task, status));
}

static int push_err(lua_State *L, void *arg)
{
    return push_error(L, arg);
}

void task_resume_error(struct task *task, const struct err *err)
{
    struct err copy = *err;
    task_span_failed(task, err->message);
    task_wake_with(task, push_err, &copy);
}

void task_answer(struct task *task, const struct err *err, task_push_fn *push, void *arg)
{
    if (task && err->code != ERR_NONE)
        task_resume_error(task, err);
    else if (task)
        task_wake_with(task, push, arg);
}

void *task_alloc(struct task *task, size_t bytes)
{
    if (!task->arena)
        task->arena = arena_create();
    void *p = arena_alloc(task->arena, bytes);
    memset(p, 0, bytes);
    return p;
}

void task_call_over(struct task *task)
{
    if (task->arena)
        arena_reset(task->arena);
}

void task_defer(struct task *task, struct task_deferred *d, void (*fn)(void *arg), void *arg)
{
    d->fn = fn;
    d->arg = arg;
    list_push_front(&task->deferred, &d->node);
}

void task_undefer(struct task_deferred *d)
{
    if (d->node.next)
        list_remove(&d->node);
}

void task_clean_up(struct task *task)
{
    while (!list_empty(&task->deferred)) { /* one may take out others */
        struct task_deferred *d = list_entry(task->deferred.next, struct task_deferred, node);
        list_remove(&d->node);
        d->fn(d->arg); /* may free it */
    }
    task_call_over(task);
}

void task_hold(struct task *task, const char *holder)
{
    task->holder = holder;
}

const char *task_held_by(const struct task *task)
{
    return task->holder;
}

struct lane *task_lane(const struct task *task)
{
    return task->vm->options.lane;
}

struct vm *task_vm(const struct task *task)
{
    return task->vm;
}

enum task_kind task_kind(const struct task *task)
{
    return task->options.kind;
}

int task_jobs(const struct task *task)
{
    return task->options.jobs;
}

int64_t task_job(const struct task *task)
{
    return task->options.job;
}

const char *task_label(const struct task *task)
{
    return task->options.label ? task->options.label : "";
}

const char *task_trace_id(const struct task *task)
{
    return task->options.trace_id;
}

const char *task_trace_state(const struct task *task)
{
    return task->options.trace_state;
}

int64_t task_left_ns(const struct task *task)
{
    int64_t left = task->deadline - lane_now(task->vm->options.lane);
    return left > 0 ? left : 0;
}

void *task_arg(const struct task *task)
{
    return task->options.arg;
}

const struct task_failure *task_failure(const struct task *task)
{
    return &task->failure;
}
