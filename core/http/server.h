/* server.h -- HTTP/1.1 and HTTP/2 on a lane's loop: listeners, connections, the order of a request.
 *
 * One http_server per process holds what lanes share (limits, certificate,
 * rate buckets, kept answers, counters); one http_lane per lane owns its
 * connections.  A request passes, in C: limits, CORS, rate, authorize, kept
 * answers; then its route's handler.  Handlers run at the end of a read batch,
 * so requests a client cancels at once never run.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "http/router.h"
#include "http/socket.h"

struct cache_driver;
struct http_lane;
struct http_request;
struct http_server;
struct lane;

struct http_limits {
    int header_bytes;     /* request line and headers; 431 */
    int uri_bytes;        /* 414 */
    int64_t body_bytes;   /* of a route that says nothing; 413 */
    int streams;          /* requests of one connection in flight */
    int connections;      /* of one lane; more are closed at once */
    int control_frames;   /* of HTTP/2 a second, before a connection is closed */
    int cancels;          /* cancelled requests a second before a connection is closed */
    int64_t header_ns;    /* from the first byte to the last header; 408 */
    int64_t body_ns;      /* without any progress of a body; 408 */
    int64_t idle_ns;      /* keep-alive without a request */
    int64_t tls_ns;       /* TLS handshake */
    int64_t send_ns;      /* without taking an answer; then the connection is dropped */
    int64_t unsent_bytes; /* answers of one connection; over it its next requests wait */
    int64_t cache_bytes;  /* kept answers of the process */
};
extern const struct http_limits http_limits_default;

/* The embedding application.  All callbacks run on the lane's thread. */
struct http_app {
    void *arg;
    /* The set that serves now, pinned until release.  NULL = starting: 503. */
    const struct http_set *(*acquire)(void *arg, struct lane *lane);
    void (*release)(void *arg, struct lane *lane, const struct http_set *set);
    /* Answers a request for a HTTP_ROUTE_LUA route, now or later. */
    void (*dispatch)(void *arg, struct http_request *request, const struct http_route *route);
    /* Whether the request may pass a route whose auth is not "none"; NULL or
     * false = 401.  May answer by itself and set *answered. */
    bool (*authorize)(void *arg, struct http_request *request, const struct http_route *route,
                      bool *answered);
    socket_event_fn *socket;
    /* Whether a WebSocket may be opened while its owner has `open` of them on this lane;
     * false = it has answered.  NULL = always. */
    bool (*may_open)(void *arg, struct http_request *request, const struct http_route *route,
                     int open);
};

struct http_options {
    struct http_limits limits;
    struct http_app app;
    struct cache_driver *shared; /* where rate limits of several servers are; NULL = nowhere */
    const char *state_dir;       /* certificate, temporary bodies */
    const char *cert_file;       /* PEM; NULL = one made here: state_dir/tls/cert.pem, key.pem */
    const char *key_file;
    const char *const *cors_origins; /* NULL-terminated; "*" = any; NULL = none */
    const char *const *host_names;   /* extra names of a certificate made here; may be NULL */
    int access_log_fd;               /* one JSON line a request; -1 = off */
    bool development;                /* 500s say what happened; files are not cached by browsers */
    bool h2c;                        /* HTTP/2 without TLS by prior knowledge (benchmarks) */
};

struct http_listener {
    int fd; /* listening socket, TCP or unix; the lane's own (SO_REUSEPORT); closed with it */
    bool tls;
    bool admin; /* admin routes are answered here */
};

/* NULL with *err.  app.acquire may return NULL until the first set is ready. */
struct http_server *http_server_create(const struct http_options *options, struct err *err);
void http_server_destroy(struct http_server *server); /* after its lanes are closed */
const struct http_limits *http_server_limits(const struct http_server *server);
/* Reads the certificate again, for connections made from now on.  Any thread.
 * On failure the old one stays. */
bool http_server_reload_tls(struct http_server *server, struct err *err);
/* Drops kept answers of one owner (a plugin that was replaced); any thread. */
void http_server_forget(struct http_server *server, const char *owner);

/* On the lane's thread, once.  Takes the listeners' fds. */
struct http_lane *http_lane_start(struct http_server *server, struct lane *lane,
                                  const struct http_listener *listeners, int count,
                                  struct err *err);
/* Stops accepting and asks clients to leave: GOAWAY, "connection: close",
 * WebSocket 1001, streams closed. */
void http_lane_drain(struct http_lane *lane);
/* Closes the WebSockets of one owner (a plugin that is held back). */
void http_lane_close_sockets(struct http_lane *lane, const char *owner, int code,
                             struct str reason);
int http_lane_connections(const struct http_lane *lane); /* any thread */
int http_lane_requests(const struct http_lane *lane);    /* in flight; any thread */
/* Closes every connection and handle; done(arg) runs when nothing is left on
 * the loop, and the lane is freed. */
void http_lane_close(struct http_lane *lane, void (*done)(void *arg), void *arg);
