/* internal.h -- what the files of vm/ share; nobody else includes it. */
#pragma once

#include <stdatomic.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/list.h"
#include "loop/lane.h"
#include "vm/blocks.h"
#include "vm/counters.h"
#include "vm/library.h"
#include "vm/task.h"
#include "vm/vm.h"

struct vm_slot {
    struct vm_slot *next;
    const char *name;
    void *value;
};

struct vm {
    /* immutable after vm_create */
    lua_State *L;
    struct vm_options options;
    struct plugin_decl *decl;
    struct blocks blocks; /* the state's memory */
    int run_ref;          /* registry: function(handler number) that every task runs */
    int push_ref;         /* registry: task_push_protected */
    int64_t load_until;   /* clock time; while vm_create runs */
    int inside_ref;       /* registry: app and modules, for inspect.c */
    /* of floats.h; a look-up by name took 2 % of a lane's time */
    int floats_ref;           /* registry: their metatable */
    const void *floats_class; /* where that lies */
    /* lane thread; read by others with relaxed loads */
    _Atomic int64_t used, limit, task_count;
    atomic_bool broken;
    /* lane thread */
    struct vm_counters *counters, *own_counters;
    int taken[CAP_COUNT]; /* by vm_take */
    int64_t told_bytes;   /* of `used` that counters->memory_bytes has */
    bool enforced;        /* allocations over the limit fail: true only where they can raise */
    int pace;             /* of the collector, see vm.c */
    bool retired;
    bool told; /* options.killed was called */
    /* of watchdog.c */
    int64_t watchdog_ns;          /* how long a handler may hold the lane */
    volatile int armed;           /* a hook is set, and why; also written by a signal handler */
    bool fired;                   /* it has ended the task that runs */
    bool starved;                 /* no allocation succeeds: how the hook ends a task */
    char *kill_text, *kill_trace; /* where, in words; or NULL */
    struct task *running;         /* innermost task inside lua_resume */
    struct list tasks;            /* started, not ended */
    struct task *pool;            /* ended cleanly, coroutine ready for reuse */
    int pooled;
    struct vm_slot *slots;
    struct buf scratch;
};

enum vm_limits {
    VM_POOLED = 256, /* coroutines kept for reuse */
};
#define VM_MEMORY_DEFAULT      ((int64_t)64 << 20)
#define VM_TASK_NS_DEFAULT     (30 * NS_PER_SECOND)
#define VM_WATCHDOG_NS_DEFAULT (1 * NS_PER_SECOND)
#define VM_LOAD_NS_DEFAULT     (10 * NS_PER_SECOND)

/* Names in the Lua registry. */
#define VM_FAILURE  "maru.failure" /* metatable of app.fail's values */
#define VM_HOST_ENV "maru.host"    /* environment of the host library's own files */

/* vm.c: a retired VM has no task left.  The owner may destroy it: nothing follows. */
void vm_idle(struct vm *vm);
/* Adds what `used` has grown by to the counters. */
static inline void vm_tell_memory(struct vm *vm)
{
    int64_t used = counter_get(&vm->used);
    counter_add(&vm->counters->memory_bytes, used - vm->told_bytes);
    vm->told_bytes = used;
}

/* task.c: frees what ended tasks left for reuse.  Needs no lua_State. */
void task_pool_free(struct vm *vm);
/* task.c, called by the coroutine's first function: pushes the event's values. */
int task_arguments(lua_State *L);
/* task.c: runs the pushing that its light userdata argument describes. */
int task_push_protected(lua_State *L);
/* Whether L is the task's coroutine, not one that the plugin made. */
bool task_is_own(const struct task *task, const lua_State *L);

/* failure.c: takes the error value off the dead coroutine and turns it into words
 * in the memory of its last call. */
void failure_read(struct task *task, lua_State *co, struct task_failure *out);
/* What a task says that the watchdog ended. */
void failure_killed(struct task *task, struct task_failure *out);
/* Pushes the metatable of app.fail's values. */
void failure_open(lua_State *L);

/* sandbox.c: opens the libraries and keeps the host library's own copy of them as
 * its environment.  May raise. */
void sandbox_open(lua_State *L);
/* Adds what lua/maru/sandbox.lua and boot.lua need from C to the table on top. */
void sandbox_parts(lua_State *L);
/* Pushes a file of the plugin's, compiled, or raises its syntax error. */
void sandbox_push_file(lua_State *L, const struct bundle *bundle, const struct bundle_file *file);

/* stack.c: whether the thread's stack has room for one more call from C into Lua; the other
 * raises "<who>: stack overflow". */
bool vm_stack_has_room(void);
void vm_stack_check(lua_State *L, const char *who);

/* plugin.c: reads the normalised table on top of the stack into *decl, which
 * is zeroed and owned by the caller, also when this raises. */
void plugin_read(lua_State *L, struct plugin_decl *decl);
