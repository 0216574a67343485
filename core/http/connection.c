#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/internal.h"
#include "observe/metrics.h"

enum {
    BODY_BYTES_PER_SECOND = 8192, /* slower bodies are cut off after body_ns */
};

static void on_handle_closed(uv_handle_t *handle)
{
    struct http_conn *conn = (struct http_conn *)(void *)handle;
    struct http_lane *lane = conn->lane;
    mem_free(conn);
    lane->handles--;
}

static void on_sock_closed(void *arg)
{
    struct http_conn *conn = arg;
    conn_drop_parked(conn);
    conn_linger_here(conn);
    conn->sock = NULL;
    list_remove(&conn->node);
    list_remove(&conn->mark);
    list_remove(&conn->fail);
    atomic_fetch_sub_explicit(&conn->lane->conn_count, 1, memory_order_relaxed);
    metric_add(conn->lane->server->connections, -1);
}

void conn_enter(struct http_conn *conn, enum conn_phase phase)
{
    conn->phase = phase;
    conn->since_ns = lane_now(conn->lane->lane);
    conn->scanned = 0;
}

/* Hands the socket to the library; its first bytes may be here already. */
static void serve(struct http_conn *conn, bool http2)
{
    struct http_lane *lane = conn->lane;
    struct timeval now = *h2o_get_timestamp(&lane->ctx, NULL, NULL);
    conn_set_aside(conn);
    conn_enter(conn, http2 ? CONN_HTTP2 : CONN_IDLE);
    conn->since_ns = http2 ? 0 : conn->since_ns;
    if (http2)
        h2o_http2_accept(&lane->accept, conn->sock, now);
    else
        h2o_http1_accept(&lane->accept, conn->sock, now);
    conn_guard(conn);
    conn_feed(conn);
}

static void on_handshake(h2o_socket_t *sock, const char *error)
{
    struct http_conn *conn = sock->on_close.data;
    if (error) {
        h2o_socket_close(sock);
        return;
    }
    h2o_iovec_t protocol = h2o_socket_ssl_get_selected_protocol(sock);
    serve(conn, protocol.len >= 2 && memcmp(protocol.base, "h2", 2) == 0);
}

static bool accept_handle(struct http_conn *conn, struct http_port *port)
{
    int failed = port->local ? uv_pipe_init(port->stream.loop, &conn->pipe, 0)
                             : uv_tcp_init(port->stream.loop, &conn->tcp);
    if (failed != 0) {
        mem_free(conn);
        return false;
    }
    port->lane->handles++;
    struct http_lane *lane = port->lane;
    if (uv_accept(&port->stream, &conn->stream) == 0 && !lane->closing &&
        atomic_load_explicit(&lane->conn_count, memory_order_relaxed) <
            lane->server->options.limits.connections)
        return true;
    metric_add(lane->server->refused, 1);
    uv_close(&conn->handle, on_handle_closed);
    return false;
}

void conn_accept(struct http_port *port)
{
    struct http_lane *lane = port->lane;
    struct http_conn *conn = mem_zero(1, sizeof *conn);
    conn->lane = lane;
    conn->tls = port->tls;
    conn->admin = port->admin;
    conn->local = port->local;
    conn->linger_fd = -1;
    list_init(&conn->mark);
    list_init(&conn->fail);
    list_init(&conn->waiting);
    list_init(&conn->unwelcome);
    if (!accept_handle(conn, port))
        return;
    conn->sock = h2o_uv_socket_create(&conn->stream, on_handle_closed);
    conn->sock->on_close.cb = on_sock_closed;
    conn->sock->on_close.data = conn;
    list_push_back(&lane->conns, &conn->node);
    atomic_fetch_add_explicit(&lane->conn_count, 1, memory_order_relaxed);
    metric_add(lane->server->connections, 1);
    if (!conn->tls) {
        serve(conn, false);
        return;
    }
    conn_enter(conn, CONN_TLS);
    SSL_CTX *context = tls_context(lane->server->tls);
    h2o_socket_ssl_handshake(conn->sock, context, NULL, on_handshake);
    SSL_CTX_free(context);
}

struct str conn_client(struct http_conn *conn)
{
    if (conn->client_n > 0)
        return str_n(conn->client, conn->client_n);
    struct sockaddr_storage address = {0};
    int n = sizeof address;
    const char *text = "unix";
    char out[INET6_ADDRSTRLEN];
    if (!conn->local && uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&address, &n) == 0) {
        const struct sockaddr_in *v4 = (const void *)&address;
        const struct sockaddr_in6 *v6 = (const void *)&address;
        if (address.ss_family == AF_INET)
            text = inet_ntop(AF_INET, &v4->sin_addr, out, sizeof out);
        else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            text = inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, out, sizeof out);
        else
            text = inet_ntop(AF_INET6, &v6->sin6_addr, out, sizeof out);
    } else if (!conn->local) {
        text = "unknown";
    }
    conn->client_n = (uint8_t)strlen(text);
    memcpy(conn->client, text, conn->client_n);
    return str_n(conn->client, conn->client_n);
}

void conn_doom(struct http_conn *conn)
{
    list_remove(&conn->mark);
    list_push_back(&conn->lane->doomed, &conn->mark);
}

static void close_now(struct http_conn *conn)
{
    h2o_socket_t *sock = conn->sock;
    if (conn->phase == CONN_TLS) {
        h2o_socket_close(sock);
        return;
    }
    if (sock->_cb.read)
        conn->read(sock, h2o_socket_error_closed);
}

void conn_failed(struct http_conn *conn)
{
    if (list_empty(&conn->fail))
        list_push_back(&conn->lane->failed, &conn->fail);
}

/* After a reset libuv refuses to write, by a return value that the library does
 * not look at: it would wait for ever for the end of its answer, or of the TLS
 * closing.  So the end is told here, as an error. */
static bool is_stuck(const struct http_conn *conn)
{
    const uv_stream_t *stream = &conn->stream;
    return conn->sock && conn->sock->_cb.write && !uv_is_writable(stream) &&
           stream->write_queue_size == 0 &&
           stream->write_completed_queue[0] == (void *)&stream->write_completed_queue;
}

void conn_end_failed(struct http_lane *lane)
{
    list_each_safe (node, &lane->failed) {
        struct http_conn *conn = list_entry(node, struct http_conn, fail);
        while (is_stuck(conn)) {
            h2o_socket_t *sock = conn->sock;
            h2o_socket_cb done = sock->_cb.write;
            sock->_cb.write = NULL;
            done(sock, h2o_socket_error_io);
        }
    }
}

void conn_kill(struct http_conn *conn)
{
    if (conn->sock && !conn->parked && (conn->phase == CONN_TLS || conn->sock->_cb.read))
        close_now(conn);
    else if (conn->sock)
        shutdown(h2o_socket_get_fd(conn->sock), SHUT_RDWR);
}

void conn_close_doomed(struct http_lane *lane)
{
    while (!list_empty(&lane->doomed)) {
        struct http_conn *conn = list_entry(lane->doomed.next, struct http_conn, mark);
        list_remove(&conn->mark);
        if (conn->sock && conn->calm && conn->phase == CONN_HTTP2)
            http2_calm(conn, conn->calm);
        else if (conn->sock && !conn->parked)
            close_now(conn);
    }
}

/* A client that reuses a connection may have sent its next request already: it
 * gets an answer with "connection: close" instead of a reset. */
static const int64_t drain_idle_ns = NS_PER_SECOND / 4;

static bool body_too_slow(int64_t took_ns, size_t received, int64_t grace_ns)
{
    return took_ns - grace_ns > (int64_t)received * (NS_PER_SECOND / BODY_BYTES_PER_SECOND);
}

static void sweep_one(struct http_conn *conn, int64_t now)
{
    const struct http_limits *limits = &conn->lane->server->options.limits;
    int64_t took = now - conn->since_ns;
    switch (conn->phase) {
    case CONN_TLS:
        if (took > limits->tls_ns)
            conn_doom(conn);
        break;
    case CONN_IDLE:
        conn_guard(conn);
        if (took > (conn->lane->draining ? drain_idle_ns : limits->idle_ns))
            conn_doom(conn);
        break;
    case CONN_HEAD:
        if (took > limits->header_ns)
            guard_time_out(conn);
        break;
    case CONN_BODY:
        conn_guard(conn);
        if (body_too_slow(took, conn->sock->input->size, limits->body_ns))
            conn_doom(conn);
        break;
    case CONN_HTTP2:
        if (conn->since_ns != 0 && took > limits->header_ns)
            conn_doom(conn);
        break;
    case CONN_BUSY:
    case CONN_SOCKET:
        break;
    }
}

/* The library does not say how much of a HTTP/2 body has come, so the time
 * allowed is that of the largest one. */
static int sweep_http2_body(h2o_req_t *req, void *arg)
{
    struct http_lane *lane = arg;
    time_t began = req->timestamps.request_begin_at.tv_sec;
    if (began == 0 || req->processed_at.at.tv_sec != 0)
        return 0;
    int64_t took = (h2o_get_timestamp(&lane->ctx, NULL, NULL)->tv_sec - began) * NS_PER_SECOND;
    if (body_too_slow(took, lane->conf.max_request_entity_size,
                      lane->server->options.limits.body_ns))
        conn_doom(conn_of(req));
    return 0;
}

void conn_sweep(struct http_lane *lane)
{
    int64_t now = lane_now(lane->lane), passed = now - lane->swept_ns;
    lane->swept_ns = now;
    unsent_count(lane);
    list_each_safe (node, &lane->conns) {
        struct http_conn *conn = list_entry(node, struct http_conn, node);
        unsent_sweep(conn, passed);
        sweep_one(conn, now);
    }
    H2O_HTTP2_CALLBACKS.foreach_request(&lane->ctx, sweep_http2_body, lane);
    conn_close_doomed(lane);
}
