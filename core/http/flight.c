#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/internal.h"
#include "http/validate.h"

/* DESIGN: a flight is a cacheable request on its way to its handler.  Those of
 * the same lane that ask the same meanwhile wait for its answer.  Lanes do not
 * wait for each other: at most one handler per lane runs for one key. */
struct flight {
    struct list waiters; /* of http_request.node */
    char *key;
    size_t key_n;
};

static struct str make_key(struct http_request *r)
{
    struct str target = request_target(r), subject = r->subject;
    size_t n = sizeof r->route->id + subject.n + 1 + target.n;
    char *key = request_alloc(r, n);
    char *at = key;
    memcpy(at, &r->route->id, sizeof r->route->id);
    at += sizeof r->route->id;
    if (subject.n > 0)
        memcpy(at, subject.p, subject.n);
    at += subject.n;
    *at++ = '\0';
    memcpy(at, target.p, target.n);
    return str_n(key, n);
}

/* Whole seconds as digits at the end of prefix; made for every kept answer, so by hand. */
static struct str seconds_text(struct http_request *r, struct str prefix, int64_t ns)
{
    char digits[20];
    size_t n = 0;
    uint64_t left = ns > 0 ? (uint64_t)(ns / NS_PER_SECOND) : 0;
    do
        digits[n++] = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    char *text = request_alloc(r, prefix.n + n);
    memcpy(text, prefix.p, prefix.n);
    for (size_t i = 0; i < n; i++)
        text[prefix.n + i] = digits[n - 1 - i];
    return str_n(text, prefix.n + n);
}

static void add_freshness(struct http_request *r, const struct answer *answer)
{
    int64_t now = lane_now(r->lane->lane);
    response_token(r, H2O_TOKEN_CACHE_CONTROL,
                   seconds_text(r, STR("max-age="), answer->fresh_until_ns - now));
    response_token(r, H2O_TOKEN_AGE, seconds_text(r, STR(""), now - answer->made_ns));
    response_token(r, H2O_TOKEN_ETAG, str_c(answer->etag));
}

/* Sends a kept answer; takes over the caller's reference. */
static void serve(struct http_request *r, struct answer *answer)
{
    r->answer = answer;
    add_freshness(r, answer);
    struct str match = request_token(r, H2O_TOKEN_IF_NONE_MATCH);
    bool same = match.p && etag_listed(match, str_c(answer->etag), false);
    struct str body = str_n(answer->body, answer->body_n);
    if (!same) {
        for (int i = 0; i < answer->header_count; i++) {
            const struct answer_header *h = &answer->headers[i];
            respond_header(r, str_n(h->name, h->name_n), str_n(h->value, h->value_n));
        }
        if (answer->type)
            response_token(r, H2O_TOKEN_CONTENT_TYPE, str_c(answer->type));
    }
    bool vary = false;
    bool gzip = compress_wanted(r, str_c(answer->type), answer->body_n, &vary);
    if (vary)
        response_token(r, H2O_TOKEN_VARY, STR("accept-encoding"));
    if (gzip && answer->gzip && !same) {
        response_token(r, H2O_TOKEN_CONTENT_ENCODING, STR("gzip"));
        body = str_n(answer->gzip, answer->gzip_n);
    }
    request_release(r);
    response_send(r, same ? 304 : 200, same ? str_n(NULL, 0) : body);
}

bool flight_join(struct http_request *r)
{
    struct str method = request_method(r);
    if (r->route->cache_ns <= 0 || !(r->head || str_eq_c(method, "GET")))
        return false;
    struct http_lane *lane = r->lane;
    struct str key = make_key(r);
    struct answer *answer = answer_find(lane->server->answers, key, lane_now(lane->lane));
    if (answer) {
        serve(r, answer);
        return true;
    }
    struct flight *flight = map_get(lane->flights, key);
    if (flight) {
        list_remove(&r->node);
        list_push_back(&flight->waiters, &r->node);
        return true;
    }
    flight = mem_zero(1, sizeof *flight);
    list_init(&flight->waiters);
    flight->key = mem_dup(key.p, key.n);
    flight->key_n = key.n;
    map_set(lane->flights, key, flight);
    r->flight = flight;
    r->own_headers = r->req->res.headers.size;
    return false;
}

/* Takes the flight off the lane. */
static struct flight *detach(struct http_request *r)
{
    struct flight *flight = r->flight;
    r->flight = NULL;
    map_remove(r->lane->flights, str_n(flight->key, flight->key_n));
    return flight;
}

static void destroy(struct flight *flight)
{
    mem_free(flight->key);
    mem_free(flight);
}

static bool may_keep(const struct http_request *r, int status)
{
    const h2o_headers_t *headers = &r->req->res.headers;
    return status == 200 && h2o_find_header(headers, H2O_TOKEN_SET_COOKIE, -1) < 0;
}

static struct answer *make_answer(struct http_request *r, struct str type, struct str body)
{
    struct answer *answer = mem_zero(1, sizeof *answer);
    const h2o_headers_t *headers = &r->req->res.headers;
    atomic_init(&answer->refs, 1);
    answer->owner = mem_strdup(r->route->owner);
    answer->type = type.n > 0 ? str_dup(type) : NULL;
    answer->body = mem_dup(body.p ? body.p : "", body.n);
    answer->body_n = body.n;
    answer->made_ns = lane_now(r->lane->lane);
    answer->fresh_until_ns = answer->made_ns + r->route->cache_ns;
    snprintf(answer->etag, sizeof answer->etag, "\"%016llx\"",
             (unsigned long long)hash_bytes(body.p, body.n));
    answer->headers = mem_zero(headers->size - r->own_headers + 1, sizeof *answer->headers);
    for (size_t i = r->own_headers; i < headers->size; i++) {
        struct answer_header *h = &answer->headers[answer->header_count++];
        const h2o_header_t *from = &headers->entries[i];
        *h = (struct answer_header){mem_dup(from->name->base, from->name->len),
                                    mem_dup(from->value.base, from->value.len), from->name->len,
                                    from->value.len};
    }
    struct buf packed = {0};
    if (compress_body(r->lane, body, &packed))
        answer->gzip = buf_take(&packed, &answer->gzip_n);
    buf_free(&packed);
    return answer;
}

void flight_land(struct http_request *r, int status, struct str type, struct str body)
{
    struct flight *flight = detach(r);
    struct answer *answer = NULL;
    if (may_keep(r, status)) {
        answer = make_answer(r, type, body);
        answer_store(r->lane->server->answers, str_n(flight->key, flight->key_n), answer);
        add_freshness(r, answer);
    }
    while (!list_empty(&flight->waiters)) {
        struct http_request *waiter = list_entry(flight->waiters.next, struct http_request, node);
        list_remove(&waiter->node);
        if (!waiter->http2)
            list_push_back(&r->lane->running, &waiter->node);
        if (answer) {
            atomic_fetch_add(&answer->refs, 1);
            serve(waiter, answer);
        } else {
            gate_dispatch(waiter);
        }
    }
    r->answer = answer;
    destroy(flight);
}

void flight_leave(struct http_request *r)
{
    if (!r->flight)
        return;
    struct flight *flight = detach(r);
    list_splice(&r->lane->pending, &flight->waiters);
    destroy(flight);
}

void flight_destroy_all(struct http_lane *lane)
{
    map_destroy(lane->flights);
}
