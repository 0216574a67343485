/* search_lua.c -- app.search.  Wraps search/search.h.
 *
 * Requests and answers are JSON text on both sides; lua/maru/search.lua makes
 * the one, the other is decoded when its task wakes.  A call lives until the
 * driver gives it back, also when its task is cancelled meanwhile. */
#include <lauxlib.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "search/search.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/json.h"
#include "vm/task.h"
#include "vm/vm.h"

struct search_ask {
    struct search_call call; /* first */
    struct task *task;       /* NULL when nobody waits */
    size_t charged;
    char plugin[80];
    char text[];
};

static int push_answer(lua_State *L, void *arg)
{
    struct search_call *call = arg;
    struct err err;
    if (lua_json_decode(L, buf_str(&call->answer), JSON_DEPTH_DEFAULT, &err))
        return 1;
    return push_error(L, &err);
}

static void on_done(struct search_call *call)
{
    struct search_ask *ask = (struct search_ask *)call;
    struct task *task = ask->task;
    if (task)
        vm_uncharge(task_vm(task), ask->charged);
    task_answer(task, &call->err, push_answer, call);
    buf_free(&call->answer);
    mem_free(ask);
}

static void forget(void *arg)
{
    struct search_ask *ask = arg;
    vm_uncharge(task_vm(ask->task), ask->charged);
    ask->task = NULL;
}

static struct search_ask *make_ask(lua_State *L, enum search_op op, struct str index,
                                   struct str request, struct err *err)
{
    size_t bytes = sizeof(struct search_ask) + index.n + request.n;
    if (!vm_charge(vm_of(L), bytes, err))
        return NULL;
    struct search_ask *ask = mem_alloc(bytes);
    *ask = (struct search_ask){.charged = bytes, .call = {.op = op, .done = on_done}};
    snprintf(ask->plugin, sizeof ask->plugin, "%s", vm_plugin(vm_of(L)));
    ask->call.plugin = ask->plugin;
    ask->call.index = (struct str){memcpy(ask->text, index.p, index.n), index.n};
    ask->call.request = (struct str){memcpy(ask->text + index.n, request.p, request.n), request.n};
    return ask;
}

/* index at 1, the request's JSON at 2 */
static int ask(lua_State *L, enum search_op op, const char *usage, const char *who)
{
    struct str index = args_string(L, 1, usage, "index");
    struct str request = args_string(L, 2, usage, "request");
    struct search *search = vm_host(vm_of(L))->search;
    bind_part(L, search, usage, "search");
    struct task *task = task_check(L, who);
    struct err err;
    if (request.n > SEARCH_REQUEST_BYTES) {
        err_set(&err, ERR_LIMIT, "%zu bytes in one call, at most %d", request.n,
                SEARCH_REQUEST_BYTES);
        return push_error(L, &err);
    }
    struct search_ask *a = make_ask(L, op, index, request, &err);
    if (!a)
        return push_error(L, &err);
    a->task = task;
    search_run(search, &a->call, task_lane(task));
    return task_wait(task, forget, a);
}

/*** Puts in or replaces documents.  (waits)
 * @return integer|nil documents, string? message, string? code */
static int l_index(lua_State *L)
{
    return ask(L, SEARCH_INDEX, "app.search:index(index, docs, [options])", "app.search:index");
}

/*** Documents by words.  (waits)
 * @return { total, hits, next, facets }|nil, string? message, string? code */
static int l_find(lua_State *L)
{
    return ask(L, SEARCH_FIND, "app.search:find(index, [query], [options])", "app.search:find");
}

/*** Removes documents.  (waits)
 * @return integer|nil documents, string? message, string? code */
static int l_delete(lua_State *L)
{
    return ask(L, SEARCH_DELETE, "app.search:delete(index, id|filter)", "app.search:delete");
}

/*** How many documents there are.  (waits)
 * @return integer|nil documents, string? message, string? code */
static int l_count(lua_State *L)
{
    return ask(L, SEARCH_COUNT, "app.search:count(index, [query], [options])", "app.search:count");
}

static const luaL_Reg functions[] = {
    {"index", l_index}, {"find", l_find}, {"delete", l_delete}, {"count", l_count}, {NULL, NULL},
};

int bind_search(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
