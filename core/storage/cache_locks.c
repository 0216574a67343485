/* cache_locks.c -- the locks in Redis that this process holds.
 *
 * A lock without a time of its own has a lease, renewed on the control lane while its owner lives.
 * One that is to be given back, because its owner died or nobody knows whether it was granted, is
 * asked for until Redis has answered or its time is over. */
#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "storage/cache_private.h"

struct held {
    struct list link;
    char *key;         /* in Redis */
    const void *owner; /* NULL: gone */
    bool renewed;      /* a lease, not a time of its own */
    bool drop;
    int64_t until; /* after that it is nobody's any more */
    char token[CACHE_TOKEN_BYTES];
};

/* A question about one of them. */
struct lock_ask {
    struct cache_driver *driver;
    int64_t until; /* if it is renewed */
    bool unlock;
    char token[CACHE_TOKEN_BYTES];
};

static void on_renew(struct timer *timer)
{
    cache_locks_sweep(list_entry(timer, struct cache_driver, renew));
}

void cache_locks_init(struct cache_driver *d)
{
    d->renew.fire = on_renew;
    d->renew.upkeep = true;
}

/* Under the lock, all of them. */
static void held_free(struct held *h)
{
    list_remove(&h->link);
    mem_free(h->key);
    mem_free(h);
}

static struct held *find(struct cache_driver *d, struct str token)
{
    list_each (node, &d->held) {
        struct held *h = list_entry(node, struct held, link);
        if (str_eq_c(token, h->token))
            return h;
    }
    return NULL;
}

void cache_locks_add(struct cache_driver *d, const struct cache_ask *ask, struct str key, bool drop)
{
    struct held *h = mem_zero(1, sizeof *h);
    h->key = str_dup(key);
    h->owner = ask->owner;
    h->renewed = ask->ttl_ns == 0;
    h->drop = drop;
    h->until = clock_ns() + (ask->ttl_ns ? ask->ttl_ns : CACHE_LEASE_MS * NS_PER_MS);
    memcpy(h->token, ask->made_token, sizeof h->token);
    pthread_mutex_lock(&d->lock);
    bool first = list_empty(&d->held);
    list_push_back(&d->held, &h->link);
    if ((first || drop) && d->control)
        lane_call(d->control, cache_locks_sweep, d);
    pthread_mutex_unlock(&d->lock);
}

void cache_locks_remove(struct cache_driver *d, struct str token, bool drop)
{
    pthread_mutex_lock(&d->lock);
    struct held *h = find(d, token);
    if (h && drop)
        h->drop = true;
    else if (h)
        held_free(h);
    pthread_mutex_unlock(&d->lock);
}

void cache_locks_disown(struct cache_driver *d, const void *owner)
{
    pthread_mutex_lock(&d->lock);
    list_each (node, &d->held) {
        struct held *h = list_entry(node, struct held, link);
        if (!owner || h->owner == owner)
            h->drop = true;
    }
    pthread_mutex_unlock(&d->lock);
}

static void on_answer(void *arg, const redisReply *reply, const struct err *err)
{
    struct lock_ask *ask = arg;
    struct cache_driver *d = ask->driver;
    pthread_mutex_lock(&d->lock);
    struct held *h = err ? NULL : find(d, str_c(ask->token));
    bool ours = redis_reply_int(reply) > 0;
    if (h && ours && !ask->unlock) {
        h->until = ask->until;
    } else if (h) {
        if (!ask->unlock)
            log_warn("cache", "the lock %s was lost before it was given back", h->key);
        held_free(h);
    }
    pthread_mutex_unlock(&d->lock);
    mem_free(ask);
}

static void send_one(struct cache_driver *d, struct redis_client *client, const struct held *h)
{
    struct lock_ask *ask = mem_zero(1, sizeof *ask);
    char lease[16];
    struct err err;
    snprintf(lease, sizeof lease, "%d", CACHE_LEASE_MS);
    struct str words[] = {str_c(h->key), str_c(h->token), str_c(lease)};
    ask->driver = d;
    ask->unlock = h->drop;
    ask->until = clock_ns() + CACHE_LEASE_MS * NS_PER_MS;
    memcpy(ask->token, h->token, sizeof ask->token);
    if (!redis_run(client, h->drop ? &cache_unlock_program : &cache_renew_program, 1, words,
                   h->drop ? 2 : 3, on_answer, ask, &err))
        mem_free(ask);
}

void cache_locks_sweep(void *driver)
{
    struct cache_driver *d = driver;
    pthread_mutex_lock(&d->lock);
    struct redis_client *client = d->control ? d->links[d->control->index].client : NULL;
    int64_t now = clock_ns();
    list_each_safe (node, &d->held) {
        struct held *h = list_entry(node, struct held, link);
        if (now >= h->until) {
            if (h->renewed && !h->drop)
                log_warn("cache", "the lock %s is over: redis was away for too long", h->key);
            held_free(h);
        } else if (client && (h->drop || h->renewed)) {
            send_one(d, client, h);
        }
    }
    if (client && !list_empty(&d->held))
        timer_start(d->control, &d->renew, CACHE_LEASE_MS / 3 * NS_PER_MS);
    pthread_mutex_unlock(&d->lock);
}

void cache_locks_drop_all(struct cache_driver *d)
{
    cache_locks_disown(d, NULL);
    cache_locks_sweep(d);
    timer_stop(d->control, &d->renew);
}

void cache_locks_free(struct cache_driver *d)
{
    while (!list_empty(&d->held))
        held_free(list_entry(d->held.next, struct held, link));
}
