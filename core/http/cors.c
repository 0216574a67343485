#include "http/internal.h"

static const h2o_iovec_t allow_methods_name = {H2O_STRLIT("access-control-allow-methods")};
static const h2o_iovec_t allow_headers_name = {H2O_STRLIT("access-control-allow-headers")};
static const h2o_iovec_t allow_credentials_name = {H2O_STRLIT("access-control-allow-credentials")};
static const h2o_iovec_t max_age_name = {H2O_STRLIT("access-control-max-age")};
static const h2o_iovec_t expose_name = {H2O_STRLIT("access-control-expose-headers")};

/* The listed origin that equals the request's, "*", or NULL. */
static const char *find_origin(const char *const *origins, struct str origin)
{
    const char *any = NULL;
    for (int i = 0; origins && origins[i]; i++) {
        if (str_eq_c(origin, origins[i]))
            return origins[i];
        if (str_eq_c(str_c(origins[i]), "*"))
            any = origins[i];
    }
    return any;
}

static bool is_preflight(const struct http_request *r)
{
    return str_eq_c(request_method(r), "OPTIONS") &&
           request_header(r, STR("access-control-request-method")).p != NULL;
}

static void answer_preflight(struct http_request *r)
{
    struct str headers = request_header(r, STR("access-control-request-headers"));
    response_header(r, &allow_methods_name, STR("GET, HEAD, POST, PUT, PATCH, DELETE"));
    if (headers.n > 0)
        response_header(r, &allow_headers_name, request_copy(r, headers));
    response_header(r, &max_age_name, STR("600"));
    respond(r, 204, str_n(NULL, 0), str_n(NULL, 0));
}

bool cors_apply(struct http_request *r)
{
    if (r->origin.n == 0)
        return false;
    const char *allowed = find_origin(r->lane->server->options.cors_origins, r->origin);
    if (allowed) {
        bool any = str_eq_c(str_c(allowed), "*");
        response_token(r, H2O_TOKEN_ACCESS_CONTROL_ALLOW_ORIGIN, str_c(allowed));
        response_header(r, &expose_name, STR("x-request-id, retry-after, age, etag"));
        if (!any) {
            response_header(r, &allow_credentials_name, STR("true"));
            response_token(r, H2O_TOKEN_VARY, STR("origin"));
        }
    }
    if (!is_preflight(r))
        return false;
    if (allowed)
        answer_preflight(r);
    else
        respond_problem(r, 403, "cors", STR("this origin may not call this server"),
                        str_n(NULL, 0));
    return true;
}
