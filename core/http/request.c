#include "http/request.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "http/file_cache.h"
#include "http/internal.h"
#include "observe/metrics.h"
#include "observe/trace.h"

enum { PEEK_AFTER_MS = 200, REQUEST_ID_BYTES = 64 };

static void count_cancel(struct http_request *r)
{
    struct http_conn *conn = r->conn;
    struct http_lane *lane = r->lane;
    metric_add(lane->server->cancels, 1);
    int64_t now = lane_now(lane->lane);
    if (now - conn->cancel_window_ns >= NS_PER_SECOND) {
        conn->cancel_window_ns = now;
        conn->cancels = 0;
    }
    if (++conn->cancels > lane->server->options.limits.cancels && conn->phase == CONN_HTTP2) {
        conn->calm = "too many cancelled requests";
        conn_doom(conn);
    }
}

void request_cancel(struct http_request *r)
{
    void (*cancel)(void *arg) = r->cancel;
    r->cancel = NULL;
    if (cancel)
        cancel(r->cancel_arg);
}

/* The library clears the request's memory: sent, reset, or connection lost. */
static void on_dispose(void *arg)
{
    struct http_request *r = arg;
    struct http_lane *lane = r->lane;
    list_remove(&r->node);
    bool left = r->left || r->state == REQUEST_PENDING || r->state == REQUEST_RUNNING;
    if (left)
        count_cancel(r);
    unsent_end(r);
    if (r->stream)
        stream_gone(r);
    request_cancel(r);
    flight_leave(r);
    int64_t took = lane_now(lane->lane) - r->start_ns;
    http_stats_count(r->stats, left ? 0 : r->status, took);
    if (lane->server->options.access_log_fd >= 0)
        access_line(r, took);
    r->left = left;
    request_span_end(r);
    request_release(r);
    mem_free(r->body);
    answer_unref(r->answer);
    file_unref(r->file);
    atomic_fetch_sub_explicit(&lane->request_count, 1, memory_order_relaxed);
    if (r->http2)
        return;
    r->conn->request = NULL;
    conn_unpark(r->conn);
    if (r->state != REQUEST_UPGRADED && list_empty(&r->conn->mark))
        list_push_back(&lane->unguarded, &r->conn->mark);
}

int request_on_h2o(h2o_handler_t *handler, h2o_req_t *req)
{
    (void)handler;
    struct http_conn *conn = conn_of(req);
    struct http_lane *lane = conn->lane;
    struct http_request *r = h2o_mem_alloc_shared(&req->pool, sizeof *r, on_dispose);
    memset(r, 0, offsetof(struct http_request, params));
    size_t behind = offsetof(struct http_request, params) + sizeof r->params;
    memset((char *)r + behind, 0, sizeof *r - behind);
    r->req = req;
    r->conn = conn;
    r->lane = lane;
    r->stats = lane->server->stats;
    r->http2 = req->version >= 0x200;
    r->admin = conn->admin;
    r->start_ns = lane_now(lane->lane);
    if (!r->http2) {
        conn->request = r;
        conn->phase = CONN_BUSY;
        r->refusal = conn->refusal.status ? &conn->refusal : NULL;
    } else {
        r->refusal = arrival_refused(req);
    }
    list_push_back(&lane->pending, &r->node);
    atomic_fetch_add_explicit(&lane->request_count, 1, memory_order_relaxed);
    return 0;
}

void request_run_pending(struct http_lane *lane)
{
    while (!list_empty(&lane->pending)) {
        struct http_request *r = list_entry(lane->pending.next, struct http_request, node);
        list_remove(&r->node);
        if (unsent_waits(r))
            continue;
        r->state = REQUEST_RUNNING;
        if (!r->http2)
            list_push_back(&lane->running, &r->node);
        if (r->route)
            gate_dispatch(r); /* it waited for an answer that never came */
        else
            gate_run(r);
    }
}

void request_release(struct http_request *r)
{
    const struct http_app *app = &r->lane->server->options.app;
    const struct http_set *set = r->set;
    r->set = NULL;
    r->route = NULL;
    if (set)
        app->release(app->arg, r->lane->lane, set);
}

/* Tells the handler and lets the library close the connection. */
static void abandon(struct http_request *r)
{
    r->left = true;
    r->req->http1_is_persistent = 0;
    if (r->stream) {
        stream_break(r);
        return;
    }
    r->state = REQUEST_ANSWERED;
    request_cancel(r);
    h2o_start_response(r->req, response_generator());
    h2o_send(r->req, NULL, 0, H2O_SEND_STATE_ERROR);
}

void request_left(struct http_conn *conn)
{
    struct http_request *r = conn->request;
    if (r) /* or the library would wait for a next request, where nothing can be read */
        r->req->http1_is_persistent = 0;
    if (!r || (r->state != REQUEST_PENDING && r->state != REQUEST_RUNNING &&
               r->state != REQUEST_STREAMING))
        return;
    list_remove(&r->node);
    abandon(r);
}

void request_abandon_all(struct http_lane *lane)
{
    list_splice(&lane->running, &lane->pending);
    list_each_safe (node, &lane->running) {
        struct http_request *r = list_entry(node, struct http_request, node);
        list_remove(&r->node);
        if (!r->http2)
            abandon(r);
    }
}

/* Where a HTTP/1.1 request's socket is off the loop a client that left is found
 * by looking. */
void request_peek(struct http_lane *lane)
{
    int64_t now = lane_now(lane->lane);
    list_each_safe (node, &lane->running) {
        struct http_request *r = list_entry(node, struct http_request, node);
        if (now - r->start_ns < PEEK_AFTER_MS * NS_PER_MS || !r->conn->sock ||
            r->conn->sock->_cb.read)
            continue;
        char byte;
        int fd = h2o_socket_get_fd(r->conn->sock);
        ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
            continue;
        request_left(r->conn);
    }
}

struct str request_copy(struct http_request *r, struct str s)
{
    return str_of(h2o_strdup(&r->req->pool, s.p ? s.p : "", s.n));
}

void *request_alloc(struct http_request *r, size_t bytes)
{
    return h2o_mem_alloc_pool(&r->req->pool, bytes);
}

struct str request_method(const struct http_request *r)
{
    return str_of(r->req->input.method);
}

struct str request_path(const struct http_request *r)
{
    return r->path;
}

struct str request_target(const struct http_request *r)
{
    return str_of(r->req->input.path);
}

struct str request_query(const struct http_request *r)
{
    return r->query;
}

struct str request_header(const struct http_request *r, struct str name)
{
    const h2o_headers_t *headers = &r->req->headers;
    for (size_t i = 0; i < headers->size; i++)
        if (str_eq(str_of(*headers->entries[i].name), name))
            return str_of(headers->entries[i].value);
    return str_n(NULL, 0);
}

bool request_header_at(const struct http_request *r, int index, struct str *name, struct str *value)
{
    if (index < 0 || (size_t)index >= r->req->headers.size)
        return false;
    *name = str_of(*r->req->headers.entries[index].name);
    *value = str_of(r->req->headers.entries[index].value);
    return true;
}

struct str request_host(const struct http_request *r)
{
    return str_of(r->req->input.authority);
}

struct str request_body(const struct http_request *r)
{
    return str_n(r->req->entity.base ? r->req->entity.base : "", r->req->entity.len);
}

int request_param_count(const struct http_request *r)
{
    return r->param_count;
}

bool request_param_at(const struct http_request *r, int index, struct str *name, struct str *value)
{
    if (index < 0 || index >= r->param_count)
        return false;
    *name = r->param_names[index];
    *value = r->params[index];
    return true;
}

struct str request_param(const struct http_request *r, const char *name)
{
    for (int i = 0; i < r->param_count; i++)
        if (str_eq_c(r->param_names[i], name))
            return r->params[i];
    return str_n(NULL, 0);
}

struct str request_client(const struct http_request *r)
{
    return conn_client(r->conn);
}

static char *put_hex(char *out, uint64_t value)
{
    for (int shift = 60; shift >= 0; shift -= 4)
        *out++ = "0123456789abcdef"[value >> shift & 15];
    return out;
}

/* Random for the lane, counted within it: made for every request of a plugin. */
static void make_trace_id(struct http_lane *lane, char out[32])
{
    if (lane->traces == 0)
        put_hex(lane->trace_prefix, rand_u64());
    memcpy(out, lane->trace_prefix, 16);
    put_hex(out + 16, ++lane->traces * UINT64_C(0x9e3779b97f4a7c15));
}

void request_make_id(char out[REQUEST_ID_MADE + 1])
{
    *put_hex(out, rand_u64()) = '\0';
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
              c == '_' || c == '.'))
            return false;
    }
    return s.n > 0;
}

struct str request_id(const struct http_request *const_r)
{
    struct http_request *r = (struct http_request *)(uintptr_t)const_r;
    if (r->request_id.p && r->request_id.n <= REQUEST_ID_BYTES && is_plain(r->request_id))
        return r->request_id;
    request_make_id(r->made_id);
    r->request_id = str_n(r->made_id, REQUEST_ID_MADE);
    return r->request_id;
}

/* W3C traceparent: "00-<32 hex>-<16 hex>-<2 hex>". */
struct str request_trace_id(const struct http_request *const_r)
{
    struct http_request *r = (struct http_request *)(uintptr_t)const_r;
    if (r->trace_id.n == 32)
        return r->trace_id;
    struct trace_context given;
    if (trace_parse(r->trace_id, &given)) {
        r->trace_id = str_n(r->trace_id.p + 3, 32);
        return r->trace_id;
    }
    make_trace_id(r->lane, r->made_trace);
    r->trace_id = str_n(r->made_trace, 32);
    return r->trace_id;
}

bool request_is_tls(const struct http_request *r)
{
    return r->conn->tls;
}

bool request_is_http2(const struct http_request *r)
{
    return r->http2;
}

bool request_is_admin(const struct http_request *r)
{
    return r->admin;
}

bool request_is_local(const struct http_request *r)
{
    return r->conn->local;
}

bool request_is_websocket(const struct http_request *r)
{
    return !r->http2 && r->req->upgrade.base &&
           h2o_lcstris(r->req->upgrade.base, r->req->upgrade.len, H2O_STRLIT("websocket"));
}

int64_t request_start_ns(const struct http_request *r)
{
    return r->start_ns;
}

struct lane *request_lane(const struct http_request *r)
{
    return r->lane->lane;
}

const struct http_route *request_route(const struct http_request *r)
{
    return r->route;
}

void request_set_subject(struct http_request *r, struct str subject)
{
    r->subject = request_copy(r, subject);
}

struct str request_subject(const struct http_request *r)
{
    return r->subject;
}

void request_on_cancel(struct http_request *r, void (*fn)(void *arg), void *arg)
{
    r->cancel = fn;
    r->cancel_arg = arg;
}
