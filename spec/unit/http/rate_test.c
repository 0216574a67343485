#include "http/rate.h"

#include "base/clock.h"
#include "test.h"

TEST(gives_a_burst_and_then_the_rate)
{
    struct rate_table *table = rate_create();
    int64_t now = NS_PER_SECOND, wait;
    for (int i = 0; i < 5; i++)
        CHECK(rate_take(table, 7, 10, 5, now, &wait));
    CHECK(!rate_take(table, 7, 10, 5, now, &wait));
    CHECK_EQ(wait, NS_PER_SECOND / 10);
    CHECK(rate_take(table, 8, 10, 5, now, &wait));
    now += wait;
    CHECK_EQ(wait, 0);
    now += NS_PER_SECOND / 10;
    CHECK(rate_take(table, 7, 10, 5, now, &wait));
    CHECK(!rate_take(table, 7, 10, 5, now, &wait));
    now += 100 * NS_PER_SECOND;
    int got = 0;
    while (rate_take(table, 7, 10, 5, now, &wait))
        got++;
    CHECK_EQ(got, 5);
    rate_destroy(table);
}

TEST(a_refused_request_costs_nothing)
{
    struct rate_table *table = rate_create();
    int64_t wait;
    CHECK(rate_take(table, 1, 1, 1, NS_PER_SECOND, &wait));
    for (int i = 0; i < 100; i++)
        CHECK(!rate_take(table, 1, 1, 1, NS_PER_SECOND + i, &wait));
    CHECK(rate_take(table, 1, 1, 1, 2 * NS_PER_SECOND, &wait));
    rate_destroy(table);
}

TEST(stays_in_its_memory_under_many_clients)
{
    struct rate_table *table = rate_create();
    int64_t wait;
    for (uint64_t key = 1; key < 500000; key++)
        rate_take(table, key * 0x9e3779b97f4a7c15u, 1, 3, NS_PER_SECOND, &wait);
    CHECK(rate_take(table, 42, 1, 3, 2 * NS_PER_SECOND, &wait));
    rate_destroy(table);
}
