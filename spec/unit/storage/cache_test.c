/* The cache and its locks. */
#include "storage/cache.h"

#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "test.h"

static struct err err;

static bool set(struct cache *c, const char *key, const char *text, int64_t ttl_ns)
{
    struct cache_value v = {.tag = 's', .bytes = str_c(text)};
    return cache_set(c, str_c(key), &v, ttl_ns, &err);
}

static bool has(struct cache *c, const char *key, const char *text)
{
    struct cache_value v;
    struct buf copy = {0};
    bool found = cache_get(c, str_c(key), &v, &copy);
    bool same = found ? text && str_eq_c(v.bytes, text) : text == NULL;
    buf_free(&copy);
    return same;
}

TEST(set_get_add_delete)
{
    struct cache *c = cache_create(1 << 20);
    CHECK(has(c, "a", NULL));
    CHECK(set(c, "a", "one", 0));
    CHECK(has(c, "a", "one"));
    CHECK(set(c, "a", "", 0));
    CHECK(has(c, "a", ""));
    bool stored = true;
    struct cache_value v = {.tag = 's', .bytes = STR("two")};
    CHECK(cache_add(c, STR("a"), &v, 0, &stored, &err) && !stored);
    CHECK(cache_delete(c, STR("a")));
    CHECK(!cache_delete(c, STR("a")));
    CHECK(cache_add(c, STR("a"), &v, 0, &stored, &err) && stored);
    CHECK(has(c, "a", "two"));
    CHECK_EQ(cache_stats(c).entries, 1);
    cache_destroy(c);
}

TEST(entries_expire_and_numbers_count)
{
    struct cache *c = cache_create(1 << 20);
    double n;
    CHECK(set(c, "a", "x", 20 * NS_PER_MS));
    CHECK(cache_incr(c, STR("n"), 2, 20 * NS_PER_MS, &n, &err) && n == 2);
    CHECK(cache_incr(c, STR("n"), 0.5, 0, &n, &err) && n == 2.5);
    CHECK(!cache_incr(c, STR("a"), 1, 0, &n, &err));
    CHECK_EQ(err.code, ERR_INVALID);
    usleep(30000);
    CHECK(has(c, "a", NULL));
    CHECK(cache_incr(c, STR("n"), 1, 0, &n, &err) && n == 1);
    cache_destroy(c);
}

TEST(the_least_recently_used_go_first)
{
    struct cache *c = cache_create(16 * 8 * 1024);
    char key[16], value[512];
    memset(value, 'v', sizeof value);
    value[511] = 0;
    CHECK(set(c, "kept", "k", 0));
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        CHECK(set(c, key, value, 0));
        CHECK(has(c, "kept", "k"));
    }
    struct cache_stats stats = cache_stats(c);
    CHECK(stats.bytes <= stats.max_bytes);
    CHECK(stats.evicted > 1500);
    CHECK(has(c, key, value));
    char *big = mem_zero(9000, 1);
    memset(big, 'b', 8999);
    CHECK(!set(c, "big", big, 0));
    CHECK_EQ(err.code, ERR_LIMIT);
    mem_free(big);
    cache_destroy(c);
}

static void count_key(void *arg, struct str key)
{
    *(int *)arg += str_starts(key, STR("a:"));
}

TEST(keys_are_found_by_prefix)
{
    struct cache *c = cache_create(1 << 20);
    char key[16];
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "%c:%d", i % 2 ? 'a' : 'b', i);
        set(c, key, "x", i == 1 ? 1 : 0);
    }
    int seen = 0;
    CHECK_EQ(cache_keys(c, STR("a:"), 100, count_key, &seen), 24);
    CHECK_EQ(seen, 24);
    CHECK_EQ(cache_keys(c, STR(""), 10, count_key, &seen), 10);
    cache_destroy(c);
}

TEST(a_lock_has_one_holder_until_unlocked_expired_or_orphaned)
{
    struct cache *c = cache_create(1 << 20);
    char a[CACHE_TOKEN_BYTES], b[CACHE_TOKEN_BYTES];
    int one, two;
    int64_t fence, before = clock_wall_ns() / 1000;
    CHECK(cache_lock(c, STR("l"), 0, &one, a, &fence));
    CHECK(fence >= before);
    CHECK(!cache_lock(c, STR("l"), 0, &two, b, &fence));
    CHECK(!cache_unlock(c, STR("l"), str_c(b)));
    CHECK(cache_unlock(c, STR("l"), str_c(a)));
    CHECK(!cache_unlock(c, STR("l"), str_c(a)));
    CHECK(cache_lock(c, STR("l"), 10 * NS_PER_MS, &one, a, &fence));
    usleep(15000);
    CHECK(cache_lock(c, STR("l"), 0, &two, b, &fence));
    CHECK(!cache_unlock(c, STR("l"), str_c(a)));
    before = fence;
    CHECK(cache_lock(c, STR("m"), 0, &two, a, &fence));
    CHECK(fence > before);
    CHECK_EQ(cache_release(c, &one), 0);
    CHECK_EQ(cache_release(c, &two), 2);
    CHECK(cache_lock(c, STR("l"), 0, &one, a, &fence));
    CHECK_EQ(cache_stats(c).locks, 1);
    cache_destroy(c);
}

static void *hammer(void *arg)
{
    struct cache *c = arg;
    char key[16], token[CACHE_TOKEN_BYTES];
    int64_t fence;
    struct buf copy = {0};
    struct err e;
    double n;
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k%d", i % 97);
        struct cache_value v = {.tag = 's', .bytes = str_c(key)};
        cache_set(c, str_c(key), &v, i % 3 ? 0 : 1000, &e);
        buf_clear(&copy);
        cache_get(c, str_c(key), &v, &copy);
        cache_incr(c, STR("sum"), 1, 0, &n, &e);
        if (i % 11 == 0)
            cache_delete(c, str_c(key));
        if (cache_lock(c, STR("l"), 0, c, token, &fence))
            cache_unlock(c, STR("l"), str_c(token));
    }
    buf_free(&copy);
    return NULL;
}

TEST(eight_threads_at_once)
{
    struct cache *c = cache_create(16 * 4096);
    pthread_t threads[8];
    double n;
    cache_incr(c, STR("sum"), 0, 0, &n, &err);
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, hammer, c);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    CHECK(cache_incr(c, STR("sum"), 0, 0, &n, &err) && n == 40000);
    CHECK_EQ(cache_stats(c).locks, 0);
    cache_destroy(c);
}
