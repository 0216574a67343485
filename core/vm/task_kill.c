/* task_kill.c -- a task that does not end by itself, and the VM that it leaves half made. */
#include <lauxlib.h>

#include "base/mem.h"
#include "vm/task_internal.h"

void task_kill(struct task *task, const char *reason)
{
    struct vm *vm = task->vm;
    invariant(!vm->running && task->waiting);
    mem_free(vm->kill_text);
    mem_free(vm->kill_trace);
    vm->kill_text = mem_strdup(reason);
    luaL_traceback(vm->L, task->L, NULL, 0);
    vm->kill_trace = mem_strdup(lua_tostring(vm->L, -1));
    lua_pop(vm->L, 1);
    atomic_store_explicit(&vm->broken, true, memory_order_relaxed);
    task_cancel_fn *cancel = task->cancel;
    void *arg = task->cancel_arg;
    task_wake(task);
    if (cancel)
        cancel(arg); /* what the C side was armed for will not come */
    task_finish(task, TASK_KILLED);
}
