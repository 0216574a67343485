/* cache_shards.h -- how the cache lies in memory; of cache.c and cache_scan.c only. */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "base/map.h"
#include "storage/cache.h"

enum { CACHE_SHARDS = 16 }; /* as many as four bits tell apart */

struct cache_entry {
    struct list used; /* of its shard, most recently used first */
    struct str key;   /* both behind the entry in one block */
    struct cache_value value;
    size_t counted;     /* bytes */
    int64_t expires_ns; /* 0 = never */
};

struct cache_shard {
    pthread_mutex_t lock;
    struct map *map;
    struct list used;
    size_t bytes;
    int64_t hits, misses, evicted;
    struct metric *total_bytes;
};

struct cache {
    size_t shard_bytes;
    struct cache_shard shards[CACHE_SHARDS];
    pthread_mutex_t held_lock;
    struct map *held_by_name;
    struct list held;
    int64_t fence; /* of the last lock; under held_lock */
    struct metric *evicted;
};

struct cache_shard *cache_lock_shard(struct cache *c, struct str key); /* to be unlocked */
