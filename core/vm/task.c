#include "vm/task.h"

#include <lauxlib.h>
#include <lua.h>

#include "base/clock.h"
#include "base/mem.h"
#include "vm/args.h"
#include "vm/internal.h"

enum {
    TASK_LAST_WAITS = 16, /* a stopped task's waits that fail before it is dropped */
};

enum stop { STOP_NO, STOP_CANCEL, STOP_DEADLINE };

struct task {
    struct vm *vm;
    struct list node; /* in vm->tasks */
    struct task *next_pooled;
    lua_State *L; /* its coroutine; NULL when a new one is needed */
    int ref;      /* L's anchor in the registry */
    struct task_options options;
    /* the wait slot */
    bool waiting;
    task_cancel_fn *cancel;
    void *cancel_arg;
    /* stopping */
    enum stop stop;
    int refused;      /* waits since then */
    int64_t deadline; /* lane time; the timer starts with the first wait */
    struct timer timer;
    struct timer sleep;       /* of task_sleep */
    struct lane_message turn; /* of task_start_soon */
    /* its memory */
    struct arena *arena;
    const char *holder;
    struct task_failure failure;
};

static void run(struct task *task, int args);
static void finish(struct task *task, enum task_outcome outcome);

/* A VM with a pin is not idle. */
static void pin(struct vm *vm)
{
    counter_add(&vm->task_count, 1);
}

/* The owner may destroy the VM inside its idle callback: nothing follows. */
static void unpin(struct vm *vm)
{
    counter_add(&vm->task_count, -1);
    if (vm->retired && counter_get(&vm->task_count) == 0 && vm->options.idle)
        vm->options.idle(vm, vm->options.owner);
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
    if (task->arena)
        arena_reset(task->arena);
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

/* A task of vm that has not begun, or NULL. */
static struct task *make(struct vm *vm, const struct task_options *options, struct err *err)
{
    if (vm->retired) {
        err_set(err, ERR_CLOSED, "%s takes no more tasks: a newer generation serves",
                vm->options.label);
        return NULL;
    }
    if (counter_get(&vm->task_count) >= VM_TASKS) {
        err_set(err, ERR_LIMIT, "%s: %d tasks are running", vm->options.label, VM_TASKS);
        return NULL;
    }
    bool enforced = vm->enforced;
    vm->enforced = false;
    struct task *task = task_take(vm);
    vm->enforced = enforced;
    task->options = *options;
    task->waiting = false;
    task->stop = STOP_NO;
    task->refused = 0;
    task->holder = NULL;
    int64_t limit = options->deadline_ns > 0 ? options->deadline_ns : vm->decl->task_ns;
    task->deadline = lane_now(vm->options.lane) + limit;
    list_push_back(&vm->tasks, &task->node);
    pin(vm);
    counter_add(&vm->started, 1);
    return task;
}

static void begin(struct task *task)
{
    struct vm *vm = task->vm;
    lua_rawgeti(task->L, LUA_REGISTRYINDEX, vm->run_ref);
    lua_pushinteger(task->L, task->options.handler);
    run(task, 1);
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
        finish(task, TASK_CANCELLED);
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

static void finish(struct task *task, enum task_outcome outcome)
{
    struct vm *vm = task->vm;
    if (task->timer.node.slot)
        timer_stop(vm->options.lane, &task->timer);
    if (outcome == TASK_FAILED || outcome == TASK_MEMORY) {
        counter_add(&vm->errors, 1);
        failure_read(task, task->L, &task->failure);
        if (outcome == TASK_MEMORY)
            task->failure.code = "memory";
    }
    int results = outcome == TASK_DONE ? lua_gettop(task->L) : 0;
    if (task->options.end)
        task->options.end(task, outcome, outcome == TASK_DONE ? task->L : vm->L, results,
                          task->options.arg);
    list_remove(&task->node);
    task_recycle(task, outcome == TASK_DONE);
    vm->enforced = vm->running != NULL;
    unpin(vm);
}

static enum task_outcome outcome_of_error(struct task *task, int status)
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

/* The only place that enters Lua on a coroutine. */
static void run(struct task *task, int args)
{
    struct vm *vm = task->vm;
    struct task *outer = vm->running;
    int64_t began = outer ? 0 : clock_ns();
    vm->running = task;
    vm->enforced = true;
    int status = lua_resume(task->L, args);
    vm->enforced = false;
    vm->running = outer;
    if (!outer)
        counter_add(&vm->cpu_ns, clock_ns() - began);
    if (status == LUA_YIELD && task->waiting)
        vm->enforced = outer != NULL;
    else if (status == LUA_YIELD)
        finish(task, task->stop == STOP_DEADLINE ? TASK_TIMEOUT : TASK_CANCELLED);
    else
        finish(task, status == 0 ? TASK_DONE : outcome_of_error(task, status));
}

/* ---- stopping ---------------------------------------------------------- */

static int push_stopped(struct task *task, lua_State *L)
{
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
    lua_State *L = task_wake(task);
    if (cancel)
        cancel(arg);
    run(task, push_stopped(task, L));
}

void task_cancel(struct task *task)
{
    stop(task, STOP_CANCEL);
}

static void on_deadline(struct timer *timer)
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

void vm_cancel_tasks(struct vm *vm)
{
    pin(vm);
    for (struct task *task; (task = first_unstopped(vm));)
        task_cancel(task); /* may end it, and others with it */
    unpin(vm);
}

/* ---- for bindings ------------------------------------------------------ */

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
    return task;
}

int task_wait(struct task *task, task_cancel_fn *cancel, void *arg)
{
    if (task->stop != STOP_NO) {
        if (cancel)
            cancel(arg);
        if (task->refused++ < TASK_LAST_WAITS)
            return push_stopped(task, task->L);
        return lua_yield(task->L, 0); /* without a wait: run() drops the task */
    }
    task->waiting = true;
    task->cancel = cancel;
    task->cancel_arg = arg;
    if (!task->timer.node.slot) {
        struct lane *lane = task->vm->options.lane;
        int64_t left = task->deadline - lane_now(lane);
        task->timer.fire = on_deadline;
        timer_start(lane, &task->timer, left > 0 ? left : 0);
    }
    return lua_yield(task->L, 0);
}

static void on_slept(struct timer *timer)
{
    struct task *task = list_entry(timer, struct task, sleep);
    lua_State *L = task_wake(task);
    lua_pushboolean(L, 1);
    run(task, 1);
}

static void stop_sleep(void *arg)
{
    struct task *task = arg;
    timer_stop(task->vm->options.lane, &task->sleep);
}

int task_sleep(struct task *task, int64_t ns)
{
    struct lane *lane = task->vm->options.lane;
    int64_t late = clock_ns() - lane_now(lane); /* timers count from the turn's begin */
    task->sleep.fire = on_slept;
    timer_start(lane, &task->sleep, ns + (late > 0 ? late : 0));
    return task_wait(task, stop_sleep, task);
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
    task->vm->enforced = false; /* the caller's pushes cannot raise; run() looks again */
    return task->L;
}

void task_resume(struct task *task, int results)
{
    run(task, results);
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
        run(task, results);
    else
        finish(task, outcome_of_error(task, status));
}

static int push_err(lua_State *L, void *arg)
{
    return push_error(L, arg);
}

void task_resume_error(struct task *task, const struct err *err)
{
    struct err copy = *err;
    task_wake_with(task, push_err, &copy);
}

void *task_alloc(struct task *task, size_t bytes)
{
    if (!task->arena)
        task->arena = arena_create();
    void *p = arena_alloc(task->arena, bytes);
    memset(p, 0, bytes);
    return p;
}

void task_defer(struct task *task, void (*fn)(void *arg), void *arg)
{
    if (!task->arena)
        task->arena = arena_create();
    arena_defer(task->arena, fn, arg);
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

const char *task_label(const struct task *task)
{
    return task->options.label ? task->options.label : "";
}

const char *task_trace_id(const struct task *task)
{
    return task->options.trace_id;
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
