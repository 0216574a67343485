/* client_lua.c -- app.http: outgoing requests.  Wraps http/client.h; core/lua/maru/client.lua adds
 * get and post; client_stream_lua.c has answers in pieces. */
#include "bind/client.h"

#include <lauxlib.h>
#include <math.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/trace.h"
#include "loop/lane.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define USAGE "app.http:request(url, [options])"

struct call {
    struct task *task;
    struct http_fetch *fetch;
};

static void cancel_call(void *arg)
{
    struct call *call = arg;
    vm_give(task_vm(call->task), CAP_CONNECTIONS);
    http_fetch_cancel(call->fetch);
}

void client_push_headers(lua_State *L, const struct fetch_result *result)
{
    lua_createtable(L, 0, result->header_count);
    for (int i = 0; i < result->header_count; i++) {
        const struct fetch_header *h = &result->headers[i];
        lua_pushlstring(L, h->name.p, h->name.n);
        lua_pushvalue(L, -1);
        lua_rawget(L, -3); /* headers name earlier */
        if (lua_isstring(L, -1)) {
            /* Repeated headers are one list (RFC 9110 §5.3). */
            lua_pushliteral(L, ", ");
            lua_pushlstring(L, h->value.p, h->value.n);
            lua_concat(L, 3);
        } else {
            lua_pop(L, 1);
            lua_pushlstring(L, h->value.p, h->value.n);
        }
        lua_rawset(L, -3);
    }
}

static int push_answer(lua_State *L, void *arg)
{
    const struct fetch_result *result = arg;
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, result->status);
    lua_setfield(L, -2, "status");
    client_push_headers(L, result);
    lua_setfield(L, -2, "headers");
    lua_pushlstring(L, result->body.p ? result->body.p : "", result->body.n);
    lua_setfield(L, -2, "body");
    lua_pushlstring(L, result->url.p, result->url.n);
    lua_setfield(L, -2, "url");
    lua_pushnumber(L, (double)result->elapsed_ns / (double)NS_PER_SECOND);
    lua_setfield(L, -2, "time");
    return 1;
}

static int push_failure(lua_State *L, void *arg)
{
    const struct fetch_result *result = arg;
    lua_pushnil(L);
    lua_pushstring(L, result->message);
    lua_pushstring(L, fetch_code_name(result->code));
    return 3;
}

static void tell(struct task *task, const struct fetch_result *result)
{
    if (!task_span(task))
        return;
    struct span *span = task_wait_span(task);
    if (result->code != FETCH_OK)
        span_fail(span, str_c(result->message));
    else
        span_int(span, "http.response.status_code", result->status);
    if (result->status >= 400)
        span_fail(span, STR(""));
    if (result->attempts > 1)
        span_int(span, "http.request.resend_count", result->attempts - 1);
}

static void on_done(void *arg, const struct fetch_result *result)
{
    struct call *call = arg;
    struct task *task = call->task;
    vm_give(task_vm(task), CAP_CONNECTIONS);
    tell(task, result);
    if (result->code == FETCH_OK) {
        task_wake_with(task, push_answer, (void *)(uintptr_t)result);
        return;
    }
    task_wake_with(task, push_failure, (void *)(uintptr_t)result);
}

/* Reads {name = value} at `index` into headers owned by the task. */
static int read_headers(lua_State *L, int index, struct fetch_header *headers, const char *usage)
{
    int count = 0;
    if (lua_isnil(L, index))
        return 0;
    luaL_checktype(L, index, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "%s: options.headers must map names to strings", usage);
        if (count == FETCH_HEADERS)
            luaL_error(L, "%s: options.headers: more than %d", usage, FETCH_HEADERS);
        headers[count].name.p = lua_tolstring(L, -2, &headers[count].name.n);
        headers[count].value.p = lua_tolstring(L, -1, &headers[count].value.n);
        count++;
    }
    return count;
}

static int bounded(lua_State *L, const char *key, int otherwise, int most, const char *usage)
{
    double value = opt_number(L, 2, key, otherwise, usage);
    if (value < 0 || value > most || value != floor(value))
        luaL_error(L, "%s: options.%s must be a whole number from 0 to %d", usage, key, most);
    return (int)value;
}

static int64_t max_bytes(lua_State *L, struct str otherwise, const char *usage)
{
    struct err err = {0};
    int64_t bytes;
    struct str text = opt_string(L, 2, "max_bytes", otherwise, usage);
    if (!size_parse(text, &bytes, &err))
        luaL_error(L, "%s: options.max_bytes: %s", usage, err.message);
    return bytes;
}

struct fetch_options client_read_options(lua_State *L, struct vm *vm, struct fetch_header *headers,
                                         const struct client_defaults *defaults, const char *usage)
{
    const struct allow_decl *net = &vm_decl(vm)->allow[CAPABILITY_NET];
    lua_settop(L, 2);
    struct fetch_options options = {
        .url = args_string(L, 1, usage, "url"),
        .method = opt_string(L, 2, "method", STR("GET"), usage),
        .body = opt_string(L, 2, "body", STR(""), usage),
        .timeout_ns = opt_duration(L, 2, "timeout", defaults->timeout_ns, usage),
        .silence_ns = opt_duration(L, 2, "silence", defaults->silence_ns, usage),
        .backoff_ns = opt_duration(L, 2, "backoff", NS_PER_SECOND / 2, usage),
        .redirects = bounded(L, "redirects", 3, FETCH_REDIRECTS, usage),
        .retries = bounded(L, "retries", 0, FETCH_RETRIES, usage),
        .max_bytes = max_bytes(L, str_c(defaults->max_bytes), usage),
        .allow = {(const char *const *)net->entries, net->count},
        .headers = headers,
    };
    if (lua_istable(L, 2))
        opt_push(L, 2, "headers");
    else
        lua_pushnil(L);
    options.header_count = read_headers(L, 3, headers, usage);
    return options;
}

struct str client_shown(lua_State *L, const struct fetch_options *options, const char *usage)
{
    return opt_string(L, 2, "shown", options->url, usage);
}

/* A query may hold secrets: what stands before it is shown, without a user's password. */
void client_trace(struct task *task, struct trace_headers *text, struct fetch_options *options,
                  struct fetch_header *headers, struct str shown)
{
    struct span *span = task_wait_span(task);
    struct buf url = {0};
    options->header_count =
        trace_headers(task, text, headers, options->header_count, FETCH_HEADERS);
    if (!span)
        return;
    address_mask(str_n(shown.p, str_find(shown, '?')), &url);
    span_text(span, "http.request.method", options->method);
    span_text(span, "url.full", buf_str(&url));
    buf_free(&url);
}

/*** Sends a request and waits for the answer.
 * @param url string
 * @param options table method headers body timeout silence retries backoff max_bytes redirects
 * @return table|nil answer, string? message, string? code */
static int l_request(lua_State *L)
{
    static const struct client_defaults defaults = {10 * NS_PER_SECOND, 0, "8M"};
    struct task *task = task_check(L, "app.http:request");
    struct fetch_header headers[FETCH_HEADERS];
    struct trace_headers trace;
    struct vm *vm = task_vm(task);
    struct err err = {0};
    struct fetch_options options = client_read_options(L, vm, headers, &defaults, USAGE);
    client_trace(task, &trace, &options, headers, client_shown(L, &options, USAGE));
    bind_part(L, vm_host(vm)->clients, "app.http:request", "an HTTP client");
    if (!vm_take(vm, CAP_CONNECTIONS, &err))
        return push_error(L, &err);
    struct call *call = task_alloc(task, sizeof *call);
    call->task = task;
    struct http_client *client = vm_host(vm)->clients[vm_lane(vm)->index];
    call->fetch = http_fetch(client, &options, on_done, call, &err);
    if (!call->fetch) {
        vm_give(vm, CAP_CONNECTIONS);
        return push_error(L, &err);
    }
    return task_wait(task, cancel_call, call);
}

int bind_client(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"request", l_request}, {"stream", client_stream}, {NULL, NULL}};
    client_stream_class(L);
    lua_createtable(L, 0, 2);
    luaL_register(L, NULL, functions);
    return 1;
}
