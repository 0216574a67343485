#include <stdio.h>

#include "base/clock.h"
#include "http/files.h"
#include "http/internal.h"

/* What every request passes, in this order, before any handler: form and
 * limits, CORS, the route, rate, authorization, kept answers.  Each step
 * answers by itself and returns true when the request ends there. */

static bool refuse(struct http_request *r, int status, const char *code, const char *detail)
{
    respond_problem(r, status, code, str_c(detail), str_n(NULL, 0));
    return true;
}

/* What was found before the library had the request; see guard.c, arrival.c. */
static bool answer_refused(struct http_request *r)
{
    const struct http_refusal *refusal = r->refusal;
    if (!refusal)
        return false;
    r->req->http1_is_persistent = 0;
    char limit[64] = "";
    if (refusal->limit > 0)
        snprintf(limit, sizeof limit, "; the limit is %lld bytes", (long long)refusal->limit);
    respond_problemf(r, refusal->status, refusal->code, "%s%s", refusal->detail, limit);
    return true;
}

static bool is_named(const h2o_header_t *h, struct str name)
{
    return str_eq(str_of(*h->name), name);
}

/* What the library lets pass in HTTP/2 and no request may have. */
static bool is_odd(const h2o_header_t *h)
{
    switch (h->name->len) {
    case 0:
        return true;
    case 10:
        return is_named(h, STR("keep-alive"));
    case 16:
        return is_named(h, STR("proxy-connection"));
    default:
        return false;
    }
}

/* One pass over the headers: their size, and the few that are always needed. */
static size_t read_headers(struct http_request *r, bool *odd)
{
    size_t bytes = r->req->input.path.len;
    const h2o_header_t *at = r->req->headers.entries, *end = at + r->req->headers.size;
    for (; at != end; at++) {
        bytes += at->name->len + at->value.len + 4;
        *odd = *odd || (r->http2 && is_odd(at));
        const char *name = at->name->base;
        if (at->name->len == 6 && memcmp(name, "origin", 6) == 0)
            r->origin = str_of(at->value);
        else if (at->name->len == 11 && memcmp(name, "traceparent", 11) == 0)
            r->trace_id = r->traceparent = str_of(at->value);
        else if (at->name->len == 10 && memcmp(name, "tracestate", 10) == 0)
            r->tracestate = str_of(at->value);
        else if (at->name->len == 12 && memcmp(name, "x-request-id", 12) == 0)
            r->request_id = str_of(at->value);
    }
    return bytes;
}

/* "/a/../b" and "/a/%2e/b" would name another path than the one that is matched. */
static bool has_dot_segment(struct str path)
{
    for (size_t i = 0; i + 1 < path.n; i++) {
        if (path.p[i] != '/' || path.p[i + 1] != '.')
            continue;
        size_t k = i + 2;
        if (k < path.n && path.p[k] == '.')
            k++;
        if (k == path.n || path.p[k] == '/')
            return true;
    }
    return false;
}

static bool split_target(struct http_request *r)
{
    struct str target = str_of(r->req->input.path);
    size_t question = str_find(target, '?');
    r->raw_path = str_n(target.p, question);
    r->path = r->raw_path;
    r->query = question < target.n ? str_n(target.p + question + 1, target.n - question - 1)
                                   : str_n("", 0);
    if (target.n == 0 || target.p[0] != '/')
        return refuse(r, 400, "bad_request", "the request target is not a path");
    bool encoded = false;
    for (size_t i = 0; i < target.n; i++) {
        unsigned char c = (unsigned char)target.p[i];
        if (c <= 0x20 || c >= 0x7f)
            return refuse(r, 400, "bad_request",
                          "the request target has a byte that must be percent-encoded");
        encoded = encoded || (c == '%' && i < question);
    }
    if (encoded) {
        struct buf decoded = {0};
        bool ok = percent_decode(r->raw_path, false, &decoded);
        if (ok)
            r->path = request_copy(r, buf_str(&decoded));
        buf_free(&decoded);
        if (!ok)
            return refuse(r, 400, "bad_request", "the path is not percent-encoded UTF-8");
    }
    if (has_dot_segment(r->path))
        return refuse(r, 400, "bad_request", "the path has a dot segment");
    return false;
}

static bool check_form(struct http_request *r)
{
    const struct http_limits *limits = &r->lane->server->options.limits;
    r->head = r->req->input.method.len == 4 && memcmp(r->req->input.method.base, "HEAD", 4) == 0;
    bool odd = r->http2 && !head_host_plain(request_host(r));
    size_t bytes = read_headers(r, &odd);
    if (answer_refused(r))
        return true;
    if (odd)
        return refuse(r, 400, "bad_request", "a header that this request cannot have");
    if (r->req->input.path.len > (size_t)limits->uri_bytes)
        return refuse(r, 414, "uri_too_long", "the request target is over the limit");
    if (bytes > (size_t)limits->header_bytes || r->req->headers.size > HEAD_COUNT)
        return refuse(r, 431, "headers_too_large", "the request's headers are over the limit");
    if (r->req->input.method.len > HEAD_METHOD_BYTES)
        return refuse(r, 501, "not_implemented", "no such method");
    return split_target(r);
}

static bool options(struct http_request *r)
{
    struct buf allowed = {0};
    router_allowed(r->set->router, r->raw_path, r->admin, &allowed);
    bool known = allowed.n > 0;
    if (known) {
        response_token(r, H2O_TOKEN_ALLOW, request_copy(r, buf_str(&allowed)));
        if (str_eq_c(request_method(r), "OPTIONS"))
            respond(r, 204, str_n(NULL, 0), str_n(NULL, 0));
        else
            refuse(r, 405, "method_not_allowed", "the path has other methods; see allow");
    }
    buf_free(&allowed);
    return known;
}

static bool take_params(struct http_request *r, const struct router_match *match)
{
    r->param_count = match->count;
    r->param_names = match->route->names;
    for (int i = 0; i < match->count; i++) {
        struct str value = match->values[i];
        if (value.n > 0 && memchr(value.p, '%', value.n)) {
            struct buf decoded = {0};
            percent_decode(value, false, &decoded);
            value = request_copy(r, buf_str(&decoded));
            buf_free(&decoded);
        }
        r->params[i] = value;
    }
    return false;
}

/* Finds r->route; true when something else answered. */
static bool find_route(struct http_request *r)
{
    struct router_match match;
    enum router_result result = ROUTER_NOT_FOUND;
    if (r->set->router)
        result = router_match(r->set->router, request_method(r), r->raw_path, r->admin, &match);
    if (result == ROUTER_FOUND) {
        r->route = match.route;
        r->stats = match.route->stats;
        return take_params(r, &match);
    }
    if (result == ROUTER_METHOD && options(r))
        return true;
    if (r->set->files && files_serve(r->set->files, r))
        return true;
    return refuse(r, 404, "not_found", "nothing is served at this path");
}

static bool check_body(struct http_request *r)
{
    int64_t limit =
        r->route->max_body > 0 ? r->route->max_body : r->lane->server->options.limits.body_bytes;
    if ((int64_t)r->req->entity.len <= limit)
        return false;
    respond_problemf(r, 413, "body_too_large", "the body has %zu bytes; the limit is %lld",
                     r->req->entity.len, (long long)limit);
    return true;
}

static bool check_auth(struct http_request *r)
{
    const struct http_app *app = &r->lane->server->options.app;
    bool answered = false;
    if (r->route->auth == HTTP_AUTH_NONE)
        return false;
    if (app->authorize && app->authorize(app->arg, r, r->route, &answered))
        return answered;
    if (answered)
        return true;
    response_token(r, H2O_TOKEN_WWW_AUTHENTICATE, STR("Bearer"));
    return refuse(r, 401, "unauthorized", "this route needs a known caller");
}

void gate_dispatch(struct http_request *r)
{
    const struct http_app *app = &r->lane->server->options.app;
    const struct http_route *route = r->route;
    switch (route->kind) {
    case HTTP_ROUTE_C:
        route->c_handler(r, route->arg);
        break;
    case HTTP_ROUTE_LUA:
        app->dispatch(app->arg, r, route);
        break;
    case HTTP_ROUTE_SOCKET:
        socket_accept(r);
        break;
    }
}

static bool pin_set(struct http_request *r)
{
    const struct http_app *app = &r->lane->server->options.app;
    r->set = app->acquire(app->arg, r->lane->lane);
    if (r->set)
        return false;
    response_token(r, H2O_TOKEN_RETRY_AFTER, STR("1"));
    return refuse(r, 503, "starting", "the server is starting");
}

void gate_pass(struct http_request *r)
{
    if (!check_auth(r) && !flight_join(r))
        gate_dispatch(r);
}

void gate_run(struct http_request *r)
{
    if (check_form(r) || pin_set(r) || cors_apply(r) || find_route(r) || check_body(r) ||
        rate_check(r))
        return;
    gate_pass(r);
}
