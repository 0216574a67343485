/* trace_lua.c -- app.trace, and what of a trace is handed on.  Wraps observe/trace.h by vm/task.h;
 * lua/maru/trace.lua adds span. */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "bind/bind.h"
#include "bind/trace.h"
#include "http/client.h"
#include "vm/args.h"

#define SET "app.trace:set(key, value)"

static bool has_header(const struct fetch_header *headers, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (headers[i].name.n == strlen(name) &&
            strncasecmp(headers[i].name.p, name, strlen(name)) == 0)
            return true;
    return false;
}

int trace_headers(struct task *task, struct trace_headers *text, struct fetch_header *headers,
                  int count, int most)
{
    struct trace_context context = {0};
    const char *state = task_trace_state(task), *id = task_trace_id(task);
    if (!trace_is_on() || count + 2 > most || has_header(headers, count, "traceparent"))
        return count;
    span_context(task_wait_span(task), &context);
    if (!*context.trace_id && !id)
        return count;
    if (!*context.trace_id)
        memcpy(context.trace_id, id, TRACE_ID_BYTES - 1);
    trace_print(&context, text->parent);
    headers[count++] = (struct fetch_header){STR("traceparent"), str_c(text->parent)};
    if (state && *state && !has_header(headers, count, "tracestate"))
        headers[count++] = (struct fetch_header){STR("tracestate"), str_c(state)};
    return count;
}

struct str trace_of_push(struct task *task)
{
    struct span *span = task_wait_span(task);
    struct trace_context context;
    const char *state = task_trace_state(task);
    size_t state_n = state ? strlen(state) : 0;
    if (!span)
        return STR("");
    span_set_kind(span, SPAN_PRODUCER);
    span_context(span, &context);
    char *text = task_alloc(task, TRACE_PARENT_BYTES + 1 + state_n);
    trace_print(&context, text);
    if (state_n > 0) {
        text[TRACE_PARENT_BYTES - 1] = ' ';
        memcpy(text + TRACE_PARENT_BYTES, state, state_n);
    }
    return str_c(text);
}

struct span *trace_of_job(struct str trace, struct str kind, const char **state)
{
    struct trace_context context;
    struct str parent = str_split(&trace, ' ');
    *state = NULL;
    if (!trace_is_on())
        return NULL;
    if (trace_parse(parent, &context))
        *state = trace.n ? trace.p : NULL;
    else
        trace_begin(NULL, &context);
    return span_begin(SPAN_CONSUMER, &context, kind);
}

/*** Begins a part of the running task. @param name string @return boolean whether it is traced */
static int l_begin(lua_State *L)
{
    struct str name = args_string(L, 1, "app.trace:span(name, fn, …)", "name");
    struct task *task = task_current(L);
    if (!task)
        return args_error(L, "app.trace:span: no handler is running");
    task_part_begin(task, name);
    lua_pushboolean(L, task_span(task) != NULL);
    return 1;
}

/*** Ends it. @param failure string|nil what went wrong */
static int l_finish(lua_State *L)
{
    struct task *task = task_current(L);
    const char *failure = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
    if (task)
        task_part_end(task, failure);
    return 0;
}

/*** Says something about what runs. @param key string @param value string|number|boolean */
static int l_set(lua_State *L)
{
    struct str key = args_string(L, 1, SET, "key");
    struct task *task = task_current(L);
    struct span *span = task ? task_span(task) : NULL;
    if (key.n == 0 || key.n > 64)
        args_fail(L, SET, "key", "text of 1 to 64 bytes", 1);
    switch (lua_type(L, 2)) {
    case LUA_TBOOLEAN:
        span_bool(span, key.p, lua_toboolean(L, 2));
        break;
    case LUA_TNUMBER:
        span_number(span, key.p, lua_tonumber(L, 2));
        break;
    case LUA_TSTRING:
        span_text(span, key.p, str_n(lua_tostring(L, 2), lua_objlen(L, 2)));
        break;
    default:
        args_fail(L, SET, "value", "a boolean, a number or a string", 2);
    }
    return 0;
}

/*** @return string|nil the id of the trace that the running handler belongs to */
static int l_id(lua_State *L)
{
    struct task *task = task_current(L);
    if (!task || !task_trace_id(task))
        return 0;
    lua_pushstring(L, task_trace_id(task));
    return 1;
}

int bind_trace(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"begin", l_begin}, {"finish", l_finish}, {"set", l_set}, {"id", l_id}, {NULL, NULL},
    };
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
