#include "bind/jobs_run.h"

#include <lauxlib.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/trace.h"
#include "jobs/jobs.h"
#include "observe/log.h"
#include "vm/host.h"
#include "vm/json.h"
#include "vm/task.h"
#include "vm/vm.h"

/* A VM that is being rebuilt is there again soon; a lane must not spin meanwhile. */
static const int64_t come_back_ns = 50 * NS_PER_MS;

struct running {
    struct job_run *run;
    struct task *task; /* NULL until the handler's arguments are asked for */
    enum job_end why;  /* of a cancel */
};

static void finish(struct running *r, const struct job_outcome *outcome)
{
    struct job_run *run = r->run;
    mem_free(r);
    jobs_finish(run, outcome);
}

static void set_text(lua_State *L, const char *key, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

static void set_number(lua_State *L, const char *key, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

/* Arguments of a Python caller that gave positional and named ones: "*args" goes to [1 … n]. */
static void place_positional(lua_State *L)
{
    lua_getfield(L, -1, "*args");
    if (lua_istable(L, -1)) {
        int count = (int)lua_objlen(L, -1);
        for (int i = 1; i <= count; i++) {
            lua_rawgeti(L, -1, i);
            lua_rawseti(L, -3, i);
        }
        lua_pushnil(L);
        lua_setfield(L, -3, "*args");
    }
    lua_pop(L, 1);
}

/* The job table of maru.d.lua. */
static int push_job(lua_State *L, void *arg)
{
    struct running *r = arg;
    const struct job_run *run = r->run;
    struct err err = {0};
    r->task = task_current(L);
    lua_createtable(L, 0, 8);
    set_number(L, "id", (double)run->id);
    set_text(L, "kind", run->kind);
    set_text(L, "queue", run->queue);
    set_number(L, "attempt", run->attempt);
    set_number(L, "max_attempts", run->max_attempts);
    if (run->scheduled_at_wall)
        set_number(L, "scheduled_at", (double)run->scheduled_at_wall / (double)NS_PER_SECOND);
    if (!lua_json_decode(L, run->args.n ? run->args : STR("{}"), JSON_DEPTH_MAX, &err))
        luaL_error(L, "the job's arguments: %s", err.message);
    if (lua_istable(L, -1))
        place_positional(L);
    lua_setfield(L, -2, "args");
    if (run->previous.n) {
        if (!lua_json_decode(L, run->previous, JSON_DEPTH_MAX, &err))
            luaL_error(L, "the results before this job: %s", err.message);
        lua_setfield(L, -2, "previous");
    }
    return 1;
}

/* A handler that returns nil, message, code has failed, as everywhere. */
static bool returned_failure(lua_State *L, int results, struct buf *message)
{
    int first = lua_gettop(L) - results + 1;
    if (results < 2 || !lua_isnil(L, first) || lua_type(L, first + 1) != LUA_TSTRING)
        return false;
    size_t n;
    const char *text = lua_tolstring(L, first + 1, &n);
    buf_add(message, text, n);
    return true;
}

static void on_returned(struct running *r, lua_State *L, int results)
{
    struct buf text = {0};
    struct err err = {0};
    struct job_outcome outcome = {.end = JOB_END_DONE};
    int first = lua_gettop(L) - results + 1;
    if (returned_failure(L, results, &text)) {
        outcome = (struct job_outcome){.end = JOB_END_FAILED, .error = buf_str(&text)};
    } else if (results > 0 && !lua_isnil(L, first) && !lua_json_encode(L, first, &text, &err)) {
        err_wrap(&err, "the job's result"); /* another run would bring the same */
        outcome = (struct job_outcome){.end = JOB_END_DISCARDED, .error = str_c(err.message)};
    } else {
        outcome.result = buf_str(&text);
    }
    finish(r, &outcome);
    buf_free(&text);
}

static void log_failure(const struct job_run *run, const struct vm *vm, const char *message,
                        const char *traceback)
{
    struct buf fields = {0};
    struct json w = json_to(&fields);
    json_key(&w, "job");
    json_int(&w, run->id);
    json_key(&w, "kind");
    json_cstr(&w, run->kind);
    json_key(&w, "attempt");
    json_int(&w, run->attempt);
    if (traceback[0]) {
        json_key(&w, "traceback");
        json_cstr(&w, traceback);
    }
    log_write(LOG_WARN, "jobs", vm_label(vm), str_c(message), buf_str(&fields));
    buf_free(&fields);
}

static void on_raised(struct running *r, const struct vm *vm, const struct task_failure *failure)
{
    struct job_outcome outcome = {.end = JOB_END_FAILED,
                                  .error = str_c(failure->message),
                                  .traceback = str_c(failure->traceback)};
    if (strcmp(failure->code, "discard") == 0) {
        outcome.end = JOB_END_DISCARDED;
    } else if (strcmp(failure->code, "retry") == 0) {
        outcome.end = JOB_END_RETRY;
        outcome.delay_ns =
            failure->delay < 0 ? -1 : (int64_t)(failure->delay * (double)NS_PER_SECOND);
    }
    log_failure(r->run, vm, failure->message, failure->traceback);
    finish(r, &outcome);
}

static void on_stopped(struct running *r, const struct vm *vm, const char *message)
{
    log_failure(r->run, vm, message, "");
    finish(r, &(struct job_outcome){.end = JOB_END_FAILED, .error = str_c(message)});
}

static void on_cancelled(struct running *r)
{
    finish(r, &(struct job_outcome){.end = r->why, .error = STR("cancelled")});
}

static void on_end(struct task *task, enum task_outcome result, lua_State *L, int results,
                   void *arg)
{
    struct running *r = arg;
    const struct vm *vm = task_vm(task);
    switch (result) {
    case TASK_DONE:
        /* Whether its handler raised what the wait said, returned it or passed over it. */
        if (task_told_cancelled(task))
            on_cancelled(r);
        else
            on_returned(r, L, results);
        break;
    case TASK_FAILED:
        on_raised(r, vm, task_failure(task));
        break;
    case TASK_CANCELLED:
        on_cancelled(r);
        break;
    case TASK_TIMEOUT:
        on_stopped(r, vm, "the job is over its time limit");
        break;
    case TASK_MEMORY:
        on_stopped(r, vm, "not enough memory: the plugin's limit on this lane was reached");
        break;
    case TASK_KILLED:
        on_raised(r, vm, task_failure(task));
        break;
    }
}

static void describe(struct span *span, const struct job_run *run)
{
    if (!span)
        return;
    span_text(span, "messaging.system", STR("maru"));
    span_text(span, "messaging.destination.name", str_c(run->queue));
    span_int(span, "messaging.message.id", run->id);
    span_int(span, "maru.job.attempt", run->attempt);
}

struct job_run *jobs_run_of(const struct task *task)
{
    return task_kind(task) == TASK_JOB ? ((struct running *)task_arg(task))->run : NULL;
}

void jobs_run_task(struct job_run *run, void *arg)
{
    (void)arg;
    const struct job_target *target = run->target;
    struct vm *vm = target->vm(target->owner, run->lane);
    struct err err = {0};
    struct running *r = mem_zero(1, sizeof *r);
    r->run = run;
    r->why = JOB_END_INTERRUPTED;
    run->user = r;
    const char *trace_state;
    struct span *span = trace_of_job(run->trace, str_c(run->kind), &trace_state);
    describe(span, run);
    struct task_options options = {
        .kind = TASK_JOB,
        .handler = target->handler,
        .label = run->kind,
        .deadline_ns = run->timeout_ns,
        .job = run->id,
        .trace_state = trace_state,
        .span = span,
        .push = push_job,
        .end = on_end,
        .arg = r,
    };
    if (vm && task_start(vm, &options, &err))
        return;
    span_fail(span, STR("put back: its plugin's VM is not there"));
    span_end(span);
    finish(r, &(struct job_outcome){.end = JOB_END_INTERRUPTED, .delay_ns = come_back_ns});
}

void jobs_cancel_task(struct job_run *run, enum job_end why, void *arg)
{
    (void)arg;
    struct running *r = run->user;
    r->why = why;
    if (r->task)
        task_cancel(r->task);
}

void jobs_kill_task(struct job_run *run, void *arg)
{
    (void)arg;
    struct running *r = run->user;
    if (!r->task || !task_waiting(r->task))
        return; /* the watchdog sees to what does not wait */
    char *reason = mem_printf("%s had not ended at its hard timeout, attempt %d of %d", run->kind,
                              run->attempt, run->max_attempts);
    task_kill(r->task, reason);
    mem_free(reason);
}
