/* cache_lua.c -- app.cache.  Wraps storage/cache_driver.h.
 *
 * A key is "plugin:key".  Strings, numbers and booleans are kept as they are,
 * tables as JSON.  What memory answers is returned at once, what Redis answers
 * after a wait; a task that may not wait is refused with either. */
#include <lauxlib.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "storage/cache_driver.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/json.h"
#include "vm/task.h"
#include "vm/vm.h"

enum { KEYS_DEFAULT = 1000, KEYS_MOST = 100000 };

/* Tags of values, see storage/cache.h. */
enum { TAG_NUMBER = 'n', TAG_STRING = 's', TAG_BOOLEAN = 'b', TAG_JSON = 'j' };

struct name {
    struct str full; /* "plugin:key" */
    size_t prefix;   /* bytes of "plugin:" */
    char bytes[CACHE_KEY_BYTES];
};

static void name_make(lua_State *L, struct str key, const char *usage, struct name *name)
{
    struct str plugin = str_c(vm_plugin(vm_of(L)));
    name->prefix = plugin.n + 1;
    if (key.n + name->prefix > CACHE_KEY_BYTES)
        luaL_error(L, "%s: a key has at most %d bytes", usage,
                   (int)(CACHE_KEY_BYTES - name->prefix));
    memcpy(name->bytes, plugin.p, plugin.n);
    name->bytes[plugin.n] = ':';
    memcpy(name->bytes + name->prefix, key.p, key.n);
    name->full = (struct str){name->bytes, name->prefix + key.n};
}

static void check_name(lua_State *L, const char *usage, const char *argument, struct name *name)
{
    name_make(L, args_string(L, 1, usage, argument), usage, name);
}

static int push_value(lua_State *L, const struct cache_ask *ask)
{
    const struct cache_value *v = &ask->value;
    struct err err;
    if (!ask->yes)
        lua_pushnil(L);
    else if (v->tag == TAG_NUMBER)
        lua_pushnumber(L, v->number);
    else if (v->tag == TAG_BOOLEAN)
        lua_pushboolean(L, v->number != 0);
    else if (v->tag == TAG_STRING)
        lua_pushlstring(L, v->bytes.p, v->bytes.n);
    else if (!lua_json_decode(L, v->bytes, JSON_DEPTH_MAX, &err))
        return push_error(L, &err);
    return 1;
}

static int push_keys(lua_State *L, const struct cache_ask *ask)
{
    size_t prefix = strlen(vm_plugin(vm_of(L))) + 1;
    const char *p = ask->copy->p;
    lua_createtable(L, ask->count, 0);
    for (int i = 1; i <= ask->count; i++) {
        size_t n;
        memcpy(&n, p, sizeof n);
        lua_pushlstring(L, p + sizeof n + prefix, n - prefix);
        lua_rawseti(L, -2, i);
        p += sizeof n + n;
    }
    return 1;
}

static int push_lock(lua_State *L, const struct cache_ask *ask)
{
    if (!ask->yes) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushstring(L, ask->made_token);
    lua_pushnumber(L, (double)ask->number);
    return 2;
}

static int push_answer(lua_State *L, void *arg)
{
    const struct cache_ask *ask = arg;
    if (ask->err.code)
        return push_error(L, &ask->err);
    switch (ask->op) {
    case CACHE_GET:
        return push_value(L, ask);
    case CACHE_KEYS:
        return push_keys(L, ask);
    case CACHE_LOCK:
        return push_lock(L, ask);
    case CACHE_INCR:
        lua_pushnumber(L, ask->value.number);
        return 1;
    default:
        lua_pushboolean(L, ask->yes);
        return 1;
    }
}

static void on_answer(void *arg, struct cache_ask *ask)
{
    task_wake_with(arg, push_answer, ask);
}

static void forget(void *arg)
{
    cache_forget(arg);
}

/* The last act of every function: `return ask(…)`. */
static int ask(lua_State *L, const char *usage, struct cache_ask *question)
{
    struct vm *vm = vm_of(L);
    struct cache_driver *cache = vm_host(vm)->cache;
    bind_part(L, cache, usage, "a cache");
    struct task *task = task_check(L, usage);
    if (question->op == CACHE_GET || question->op == CACHE_KEYS)
        question->copy = vm_scratch(vm);
    struct cache_wait *wait = cache_ask(cache, vm_lane(vm), question, on_answer, task);
    return wait ? task_wait(task, forget, wait) : push_answer(L, question);
}

/*** @param key string
 * @return any|nil value, string? message, string? code */
static int l_get(lua_State *L)
{
    static const char usage[] = "app.cache:get(key)";
    struct name name;
    check_name(L, usage, "key", &name);
    return ask(L, usage, &(struct cache_ask){.op = CACHE_GET, .key = name.full});
}

/* The value at index; what is not kept as it is is encoded into scratch. */
static struct cache_value check_value(lua_State *L, int index, const char *usage)
{
    struct cache_value v = {.tag = TAG_STRING};
    struct buf *scratch = vm_scratch(vm_of(L));
    struct err err;
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        v.tag = TAG_NUMBER;
        v.number = lua_tonumber(L, index);
        return v;
    case LUA_TBOOLEAN:
        v.tag = TAG_BOOLEAN;
        v.number = lua_toboolean(L, index);
        return v;
    case LUA_TSTRING:
        v.bytes.p = lua_tolstring(L, index, &v.bytes.n);
        return v;
    case LUA_TTABLE:
    case LUA_TLIGHTUSERDATA:
        if (!lua_json_encode(L, index, scratch, &err))
            luaL_error(L, "%s: value: %s", usage, err.message);
        v.tag = TAG_JSON;
        v.bytes = buf_str(scratch);
        return v;
    default:
        args_fail(L, usage, "value", "a boolean, a number, a string or a table", index);
    }
}

/*** @param value any  anything JSON can hold
 * @param ttl number|string|nil
 * @return true|nil, string? message, string? code */
static int l_set(lua_State *L)
{
    static const char usage[] = "app.cache:set(key, value, [ttl])";
    struct name name;
    struct cache_ask question = {.op = CACHE_SET};
    check_name(L, usage, "key", &name);
    question.key = name.full;
    question.ttl_ns = args_opt_duration(L, 3, 0, usage, "ttl");
    question.value = check_value(L, 2, usage);
    return ask(L, usage, &question);
}

/* ---- many at once ------------------------------------------------------ */

#define MANY "app.cache:set_many(list, [ttl])"

enum { MANY_MOST = 10000 };

struct one_of_many {
    struct cache_many *many;
    struct cache_wait *wait; /* NULL once it is answered */
};

/* What is on its way together: Redis has it in one write. */
struct cache_many {
    struct task *task; /* NULL when nobody waits */
    struct err err;    /* the first */
    int left, count;
    struct one_of_many list[];
};

static int push_many(lua_State *L, void *arg)
{
    const struct cache_many *m = arg;
    if (m->err.code)
        return push_error(L, &m->err);
    lua_pushboolean(L, true);
    return 1;
}

static void many_note(struct cache_many *m, const struct err *err)
{
    if (err->code && !m->err.code)
        m->err = *err;
}

static void on_one(void *arg, struct cache_ask *ask)
{
    struct one_of_many *one = arg;
    struct cache_many *m = one->many;
    one->wait = NULL;
    many_note(m, &ask->err);
    if (--m->left > 0)
        return;
    task_wake_with(m->task, push_many, m);
    mem_free(m);
}

static void forget_many(void *arg)
{
    struct cache_many *m = arg;
    for (int i = 0; i < m->count; i++)
        if (m->list[i].wait)
            cache_forget(m->list[i].wait);
    mem_free(m);
}

/* list[i] as a question; the texts live as long as the list, the name and what scratch has until
 * the next one. */
static struct cache_ask read_one(lua_State *L, int i, int64_t ttl_ns, struct name *name)
{
    lua_rawgeti(L, 1, i);
    args_table(L, 3, MANY, "list[i]");
    lua_rawgeti(L, 3, 1);
    lua_rawgeti(L, 3, 2);
    name_make(L, args_string(L, 4, MANY, "key"), MANY, name);
    struct cache_ask question = {.op = CACHE_SET, .key = name->full, .ttl_ns = ttl_ns};
    question.value = check_value(L, 5, MANY);
    lua_settop(L, 2);
    return question;
}

/*** Keeps many values; with Redis they are sent and answered together.
 * @param list table[]  { key, value } each
 * @param ttl number|string|nil
 * @return true|nil, string? message, string? code */
static int l_set_many(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct cache_driver *cache = vm_host(vm)->cache;
    struct name name;
    bind_part(L, cache, MANY, "a cache");
    struct task *task = task_check(L, MANY);
    lua_settop(L, 2);
    args_table(L, 1, MANY, "list");
    int64_t ttl_ns = args_opt_duration(L, 2, 0, MANY, "ttl");
    int count = (int)lua_objlen(L, 1);
    if (count > MANY_MOST)
        return args_error(L, MANY ": more than %d values", MANY_MOST);
    for (int i = 1; i <= count; i++)
        read_one(L, i, ttl_ns, &name); /* what is wrong raises before anything is sent */
    struct cache_many *m = mem_zero(1, sizeof *m + (size_t)count * sizeof *m->list);
    m->task = task;
    m->count = count;
    for (int i = 0; i < count; i++) {
        struct cache_ask question = read_one(L, i + 1, ttl_ns, &name);
        m->list[i].many = m;
        m->list[i].wait = cache_ask(cache, vm_lane(vm), &question, on_one, &m->list[i]);
        m->left += m->list[i].wait != NULL;
        if (!m->list[i].wait)
            many_note(m, &question.err);
    }
    if (m->left)
        return task_wait(task, forget_many, m);
    int results = push_many(L, m);
    mem_free(m);
    return results;
}

/*** Stores only when the key is absent.
 * @return boolean|nil stored, string? message, string? code */
static int l_add(lua_State *L)
{
    static const char usage[] = "app.cache:add(key, value, [ttl])";
    struct name name;
    struct cache_ask question = {.op = CACHE_ADD};
    check_name(L, usage, "key", &name);
    question.key = name.full;
    question.ttl_ns = args_opt_duration(L, 3, 0, usage, "ttl");
    question.value = check_value(L, 2, usage);
    return ask(L, usage, &question);
}

/*** @return boolean|nil existed, string? message, string? code */
static int l_delete(lua_State *L)
{
    static const char usage[] = "app.cache:delete(key)";
    struct name name;
    check_name(L, usage, "key", &name);
    return ask(L, usage, &(struct cache_ask){.op = CACHE_DELETE, .key = name.full});
}

/*** @param by number|nil  default 1
 * @param ttl number|string|nil  counts from the first incr
 * @return number|nil, string? message, string? code */
static int l_incr(lua_State *L)
{
    static const char usage[] = "app.cache:incr(key, [by], [ttl])";
    struct name name;
    struct cache_ask question = {.op = CACHE_INCR};
    check_name(L, usage, "key", &name);
    question.key = name.full;
    question.by = lua_isnoneornil(L, 2) ? 1 : args_number(L, 2, -1e15, 1e15, usage, "by");
    question.ttl_ns = args_opt_duration(L, 3, 0, usage, "ttl");
    return ask(L, usage, &question);
}

/*** @param prefix string|nil
 * @param limit integer|nil  default 1000
 * @return string[]|nil keys, in no order, string? message, string? code */
static int l_keys(lua_State *L)
{
    static const char usage[] = "app.cache:keys([prefix], [limit])";
    struct name name;
    name_make(L, args_opt_string(L, 1, STR(""), usage, "prefix"), usage, &name);
    int64_t limit =
        lua_isnoneornil(L, 2) ? KEYS_DEFAULT : args_integer(L, 2, 1, KEYS_MOST, usage, "limit");
    struct cache_ask question = {.op = CACHE_KEYS, .key = name.full, .limit = (int)limit};
    return ask(L, usage, &question);
}

/*** A lock owned by this generation, released when it dies.
 * @param ttl number|string|nil
 * @return string|nil token  nil alone: somebody else holds it
 * @return number|string? fence_or_message, string? code */
static int l_lock(lua_State *L)
{
    static const char usage[] = "app.cache:lock(name, [ttl])";
    struct name name;
    struct cache_ask question = {.op = CACHE_LOCK};
    check_name(L, usage, "name", &name);
    question.key = name.full;
    question.ttl_ns = args_opt_duration(L, 2, 0, usage, "ttl");
    question.owner = vm_owner(vm_of(L));
    return ask(L, usage, &question);
}

/*** @param token string  what lock returned
 * @return boolean|nil released, string? message, string? code */
static int l_unlock(lua_State *L)
{
    static const char usage[] = "app.cache:unlock(name, token)";
    struct name name;
    struct cache_ask question = {.op = CACHE_UNLOCK};
    check_name(L, usage, "name", &name);
    question.key = name.full;
    question.token = args_string(L, 2, usage, "token");
    return ask(L, usage, &question);
}

static const luaL_Reg functions[] = {
    {"get", l_get},       {"set", l_set},   {"set_many", l_set_many}, {"add", l_add},
    {"delete", l_delete}, {"incr", l_incr}, {"keys", l_keys},         {"lock", l_lock},
    {"unlock", l_unlock}, {NULL, NULL},
};

int bind_cache(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
