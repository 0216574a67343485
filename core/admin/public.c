/* public.c -- the host's own routes, answered on the lane that got them. */

#include "objects/public.h"
#include "admin/internal.h"
#include "config/config.h"
#include "jobs/admin.h"
#include "observe/drivers.h"
#include "observe/metrics.h"
#include "reload/reload.h"
#include "storage/sqlite.h"

static void on_health(struct http_request *r, void *arg)
{
    (void)arg;
    respond(r, 200, STR("application/json"), STR("{\"status\":\"ok\"}"));
}

/* What /readyz says of drivers. */
struct readiness {
    struct buf degraded; /* JSON objects, comma-separated */
    struct err down;     /* of the first required one */
};

static void look_at_driver(const struct driver_state *d, void *arg)
{
    struct readiness *r = arg;
    if (d->level == DRIVER_UP)
        return;
    if (d->level == DRIVER_DOWN && d->required && !r->down.code) {
        r->down = d->err;
        err_wrap(&r->down, "%s (%s)", d->kind, d->driver);
    }
    struct json w = json_to(&r->degraded);
    w.comma = r->degraded.n > 0;
    json_open(&w, '{');
    json_key(&w, "kind");
    json_cstr(&w, d->kind);
    json_key(&w, "driver");
    json_cstr(&w, d->driver);
    json_key(&w, "state");
    json_cstr(&w, driver_level_name(d->level));
    json_key(&w, "error");
    json_cstr(&w, d->err.message);
    json_close(&w, '}');
}

static void answer_drivers(struct http_request *request)
{
    struct readiness r = {0};
    driver_health_list(look_at_driver, &r);
    if (r.down.code) {
        respond_problemf(request, 503, "not_ready", "%s", r.down.message);
    } else {
        struct buf out = {0};
        buf_add_c(&out, "{\"status\":\"ready\"");
        if (r.degraded.n)
            buf_printf(&out, ",\"degraded\":[%.*s]", (int)r.degraded.n, r.degraded.p);
        buf_add_char(&out, '}');
        respond_take(request, 200, STR("application/json"), &out);
    }
    buf_free(&r.degraded);
}

static void on_ready(struct http_request *r, void *arg)
{
    struct admin *a = arg;
    struct sqlite *db = store_sqlite(a->parts->store);
    struct err err;
    if (!atomic_load(&a->parts->ready))
        respond_problemf(r, 503, "not_ready", "the server is starting or draining");
    else if ((db && !sqlite_healthy(db, &err)) || !jobs_healthy(a->parts->jobs, &err))
        respond_problemf(r, 503, "not_ready", "%s", err.message);
    else
        answer_drivers(r);
}

/* Metrics say much about a system: not for everybody. */
static void on_metrics(struct http_request *r, void *arg)
{
    struct str client = request_client(r);
    struct admin *a = arg;
    struct buf out = {0};
    if (!request_is_admin(r) && !str_eq_c(client, "::1") && !str_starts(client, STR("127."))) {
        respond_problemf(r, 404, "not_found", "metrics are for this machine and the admin port");
        return;
    }
    metrics_print(&out);
    usage_metrics(reload_current(a->parts->reload), &out);
    respond_take(r, 200, STR("text/plain; version=0.0.4; charset=utf-8"), &out);
}

static void on_pages(struct http_request *r, void *arg)
{
    struct admin *a = arg;
    struct buf out = {0};
    set_pages_json(reload_current(a->parts->reload), &out);
    respond_take(r, 200, STR("application/json"), &out);
}

static void on_openapi(struct http_request *r, void *arg)
{
    struct admin *a = arg;
    struct buf out = {0};
    set_openapi_json(reload_current(a->parts->reload), &out);
    respond_take(r, 200, STR("application/json"), &out);
}

static void on_object(struct http_request *r, void *arg)
{
    struct admin *a = arg;
    objects_public(r, (void *)&a->parts->objects);
}

static bool admit_object(const struct http_arrival *arrival, void *arg,
                         struct http_refusal *refusal)
{
    struct admin *a = arg;
    return objects_admit(arrival, a->parts->objects, refusal);
}

static const struct {
    const char *pattern;
    void (*handler)(struct http_request *r, void *arg);
    bool unlimited, develop; /* develop: answered in development only */
} routes[] = {
    {"/objects/{plugin}", on_object, false, false},
    {"/healthz", on_health, true, false},
    {"/readyz", on_ready, true, false},
    {"/metrics", on_metrics, true, false},
    {"/api/pages", on_pages, false, false},
    {"/api/openapi.json", on_openapi, false, false},
    {"/dev/events", develop_events, true, true},
};
enum { ROUTES = sizeof routes / sizeof *routes };

const char *const *admin_public_patterns(void)
{
    static const char *patterns[ROUTES + 1];
    for (int i = 0; i < ROUTES; i++)
        patterns[i] = routes[i].pattern;
    return patterns;
}

void public_routes(struct admin *a)
{
    for (int i = 0; i < ROUTES; i++) {
        if (routes[i].develop && !a->parts->develop)
            continue;
        admin_add_route(a, &(struct http_route){.method = "GET",
                                                .pattern = routes[i].pattern,
                                                .unlimited = routes[i].unlimited,
                                                .c_handler = routes[i].handler,
                                                .arg = a});
    }
    admin_add_route(
        a, &(struct http_route){.method = "PUT",
                                .pattern = "/objects/{plugin}",
                                .max_body = config_bytes(a->parts->config, "objects.upload_bytes"),
                                .admit = admit_object,
                                .c_handler = on_object,
                                .arg = a});
}
