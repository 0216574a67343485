#include "test.h"

#include "base/map.h"

static struct str name_of(char text[16], int i)
{
    return str_n(text, (size_t)snprintf(text, 16, "key%d", i));
}

TEST(finds_what_was_set_and_nothing_else)
{
    struct map *m = map_create();
    static int values[5000];
    char text[16];
    for (int i = 0; i < 5000; i++)
        CHECK(map_set(m, name_of(text, i), &values[i]) == NULL);
    for (int i = 0; i < 5000; i++)
        CHECK(map_get(m, name_of(text, i)) == &values[i]);
    CHECK(map_get(m, STR("key")) == NULL);
    CHECK_EQ(map_count(m), 5000);
    CHECK(map_set(m, STR("key7"), &values[0]) == &values[7]);
    CHECK(map_get(m, STR("key7")) == &values[0]);
    map_destroy(m);
}

TEST(an_empty_map_has_nothing)
{
    struct map *m = map_create();
    CHECK(map_get(m, STR("x")) == NULL);
    CHECK(map_remove(m, STR("x")) == NULL);
    map_destroy(m);
    map_destroy(NULL);
}

TEST(removing_and_setting_for_ever_keeps_working)
{
    struct map *m = map_create();
    static int value;
    char text[16];
    for (int i = 0; i < 20000; i++) {
        CHECK(map_set(m, name_of(text, i), &value) == NULL);
        if (i >= 10)
            CHECK(map_remove(m, name_of(text, i - 10)) == &value);
    }
    CHECK_EQ(map_count(m), 10);
    map_destroy(m);
}

TEST(a_walk_may_remove_what_it_stands_on)
{
    struct map *m = map_create();
    static int value;
    char text[16];
    for (int i = 0; i < 1000; i++)
        map_set(m, name_of(text, i), &value);
    size_t at = 0;
    struct str key;
    void *found;
    int count = 0;
    while (map_next(m, &at, &key, &found)) {
        char copy[16] = {0};
        memcpy(copy, key.p, key.n);
        count++;
        CHECK(map_remove(m, str_c(copy)) == &value);
    }
    CHECK_EQ(count, 1000);
    CHECK_EQ(map_count(m), 0);
    map_destroy(m);
}

TEST(keys_may_hold_any_byte)
{
    struct map *m = map_create();
    static int a, b;
    map_set(m, str_n("a\0b", 3), &a);
    map_set(m, str_n("", 0), &b);
    CHECK(map_get(m, str_n("a\0b", 3)) == &a);
    CHECK(map_get(m, str_n("a\0c", 3)) == NULL);
    CHECK(map_get(m, str_n("", 0)) == &b);
    map_destroy(m);
}

/* From CPython 3.11, whose hash(bytes) is SipHash-1-3; PYTHONHASHSEED=0 is the
 * key zero. */
TEST(hash_is_siphash_1_3)
{
    static const struct {
        size_t n;
        uint64_t hash;
    } vectors[] = {
        {1, 7541581120933061747U},  {7, 3389392686435873370U},   {8, 16921169381604339434U},
        {9, 8471974163824919394U},  {15, 17514137373579004394U}, {16, 9904005486622393783U},
        {31, 1627832755361535131U}, {63, 4061470857350050649U},
    };
    static const uint64_t zero[2];
    unsigned char bytes[64];
    for (int i = 0; i < 64; i++)
        bytes[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        CHECK(hash_keyed(zero, bytes, vectors[i].n) == vectors[i].hash);
    CHECK(hash_bytes("a", 1) == hash_bytes("a", 1) && hash_bytes("a", 1) != hash_bytes("b", 1));
}

enum { LASTING = 2000 };

static void meet(void *met, struct str key, void *value)
{
    (void)key;
    if (*(const int *)value >= 0)
        ((int *)met)[*(const int *)value]++;
}

TEST(a_walk_in_steps_meets_all_that_lasts_while_the_map_grows_and_shrinks)
{
    struct map *m = map_create();
    static int numbers[LASTING], met[LASTING], other = -1;
    char text[16];
    for (int i = 0; i < LASTING; i++) {
        numbers[i] = i;
        map_set(m, name_of(text, i), &numbers[i]);
    }
    uint64_t cursor = 0;
    int steps = 0;
    do {
        map_scan(m, &cursor, meet, met);
        steps++;
        for (int k = 0; k < 20; k++) { /* grows to 20,000 pairs, then shrinks to what lasts */
            int n = LASTING + steps * 20 + k;
            if (steps < 900)
                map_set(m, name_of(text, n), &other);
            else
                map_remove(m, name_of(text, n - 900 * 20));
        }
    } while (cursor && steps < 1000000);
    CHECK_EQ(cursor, 0);
    for (int i = 0; i < LASTING; i++)
        CHECK(met[i] > 0);
    map_destroy(m);
}

TEST(a_walk_in_steps_meets_each_once_when_nothing_changes)
{
    struct map *m = map_create();
    static int numbers[LASTING], met[LASTING];
    char text[16];
    uint64_t cursor = 0;
    map_scan(m, &cursor, meet, met);
    CHECK_EQ(cursor, 0);
    for (int i = 0; i < LASTING; i++) {
        numbers[i] = i;
        map_set(m, name_of(text, i), &numbers[i]);
    }
    do
        map_scan(m, &cursor, meet, met);
    while (cursor);
    for (int i = 0; i < LASTING; i++)
        CHECK_EQ(met[i], 1);
    map_destroy(m);
}
