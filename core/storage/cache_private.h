/* cache_private.h -- what the parts of the cache's driver share: cache_driver.c is asked,
 * cache_redis.c speaks with Redis, cache_away.c lives without it, cache_locks.c keeps locks,
 * cache_look.c shows an operator what there is. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "loop/lane.h"
#include "observe/drivers.h"
#include "observe/metrics.h"
#include "storage/cache_driver.h"
#include "storage/redis_client.h"

/* One lane's connection. */
struct cache_link {
    struct cache_driver *driver;
    struct redis_client *client; /* its lane's thread; NULL before it entered */
    bool up;                     /* under the driver's lock */
};

struct cache_driver {
    /* immutable */
    struct cache *local; /* all there is, or what answers while Redis is away */
    bool redis;
    struct redis_url url;
    char *prefix, *probe, *fence;
    int64_t timeout_ns;
    struct driver_health *health;
    struct metric *alone;     /* questions that this process answered while Redis was away */
    struct cache_link *links; /* by lane */
    struct lane *control;     /* set before other lanes can ask for it */
    /* any thread */
    atomic_bool away;
    pthread_mutex_t lock;
    /* under lock */
    int entered, up;   /* connections, and those of them that can be used */
    struct map *dirty; /* entries that were written here while Redis was away */
    bool dirty_all;    /* too many to be counted */
    struct list held;  /* locks in Redis, see cache_locks.c */
    /* control lane */
    bool recovering;
    struct timer again, renew;
};

struct cache_wait {
    struct cache_driver *driver;
    struct redis_client *client;
    struct redis_call *call;
    struct cache_ask ask;
    cache_done_fn *done; /* NULL: forgotten */
    void *arg;
    struct buf copy;
    struct map *seen;        /* KEYS: SCAN may say one twice */
    struct str key, encoded; /* in Redis; the value with its tag in front */
    char bytes[];
};

/* cache_driver.c */
void cache_local(struct cache *c, struct cache_ask *ask); /* answers from memory */
void cache_looked(bool found);                            /* counts a GET; any thread */
double cache_gets(bool found);                            /* how many it counted */

/* cache_redis.c */
void cache_redis_init(void);
/* Asks Redis.  NULL: refused at once, *err says why. */
struct cache_wait *cache_redis_ask(struct cache_driver *d, struct redis_client *client,
                                   const struct cache_ask *ask, struct err *err);
extern struct redis_program cache_unlock_program, cache_renew_program;
/* Escapes what SCAN's patterns give a meaning. */
void cache_pattern(struct buf *out, struct str prefix);

/* cache_away.c.  What a connection says, on its lane. */
void cache_link_changed(void *link, const struct err *err);
/* Redis did not answer a question. */
void cache_go_away(struct cache_driver *d, const struct err *err);
/* False: Redis is back, ask it. */
bool cache_ask_alone(struct cache_driver *d, struct cache_ask *ask);
void cache_away_init(struct cache_driver *d);

/* cache_locks.c */
void cache_locks_init(struct cache_driver *d);
/* A lock that was granted, or may have been; `drop`: to be given back.  Any thread. */
void cache_locks_add(struct cache_driver *d, const struct cache_ask *ask, struct str key,
                     bool drop);
/* It was given back; or, with `drop`, is to be. */
void cache_locks_remove(struct cache_driver *d, struct str token, bool drop);
void cache_locks_disown(struct cache_driver *d, const void *owner); /* NULL: all */
void cache_locks_sweep(void *driver);              /* control lane: renews, and gives back */
void cache_locks_drop_all(struct cache_driver *d); /* at the end; control lane */
void cache_locks_free(struct cache_driver *d);
