/* arena.h -- memory freed all at once. */
#pragma once

#include "base/str.h"

struct arena; /* one owner, one thread */

struct arena *arena_create(void);
void *arena_alloc(struct arena *a, size_t bytes);  /* 16-byte aligned, uninitialised */
char *arena_strdup(struct arena *a, struct str s); /* NUL-terminated */
void *arena_dup(struct arena *a, const void *p, size_t bytes);
void arena_reset(struct arena *a); /* keeps one block for reuse */
void arena_destroy(struct arena *a);
