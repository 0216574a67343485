#include "test.h"

#include <stdint.h>

#include "base/arena.h"

TEST(pieces_are_aligned_and_apart)
{
    struct arena *a = arena_create();
    char *pieces[500];
    for (size_t i = 0; i < 500; i++) {
        pieces[i] = arena_alloc(a, i * 7);
        CHECK_EQ((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 0xFF), i * 7);
    }
    for (size_t i = 1; i < 500; i++)
        CHECK((unsigned char)pieces[i][0] == (i & 0xFF) &&
              (unsigned char)pieces[i][i * 7 - 1] == (i & 0xFF));
    arena_destroy(a);
}

TEST(a_large_piece_leaves_the_small_ones_room)
{
    struct arena *a = arena_create();
    char *before = arena_alloc(a, 16);
    memset(arena_alloc(a, 1 << 20), 1, 1 << 20);
    char *behind = arena_alloc(a, 16);
    CHECK_EQ(behind - before, 16);
    for (int i = 0; i < 1000; i++)
        memset(arena_alloc(a, 100), 2, 100);
    memset(arena_alloc(a, 1 << 20), 1, 1 << 20);
    arena_destroy(a);
}

TEST(a_reset_gives_everything_back)
{
    struct arena *a = arena_create();
    char *first = arena_alloc(a, 64);
    for (int i = 0; i < 1000; i++)
        memset(arena_alloc(a, 5000), 1, 5000);
    arena_reset(a);
    CHECK(arena_alloc(a, 64) == first);
    arena_destroy(a);
}

TEST(copies_end_with_a_nul)
{
    struct arena *a = arena_create();
    CHECK_STR(arena_strdup(a, str_n("hello", 3)), "hel");
    CHECK_STR(arena_strdup(a, str_n(NULL, 0)), "");
    CHECK_EQ(memcmp(arena_dup(a, "xyz", 3), "xyz", 3), 0);
    arena_destroy(a);
}
