#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>

#include "base/mem.h"

enum { BLOCK_BYTES = 4096 };

struct block {
    struct block *next;
    size_t size, used;
    alignas(16) char bytes[];
};

struct deferred {
    struct deferred *next;
    void (*fn)(void *arg);
    void *arg;
};

struct arena {
    struct block *blocks; /* newest first */
    struct deferred *deferred;
};

struct arena *arena_create(void)
{
    return mem_zero(1, sizeof(struct arena));
}

static struct block *add_block(struct arena *a, size_t bytes)
{
    size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    struct block *block = mem_alloc(sizeof *block + size);
    block->size = size;
    block->used = 0;
    block->next = a->blocks;
    a->blocks = block;
    return block;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    size_t rounded = (bytes + 15) & ~(size_t)15;
    struct block *block = a->blocks;
    if (!block || block->size - block->used < rounded)
        block = add_block(a, rounded);
    void *p = block->bytes + block->used;
    block->used += rounded;
    return p;
}

void *arena_dup(struct arena *a, const void *p, size_t bytes)
{
    void *copy = arena_alloc(a, bytes);
    if (bytes > 0)
        memcpy(copy, p, bytes);
    return copy;
}

char *arena_strdup(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.n + 1);
    if (s.n > 0)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

void arena_defer(struct arena *a, void (*fn)(void *arg), void *arg)
{
    struct deferred *d = arena_alloc(a, sizeof *d);
    *d = (struct deferred){a->deferred, fn, arg};
    a->deferred = d;
}

void arena_reset(struct arena *a)
{
    while (a->deferred) {
        struct deferred *d = a->deferred;
        a->deferred = d->next;
        d->fn(d->arg);
    }
    while (a->blocks && a->blocks->next) {
        struct block *block = a->blocks;
        a->blocks = block->next;
        mem_free(block);
    }
    if (a->blocks)
        a->blocks->used = 0;
}

void arena_destroy(struct arena *a)
{
    if (!a)
        return;
    arena_reset(a);
    mem_free(a->blocks);
    mem_free(a);
}
