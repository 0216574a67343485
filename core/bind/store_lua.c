/* store_lua.c -- app.store.  Wraps storage/store.h; core/lua/maru/store.lua makes tx of it.
 *
 * A call is copied out of Lua and lives until the store gives it back, also
 * when its task is cancelled meanwhile: then nobody is woken. */
#include <lauxlib.h>
#include <math.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "bind/store_lua.h"
#include "storage/store.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define TX_TYPE "app.tx"

enum { WHOLE_BITS = 53 };

/* One block: the query, its values, its text. */
struct query {
    struct store_call call; /* first */
    struct task *task;      /* NULL when nobody waits */
};

/* How many bytes the value at index needs beside its struct value. */
static size_t check_value(lua_State *L, int index, int number, const char *usage)
{
    char name[24];
    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
        return 0;
    case LUA_TNUMBER:
        if (!isnan(lua_tonumber(L, index)))
            return 0;
        break;
    case LUA_TSTRING:
        return lua_objlen(L, index);
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index)) /* json.null */
            return 0;
        break;
    default:
        break;
    }
    snprintf(name, sizeof name, "$%d", number);
    args_fail(L, usage, name, "nil, a boolean, a number or a string", index);
}

static struct value number_value(double d)
{
    double most = ldexp(1, WHOLE_BITS);
    if (d == floor(d) && d >= -most && d <= most)
        return (struct value){.type = VALUE_INT, .i = (int64_t)d};
    return (struct value){.type = VALUE_DOUBLE, .d = d};
}

/* Text where it is text; other bytes become a blob. */
static struct value string_value(lua_State *L, int index, char **bytes)
{
    struct value v = {.type = VALUE_TEXT, .s.p = *bytes};
    const char *p = lua_tolstring(L, index, &v.s.n);
    memcpy(*bytes, p, v.s.n);
    *bytes += v.s.n;
    if (!utf8_valid(v.s) || memchr(p, 0, v.s.n))
        v.type = VALUE_BLOB;
    return v;
}

static struct value take_value(lua_State *L, int index, char **bytes)
{
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        return (struct value){.type = VALUE_BOOL, .b = lua_toboolean(L, index)};
    case LUA_TNUMBER:
        return number_value(lua_tonumber(L, index));
    case LUA_TSTRING:
        return string_value(L, index, bytes);
    default:
        return (struct value){.type = VALUE_NULL};
    }
}

static int push_rows(lua_State *L, const struct rows *rows);

static void push_value(lua_State *L, const struct value *v)
{
    switch (v->type) {
    case VALUE_NULL:
        lua_pushnil(L);
        break;
    case VALUE_BOOL:
        lua_pushboolean(L, v->b);
        break;
    case VALUE_INT:
        lua_pushnumber(L, (double)v->i);
        break;
    case VALUE_DOUBLE:
        lua_pushnumber(L, v->d);
        break;
    case VALUE_TEXT:
    case VALUE_BLOB:
        lua_pushlstring(L, v->s.p, v->s.n);
        break;
    }
}

/* names: stack index of the first of the column names. */
static void push_row(lua_State *L, const struct rows *rows, int64_t row, int names)
{
    lua_createtable(L, 0, rows->column_count);
    for (int i = 0; i < rows->column_count; i++) {
        const struct value *v = &rows->values[row * rows->column_count + i];
        if (v->type == VALUE_NULL)
            continue;
        lua_pushvalue(L, names + i);
        push_value(L, v);
        lua_rawset(L, -3);
    }
}

static int push_names(lua_State *L, const struct rows *rows)
{
    int first = lua_gettop(L) + 1;
    luaL_checkstack(L, rows->column_count + 4, "too many columns");
    for (int i = 0; i < rows->column_count; i++)
        lua_pushstring(L, rows->columns[i]);
    return first;
}

static int push_rows(lua_State *L, const struct rows *rows)
{
    int names = push_names(L, rows);
    lua_createtable(L, (int)rows->row_count, 0);
    for (int64_t row = 0; row < rows->row_count; row++) {
        push_row(L, rows, row, names);
        lua_rawseti(L, -2, (int)row + 1);
    }
    return 1;
}

static int push_result(lua_State *L, void *arg)
{
    struct store_call *call = arg;
    switch (call->mode) {
    case STORE_ALL:
        return push_rows(L, call->rows);
    case STORE_ONE:
        if (call->rows->row_count == 0)
            lua_pushboolean(L, false);
        else
            push_row(L, call->rows, 0, push_names(L, call->rows));
        return 1;
    case STORE_EXEC:
    case STORE_MANY:
        lua_pushnumber(L, (double)call->changed);
        return 1;
    }
    return 0;
}

static void on_done(struct store_call *call)
{
    struct query *q = (struct query *)call;
    struct task *task = q->task;
    if (task && call->err.code != ERR_NONE)
        task_resume_error(task, &call->err);
    else if (task)
        task_wake_with(task, push_result, call);
    rows_free(call->rows);
    mem_free(q);
}

static void forget(void *arg)
{
    ((struct query *)arg)->task = NULL;
}

static struct query *query_make(lua_State *L, int64_t values, struct str sql, size_t bytes,
                                char **rest)
{
    const char *plugin = vm_plugin(vm_of(L));
    size_t at = sizeof(struct query) + (size_t)values * sizeof(struct value);
    size_t plugin_n = strlen(plugin) + 1;
    struct query *q = mem_alloc(at + plugin_n + sql.n + bytes);
    char *p = (char *)q + at;
    *q = (struct query){.call = {.params = (struct value *)(void *)(q + 1), .done = on_done}};
    q->call.plugin = memcpy(p, plugin, plugin_n);
    q->call.sql = (struct str){memcpy(p + plugin_n, sql.p, sql.n), sql.n};
    *rest = p + plugin_n + sql.n;
    return q;
}

/* sql at index, its values behind it. */
static struct query *query_values(lua_State *L, int index, const char *usage)
{
    struct str sql = args_string(L, index, usage, "sql");
    int count = lua_gettop(L) - index;
    size_t bytes = 0;
    if (count > STORE_PARAMS)
        luaL_error(L, "%s: at most %d values", usage, STORE_PARAMS);
    for (int i = 1; i <= count; i++)
        bytes += check_value(L, index + i, i, usage);
    char *rest;
    struct query *q = query_make(L, count, sql, bytes, &rest);
    struct value *values = (struct value *)(void *)(q + 1);
    for (int i = 0; i < count; i++)
        values[i] = take_value(L, index + 1 + i, &rest);
    q->call.param_count = count;
    return q;
}

struct shape {
    int64_t rows;
    int width; /* of the longest row */
    size_t bytes;
};

/* rows at index: an array of arrays, missing values are NULL. */
static struct shape check_rows(lua_State *L, int index, const char *usage)
{
    args_table(L, index, usage, "rows");
    struct shape shape = {.rows = (int64_t)lua_objlen(L, index)};
    if (shape.rows > STORE_MANY_ROWS)
        luaL_error(L, "%s: at most %d rows", usage, STORE_MANY_ROWS);
    for (int row = 1; row <= shape.rows; row++) {
        lua_rawgeti(L, index, row);
        if (!lua_istable(L, -1))
            args_fail(L, usage, "rows", "an array of arrays", -1);
        int width = (int)lua_objlen(L, -1);
        if (width > STORE_PARAMS)
            luaL_error(L, "%s: at most %d values in a row", usage, STORE_PARAMS);
        shape.width = width > shape.width ? width : shape.width;
        for (int i = 1; i <= width; i++) {
            lua_rawgeti(L, -1, i);
            shape.bytes += check_value(L, lua_gettop(L), i, usage);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    return shape;
}

static struct query *query_rows(lua_State *L, int index, const char *usage)
{
    struct str sql = args_string(L, index, usage, "sql");
    struct shape shape = check_rows(L, index + 1, usage);
    char *rest;
    struct query *q = query_make(L, shape.rows * shape.width, sql, shape.bytes, &rest);
    struct value *value = (struct value *)(void *)(q + 1);
    for (int row = 1; row <= shape.rows; row++) {
        lua_rawgeti(L, index + 1, row);
        for (int i = 1; i <= shape.width; i++) {
            lua_rawgeti(L, -1, i);
            *value++ = take_value(L, lua_gettop(L), &rest);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    q->call.param_count = shape.width;
    q->call.param_rows = shape.rows;
    return q;
}

static struct query *query_check(lua_State *L, int index, enum store_mode mode, const char *usage)
{
    struct query *q =
        mode == STORE_MANY ? query_rows(L, index, usage) : query_values(L, index, usage);
    q->call.mode = mode;
    return q;
}

static int run(lua_State *L, enum store_mode mode, const char *who, const char *usage)
{
    struct store *store = vm_host(vm_of(L))->store;
    struct task *task = task_check(L, who);
    bind_part(L, store, who, "a store");
    struct query *q = query_check(L, 1, mode, usage);
    q->task = task;
    store_run(store, &q->call, task_lane(task));
    return task_wait(task, forget, q);
}

/*** All rows as an array of tables; NULL is absent.  (waits)
 * @param sql string
 * @param ... nil|boolean|number|string  values of $1, $2, …
 * @return table[]|nil rows, string? message, string? code */
static int l_all(lua_State *L)
{
    return run(L, STORE_ALL, "app.store:all", "app.store:all(sql, …)");
}

/*** The first row, or false.  (waits)
 * @return table|false|nil row, string? message, string? code */
static int l_one(lua_State *L)
{
    return run(L, STORE_ONE, "app.store:one", "app.store:one(sql, …)");
}

/*** Runs a statement.  (waits)
 * @return integer|nil changed_rows, string? message, string? code */
static int l_exec(lua_State *L)
{
    return run(L, STORE_EXEC, "app.store:exec", "app.store:exec(sql, …)");
}

/*** Runs a statement once for each row of values, all or none.  (waits)
 * @param rows any[][]
 * @return integer|nil changed_rows, string? message, string? code */
static int l_many(lua_State *L)
{
    return run(L, STORE_MANY, "app.store:many", "app.store:many(sql, rows)");
}

/* A transaction of a task.  It is freed when the store has given it back and
 * the task has ended; the handle is NULL from the end on. */
struct txn {
    struct store_tx tx; /* first */
    struct txn **handle;
    struct task *task;  /* the owner, NULL once it has ended */
    bool waits;         /* … for begun or ended */
    bool begun, ending; /* store_tx_begin, store_tx_end were called */
    bool over;          /* the store has given it back */
    char plugin[64];
};

static void close_handle(struct txn *t)
{
    if (t->handle)
        *t->handle = NULL;
    t->handle = NULL;
}

static void abandon(struct txn *t)
{
    close_handle(t);
    if (t->begun && !t->ending && !t->over) {
        t->ending = true;
        store_tx_end(&t->tx, false);
    }
}

static void on_task_end(void *arg)
{
    struct txn *t = arg;
    abandon(t);
    t->task = NULL;
    if (t->over || !t->begun)
        mem_free(t);
}

static void stop_waiting(void *arg)
{
    ((struct txn *)arg)->waits = false;
}

static void cancel_begin(void *arg)
{
    stop_waiting(arg);
    abandon(arg);
}

static int push_true(lua_State *L, void *arg)
{
    (void)arg;
    lua_pushboolean(L, true);
    return 1;
}

static void wake(struct txn *t)
{
    if (!t->task || !t->waits)
        return;
    t->waits = false;
    if (t->tx.err.code != ERR_NONE)
        task_resume_error(t->task, &t->tx.err);
    else
        task_wake_with(t->task, push_true, NULL);
}

static void on_begun(struct store_tx *tx)
{
    struct txn *t = (struct txn *)tx;
    if (tx->err.code != ERR_NONE) {
        t->over = true;
        close_handle(t);
    } else if (t->task) {
        task_hold(t->task, "tx");
    }
    wake(t);
}

static void on_ended(struct store_tx *tx)
{
    struct txn *t = (struct txn *)tx;
    t->over = true;
    if (!t->task)
        mem_free(t);
    else
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
    if (*handle)
        (*handle)->handle = NULL;
    *handle = NULL;
    return 0;
}

/*** A transaction that has not begun.
 * @return userdata handle */
static int l_tx_new(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct task *task = task_check(L, "app.store:tx");
    bind_part(L, vm_host(vm)->store, "app.store:tx", "a store");
    struct txn **handle = lua_newuserdata(L, sizeof *handle);
    *handle = NULL;
    luaL_getmetatable(L, TX_TYPE);
    lua_setmetatable(L, -2);
    struct txn *t = mem_zero(1, sizeof *t);
    t->task = task;
    t->handle = handle;
    *handle = t;
    t->tx.begun = on_begun;
    t->tx.ended = on_ended;
    snprintf(t->plugin, sizeof t->plugin, "%s", vm_plugin(vm));
    t->tx.plugin = t->plugin;
    task_defer(task, on_task_end, t);
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
    return task_wait(task, cancel_begin, t);
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
    t->ending = t->waits = true;
    store_tx_end(&t->tx, true);
    return task_wait(task, stop_waiting, t);
}

static int run_tx(lua_State *L, enum store_mode mode, const char *who, const char *usage)
{
    struct store_tx *tx = store_tx_check(L, 1, who);
    struct task *task = task_check(L, who);
    struct query *q = query_check(L, 2, mode, usage);
    q->task = task;
    store_tx_run(tx, &q->call);
    return task_wait(task, forget, q);
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
    {"all", l_all},       {"one", l_one},           {"exec", l_exec},       {"many", l_many},
    {"tx_new", l_tx_new}, {"tx_begin", l_tx_begin}, {"tx_end", l_tx_end},   {"tx_all", l_tx_all},
    {"tx_one", l_tx_one}, {"tx_exec", l_tx_exec},   {"tx_many", l_tx_many}, {NULL, NULL},
};

int bind_store(lua_State *L)
{
    bind_class(L, TX_TYPE, methods, l_gc);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
