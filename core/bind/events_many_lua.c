/* events_many_lua.c -- app.events:emit_many.  Wraps events/events.h. */
#include <lauxlib.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "bind/events_lua.h"
#include "events/events.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define MANY "app.events:emit_many(topic, list)"

enum { MANY_MOST = 10000 }; /* events of one call */

struct one_of_many {
    struct event_emit emit; /* first */
    struct emitting_many *many;
};

/* Emits that are under way together; the writer takes them into one commit. */
struct emitting_many {
    struct task *task; /* NULL when nobody waits */
    size_t charged;
    struct err err; /* the first */
    int left, count;
    struct one_of_many list[];
};

static int push_count(lua_State *L, void *arg)
{
    lua_pushinteger(L, ((struct emitting_many *)arg)->count);
    return 1;
}

static void let_go_of_many(void *arg)
{
    struct emitting_many *m = arg;
    if (m->task)
        vm_uncharge(task_vm(m->task), m->charged);
    m->task = NULL;
}

static void on_one_done(struct event_emit *emit)
{
    struct emitting_many *m = ((struct one_of_many *)emit)->many;
    if (emit->err.code != ERR_NONE && m->err.code == ERR_NONE)
        m->err = emit->err;
    if (--m->left > 0)
        return;
    struct task *task = m->task;
    let_go_of_many(m);
    task_answer(task, &m->err, push_count, m);
    mem_free(m);
}

/* list[i] of the three lists at `first`, checked; the texts live as long as the lists. */
static bool read_one(lua_State *L, int first, int i, struct event_what *what, struct err *err)
{
    struct str *texts[] = {&what->data, &what->key, &what->headers};
    for (int k = 0; k < 3; k++) {
        lua_rawgeti(L, first + k, i + 1);
        texts[k]->p = luaL_checklstring(L, -1, &texts[k]->n);
        lua_pop(L, 1);
    }
    return event_check(what, err);
}

/* The bytes of all, or 0 with *err when one of them cannot be emitted. */
static size_t check_all(lua_State *L, int count, struct event_what *what, struct err *err)
{
    size_t bytes = 256;
    for (int i = 0; i < count; i++) {
        if (!read_one(L, 2, i, what, err))
            return 0;
        bytes += what->data.n + what->headers.n + sizeof(struct one_of_many);
    }
    return bytes;
}

/* Nothing may raise in here.  False when none is under way: *err says why. */
static bool emit_all(lua_State *L, struct events *events, struct emitting_many *m,
                     struct event_what *what, struct lane *lane)
{
    struct err err = {0};
    int count = m->count;
    m->left = 1; /* ours, so that it is not over before all are on their way */
    for (int i = 0; i < count && m->err.code == ERR_NONE; i++) {
        read_one(L, 2, i, what, &err);
        m->list[i] = (struct one_of_many){.emit = {.done = on_one_done, .lane = lane}, .many = m};
        if (events_emit(events, &m->list[i].emit, what, &err))
            m->left++;
        else
            m->err = err;
    }
    return --m->left > 0;
}

/*** Appends events to a topic; when it fails some of them may be there.  (waits)
 * @param topic string
 * @param data string[] JSON
 * @param keys string[] "" = none
 * @param headers string[] JSON objects of texts, "" = none
 * @return integer|nil count, string? message, string? code */
int events_emit_many(lua_State *L)
{
    struct task *task = task_check(L, "app.events:emit_many");
    struct vm *vm = task_vm(task);
    struct events *events = vm_host(vm)->events;
    struct err err = {0};
    lua_settop(L, 4);
    bind_part(L, events, "app.events:emit_many", "events");
    struct event_what what = {.topic = args_string(L, 1, MANY, "topic"),
                              .from = str_c(vm_plugin(vm))};
    events_check_topic(L, vm, what.topic, false, MANY);
    size_t n = lua_objlen(L, 2);
    if (n > MANY_MOST)
        return args_error(L, MANY ": more than %d events", MANY_MOST);
    size_t bytes = check_all(L, (int)n, &what, &err);
    if (!bytes || !vm_charge(vm, bytes, &err))
        return push_error(L, &err);
    struct emitting_many *m = mem_zero(1, sizeof *m + n * sizeof *m->list);
    m->task = task;
    m->charged = bytes;
    m->count = (int)n;
    if (emit_all(L, events, m, &what, vm_lane(vm)))
        return task_wait(task, let_go_of_many, m);
    err = m->err;
    let_go_of_many(m);
    mem_free(m);
    if (err.code != ERR_NONE)
        return push_error(L, &err);
    lua_pushinteger(L, (int)n);
    return 1;
}
