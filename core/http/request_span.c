/* request_span.c -- a request as the first span of what it sets going. */
#include <stdio.h>

#include "http/internal.h"
#include "observe/trace.h"

struct span *request_span(struct http_request *r, struct str name)
{
    struct trace_context context;
    if (!trace_is_on())
        return NULL;
    if (trace_parse(r->traceparent, &context))
        trace_follow(&context);
    else
        trace_begin(request_trace_id(r).p, &context);
    r->span = span_begin(SPAN_SERVER, &context, name);
    span_began(r->span, lane_now(r->lane->lane) - r->start_ns);
    if (!r->span)
        return NULL;
    span_text(r->span, "http.request.method", request_method(r));
    if (r->route)
        span_text(r->span, "http.route", str_c(r->route->pattern));
    span_text(r->span, "url.path", r->raw_path);
    span_text(r->span, "client.address", request_client(r));
    span_text(r->span, "network.protocol.version", r->http2 ? STR("2") : STR("1.1"));
    return r->span;
}

struct str request_trace_state(const struct http_request *r)
{
    return trace_state_valid(r->tracestate) && r->traceparent.n ? r->tracestate : STR("");
}

void request_span_end(struct http_request *r)
{
    struct span *span = r->span;
    r->span = NULL;
    if (!span)
        return;
    if (r->status)
        span_int(span, "http.response.status_code", r->status);
    if (r->left)
        span_fail(span, STR("the client went away"));
    else if (r->status >= 500)
        span_fail(span, STR(""));
    span_end(span);
}
