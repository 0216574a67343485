#include "admin/admin.h"

#include <stdio.h>

#include "admin/internal.h"
#include "base/clock.h"
#include "base/mem.h"
#include "loop/lane.h"

static void call_free(struct admin_call *call)
{
    mem_free(call->query);
    mem_free(call->who);
    mem_free(call->first);
    mem_free(call->second);
    mem_free(call->body);
    mem_free(call->detail);
    buf_free(&call->out);
    mem_free(call);
}

static void answer_on_lane(void *arg)
{
    struct admin_call *call = arg;
    if (call->request) {
        request_on_cancel(call->request, NULL, NULL);
        respond_header(call->request, STR("cache-control"), STR("no-store"));
        respond_take(call->request, call->status, str_c(call->content_type), &call->out);
    }
    call_free(call);
}

void admin_answer(struct admin_call *call, int status)
{
    if (call->wrong.code && status < 400) {
        admin_answer_err(call, &call->wrong);
        return;
    }
    call->status = status;
    if ((call->action->audit || call->audit) && !call->dry) {
        char result[32];
        snprintf(result, sizeof result, "%d %s", status, status < 400 ? "ok" : "failed");
        audit_write(call, result);
    }
    lane_call(call->lane, answer_on_lane, call);
}

static int status_of(enum err_code code)
{
    switch ((int)code) {
    case ERR_INVALID:
    case ERR_LIMIT:
        return 400;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_EXISTS:
    case ERR_CONFLICT:
        return 409;
    case ERR_FORBIDDEN:
        return 403;
    case ERR_CLOSED:
    case ERR_FULL:
    case ERR_UNAVAILABLE:
        return 503;
    default:
        return 500;
    }
}

void admin_answer_err(struct admin_call *call, const struct err *err)
{
    int status = status_of(err->code);
    buf_clear(&call->out);
    struct json w = json_to(&call->out);
    json_open(&w, '{');
    json_key(&w, "type");
    json_cstr(&w, "about:blank");
    json_key(&w, "title");
    json_cstr(&w, status_title(status));
    json_key(&w, "status");
    json_int(&w, status);
    json_key(&w, "detail");
    json_cstr(&w, err->message);
    json_key(&w, "code");
    json_cstr(&w, err_code_name(err->code));
    json_close(&w, '}');
    call->content_type = "application/problem+json";
    admin_answer(call, status);
}

char *admin_query(const struct admin_call *call, const char *name, const char *otherwise)
{
    struct buf scratch = {0};
    struct str key, value;
    size_t at = 0;
    bool bad = false;
    char *found = NULL;
    while (!found && query_next(str_c(call->query), &at, &scratch, &key, &value, &bad)) {
        if (str_eq_c(key, name))
            found = str_dup(value);
    }
    buf_free(&scratch);
    return found ? found : mem_strdup(otherwise);
}

int64_t admin_query_int64(struct admin_call *call, const char *name, int64_t otherwise)
{
    char *text = admin_query(call, name, "");
    long long n = otherwise;
    if (*text && !str_int64(str_c(text), &n)) {
        n = otherwise;
        if (!call->wrong.code)
            err_set(&call->wrong, ERR_INVALID, "query.%s must be a whole number", name);
    }
    mem_free(text);
    return n;
}

int admin_query_int(struct admin_call *call, const char *name, int otherwise, int least, int most)
{
    int64_t n = admin_query_int64(call, name, otherwise);
    return (int)(n < least ? least : n > most ? most : n);
}

void json_time(struct json *w, const char *key, int64_t wall_ns)
{
    char text[32];
    json_key(w, key);
    if (wall_ns)
        clock_format_utc(wall_ns, text);
    json_cstr(w, wall_ns ? text : NULL);
}

/* -- requests come in ----------------------------------------------------------------------- */

static void on_cancel(void *arg)
{
    ((struct admin_call *)arg)->request = NULL;
}

static void run_on_control(void *arg)
{
    struct admin_call *call = arg;
    call->action->run(call);
}

static char *param(const struct http_request *r, int index)
{
    struct str name, value;
    return request_param_at(r, index, &name, &value) ? str_dup(value) : mem_strdup("");
}

/* Answers who may not do it. */
static bool may(const struct admin_bound *bound, struct http_request *r, enum admin_role role)
{
    bool changes = bound->action->audit != NULL;
    if (role == ADMIN_NOBODY) {
        respond_header(r, STR("www-authenticate"), STR("Bearer realm=\"maru\""));
        respond_problemf(
            r, 401, "unauthorized",
            "the token is in admin.token of state.dir; `maru admin-url` prints a link");
    } else if (changes && role != ADMIN_OPERATOR)
        respond_problemf(r, 403, "forbidden", "this token may look, but change nothing");
    else if (changes && !request_is_local(r) && !admin_same_origin(r))
        respond_problemf(r, 403, "forbidden", "the request comes from another origin");
    else
        return true;
    return false;
}

static void on_request(struct http_request *r, void *arg)
{
    const struct admin_bound *bound = arg;
    enum admin_role role = admin_role(bound->admin, r);
    if (!may(bound, r, role))
        return;
    struct admin_call *call = mem_zero(1, sizeof *call);
    struct str client = request_client(r);
    *call = (struct admin_call){.admin = bound->admin,
                                .action = bound->action,
                                .lane = request_lane(r),
                                .request = r,
                                .query = str_dup(request_query(r)),
                                .who = mem_printf("%.*s", (int)client.n, client.p),
                                .first = param(r, 0),
                                .second = param(r, 1),
                                .body = str_dup(request_body(r)),
                                .role = role,
                                .content_type = "application/json"};
    request_on_cancel(r, on_cancel, call);
    lane_call(bound->admin->parts->control, run_on_control, call);
}

/* -- life ----------------------------------------------------------------------------------- */

void admin_add_route(struct admin *a, const struct http_route *route)
{
    invariant(a->route_count < ADMIN_ROUTES);
    struct http_route *r = &a->routes[a->route_count++];
    *r = *route;
    r->kind = HTTP_ROUTE_C;
    r->owner = "host";
    r->open = r->message = r->close = r->handler = -1;
}

static void add_actions(struct admin *a, const struct admin_action *actions)
{
    for (; actions->method; actions++) {
        struct admin_bound *bound = &a->bound[a->route_count];
        *bound = (struct admin_bound){a, actions};
        admin_add_route(a, &(struct http_route){.method = actions->method,
                                                .pattern = actions->pattern,
                                                .admin = true,
                                                .c_handler = on_request,
                                                .arg = bound});
    }
}

struct admin *admin_create(struct admin_parts *parts, struct err *err)
{
    struct admin *a = mem_zero(1, sizeof *a);
    a->parts = parts;
    a->started = clock_ns();
    add_actions(a, admin_views);
    add_actions(a, admin_changes);
    add_actions(a, admin_jobs);
    add_actions(a, admin_job_changes);
    add_actions(a, admin_workflows);
    add_actions(a, admin_events);
    add_actions(a, admin_logs);
    add_actions(a, admin_cache);
    admin_add_route(a, &(struct http_route){.method = "GET",
                                            .pattern = "/admin/login",
                                            .admin = true,
                                            .c_handler = admin_login,
                                            .arg = a});
    public_routes(a);
    if (admin_token_load(a, err) && audit_open(a, err))
        return a;
    mem_free(a);
    return NULL;
}

void admin_destroy(struct admin *a)
{
    mem_free(a);
}

const struct http_route *admin_routes(const struct admin *a)
{
    return a->routes;
}

int admin_route_count(const struct admin *a)
{
    return a->route_count;
}
