/* events_lua.c -- app.events.  Wraps events/events.h; core/lua/maru/events.lua adds JSON and
 * tx.events. */
#include <lauxlib.h>
#include <math.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "bind/events_lua.h"
#include "bind/store_lua.h"
#include "events/events.h"
#include "vm/args.h"
#include "vm/capability.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define EMIT "app.events:emit(topic, data, [options])"
#define READ "app.events:read(topic, [options])"

struct emitting {
    struct event_emit emit; /* first */
    struct task *task;      /* NULL when nobody waits */
    size_t charged;         /* to its VM, while the task waits */
};

static int push_place(lua_State *L, void *arg)
{
    const struct event_emit *emit = arg;
    if (emit->offset < 0) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushnumber(L, (double)emit->offset);
    lua_pushinteger(L, emit->partition);
    return 2;
}

static void let_go(struct emitting *e)
{
    if (e->task)
        vm_uncharge(task_vm(e->task), e->charged);
    e->task = NULL;
}

static void wake(struct emitting *e)
{
    struct task *task = e->task;
    let_go(e);
    task_answer(task, &e->emit.err, push_place, &e->emit);
}

static void on_done(struct event_emit *emit)
{
    wake((struct emitting *)emit);
    mem_free(emit);
}

/* It is in the transaction; done follows when that has ended. */
static void on_ran(struct event_emit *emit)
{
    wake((struct emitting *)emit);
}

static void forget(void *arg)
{
    let_go(arg);
}

/* "name" and what begins with "name." */
static bool is_own(const struct vm *vm, struct str topic)
{
    struct str plugin = str_c(vm_plugin(vm));
    return str_starts(topic, plugin) && (topic.n == plugin.n || topic.p[plugin.n] == '.');
}

/* Whether M.allow.events names it: "topic", or "prefix.*". */
static bool is_allowed(const struct vm *vm, struct str topic)
{
    const struct allow_decl *allow = &vm_decl(vm)->allow[CAPABILITY_EVENT];
    for (int i = 0; i < allow->count; i++) {
        struct str entry = str_c(allow->entries[i]);
        if (str_eq(entry, topic))
            return true;
        if (entry.n > 1 && entry.p[entry.n - 1] == '*' &&
            str_starts(topic, str_n(entry.p, entry.n - 1)))
            return true;
    }
    return false;
}

/* What M.on names, and its dead letters. */
static bool is_heard(const struct vm *vm, struct str topic)
{
    const struct plugin_decl *decl = vm_decl(vm);
    for (int i = 0; i < decl->topic_count; i++) {
        struct str heard = str_c(decl->topics[i].topic);
        if (str_starts(topic, heard) &&
            (topic.n == heard.n || str_eq_c(str_n(topic.p + heard.n, topic.n - heard.n), ".dead")))
            return true;
    }
    return false;
}

void events_check_topic(lua_State *L, const struct vm *vm, struct str topic, bool reads,
                        const char *usage)
{
    if (!event_topic_ok(topic))
        args_error(L, "%s: topic must be 1 to %d letters, digits, _ . or -, got '%s'", usage,
                   EVENT_TOPIC_BYTES, topic.p);
    if (is_own(vm, topic) || is_allowed(vm, topic) || (reads && is_heard(vm, topic)))
        return;
    args_error(L,
               "%s: '%s' is not a topic of this plugin: begin it with \"%s.\" or list it in"
               " M.allow.events",
               usage, topic.p, vm_plugin(vm));
}

/* topic at `first`, data, key and headers as texts behind it. */
static int start(lua_State *L, struct task *task, struct store_tx *tx, int first)
{
    struct vm *vm = task_vm(task);
    struct events *events = vm_host(vm)->events;
    struct err err = {0};
    bind_part(L, events, "app.events:emit", "events");
    struct event_what what = {.topic = args_string(L, first, EMIT, "topic"),
                              .data = args_string(L, first + 1, EMIT, "data"),
                              .key = args_opt_string(L, first + 2, STR(""), EMIT, "options.key"),
                              .headers = args_opt_string(L, first + 3, STR(""), EMIT, "headers"),
                              .from = str_c(vm_plugin(vm))};
    events_check_topic(L, vm, what.topic, false, EMIT);
    size_t bytes = what.data.n + what.headers.n + 256;
    if (!event_check(&what, &err) || !vm_charge(vm, bytes, &err))
        return push_error(L, &err);
    struct emitting *e = mem_zero(1, sizeof *e);
    e->task = task;
    e->charged = bytes;
    e->emit.done = on_done;
    e->emit.lane = vm_lane(vm);
    bool ok = tx ? events_emit_tx(events, &e->emit, tx, on_ran, &what, &err)
                 : events_emit(events, &e->emit, &what, &err);
    if (!ok) {
        let_go(e);
        mem_free(e);
        return push_error(L, &err);
    }
    return task_wait(task, forget, e);
}

/*** Appends an event to a topic.  (waits)
 * @param topic string
 * @param data string JSON
 * @param key string|nil
 * @param headers string|nil a JSON object of texts
 * @return integer|nil offset, integer|string partition_or_message, string? code */
static int l_emit(lua_State *L)
{
    struct task *task = task_check(L, "app.events:emit");
    lua_settop(L, 4);
    return start(L, task, NULL, 1);
}

/*** The same inside a transaction; handle is store.lua's. */
static int l_emit_tx(lua_State *L)
{
    struct task *task = task_check(L, "tx.events:emit");
    lua_settop(L, 5);
    struct store_tx *tx = store_tx_check(L, 1, "tx.events:emit");
    return start(L, task, tx, 2);
}

/* -- looks ------------------------------------------------------------------------------------ */

struct looking {
    struct event_query query; /* first */
    struct task *task;
    char *topic, *cursor;
};

static int push_events(lua_State *L, void *arg)
{
    struct looking *l = arg;
    struct buf text = {0};
    buf_add_char(&text, '[');
    buf_add_str(&text, buf_str(&l->query.out));
    buf_add_char(&text, ']');
    lua_pushlstring(L, text.p, text.n);
    lua_pushstring(L, l->query.next);
    buf_free(&text);
    return 2;
}

static void on_looked(struct event_query *query)
{
    struct looking *l = (struct looking *)query;
    task_answer(l->task, &query->err, push_events, l);
    buf_free(&query->out);
    mem_free(l->topic);
    mem_free(l->cursor);
    mem_free(l);
}

static void stop_looking(void *arg)
{
    ((struct looking *)arg)->task = NULL;
}

/* options.after: an offset, or the cursor of a read before. */
static void read_after(lua_State *L, struct looking *l)
{
    opt_push(L, 2, "after");
    if (lua_type(L, -1) == LUA_TSTRING)
        l->cursor = mem_strdup(lua_tostring(L, -1));
    else if (!lua_isnil(L, -1) &&
             (lua_type(L, -1) != LUA_TNUMBER || lua_tonumber(L, -1) < -1 ||
              lua_tonumber(L, -1) > 9e15 || lua_tonumber(L, -1) != floor(lua_tonumber(L, -1)))) {
        mem_free(l);
        args_error(L, READ ": options.after must be an offset, or the cursor of a read before");
    } else if (!lua_isnil(L, -1)) {
        l->query.after = (int64_t)lua_tonumber(L, -1);
        if (l->query.partition < 0)
            l->query.partition = 0;
    }
    lua_pop(L, 1);
}

static int read_whole(lua_State *L, const char *key, int otherwise, int least, int most)
{
    double n = opt_number(L, 2, key, otherwise, READ);
    if (n < least || n > most || n != floor(n))
        args_error(L, READ ": options.%s must be a whole number from %d to %d", key, least, most);
    return (int)n;
}

/*** Events of a topic as a JSON array, and the cursor behind them.  (waits)
 * @param topic string
 * @param options table|nil after partition limit
 * @return string|nil json, string cursor_or_message, string? code */
static int l_read(lua_State *L)
{
    static const char *const known[] = {"after", "partition", "limit", NULL};
    struct task *task = task_check(L, "app.events:read");
    struct vm *vm = task_vm(task);
    struct events *events = vm_host(vm)->events;
    lua_settop(L, 2);
    struct str topic = args_string(L, 1, READ, "topic");
    int partition = -1, limit = 100;
    bind_part(L, events, "app.events:read", "events");
    bool options = args_opt_table(L, 2, READ, "options");
    events_check_topic(L, vm, topic, true, READ);
    if (options) {
        opt_known(L, 2, known, READ);
        partition = read_whole(L, "partition", -1, -1, 100000);
        limit = read_whole(L, "limit", 100, 1, EVENT_READ_MOST);
    }
    struct looking *l = mem_zero(1, sizeof *l);
    l->query.after = -1;
    l->query.partition = partition;
    l->query.limit = limit;
    if (options)
        read_after(L, l);
    l->task = task;
    l->topic = str_dup(topic);
    l->query.topic = str_c(l->topic);
    l->query.cursor = str_c(l->cursor);
    l->query.done = on_looked;
    l->query.lane = vm_lane(vm);
    events_read(events, &l->query);
    return task_wait(task, stop_looking, l);
}

int bind_events(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"emit", l_emit}, {"emit_tx", l_emit_tx}, {"emit_many", events_emit_many},
        {"read", l_read}, {NULL, NULL},
    };
    lua_createtable(L, 0, 4);
    luaL_register(L, NULL, functions);
    return 1;
}
