#include "storage/cache_driver.h"

#include "base/clock.h"
#include "base/mem.h"
#include "storage/cache_private.h"

enum { CONNECT_MS = 2000 };

static void add_key(void *arg, struct str key)
{
    struct buf *out = arg;
    buf_add(out, &key.n, sizeof key.n);
    buf_add_str(out, key);
}

static struct metric *looked[2]; /* by whether it was there */

static void open_looked(void)
{
    static const char name[] = "maru_cache_gets_total",
                      help[] = "Looks into the cache, by what came.";
    looked[false] = metrics_counter(name, help, "found=\"no\"");
    looked[true] = metrics_counter(name, help, "found=\"yes\"");
}

static struct metric *looked_of(bool found)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_looked);
    return looked[found];
}

void cache_looked(bool found)
{
    metric_add(looked_of(found), 1);
}

double cache_gets(bool found)
{
    return metric_value(looked_of(found));
}

void cache_local(struct cache *c, struct cache_ask *ask)
{
    switch (ask->op) {
    case CACHE_GET:
        ask->yes = cache_get(c, ask->key, &ask->value, ask->copy);
        cache_looked(ask->yes);
        break;
    case CACHE_SET:
        ask->yes = cache_set(c, ask->key, &ask->value, ask->ttl_ns, &ask->err);
        break;
    case CACHE_ADD:
        cache_add(c, ask->key, &ask->value, ask->ttl_ns, &ask->yes, &ask->err);
        break;
    case CACHE_DELETE:
        ask->yes = cache_delete(c, ask->key);
        break;
    case CACHE_INCR:
        ask->yes = cache_incr(c, ask->key, ask->by, ask->ttl_ns, &ask->value.number, &ask->err);
        break;
    case CACHE_KEYS:
        ask->count = cache_keys(c, ask->key, ask->limit, add_key, ask->copy);
        break;
    case CACHE_LOCK:
        ask->yes = cache_lock(c, ask->key, ask->ttl_ns, ask->owner, ask->made_token, &ask->number);
        break;
    case CACHE_UNLOCK:
        ask->yes = cache_unlock(c, ask->key, ask->token);
        break;
    case CACHE_TAKE:
        err_set(&ask->err, ERR_UNAVAILABLE, "rate limits are this process's own");
        break;
    }
}

/* The same bounds with every driver. */
static bool fits(struct cache_driver *d, struct cache_ask *ask)
{
    bool has_value = ask->op == CACHE_SET || ask->op == CACHE_ADD;
    return cache_fits(d->local, ask->key, has_value ? ask->value.bytes.n : 0, &ask->err);
}

struct cache_wait *cache_ask(struct cache_driver *d, struct lane *lane, struct cache_ask *ask,
                             cache_done_fn *done, void *arg)
{
    ask->err.code = ERR_NONE;
    if (!d->redis) {
        cache_local(d->local, ask);
        return NULL;
    }
    struct redis_client *client = d->links[lane->index].client;
    struct cache_wait *wait = NULL;
    if (!fits(d, ask) || (atomic_load(&d->away) && cache_ask_alone(d, ask)))
        return NULL;
    if (!client)
        err_set(&ask->err, ERR_CLOSED, "the cache is closed");
    else
        wait = cache_redis_ask(d, client, ask, &ask->err);
    if (wait) {
        wait->done = done;
        wait->arg = arg;
    } else if (client && ask->err.code != ERR_BUSY) {
        struct err err = ask->err;
        cache_go_away(d, &err);
        ask->err.code = ERR_NONE;
        if (!cache_ask_alone(d, ask)) /* another lane has just found it again */
            ask->err = err;
    }
    return wait;
}

void cache_forget(struct cache_wait *wait)
{
    wait->done = NULL;
}

bool cache_driver_is_shared(const struct cache_driver *d)
{
    return d->redis && !atomic_load_explicit(&d->away, memory_order_relaxed);
}

void cache_driver_release(struct cache_driver *d, const void *owner)
{
    if (!d->redis) {
        cache_release(d->local, owner);
        return;
    }
    cache_locks_disown(d, owner);
    cache_locks_sweep(d);
}

/* -- birth and death -- */

static bool open_redis(struct cache_driver *d, const struct cache_options *o, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, cache_redis_init);
    if (!redis_url_parse(str_c(o->url), &d->url, err))
        return err_wrap(err, "cache.url");
    d->redis = true;
    d->prefix = mem_strdup(o->prefix);
    d->probe = mem_printf("%sprobe", o->prefix);
    d->fence = mem_printf("%sfence", o->prefix);
    d->timeout_ns = o->timeout_ns;
    d->links = mem_zero((size_t)o->lanes, sizeof *d->links);
    d->health = driver_health_register("cache", "redis", false);
    driver_health_address(d->health, o->url);
    d->alone = metrics_counter("maru_cache_alone_total",
                               "Questions to the cache that this process answered by itself, "
                               "because Redis was away",
                               "");
    return true;
}

struct cache_driver *cache_driver_create(const struct cache_options *options, struct err *err)
{
    struct cache_driver *d = mem_zero(1, sizeof *d);
    bool redis = strcmp(options->driver, "redis") == 0;
    bool ok =
        redis || strcmp(options->driver, "memory") == 0 ||
        err_set(err, ERR_INVALID, "cache.driver: must be memory or redis, not %s", options->driver);
    pthread_mutex_init(&d->lock, NULL);
    d->dirty = map_create();
    list_init(&d->held);
    cache_away_init(d);
    cache_locks_init(d);
    d->local = cache_create(options->memory);
    if (ok && redis && !*options->url)
        ok = err_set(err, ERR_INVALID, "cache.url: cache.driver = \"redis\" needs redis://…");
    if (ok && (!redis || open_redis(d, options, err)))
        return d;
    cache_driver_destroy(d);
    return NULL;
}

void cache_driver_destroy(struct cache_driver *d)
{
    if (!d)
        return;
    cache_locks_free(d);
    driver_health_unregister(d->health);
    cache_destroy(d->local);
    map_destroy(d->dirty);
    pthread_mutex_destroy(&d->lock);
    redis_url_fini(&d->url);
    mem_free(d->links);
    mem_free(d->prefix);
    mem_free(d->probe);
    mem_free(d->fence);
    mem_free(d);
}

bool cache_driver_enter(struct cache_driver *d, struct lane *lane, bool control, struct err *err)
{
    if (!d->redis)
        return true;
    struct cache_link *link = &d->links[lane->index];
    struct redis_client_options options = {
        .url = &d->url,
        .name = "maru-cache",
        .probe = d->probe,
        .connect_ns = CONNECT_MS * NS_PER_MS,
        .answer_ns = d->timeout_ns,
        .changed = cache_link_changed,
        .arg = link,
    };
    link->driver = d;
    pthread_mutex_lock(&d->lock);
    d->entered++;
    if (control)
        d->control = lane;
    pthread_mutex_unlock(&d->lock);
    link->client = redis_client_create(lane, &options, err);
    return link->client || err_wrap(err, "cache.url");
}

void cache_driver_leave(struct cache_driver *d, struct lane *lane)
{
    if (!d->redis)
        return;
    struct cache_link *link = &d->links[lane->index];
    if (lane == d->control) {
        timer_stop(lane, &d->again);
        timer_stop(lane, &d->renew);
        cache_locks_drop_all(d);
    }
    pthread_mutex_lock(&d->lock);
    d->entered--;
    d->up -= link->up;
    link->up = false;
    if (lane == d->control)
        d->control = NULL;
    pthread_mutex_unlock(&d->lock);
    struct redis_client *client = link->client;
    link->client = NULL;
    redis_client_destroy(client);
}
