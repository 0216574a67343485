#include "bind/jobs_run_internal.h"

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

bool jobs_push_run(lua_State *L, const struct job_run *run, struct err *err)
{
    lua_createtable(L, 0, 8);
    set_number(L, "id", (double)run->id);
    set_text(L, "kind", run->kind);
    set_text(L, "queue", run->queue);
    set_number(L, "attempt", run->attempt);
    set_number(L, "max_attempts", run->max_attempts);
    if (run->scheduled_at_wall)
        set_number(L, "scheduled_at", (double)run->scheduled_at_wall / (double)NS_PER_SECOND);
    if (!lua_json_decode(L, run->args.n ? run->args : STR("{}"), JSON_DEPTH_MAX, err))
        return err_wrap(err, "the job's arguments");
    if (lua_istable(L, -1))
        place_positional(L);
    lua_setfield(L, -2, "args");
    if (run->previous.n) {
        if (!lua_json_decode(L, run->previous, JSON_DEPTH_MAX, err))
            return err_wrap(err, "the results before this job");
        lua_setfield(L, -2, "previous");
    }
    return true;
}

/* The job table of maru.d.lua. */
static int push_job(lua_State *L, void *arg)
{
    struct running *r = arg;
    struct err err = {0};
    r->task = task_current(L);
    if (!jobs_push_run(L, r->run, &err))
        luaL_error(L, "%s", err.message);
    return 1;
}

bool jobs_returned_failure(lua_State *L, int results, struct buf *message)
{
    int first = lua_gettop(L) - results + 1;
    if (results < 2 || !lua_isnil(L, first) || lua_type(L, first + 1) != LUA_TSTRING)
        return false;
    size_t n;
    const char *text = lua_tolstring(L, first + 1, &n);
    buf_add(message, text, n);
    return true;
}

struct job_outcome jobs_result(lua_State *L, int index, struct buf *text, struct err *err)
{
    if (!lua_isnil(L, index) && !lua_json_encode(L, index, text, err)) {
        err_wrap(err, "the job's result"); /* another run would bring the same */
        return (struct job_outcome){.end = JOB_END_DISCARDED, .error = str_c(err->message)};
    }
    return (struct job_outcome){.end = JOB_END_DONE, .result = buf_str(text)};
}

static void on_returned(struct running *r, lua_State *L, int results)
{
    struct buf text = {0};
    struct err err = {0};
    struct job_outcome outcome = {.end = JOB_END_DONE};
    int first = lua_gettop(L) - results + 1;
    if (jobs_returned_failure(L, results, &text))
        outcome = (struct job_outcome){.end = JOB_END_FAILED, .error = buf_str(&text)};
    else if (results > 0)
        outcome = jobs_result(L, first, &text, &err);
    finish(r, &outcome);
    buf_free(&text);
}

void jobs_log_failure(const struct job_run *run, int count, const struct task *task,
                      const struct job_outcome *outcome)
{
    struct buf fields = {0};
    struct json w = json_to(&fields);
    json_key(&w, "job");
    json_int(&w, run->id);
    if (count > 1) {
        json_key(&w, "jobs");
        json_int(&w, count);
    }
    json_key(&w, "kind");
    json_cstr(&w, run->kind);
    json_key(&w, "attempt");
    json_int(&w, run->attempt);
    if (outcome->traceback.n) {
        json_key(&w, "traceback");
        json_str(&w, outcome->traceback);
    }
    log_write(LOG_WARN, "jobs", vm_label(task_vm(task)), outcome->error, buf_str(&fields));
    buf_free(&fields);
}

struct job_outcome jobs_raised(const struct task_failure *failure)
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
    return outcome;
}

bool jobs_ended_badly(const struct task *task, enum task_outcome result,
                      struct job_outcome *outcome)
{
    switch (result) {
    case TASK_FAILED:
    case TASK_KILLED:
        *outcome = jobs_raised(task_failure(task));
        return true;
    case TASK_TIMEOUT:
        *outcome = (struct job_outcome){.end = JOB_END_FAILED,
                                        .error = STR("the job is over its time limit")};
        return true;
    case TASK_MEMORY:
        *outcome = (struct job_outcome){
            .end = JOB_END_FAILED,
            .error = STR("not enough memory: the plugin's limit on this lane was reached")};
        return true;
    case TASK_DONE:
    case TASK_CANCELLED:
        break;
    }
    return false;
}

static void on_cancelled(struct running *r)
{
    finish(r, &(struct job_outcome){.end = r->why, .error = STR("cancelled")});
}

static void on_end(struct task *task, enum task_outcome result, lua_State *L, int results,
                   void *arg)
{
    struct running *r = arg;
    struct job_outcome outcome = {0};
    if (jobs_ended_badly(task, result, &outcome)) {
        jobs_log_failure(r->run, 1, task, &outcome);
        finish(r, &outcome);
    } else if (result == TASK_CANCELLED || task_told_cancelled(task)) {
        /* Whether its handler raised what the wait said, returned it or passed over it. */
        on_cancelled(r);
    } else
        on_returned(r, L, results);
}

void jobs_describe(struct span *span, const struct job_run *run)
{
    if (!span)
        return;
    span_text(span, "messaging.system", STR("maru"));
    span_text(span, "messaging.destination.name", str_c(run->queue));
    span_int(span, "messaging.message.id", run->id);
    span_int(span, "maru.job.attempt", run->attempt);
}

bool jobs_run_progress(struct task *task, int64_t id, double fraction, struct str message,
                       struct err *err)
{
    const struct running *r = task_kind(task) == TASK_JOB ? task_arg(task) : NULL;
    const struct call *c = r ? r->call : NULL;
    int found = 0, fresh = 0;
    if (r && !c && (!id || id == r->run->id)) {
        found = 1;
        fresh = jobs_progress(r->run, fraction, message);
    }
    for (int i = 0; c && i < c->count; i++) {
        const struct member *m = &c->members[i];
        if (id && m->id != id)
            continue;
        found++;
        fresh += m->running.run && jobs_progress(m->running.run, fraction, message);
    }
    if (found == 0)
        return err_set(err, ERR_NOT_FOUND, "this handler runs no job %lld", (long long)id);
    return fresh > 0 || err_set(err, ERR_CANCELLED, "this run of the job does not count any more");
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
    jobs_describe(span, run);
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
    if (r->call) {
        jobs_call_cancel(r, why);
        return;
    }
    r->why = why;
    if (r->task)
        task_cancel(r->task);
}

void jobs_kill_task(struct job_run *run, void *arg)
{
    (void)arg;
    struct running *r = run->user;
    struct task *task = r->call ? r->call->task : r->task;
    if (!task || !task_waiting(task))
        return; /* the watchdog sees to what does not wait */
    char *reason = mem_printf("%s had not ended at its hard timeout, attempt %d of %d", run->kind,
                              run->attempt, run->max_attempts);
    task_kill(task, reason);
    mem_free(reason);
}
