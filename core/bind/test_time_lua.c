/* test_time_lua.c -- raw.test: time that stands still.  Wraps loop/standstill.h and base/still.h.
 */
#include <lauxlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/test.h"
#include "loop/standstill.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

struct asking {
    struct still_ask ask; /* first */
    struct task *task;    /* NULL: nobody waits any more */
};

static void on_done(struct still_ask *ask)
{
    struct asking *a = (struct asking *)ask;
    lua_State *L = a->task ? task_wake(a->task) : NULL;
    if (L) {
        lua_pushboolean(L, ask->moved);
        task_resume(a->task, 1);
    }
    mem_free(a);
}

static void forget(void *arg)
{
    ((struct asking *)arg)->task = NULL;
}

static int ask(lua_State *L, const char *who, enum still_goal goal, int64_t until)
{
    struct task *task = task_check(L, who);
    struct asking *a = mem_zero(1, sizeof *a);
    *a = (struct asking){
        .ask = {.goal = goal, .until = until, .lane = task_lane(task), .done = on_done},
        .task = task,
    };
    standstill_ask(vm_host(vm_of(L))->test->still, &a->ask);
    return task_wait(task, forget, a);
}

/* settle() -> false, when only time could bring something (waits) */
static int l_settle(lua_State *L)
{
    return ask(L, "test.settle", STILL_SETTLE, 0);
}

/* step() -> whether there was a timer to jump to (waits) */
static int l_step(lua_State *L)
{
    return ask(L, "test.step", STILL_STEP, 0);
}

/* advance(seconds) -> true (waits) */
static int l_advance(lua_State *L)
{
    static const char usage[] = "test.clock:advance(duration)";
    if (lua_isnoneornil(L, 1))
        args_fail(L, usage, "duration", "seconds or text such as \"5m\"", 1);
    int64_t ns = args_opt_duration(L, 1, 0, usage, "duration");
    return ask(L, "test.advance", STILL_UNTIL, clock_ns() + ns);
}

void test_add_time(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"settle", l_settle},
        {"step", l_step},
        {"advance", l_advance},
        {NULL, NULL},
    };
    luaL_register(L, NULL, functions);
}
