/* blocks.h -- memory for one lua_State: small blocks by size class, the rest as it comes.
 *
 * A request makes and drops a handful of small Lua objects, for which malloc
 * costs more than the objects' own work.  Small blocks are cut from chunks and
 * kept for reuse; the chunks go back when the state has been closed.  One
 * thread at a time.
 *
 * LuaJIT keeps 47 bits of an address.  Where a process has more of them (64-bit
 * ARM: 48), what mmap and malloc give may lie beyond, and only LuaJIT's own
 * allocator looks for memory that does not: BLOCKS_LENT takes it all from there.
 */
#pragma once

#include <stddef.h>

#ifndef BLOCKS_LENT
#ifdef __x86_64__
#define BLOCKS_LENT 0
#else
#define BLOCKS_LENT 1
#endif
#endif

enum { BLOCK_STEP = 16, BLOCK_CLASSES = 160 }; /* 16, 32 … 2560 bytes */

struct block;
struct block_chunk;
struct block_large;

struct blocks {
    struct block *free[BLOCK_CLASSES];
    struct block_chunk *chunks;
    struct block_large *large;
    char *at, *end;           /* of the chunk that is being cut */
    struct lua_State *lender; /* runs nothing: has the allocator, with BLOCKS_LENT */
};                            /* {0} is empty */

/* lua_Alloc's contract: after 0 frees, p NULL allocates, NULL = no memory. */
void *blocks_resize(struct blocks *b, void *p, size_t before, size_t after);
void blocks_free_all(struct blocks *b); /* everything that was given out is gone */
