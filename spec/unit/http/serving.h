/* serving.h -- the HTTP part alone with routes in C: for http/'s tests and for measurements. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../loopback.h"
#include "base/clock.h"
#include "http/files.h"
#include "http/request.h"
#include "http/server.h"
#include "loop/lane.h"
#include "observe/metrics.h"

static atomic_long runs;
static struct http_set set;

static void on_hello(struct http_request *r, void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(&runs, 1, memory_order_relaxed);
    respond(r, 200, STR("application/json"), STR("{\"message\":\"hello\"}"));
}

static void on_runs(struct http_request *r, void *arg)
{
    (void)arg;
    char text[64];
    int n = snprintf(text, sizeof text, "{\"runs\":%ld}", atomic_load(&runs));
    respond(r, 200, STR("application/json"), str_n(text, (size_t)n));
}

static void on_echo(struct http_request *r, void *arg)
{
    (void)arg;
    respond(r, 200, STR("application/octet-stream"), request_body(r));
}

static void on_describe(struct http_request *r, void *arg)
{
    (void)arg;
    struct buf out = {0};
    struct str method = request_method(r), path = request_path(r), client = request_client(r);
    struct str id = request_param(r, "id"), trace = request_trace_id(r);
    buf_printf(&out, "%.*s %.*s id=%.*s client=%.*s trace=%.*s", (int)method.n, method.p,
               (int)path.n, path.p, (int)id.n, id.p ? id.p : "", (int)client.n, client.p,
               (int)trace.n, trace.p);
    respond_take(r, 200, STR("text/plain; charset=utf-8"), &out);
}

static void on_big(struct http_request *r, void *arg)
{
    (void)arg;
    struct buf out = {0};
    buf_add_c(&out, "{\"rows\":[");
    for (int i = 0; i < 200; i++)
        buf_printf(&out, "%s{\"id\":%d,\"name\":\"row number %d\"}", i ? "," : "", i, i);
    buf_add_c(&out, "]}");
    respond_take(r, 200, STR("application/json"), &out);
}

static void on_metrics(struct http_request *r, void *arg)
{
    (void)arg;
    struct buf out = {0};
    metrics_print(&out);
    respond_take(r, 200, STR("text/plain; version=0.0.4"), &out);
}

static atomic_long gone; /* cancelled requests and streams whose client left */

static void on_gone(void *arg)
{
    (void)arg;
    atomic_fetch_add(&gone, 1);
}

/* The answer never comes; the client leaves. */
static void on_never(struct http_request *r, void *arg)
{
    (void)arg;
    request_on_cancel(r, on_gone, NULL);
}

static void on_stream(struct http_request *r, void *arg)
{
    (void)arg;
    static const struct stream_events events = {NULL, on_gone};
    stream_start(r, 200, STR("text/event-stream"), &events, NULL);
    stream_write(r, STR(": hello\n\n"));
    stream_write(r, STR("data: one\n\n"));
    if (str_eq_c(request_query(r), "end"))
        stream_close(r);
    else
        stream_heartbeat(r, STR(":\n\n"), NS_PER_SECOND);
}

static void on_flood(struct http_request *r, void *arg)
{
    static char bytes[8192];
    static const struct stream_events events = {NULL, on_gone};
    (void)arg;
    stream_start(r, 200, STR("text/plain"), &events, NULL);
    while (stream_write(r, str_n(bytes, sizeof bytes)) != STREAM_GONE)
        continue;
}

static void on_socket(void *arg, struct socket *socket, const struct http_route *route,
                      enum socket_event event, struct http_request *request, struct str data)
{
    (void)arg;
    (void)route;
    (void)request;
    if (event == SOCKET_MESSAGE && str_eq_c(data, "bye"))
        socket_close(socket, 1000, STR("bye"));
    else if (event == SOCKET_MESSAGE)
        socket_send(socket, data);
    socket_done(socket);
}

static const struct http_set *acquire(void *arg, struct lane *lane)
{
    (void)arg;
    (void)lane;
    return &set;
}

static void release(void *arg, struct lane *lane, const struct http_set *s)
{
    (void)arg;
    (void)lane;
    (void)s;
}

static struct http_route route(const char *method, const char *pattern,
                               void (*handler)(struct http_request *r, void *arg))
{
    return (struct http_route){.kind = HTTP_ROUTE_C,
                               .method = method,
                               .pattern = pattern,
                               .owner = "probe",
                               .c_handler = handler};
}

static inline void make_routes(struct err *err)
{
    static struct http_route routes[24];
    int n = 0;
    routes[n++] = route("GET", "/hello", on_hello);
    routes[n++] = route("GET", "/runs", on_runs);
    routes[n++] = route("POST", "/echo", on_echo);
    routes[n] = route("POST", "/echo/large", on_echo);
    routes[n++].max_body = 8 << 20;
    routes[n] = route("POST", "/echo/small", on_echo);
    routes[n++].max_body = 100;
    routes[n++] = route("GET", "/describe/{id}", on_describe);
    routes[n++] = route("DELETE", "/describe/{id}", on_describe);
    routes[n++] = route("GET", "/big", on_big);
    routes[n] = route("GET", "/cached", on_big);
    routes[n++].cache_ns = 2 * NS_PER_SECOND;
    routes[n] = route("GET", "/cached/hello", on_hello);
    routes[n++].cache_ns = 2 * NS_PER_SECOND;
    routes[n] = route("GET", "/rated", on_hello);
    routes[n].rate_burst = 3;
    routes[n++].rate = 1;
    routes[n] = route("GET", "/secret", on_hello);
    routes[n++].auth = HTTP_AUTH_USER;
    routes[n] = route("GET", "/admin", on_hello);
    routes[n++].admin = true;
    routes[n++] = route("GET", "/never", on_never);
    routes[n++] = route("GET", "/stream", on_stream);
    routes[n++] = route("GET", "/flood", on_flood);
    routes[n++] = route("GET", "/metrics", on_metrics);
    routes[n] = route("GET", "/ws/{room}", NULL);
    routes[n++].kind = HTTP_ROUTE_SOCKET;
    set.router = router_create(routes, n, err);
}

enum { SERVING_LANES = 8 };

struct serving_lane {
    struct http_server *server;
    struct lane *lane;
    struct http_listener listeners[2];
    struct http_lane *web;
};

struct serving {
    struct http_server *server;
    struct serving_lane lanes[SERVING_LANES];
    int lane_count, port, tls_port;
};

static void start_lane(void *arg)
{
    struct serving_lane *s = arg;
    struct err err;
    s->web = http_lane_start(s->server, s->lane, s->listeners, 2, &err);
    if (!s->web) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

static void on_web_closed(void *arg)
{
    lane_stop(((struct serving_lane *)arg)->lane);
}

static void stop_lane(void *arg)
{
    struct serving_lane *s = arg;
    http_lane_close(s->web, on_web_closed, s);
}

static inline struct http_options serving_options(const char *state_dir)
{
    static const char *origins[] = {"https://friend.example", NULL};
    return (struct http_options){
        .limits = http_limits_default,
        .app = {.acquire = acquire, .release = release, .socket = on_socket},
        .state_dir = state_dir,
        .cors_origins = origins,
        .access_log_fd = -1,
        .development = true};
}

/* Ports 0 are chosen; dir may be NULL. */
static inline void serving_open(struct serving *s, const struct http_options *options, int lanes,
                                const char *dir)
{
    struct err err = {0};
    make_routes(&err);
    if (dir) {
        struct files_mount mount = {.prefix = "/", .dir = dir};
        set.files = files_create(&mount, 1, true, &err);
    }
    s->server = set.router ? http_server_create(options, &err) : NULL;
    if (!s->server || (dir && !set.files)) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    s->lane_count = lanes;
    for (int i = 0; i < lanes; i++) {
        struct serving_lane *l = &s->lanes[i];
        l->server = s->server;
        l->lane = lane_create(i, LANE_WEB, "web", &err);
        l->listeners[0] = (struct http_listener){.fd = loopback_listen(s->port)};
        l->listeners[1] = (struct http_listener){.fd = loopback_listen(s->tls_port), .tls = true};
        s->port = loopback_port(l->listeners[0].fd);
        s->tls_port = loopback_port(l->listeners[1].fd);
        lane_start(l->lane, start_lane, l, &err);
    }
}

static inline void serving_close(struct serving *s)
{
    for (int i = 0; i < s->lane_count; i++) {
        lane_call(s->lanes[i].lane, stop_lane, &s->lanes[i]);
        lane_join(s->lanes[i].lane);
        lane_destroy(s->lanes[i].lane);
    }
    http_server_destroy(s->server);
    router_destroy((struct router *)(uintptr_t)set.router);
    files_destroy((struct files *)(uintptr_t)set.files);
    set.files = NULL;
}

/* serving_close, and its folder goes. */
static inline void serving_remove(struct serving *s, const char *dir)
{
    char command[100];
    serving_close(s);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0)
        perror(command);
}

/* The port; open() starts the server when it is first asked for. */
static inline int serving_port(struct serving *s, void (*open)(void))
{
    if (!s->port)
        open();
    return s->port;
}

/* -- one server at a time, in a folder of its own -- */

static struct serving serving;
static char serving_dir[40];

/* adjust (or NULL) changes the options before. */
static inline void serving_start(int lanes, void (*adjust)(struct http_options *options))
{
    strcpy(serving_dir, "/tmp/maru-http-test.XXXXXX");
    if (!mkdtemp(serving_dir))
        abort();
    struct http_options options = serving_options(serving_dir);
    if (adjust)
        adjust(&options);
    memset(&serving, 0, sizeof serving);
    serving_open(&serving, &options, lanes, NULL);
}

static inline void serving_end(void)
{
    serving_remove(&serving, serving_dir);
}

/* The port of one server for the whole program. */
static inline int serving_only(int lanes, void (*adjust)(struct http_options *options))
{
    if (!serving.port) {
        serving_start(lanes, adjust);
        atexit(serving_end);
    }
    return serving.port;
}
