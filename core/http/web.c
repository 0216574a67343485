#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/internal.h"
#include "observe/log.h"

enum {
    WEB_BACKLOG = 1024,
    /* What the kernel takes ahead of the network; the rest stays where it is counted. */
    KERNEL_UNSENT_BYTES = 128 << 10,
};
static const int64_t sweep_ns = NS_PER_SECOND / 2, drain_sweep_ns = NS_PER_SECOND / 10;

/* What a read batch brought: runs behind the reading (uv_check), and before
 * the loop sleeps (uv_prepare) for what timers and finished writes left. */
static void run_batch(struct http_lane *lane)
{
    request_run_pending(lane);
    stream_run_drained(lane);
    socket_run_due(lane);
    conn_close_doomed(lane);
    conn_end_failed(lane);
}

static void on_check(uv_check_t *check)
{
    run_batch(check->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct http_lane *lane = prepare->data;
    do {
        run_batch(lane);
        while (!list_empty(&lane->unguarded)) {
            struct http_conn *conn = list_entry(lane->unguarded.next, struct http_conn, mark);
            list_remove(&conn->mark);
            conn_guard(conn);
            conn_feed(conn);
        }
    } while (!list_empty(&lane->pending)); /* requests that waited behind others */
}

/* The library refuses larger bodies; the routes' own limits are checked later. */
static void follow_body_limit(struct http_lane *lane)
{
    const struct http_app *app = &lane->server->options.app;
    int64_t most = lane->server->options.limits.body_bytes;
    const struct http_set *set = app->acquire(app->arg, lane->lane);
    if (set && set->router && router_max_body(set->router) > most)
        most = router_max_body(set->router);
    if (set)
        app->release(app->arg, lane->lane, set);
    lane->conf.max_request_entity_size = (size_t)most;
}

static void on_sweep(struct timer *timer)
{
    struct http_lane *lane = list_entry(timer, struct http_lane, sweep);
    follow_body_limit(lane);
    request_peek(lane);
    stream_sweep(lane);
    socket_sweep(lane);
    conn_sweep(lane);
    if (lane->server->options.access_log_fd >= 0)
        access_flush(lane);
    timer_start(lane->lane, &lane->sweep, lane->draining ? drain_sweep_ns : sweep_ns);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct http_port *port = (struct http_port *)(void *)stream;
    port->lane->lane->heard++;
    if (status == 0)
        conn_accept(port);
}

static void on_port_closed(uv_handle_t *handle)
{
    struct http_port *port = (struct http_port *)(void *)handle;
    port->lane->handles--;
}

static void set_port_options(int fd, int64_t send_ns)
{
    int on = 1, ms = (int)(send_ns / NS_PER_MS), unsent = KERNEL_UNSENT_BYTES;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

static bool open_port(struct http_port *port, const struct http_listener *listener, struct err *err)
{
    struct http_lane *lane = port->lane;
    struct sockaddr_storage address = {0};
    socklen_t n = sizeof address;
    if (getsockname(listener->fd, (struct sockaddr *)&address, &n) != 0)
        return err_set(err, ERR_INVALID, "listener %d is not a socket", listener->fd);
    port->local = address.ss_family == AF_UNIX;
    port->tls = listener->tls;
    port->admin = listener->admin;
    if (port->tls && !server_open_tls(lane->server, err))
        return false;
    uv_loop_t *loop = &lane->lane->loop;
    int failed = port->local ? uv_pipe_init(loop, &port->pipe, 0) : uv_tcp_init(loop, &port->tcp);
    lane->handles++;
    port->handle.data = port;
    if (failed == 0)
        failed = port->local ? uv_pipe_open(&port->pipe, listener->fd)
                             : uv_tcp_open(&port->tcp, listener->fd);
    if (!port->local)
        set_port_options(listener->fd, lane->server->options.limits.send_ns);
    if (failed == 0)
        failed = uv_listen(&port->stream, WEB_BACKLOG, on_connection);
    if (failed != 0)
        return err_set(err, ERR_IO, "listen: %s", uv_strerror(failed));
    return true;
}

static void init_library(struct http_lane *lane)
{
    const struct http_limits *limits = &lane->server->options.limits;
    h2o_config_init(&lane->conf);
    lane->conf.server_name = (h2o_iovec_t){NULL, 0};
    lane->conf.http1.upgrade_to_http2 = lane->server->options.h2c;
    lane->conf.http1.req_timeout = UINT32_MAX; /* the sweep knows better */
    lane->conf.http2.idle_timeout = (uint64_t)(limits->idle_ns / NS_PER_MS);
    lane->conf.http2.max_concurrent_requests_per_connection = (size_t)limits->streams;
    h2o_hostconf_t *host =
        h2o_config_register_host(&lane->conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_create_handler(&host->fallback_path, sizeof(h2o_handler_t))->on_req = request_on_h2o;
    response_problem_filter(&host->fallback_path);
    h2o_context_init(&lane->ctx, &lane->lane->loop, &lane->conf);
    lane->accept = (h2o_accept_ctx_t){.ctx = &lane->ctx, .hosts = lane->conf.hosts};
}

static void init_lists(struct http_lane *lane)
{
    struct list *lists[] = {&lane->pending,   &lane->running,     &lane->conns,   &lane->unguarded,
                            &lane->doomed,    &lane->sockets,     &lane->streams, &lane->drained,
                            &lane->lingering, &lane->due_sockets, &lane->failed,  &lane->sending};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
    lane->flights = map_create();
}

static void init_handles(struct http_lane *lane)
{
    uv_loop_t *loop = &lane->lane->loop;
    uv_check_init(loop, &lane->check);
    uv_prepare_init(loop, &lane->prepare);
    uv_idle_init(loop, &lane->farewell);
    lane->check.data = lane->prepare.data = lane->farewell.data = lane;
    lane->handles += 2;
    uv_check_start(&lane->check, on_check);
    uv_prepare_start(&lane->prepare, on_prepare);
    lane->sweep.fire = on_sweep;
    lane->sweep.upkeep = true;
    timer_start(lane->lane, &lane->sweep, sweep_ns);
}

struct http_lane *http_lane_start(struct http_server *server, struct lane *lane,
                                  const struct http_listener *listeners, int count, struct err *err)
{
    struct http_lane *web = mem_zero(1, sizeof *web);
    web->server = server;
    web->lane = lane;
    web->swept_ns = lane_now(lane); /* or the first sweep would take all time since the boot */
    init_lists(web);
    init_library(web);
    init_handles(web);
    follow_body_limit(web);
    web->ports = mem_zero((size_t)count + 1, sizeof *web->ports);
    for (int i = 0; i < count; i++) {
        struct http_port *port = &web->ports[i];
        port->lane = web;
        web->port_count++;
        if (!open_port(port, &listeners[i], err)) {
            err_wrap(err, "http");
            http_lane_close(web, NULL, NULL);
            return NULL;
        }
    }
    return web;
}

static void close_ports(struct http_lane *lane)
{
    for (int i = 0; i < lane->port_count; i++)
        if (lane->ports[i].handle.type != UV_UNKNOWN_HANDLE &&
            !uv_is_closing(&lane->ports[i].handle))
            uv_close(&lane->ports[i].handle, on_port_closed);
}

void http_lane_drain(struct http_lane *lane)
{
    if (lane->draining)
        return;
    lane->draining = true;
    close_ports(lane);
    h2o_context_request_shutdown(&lane->ctx);
    stream_end_all(lane);
    socket_close_all(lane, 1001);
    timer_start(lane->lane, &lane->sweep, drain_sweep_ns); /* idle connections go by it */
}

int http_lane_connections(const struct http_lane *lane)
{
    return atomic_load_explicit(&lane->conn_count, memory_order_relaxed);
}

int http_lane_requests(const struct http_lane *lane)
{
    return atomic_load_explicit(&lane->request_count, memory_order_relaxed);
}

static void on_farewell(uv_handle_t *handle)
{
    struct http_lane *lane = handle->data;
    h2o_config_dispose(&lane->conf);
    compress_destroy(lane);
    flight_destroy_all(lane);
    socket_forget_lane();
    buf_free(&lane->log);
    mem_free(lane->ports);
    void (*closed)(void *arg) = lane->closed;
    void *arg = lane->closed_arg;
    mem_free(lane);
    if (closed)
        closed(arg);
}

static void on_handle_closed(uv_handle_t *handle)
{
    ((struct http_lane *)handle->data)->handles--;
}

/* Closing takes some turns of the loop: first connections (whose requests and
 * sockets end with them), then the library's handles, then ours. */
static void on_close_turn(uv_idle_t *idle)
{
    struct http_lane *lane = idle->data;
    if (!list_empty(&lane->conns) || lane->handles > 2 || lane->socket_count > 0)
        return;
    if (!uv_is_closing((uv_handle_t *)&lane->check)) {
        uv_close((uv_handle_t *)&lane->check, on_handle_closed);
        uv_close((uv_handle_t *)&lane->prepare, on_handle_closed);
        /* A drain links it for a second, to say GOAWAY twice. */
        if (h2o_timeout_is_linked(&lane->ctx.http2._graceful_shutdown_timeout))
            h2o_timeout_unlink(&lane->ctx.http2._graceful_shutdown_timeout);
        h2o_context_dispose(&lane->ctx);
        return;
    }
    if (lane->handles > 0)
        return;
    uv_close((uv_handle_t *)&lane->farewell, on_farewell);
}

void http_lane_close(struct http_lane *lane, void (*done)(void *arg), void *arg)
{
    lane->closing = lane->draining = true;
    lane->closed = done;
    lane->closed_arg = arg;
    timer_stop(lane->lane, &lane->sweep);
    access_flush(lane);
    close_ports(lane);
    linger_close_all(lane);
    socket_close_all(lane, 1001);
    request_abandon_all(lane);
    list_each_safe (node, &lane->conns)
        conn_kill(list_entry(node, struct http_conn, node));
    uv_idle_start(&lane->farewell, on_close_turn);
}
