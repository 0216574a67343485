/* cache_scan.c -- looks into the cache that leave it as it is. */
#include "base/clock.h"
#include "base/glob.h"
#include "storage/cache_shards.h"

enum { STEPS = 256 }; /* homes of a map that are walked before others get the shard */

struct scan {
    struct str pattern;
    void (*fn)(void *arg, const struct cache_seen *seen);
    void *arg;
    int64_t now;
    int found, looked;
};

static bool is_over(const struct cache_entry *e, int64_t now)
{
    return e->expires_ns && now >= e->expires_ns;
}

static struct cache_seen seen_of(const struct cache_entry *e)
{
    return (struct cache_seen){
        .key = e->key, .value = e->value, .counted = e->counted, .expires_ns = e->expires_ns};
}

static void look(void *arg, struct str key, void *value)
{
    struct scan *s = arg;
    const struct cache_entry *e = value;
    s->looked++;
    if (is_over(e, s->now) || !glob_match(s->pattern, key))
        return;
    struct cache_seen seen = seen_of(e);
    s->fn(s->arg, &seen);
    s->found++;
}

/* The cursor is the shard in its lowest four bits and the place in that shard's map above. */
void cache_scan(struct cache *c, uint64_t *cursor, struct str pattern, int limit,
                void (*fn)(void *arg, const struct cache_seen *seen), void *arg)
{
    struct scan s = {.pattern = pattern, .fn = fn, .arg = arg, .now = clock_ns()};
    uint64_t shard = *cursor % CACHE_SHARDS, at = *cursor / CACHE_SHARDS;
    while (shard < CACHE_SHARDS && s.found < limit && s.looked < CACHE_SCAN_MOST) {
        struct cache_shard *in = &c->shards[shard];
        pthread_mutex_lock(&in->lock);
        int step = 0;
        do {
            map_scan(in->map, &at, look, &s);
            s.looked++;
        } while (at && ++step < STEPS && s.found < limit);
        pthread_mutex_unlock(&in->lock);
        shard += at == 0;
    }
    *cursor = shard < CACHE_SHARDS ? at * CACHE_SHARDS + shard : 0;
}

bool cache_peek(struct cache *c, struct str key, size_t most, struct cache_seen *out, size_t *size,
                struct buf *copy)
{
    struct cache_shard *s = cache_lock_shard(c, key);
    const struct cache_entry *e = map_get(s->map, key);
    bool found = e && !is_over(e, clock_ns());
    size_t n = 0;
    if (found) {
        *out = seen_of(e);
        *size = e->value.bytes.n;
        n = *size < most ? *size : most;
        buf_add(copy, e->value.bytes.p, n);
    }
    pthread_mutex_unlock(&s->lock);
    if (found) {
        out->key = key;
        out->value.bytes = str_n(n ? copy->p + copy->n - n : "", n);
    }
    return found;
}
