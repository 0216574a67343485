#include "bind/forecaster_work.h"

#include <lauxlib.h>

#include "vm/args.h"
#include "vm/host.h"
#include "vm/vm.h"

/* About a millisecond of a lane. */
#define AT_ONCE 3e7

static bool is_little(lua_State *L, double operations)
{
    return operations < AT_ONCE || !vm_host(vm_of(L))->pool;
}

static int push_it(lua_State *L)
{
    struct forecaster_work *work = lua_touserdata(L, 1);
    return work->err.code ? push_error(L, &work->err) : work->push(L, work);
}

void forecaster_work_prepare(lua_State *L, double operations, const char *usage)
{
    if (!is_little(L, operations) && task_current(L))
        task_check(L, usage);
    lua_pushcfunction(L, push_it);
}

static int do_at_once(lua_State *L, struct forecaster_work *work)
{
    int top = lua_gettop(L) - 1;
    work->run(work);
    vm_uncharge(vm_of(L), work->charged);
    lua_pushlightuserdata(L, work);
    int status = lua_pcall(L, 1, LUA_MULTRET, 0);
    work->end(work);
    if (status != 0)
        return lua_error(L); /* of memory */
    return lua_gettop(L) - top;
}

static void on_pool(struct pool_job *job)
{
    struct forecaster_work *work =
        (struct forecaster_work *)((char *)job - offsetof(struct forecaster_work, job));
    work->run(work);
}

static void on_done(struct pool_job *job)
{
    struct forecaster_work *work =
        (struct forecaster_work *)((char *)job - offsetof(struct forecaster_work, job));
    if (job->cancelled)
        err_set(&work->err, ERR_CLOSED, "maru is stopping");
    if (work->task)
        vm_uncharge(task_vm(work->task), work->charged);
    task_answer(work->task, &work->err, work->push, work);
    work->end(work);
}

static void forget(void *arg)
{
    struct forecaster_work *work = arg;
    vm_uncharge(task_vm(work->task), work->charged);
    work->task = NULL;
}

int forecaster_work_do(lua_State *L, struct forecaster_work *work, double operations)
{
    struct task *task = task_current(L);
    if (is_little(L, operations) || !task)
        return do_at_once(L, work);
    lua_pop(L, 1);
    work->task = task;
    work->job.work = on_pool;
    work->job.done = on_done;
    pool_submit(vm_host(vm_of(L))->pool, &work->job, task_lane(task));
    return task_wait(task, forget, work);
}
