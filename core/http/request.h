/* request.h -- one HTTP request, and the ways to answer it.
 *
 * Lane thread only.  A request is answered exactly once: respond(),
 * respond_problem(), stream_start() … stream_close(), or socket_accept().
 * After that, and after the cancel callback, it must not be touched, except
 * that a stream's request lives until stream_close() or `gone`.
 *
 * Strings returned here are borrowed and live as long as the request.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "http/router.h"

struct http_lane;
struct http_request;
struct lane;

struct str request_method(const struct http_request *r); /* "HEAD" for HEAD, though GET answers */
struct str request_path(const struct http_request *r);   /* percent-decoded valid UTF-8, no query */
struct str request_target(const struct http_request *r); /* as it came, with query */
struct str request_query(const struct http_request *r);  /* behind '?', as it came */
struct str request_header(const struct http_request *r,
                          struct str lower_case_name); /* p NULL: absent */
bool request_header_at(const struct http_request *r, int index, struct str *name,
                       struct str *value); /* false behind the last one; no "host" */
struct str request_host(const struct http_request *r);
/* Over 256 KiB the bytes are a mapped temporary file. */
struct str request_body(const struct http_request *r);
int request_param_count(const struct http_request *r);
bool request_param_at(const struct http_request *r, int index, struct str *name,
                      struct str *value);                                 /* decoded */
struct str request_param(const struct http_request *r, const char *name); /* p NULL: absent */
struct str request_client(const struct http_request *r);   /* "192.0.2.1", "2001:db8::1", "unix" */
struct str request_id(const struct http_request *r);       /* x-request-id, given or made */
struct str request_trace_id(const struct http_request *r); /* 32 hex digits, given or made */
/* Begins the request's span (observe/trace.h) when its trace is kept; the request ends it.
 * Borrowed, or NULL.  Once a request. */
struct span *request_span(struct http_request *r, struct str name);
void request_span_end(struct http_request *r);                /* earlier: the rest is a stream */
struct str request_trace_state(const struct http_request *r); /* to be passed on, or empty */
bool request_is_tls(const struct http_request *r);
bool request_is_http2(const struct http_request *r);
bool request_is_admin(const struct http_request *r); /* came in by an admin listener */
bool request_is_local(const struct http_request *r); /* came in by a unix socket */
bool request_is_websocket(const struct http_request *r);
int64_t request_start_ns(const struct http_request *r);
struct lane *request_lane(const struct http_request *r);
const struct http_route *request_route(const struct http_request *r); /* until it is answered */
void *request_alloc(struct http_request *r, size_t bytes); /* lives as long as the request */
/* Who it is, as the authorize hook found out: "" = nobody.  Copied. */
void request_set_subject(struct http_request *r, struct str subject);
struct str request_subject(const struct http_request *r);

/* fn(arg) runs once if the client goes away before the answer is complete;
 * the request is gone afterwards.  It runs inside the library's reading, so it
 * may only forget the request and plan what follows (lane_call), not run
 * plugin code.  One callback; NULL takes it back. */
void request_on_cancel(struct http_request *r, void (*fn)(void *arg), void *arg);

/* Pieces of a query string or form body: decodes "a=1&b=%20" pair by pair.
 * *at starts as 0; name and value go into scratch (cleared each time).  False at the
 * end; *bad is set when a piece is not valid percent-encoded UTF-8. */
bool query_next(struct str query, size_t *at, struct buf *scratch, struct str *name,
                struct str *value, bool *bad);
/* Decodes percent-encoding into out (appended); '+' is a space when plus is
 * set.  False for a malformed escape, a NUL or invalid UTF-8. */
bool percent_decode(struct str in, bool plus, struct buf *out);

/* Adds a header to the answer; copies both.  Names are lower case.  A value
 * with control characters is refused: false. */
bool respond_header(struct http_request *r, struct str name, struct str value);

/* Answers.  body is copied.  content_type is copied; empty = none. */
void respond(struct http_request *r, int status, struct str content_type, struct str body);
/* Takes the buffer's bytes over instead of copying; *body is {0} afterwards. */
void respond_take(struct http_request *r, int status, struct str content_type, struct buf *body);
/* RFC 9457: {"type":"about:blank","title":…,"status":…,"detail":…,"code":…,"instance":request id}.
 * code may be NULL; extra_json is the inside of an object ("\"errors\":[…]") or empty. */
void respond_problem(struct http_request *r, int status, const char *code, struct str detail,
                     struct str extra_json);
void respond_problemf(struct http_request *r, int status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
const char *status_title(int status); /* "Not Found" */

/* Answers piece by piece.  `drained` is called when what was written has gone
 * out after stream_write said STREAM_FULL; `gone` once when the client left or
 * was too slow (the request is gone then; the same restriction as for the
 * cancel callback). */
enum stream_result {
    STREAM_OK,
    STREAM_FULL, /* taken, but wait for `drained` before writing more */
    STREAM_GONE, /* over STREAM_PENDING_BYTES: the connection is being closed */
};
enum { STREAM_FULL_BYTES = 64 << 10, STREAM_PENDING_BYTES = 1 << 20 };
struct stream_events {
    void (*drained)(void *arg);
    void (*gone)(void *arg);
};
void stream_start(struct http_request *r, int status, struct str content_type,
                  const struct stream_events *events, void *arg);
/* Before stream_start: exactly so many bytes will be written. */
void stream_length(struct http_request *r, int64_t bytes);
/* The rest will not come: the client is told by the end of its connection (or of its stream).
 * Neither event is called any more. */
void stream_abort(struct http_request *r);
enum stream_result stream_write(struct http_request *r, struct str bytes); /* copied */
/* A comment line every 15 s keeps an event stream alive through proxies. */
void stream_heartbeat(struct http_request *r, struct str bytes, int64_t every_ns);
void stream_close(struct http_request *r);
