/* jobs_more_lua.c -- app.jobs, for jobs that exist: batches, waiting, progress, changes. */
#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "bind/jobs_lua.h"
#include "bind/jobs_run.h"
#include "bind/trace.h"
#include "jobs/admin.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define BATCH    "app.jobs:batch(list, [options])"
#define DEAD     "app.jobs:dead(name, [after])"
#define PROGRESS "app.jobs:progress(fraction, [message], [id])"
#define WAIT     "app.jobs:wait(id or ids, [timeout])"

enum { WAIT_IDS = 10000, DEAD_IDS = 10000 };

static struct jobs *jobs_of(lua_State *L, struct task *task, const char *who)
{
    struct jobs *jobs = vm_host(task_vm(task))->jobs;
    bind_part(L, jobs, who, "jobs");
    return jobs;
}

/* Whatever comes back later while its task may be gone. */
struct asking {
    struct jobs_push push; /* first of the union of what is asked */
    struct jobs_batch batch;
    struct jobs_change change;
    struct jobs_query query;
    struct jobs_wait *wait;
    struct timer timer;
    struct task *task; /* NULL when nobody waits */
    char *kind;        /* of a look for the dead */
    int64_t after;
    size_t charged;
    bool late; /* the time was over first */
};

static void forget(void *arg)
{
    struct asking *a = arg;
    if (a->task)
        vm_uncharge(task_vm(a->task), a->charged);
    a->task = NULL;
}

static struct asking *asking_create(struct task *task)
{
    struct asking *a = mem_zero(1, sizeof *a);
    a->task = task;
    return a;
}

static struct task *take_task(struct asking *a)
{
    struct task *task = a->task;
    forget(a);
    return task;
}

static int push_batch_id(lua_State *L, void *arg)
{
    lua_pushnumber(L, (double)((struct asking *)arg)->batch.id);
    return 1;
}

static void on_pushed(struct jobs_push *push)
{
    struct asking *a = (struct asking *)(void *)push;
    struct task *task = take_task(a);
    task_answer(task, &push->err, push_batch_id, a);
    mem_free(a);
}

/* Element i of the list at `index`; it lives as long as the list. */
static struct str text_at(lua_State *L, int index, int i)
{
    struct str text;
    lua_rawgeti(L, index, i);
    text.p = luaL_checklstring(L, -1, &text.n);
    lua_pop(L, 1);
    return text;
}

/* kinds, texts and options (false: none) in three lists of one length. */
static size_t read_members(lua_State *L, struct job_spec *specs, struct str *args, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        specs[i] = (struct job_spec){.kind = text_at(L, 1, i + 1)};
        args[i] = text_at(L, 2, i + 1);
        lua_rawgeti(L, 3, i + 1);
        if (lua_istable(L, -1))
            jobs_read_options(L, lua_gettop(L), &specs[i]);
        lua_pop(L, 1);
        bytes += args[i].n + 64;
    }
    return bytes;
}

/*** Pushes a batch.  (waits)
 * @param kinds string[]
 * @param texts string[] JSON
 * @param options (table|false)[]
 * @param done_kind string|nil
 * @param done_text string|nil JSON object
 * @param description string|nil
 * @return integer|nil id, string? message, string? code */
static int l_batch(lua_State *L)
{
    struct task *task = task_check(L, "app.jobs:batch");
    struct vm *vm = task_vm(task);
    struct jobs *jobs = jobs_of(L, task, "app.jobs:batch");
    struct err err = {0};
    lua_settop(L, 6);
    size_t n = lua_objlen(L, 1);
    if (n < 1 || n > JOBS_PUSH_COUNT)
        args_error(L, BATCH ": list must have 1 to %d jobs", JOBS_PUSH_COUNT);
    struct job_spec *specs = task_alloc(task, n * sizeof *specs);
    struct str *args = task_alloc(task, n * sizeof *args);
    struct jobs_batch batch = {.done_kind = args_opt_string(L, 4, STR(""), BATCH, "done"),
                               .done_args = args_opt_string(L, 5, STR(""), BATCH, "done"),
                               .description = args_opt_string(L, 6, STR(""), BATCH, "description")};
    size_t bytes = read_members(L, specs, args, (int)n);
    for (size_t i = 0; i <= n; i++) {
        struct str kind = i < n ? specs[i].kind : batch.done_kind;
        bool external = i < n && specs[i].external;
        if (kind.n && !jobs_check_kind(L, vm, kind, external, BATCH, &err))
            return push_error(L, &err);
    }
    struct str trace = n <= JOBS_TRACED ? trace_of_push(task) : STR("");
    for (size_t i = 0; i < n; i++)
        specs[i].trace = trace;
    if (!vm_charge(vm, bytes, &err))
        return push_error(L, &err);
    struct asking *a = asking_create(task);
    a->charged = bytes;
    a->batch = batch;
    a->push.done = on_pushed;
    a->push.lane = vm_lane(vm);
    if (!jobs_push_batch(jobs, &a->push, &a->batch, specs, args, (int)n, &err)) {
        forget(a);
        mem_free(a);
        return push_error(L, &err);
    }
    return task_wait(task, forget, a);
}

static int push_text(lua_State *L, void *arg)
{
    struct str text = buf_str(&((struct asking *)arg)->query.out);
    lua_pushlstring(L, text.p, text.n);
    return 1;
}

static struct asking *of_query(struct jobs_query *query)
{
    return (struct asking *)(void *)((char *)query - offsetof(struct asking, query));
}

static void on_looked(struct jobs_query *query)
{
    struct asking *a = of_query(query);
    struct task *task = take_task(a);
    task_answer(task, &query->err, push_text, a);
    buf_free(&query->out);
    mem_free(a);
}

/*** A batch as JSON text, "" when there is none.  (waits) */
static int l_batch_get(lua_State *L)
{
    int64_t id = args_integer(L, 1, 1, INT64_C(1) << 53, "app.jobs:batch_get(id)", "id");
    struct task *task = task_check(L, "app.jobs:batch_get");
    struct jobs *jobs = jobs_of(L, task, "app.jobs:batch_get");
    struct asking *a = asking_create(task);
    a->query.id = id;
    a->query.done = on_looked;
    a->query.lane = task_lane(task);
    jobs_query_batch(jobs, &a->query);
    return task_wait(task, forget, a);
}

/* Ids of the kind's that are above `after`, rising. */
static int push_ids(lua_State *L, void *arg)
{
    const struct asking *a = arg;
    const struct buf *out = &a->query.out;
    lua_newtable(L);
    int n = 0;
    for (size_t at = 0; at < out->n && n < DEAD_IDS; at += sizeof(int64_t)) {
        int64_t id;
        memcpy(&id, out->p + at, sizeof id);
        if (id <= a->after)
            continue;
        lua_pushnumber(L, (double)id);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static void on_dead(struct jobs_query *query)
{
    struct asking *a = of_query(query);
    struct task *task = take_task(a);
    task_answer(task, &query->err, push_ids, a);
    buf_free(&query->out);
    mem_free(a->kind);
    mem_free(a);
}

/*** Ids of the dead jobs of a kind, rising.  (waits)
 * @param kind string "plugin.job"
 * @param after integer|nil
 * @return integer[]|nil, string? message, string? code */
static int l_dead(lua_State *L)
{
    struct str kind = args_string(L, 1, DEAD, "name");
    int64_t after =
        lua_isnoneornil(L, 2) ? 0 : args_integer(L, 2, 0, INT64_C(1) << 53, DEAD, "after");
    struct task *task = task_check(L, "app.jobs:dead");
    struct jobs *jobs = jobs_of(L, task, "app.jobs:dead");
    struct asking *a = asking_create(task);
    a->kind = mem_printf("%.*s", (int)kind.n, kind.p);
    a->after = after;
    a->query.kind = str_c(a->kind);
    a->query.ids_of = 1u << JOB_DEAD;
    a->query.done = on_dead;
    a->query.lane = task_lane(task);
    jobs_query(jobs, &a->query);
    return task_wait(task, forget, a);
}

static struct asking *of_change(struct jobs_change *change)
{
    return (struct asking *)(void *)((char *)change - offsetof(struct asking, change));
}

static int push_true(lua_State *L, void *arg)
{
    (void)arg;
    lua_pushboolean(L, 1);
    return 1;
}

static void on_changed(struct jobs_change *change)
{
    struct asking *a = of_change(change);
    struct task *task = take_task(a);
    task_answer(task, &change->err, push_true, NULL);
    mem_free(a);
}

static int change(lua_State *L, const char *who,
                  void (*fn)(struct jobs *, struct jobs_change *, int64_t))
{
    int64_t id = args_integer(L, 1, 1, INT64_C(1) << 53, who, "id");
    struct task *task = task_check(L, who);
    struct jobs *jobs = jobs_of(L, task, who);
    struct asking *a = asking_create(task);
    a->change.done = on_changed;
    a->change.lane = task_lane(task);
    fn(jobs, &a->change, id);
    return task_wait(task, forget, a);
}

/*** @param id integer @return true|nil, string? message, string? code  (waits) */
static int l_cancel(lua_State *L)
{
    return change(L, "app.jobs:cancel(id)", jobs_cancel);
}

static int l_retry(lua_State *L)
{
    return change(L, "app.jobs:retry(id)", jobs_retry);
}

/* All are over, or nobody waits any more: the timer has stopped before. */
static void on_over(void *arg)
{
    struct asking *a = arg;
    struct task *task = take_task(a);
    if (task) {
        timer_stop(task_lane(task), &a->timer);
        task_wake_with(task, push_true, NULL);
    }
    mem_free(a);
}

static void stop_waiting(void *arg)
{
    struct asking *a = arg;
    timer_stop(task_lane(a->task), &a->timer);
    forget(a);
    jobs_wait_end(a->wait);
}

static void on_late(struct timer *timer)
{
    struct asking *a = (struct asking *)(void *)((char *)timer - offsetof(struct asking, timer));
    struct task *task = a->task;
    struct err err = {0};
    err_set(&err, ERR_TIMEOUT, "timeout");
    stop_waiting(a);
    task_resume_error(task, &err);
}

/*** Waits until these have ended.  (waits)
 * @param ids integer[]
 * @param timeout number|string|nil
 * @return true|nil, string? message, string? code */
static int l_wait(lua_State *L)
{
    struct task *task = task_check(L, "app.jobs:wait");
    struct jobs *jobs = jobs_of(L, task, "app.jobs:wait");
    args_table(L, 1, WAIT, "ids");
    int64_t timeout_ns = args_opt_duration(L, 2, 0, WAIT, "timeout");
    int n = (int)lua_objlen(L, 1);
    if (n > WAIT_IDS)
        args_error(L, WAIT ": at most %d ids", WAIT_IDS);
    int64_t *ids = task_alloc(task, ((size_t)n + 1) * sizeof *ids);
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, 1, i + 1);
        ids[i] = args_integer(L, -1, 1, INT64_C(1) << 53, WAIT, "an id");
        lua_pop(L, 1);
    }
    struct asking *a = asking_create(task);
    a->timer.fire = on_late;
    a->wait = jobs_wait(jobs, ids, n, task_lane(task), on_over, a);
    if (timeout_ns > 0)
        timer_start(task_lane(task), &a->timer, timeout_ns);
    return task_wait(task, stop_waiting, a);
}

/*** @param fraction number 0 … 1 @param message string|nil @param id integer|nil of a batch's job
 * @return true|nil, string? message, string? code */
static int l_progress(lua_State *L)
{
    double fraction = args_number(L, 1, 0, 1, PROGRESS, "fraction");
    struct str message = args_opt_string(L, 2, STR(""), PROGRESS, "message");
    int64_t id =
        lua_isnoneornil(L, 3) ? 0 : args_integer(L, 3, 1, INT64_C(1) << 53, PROGRESS, "id");
    struct task *task = task_current(L);
    struct err err = {0};
    if (!task || task_kind(task) != TASK_JOB)
        return args_error(L, PROGRESS ": only in the handler of a job");
    if (!jobs_run_progress(task, id, fraction, message, &err))
        return push_error(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/*** @param kind string "plugin.job" @return integer jobs that have not ended */
static int l_unfinished(lua_State *L)
{
    static const char usage[] = "app.jobs:unfinished(name)";
    struct jobs *jobs = vm_host(vm_of(L))->jobs;
    bind_part(L, jobs, "app.jobs:unfinished", "jobs");
    lua_pushnumber(L, (double)jobs_unfinished(jobs, args_string(L, 1, usage, "name")));
    return 1;
}

void jobs_add_more(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"batch", l_batch},       {"batch_get", l_batch_get},   {"cancel", l_cancel},
        {"dead", l_dead},         {"retry", l_retry},           {"wait", l_wait},
        {"progress", l_progress}, {"unfinished", l_unfinished}, {NULL, NULL},
    };
    luaL_register(L, NULL, functions);
}
