/* cache.h -- the cache and the locks that all lanes of a process share, in its memory.
 * cache_driver.h is what the rest of the program asks.
 *
 * A sharded hash with a bound on its bytes: over it the least recently used
 * entries go (counted).  Values are bytes with a tag of the caller's; numbers
 * are a kind of their own so that they can be counted up.  Expired entries are
 * absent at once and freed when met.
 *
 * Threads: any.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct cache;

enum {
    CACHE_KEY_BYTES = 512,
    CACHE_VALUE_BYTES = 8 << 20, /* and at most a sixteenth of the cache */
    CACHE_ENTRY_OVERHEAD = 96,   /* what an entry counts beside its key and value */
    CACHE_TOKEN_BYTES = 33,      /* 32 hex digits and a NUL */
    CACHE_SCAN_MOST = 20000,     /* entries that one page looks at */
};

struct cache_value {
    char tag; /* 'n': number; others carry bytes */
    double number;
    struct str bytes;
};

struct cache *cache_create(size_t max_bytes);
void cache_destroy(struct cache *c);

/* False when absent.  The bytes are appended to *copy; out->bytes lies there. */
bool cache_get(struct cache *c, struct str key, struct cache_value *out, struct buf *copy);
/* ttl_ns 0 = until evicted.  False with *err (ERR_LIMIT) when key or value is too large. */
bool cache_set(struct cache *c, struct str key, const struct cache_value *value, int64_t ttl_ns,
               struct err *err);
/* Only when absent: *stored tells. */
bool cache_add(struct cache *c, struct str key, const struct cache_value *value, int64_t ttl_ns,
               bool *stored, struct err *err);
bool cache_delete(struct cache *c, struct str key); /* whether it was there */
/* Absent counts as 0; ttl_ns is set by the first call only.  False with *err
 * (ERR_INVALID) when the value is not a number. */
bool cache_incr(struct cache *c, struct str key, double by, int64_t ttl_ns, double *out,
                struct err *err);
/* Calls fn for up to `limit` keys that begin with prefix, in no order, under a
 * lock of the cache: fn must not call it.  Returns how many. */
int cache_keys(struct cache *c, struct str prefix, int limit, void (*fn)(void *arg, struct str key),
               void *arg);

/* Looks that change nothing: they count as neither hit nor miss and keep no entry alive. */
struct cache_seen {
    struct str key;
    struct cache_value value;
    size_t counted;     /* bytes, with CACHE_ENTRY_OVERHEAD */
    int64_t expires_ns; /* clock_ns; 0 = never */
};
/* Calls fn for the entries of one page, those whose key matches the pattern (base/glob.h), under a
 * lock of the cache: fn must not call it.  About `limit` of them, and after CACHE_SCAN_MOST entries
 * looked at however few, it stops: *cursor, at first 0, is where the next page begins, 0 at the
 * end. Entries that are there from the first page to the last are all met; one may be met twice. */
void cache_scan(struct cache *c, uint64_t *cursor, struct str pattern, int limit,
                void (*fn)(void *arg, const struct cache_seen *seen), void *arg);
/* One entry; false when absent.  At most `most` bytes of its value are appended to *copy, and
 * out->value.bytes lies there; *size is how long it is. */
bool cache_peek(struct cache *c, struct str key, size_t most, struct cache_seen *out, size_t *size,
                struct buf *copy);

/* Drops every entry; locks stay. */
void cache_clear(struct cache *c);
/* Whether a key with so many bytes of value may be kept; false with *err (ERR_LIMIT). */
bool cache_fits(const struct cache *c, struct str key, size_t bytes, struct err *err);

/* A lock is held until unlocked, ttl_ns (0 = none) is over, or its owner is
 * released.  False when somebody else holds it.  *fence is larger than that of any lock
 * taken before, also by the process before this one: a count that begins at the wall
 * clock's microseconds. */
bool cache_lock(struct cache *c, struct str name, int64_t ttl_ns, const void *owner,
                char token[CACHE_TOKEN_BYTES], int64_t *fence);
void cache_token(char token[CACHE_TOKEN_BYTES]);                       /* a new one; random */
bool cache_unlock(struct cache *c, struct str name, struct str token); /* false: not ours */
/* Releases every lock of a generation that dies.  Returns how many. */
int cache_release(struct cache *c, const void *owner);

struct cache_stats {
    int64_t entries, bytes, max_bytes, hits, misses, evicted, locks;
};
struct cache_stats cache_stats(struct cache *c);
