/* cache_look.h -- what an operator sees of the cache, as JSON: figures, entries page by page, one
 * entry.  With every driver; while Redis is away, of what this process keeps meanwhile.
 *
 * In memory a look changes nothing.  Redis counts one as its own hit, and takes what was looked at
 * for used; keys are found by SCAN, never by KEYS.
 *
 * Threads: the control lane's.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct cache_driver;
struct lane;

enum {
    CACHE_LOOK_MOST = 500,        /* entries of a page; SCAN may bring some more */
    CACHE_LOOK_VALUE = 256 << 10, /* bytes of a value that are shown */
    CACHE_LOOK_SCANS = 40,        /* questions to Redis for one page */
    CACHE_LOOK_COUNT = 250,       /* keys that Redis looks at for one of them */
};

enum cache_look_op {
    /* {"driver","away","entries","bytes","max_bytes","hits","misses","evicted","locks","redis"}:
     * entries, bytes and evicted are null where Redis keeps them; hits and misses are those of this
     * process's plugins. redis: null, or
     * {"version","keys","used_bytes","max_bytes","policy","hits","misses",
     * "evicted","expired","per_second","clients"} of the whole server, keys of its database. */
    CACHE_LOOK_FIGURES,
    /* {"entries":[ENTRY…],"next":cursor or null,"looked":…} in no order.  A page may be empty and
     * not the last: what matches may be rare. */
    CACHE_LOOK_PAGE,
    /* ENTRY and with `value` "encoding" ("text", "json" or "hex"), "value", "cut"; ERR_NOT_FOUND.
     * ENTRY: {"key","key_hex" (only if key is no UTF-8),"plugin","type" ("string", "number",
     * "boolean", "table"; or "other": not of a plugin),"ttl_ms" or null,"bytes","memory_bytes" or
     * null}; "hidden" says that the value was not asked for. */
    CACHE_LOOK_ENTRY,
};

struct cache_look {
    enum cache_look_op op;
    struct str what;   /* PAGE: a pattern of "plugin:key" (base/glob.h); ENTRY: "plugin:key" */
    struct str cursor; /* PAGE: empty, or `next` of the page before */
    int limit;         /* PAGE */
    bool value;        /* ENTRY */
    void (*done)(struct cache_look *look); /* once, perhaps before cache_look() returns */
    struct buf out;
    struct err err; /* ERR_CONFLICT: the cursor is of another driver's, begin again */
    /* private */
    struct cache_driver *driver;
    struct lane *lane;
    int count, scans;
};
/* Its memory and what it points at are the caller's until done. */
void cache_look(struct cache_driver *d, struct lane *lane, struct cache_look *look);
