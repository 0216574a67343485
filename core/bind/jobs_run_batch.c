/* jobs_run_batch.c -- several jobs become one task: each has an end of its own. */
#include <lauxlib.h>

#include "base/mem.h"
#include "bind/jobs_run_internal.h"
#include "bind/trace.h"
#include "vm/host.h"
#include "vm/json.h"
#include "vm/vm.h"

/* How each member ends, before all of them are handed in together. */
struct ends {
    struct job_run **runs;
    struct job_outcome *outcomes;
    struct buf *texts; /* what outcomes point to */
    int count;
};

static struct ends ends_create(const struct call *c)
{
    size_t n = (size_t)c->count;
    return (struct ends){mem_zero(n, sizeof(struct job_run *)),
                         mem_zero(n, sizeof(struct job_outcome)), mem_zero(n, sizeof(struct buf)),
                         0};
}

/* The member's end.  The texts of what is added stay where they are until ends_finish(). */
static void ends_add(struct ends *e, struct member *m, struct job_outcome outcome)
{
    if (m->failure)
        outcome = (struct job_outcome){.end = JOB_END_FAILED, .error = str_c(m->failure)};
    e->runs[e->count] = m->running.run;
    e->outcomes[e->count++] = outcome;
    m->running.run = NULL;
}

static void ends_finish(struct ends *e)
{
    if (e->count)
        jobs_finish_all(e->runs, e->outcomes, e->count);
    for (int i = 0; i < e->count; i++)
        buf_free(&e->texts[i]);
    mem_free(e->runs);
    mem_free(e->outcomes);
    mem_free(e->texts);
}

static void call_free(struct call *c)
{
    for (int i = 0; i < c->count; i++)
        mem_free(c->members[i].failure);
    mem_free(c);
}

/* All that have not ended yet end so. */
static void end_all(struct call *c, const struct job_outcome *outcome)
{
    struct ends ends = ends_create(c);
    for (int i = 0; i < c->count; i++)
        if (c->members[i].running.run)
            ends_add(&ends, &c->members[i], *outcome);
    ends_finish(&ends);
}

/* As each was asked to, or as one does whose plugin is replaced. */
static void end_cancelled(struct call *c)
{
    struct ends ends = ends_create(c);
    for (int i = 0; i < c->count; i++) {
        struct member *m = &c->members[i];
        if (m->running.run)
            ends_add(&ends, m,
                     (struct job_outcome){.end = m->running.why, .error = STR("cancelled")});
    }
    ends_finish(&ends);
}

/* The list of job tables.  A job that cannot be read fails alone. */
static int push_jobs(lua_State *L, void *arg)
{
    struct call *c = arg;
    struct err err = {0};
    c->task = task_current(L);
    lua_createtable(L, c->count, 0);
    int list = lua_gettop(L);
    for (int i = 0; i < c->count; i++) {
        struct member *m = &c->members[i];
        if (jobs_push_run(L, m->running.run, &err)) {
            m->place = ++c->places;
            lua_rawseti(L, list, m->place);
        } else if (!m->failure)
            m->failure = mem_strdup(err.message);
        lua_settop(L, list);
    }
    if (c->places == 0)
        luaL_error(L, "%s", err.message);
    return 1;
}

/* What is wrong with the table that the handler returned; false: nothing. */
static bool is_no_answer(lua_State *L, int index, int places, struct buf *why)
{
    if (!lua_istable(L, index)) {
        buf_printf(why, "the handler of a batch returns a table of results, not a %s",
                   luaL_typename(L, index));
        return true;
    }
    lua_pushnil(L);
    while (lua_next(L, index)) {
        double key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
        lua_pop(L, 1);
        if (key >= 1 && key <= places && key == (double)(int)key)
            continue;
        buf_printf(why,
                   "the handler of a batch of %d returned a result for no job of it: [%s%.64s]",
                   places, key == 0 ? "" : "number ",
                   lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1));
        lua_pop(L, 1);
        return true;
    }
    return false;
}

static struct job_outcome answer(struct task *task, lua_State *L, int index, struct buf *text)
{
    struct task_failure failure;
    struct err err = {0};
    if (task_failure_of(task, L, index, &failure))
        return jobs_raised(&failure);
    struct job_outcome outcome = jobs_result(L, index, text, &err);
    if (outcome.end == JOB_END_DONE)
        return outcome;
    buf_clear(text);
    buf_add_str(text, outcome.error);
    outcome.error = buf_str(text);
    return outcome;
}

/* table: its index, or 0: there are no results. */
static void end_each(struct call *c, struct task *task, lua_State *L, int table)
{
    struct ends ends = ends_create(c);
    for (int i = 0; i < c->count; i++) {
        struct member *m = &c->members[i];
        struct job_outcome outcome = {.end = JOB_END_DONE};
        if (!m->running.run)
            continue;
        if (table && m->place) {
            lua_rawgeti(L, table, m->place);
            outcome = answer(task, L, lua_gettop(L), &ends.texts[ends.count]);
            lua_pop(L, 1);
        }
        ends_add(&ends, m, outcome);
    }
    ends_finish(&ends);
}

static void on_returned(struct call *c, struct task *task, lua_State *L, int results)
{
    struct buf text = {0};
    int first = lua_gettop(L) - results + 1;
    lua_checkstack(L, LUA_MINSTACK);
    if (jobs_returned_failure(L, results, &text))
        end_all(c, &(struct job_outcome){.end = JOB_END_FAILED, .error = buf_str(&text)});
    else if (results == 0 || lua_isnil(L, first))
        end_each(c, task, L, 0);
    else if (is_no_answer(L, first, c->places, &text))
        end_all(c, &(struct job_outcome){.end = JOB_END_DISCARDED, .error = buf_str(&text)});
    else
        end_each(c, task, L, first);
    buf_free(&text);
}

static void on_end(struct task *task, enum task_outcome result, lua_State *L, int results,
                   void *arg)
{
    struct call *c = arg;
    struct job_outcome outcome = {0};
    const struct job_run *first = NULL;
    for (int i = c->count - 1; i >= 0; i--)
        first = c->members[i].running.run ? c->members[i].running.run : first;
    if (jobs_ended_badly(task, result, &outcome)) {
        if (first)
            jobs_log_failure(first, c->live, task, &outcome);
        end_all(c, &outcome);
    } else if (result == TASK_CANCELLED || task_told_cancelled(task)) {
        end_cancelled(c);
    } else
        on_returned(c, task, L, results);
    call_free(c);
}

/* The others go on: only when nobody is left who was not asked does the handler hear of it. */
void jobs_call_cancel(struct running *r, enum job_end why)
{
    struct member *m = (struct member *)(void *)r;
    struct call *c = r->call;
    if (!r->run)
        return;
    r->why = why;
    c->asked += !m->asked;
    m->asked = true;
    if (c->asked == c->live) {
        if (c->task)
            task_cancel(c->task);
    } else if (why == JOB_END_CANCELLED) {
        struct job_run *run = r->run;
        r->run = NULL;
        c->live--;
        c->asked--;
        jobs_finish(run, &(struct job_outcome){.end = why, .error = STR("cancelled")});
    }
}

static struct call *call_create(struct job_run *const *runs, int count)
{
    struct call *c = mem_zero(1, sizeof *c + (size_t)count * sizeof *c->members);
    c->head.call = c;
    c->count = c->live = count;
    for (int i = 0; i < count; i++) {
        c->members[i].running =
            (struct running){.run = runs[i], .why = JOB_END_INTERRUPTED, .call = c};
        c->members[i].id = runs[i]->id;
        runs[i]->user = &c->members[i].running;
    }
    return c;
}

void jobs_run_batch_task(struct job_run *const *runs, int count, void *arg)
{
    (void)arg;
    struct job_run *first = runs[0];
    const struct job_target *target = first->target;
    struct vm *vm = target->vm(target->owner, first->lane);
    struct err err = {0};
    struct call *c = call_create(runs, count);
    const char *trace_state;
    struct span *span = trace_of_job(first->trace, str_c(first->kind), &trace_state);
    jobs_describe(span, first);
    if (span)
        span_int(span, "messaging.batch.message_count", count);
    struct task_options options = {
        .kind = TASK_JOB,
        .handler = target->handler,
        .label = first->kind,
        .deadline_ns = first->timeout_ns,
        .job = first->id,
        .jobs = count,
        .trace_state = trace_state,
        .span = span,
        .push = push_jobs,
        .end = on_end,
        .arg = c,
    };
    if (vm && task_start(vm, &options, &err))
        return;
    span_fail(span, STR("put back: its plugin's VM is not there"));
    span_end(span);
    end_all(c, &(struct job_outcome){.end = JOB_END_INTERRUPTED, .delay_ns = come_back_ns});
    call_free(c);
}
