#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>

#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define poison(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define poison(p, n)   ((void)(p), (void)(n))
#define unpoison(p, n) ((void)(p), (void)(n))
#endif

enum { ALIGN = 16, FIRST_BYTES = 4096, BLOCK_BYTES_MAX = 256 * 1024 };

struct block {
    struct block *next; /* older */
    size_t bytes;
    alignas(ALIGN) char data[];
};

/* The first block is a part of the arena and survives a reset. */
struct arena {
    struct block *blocks; /* newest first, ends with the first block */
    char *at, *end;       /* the free part of the newest block */
    size_t next_bytes;
    struct block first;
};

static void use_first(struct arena *a)
{
    a->blocks = &a->first;
    a->at = a->first.data;
    a->end = a->first.data + a->first.bytes;
    a->next_bytes = 2 * (size_t)FIRST_BYTES;
    poison(a->at, a->first.bytes);
}

struct arena *arena_create(void)
{
    struct arena *a = mem_alloc(sizeof *a + FIRST_BYTES);
    a->first = (struct block){NULL, FIRST_BYTES};
    use_first(a);
    return a;
}

/* A large piece gets a block of its own behind the newest, whose rest stays
 * in use. */
static void *alloc_large(struct arena *a, size_t bytes)
{
    struct block *b = mem_alloc(sizeof *b + bytes);
    b->bytes = bytes;
    b->next = a->blocks->next;
    if (a->blocks == &a->first) {
        b->next = a->blocks;
        a->blocks = b;
    } else {
        a->blocks->next = b;
    }
    return b->data;
}

static void grow(struct arena *a)
{
    size_t bytes = a->next_bytes;
    struct block *b = mem_alloc(sizeof *b + bytes);
    b->bytes = bytes;
    b->next = a->blocks;
    a->blocks = b;
    a->at = b->data;
    a->end = b->data + bytes;
    if (a->next_bytes < BLOCK_BYTES_MAX)
        a->next_bytes *= 2;
    poison(a->at, bytes);
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return mem_alloc(bytes); /* ends the process */
    size_t rounded = bytes ? (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
    if (rounded > (size_t)(a->end - a->at)) {
        if (rounded > a->next_bytes / 4)
            return alloc_large(a, rounded);
        grow(a);
    }
    char *p = a->at;
    a->at += rounded;
    unpoison(p, bytes);
    return p;
}

char *arena_strdup(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

void *arena_dup(struct arena *a, const void *p, size_t bytes)
{
    void *q = arena_alloc(a, bytes);
    if (bytes)
        memcpy(q, p, bytes);
    return q;
}

void arena_reset(struct arena *a)
{
    for (struct block *b = a->blocks, *next; b != &a->first; b = next) {
        next = b->next;
        unpoison(b->data, b->bytes);
        mem_free(b);
    }
    use_first(a);
}

void arena_destroy(struct arena *a)
{
    if (!a)
        return;
    arena_reset(a);
    unpoison(a->at, a->first.bytes);
    mem_free(a);
}
