#include "http/internal.h"

/* DESIGN: the library calls us when a body is whole, and keeps it in a file until then.  Whether it
 * may come at all is asked before: on HTTP/1.1 by the guard, when the head is whole.  On HTTP/2
 * only the library can read a head, so its reader of header blocks is followed (overrides.c); a
 * request that may not go on is marked, and ended by a frame that the library takes for the
 * client's.  It then comes to us like any other, with what there is of its body, and the gate
 * answers the refusal: no state of the library is touched.
 *
 * The client goes on sending meanwhile, which the library takes for an error of the client's: it
 * would drop the answer that has not gone out, and count towards the end of the connection.  So its
 * resets are looked at, too: until the answer is out there is none, then one of NO_ERROR, which
 * asks the client to stop (RFC 9113, section 8.1). */

enum {
    STREAM_CLOSED = 5,
    SPARED_FRAMES = 1024
}; /* of one stream: its window, as they mostly come */

struct arrival {      /* in the request's memory */
    struct list node; /* conn->unwelcome, until the request is handed to us */
    struct http_conn *conn;
    struct http_refusal refusal;
    uint32_t stream;
};

struct http_refusal arrival_too_large(int64_t most)
{
    return (struct http_refusal){413, "body_too_large",
                                 "the request's body is too large for its route", most};
}

bool arrival_admit(struct http_conn *conn, struct str method, struct str target, int64_t body_bytes,
                   int64_t *most, struct http_refusal *out)
{
    struct http_lane *lane = conn->lane;
    const struct http_app *app = &lane->server->options.app;
    const struct http_set *set = app->acquire(app->arg, lane->lane);
    const struct http_route *route = NULL;
    struct router_match match;
    size_t question = str_find(target, '?'), query = question < target.n ? question + 1 : question;
    bool ok = true;
    *most = lane->server->options.limits.body_bytes;
    if (set && set->router &&
        router_match(set->router, method, str_n(target.p, question), conn->admin, &match) ==
            ROUTER_FOUND)
        route = match.route;
    if (route && route->max_body > 0)
        *most = route->max_body;
    if (body_bytes > *most) {
        *out = arrival_too_large(*most);
        ok = false;
    } else if (route && route->admit) {
        struct http_arrival arrival = {.query = str_n(target.p + query, target.n - query),
                                       .match = &match,
                                       .body_bytes = body_bytes};
        ok = route->admit(&arrival, route->arg, out);
    }
    if (set)
        app->release(app->arg, lane->lane, set);
    return ok;
}

/* ---- HTTP/2 ---- */

static const char mark[] = "unwelcome"; /* its address is the name: no client can send it */

static struct dismissed *dismissed_of(struct http_conn *conn, uint32_t stream)
{
    for (int i = 0; i < CONN_DISMISSED; i++)
        if (conn->dismissed[i].stream == stream)
            return &conn->dismissed[i];
    return NULL;
}

static void dismiss(struct http_conn *conn, uint32_t stream)
{
    conn->dismissed[conn->dismissed_next++ % CONN_DISMISSED] = (struct dismissed){.stream = stream};
}

/* The library has written the answer, or the client has reset it. */
static void on_dispose(void *arg)
{
    struct arrival *a = arg;
    struct dismissed *d = dismissed_of(a->conn, a->stream);
    list_remove(&a->node);
    if (d)
        d->answered = true;
}

static void refuse(struct http_conn *conn, h2o_req_t *req, const struct http_refusal *refusal)
{
    struct arrival *a = h2o_mem_alloc_shared(&req->pool, sizeof *a, on_dispose);
    h2o_iovec_t id = req->conn->callbacks->log_.http2.stream_id(req);
    long long stream = 0;
    str_int64(str_of(id), &stream);
    a->conn = conn;
    a->refusal = *refusal;
    a->stream = (uint32_t)stream;
    list_push_back(&conn->unwelcome, &a->node);
    h2o_vector_reserve(&req->pool, &req->env, req->env.size + 2);
    req->env.entries[req->env.size++] = h2o_iovec_init(mark, sizeof mark - 1);
    req->env.entries[req->env.size++] = h2o_iovec_init(a, sizeof *a);
}

void arrival_http2(h2o_req_t *req, size_t *content_length)
{
    struct str method = str_of(req->input.method), target = str_of(req->input.path);
    struct http_conn *conn = conn_of(req);
    struct http_refusal refusal = {0};
    bool bare = *content_length == SIZE_MAX || *content_length == 0;
    if (target.n == 0 || target.p[0] != '/' ||
        (bare && (str_eq_c(method, "GET") || str_eq_c(method, "HEAD"))))
        return;
    int64_t bytes = *content_length > INT64_MAX ? -1 : (int64_t)*content_length, most;
    if (arrival_admit(conn, method, target, bytes, &most, &refusal))
        return;
    *content_length = SIZE_MAX; /* it ends earlier than it said */
    refuse(conn, req, &refusal);
}

const struct http_refusal *arrival_refused(h2o_req_t *req)
{
    for (size_t i = 0; i + 1 < req->env.size; i += 2)
        if (req->env.entries[i].base == mark) {
            struct arrival *a = (struct arrival *)(void *)req->env.entries[i + 1].base;
            list_remove(&a->node);
            return &a->refusal;
        }
    return NULL;
}

void arrival_end_unwelcome(struct http_conn *conn)
{
    while (conn->sock && !list_empty(&conn->unwelcome) && !conn->frames.in_block) {
        struct arrival *a = list_entry(conn->unwelcome.next, struct arrival, node);
        list_remove(&a->node);
        dismiss(conn, a->stream);
        http2_end_body(conn, a->stream);
    }
}

static _Thread_local struct http_conn *reading;

void arrival_read(struct http_conn *conn)
{
    reading = conn;
    conn->read(conn->sock, NULL);
    reading = NULL;
}

bool arrival_may_reset(uint32_t stream, int *code)
{
    struct http_conn *conn = reading;
    struct dismissed *d =
        conn && stream && *code == STREAM_CLOSED ? dismissed_of(conn, stream) : NULL;
    if (!d || ++d->frames > SPARED_FRAMES)
        return true;
    conn->lane->ctx.http2.events.protocol_level_errors[STREAM_CLOSED]--;
    conn->spared = d->answered ? 0 : stream;
    bool tell = d->answered && !d->told;
    d->told = d->told || tell;
    *code = 0;
    return tell;
}

bool arrival_may_end(uint32_t stream)
{
    bool spared = reading && reading->spared == stream;
    if (reading)
        reading->spared = 0;
    return !spared;
}
