/* cache_driver.h -- cache, locks, counters and rate limits: of this process, or of all that share a
 * Redis.
 *
 * What memory answers is answered at once; what Redis answers comes later on the same lane.  While
 * Redis is away this process answers by itself from an empty cache of its own, locks are refused,
 * and what was written meanwhile is deleted in Redis before it is asked again: an old value never
 * comes back for a newer one, and none of this process's own stays in front of what others wrote.
 *
 * Threads: cache_ask() on the lane's, the rest as said.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "storage/cache.h"

struct cache_driver;
struct cache_wait;
struct lane;

enum { CACHE_LEASE_MS = 30000 }; /* of a lock without ttl in Redis; renewed while its owner lives */

struct cache_options {
    const char *driver; /* "memory" or "redis" */
    const char *url, *prefix;
    size_t memory;
    int64_t timeout_ns; /* of one answer */
    int lanes;          /* that will enter: their indices are below */
};

enum cache_op {
    CACHE_GET,
    CACHE_SET,
    CACHE_ADD,
    CACHE_DELETE,
    CACHE_INCR,
    CACHE_KEYS,
    CACHE_LOCK,
    CACHE_UNLOCK,
    CACHE_TAKE, /* a token of a bucket; only where redis answers */
};

/* A question and its answer. */
struct cache_ask {
    enum cache_op op;
    struct str key;           /* KEYS: what they begin with */
    struct cache_value value; /* SET, ADD; of GET the answer */
    double by;                /* INCR; the answer is in value.number */
    int64_t ttl_ns;           /* SET, ADD, INCR, LOCK; 0 = none */
    int limit;                /* KEYS */
    const void *owner;        /* LOCK: see cache_driver_release() */
    struct str token;         /* UNLOCK */
    int64_t each_ns, room_ns; /* TAKE: of one token, of a full bucket */
    /* the answer */
    bool yes;         /* it was there, was stored, was taken, was ours */
    struct buf *copy; /* given by the caller: where bytes of GET and the keys of KEYS go, each
                         behind its length as a size_t */
    int count;        /* of KEYS */
    int64_t number;   /* LOCK: the fence; TAKE: ns until there is one */
    char made_token[CACHE_TOKEN_BYTES]; /* LOCK */
    struct err
        err; /* code: it failed; then nothing else counts.  Last: what is not set is not copied */
};

/* NULL with *err (ERR_INVALID) for options that cannot be. */
struct cache_driver *cache_driver_create(const struct cache_options *options, struct err *err);
void cache_driver_destroy(struct cache_driver *d); /* after every lane has left */
/* Its connection, if it needs one.  On the lane's thread; the control lane enters last and leaves
 * first: it looks after locks and recoveries. */
bool cache_driver_enter(struct cache_driver *d, struct lane *lane, bool control, struct err *err);
void cache_driver_leave(struct cache_driver *d, struct lane *lane);

typedef void cache_done_fn(void *arg, struct cache_ask *ask);
/* NULL: *ask has its answer.  Otherwise done(arg, answer) is called later, with a copy whose bytes
 * are borrowed, unless cache_forget() comes first. */
struct cache_wait *cache_ask(struct cache_driver *d, struct lane *lane, struct cache_ask *ask,
                             cache_done_fn *done, void *arg);
/* Nobody waits any more; a lock that is granted after all is given back. */
void cache_forget(struct cache_wait *wait);

/* Gives back every lock of a generation that dies.  Control lane. */
void cache_driver_release(struct cache_driver *d, const void *owner);
bool cache_driver_is_shared(const struct cache_driver *d); /* redis, and it answers; any thread */
