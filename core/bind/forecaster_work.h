/* forecaster_work.h -- arithmetic for a task: at once when it is little, else on the pool. */
#pragma once

#include "base/err.h"
#include "loop/pool.h"
#include "vm/task.h"

struct forecaster_work {
    void (*run)(struct forecaster_work *work); /* any thread; may set err */
    task_push_fn *push;                        /* arg is the work; not if err is set */
    void (*end)(struct forecaster_work *work); /* lane; frees it */
    size_t charged;                            /* to the VM, by the caller: given back here */
    struct err err;
    /* private */
    struct pool_job job;
    struct task *task; /* NULL once nobody waits */
};

/* Before anything is acquired: raises where so much work would have to wait and cannot.  Leaves a
 * value on the stack for forecaster_work_do. */
void forecaster_work_prepare(lua_State *L, double operations, const char *usage);
/* `return forecaster_work_do(…)`; the value of prepare is on top of the stack. */
int forecaster_work_do(lua_State *L, struct forecaster_work *work, double operations);
