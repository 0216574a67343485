/* lua_serve PLUGIN_DIR [PORT [TLS_PORT [LANES [STATE_DIR]]]]: the routes and sockets of one plugin,
 * without reload or drivers, for specs and measurements.  Prints its ports as JSON. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/loopback.h"
#include "base/clock.h"
#include "bind/bind.h"
#include "bind/http_lua.h"
#include "channels/channel.h"
#include "http/server.h"
#include "loop/lane.h"
#include "observe/log.h"
#include "vm/host.h"
#include "vm/vm.h"

enum { LANES = 16, ROUTES = 200 };

static struct http_set set;
static struct host host;
static struct bundle *bundle;
static struct vm *vms[LANES];
static struct http_server *server;

struct serving {
    struct lane *lane;
    struct http_listener listeners[2];
    struct http_lane *web;
};

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

static void dispatch(void *arg, struct http_request *request, const struct http_route *route)
{
    (void)arg;
    http_dispatch_lua(request, route);
}

static void on_socket(void *arg, struct socket *socket, const struct http_route *route,
                      enum socket_event event, struct http_request *request, struct str data)
{
    (void)arg;
    http_socket_lua(socket, route, event, request, data);
}

static void make_routes(const struct plugin_decl *decl)
{
    static struct http_route routes[ROUTES];
    struct err err;
    int n = 0;
    for (int i = 0; i < decl->route_count; i++) {
        const struct route_decl *d = &decl->routes[i];
        routes[n++] = (struct http_route){.kind = HTTP_ROUTE_LUA,
                                          .method = d->method,
                                          .pattern = d->pattern,
                                          .owner = decl->name,
                                          .max_body = d->max_body,
                                          .timeout_ns = d->timeout_ns,
                                          .cache_ns = d->cache_ns,
                                          .target = vms,
                                          .handler = d->handler};
    }
    for (int i = 0; i < decl->socket_count; i++) {
        const struct socket_decl *d = &decl->sockets[i];
        routes[n++] = (struct http_route){.kind = HTTP_ROUTE_SOCKET,
                                          .method = "GET",
                                          .pattern = d->path,
                                          .owner = decl->name,
                                          .target = vms,
                                          .open = d->open,
                                          .message = d->message,
                                          .close = d->close};
    }
    set.router = router_create(routes, n, &err);
    if (!set.router) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

static void load(void *arg)
{
    struct serving *s = arg;
    struct err err;
    struct plugin_decl *decl = NULL;
    struct vm_options options = {
        .lane = s->lane, .host = &host, .bundle = bundle, .label = "probe@0123456789ab"};
    vms[s->lane->index] = vm_create(&options, s->lane->index == 0 ? &decl : NULL, &err);
    if (!vms[s->lane->index]) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    if (decl)
        make_routes(decl);
}

static void start(void *arg)
{
    struct serving *s = arg;
    struct err err;
    s->web = http_lane_start(server, s->lane, s->listeners, 2, &err);
    if (!s->web) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

static void on_web_closed(void *arg)
{
    struct serving *s = arg;
    vm_destroy(vms[s->lane->index]);
    lane_stop(s->lane);
}

static void stop(void *arg)
{
    struct serving *s = arg;
    vm_retire(vms[s->lane->index]);
    http_lane_close(s->web, on_web_closed, s);
    vm_cancel_tasks(vms[s->lane->index]);
}

static void nothing(void *arg)
{
    (void)arg;
}

int main(int argc, char **argv)
{
    int port = argc > 2 ? atoi(argv[2]) : 0, tls_port = argc > 3 ? atoi(argv[3]) : 0;
    int lanes = argc > 4 ? atoi(argv[4]) : 1;
    struct http_options options = {
        .limits = http_limits_default,
        .app = {.acquire = acquire, .release = release, .dispatch = dispatch, .socket = on_socket},
        .state_dir = argc > 5 ? argv[5] : "/tmp/maru-http",
        .access_log_fd = -1,
        .development = true};
    struct err err = {0};
    if (argc < 2 || lanes < 1 || lanes > LANES)
        return 2;
    log_setup(2, LOG_INFO);
    bundle = bundle_read(argv[1], &err);
    server = bundle ? http_server_create(&options, &err) : NULL;
    if (!server) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    host = (struct host){.bind = bind_all, .development = true, .channels = channel_hub_create()};
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    static struct serving all[LANES];
    for (int i = 0; i < lanes; i++) {
        all[i].lane = lane_create(i, LANE_WEB, "web", &err);
        all[i].listeners[0] = (struct http_listener){.fd = loopback_listen(port)};
        all[i].listeners[1] = (struct http_listener){.fd = loopback_listen(tls_port), .tls = true};
        port = loopback_port(all[i].listeners[0].fd);
        tls_port = loopback_port(all[i].listeners[1].fd);
        lane_start(all[i].lane, nothing, NULL, &err);
        lane_call_wait(all[i].lane, load, &all[i]);
    }
    for (int i = 0; i < lanes; i++)
        lane_call_wait(all[i].lane, start, &all[i]);
    printf("{\"http\":%d,\"https\":%d}\n", port, tls_port);
    fflush(stdout);
    int got;
    sigwait(&signals, &got);
    for (int i = 0; i < lanes; i++) {
        lane_call(all[i].lane, stop, &all[i]);
        lane_join(all[i].lane);
        lane_destroy(all[i].lane);
    }
    http_server_destroy(server);
    router_destroy((struct router *)(uintptr_t)set.router);
    return 0;
}
