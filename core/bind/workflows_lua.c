/* workflows_lua.c -- app.workflows.  Wraps jobs/workflow.h; core/lua/maru/workflows.lua checks and
 * adds JSON. */
#include <lauxlib.h>
#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/jobs_lua.h"
#include "bind/store_lua.h"
#include "jobs/workflow/workflow.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define START  "app.workflows:start(name, [input], [options])"
#define LISTED "a workflow's job { name, [args], [options] }"
#define GET    "app.workflows:get(id)"
#define LOOK   "app.workflows:list([options])"
#define SIGNAL "app.workflows:signal(id, name, [data])"
#define CANCEL "app.workflows:cancel(id)"

enum { RETRIES_MOST = 1000 };
static const int64_t id_most = INT64_C(1) << 53;

/* -- changes -------------------------------------------------------------------------------- */

struct changing {
    struct workflow_change change; /* first */
    struct task *task;             /* NULL when nobody waits */
    size_t charged;                /* to its VM, while the task waits */
    bool starts, signals;
};

static int push_outcome(lua_State *L, void *arg)
{
    const struct changing *c = arg;
    if (c->starts)
        lua_pushnumber(L, (double)c->change.id);
    else
        lua_pushboolean(L, !c->signals || c->change.woke);
    return 1;
}

static int push_refusal(lua_State *L, void *arg)
{
    const struct err *err = arg;
    lua_pushnil(L);
    lua_pushstring(L, err->message);
    lua_pushstring(L, err->code == ERR_EXISTS     ? "duplicate"
                      : err->code == ERR_CONFLICT ? "closed" /* the run is over */
                                                  : err_code_name(err->code));
    return 3;
}

static void let_go(void *arg)
{
    struct changing *c = arg;
    if (c->task)
        vm_uncharge(task_vm(c->task), c->charged);
    c->task = NULL;
}

static void wake(struct changing *c)
{
    struct task *task = c->task;
    let_go(c);
    if (task && c->change.err.code)
        task_wake_with(task, push_refusal, &c->change.err);
    else if (task)
        task_wake_with(task, push_outcome, c);
}

static void on_changed(struct workflow_change *change)
{
    wake((struct changing *)change);
    mem_free(change);
}

/* Charges the bytes that the queue keeps; NULL with *err. */
static struct changing *changing_new(struct task *task, size_t bytes, struct err *err)
{
    if (!vm_charge(task_vm(task), bytes, err))
        return NULL;
    struct changing *c = mem_zero(1, sizeof *c);
    c->task = task;
    c->charged = bytes;
    c->change.done = on_changed;
    c->change.lane = vm_lane(task_vm(task));
    return c;
}

static int start(lua_State *L, struct task *task, const struct workflow_start *what, size_t bytes)
{
    struct err err = {0};
    struct changing *c = changing_new(task, bytes, &err);
    if (!c)
        return push_refusal(L, &err);
    c->starts = true;
    if (!workflow_start(vm_host(task_vm(task))->jobs, &c->change, what, &err)) {
        let_go(c);
        mem_free(c);
        return push_refusal(L, &err);
    }
    return task_wait(task, let_go, c);
}

/*** Starts a declared workflow.  (waits)
 * @param name string
 * @param input string JSON
 * @param key string "" = none
 * @return integer|nil id, string? message, string? code */
static int l_start(lua_State *L)
{
    struct task *task = task_check(L, "app.workflows:start");
    struct vm *vm = task_vm(task);
    bind_part(L, vm_host(vm)->jobs, "app.workflows:start", "jobs");
    lua_settop(L, 3);
    struct workflow_start what = {
        .plugin = str_c(vm_plugin(vm)),
        .name = args_string(L, 1, START, "name"),
        .input = args_string(L, 2, START, "input"),
        .key = args_opt_string(L, 3, STR(""), START, "options.key"),
        .shape = WORKFLOW_GRAPH,
    };
    return start(L, task, &what, what.input.n + 256);
}

/* The rows are in the transaction; done follows when that has ended. */
static void on_ran(struct workflow_change *change)
{
    wake((struct changing *)change);
}

/*** The same inside a transaction; handle is store.lua's.  (waits) */
static int l_start_tx(lua_State *L)
{
    struct task *task = task_check(L, "tx.workflows:start");
    struct vm *vm = task_vm(task);
    struct err err = {0};
    lua_settop(L, 4);
    struct store_tx *tx = store_tx_check(L, 1, "tx.workflows:start");
    bind_part(L, vm_host(vm)->jobs, "tx.workflows:start", "jobs");
    struct workflow_start what = {
        .plugin = str_c(vm_plugin(vm)),
        .name = args_string(L, 2, START, "name"),
        .input = args_string(L, 3, START, "input"),
        .key = args_opt_string(L, 4, STR(""), START, "options.key"),
        .shape = WORKFLOW_GRAPH,
    };
    struct changing *c = changing_new(task, what.input.n + 256, &err);
    if (!c)
        return push_refusal(L, &err);
    c->starts = true;
    if (!workflow_start_tx(vm_host(vm)->jobs, &c->change, tx, on_ran, &what, &err)) {
        let_go(c);
        mem_free(c);
        return push_refusal(L, &err);
    }
    return task_wait(task, let_go, c);
}

static int read_priority(lua_State *L, int index)
{
    static const char *const names[] = {"high", "normal", "low"};
    struct str text = opt_string(L, index, "priority", STR(""), LISTED);
    for (int i = 0; i < 3; i++)
        if (str_eq_c(text, names[i]))
            return i + 1;
    if (text.n > 0)
        args_error(L, LISTED ": options.priority must be high, normal or low");
    return 0;
}

/* { kind, JSON, options } at the top of the stack; its texts live as long as the list. */
static struct workflow_member read_member(lua_State *L)
{
    static const char *const known[] = {"delay", "priority", "queue", "retries", "timeout", NULL};
    int at = lua_gettop(L), options = at + 3;
    struct workflow_member m = {0};
    lua_rawgeti(L, at, 1);
    m.kind = args_string(L, at + 1, LISTED, "name");
    lua_rawgeti(L, at, 2);
    m.args = args_string(L, at + 2, LISTED, "args");
    lua_rawgeti(L, at, 3);
    if (args_opt_table(L, options, LISTED, "options")) {
        opt_known(L, options, known, LISTED);
        m.queue = opt_string(L, options, "queue", STR(""), LISTED);
        m.priority = read_priority(L, options);
        double retries = opt_number(L, options, "retries", -1, LISTED);
        if (retries < -1 || retries > RETRIES_MOST || retries != floor(retries))
            args_error(L, LISTED ": options.retries must be a whole number from 0 to %d",
                       RETRIES_MOST);
        m.retries = (int)retries + 1;
        m.timeout_ns = opt_duration(L, options, "timeout", 0, LISTED);
        m.delay_ns = opt_duration(L, options, "delay", 0, LISTED);
    }
    lua_settop(L, at);
    return m;
}

static struct workflow_member *read_members(lua_State *L, int index, struct task *task, int *count,
                                            size_t *bytes)
{
    size_t n = lua_objlen(L, index);
    if (n > WORKFLOW_MEMBERS)
        args_error(L, "app.workflows: more than %d jobs", WORKFLOW_MEMBERS);
    struct workflow_member *list = task_alloc(task, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        list[i] = read_member(L);
        *bytes += list[i].args.n + 256;
        lua_pop(L, 1);
    }
    *count = (int)n;
    return list;
}

/* NULL when there is none at index. */
static struct workflow_member *read_one(lua_State *L, int index, struct task *task)
{
    if (!lua_istable(L, index))
        return NULL;
    struct workflow_member *m = task_alloc(task, sizeof *m);
    lua_pushvalue(L, index);
    *m = read_member(L);
    lua_pop(L, 1);
    return m;
}

/*** Starts a chain, group or chord.  (waits)
 * @param shape string
 * @param list table[] { kind, JSON, options }
 * @param body table|nil
 * @param on_error table|nil
 * @param name string
 * @param key string
 * @return integer|nil id, string? message, string? code */
static int l_list(lua_State *L)
{
    static const char *const shapes[] = {"chain", "group", "chord", NULL};
    struct task *task = task_check(L, "app.workflows");
    struct vm *vm = task_vm(task);
    size_t bytes = 512;
    bind_part(L, vm_host(vm)->jobs, "app.workflows", "jobs");
    lua_settop(L, 6);
    struct workflow_start what = {
        .plugin = str_c(vm_plugin(vm)),
        .shape = (enum workflow_shape)(WORKFLOW_CHAIN + luaL_checkoption(L, 1, NULL, shapes)),
        .name = args_string(L, 5, "app.workflows", "options.name"),
        .key = args_string(L, 6, "app.workflows", "options.key"),
    };
    args_table(L, 2, "app.workflows", "list");
    what.members = read_members(L, 2, task, &what.count, &bytes);
    what.body = read_one(L, 3, task);
    what.on_error = read_one(L, 4, task);
    struct err err = {0};
    for (int i = 0; i < what.count + 2; i++) {
        const struct workflow_member *m = i < what.count    ? &what.members[i]
                                          : i == what.count ? what.body
                                                            : what.on_error;
        if (m && !jobs_check_kind(L, vm, m->kind, false, "app.workflows", &err))
            return push_refusal(L, &err);
    }
    return start(L, task, &what, bytes);
}

/*** (waits)
 * @param id integer
 * @param name string
 * @param data string JSON
 * @return boolean|nil woke, string? message, string? code */
static int l_signal(lua_State *L)
{
    int64_t id = args_integer(L, 1, 1, id_most, SIGNAL, "id");
    struct str name = args_string(L, 2, SIGNAL, "name");
    struct str data = args_string(L, 3, SIGNAL, "data");
    struct task *task = task_check(L, "app.workflows:signal");
    struct vm *vm = task_vm(task);
    struct err err = {0};
    bind_part(L, vm_host(vm)->jobs, "app.workflows:signal", "jobs");
    struct changing *c = changing_new(task, data.n + 256, &err);
    if (!c)
        return push_refusal(L, &err);
    c->signals = true;
    struct str plugin = str_c(vm_plugin(vm));
    workflow_signal(vm_host(vm)->jobs, &c->change, id, plugin, name, data, plugin);
    return task_wait(task, let_go, c);
}

/*** (waits)
 * @param id integer
 * @return boolean|nil ok, string? message, string? code */
static int l_cancel(lua_State *L)
{
    int64_t id = args_integer(L, 1, 1, id_most, CANCEL, "id");
    struct task *task = task_check(L, "app.workflows:cancel");
    struct vm *vm = task_vm(task);
    struct err err = {0};
    bind_part(L, vm_host(vm)->jobs, "app.workflows:cancel", "jobs");
    struct changing *c = changing_new(task, 256, &err);
    if (!c)
        return push_refusal(L, &err);
    workflow_cancel(vm_host(vm)->jobs, &c->change, id, str_c(vm_plugin(vm)));
    return task_wait(task, let_go, c);
}

/* -- looks ---------------------------------------------------------------------------------- */

struct looking {
    struct workflow_query query; /* first */
    struct task *task;
    char *name, *key;
};

static int push_text(lua_State *L, void *arg)
{
    struct str text = buf_str(&((struct workflow_query *)arg)->out);
    lua_pushlstring(L, text.n ? text.p : "", text.n);
    return 1;
}

static void on_looked(struct workflow_query *query)
{
    struct looking *l = (struct looking *)query;
    task_answer(l->task, &query->err, push_text, query);
    buf_free(&query->out);
    mem_free(l->name);
    mem_free(l->key);
    mem_free(l);
}

static void stop_looking(void *arg)
{
    ((struct looking *)arg)->task = NULL;
}

/* name and key are copied. */
static int look(struct task *task, const struct workflow_query *query)
{
    struct vm *vm = task_vm(task);
    struct looking *l = mem_zero(1, sizeof *l);
    l->query = *query;
    l->task = task;
    l->name = str_dup(query->name);
    l->key = str_dup(query->key);
    l->query.name = str_c(l->name);
    l->query.key = str_c(l->key);
    l->query.plugin = str_c(vm_plugin(vm));
    l->query.done = on_looked;
    l->query.lane = vm_lane(vm);
    workflow_query(vm_host(vm)->jobs, &l->query);
    return task_wait(task, stop_looking, l);
}

/*** One run as JSON text, "" when there is none.  (waits)
 * @param id integer
 * @return string|nil json, string? message, string? code */
static int l_get(lua_State *L)
{
    int64_t id = args_integer(L, 1, 1, id_most, GET, "id");
    struct task *task = task_check(L, "app.workflows:get");
    bind_part(L, vm_host(task_vm(task))->jobs, "app.workflows:get", "jobs");
    return look(task, &(struct workflow_query){.id = id, .name = STR(""), .key = STR("")});
}

/*** Runs as the inside of a JSON list.  (waits)
 * @param name string
 * @param state string
 * @param key string
 * @param limit integer
 * @param before integer
 * @return string|nil json, string? message, string? code */
static int l_look(lua_State *L)
{
    struct workflow_query query = {
        .name = args_string(L, 1, LOOK, "options.name"),
        .key = args_string(L, 3, LOOK, "options.key"),
        .limit = (int)args_integer(L, 4, 1, 500, LOOK, "options.limit"),
        .before = args_integer(L, 5, 0, id_most, LOOK, "options.before"),
    };
    workflow_state_parse(args_string(L, 2, LOOK, "options.state"), &query.state);
    struct task *task = task_check(L, "app.workflows:list");
    bind_part(L, vm_host(task_vm(task))->jobs, "app.workflows:list", "jobs");
    return look(task, &query);
}

int bind_workflows(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"start", l_start},   {"start_tx", l_start_tx}, {"list", l_list},     {"get", l_get},
        {"signal", l_signal}, {"look", l_look},         {"cancel", l_cancel}, {NULL, NULL}};
    lua_createtable(L, 0, 7);
    luaL_register(L, NULL, functions);
    return 1;
}
