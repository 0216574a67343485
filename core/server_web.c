/* server_web.c -- the HTTP server in front of the set that serves. */

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "bind/http_lua.h"
#include "config/config.h"
#include "http/request.h"
#include "observe/log.h"
#include "server_parts.h"

/* What a plugin that is held back answers; only development says where it looped. */
static void refuse_held(const struct server *s, struct http_request *request,
                        const struct generation *g, const struct generation_hold *held)
{
    char since[32];
    clock_format_utc(held->since_wall, since);
    if (held->restarting) {
        respond_header(request, STR("retry-after"), STR("1"));
        respond_problemf(request, 503, "restarting", "the plugin %s is being restarted", g->name);
        return;
    }
    struct buf extra = {0};
    struct json w = json_to(&extra);
    json_key(&w, "since");
    json_cstr(&w, since);
    char *detail = mem_printf("the plugin %s is quarantined since %s, after %d kills%s%s", g->name,
                              since, held->kills, s->host.development ? ": " : "",
                              s->host.development ? held->reason : "");
    respond_problem(request, 503, "quarantined", str_c(detail), buf_str(&extra));
    mem_free(detail);
    buf_free(&extra);
}

/* A VM that was ended by force is replaced before the next request reaches it. */
static void dispatch(void *arg, struct http_request *request, const struct http_route *route)
{
    struct generation *g = route->arg;
    const struct generation_hold *held = generation_held(g);
    if (held) {
        refuse_held(arg, request, g, held);
        return;
    }
    generation_vm(g, request_lane(request));
    http_dispatch_lua(request, route);
}

enum { SOCKET_TRY_LATER = 1013 };

static void on_socket(void *arg, struct socket *socket, const struct http_route *route,
                      enum socket_event event, struct http_request *request, struct str data)
{
    (void)arg;
    if (route && event != SOCKET_CLOSE && generation_held(route->arg)) {
        socket_close(socket, SOCKET_TRY_LATER, STR("the plugin is held back"));
        socket_done(socket);
        return;
    }
    if (route)
        generation_vm(route->arg, socket_lane(socket));
    http_socket_lua(socket, route, event, request, data);
}

static bool may_open(void *arg, struct http_request *request, const struct http_route *route,
                     int open)
{
    (void)arg;
    return http_socket_may_open(request, route, open);
}

/* Who may pass a route that asks for somebody: the operator, until a plugin knows users.  A cookie
 * goes along with what a page of another port of this host asks for, so what may change something
 * looks at who asks, as the admin API does. */
static bool authorize(void *arg, struct http_request *request, const struct http_route *route,
                      bool *answered)
{
    struct server *s = arg;
    struct str method = request_method(request);
    (void)route;
    if (!request_is_admin(request) || !admin_is_allowed(s->admin, request))
        return false;
    bool looks = str_eq_c(method, "GET") || str_eq_c(method, "HEAD");
    if (!looks && !request_is_local(request) && !admin_same_origin(request)) {
        respond_problemf(request, 403, "forbidden", "the request comes from another origin");
        *answered = true;
        return false;
    }
    request_set_subject(request, STR("operator"));
    return true;
}

static const struct http_set *acquire(void *arg, struct lane *lane)
{
    return reload_acquire(((struct server *)arg)->reload, lane);
}

static void release(void *arg, struct lane *lane, const struct http_set *set)
{
    reload_release(((struct server *)arg)->reload, lane, set);
}

static struct http_limits limits(const struct config *c)
{
    struct http_limits l = http_limits_default;
    l.header_bytes = (int)config_bytes(c, "http.header_bytes");
    l.body_bytes = config_bytes(c, "http.body_bytes");
    l.header_ns = config_ns(c, "http.header_timeout");
    l.body_ns = config_ns(c, "http.body_timeout");
    l.send_ns = config_ns(c, "http.send_timeout");
    l.unsent_bytes = config_bytes(c, "http.unsent_bytes");
    l.idle_ns = config_ns(c, "http.idle_timeout");
    l.streams = (int)config_integer(c, "http.tasks_per_connection");
    l.connections = (int)config_integer(c, "http.connections");
    l.control_frames = (int)config_integer(c, "http.max_control_frames");
    l.cancels = (int)config_integer(c, "http.max_cancels");
    l.cache_bytes = config_bytes(c, "http.cache_bytes");
    return l;
}

static const char *text_or_null(const struct config *c, const char *key)
{
    const char *text = config_text(c, key);
    return *text ? text : NULL;
}

static const char **cors_origins(const struct config *c)
{
    const char *const *items;
    int count = config_list(c, "http.cors_origins", &items);
    const char **list = mem_zero((size_t)count + 1, sizeof *list);
    for (int i = 0; i < count; i++)
        list[i] = items[i];
    return list;
}

bool http_start(struct server *s, struct err *err)
{
    const struct config *c = s->config;
    s->cors_origins = cors_origins(c);
    struct http_options options = {
        .limits = limits(c),
        .shared = s->cache,
        .app = {.arg = s,
                .acquire = acquire,
                .release = release,
                .dispatch = dispatch,
                .authorize = authorize,
                .socket = on_socket,
                .may_open = may_open},
        .state_dir = s->state_dir,
        .cert_file = text_or_null(c, "https.certificate"),
        .key_file = text_or_null(c, "https.key"),
        .cors_origins = s->cors_origins[0] ? s->cors_origins : NULL,
        .access_log_fd = config_boolean(c, "http.access_log") ? STDOUT_FILENO : -1,
        .development = config_boolean(c, "development"),
    };
    s->web = mem_zero((size_t)s->web_count, sizeof *s->web);
    s->http = http_server_create(&options, err);
    return s->http != NULL;
}

void http_stop(struct server *s)
{
    http_server_destroy(s->http);
    mem_free(s->web);
    mem_free(s->cors_origins);
}

struct web_start {
    struct server *server;
    int index;
    struct err err;
};

static void start_on_lane(void *arg)
{
    struct web_start *w = arg;
    struct server *s = w->server;
    struct http_listener listeners[4];
    int n = 0;
    if (w->index < s->in.http.count)
        listeners[n++] = (struct http_listener){.fd = s->in.http.fds[w->index]};
    if (w->index < s->in.https.count)
        listeners[n++] = (struct http_listener){.fd = s->in.https.fds[w->index], .tls = true};
    if (!w->index && s->in.admin_unix >= 0)
        listeners[n++] = (struct http_listener){.fd = s->in.admin_unix, .admin = true};
    if (!w->index && s->in.admin.count)
        listeners[n++] = (struct http_listener){.fd = s->in.admin.fds[0], .admin = true};
    s->web[w->index] = http_lane_start(s->http, s->lanes[w->index], listeners, n, &w->err);
}

bool web_open(struct server *s, struct err *err)
{
    for (int i = 0; i < s->web_count; i++) {
        struct web_start w = {.server = s, .index = i};
        lane_call_wait(s->lanes[i], start_on_lane, &w);
        if (!s->web[i]) {
            *err = w.err;
            return false;
        }
    }
    return true;
}

static void drain_on_lane(void *arg)
{
    http_lane_drain(arg);
}

void web_drain(struct server *s)
{
    for (int i = 0; i < s->web_count; i++) {
        if (s->web[i])
            lane_call(s->lanes[i], drain_on_lane, s->web[i]);
    }
}

int web_connections(const struct server *s)
{
    int sum = 0;
    for (int i = 0; i < s->web_count; i++)
        sum += s->web[i] && !atomic_load(&s->lanes[i]->lost) ? http_lane_connections(s->web[i]) : 0;
    return sum;
}

struct socket_closing {
    struct http_lane *web;
    char owner[64];
};

static void close_sockets_on_lane(void *arg)
{
    struct socket_closing *c = arg;
    http_lane_close_sockets(c->web, c->owner, SOCKET_TRY_LATER, STR("the plugin is held back"));
    mem_free(c);
}

void web_close_sockets(struct server *s, const char *owner)
{
    for (int i = 0; i < s->web_count; i++) {
        if (!s->web[i])
            continue;
        struct socket_closing *c = mem_zero(1, sizeof *c);
        c->web = s->web[i];
        snprintf(c->owner, sizeof c->owner, "%s", owner);
        lane_call(s->lanes[i], close_sockets_on_lane, c);
    }
}

struct web_closing {
    struct server *server;
    void (*done)(struct server *s);
    struct http_lane *web;
};

static void closed_on_control(void *arg)
{
    struct web_closing *c = arg;
    if (--c->server->closing == 0)
        c->done(c->server);
    mem_free(c);
}

static void on_closed(void *arg)
{
    struct web_closing *c = arg;
    lane_call(c->server->control, closed_on_control, c);
}

static void close_on_lane(void *arg)
{
    struct web_closing *c = arg;
    if (c->web)
        http_lane_close(c->web, on_closed, c);
    else
        on_closed(c);
}

void web_close(struct server *s, void (*done)(struct server *s))
{
    s->closing = s->web_count;
    for (int i = 0; i < s->web_count; i++) {
        struct web_closing *c = mem_zero(1, sizeof *c);
        *c = (struct web_closing){s, done, s->web[i]};
        s->web[i] = NULL;
        lane_call(s->lanes[i], close_on_lane, c);
    }
}
