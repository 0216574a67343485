/* admin.h -- the operator's API under /admin/v1, and the host's own public routes.
 *
 * Admin routes are answered on admin listeners only: the unix socket
 * state.dir/admin.sock (its mode 0600 is the permission) and, if configured, a
 * TCP port where a token is asked for: `Authorization: Bearer TOKEN`, or the
 * cookie that GET /admin/login?token=TOKEN sets.  Tokens are made at the first
 * start, mode 0600: state.dir/admin.token of an operator, who may do everything,
 * and viewer.token of one who may only look.  Requests that change something
 * must come from the page's own origin and are written to the table maru_audit.
 *
 * Threads: routes are entered on web lanes; what they ask runs on the control
 * lane.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"

struct admin;
struct cache_driver;
struct config;
struct cron;
struct develop;
struct events;
struct http_lane;
struct http_request;
struct http_route;
struct jobs;
struct lane;
struct model;
struct objects;
struct reload;
struct search;
struct store;

/* What it shows and changes; filled by server.c as the parts start. */
struct admin_parts {
    const struct config *config;
    const char *state_dir;
    const char *node;         /* name of this process among others */
    const char *const *roles; /* "web", …; NULL-terminated */
    struct lane *control, **lanes;
    int lane_count, web_count;
    struct http_lane *const *web; /* by web lane, NULL before it listens */
    struct store *store;
    struct cache_driver *cache;
    struct events *events;
    struct objects *objects;
    struct search *search;
    struct jobs *jobs;
    struct cron *cron;
    struct model *model;
    struct reload *reload;
    struct develop *develop; /* NULL unless in development */
    int supervisor, crashes;
    const char *admin_host; /* of the admin port, as a URL has it */
    int admin_port;         /* 0 = none */
    const char *runaway; /* which code without end can be stopped: enum watch_protection's name */
    atomic_bool ready;   /* readiness probes: false while starting and draining */
    /* Reads the configuration again before everything is reloaded. */
    void (*refresh)(void *arg);
    void *arg;
};

/* Makes token and audit table; parts are borrowed.  Blocks. */
struct admin *admin_create(struct admin_parts *parts, struct err *err);
void admin_destroy(struct admin *admin);

/* Appends what this process says of itself to the others that share its queue: a JSON object.
 * Control lane. */
struct buf;
void admin_card(const struct admin *admin, struct buf *out);

/* Borrowed as long as it lives. */
const struct http_route *admin_routes(const struct admin *admin);
int admin_route_count(const struct admin *admin);

/* What the host itself answers for GET on every listener; NULL-terminated.  One thread. */
const char *const *admin_public_patterns(void);

/* Who sends a request on an admin listener.  The unix socket's are operators. */
enum admin_role { ADMIN_NOBODY, ADMIN_VIEWER, ADMIN_OPERATOR };
enum admin_role admin_role(const struct admin *admin, const struct http_request *request);
/* Whether it comes from an operator. */
bool admin_is_allowed(const struct admin *admin, const struct http_request *request);
/* False when a page of another origin asks, as browsers say; programs say nothing. */
bool admin_same_origin(const struct http_request *request);
