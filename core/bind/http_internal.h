/* http_internal.h -- what the http_*_lua.c files share; nobody else includes it. */
#pragma once

#include <lauxlib.h>
#include <lua.h>

#include "bind/http_lua.h"
#include "http/request.h"
#include "loop/lane.h"
#include "vm/task.h"
#include "vm/vm.h"

enum { HTTP_LABEL_BYTES = 120 }; /* "GET /api/things/{id}", cut */

/* A request in the hands of a handler.  It outlives both: the client may leave
 * first, or the task may still end after its answer. */
struct lua_request {
    struct http_request *request;  /* NULL: answered, or the client left */
    struct task *task;             /* NULL: not begun or ended */
    struct request_handle *handle; /* NULL: not pushed or let go */
    int anchor;                    /* keeps the userdata from the collector while we point at it */
    struct lane_message message;   /* cancels the task on the lane's next turn */
    int refs;
    char trace_id[33];
    char *trace_state; /* or NULL */
    char label[HTTP_LABEL_BYTES];
};

/* The userdata of a request; `of` is NULL once its task is over.  What was read
 * is kept in a table that is the userdata's environment. */
struct request_handle {
    struct lua_request *of;
    bool caches; /* the environment is a table of its own */
};

struct vm *http_route_vm(const struct http_route *route, const struct lane *lane);
void http_route_label(const struct http_route *route, char out[HTTP_LABEL_BYTES]);

/* http_request_lua.c */
void http_request_class(lua_State *L);
/* Pushes the userdata; http_request_release() when its task is over. */
void http_request_push(lua_State *L, struct lua_request *of);
void http_request_release(lua_State *L, struct lua_request *of);
int l_http_set(lua_State *L);  /* raw.http.set(req, field, table) */
int l_http_body(lua_State *L); /* raw.http.body(req, optional) -> value | nil when there is none */

/* http_lua.c: 503 for what could not begin; `cap` names the limit when it was one. */
void http_refuse(struct http_request *r, const struct err *err, enum vm_cap cap);

/* http_answer_lua.c: results on top of L become the answer. */
void http_answer(struct http_request *r, struct task *task, lua_State *L, int results);
void http_answer_failure(struct http_request *r, struct task *task, enum task_outcome outcome);
/* http_page_lua.c: in development, a browser that asked for a page gets one that shows the line.
 * False when the answer is to be a problem document.  traceback may be "". */
bool http_answer_page(struct http_request *r, struct task *task, const char *message,
                      const char *traceback);
/* One log line of a handler that raised; request may be NULL. */
void http_log_failure(struct task *task, struct http_request *request);

/* http_stream_lua.c */
void http_stream_class(lua_State *L);
int l_http_sse(lua_State *L);              /* app.sse(fn) */
bool http_is_sse(lua_State *L, int index); /* what app.sse returned */
void http_stream_begin(struct http_request *r, struct task *task, lua_State *L, int index);

/* http_socket_lua.c */
void http_socket_class(lua_State *L);
