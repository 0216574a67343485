/* jobs_lua.c -- app.jobs.  Wraps jobs/jobs.h; core/lua/maru/jobs.lua adds JSON and tx.jobs. */
#include <ctype.h>
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/jobs_lua.h"
#include "bind/store_lua.h"
#include "bind/trace.h"
#include "jobs/admin.h"
#include "vm/args.h"
#include "vm/capability.h"
#include "vm/host.h"
#include "vm/json.h"
#include "vm/task.h"
#include "vm/vm.h"

#define PUSH "app.jobs:push(name, [args], [options])"
#define GET  "app.jobs:get(id)"

enum { FEW = 8 }; /* texts of one push that need no memory of their own */

struct pushing {
    struct jobs_push push; /* first */
    struct task *task;     /* NULL when nobody waits */
    size_t charged;        /* to its VM, while the task waits */
};

static int push_ids(lua_State *L, void *arg)
{
    const struct jobs_push *push = arg;
    lua_createtable(L, push->count, 0);
    for (int i = 0; i < push->count; i++) {
        lua_pushnumber(L, (double)(push->first_id + i));
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int push_refusal(lua_State *L, void *arg)
{
    const struct err *err = arg;
    lua_pushnil(L);
    lua_pushstring(L, err->message);
    lua_pushstring(L, err->code == ERR_EXISTS ? "duplicate" : err_code_name(err->code));
    return 3;
}

/* Nobody waits any more. */
static void let_go(struct pushing *p)
{
    if (p->task)
        vm_uncharge(task_vm(p->task), p->charged);
    p->task = NULL;
}

static void wake(struct pushing *p)
{
    struct task *task = p->task;
    let_go(p);
    if (task && p->push.err.code != ERR_NONE)
        task_wake_with(task, push_refusal, &p->push.err);
    else if (task)
        task_wake_with(task, push_ids, &p->push);
}

static void on_done(struct jobs_push *push)
{
    wake((struct pushing *)push);
    mem_free(push);
}

/* The rows are in the transaction; done follows when that has ended. */
static void on_ran(struct jobs_push *push)
{
    wake((struct pushing *)push);
}

static void forget(void *arg)
{
    let_go(arg);
}

static int read_priority(lua_State *L, int index)
{
    static const char *const names[] = {"high", "normal", "low"};
    struct str text = opt_string(L, index, "priority", (struct str){0}, PUSH);
    if (!text.p)
        return 0;
    for (int i = 0; i < 3; i++)
        if (str_eq_c(text, names[i]))
            return i + 1;
    return args_error(L, PUSH ": options.priority must be high, normal or low");
}

/* As M.queues and M.jobs have it: it stands in metrics, paths and lists. */
static struct str read_queue(lua_State *L, int index)
{
    struct str name = opt_string(L, index, "queue", (struct str){0}, PUSH);
    if (!name.p)
        return STR("");
    bool plain = name.n > 0 && name.n <= 100;
    for (size_t i = 0; plain && i < name.n; i++)
        plain = isalnum((unsigned char)name.p[i]) || (name.p[i] && strchr("_.-", name.p[i]));
    if (!plain)
        args_error(L, PUSH ": options.queue must be 1 to 100 letters, digits, _ . or -");
    return name;
}

static int read_retries(lua_State *L, int index)
{
    double retries = opt_number(L, index, "retries", NAN, PUSH);
    if (isnan(retries))
        return 0;
    if (retries < 0 || retries > 1000 || retries != floor(retries))
        args_error(L, PUSH ": options.retries must be a whole number from 0 to 1000");
    return (int)retries + 1;
}

/* 0 is not "none": an option left out is. */
static int64_t read_span(lua_State *L, int index, const char *key)
{
    int64_t ns = opt_duration(L, index, key, -1, PUSH);
    if (ns == 0)
        args_error(L, PUSH ": options.%s must be longer than 0", key);
    return ns < 0 ? 0 : ns;
}

static int64_t read_run_at(lua_State *L, int index)
{
    opt_push(L, index, "delay");
    opt_push(L, index, "at");
    if (!lua_isnil(L, -1) && !lua_isnil(L, -2))
        args_error(L, PUSH ": options.delay or options.at, not both");
    lua_pop(L, 2);
    int64_t delay = opt_duration(L, index, "delay", 0, PUSH);
    double at = opt_number(L, index, "at", 0, PUSH);
    if (at < 0 || at > 4e9)
        args_error(L, PUSH ": options.at must be seconds since 1970");
    if (delay > 0)
        return clock_wall_ns() + delay;
    return (int64_t)(at * (double)NS_PER_SECOND);
}

void jobs_read_options(lua_State *L, int options, struct job_spec *spec)
{
    static const char *const known[] = {"delay",   "at",      "priority", "queue",
                                        "retries", "timeout", "unique",   "result_ttl",
                                        "key",     "expires", "celery",   NULL};
    if (!args_opt_table(L, options, PUSH, "options"))
        return;
    if (opt_boolean(L, options, "celery", false, PUSH)) {
        jobs_read_celery(L, options, spec);
        return;
    }
    opt_known(L, options, known, PUSH);
    spec->queue = read_queue(L, options);
    spec->priority = read_priority(L, options);
    spec->retries = read_retries(L, options);
    spec->timeout_ns = read_span(L, options, "timeout");
    spec->run_at_wall = read_run_at(L, options);
    spec->key = opt_string(L, options, "key", STR(""), PUSH);
    spec->expires_ns = read_span(L, options, "expires");
    jobs_read_unique(L, options, spec);
    spec->result_ttl_ns = read_span(L, options, "result_ttl");
}

/* Jobs of others: what the caller may reach is raised about, what they offer is an answer. */
static bool check_other(lua_State *L, const struct vm *vm, struct str kind, const char *usage,
                        struct err *err)
{
    struct str name = kind, plugin = str_split(&name, '.');
    if (str_eq_c(plugin, vm_plugin(vm)))
        return true;
    if (!capability_names(&vm_decl(vm)->allow[CAPABILITY_JOB], plugin, name))
        args_error(L,
                   "%s: '%s' is another plugin's job: list \"%s\" in M.allow.jobs and its plugin in"
                   " M.requires",
                   usage, kind.p, kind.p);
    switch (jobs_offer(vm_host(vm)->jobs, kind)) {
    case JOB_UNKNOWN:
        return err_set(err, ERR_NOT_FOUND, "there is no job %s", kind.p);
    case JOB_PRIVATE:
        return err_set(err, ERR_FORBIDDEN, "the job %s does not say export = true", kind.p);
    case JOB_EXPORTED:
        break;
    }
    return true;
}

bool jobs_check_kind(lua_State *L, const struct vm *vm, struct str kind, bool external,
                     const char *usage, struct err *err)
{
    struct buf *known = vm_scratch((struct vm *)(uintptr_t)vm);
    buf_clear(known);
    if (!external)
        return check_other(L, vm, kind, usage, err);
    /* A task that a plugin here runs is that plugin's job; others are Python's. */
    return !jobs_task_kind(vm_host(vm)->jobs, kind, known) ||
           check_other(L, vm, str_c(known->p), usage, err);
}

/* The table on top, in the scratch buffer: as a string of Lua's it would be hashed for nothing. */
static struct str encode_args(lua_State *L)
{
    struct buf *text = vm_scratch(vm_of(L));
    struct err err;
    if (!lua_json_encode(L, lua_gettop(L), text, &err))
        args_error(L, "%s: args: %s", PUSH, err.message);
    return buf_str(text);
}

/* kind at `first`, list of JSON texts behind it, options last. */
static struct job_spec read_spec(lua_State *L, int first)
{
    struct job_spec spec = {.kind = args_string(L, first, PUSH, "name")};
    args_table(L, first + 1, PUSH, "args");
    jobs_read_options(L, first + 2, &spec);
    return spec;
}

/* The texts of the list at index, which live as long as the list is on the stack, or the one
 * table in it as JSON, which is in the scratch buffer.  few: room for some, where more lie on the
 * stack, too. */
static struct str *read_args(lua_State *L, int index, struct str few[static FEW], int *count)
{
    size_t n = lua_objlen(L, index);
    if (n > JOBS_PUSH_COUNT)
        args_error(L, "app.jobs:push_many(name, list, [options]): more than %d jobs",
                   JOBS_PUSH_COUNT);
    struct str *args = n <= FEW ? few : lua_newuserdata(L, n * sizeof *args);
    *count = (int)n;
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        if (n == 1 && lua_istable(L, -1))
            args[0] = encode_args(L);
        else
            args[i].p = luaL_checklstring(L, -1, &args[i].n);
        lua_pop(L, 1);
    }
    return args;
}

/* What the queue keeps of them until they are on disk. */
static size_t bytes_of(const struct str *args, int count)
{
    size_t bytes = (size_t)count * 64;
    for (int i = 0; i < count; i++)
        bytes += args[i].n;
    return bytes;
}

static int start_push(lua_State *L, struct task *task, struct store_tx *tx, int first)
{
    struct vm *vm = task_vm(task);
    struct jobs *jobs = vm_host(vm)->jobs;
    struct err err = {0};
    struct str few[FEW];
    int count;
    bind_part(L, jobs, "app.jobs:push", "jobs");
    struct job_spec spec = read_spec(L, first);
    if (!jobs_check_kind(L, vm, spec.kind, spec.external, PUSH, &err))
        return push_refusal(L, &err);
    const struct str *args = read_args(L, first + 1, few, &count);
    if (count == 0) {
        lua_newtable(L);
        return 1;
    }
    if (count <= JOBS_TRACED)
        spec.trace = trace_of_push(task);
    span_text(task_wait_span(task), "messaging.destination.name", spec.kind);
    size_t bytes = bytes_of(args, count);
    if (!vm_charge(vm, bytes, &err))
        return push_refusal(L, &err);
    struct pushing *p = mem_zero(1, sizeof *p);
    p->task = task;
    p->charged = bytes;
    p->push.done = on_done;
    p->push.lane = vm_lane(vm);
    bool ok = tx ? jobs_push_tx(jobs, &p->push, tx, on_ran, &spec, args, count, &err)
                 : jobs_push(jobs, &p->push, &spec, args, count, &err);
    if (!ok) {
        let_go(p);
        mem_free(p);
        return push_refusal(L, &err);
    }
    return task_wait(task, forget, p);
}

/*** Pushes a job for each of the JSON texts, durably, all or none.  (waits)
 * @param kind string "plugin.job"
 * @param list string[]
 * @param options table delay at priority queue retries timeout unique key expires
 * @return integer[]|nil ids, string? message, string? code */
static int l_push(lua_State *L)
{
    struct task *task = task_check(L, "app.jobs:push");
    lua_settop(L, 3);
    return start_push(L, task, NULL, 1);
}

/*** The same inside a transaction; handle is store.lua's. */
static int l_push_tx(lua_State *L)
{
    struct task *task = task_check(L, "tx.jobs:push");
    lua_settop(L, 4);
    return start_push(L, task, store_tx_check(L, 1, "tx.jobs:push"), 2);
}

struct looking {
    struct jobs_query query; /* first */
    struct task *task;
};

static int push_text(lua_State *L, void *arg)
{
    struct str text = buf_str(&((struct jobs_query *)arg)->out);
    lua_pushlstring(L, text.p, text.n);
    return 1;
}

static void on_looked(struct jobs_query *query)
{
    struct looking *l = (struct looking *)query;
    task_answer(l->task, &query->err, push_text, query);
    buf_free(&query->out);
    mem_free(l);
}

static void stop_looking(void *arg)
{
    ((struct looking *)arg)->task = NULL;
}

/*** One job as JSON text, "" when there is none.  (waits)
 * @param id integer
 * @return string|nil json, string? message, string? code */
static int l_get(lua_State *L)
{
    int64_t id = args_integer(L, 1, 1, INT64_C(1) << 53, GET, "id");
    struct task *task = task_check(L, "app.jobs:get");
    struct vm *vm = task_vm(task);
    struct jobs *jobs = vm_host(vm)->jobs;
    bind_part(L, jobs, "app.jobs:get", "jobs");
    struct looking *l = mem_zero(1, sizeof *l);
    l->task = task;
    l->query.id = id;
    l->query.done = on_looked;
    l->query.lane = vm_lane(vm);
    jobs_query(jobs, &l->query);
    return task_wait(task, stop_looking, l);
}

/*** @param id integer @return string|nil Celery's id of the job; nil unless jobs.driver is redis */
static int l_celery_id(lua_State *L)
{
    struct jobs *jobs = vm_host(vm_of(L))->jobs;
    char uuid[37];
    int64_t id = args_integer(L, 1, 1, INT64_C(1) << 53, GET, "id");
    if (!jobs || !jobs_celery_id(jobs, id, uuid))
        return 0;
    lua_pushstring(L, uuid);
    return 1;
}

/*** @param uuid string @return integer|nil the job that Celery calls so */
static int l_celery_number(lua_State *L)
{
    struct jobs *jobs = vm_host(vm_of(L))->jobs;
    struct str uuid = args_string(L, 1, GET, "id");
    int64_t id = jobs ? jobs_celery_number(jobs, uuid) : 0;
    if (id == 0)
        return 0;
    lua_pushnumber(L, (double)id);
    return 1;
}

int bind_jobs(lua_State *L)
{
    static const luaL_Reg functions[] = {{"push", l_push},
                                         {"push_tx", l_push_tx},
                                         {"get", l_get},
                                         {"celery_id", l_celery_id},
                                         {"celery_number", l_celery_number},
                                         {NULL, NULL}};
    lua_createtable(L, 0, 12);
    luaL_register(L, NULL, functions);
    jobs_add_more(L);
    return 1;
}
