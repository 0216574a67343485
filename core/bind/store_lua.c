/* store_lua.c -- app.store.  Wraps storage/store.h; core/lua/maru/store.lua makes tx of it. */
#include <lauxlib.h>
#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/store_lua.h"
#include "bind/store_query.h"
#include "storage/sql_guard.h"
#include "storage/store.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define TX_TYPE "app.tx"

enum { QUERY_ROWS = 100000, QUERY_BYTES = 16 << 20, QUERY_SECONDS = 60 };

static int run(lua_State *L, enum store_mode mode, bool replica, const char *who, const char *usage)
{
    struct store *store = vm_host(vm_of(L))->store;
    struct task *task = task_check(L, who);
    bind_part(L, store, who, "a store");
    struct query *q = query_check(L, 1, mode, usage);
    q->task = task;
    q->call.replica = replica;
    store_run(store, &q->call, task_lane(task));
    return task_wait(task, query_forget, q);
}

/*** All rows as an array of tables; NULL is absent.  (waits)
 * @param sql string
 * @param ... nil|boolean|number|string  values of $1, $2, …
 * @return table[]|nil rows, string? message, string? code */
static int l_all(lua_State *L)
{
    return run(L, STORE_ALL, false, "app.store:all", "app.store:all(sql, …)");
}

/*** All rows, perhaps from a replica.  (waits)
 * @return table[]|nil rows, string? message, string? code */
static int l_read(lua_State *L)
{
    return run(L, STORE_ALL, true, "app.store:read", "app.store:read(sql, …)");
}

/*** The first row, or false.  (waits)
 * @return table|false|nil row, string? message, string? code */
static int l_one(lua_State *L)
{
    return run(L, STORE_ONE, false, "app.store:one", "app.store:one(sql, …)");
}

/*** Runs a statement.  (waits)
 * @return integer|nil changed_rows, string? message, string? code */
static int l_exec(lua_State *L)
{
    return run(L, STORE_EXEC, false, "app.store:exec", "app.store:exec(sql, …)");
}

/*** Runs a statement once for each row of values, all or none.  (waits)
 * @param rows any[][]
 * @return integer|nil changed_rows, string? message, string? code */
static int l_many(lua_State *L)
{
    return run(L, STORE_MANY, false, "app.store:many", "app.store:many(sql, rows)");
}

/* The question at 1 within one that bounds its rows, and so can be nothing but a question. */
static bool bound(lua_State *L, int64_t limit, struct err *err)
{
    struct str sql = args_string(L, 1, "app.store:query(sql, [options])", "sql");
    if (!sql_question(&sql, STR(""), err))
        return false;
    lua_pushliteral(L, "select * from (\n");
    lua_pushlstring(L, sql.p, sql.n);
    lua_pushfstring(L, "\n) q limit %d", (int)limit + 1);
    lua_concat(L, 3);
    lua_replace(L, 1);
    return true;
}

/*** One SELECT over this plugin's tables, bounded.  (waits)
 * @param sql string
 * @param limit integer
 * @param timeout number  seconds
 * @param ... nil|boolean|number|string  values of $1, $2, …
 * @return maru.Table|nil, string? message, string? code */
static int l_query(lua_State *L)
{
    static const char usage[] = "app.store:query(sql, [options])";
    struct store *store = vm_host(vm_of(L))->store;
    double limit = luaL_checknumber(L, 2), timeout = luaL_checknumber(L, 3);
    struct err err;
    if (!(limit >= 1 && limit <= QUERY_ROWS && limit == floor(limit)))
        luaL_error(L, "%s: limit must be a whole number from 1 to %d", usage, QUERY_ROWS);
    if (!(timeout > 0 && timeout <= QUERY_SECONDS))
        luaL_error(L, "%s: timeout must be at most %ds", usage, QUERY_SECONDS);
    struct task *task = task_check(L, "app.store:query");
    bind_part(L, store, "app.store:query", "a store");
    if (!bound(L, (int64_t)limit, &err))
        return push_error(L, &err);
    lua_remove(L, 3);
    lua_remove(L, 2);
    struct query *q = query_check(L, 1, STORE_ALL, usage);
    q->task = task;
    q->limit = (int64_t)limit;
    q->call.replica = true; /* so it reads, whatever the words say */
    q->began_ns = clock_steady_ns();
    q->call.max_rows = (int64_t)limit + 1;
    q->call.max_bytes = QUERY_BYTES;
    q->call.timeout_ns = (int64_t)(timeout * (double)NS_PER_SECOND);
    store_run(store, &q->call, task_lane(task));
    return task_wait(task, query_forget, q);
}

/* A transaction of a task.  It is its task's until it is asked to end, and its handle NULL from
 * then on; the store's until that gives it back, and then it is freed. */
struct txn {
    struct store_tx tx; /* first */
    struct task_deferred deferred;
    struct txn **handle; /* NULL when collected */
    struct task *task;
    bool waits; /* the task, for begun or ended */
    bool begun; /* the store has it */
    char plugin[64];
};

/* No longer its task's. */
static void close_handle(struct txn *t)
{
    task_undefer(&t->deferred);
    if (t->handle)
        *t->handle = NULL;
    t->handle = NULL;
}

static void abandon(void *arg)
{
    struct txn *t = arg;
    t->waits = false;
    close_handle(t);
    if (t->begun)
        store_tx_end(&t->tx, false);
    else
        mem_free(t);
}

static void stop_waiting(void *arg)
{
    ((struct txn *)arg)->waits = false;
}

static int push_true(lua_State *L, void *arg)
{
    (void)arg;
    lua_pushboolean(L, true);
    return 1;
}

static void wake(struct txn *t)
{
    struct task *task = t->waits ? t->task : NULL;
    t->waits = false;
    task_answer(task, &t->tx.err, push_true, NULL);
}

static void on_ended(struct store_tx *tx)
{
    struct txn *t = (struct txn *)tx;
    wake(t);
    mem_free(t);
}

static void on_begun(struct store_tx *tx)
{
    struct txn *t = (struct txn *)tx;
    if (tx->err.code != ERR_NONE) {
        close_handle(t);
        on_ended(tx);
        return;
    }
    task_hold(t->task, "tx");
    wake(t);
}

static struct txn *check_txn(lua_State *L, int index, const char *who)
{
    struct txn **handle = luaL_checkudata(L, index, TX_TYPE);
    if (!*handle || (*handle)->task != task_current(L))
        luaL_error(L, "%s: the transaction is over", who);
    return *handle;
}

struct store_tx *store_tx_check(lua_State *L, int index, const char *who)
{
    return &check_txn(L, index, who)->tx;
}

static int l_gc(lua_State *L)
{
    struct txn **handle = luaL_checkudata(L, 1, TX_TYPE);
    struct txn *t = *handle;
    if (t && !t->begun)
        abandon(t);
    else if (t)
        t->handle = NULL;
    return 0;
}

/*** A transaction that has not begun.
 * @param attempt integer  how often it was run before
 * @return userdata handle */
static int l_tx_new(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct task *task = task_check(L, "app.store:tx");
    int attempt = (int)luaL_optinteger(L, 1, 0);
    bind_part(L, vm_host(vm)->store, "app.store:tx", "a store");
    struct txn **handle = lua_newuserdata(L, sizeof *handle);
    *handle = NULL;
    luaL_getmetatable(L, TX_TYPE);
    lua_setmetatable(L, -2);
    struct txn *t = mem_zero(1, sizeof *t);
    t->task = task;
    t->handle = handle;
    *handle = t;
    t->tx.attempt = attempt;
    t->tx.begun = on_begun;
    t->tx.ended = on_ended;
    snprintf(t->plugin, sizeof t->plugin, "%s", vm_plugin(vm));
    t->tx.plugin = t->plugin;
    task_defer(task, &t->deferred, abandon, t);
    return 1;
}

/*** Begins it; until it ends only tx may wait.  (waits)
 * @return true|nil, string? message, string? code */
static int l_tx_begin(lua_State *L)
{
    struct task *task = task_check(L, "app.store:tx");
    struct txn *t = check_txn(L, 1, "app.store:tx");
    if (t->begun)
        luaL_error(L, "app.store:tx: the transaction has begun already");
    t->begun = t->waits = true;
    store_tx_begin(vm_host(vm_of(L))->store, &t->tx, task_lane(task));
    return task_wait(task, abandon, t);
}

/*** Ends it: commits and waits for the disk, or rolls back at once.  (waits)
 * @param commit boolean
 * @return true|nil, string? message, string? code */
static int l_tx_end(lua_State *L)
{
    struct txn *t = check_txn(L, 1, "tx");
    struct task *task = t->task;
    bool commit = lua_toboolean(L, 2);
    if (commit)
        task_check(L, "tx");
    task_hold(task, NULL);
    if (!commit) {
        abandon(t);
        lua_pushboolean(L, true);
        return 1;
    }
    close_handle(t);
    t->waits = true;
    store_tx_end(&t->tx, true);
    return task_wait(task, stop_waiting, t);
}

/*** Whether the server asks that all of it be run once more.
 * @return boolean */
static int l_tx_again(lua_State *L)
{
    struct txn **handle = luaL_checkudata(L, 1, TX_TYPE);
    lua_pushboolean(L, *handle && (*handle)->tx.again);
    return 1;
}

static int run_tx(lua_State *L, enum store_mode mode, const char *who, const char *usage)
{
    struct store_tx *tx = store_tx_check(L, 1, who);
    struct task *task = task_check(L, who);
    struct query *q = query_check(L, 2, mode, usage);
    q->task = task;
    store_tx_run(tx, &q->call);
    return task_wait(task, query_forget, q);
}

/*** store:all inside the transaction.  (waits)
 * @param handle userdata */
static int l_tx_all(lua_State *L)
{
    return run_tx(L, STORE_ALL, "tx:all", "tx:all(sql, …)");
}

/*** store:one inside the transaction.  (waits) */
static int l_tx_one(lua_State *L)
{
    return run_tx(L, STORE_ONE, "tx:one", "tx:one(sql, …)");
}

/*** store:exec inside the transaction.  (waits) */
static int l_tx_exec(lua_State *L)
{
    return run_tx(L, STORE_EXEC, "tx:exec", "tx:exec(sql, …)");
}

/*** store:many inside the transaction.  (waits) */
static int l_tx_many(lua_State *L)
{
    return run_tx(L, STORE_MANY, "tx:many", "tx:many(sql, rows)");
}

static const luaL_Reg methods[] = {{NULL, NULL}};

static const luaL_Reg functions[] = {
    {"query", l_query},     {"all", l_all},           {"read", l_read},
    {"one", l_one},         {"exec", l_exec},         {"many", l_many},
    {"tx_new", l_tx_new},   {"tx_begin", l_tx_begin}, {"tx_end", l_tx_end},
    {"tx_all", l_tx_all},   {"tx_again", l_tx_again}, {"tx_one", l_tx_one},
    {"tx_exec", l_tx_exec}, {"tx_many", l_tx_many},   {NULL, NULL},
};

int bind_store(lua_State *L)
{
    bind_class(L, TX_TYPE, methods, l_gc);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
