/* http_answer_lua.c -- what a handler returned or raised, as an answer. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "bind/http_internal.h"
#include "observe/log.h"
#include "vm/host.h"
#include "vm/json.h"

enum {
    ANSWER_COPIED_BYTES = 16 << 10, /* larger bodies are handed over instead */
    ANSWER_HEADER_BYTES = 64 << 10, /* names and values together */
};

/* Of this thread's lane; answers are built and copied within one call. */

static void log_line(struct task *task, struct http_request *r, const char *message,
                     const char *code, const char *traceback)
{
    struct buf fields = {0};
    buf_add_c(&fields, "\"route\":");
    json_write_string(&fields, str_c(task_label(task)));
    buf_add_c(&fields, ",\"code\":");
    json_write_string(&fields, str_c(code));
    if (r) {
        buf_add_c(&fields, ",\"request_id\":");
        json_write_string(&fields, request_id(r));
    }
    if (task_trace_id(task)) {
        buf_add_c(&fields, ",\"trace_id\":");
        json_write_string(&fields, str_c(task_trace_id(task)));
    }
    if (traceback && *traceback) {
        buf_add_c(&fields, ",\"traceback\":");
        json_write_string(&fields, str_c(traceback));
    }
    log_write(LOG_ERROR, "http", vm_label(task_vm(task)), str_c(message), buf_str(&fields));
    buf_free(&fields);
}

void http_log_failure(struct task *task, struct http_request *r)
{
    const struct task_failure *failure = task_failure(task);
    log_line(task, r, failure->message, failure->code, failure->traceback);
}

/* The inside of a JSON object of app.fail's fourth argument. */
static struct str extra_of(const struct task_failure *failure, struct buf *out)
{
    struct str extra = failure->extra_json;
    if (extra.n == 0)
        return extra;
    if (extra.p[0] == '{')
        return str_n(extra.p + 1, extra.n - 2);
    buf_add_c(out, "\"extra\":");
    buf_add_str(out, extra);
    return buf_str(out);
}

static void answer_raised(struct http_request *r, struct task *task)
{
    const struct task_failure *failure = task_failure(task);
    if (failure->status != 0) {
        struct buf extra = {0};
        respond_problem(r, failure->status, failure->code, str_c(failure->message),
                        extra_of(failure, &extra));
        buf_free(&extra);
        return;
    }
    http_log_failure(task, r);
    if (http_answer_page(r, task, failure->message, failure->traceback))
        return;
    bool development = vm_host(task_vm(task))->development;
    respond_problem(r, 500, "error",
                    development ? str_c(failure->message)
                                : STR("the handler failed; the log has it under this request id"),
                    str_n(NULL, 0));
}

void http_answer_failure(struct http_request *r, struct task *task, enum task_outcome outcome)
{
    switch (outcome) {
    case TASK_FAILED:
        answer_raised(r, task);
        return;
    case TASK_TIMEOUT:
        log_line(task, r, "the handler took longer than it may", "timeout", NULL);
        respond_problem(r, 504, "timeout", STR("the handler took longer than it may"),
                        str_n(NULL, 0));
        return;
    case TASK_MEMORY:
        log_line(task, r, "the plugin is over its memory limit", "memory", NULL);
        respond_header(r, STR("retry-after"), STR("1"));
        respond_problem(r, 503, "memory", STR("the plugin is over its memory limit"),
                        str_n(NULL, 0));
        return;
    case TASK_KILLED:
        http_log_failure(task, r);
        respond_header(r, STR("retry-after"), STR("1"));
        respond_problem(r, 503, "killed", STR("the handler ran too long without waiting"),
                        str_n(NULL, 0));
        return;
    case TASK_CANCELLED:
    case TASK_DONE:
        respond_header(r, STR("retry-after"), STR("1"));
        respond_problem(r, 503, "cancelled", STR("the plugin was restarted or replaced meanwhile"),
                        str_n(NULL, 0));
        return;
    }
}

/* A handler's mistake: logged, and named in development. */
static void answer_mistake(struct http_request *r, struct task *task, const char *mistake)
{
    char message[256];
    snprintf(message, sizeof message, "%s: %s", task_label(task), mistake);
    log_line(task, r, message, "answer", NULL);
    if (http_answer_page(r, task, message, ""))
        return;
    bool development = vm_host(task_vm(task))->development;
    respond_problem(r, 500, "error",
                    development ? str_c(message) : STR("the handler's answer is not valid"),
                    str_n(NULL, 0));
}

static struct str lower(struct str s, char out[64])
{
    if (s.n > 64)
        return str_n(NULL, 0);
    for (size_t i = 0; i < s.n; i++)
        out[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i];
    return str_n(out, s.n);
}

/* Text of the value at index without making a Lua string; false for other types. */
static bool read_text(lua_State *L, int index, char number[32], struct str *out)
{
    if (lua_type(L, index) == LUA_TSTRING) {
        out->p = lua_tolstring(L, index, &out->n);
        return true;
    }
    if (lua_type(L, index) != LUA_TNUMBER)
        return false;
    out->n = (size_t)snprintf(number, 32, "%.14g", lua_tonumber(L, index));
    out->p = number;
    return true;
}

/* The headers of one answer. */
struct headers {
    struct http_request *request;
    struct str type; /* content-type; the table keeps it */
    size_t bytes;
};

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

/* The value on top of the stack.  NULL or the mistake. */
static const char *add_value(struct headers *h, lua_State *L, struct str name)
{
    char number[32];
    struct str value;
    if (!read_text(L, -1, number, &value))
        return "a header's value must be text";
    h->bytes += name.n + value.n;
    if (h->bytes > ANSWER_HEADER_BYTES)
        return "the headers are longer than 64 KiB";
    if (str_eq_c(name, "content-type") && value.p != number && !has_control(value)) {
        h->type = value;
        return NULL;
    }
    return respond_header(h->request, name, value)
               ? NULL
               : "a header has a name or value that is not allowed";
}

/* Adds one header; its value may be an array of texts (set-cookie).  NULL or the mistake. */
static const char *add_header(struct headers *h, lua_State *L, struct str name)
{
    if (!lua_istable(L, -1))
        return add_value(h, L, name);
    const char *mistake = NULL;
    int count = (int)lua_objlen(L, -1);
    for (int i = 1; i <= count && !mistake; i++) {
        lua_rawgeti(L, -1, i);
        mistake = add_value(h, L, name);
        lua_pop(L, 1);
    }
    return mistake;
}

static const char *add_headers(struct headers *h, lua_State *L, int index)
{
    const char *mistake = NULL;
    lua_pushnil(L);
    while (!mistake && lua_next(L, index) != 0) {
        char small[64];
        struct str name = {NULL, 0};
        if (lua_type(L, -2) == LUA_TSTRING) {
            name.p = lua_tolstring(L, -2, &name.n);
            name = lower(name, small);
        }
        mistake = name.n > 0 ? add_header(h, L, name) : "a header's name must be text";
        lua_pop(L, 1);
    }
    return mistake;
}

static void answer_json(struct http_request *r, struct task *task, lua_State *L, int index,
                        int status, struct str type)
{
    struct buf *out = vm_scratch(task_vm(task));
    struct err err;
    if (!lua_json_encode(L, index, out, &err)) {
        answer_mistake(r, task, err.message);
        return;
    }
    if (type.n == 0)
        type = STR("application/json");
    if (out->n > ANSWER_COPIED_BYTES)
        respond_take(r, status, type, out);
    else
        respond(r, status, type, buf_str(out));
}

static void answer_status(struct http_request *r, struct task *task, lua_State *L, int first,
                          int results)
{
    double number = lua_tonumber(L, first);
    int body = results > 1 ? first + 1 : 0;
    struct headers headers = {.request = r};
    if (number != floor(number) || number < 200 || number > 599) {
        answer_mistake(r, task, "the status must be from 200 to 599");
        return;
    }
    if (results > 2 && lua_istable(L, first + 2)) {
        const char *mistake = add_headers(&headers, L, first + 2);
        if (mistake) {
            answer_mistake(r, task, mistake);
            return;
        }
    } else if (results > 2 && !lua_isnil(L, first + 2)) {
        answer_mistake(r, task, "the third value, headers, must be a table");
        return;
    }
    if (!body || lua_isnil(L, body)) {
        respond(r, (int)number, str_n(NULL, 0), str_n(NULL, 0));
        return;
    }
    if (lua_type(L, body) != LUA_TSTRING) {
        answer_json(r, task, L, body, (int)number, headers.type);
        return;
    }
    struct str text;
    text.p = lua_tolstring(L, body, &text.n);
    if (headers.type.n == 0 && text.n > 0)
        headers.type = STR("text/plain; charset=utf-8");
    respond(r, (int)number, headers.type, text);
}

void http_answer(struct http_request *r, struct task *task, lua_State *L, int results)
{
    int first = lua_gettop(L) - results + 1;
    if (results == 0 || lua_isnil(L, first))
        respond(r, 204, str_n(NULL, 0), str_n(NULL, 0));
    else if (lua_type(L, first) == LUA_TNUMBER)
        answer_status(r, task, L, first, results);
    else if (http_is_sse(L, first))
        http_stream_begin(r, task, L, first);
    else
        answer_mistake(r, task, "a handler returns status, body, headers (or app.sse(…))");
}
