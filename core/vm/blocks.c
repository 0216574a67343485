#include "vm/blocks.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Mapped and not from malloc, in whose heaps the chunks of closed states would leave
 * holes between what lives on (600 reloads under load: 32.0 MB instead of 35.7). */
enum { CHUNK_BYTES = 64 << 10 };

/* LuaJIT's allocator and its objects know 8. */
enum { ROOM_ALIGN = BLOCKS_LENT ? 8 : 16 };

struct block {
    struct block *next;
};

struct block_chunk {
    struct block_chunk *next;
    _Alignas(ROOM_ALIGN) char room[];
};

/* A block of its own, listed so that it goes with the rest: LuaJIT forgets some of
 * what it had when it runs out of memory. */
struct block_large {
    struct block_large *next, **link; /* link: what points here */
    _Alignas(ROOM_ALIGN) char room[];
};

/* The sanitizers are to see every object. */
#if defined(__SANITIZE_ADDRESS__)
static const size_t small_bytes = 0;
#else
static const size_t small_bytes = (size_t)BLOCK_STEP * BLOCK_CLASSES;
#endif

static size_t class_of(size_t bytes)
{
    return (bytes - 1) / BLOCK_STEP;
}

/* As lua_Alloc, but for the size before, which LuaJIT's own does not look at. */
static void *lend(struct blocks *b, void *p, size_t bytes)
{
    if (!b->lender && !(b->lender = luaL_newstate()))
        return NULL;
    void *own;
    lua_Alloc allocate = lua_getallocf(b->lender, &own);
    return allocate(own, p, 0, bytes);
}

static void *map_chunk(struct blocks *b)
{
    if (BLOCKS_LENT)
        return lend(b, NULL, CHUNK_BYTES);
    void *p = mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void unmap_chunk(struct blocks *b, void *chunk)
{
    if (BLOCKS_LENT)
        lend(b, chunk, 0);
    else
        munmap(chunk, CHUNK_BYTES);
}

static bool add_chunk(struct blocks *b)
{
    struct block_chunk *chunk = map_chunk(b);
    if (!chunk)
        return false;
    chunk->next = b->chunks;
    b->chunks = chunk;
    b->at = chunk->room;
    b->end = (char *)chunk + CHUNK_BYTES;
    return true;
}

static void *take(struct blocks *b, size_t bytes)
{
    size_t class = class_of(bytes), whole = (class + 1) * BLOCK_STEP;
    struct block *block = b->free[class];
    if (block) {
        b->free[class] = block->next;
        __builtin_prefetch(block->next, 1); /* freed a cycle ago, so in no near cache */
        return block;
    }
    if ((size_t)(b->end - b->at) < whole && !add_chunk(b))
        return NULL;
    void *p = b->at;
    b->at += whole;
    return p;
}

static void give(struct blocks *b, void *p, size_t bytes)
{
    struct block *block = p;
    block->next = b->free[class_of(bytes)];
    b->free[class_of(bytes)] = block;
}

static struct block_large *large_of(void *p)
{
    return (struct block_large *)(void *)((char *)p - offsetof(struct block_large, room));
}

/* Writes who points where after `large` has come to its place. */
static void link_large(struct block_large *large)
{
    *large->link = large;
    if (large->next)
        large->next->link = &large->next;
}

static void *take_large(struct blocks *b, size_t bytes)
{
    const size_t whole = sizeof(struct block_large) + bytes;
    struct block_large *large = BLOCKS_LENT ? lend(b, NULL, whole) : malloc(whole);
    if (!large)
        return NULL;
    large->next = b->large;
    large->link = &b->large;
    link_large(large);
    return large->room;
}

static void *resize_large(struct blocks *b, void *p, size_t bytes)
{
    const size_t whole = sizeof(struct block_large) + bytes;
    struct block_large *large = large_of(p);
    large = BLOCKS_LENT ? lend(b, large, whole) : realloc(large, whole);
    if (!large)
        return NULL;
    link_large(large);
    return large->room;
}

static void give_large(struct blocks *b, void *p)
{
    struct block_large *large = large_of(p);
    *large->link = large->next;
    if (large->next)
        large->next->link = large->link;
    if (BLOCKS_LENT)
        lend(b, large, 0);
    else
        free(large);
}

void *blocks_resize(struct blocks *b, void *p, size_t before, size_t after)
{
    bool was_small = p && before <= small_bytes;
    bool is_small = after <= small_bytes;
    if (p && after > 0 && !was_small && !is_small)
        return resize_large(b, p, after);
    if (was_small && is_small && class_of(before) == class_of(after))
        return p;
    void *fresh = NULL;
    if (after > 0) {
        fresh = is_small ? take(b, after) : take_large(b, after);
        if (!fresh)
            return NULL;
        if (p)
            memcpy(fresh, p, before < after ? before : after);
    }
    if (was_small)
        give(b, p, before);
    else if (p)
        give_large(b, p);
    return fresh;
}

void blocks_free_all(struct blocks *b)
{
    for (struct block_chunk *chunk = b->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        unmap_chunk(b, chunk);
    }
    while (b->large)
        give_large(b, b->large->room);
    if (b->lender)
        lua_close(b->lender);
    *b = (struct blocks){0};
}
