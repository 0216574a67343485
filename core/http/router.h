/* router.h -- which route answers a method and a path.
 *
 * A router is compiled once per set of generations and never changes, so any
 * lane may read it.  Patterns: "/a/b", "/a/{id}/b", "/files/{rest...}" (the
 * rest takes at least one character and may hold slashes).  At every segment
 * static text wins over a parameter, a parameter over the rest.  Matching
 * allocates nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct files;
struct http_request;
struct router_match;
struct http_stats;
struct router;

enum {
    ROUTER_PARAMS = 16,         /* parameters of one pattern */
    ROUTER_PATTERN_BYTES = 512, /* longest pattern */
    ROUTER_SEGMENTS = 32,       /* deepest pattern and deepest path that can match */
    ROUTER_ROUTES = 20000,      /* routes of one set */
};

/* What is known of a request before its body has come. */
struct http_arrival {
    struct str query;                 /* behind '?', as it came */
    const struct router_match *match; /* values are as they came */
    int64_t body_bytes;               /* -1: it does not say */
};
struct http_refusal {
    int status;
    const char *code, *detail; /* static text */
    int64_t limit;             /* bytes, named in the answer; 0 = none */
};

enum http_auth { HTTP_AUTH_NONE, HTTP_AUTH_USER, HTTP_AUTH_ADMIN };

enum http_route_kind {
    HTTP_ROUTE_C,      /* c_handler answers, on the lane, without waiting */
    HTTP_ROUTE_LUA,    /* the application's dispatch() answers */
    HTTP_ROUTE_SOCKET, /* WebSocket; method is "GET" */
};

/* Strings are borrowed and live as long as the router. */
struct http_route {
    enum http_route_kind kind;
    const char *method;  /* "GET" also answers HEAD */
    const char *pattern; /* "/a/{id}" */
    const char *owner;   /* plugin name or "host": metrics and clash messages */
    const char *label;   /* "name@hash12": log lines; NULL = owner */
    bool admin;          /* answered on admin listeners only; 404 elsewhere */
    bool unlimited;      /* answered also while the server drains (health checks) */
    enum http_auth auth;
    int64_t max_body;   /* bytes; 0 = the server's default */
    int64_t timeout_ns; /* of the handler; 0 = the plugin's */
    double rate;        /* requests a second per client address; 0 = no limit */
    int rate_burst;     /* at least 1 when rate is set */
    int64_t cache_ns;   /* GET answers are kept so long; 0 = not kept */

    /* Asked before a body is received, so that nobody makes the server keep what it would refuse;
     * on the lane, without waiting.  NULL = anybody may send one.  False with *refusal: answered
     * with it, and on HTTP/1.1 the connection is closed. */
    bool (*admit)(const struct http_arrival *arrival, void *arg, struct http_refusal *refusal);
    void (*c_handler)(struct http_request *request, void *arg); /* HTTP_ROUTE_C */
    void *arg;

    void *target;             /* HTTP_ROUTE_LUA, HTTP_ROUTE_SOCKET: see bind/http_lua.h */
    int handler;              /* HTTP_ROUTE_LUA: index in the plugin's declaration */
    int open, message, close; /* HTTP_ROUTE_SOCKET: handlers, -1 = none */

    /* filled by router_create */
    uint64_t id;             /* of owner, method and pattern: the same after a reload */
    const struct str *names; /* of the parameters, in path order */
    int name_count;
    struct http_stats *stats; /* of the owner; process-wide, never freed */
};

/* What one request is served with: pinned by the application from acquire to
 * release.  Either part may be NULL. */
struct http_set {
    const struct router *router;
    const struct files *files;
};

struct router_match {
    const struct http_route *route;
    int count;
    struct str values[ROUTER_PARAMS]; /* slices of the path that was given */
};

enum router_result {
    ROUTER_FOUND,
    ROUTER_NOT_FOUND,
    ROUTER_METHOD, /* the path exists with other methods: router_allowed() */
};

/* Copies the array.  NULL with *err: ERR_INVALID for a malformed pattern,
 * ERR_CONFLICT "route GET /a/{id} of plugin b clashes with GET /a/{name} of
 * plugin a", ERR_LIMIT. */
struct router *router_create(const struct http_route *routes, int count, struct err *err);
void router_destroy(struct router *router);

/* path is percent-encoded as it came, without query; static segments must be
 * given unencoded.  admin: whether admin routes are answered. */
enum router_result router_match(const struct router *router, struct str method, struct str path,
                                bool admin, struct router_match *out);
/* Appends "GET, HEAD, OPTIONS" for a path some route has; nothing otherwise. */
void router_allowed(const struct router *router, struct str path, bool admin, struct buf *out);

int router_count(const struct router *router);
const struct http_route *router_at(const struct router *router, int index);
int64_t router_max_body(const struct router *router); /* the largest of its routes; 0 = none set */
