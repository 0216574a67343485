/* test_pause_lua.c -- handlers stand at their first wait: so `maru test --reload` can reload a
 * plugin while a request or a job of the test is under way, every time and not by luck. */
#include <lauxlib.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/mem.h"
#include "bind/test.h"
#include "loop/lane.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

struct paused {
    struct list link; /* under the lock */
    struct lane *lane;
    struct task *task; /* lane; NULL: it was cancelled */
};

struct test_pause {
    atomic_bool armed;
    pthread_mutex_t lock;
    struct list waiting;
};

struct test_pause *test_pause_create(void)
{
    struct test_pause *p = mem_zero(1, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    list_init(&p->waiting);
    return p;
}

static void go_on_lane(void *arg)
{
    struct paused *one = arg;
    if (one->task && task_wake(one->task))
        task_resume(one->task, 0);
    mem_free(one);
}

static void go_on(struct test_pause *p)
{
    pthread_mutex_lock(&p->lock);
    list_each_safe (link, &p->waiting) {
        struct paused *one = list_entry(link, struct paused, link);
        list_remove(link);
        lane_call(one->lane, go_on_lane, one);
    }
    pthread_mutex_unlock(&p->lock);
}

void test_pause_destroy(struct test_pause *p)
{
    if (!p)
        return;
    invariant(list_empty(&p->waiting));
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

static void cancel(void *arg)
{
    ((struct paused *)arg)->task = NULL;
}

/* In a plugin's VM, before each function that may wait: pause() (waits, when a spec asked for it)
 */
int test_pause_here(lua_State *L)
{
    struct test_pause *p = vm_host(vm_of(L))->test->pause;
    struct task *task = task_current(L);
    if (!atomic_load_explicit(&p->armed, memory_order_relaxed) || !task ||
        !task_may_wait(task, L) || task_kind(task) == TASK_START || task_kind(task) == TASK_STOP)
        return 0;
    struct paused *one = mem_zero(1, sizeof *one);
    one->lane = task_lane(task);
    one->task = task;
    pthread_mutex_lock(&p->lock);
    list_push_back(&p->waiting, &one->link);
    pthread_mutex_unlock(&p->lock);
    return task_wait(task, cancel, one);
}

/* pause(armed): whether handlers are to stand from now on */
static int l_pause(lua_State *L)
{
    struct test_pause *p = vm_host(vm_of(L))->test->pause;
    atomic_store(&p->armed, lua_toboolean(L, 1));
    return 0;
}

/* go_on(): those that stand */
static int l_go_on(lua_State *L)
{
    go_on(vm_host(vm_of(L))->test->pause);
    return 0;
}

void test_add_pause(lua_State *L)
{
    static const luaL_Reg functions[] = {{"pause", l_pause}, {"go_on", l_go_on}, {NULL, NULL}};
    luaL_register(L, NULL, functions);
}
