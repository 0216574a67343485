/* When a new generation does worse than the one it replaced. */
#include "reload/guard.h"

#include "test.h"

static const struct guard_rule rule = {.percent = 50, .tasks = 20, .ns = 1};

static bool is_bad(int64_t ended, int64_t failed, int64_t ended_before, int64_t failed_before)
{
    struct guard_count before = {ended_before, failed_before, 0}, now = {ended, failed, 0};
    return guard_is_bad(&rule, &before, &now);
}

TEST(waits_for_enough_tasks)
{
    CHECK(!is_bad(19, 19, 1000, 0));
    CHECK(is_bad(20, 20, 1000, 0));
}

TEST(asks_for_more_than_the_share)
{
    CHECK(!is_bad(20, 10, 1000, 0));
    CHECK(is_bad(20, 11, 1000, 0));
    CHECK(!is_bad(1000000, 500000, 1000, 0));
    CHECK(is_bad(1000000, 500001, 1000, 0));
}

TEST(leaves_what_is_no_worse_than_before)
{
    CHECK(!is_bad(20, 20, 50, 50));
    CHECK(!is_bad(20, 15, 50, 40));
    CHECK(is_bad(20, 17, 50, 40));
    CHECK(is_bad(20, 20, 0, 0));
}

TEST(takes_two_kills_for_enough)
{
    struct guard_count before = {100, 0, 0}, now = {3, 0, 1};
    CHECK(!guard_is_bad(&rule, &before, &now));
    now.kills = 2;
    CHECK(guard_is_bad(&rule, &before, &now));
}

TEST(may_be_off)
{
    struct guard_rule off = {.percent = 0, .tasks = 1, .ns = 1};
    struct guard_count before = {0}, now = {100, 100, 9};
    CHECK(!guard_is_bad(&off, &before, &now));
}
