/* internal.h -- one request of the admin API; shared by admin/ only. */
#pragma once

#include "admin/admin.h"
#include "base/json.h"
#include "base/str.h"
#include "http/request.h"
#include "http/router.h"

enum { ADMIN_TOKEN_BYTES = 64, ADMIN_ROUTES = 80 };

struct admin_action;

struct admin_bound { /* a route's argument */
    struct admin *admin;
    const struct admin_action *action;
};

struct admin {
    struct admin_parts *parts;
    char token[ADMIN_TOKEN_BYTES + 1], viewer[ADMIN_TOKEN_BYTES + 1];
    struct http_route routes[ADMIN_ROUTES];
    struct admin_bound bound[ADMIN_ROUTES];
    int route_count;
    int64_t started; /* clock_ns */
};

/* A request on its way to the control lane and back. */
struct admin_call {
    struct admin *admin;
    const struct admin_action *action;
    struct lane *lane;            /* where the request lives */
    struct http_request *request; /* that lane only; NULL when the client has gone */
    /* copies, for the control lane */
    char *query, *who, *first, *second; /* the route's parameters in order, "" when it has none */
    char *body;                         /* as it came, "" when there was none */
    enum admin_role role;
    /* for the audit table */
    const char *audit; /* in the place of the action's name, or of a view that is to be told of;
                        * static text, or NULL */
    char *detail;      /* stands behind the target, or NULL; owned */
    bool dry;          /* nothing was changed: no line in it */
    /* the answer */
    int status;
    struct err wrong;         /* a parameter that admin_query_int() did not understand */
    const char *content_type; /* static text */
    struct buf out;
    void *state; /* of the action while it waits */
};

struct admin_action {
    const char *method, *pattern;
    void (*run)(struct admin_call *call); /* control lane; ends with admin_answer() */
    const char *audit; /* what the audit table calls it; NULL: it changes nothing */
};
/* These end with method NULL. */
extern const struct admin_action admin_views[], admin_changes[], admin_jobs[], admin_job_changes[],
    admin_workflows[], admin_events[], admin_logs[], admin_cache[];

/* Sends what is in call->out; call is gone afterwards.  Control lane. */
void admin_answer(struct admin_call *call, int status);
/* problem+json from an error; its code decides the status. */
void admin_answer_err(struct admin_call *call, const struct err *err);
/* One query parameter, decoded, or `otherwise`; the caller frees it. */
char *admin_query(const struct admin_call *call, const char *name, const char *otherwise);
/* What is no whole number makes the answer a 400 that names the parameter, whatever the view
 * answers; so for views only.  The first also keeps within least … most. */
int admin_query_int(struct admin_call *call, const char *name, int otherwise, int least, int most);
int64_t admin_query_int64(struct admin_call *call, const char *name, int64_t otherwise);

/* times.c: since=1h, or from= and to= in seconds since 1970, as wall ns; 0 where there is none. */
bool admin_query_times(const struct admin_call *call, int64_t *from, int64_t *to, struct err *err);
/* events_browse.c */
void admin_browse_events(struct admin_call *call);

/* body.c: a request's JSON object, its values by path: "dry", "filter.state", "ids.0". */
struct admin_field {
    char *path, *text; /* text: a string decoded, a number or boolean as written, NULL for null */
};
struct admin_body {
    struct admin_field *fields;
    int count;
};
/* Nothing is an empty object.  False with *err: no JSON object, too deep, too many values. */
bool admin_body_read(const struct admin_call *call, struct admin_body *out, struct err *err);
void admin_body_free(struct admin_body *body);
/* The field at a path, or NULL when it is absent. */
const struct admin_field *admin_body_field(const struct admin_body *body, const char *path);
/* False with *err: a field that is not in the NULL-terminated list; "ids." there stands for all
 * below it. */
bool admin_body_only(const struct admin_body *body, const char *const *paths, struct err *err);
/* Its text, or `otherwise` when absent or null; borrowed. */
const char *admin_body_text(const struct admin_body *body, const char *path, const char *otherwise);

/* views.c: the members of a plugin's object; false when nobody knows it.  Control lane. */
struct reload;
bool admin_write_plugin(struct json *w, const struct reload *reload, const char *plugin);
/* view_plugin.c: one plugin, with what is kept of it and what happened to it. */
void admin_view_plugin(struct admin_call *call);
/* kills.c */
struct generation;
void admin_write_kills(struct json *w, const struct reload *reload, const struct generation *g);
void admin_release(struct admin_call *call);
void admin_push_job(struct admin_call *call);

/* nodes.c */
void admin_view_nodes(struct admin_call *call);

/* auth.c */
bool admin_token_load(struct admin *admin, struct err *err);
void admin_login(struct http_request *request, void *arg); /* a route of its own */

/* audit.c */
bool audit_open(struct admin *admin, struct err *err);
void audit_write(struct admin_call *call, const char *result);
void audit_list(struct admin_call *call);

/* develop.c: GET /dev/events. */
void develop_events(struct http_request *request, void *admin);

/* view_usage.c: "cpu_seconds", "p50_ms" … of an object that is open; zeros for NULL. */
struct generation;
struct set;
void view_usage(struct json *w, const struct generation *g);
/* maru_plugin_* of every generation that serves, as Prometheus text.  On any lane. */
void usage_metrics(const struct set *set, struct buf *out);

/* public.c: routes answered on the lane that got them. */
void public_routes(struct admin *admin);
void admin_add_route(struct admin *admin, const struct http_route *route);

/* A wall time, or null for 0, as ISO 8601 in UTC. */
void json_time(struct json *w, const char *key, int64_t wall_ns);
