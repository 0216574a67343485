#include "storage/cache.h"

#include <sodium.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/metrics.h"
#include "storage/cache_shards.h"

enum { SWEEP = 4 };

/* One mutex for all: locks are taken by jobs, not by every request. */
struct held {
    struct list link; /* of all, in the order in which the sweep comes by */
    char *name;
    const void *owner;
    int64_t expires_ns;
    char token[CACHE_TOKEN_BYTES];
};

struct cache *cache_create(size_t max_bytes)
{
    struct cache *c = mem_zero(1, sizeof *c);
    c->shard_bytes = max_bytes / CACHE_SHARDS;
    struct metric *bytes = metrics_gauge("maru_cache_bytes", "Memory of the cache's entries", "");
    for (int i = 0; i < CACHE_SHARDS; i++) {
        c->shards[i].total_bytes = bytes;
        pthread_mutex_init(&c->shards[i].lock, NULL);
        c->shards[i].map = map_create();
        list_init(&c->shards[i].used);
    }
    pthread_mutex_init(&c->held_lock, NULL);
    list_init(&c->held);
    c->held_by_name = map_create();
    c->evicted = metrics_counter("maru_cache_evicted_total", "Entries dropped to make room", "");
    return c;
}

static void drop(struct cache_shard *s, struct cache_entry *e)
{
    map_remove(s->map, e->key);
    list_remove(&e->used);
    s->bytes -= e->counted;
    metric_add(s->total_bytes, -(double)e->counted);
    mem_free(e);
}

static void held_free(struct cache *c, struct held *h)
{
    list_remove(&h->link);
    map_remove(c->held_by_name, str_c(h->name));
    mem_free(h->name);
    mem_free(h);
}

void cache_destroy(struct cache *c)
{
    if (!c)
        return;
    for (int i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *s = &c->shards[i];
        while (!list_empty(&s->used))
            drop(s, list_entry(s->used.next, struct cache_entry, used));
        map_destroy(s->map);
        pthread_mutex_destroy(&s->lock);
    }
    while (!list_empty(&c->held))
        held_free(c, list_entry(c->held.next, struct held, link));
    map_destroy(c->held_by_name);
    pthread_mutex_destroy(&c->held_lock);
    mem_free(c);
}

void cache_clear(struct cache *c)
{
    for (int i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *s = &c->shards[i];
        pthread_mutex_lock(&s->lock);
        while (!list_empty(&s->used))
            drop(s, list_entry(s->used.next, struct cache_entry, used));
        pthread_mutex_unlock(&s->lock);
    }
}

/* By the high bits of the hash: the low ones are the place in the shard's map. */
struct cache_shard *cache_lock_shard(struct cache *c, struct str key)
{
    struct cache_shard *s = &c->shards[hash_bytes(key.p, key.n) >> 60];
    pthread_mutex_lock(&s->lock);
    return s;
}

/* The living entry, made the most recently used, or NULL. */
static struct cache_entry *find(struct cache_shard *s, struct str key)
{
    struct cache_entry *e = map_get(s->map, key);
    if (e && e->expires_ns && clock_ns() >= e->expires_ns) {
        drop(s, e);
        e = NULL;
    }
    if (!e) {
        s->misses++;
        return NULL;
    }
    s->hits++;
    list_remove(&e->used);
    list_push_front(&s->used, &e->used);
    return e;
}

bool cache_get(struct cache *c, struct str key, struct cache_value *out, struct buf *copy)
{
    struct cache_shard *s = cache_lock_shard(c, key);
    struct cache_entry *e = find(s, key);
    if (e) {
        *out = e->value;
        buf_add_str(copy, e->value.bytes);
    }
    pthread_mutex_unlock(&s->lock);
    if (e)
        out->bytes.p = copy->p + copy->n - out->bytes.n;
    return e != NULL;
}

static int64_t expiry(int64_t ttl_ns)
{
    return ttl_ns > 0 ? clock_ns() + ttl_ns : 0;
}

static struct cache_entry *entry_make(struct str key, const struct cache_value *value,
                                      int64_t ttl_ns)
{
    struct cache_entry *e = mem_alloc(sizeof *e + key.n + value->bytes.n);
    char *bytes = (char *)(e + 1);
    memcpy(bytes, key.p, key.n);
    if (value->bytes.n)
        memcpy(bytes + key.n, value->bytes.p, value->bytes.n);
    *e = (struct cache_entry){.key = {bytes, key.n},
                              .value = *value,
                              .counted = CACHE_ENTRY_OVERHEAD + key.n + value->bytes.n,
                              .expires_ns = expiry(ttl_ns)};
    e->value.bytes.p = bytes + key.n;
    list_init(&e->used);
    return e;
}

/* Puts a new entry in, out with the old one and with the least recently used. */
static void put(struct cache *c, struct cache_shard *s, struct cache_entry *e)
{
    struct cache_entry *old = map_get(s->map, e->key);
    if (old)
        drop(s, old);
    map_set(s->map, e->key, e);
    list_push_front(&s->used, &e->used);
    s->bytes += e->counted;
    metric_add(s->total_bytes, (double)e->counted);
    while (s->bytes > c->shard_bytes && s->used.prev != &e->used) {
        drop(s, list_entry(s->used.prev, struct cache_entry, used));
        s->evicted++;
        metric_add(c->evicted, 1);
    }
}

bool cache_fits(const struct cache *c, struct str key, size_t bytes, struct err *err)
{
    if (key.n > CACHE_KEY_BYTES)
        return err_set(err, ERR_LIMIT, "a key of more than %d bytes", CACHE_KEY_BYTES);
    size_t most = c->shard_bytes < CACHE_VALUE_BYTES ? c->shard_bytes : CACHE_VALUE_BYTES;
    if (bytes + key.n + CACHE_ENTRY_OVERHEAD > most)
        return err_set(err, ERR_LIMIT, "a value of %zu bytes; the most is %zu", bytes,
                       most - CACHE_KEY_BYTES - CACHE_ENTRY_OVERHEAD);
    return true;
}

bool cache_set(struct cache *c, struct str key, const struct cache_value *value, int64_t ttl_ns,
               struct err *err)
{
    if (!cache_fits(c, key, value->bytes.n, err))
        return false;
    struct cache_entry *e = entry_make(key, value, ttl_ns);
    struct cache_shard *s = cache_lock_shard(c, key);
    put(c, s, e);
    pthread_mutex_unlock(&s->lock);
    return true;
}

bool cache_add(struct cache *c, struct str key, const struct cache_value *value, int64_t ttl_ns,
               bool *stored, struct err *err)
{
    if (!cache_fits(c, key, value->bytes.n, err))
        return false;
    struct cache_shard *s = cache_lock_shard(c, key);
    *stored = find(s, key) == NULL;
    if (*stored)
        put(c, s, entry_make(key, value, ttl_ns));
    pthread_mutex_unlock(&s->lock);
    return true;
}

bool cache_delete(struct cache *c, struct str key)
{
    struct cache_shard *s = cache_lock_shard(c, key);
    struct cache_entry *e = find(s, key);
    if (e)
        drop(s, e);
    pthread_mutex_unlock(&s->lock);
    return e != NULL;
}

bool cache_incr(struct cache *c, struct str key, double by, int64_t ttl_ns, double *out,
                struct err *err)
{
    if (!cache_fits(c, key, 0, err))
        return false;
    struct cache_shard *s = cache_lock_shard(c, key);
    struct cache_entry *e = find(s, key);
    bool number = !e || e->value.tag == 'n';
    if (e && number)
        *out = e->value.number += by;
    if (!e) {
        *out = by;
        put(c, s, entry_make(key, &(struct cache_value){.tag = 'n', .number = by}, ttl_ns));
    }
    pthread_mutex_unlock(&s->lock);
    return number || err_set(err, ERR_INVALID, "the value is not a number");
}

int cache_keys(struct cache *c, struct str prefix, int limit, void (*fn)(void *arg, struct str key),
               void *arg)
{
    int count = 0;
    int64_t now = clock_ns();
    for (int i = 0; i < CACHE_SHARDS && count < limit; i++) {
        struct cache_shard *s = &c->shards[i];
        pthread_mutex_lock(&s->lock);
        list_each (node, &s->used) {
            struct cache_entry *e = list_entry(node, struct cache_entry, used);
            bool living = !e->expires_ns || now < e->expires_ns;
            if (count < limit && living && str_starts(e->key, prefix)) {
                fn(arg, e->key);
                count++;
            }
        }
        pthread_mutex_unlock(&s->lock);
    }
    return count;
}

static bool is_over(const struct held *h)
{
    return h->expires_ns && clock_ns() >= h->expires_ns;
}

/* The living lock of that name.  Looks at a few others on the way, so that
 * expired ones do not pile up. */
static struct held *find_held(struct cache *c, struct str name)
{
    for (int i = 0; i < SWEEP && !list_empty(&c->held); i++) {
        struct held *h = list_entry(c->held.next, struct held, link);
        list_remove(&h->link);
        list_push_back(&c->held, &h->link);
        if (is_over(h))
            held_free(c, h);
    }
    struct held *found = map_get(c->held_by_name, name);
    if (found && is_over(found)) {
        held_free(c, found);
        found = NULL;
    }
    return found;
}

void cache_token(char token[CACHE_TOKEN_BYTES])
{
    unsigned char random[16];
    rand_bytes(random, sizeof random);
    sodium_bin2hex(token, CACHE_TOKEN_BYTES, random, sizeof random);
}

static int64_t next_fence(struct cache *c)
{
    int64_t now = clock_wall_ns() / 1000;
    c->fence = c->fence < now ? now : c->fence + 1;
    return c->fence;
}

bool cache_lock(struct cache *c, struct str name, int64_t ttl_ns, const void *owner,
                char token[CACHE_TOKEN_BYTES], int64_t *fence)
{
    cache_token(token);
    pthread_mutex_lock(&c->held_lock);
    bool is_free = !find_held(c, name);
    if (is_free) {
        struct held *h = mem_zero(1, sizeof *h);
        h->name = str_dup(name);
        h->owner = owner;
        h->expires_ns = expiry(ttl_ns);
        memcpy(h->token, token, CACHE_TOKEN_BYTES);
        list_push_back(&c->held, &h->link);
        map_set(c->held_by_name, name, h);
        *fence = next_fence(c);
    }
    pthread_mutex_unlock(&c->held_lock);
    return is_free;
}

bool cache_unlock(struct cache *c, struct str name, struct str token)
{
    pthread_mutex_lock(&c->held_lock);
    struct held *h = find_held(c, name);
    bool ours = h && str_eq_c(token, h->token);
    if (ours)
        held_free(c, h);
    pthread_mutex_unlock(&c->held_lock);
    return ours;
}

int cache_release(struct cache *c, const void *owner)
{
    int released = 0;
    pthread_mutex_lock(&c->held_lock);
    list_each_safe (node, &c->held) {
        struct held *h = list_entry(node, struct held, link);
        if (h->owner != owner)
            continue;
        held_free(c, h);
        released++;
    }
    pthread_mutex_unlock(&c->held_lock);
    return released;
}

struct cache_stats cache_stats(struct cache *c)
{
    struct cache_stats stats = {.max_bytes = (int64_t)(c->shard_bytes * CACHE_SHARDS)};
    for (int i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *s = &c->shards[i];
        pthread_mutex_lock(&s->lock);
        stats.entries += (int64_t)map_count(s->map);
        stats.bytes += (int64_t)s->bytes;
        stats.hits += s->hits;
        stats.misses += s->misses;
        stats.evicted += s->evicted;
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_lock(&c->held_lock);
    stats.locks = (int64_t)map_count(c->held_by_name);
    pthread_mutex_unlock(&c->held_lock);
    return stats;
}
