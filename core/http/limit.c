/* limit.c -- the rate limit of a route.
 *
 * This process's own bucket is asked first: what it refuses is refused.  Where several servers
 * share their limits (storage/cache_driver.h) Redis is asked behind it, and its bucket counts; a
 * refusal is noted in the own one, so that a flood costs no round trip for each request.  A route
 * whose answers are kept does not wait for Redis: it counts there and goes on.  While Redis is away
 * each server's own limit holds. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/internal.h"
#include "http/rate.h"
#include "storage/cache_driver.h"

static bool refuse(struct http_request *r, int64_t wait_ns)
{
    char seconds[24];
    int n = snprintf(seconds, sizeof seconds, "%lld",
                     (long long)((wait_ns + NS_PER_SECOND - 1) / NS_PER_SECOND));
    response_token(r, H2O_TOKEN_RETRY_AFTER, request_copy(r, str_n(seconds, (size_t)n)));
    respond_problem(r, 429, "rate_limited", STR("too many requests of this client for this route"),
                    str_n(NULL, 0));
    return true;
}

static uint64_t key_of(const struct http_request *r)
{
    struct str client = request_client(r);
    return hash_bytes(client.p, client.n) ^ r->route->id;
}

/* What the own table has to know of a bucket when the request is gone. */
struct noted {
    struct http_server *server;
    struct lane *lane;
    uint64_t key;
    double rate;
    int burst;
};

static struct noted note_of(struct http_request *r)
{
    return (struct noted){r->lane->server, r->lane->lane, key_of(r), r->route->rate,
                          r->route->rate_burst};
}

static void tell(const struct noted *n, int64_t wait_ns)
{
    rate_tell(n->server->rates, n->key, n->rate, n->burst, lane_now(n->lane), wait_ns);
}

static void on_gone(void *wait)
{
    cache_forget(wait);
}

static void on_answer(void *arg, struct cache_ask *ask)
{
    struct http_request *r = arg;
    request_on_cancel(r, NULL, NULL);
    if (ask->err.code || ask->yes) {
        gate_pass(r);
        return;
    }
    struct noted n = note_of(r);
    tell(&n, ask->number);
    refuse(r, ask->number);
}

static void on_counted(void *arg, struct cache_ask *ask)
{
    struct noted *n = arg;
    if (!ask->err.code && !ask->yes)
        tell(n, ask->number);
    mem_free(n);
}

/* True: the request waits. */
static bool ask_shared(struct http_request *r)
{
    const struct http_route *route = r->route;
    struct cache_driver *shared = r->lane->server->options.shared;
    struct str client = request_client(r);
    char name[CACHE_KEY_BYTES];
    int n = snprintf(name, sizeof name, "%s:%s %s:%.*s", route->owner, route->method,
                     route->pattern, (int)client.n, client.p);
    if (n < 0 || (size_t)n >= sizeof name)
        return false;
    int64_t each = (int64_t)((double)NS_PER_SECOND / route->rate);
    struct cache_ask ask = {.op = CACHE_TAKE,
                            .key = str_n(name, (size_t)n),
                            .each_ns = each,
                            .room_ns = each * (route->rate_burst > 1 ? route->rate_burst : 1)};
    struct lane *lane = r->lane->lane;
    if (route->cache_ns > 0) {
        struct noted noted = note_of(r), *kept = mem_dup(&noted, sizeof noted);
        if (!cache_ask(shared, lane, &ask, on_counted, kept))
            mem_free(kept);
        return false;
    }
    struct cache_wait *wait = cache_ask(shared, lane, &ask, on_answer, r);
    if (wait)
        request_on_cancel(r, on_gone, wait);
    return wait != NULL;
}

bool rate_check(struct http_request *r)
{
    const struct http_route *route = r->route;
    struct cache_driver *shared = r->lane->server->options.shared;
    int64_t wait_ns;
    if (route->rate <= 0)
        return false;
    if (!rate_take(r->lane->server->rates, key_of(r), route->rate, route->rate_burst,
                   lane_now(r->lane->lane), &wait_ns))
        return refuse(r, wait_ns);
    return shared && cache_driver_is_shared(shared) && ask_shared(r);
}
