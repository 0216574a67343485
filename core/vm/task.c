#include "vm/task.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/trace.h"
#include "vm/args.h"
#include "vm/task_internal.h"
#include "vm/watchdog.h"

/* A VM with a pin is not idle. */
static void pin(struct vm *vm)
{
    counter_add(&vm->task_count, 1);
}

static void count_task(struct vm *vm)
{
    counter_add(&vm->counters->tasks, 1);
    counter_add(&vm->counters->started, 1);
}

/* The owner may destroy the VM inside its idle callback: nothing follows. */
static void unpin(struct vm *vm)
{
    counter_add(&vm->task_count, -1);
    if (vm->retired && counter_get(&vm->task_count) == 0)
        vm_idle(vm);
}

/* ---- life -------------------------------------------------------------- */

static struct task *task_take(struct vm *vm)
{
    struct task *task = vm->pool;
    if (task) {
        vm->pool = task->next_pooled;
        vm->pooled--;
    } else {
        task = mem_zero(1, sizeof *task);
        task->vm = vm;
        list_init(&task->deferred);
    }
    if (!task->L) {
        task->L = lua_newthread(vm->L);
        task->ref = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    }
    return task;
}

static void task_free(struct task *task)
{
    if (task->arena)
        arena_destroy(task->arena);
    mem_free(task);
}

/* A coroutine that finished cleanly can run again; any other is left to the
 * collector. */
static void task_recycle(struct task *task, bool clean)
{
    struct vm *vm = task->vm;
    task_clean_up(task);
    if (clean) {
        lua_settop(task->L, 0);
    } else {
        luaL_unref(vm->L, LUA_REGISTRYINDEX, task->ref);
        task->L = NULL;
    }
    if (vm->pooled >= VM_POOLED) {
        if (task->L)
            luaL_unref(vm->L, LUA_REGISTRYINDEX, task->ref);
        task_free(task);
        return;
    }
    task->next_pooled = vm->pool;
    vm->pool = task;
    vm->pooled++;
}

void task_pool_free(struct vm *vm)
{
    while (vm->pool) {
        struct task *task = vm->pool;
        vm->pool = task->next_pooled;
        task_free(task);
    }
    vm->pooled = 0;
}

static void name_span(struct task *task)
{
    if (!task->options.trace_id)
        task->options.trace_id = span_trace_id(task->part);
    span_text(task->part, "maru.plugin", str_c(task->vm->options.label));
    span_text(task->part, "thread.name", str_c(task->vm->options.lane->name));
}

/* A task of vm that has not begun, or NULL. */
static struct task *make(struct vm *vm, const struct task_options *options, struct err *err)
{
    if (vm->retired) {
        err_set(err, ERR_CLOSED, "%s takes no more tasks: a newer generation serves",
                vm->options.label);
        return NULL;
    }
    bool always = options->kind == TASK_START || options->kind == TASK_STOP;
    if (!always && !vm_may_have(vm, CAP_TASKS, counter_get(&vm->task_count), err))
        return NULL;
    bool enforced = vm->enforced;
    vm->enforced = false;
    struct task *task = task_take(vm);
    vm->enforced = enforced;
    task->options = *options;
    task->waiting = false;
    task->retired = NULL;
    task->stop = STOP_NO;
    task->told = false;
    task->refused = 0;
    task->began = task->left_lane = 0;
    task->holder = NULL;
    task->part = options->span;
    task->wait_span = NULL;
    task->parts = NULL;
    task->part_count = 0;
    if (options->span)
        name_span(task);
    int64_t limit = options->deadline_ns > 0 ? options->deadline_ns : vm->decl->task_ns;
    task->deadline = lane_now(vm->options.lane) + limit;
    list_push_back(&vm->tasks, &task->node);
    pin(vm);
    count_task(vm);
    return task;
}

static void begin(struct task *task)
{
    struct vm *vm = task->vm;
    lua_rawgeti(task->L, LUA_REGISTRYINDEX, vm->run_ref);
    lua_pushinteger(task->L, task->options.handler);
    task_run(task, 1);
}

bool task_start(struct vm *vm, const struct task_options *options, struct err *err)
{
    struct task *task = make(vm, options, err);
    if (task)
        begin(task);
    return task != NULL;
}

static void on_turn(struct lane_message *message)
{
    struct task *task = list_entry(message, struct task, turn);
    if (task->stop == STOP_NO)
        begin(task);
    else
        task_finish(task, TASK_CANCELLED);
}

struct task *task_start_soon(struct vm *vm, const struct task_options *options, struct err *err)
{
    struct task *task = make(vm, options, err);
    if (task) {
        task->turn.fn = on_turn;
        lane_post(vm->options.lane, &task->turn);
    }
    return task;
}

int task_arguments(lua_State *L)
{
    struct task *task = vm_of(L)->running;
    return task->options.push ? task->options.push(L, task->options.arg) : 0;
}

bool task_is_own(const struct task *task, const lua_State *L)
{
    return task->L == L;
}

/* Whether the plugin caught it or not: nobody knows what was left half made. */
static void tell_killed(struct vm *vm)
{
    char reason[200];
    if (vm->told || !vm_broken(vm))
        return;
    vm->told = true;
    if (vm->kill_text)
        snprintf(reason, sizeof reason, "%s", vm->kill_text);
    else
        snprintf(reason, sizeof reason, "over its memory limit of %lld KiB",
                 (long long)(counter_get(&vm->limit) / 1024));
    if (vm->options.killed)
        vm->options.killed(vm, vm->options.owner, reason);
}

static void count_end(struct task *task, enum task_outcome outcome)
{
    struct vm_counters *counters = task->vm->counters;
    counter_add(&counters->tasks, -1);
    counter_add(&counters->ended, 1);
    if (outcome == TASK_FAILED || outcome == TASK_MEMORY || outcome == TASK_KILLED)
        counter_add(&counters->failed, 1);
    if (outcome == TASK_MEMORY || outcome == TASK_KILLED)
        counter_add(&counters->killed, 1);
    if (task->began)
        spread_add(&counters->latency, task->left_lane - task->began);
}

/* app.fail(404), app.retry and app.discard are what a handler says, not what went wrong with it. */
static bool is_fault(const struct task *task, enum task_outcome outcome)
{
    if (outcome != TASK_FAILED)
        return outcome != TASK_DONE && outcome != TASK_CANCELLED;
    return task->failure.status ? task->failure.status >= 500 : !strcmp(task->failure.code, "lua");
}

void task_finish(struct task *task, enum task_outcome outcome)
{
    struct vm *vm = task->vm;
    count_end(task, outcome);
    if (task->timer.node.slot)
        timer_stop(vm->options.lane, &task->timer);
    if (outcome == TASK_FAILED || outcome == TASK_MEMORY || outcome == TASK_KILLED) {
        if (outcome == TASK_KILLED)
            failure_killed(task, &task->failure);
        else
            failure_read(task, task->L, &task->failure);
        if (outcome == TASK_MEMORY)
            task->failure.code = "memory";
    }
    counter_add(&vm->counters->cancelled, outcome == TASK_CANCELLED);
    counter_add(&vm->counters->faults, is_fault(task, outcome));
    int results = outcome == TASK_DONE ? lua_gettop(task->L) : 0;
    if (task->options.end)
        task->options.end(task, outcome, outcome == TASK_DONE ? task->L : vm->L, results,
                          task->options.arg);
    if (task->part)
        task_spans_end(task, outcome);
    list_remove(&task->node);
    task_recycle(task, outcome == TASK_DONE);
    vm->enforced = vm->running != NULL;
    tell_killed(vm);
    unpin(vm);
}

enum task_outcome task_outcome_of(struct task *task, int status)
{
    if (status == LUA_ERRMEM)
        return TASK_MEMORY;
    if (vm_broken(task->vm) && lua_type(task->L, -1) == LUA_TSTRING &&
        strstr(lua_tostring(task->L, -1), "not enough memory"))
        return TASK_MEMORY;
    if (task->stop == STOP_CANCEL)
        return TASK_CANCELLED;
    return task->stop == STOP_DEADLINE ? TASK_TIMEOUT : TASK_FAILED;
}

/* What the C side was armed for will not come to a dead task. */
static void task_drop_wait(struct task *task)
{
    if (!task->waiting)
        return;
    task_cancel_fn *cancel = task->cancel;
    void *arg = task->cancel_arg;
    task_wake(task);
    if (cancel)
        cancel(arg);
}

static int enter(struct vm *vm, struct task *task, int args, int64_t now)
{
    struct watch_entry outer, mine = {.vm = vm,
                                      .task = task,
                                      .began_ns = now,
                                      .deadline_ns = now + task_left_ns(task),
                                      .limit_ns = vm->watchdog_ns};
    watch_enter(vm->options.lane, &mine, &outer);
    int status = lua_resume(task->L, args);
    watch_leave(vm->options.lane, vm, &outer);
    return status;
}

/* Whether the watchdog's hook has ended it, whatever the plugin's own pcalls made of that. */
static bool was_ended(struct vm *vm, struct task *task, enum task_outcome *outcome)
{
    bool ended = vm->fired || vm->starved;
    *outcome = vm->fired                     ? TASK_KILLED
               : task->stop == STOP_DEADLINE ? TASK_TIMEOUT
                                             : TASK_CANCELLED;
    vm->fired = vm->starved = false;
    return ended;
}

static void count_hold(struct task *task, int64_t began, bool nested)
{
    struct vm *vm = task->vm;
    int64_t now = clock_steady_ns();
    if (!task->began)
        task->began = began;
    task->left_lane = now;
    if (!nested)
        counter_add(&vm->counters->cpu_ns, now - began);
    spread_add(&vm->counters->hold, now - began);
    vm_tell_memory(vm);
}

void task_run(struct task *task, int args)
{
    struct vm *vm = task->vm;
    struct task *outer = vm->running;
    int64_t began = clock_steady_ns();
    vm->running = task;
    vm->enforced = true;
    int status = enter(vm, task, args, began);
    vm->enforced = false;
    vm->running = outer;
    count_hold(task, began, outer != NULL);
    enum task_outcome outcome;
    if (was_ended(vm, task, &outcome)) {
        task_drop_wait(task);
        task_finish(task, outcome);
    } else if (status == LUA_YIELD && task->waiting) {
        vm->enforced = outer != NULL;
        tell_killed(vm);
    } else if (status == LUA_YIELD) {
        task_finish(task, task->stop == STOP_DEADLINE ? TASK_TIMEOUT : TASK_CANCELLED);
    } else {
        task_finish(task, status == 0 ? TASK_DONE : task_outcome_of(task, status));
    }
}

/* ---- stopping ---------------------------------------------------------- */

int task_push_stopped(struct task *task, lua_State *L)
{
    task->told = true;
    lua_pushnil(L);
    if (task->stop == STOP_DEADLINE) {
        lua_pushliteral(L, "the task's time limit has passed");
        lua_pushliteral(L, "timeout");
    } else {
        lua_pushliteral(L, "cancelled");
        lua_pushliteral(L, "cancelled");
    }
    return 3;
}

static void stop(struct task *task, enum stop why)
{
    if (task->stop != STOP_NO)
        return;
    task->stop = why;
    if (!task->waiting)
        return;
    task_cancel_fn *cancel = task->cancel;
    void *arg = task->cancel_arg;
    task_span_failed(task, why == STOP_CANCEL ? "cancelled" : "over the task's time limit");
    lua_State *L = task_wake(task);
    if (cancel)
        cancel(arg);
    task_run(task, task_push_stopped(task, L));
}

void task_cancel(struct task *task)
{
    stop(task, STOP_CANCEL);
}

bool task_told_cancelled(const struct task *task)
{
    return task->told && task->stop == STOP_CANCEL;
}

void task_on_deadline(struct timer *timer)
{
    stop(list_entry(timer, struct task, timer), STOP_DEADLINE);
}

static struct task *first_unstopped(struct vm *vm)
{
    list_each (node, &vm->tasks) {
        struct task *task = list_entry(node, struct task, node);
        if (task->stop == STOP_NO)
            return task;
    }
    return NULL;
}

static struct task *first_told(struct vm *vm)
{
    list_each (node, &vm->tasks) {
        struct task *task = list_entry(node, struct task, node);
        if (task->waiting && task->retired)
            return task;
    }
    return NULL;
}

void vm_retire(struct vm *vm)
{
    vm->retired = true;
    pin(vm);
    for (struct task *task; (task = first_told(vm));) {
        void (*fn)(void *arg) = task->retired;
        task->retired = NULL;
        fn(task->retired_arg); /* may end it, and others with it */
    }
    unpin(vm);
}

void vm_cancel_tasks(struct vm *vm)
{
    pin(vm);
    for (struct task *task; (task = first_unstopped(vm));)
        task_cancel(task); /* may end it, and others with it */
    unpin(vm);
}
