/* mail_lua.c -- app.mail.  Wraps http/mail.h; core/lua/maru/mail.lua reads the mail and writes its
 * headers. */
#include <lauxlib.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "http/mail.h"
#include "loop/lane.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define USAGE "app.mail:send(mail)"

struct call {
    struct task *task;
    struct mail *mail;
};

static void cancel_call(void *arg)
{
    struct call *call = arg;
    vm_give(task_vm(call->task), CAP_CONNECTIONS);
    mail_cancel(call->mail);
}

static int push_refused(lua_State *L, void *arg)
{
    const struct mail_result *result = arg;
    lua_createtable(L, result->refused_count, 0);
    for (int i = 0; i < result->refused_count; i++) {
        const struct mail_refusal *r = &result->refused[i];
        lua_createtable(L, 0, 3);
        lua_pushinteger(L, r->to + 1);
        lua_setfield(L, -2, "at");
        lua_pushfstring(L, "%d %s", r->status, r->words);
        lua_setfield(L, -2, "message");
        lua_pushstring(L, r->status < 500 ? "busy" : "forbidden");
        lua_setfield(L, -2, "code");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static void on_done(void *arg, const struct mail_result *result)
{
    struct call *call = arg;
    vm_give(task_vm(call->task), CAP_CONNECTIONS);
    task_answer(call->task, &result->err, push_refused, (void *)(uintptr_t)result);
}

static struct str field(lua_State *L, int index, const char *name)
{
    struct str text;
    opt_push(L, index, name);
    text.p = lua_tolstring(L, -1, &text.n);
    lua_pop(L, 1); /* the table keeps it */
    return text.p ? text : STR("");
}

/* A list of strings into the call's memory. */
static struct str *texts(lua_State *L, struct task *task, int index, int *count)
{
    *count = (int)lua_objlen(L, index);
    struct str *list = task_alloc(task, ((size_t)*count + 1) * sizeof *list);
    for (int i = 0; i < *count; i++) {
        lua_rawgeti(L, index, i + 1);
        list[i].p = lua_tolstring(L, -1, &list[i].n);
        lua_pop(L, 1);
    }
    return list;
}

static struct mail_file *files(lua_State *L, struct task *task, int index, int *count)
{
    *count = (int)lua_objlen(L, index);
    struct mail_file *list = task_alloc(task, ((size_t)*count + 1) * sizeof *list);
    for (int i = 0; i < *count; i++) {
        lua_rawgeti(L, index, i + 1);
        list[i] =
            (struct mail_file){field(L, lua_gettop(L), "name"), field(L, lua_gettop(L), "type"),
                               field(L, lua_gettop(L), "data")};
        lua_pop(L, 1);
    }
    return list;
}

/*** (waits) from, to, headers, text, html, files: checked by mail.lua
 * @return table[]|nil refused, string? message, string? code */
static int l_send(lua_State *L)
{
    struct task *task = task_check(L, "app.mail:send");
    struct vm *vm = task_vm(task);
    struct err err = {0};
    struct mail_options o = {.server = vm_host(vm)->mail,
                             .from = args_string(L, 1, USAGE, "from"),
                             .text = args_string(L, 4, USAGE, "text"),
                             .html = args_string(L, 5, USAGE, "html")};
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TTABLE);
    luaL_checktype(L, 6, LUA_TTABLE);
    bind_part(L, vm_host(vm)->clients, "app.mail:send", "an HTTP client");
    o.to = texts(L, task, 2, &o.to_count);
    o.headers = texts(L, task, 3, &o.header_count);
    o.files = files(L, task, 6, &o.file_count);
    if (!vm_take(vm, CAP_CONNECTIONS, &err))
        return push_error(L, &err);
    struct call *call = task_alloc(task, sizeof *call);
    call->task = task;
    call->mail = mail_send(vm_host(vm)->clients[vm_lane(vm)->index], &o, on_done, call, &err);
    if (!call->mail) {
        vm_give(vm, CAP_CONNECTIONS);
        return push_error(L, &err);
    }
    return task_wait(task, cancel_call, call);
}

/*** @return string from, as configured, or ""; boolean whether a server is */
static int l_sender(lua_State *L)
{
    const struct mail_server *server = vm_host(vm_of(L))->mail;
    lua_pushstring(L, server ? server->from : "");
    lua_pushboolean(L, server && *server->url);
    return 2;
}

int bind_mail(lua_State *L)
{
    static const luaL_Reg functions[] = {{"send", l_send}, {"sender", l_sender}, {NULL, NULL}};
    lua_createtable(L, 0, 2);
    luaL_register(L, NULL, functions);
    return 1;
}
