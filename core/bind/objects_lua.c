/* objects_lua.c -- app.objects: whole objects.  Streams: objects_stream_lua.c.  Wraps
 * objects/object.h; core/lua/maru/objects.lua reads the options. */
#include "bind/objects_lua.h"

#include <lauxlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

/* Outlives the task that waits for it. */
struct asked {
    struct object_call call; /* first */
    struct task *task;       /* NULL once nobody waits */
    size_t charged;          /* to its VM, while the task waits */
    char *key, *type, *sha256, *body, *plugin, *after, *delimiter;
    struct str *keys;
    struct buf key_text;
};

struct objects *objects_of(lua_State *L, const char *who)
{
    struct objects *store = vm_host(vm_of(L))->objects;
    bind_part(L, store, who, "objects");
    return store;
}

void objects_push_info(lua_State *L, const struct object_info *info)
{
    lua_createtable(L, 0, 6);
    lua_pushlstring(L, info->key.p, info->key.n);
    lua_setfield(L, -2, "key");
    lua_pushnumber(L, (double)info->size);
    lua_setfield(L, -2, "size");
    lua_pushnumber(L, (double)info->at / (double)NS_PER_SECOND);
    lua_setfield(L, -2, "at");
    lua_pushstring(L, info->etag);
    lua_setfield(L, -2, "etag");
    if (info->type.n)
        lua_pushlstring(L, info->type.p, info->type.n);
    else
        lua_pushliteral(L, "application/octet-stream");
    lua_setfield(L, -2, "type");
}

static int push_list(lua_State *L, const struct object_call *c)
{
    lua_createtable(L, c->count, 0);
    for (int i = 0; i < c->count; i++) {
        objects_push_info(L, &c->items[i]);
        lua_pushboolean(L, c->items[i].is_prefix);
        lua_setfield(L, -2, "is_prefix");
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushboolean(L, c->more);
    return 2;
}

static int push_answer(lua_State *L, void *arg)
{
    struct object_call *c = arg;
    switch (c->op) {
    case OBJECT_GET:
        lua_pushlstring(L, c->out.p ? c->out.p : "", c->out.n);
        objects_push_info(L, &c->info);
        return 2;
    case OBJECT_LIST_KEYS:
        return push_list(L, c);
    case OBJECT_DELETE_MANY:
        lua_pushinteger(L, c->count);
        return 1;
    case OBJECT_DELETE:
        lua_pushboolean(L, true);
        return 1;
    default:
        objects_push_info(L, &c->info);
        return 1;
    }
}

/* Nobody waits any more. */
static void forget(void *arg)
{
    struct asked *a = arg;
    if (a->task)
        vm_uncharge(task_vm(a->task), a->charged);
    a->task = NULL;
}

static void on_done(struct object_call *call)
{
    struct asked *a = (struct asked *)(void *)call;
    struct task *task = a->task;
    forget(a);
    task_answer(task, &call->err, push_answer, call);
    object_call_free(call);
    mem_free(a->key);
    mem_free(a->type);
    mem_free(a->sha256);
    mem_free(a->body);
    mem_free(a->after);
    mem_free(a->delimiter);
    mem_free(a->keys);
    buf_free(&a->key_text);
    mem_free(a->plugin);
    mem_free(a);
}

static char *keep(struct str *s, struct str text)
{
    char *copy = text.n ? str_dup(text) : NULL;
    *s = (struct str){copy, text.n};
    return copy;
}

static void keep_keys(struct asked *a, const struct object_call *what)
{
    a->keys = mem_zero((size_t)what->key_count + 1, sizeof *a->keys);
    a->call.keys = a->keys;
    for (int i = 0; i < what->key_count; i++)
        buf_add_str(&a->key_text, what->keys[i]);
    size_t at = 0;
    for (int i = 0; i < what->key_count; at += what->keys[i++].n)
        a->keys[i] = str_n(a->key_text.p + at, what->keys[i].n);
}

/* `return ask(…)`: the caller has checked everything. */
static int ask(lua_State *L, const char *who, const struct object_call *what)
{
    struct objects *store = objects_of(L, who);
    struct task *task = task_check(L, who);
    struct vm *vm = task_vm(task);
    struct err err = {0};
    if (!vm_charge(vm, what->body.n, &err))
        return push_error(L, &err);
    struct asked *a = mem_zero(1, sizeof *a);
    a->call = *what;
    a->task = task;
    a->charged = what->body.n;
    a->plugin = mem_strdup(vm_plugin(vm));
    a->call.plugin = a->plugin;
    a->key = keep(&a->call.key, what->key);
    a->type = keep(&a->call.type, what->type);
    a->sha256 = keep(&a->call.sha256, what->sha256);
    a->body = keep(&a->call.body, what->body);
    a->after = keep(&a->call.after, what->after);
    a->delimiter = keep(&a->call.delimiter, what->delimiter);
    keep_keys(a, what);
    a->call.done = on_done;
    object_run(store, &a->call, vm_lane(vm));
    return task_wait(task, forget, a);
}

/*** (waits) key, bytes, type, if_absent, sha256
 * @return table|nil info, string? message, string? code */
static int l_put(lua_State *L)
{
    static const char usage[] = "app.objects:put(key, bytes, [options])";
    return ask(L, "app.objects:put",
               &(struct object_call){.op = OBJECT_PUT,
                                     .key = args_string(L, 1, usage, "key"),
                                     .body = args_string(L, 2, usage, "bytes"),
                                     .type = args_opt_string(L, 3, STR(""), usage, "type"),
                                     .if_absent = lua_toboolean(L, 4),
                                     .sha256 = args_opt_string(L, 5, STR(""), usage, "sha256")});
}

/*** (waits) key, from, n
 * @return string|nil bytes, table|string info_or_message, string? code */
static int l_get(lua_State *L)
{
    static const char usage[] = "app.objects:get(key, [options])";
    return ask(L, "app.objects:get",
               &(struct object_call){.op = OBJECT_GET,
                                     .key = args_string(L, 1, usage, "key"),
                                     .from = args_integer(L, 2, 0, INT64_C(1) << 53, usage, "from"),
                                     .n = args_integer(L, 3, 0, INT64_C(1) << 53, usage, "n")});
}

/*** (waits)
 * @return table|nil info, string? message, string? code */
static int l_stat(lua_State *L)
{
    struct str key = args_string(L, 1, "app.objects:stat(key)", "key");
    return ask(L, "app.objects:stat", &(struct object_call){.op = OBJECT_STAT, .key = key});
}

/*** (waits)
 * @return true|nil, string? message, string? code */
static int l_delete(lua_State *L)
{
    struct str key = args_string(L, 1, "app.objects:delete(key)", "key");
    return ask(L, "app.objects:delete", &(struct object_call){.op = OBJECT_DELETE, .key = key});
}

/*** (waits) keys: at most 1000
 * @return integer|nil count, string? message, string? code */
static int l_delete_many(lua_State *L)
{
    static const char usage[] = "app.objects:delete_many(keys)";
    if (!lua_istable(L, 1))
        args_error(L, "%s: keys must be a table of strings, got %s", usage, luaL_typename(L, 1));
    int n = (int)lua_objlen(L, 1);
    if (n > OBJECT_LIST)
        args_error(L, "%s: at most %d keys at once, got %d", usage, OBJECT_LIST, n);
    struct str *keys = lua_newuserdata(L, ((size_t)n + 1) * sizeof *keys);
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, 1, i + 1);
        if (lua_type(L, -1) != LUA_TSTRING)
            args_error(L, "%s: keys[%d] must be a string, got %s", usage, i + 1,
                       luaL_typename(L, -1));
        keys[i].p = lua_tolstring(L, -1, &keys[i].n);
        lua_pop(L, 1);
    }
    return ask(L, "app.objects:delete_many",
               &(struct object_call){.op = OBJECT_DELETE_MANY, .keys = keys, .key_count = n});
}

/*** key, put, expires, type, max_bytes, name, shown
 * @return string|nil url, string? message, string? code */
static int l_presign(lua_State *L)
{
    static const char usage[] = "app.objects:presign(key, [options])";
    struct err err = {0};
    struct object_presign p = {.plugin = vm_plugin(vm_of(L)),
                               .key = args_string(L, 1, usage, "key"),
                               .put = lua_toboolean(L, 2),
                               .expires_s = args_integer(L, 3, 1, 604800, usage, "expires"),
                               .type = args_opt_string(L, 4, STR(""), usage, "content_type"),
                               .max_bytes =
                                   args_integer(L, 5, 0, INT64_C(1) << 53, usage, "max_bytes"),
                               .name = args_opt_string(L, 6, STR(""), usage, "name"),
                               .shown = lua_toboolean(L, 7)};
    struct buf *url = vm_scratch(vm_of(L));
    if (!object_presign(objects_of(L, "app.objects:presign"), &p, url, &err))
        return push_error(L, &err);
    lua_pushlstring(L, url->p, url->n);
    return 1;
}

/*** (waits) prefix, after, limit, delimiter
 * @return table[]|nil infos, boolean|string more_or_message, string? code */
static int l_list(lua_State *L)
{
    static const char usage[] = "app.objects:list([prefix], [options])";
    return ask(
        L, "app.objects:list",
        &(struct object_call){.op = OBJECT_LIST_KEYS,
                              .key = args_opt_string(L, 1, STR(""), usage, "prefix"),
                              .after = args_opt_string(L, 2, STR(""), usage, "after"),
                              .limit = (int)args_integer(L, 3, 1, OBJECT_LIST, usage, "limit"),
                              .delimiter = args_opt_string(L, 4, STR(""), usage, "delimiter")});
}

int bind_objects(lua_State *L)
{
    static const luaL_Reg functions[] = {{"put", l_put},
                                         {"get", l_get},
                                         {"stat", l_stat},
                                         {"delete", l_delete},
                                         {"delete_many", l_delete_many},
                                         {"list", l_list},
                                         {"presign", l_presign},
                                         {"writer", objects_writer},
                                         {"reader", objects_reader},
                                         {NULL, NULL}};
    objects_streams_open(L);
    lua_createtable(L, 0, 8);
    luaL_register(L, NULL, functions);
    return 1;
}
