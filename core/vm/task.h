/* task.h -- one run of one handler: a Lua coroutine with an owner, a deadline and one wait slot.
 *
 * A task belongs to one VM and so to one lane; every function here runs on that
 * lane's thread.  Waiting is a yield out of a C function as its last act:
 *
 *   static int l_sleep(lua_State *L)                       -- bind/time_lua.c
 *   {
 *       double seconds = args_number(L, 1, 0, 1e9, "app.sleep(seconds)");
 *       struct task *task = task_check(L, "app.sleep");    -- refuses where waiting is impossible
 *       struct sleep *s = task_alloc(task, sizeof *s);     -- freed when its next call waits
 *       s->task = task; s->timer.fire = on_fire;
 *       timer_start(task_lane(task), &s->timer, …);
 *       return task_wait(task, cancel_sleep, s);           -- last statement
 *   }
 *   static void on_fire(struct timer *t)
 *   {
 *       struct sleep *s = …;
 *       lua_State *L = task_wake(s->task);                 -- takes the wait slot; NULL if
 * cancelled lua_pushboolean(L, 1); task_resume(s->task, 1);                           -- the call
 * returns these values
 *   }
 *
 * When the client goes away, the deadline passes or the generation is retired,
 * the host empties the slot, calls its cancel function (which must stop the C
 * side from waking the task later; what cannot be stopped keeps its own memory
 * and remembers that nobody waits) and resumes with nil, message, code where
 * code is "cancelled" or "timeout".
 */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"

struct lane;
struct span;
struct task;
struct vm;

enum task_kind {
    TASK_REQUEST,
    TASK_JOB,
    TASK_SOCKET,
    TASK_START,
    TASK_STOP,
    TASK_SPAWN,
    TASK_CALL
};

enum task_outcome {
    TASK_DONE,      /* the handler returned; its values are on L */
    TASK_FAILED,    /* it raised; task_failure() tells */
    TASK_CANCELLED, /* client gone, generation retired */
    TASK_TIMEOUT,   /* deadline passed */
    TASK_MEMORY,    /* the VM's memory limit; the VM is to be rebuilt */
    TASK_KILLED,    /* it held its lane too long without waiting; task_failure() tells where */
};

/* What a failed task says.  Strings are valid until the end callback returns. */
struct task_failure {
    int status;          /* from app.fail(status, …); 0 when plain code raised */
    const char *code;    /* from app.fail, app.discard ("discard"), app.retry ("retry"), or "lua" */
    const char *message; /* without traceback, with file:line */
    const char *traceback; /* of the coroutine; "" for app.fail */
    double delay;          /* app.retry: seconds; < 0 when not given */
    struct str extra_json; /* app.fail's fourth argument as JSON, or empty */
};

/* Called once, on the lane, when the handler is over; L is the coroutine with
 * `results` values on top when outcome is TASK_DONE, else a state of the VM with
 * none.  It runs outside of any protected call: it may push, but calls nothing
 * that raises.  The task is recycled after it returns. */
typedef void task_end_fn(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                         void *arg);
/* Pushes the handler's arguments behind `app` onto L; returns how many.  May
 * raise Lua errors. */
typedef int task_push_fn(lua_State *L, void *arg);
typedef void task_cancel_fn(void *arg);

struct task_options {
    enum task_kind kind;
    int handler;             /* its number in the plugin's declaration (1..); -1: push gives the
                                function first, then its arguments */
    const char *label;       /* borrowed, for logs: "GET /api/live" */
    int64_t deadline_ns;     /* from now; 0 = the plugin's limits.task */
    const char *trace_id;    /* borrowed until the end, or NULL: that of the span, if any */
    const char *trace_state; /* of the caller's trace, passed on; borrowed, or NULL */
    struct span
        *span;   /* of this task (observe/trace.h), or NULL; the task ends it, once it began */
    int64_t job; /* number of the job that it runs, or 0 */
    int jobs;    /* how many it runs, of which that is the first; 0 or 1: it alone */
    task_push_fn *push; /* may be NULL: only app is passed */
    task_end_fn *end;
    void *arg; /* of push and end */
};

/* Starts handler(app, …) at once; may end (and call end) before returning.
 * False with *err when the VM takes no more tasks (ERR_LIMIT, ERR_CLOSED). */
bool task_start(struct vm *vm, const struct task_options *options, struct err *err);

/* The same on the lane's next turn, for a task that starts another: the caller's
 * stack does not grow with chains of them.  The task, or NULL with *err.  If it
 * is cancelled before it began, only end is called. */
struct task *task_start_soon(struct vm *vm, const struct task_options *options, struct err *err);

/* Asks a running task to stop; end is called with TASK_CANCELLED unless the
 * handler finishes by itself.  Safe for a task that waits or that runs. */
void task_cancel(struct task *task);
/* Whether a wait of it has failed with "cancelled".  What its handler returned all the same, or
 * did not look at, is then not the end of its work. */
bool task_told_cancelled(const struct task *task);

/* Ends a task that waits, and its VM with it, by force: end is called with TASK_KILLED and
 * this reason before it returns.  Not from inside of a handler. */
void task_kill(struct task *task, const char *reason);

/* For bindings. */
struct task *task_current(lua_State *L); /* the running task, or NULL while loading */
/* The running task, or raises naming `who`: no handler is running (the file is
 * loading), inside coroutine.wrap of the plugin's own, inside a C callback
 * (table.sort, gsub), or inside store:tx (see task_hold). */
struct task *task_check(lua_State *L, const char *who);
/* Whether task_check() would not raise now. */
bool task_may_wait(const struct task *task, lua_State *L);
/* `return task_wait(…)`: the C side is armed and does not call back before the
 * binding returned.  In a task that was stopped the wait fails at once: cancel
 * runs, and nil, message, code are the results.  The 17th such wait drops the
 * task, so that a loop around app.sleep ends too. */
int task_wait(struct task *task, task_cancel_fn *cancel, void *arg);
/* For the wait that follows: fn(arg) is called as soon as the VM takes no more tasks, long
 * before this one is cancelled; it may wake the task.  Not called in a VM that is retired. */
void task_when_retired(struct task *task, void (*fn)(void *arg), void *arg);
/* `return task_sleep(…)`: true after ns; nil, message, "limit" over limits.timers. */
int task_sleep(struct task *task, int64_t ns);
bool task_waiting(const struct task *task);
/* Takes the wait slot before results are pushed.  NULL when the task no longer
 * waits (it was cancelled): the caller then only frees its own things. */
lua_State *task_wake(struct task *task);
void task_resume(struct task *task, int results);
/* The way to wake: takes the wait slot, runs push(L, arg) in protected mode (so
 * that the VM's memory limit ends the task and not the process) and resumes
 * with what it pushed.  A task that no longer waits is left alone.  task_wake
 * and task_resume by themselves are for values that need no memory: booleans,
 * numbers, nil. */
void task_wake_with(struct task *task, task_push_fn *push, void *arg);
/* task_wake_with nil, message, code. */
void task_resume_error(struct task *task, const struct err *err);
/* The end of a wait: with *err if it has a code, else with what push(L, arg) pushes.  task may be
 * NULL: it does not wait any more. */
void task_answer(struct task *task, const struct err *err, task_push_fn *push, void *arg);

/* Memory of one call (zeroed): until the task's next task_check(), or its end.  A task may go on
 * for days, so what is to outlive the call has an owner of its own, and task_defer. */
void *task_alloc(struct task *task, size_t bytes);

/* A clean-up at the task's end, kept inside of what it cleans up (zeroed before). */
struct task_deferred {
    struct list node;
    void (*fn)(void *arg);
    void *arg;
};
/* fn(arg) runs once at the task's end, last in first out, unless task_undefer took it out. */
void task_defer(struct task *task, struct task_deferred *d, void (*fn)(void *arg), void *arg);
void task_undefer(struct task_deferred *d); /* harmless when it is not in, or not any more */

/* While held (inside store:tx) every wait raises "only tx may wait inside
 * store:tx", but for those whose `who` begins with `holder` ("tx").  NULL
 * releases. */
void task_hold(struct task *task, const char *holder);
const char *task_held_by(const struct task *task);

struct lane *task_lane(const struct task *task);
struct vm *task_vm(const struct task *task);
enum task_kind task_kind(const struct task *task);
const char *task_label(const struct task *task);
int64_t task_job(const struct task *task); /* the number of the job that it runs, or 0 */
int task_jobs(const struct task *task);    /* how many it runs, from that one on */
const char *task_trace_id(const struct task *task);
const char *task_trace_state(const struct task *task); /* or NULL */
/* What the task does now, as a span; NULL when its trace is not kept. */
struct span *task_span(const struct task *task);
/* The span of the wait that follows, named as task_check() was told, for what is known about it;
 * it ends with the wait.  NULL when the trace is not kept. */
struct span *task_wait_span(struct task *task);
/* A part of the task, named by its plugin; parts lie in each other and end with the task. */
void task_part_begin(struct task *task, struct str name);
void task_part_end(struct task *task, const char *failure); /* NULL: it did not fail */
int64_t task_left_ns(const struct task *task);              /* until its deadline, at least 0 */
void *task_arg(const struct task *task);
const struct task_failure *task_failure(const struct task *task); /* in end, unless it is DONE */
/* In end: whether the value is one that app.fail, app.retry or app.discard made, and what a raise
 * of it would have said. */
bool task_failure_of(struct task *task, lua_State *L, int index, struct task_failure *out);
