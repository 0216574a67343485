/* generation_run.c -- start(app, previous) and stop(app), as tasks in the home lane. */

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "loop/lane.h"
#include "reload/generation.h"
#include "vm/bundle.h"
#include "vm/json.h"
#include "vm/task.h"
#include "vm/vm.h"

/* One call of start or stop, there and back. */
struct call {
    struct generation *generation;
    bool is_start;
    int64_t deadline_ns;
    char *previous; /* JSON for start */
    char *result;   /* JSON from stop */
    struct err err;
    generation_fn *started;
    generation_stop_fn *stopped;
    void *arg;
};

static const char *call_name(const struct call *c)
{
    return c->is_start ? "start" : "stop";
}

static void finish_on_control(void *arg)
{
    struct call *c = arg;
    const struct err *failure = c->err.code ? &c->err : NULL;
    if (c->is_start)
        c->started(c->generation, failure, c->arg);
    else
        c->stopped(c->generation, c->result, failure, c->arg);
    mem_free(c->previous);
    mem_free(c);
}

static int push_previous(lua_State *L, void *arg)
{
    struct call *c = arg;
    struct err err;
    if (!c->previous)
        return 0;
    return lua_json_decode(L, str_c(c->previous), JSON_DEPTH_MAX, &err) ? 1 : 0;
}

static void take_result(struct call *c, lua_State *L, int results)
{
    struct buf text = {0};
    if (c->is_start || !results || lua_isnil(L, -results))
        return;
    if (lua_json_encode(L, lua_gettop(L) - results + 1, &text, &c->err))
        c->result = buf_take(&text, &(size_t){0});
    else
        err_wrap(&c->err, "stop() of %s returned", c->generation->label);
    buf_free(&text);
}

static void on_end(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                   void *arg)
{
    struct call *c = arg;
    vm_compile(task_vm(task), true);
    const struct task_failure *failure =
        outcome == TASK_FAILED || outcome == TASK_KILLED ? task_failure(task) : NULL;
    const char *who = c->generation->label;
    char place[256];
    vm_place(task_vm(task), c->is_start ? c->generation->decl->start : c->generation->decl->stop,
             place, sizeof place);
    if (!*place)
        snprintf(place, sizeof place, "%s/plugin.lua", c->generation->bundle->dir);
    if (outcome == TASK_DONE)
        take_result(c, L, results);
    else if (failure)
        err_set(&c->err, ERR_LUA, "%s", failure->message);
    else if (outcome == TASK_TIMEOUT)
        err_set(&c->err, ERR_TIMEOUT, "%s: %s() took longer than %lld ms", place, call_name(c),
                (long long)(c->deadline_ns / 1000000));
    else if (outcome == TASK_MEMORY)
        err_set(&c->err, ERR_MEMORY, "%s: %s() ran out of memory", place, call_name(c));
    else
        err_set(&c->err, ERR_CANCELLED, "%s of %s was cancelled", call_name(c), who);
    lane_call(c->generation->on->control, finish_on_control, c);
}

static void call_on_lane(void *arg)
{
    struct call *c = arg;
    struct generation *g = c->generation;
    struct lane *lane = g->on->lanes[g->home];
    struct vm *vm = generation_vm(g, lane);
    struct task_options options = {
        .kind = c->is_start ? TASK_START : TASK_STOP,
        .handler = c->is_start ? g->decl->start : g->decl->stop,
        .label = call_name(c),
        .deadline_ns = c->deadline_ns,
        .push = push_previous,
        .end = on_end,
        .arg = c,
    };
    /* A start or stop that loops must cost an error and not the process. */
    if (vm)
        vm_compile(vm, false);
    if (!vm)
        err_set(&c->err, ERR_CLOSED, "%s has no VM on its home lane", g->label);
    if (!vm || !task_start(vm, &options, &c->err))
        lane_call(g->on->control, finish_on_control, c);
}

static void call_begin(struct call *c, int handler)
{
    struct generation *g = c->generation;
    if (handler < 0 || generation_held(g))
        lane_call(g->on->control, finish_on_control, c);
    else
        lane_call(g->on->lanes[g->home], call_on_lane, c);
}

void generation_start(struct generation *g, const char *previous, int64_t deadline_ns,
                      generation_fn *done, void *arg)
{
    struct call *c = mem_zero(1, sizeof *c);
    *c = (struct call){.generation = g,
                       .is_start = true,
                       .deadline_ns = deadline_ns,
                       .previous = mem_strdup(previous),
                       .started = done,
                       .arg = arg};
    call_begin(c, g->decl->start);
}

void generation_stop(struct generation *g, int64_t deadline_ns, generation_stop_fn *done, void *arg)
{
    struct call *c = mem_zero(1, sizeof *c);
    *c = (struct call){.generation = g, .deadline_ns = deadline_ns, .stopped = done, .arg = arg};
    call_begin(c, g->decl->stop);
}
