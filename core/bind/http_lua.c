/* http_lua.c -- requests to Lua handlers: from the route to the task, and what is raw.http. */
#include "bind/http_lua.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "bind/http_internal.h"
#include "observe/trace.h"

struct vm *http_route_vm(const struct http_route *route, const struct lane *lane)
{
    struct vm **vms = route->target;
    struct vm *vm = vms ? vms[lane->index] : NULL;
    return vm && !vm_broken(vm) ? vm : NULL;
}

void http_route_label(const struct http_route *route, char out[HTTP_LABEL_BYTES])
{
    size_t method_n = strlen(route->method), pattern_n = strlen(route->pattern);
    if (method_n + 1 + pattern_n >= HTTP_LABEL_BYTES)
        pattern_n = HTTP_LABEL_BYTES - 2 - method_n;
    memcpy(out, route->method, method_n);
    out[method_n] = ' ';
    memcpy(out + method_n + 1, route->pattern, pattern_n);
    out[method_n + 1 + pattern_n] = '\0';
}

static void unref(struct lua_request *of)
{
    if (--of->refs == 0) {
        mem_free(of->trace_state);
        mem_free(of);
    }
}

static void on_turn(struct lane_message *message)
{
    struct lua_request *of =
        (struct lua_request *)(void *)((char *)message - offsetof(struct lua_request, message));
    if (of->task)
        task_cancel(of->task);
    unref(of);
}

/* Runs inside the library's reading: the task is told on the lane's next turn. */
static void on_client_left(void *arg)
{
    struct lua_request *of = arg;
    struct lane *lane = request_lane(of->request);
    of->request = NULL;
    of->refs++;
    of->message.fn = on_turn;
    lane_post(lane, &of->message);
}

static int push_request(lua_State *L, void *arg)
{
    struct lua_request *of = arg;
    of->task = task_current(L);
    http_request_push(L, of);
    return 1;
}

static void on_end(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                   void *arg)
{
    struct lua_request *of = arg;
    struct http_request *r = of->request;
    of->task = NULL;
    of->request = NULL;
    if (r)
        request_on_cancel(r, NULL, NULL);
    if (r && outcome == TASK_DONE)
        http_answer(r, task, L, results);
    else if (r)
        http_answer_failure(r, task, outcome);
    else if (outcome == TASK_FAILED || outcome == TASK_KILLED)
        http_log_failure(task, NULL);
    http_request_release(L, of);
    unref(of);
}

static void refuse(struct http_request *r, const char *code, const char *detail)
{
    respond_header(r, STR("retry-after"), STR("1"));
    respond_problem(r, 503, code, str_c(detail), str_n(NULL, 0));
}

void http_refuse(struct http_request *r, const struct err *err, enum vm_cap cap)
{
    if (err->code != ERR_LIMIT) {
        refuse(r, "unavailable", err->message);
        return;
    }
    char extra[40];
    snprintf(extra, sizeof extra, "\"limit\":\"%s\"", vm_cap_name(cap));
    respond_header(r, STR("retry-after"), STR("1"));
    respond_problem(r, 503, "limit", str_c(err->message), str_c(extra));
}

bool http_socket_may_open(struct http_request *r, const struct http_route *route, int open)
{
    struct vm *vm = http_route_vm(route, request_lane(r));
    struct err err;
    if (!vm || vm_may_have(vm, CAP_SOCKETS, open, &err))
        return true;
    http_refuse(r, &err, CAP_SOCKETS);
    return false;
}

void http_dispatch_lua(struct http_request *r, const struct http_route *route)
{
    struct vm *vm = http_route_vm(route, request_lane(r));
    if (!vm) {
        refuse(r, "unavailable", "the plugin of this route is being restarted");
        return;
    }
    struct lua_request *of = mem_alloc(sizeof *of);
    of->request = r;
    of->task = NULL;
    of->handle = NULL;
    of->refs = 1;
    of->trace_state = NULL;
    struct str trace = request_trace_id(r);
    memcpy(of->trace_id, trace.p, 32);
    of->trace_id[32] = '\0';
    http_route_label(route, of->label);
    struct span *span = request_span(r, str_c(of->label));
    if (trace_is_on() && request_trace_state(r).n)
        of->trace_state = str_dup(request_trace_state(r));
    span = span_child(span, SPAN_INTERNAL, str_c("handler"));
    request_on_cancel(r, on_client_left, of);
    const struct task_options options = {.kind = TASK_REQUEST,
                                         .handler = route->handler,
                                         .label = of->label,
                                         .deadline_ns = route->timeout_ns,
                                         .trace_id = of->trace_id,
                                         .trace_state = of->trace_state,
                                         .span = span,
                                         .push = push_request,
                                         .end = on_end,
                                         .arg = of};
    struct err err;
    if (task_start(vm, &options, &err))
        return;
    request_on_cancel(r, NULL, NULL);
    span_fail(span, str_c(err.message));
    span_end(span);
    unref(of);
    http_refuse(r, &err, CAP_TASKS);
}

int bind_http(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"set", l_http_set}, {"body", l_http_body}, {"sse", l_http_sse}, {NULL, NULL}};
    http_request_class(L);
    http_stream_class(L);
    http_socket_class(L);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
