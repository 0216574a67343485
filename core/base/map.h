/* map.h -- hash map from byte strings to pointers.
 *
 * Open addressing, keys copied, hashed with SipHash-1-3 under a random key of
 * the process, because keys come from outside.  Not thread-safe.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

struct map;

struct map *map_create(void);
void map_destroy(struct map *m); /* the values are the caller's */
size_t map_count(const struct map *m);
void *map_get(const struct map *m, struct str key); /* NULL when absent */
/* Stores value (not NULL); returns the value it replaces, or NULL. */
void *map_set(struct map *m, struct str key, void *value);
void *map_remove(struct map *m, struct str key); /* the removed value, or NULL */
/* Iteration in no particular order; *at starts as 0.  False at the end.  The
 * map may not change meanwhile except for removing the pair just returned. */
bool map_next(const struct map *m, size_t *at, struct str *key, void **value);

/* One step of a walk that may last: the map may change between the steps.  Calls fn for a few pairs
 * and moves *cursor, which starts as 0 and is 0 again at the end.  Every pair that is there from
 * the first step to the last is met; one may be met twice when the map grows or shrinks meanwhile.
 * fn must not change the map. */
void map_scan(const struct map *m, uint64_t *cursor,
              void (*fn)(void *arg, struct str key, void *value), void *arg);

/* SipHash-1-3 (Aumasson, Bernstein) of bytes under the process's random key. */
uint64_t hash_bytes(const void *p, size_t n);
/* The same under a key of the caller's, for what must not change with the process. */
uint64_t hash_keyed(const uint64_t key[2], const void *p, size_t n);
