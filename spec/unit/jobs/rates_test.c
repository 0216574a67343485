/* Time series of a fixed size, and the age of the oldest of many. */

#include "jobs/ages.h"
#include "jobs/rates.h"

#include <stdlib.h>

#include "test.h"

enum { NOW = 1750000000 };

static int64_t count(const struct rates_bucket *b, enum rate what)
{
    return b ? (int64_t)b->count[what] : -1;
}

TEST(seconds_and_minutes_count_what_goes_by)
{
    struct rates *r = calloc(1, sizeof *r);
    rates_add(r, NOW, RATE_PUSHED, 3);
    rates_add(r, NOW, RATE_DONE, 1);
    rates_add(r, NOW + 1, RATE_PUSHED, 4);
    rates_roll(r, NOW + 5);
    CHECK_EQ(count(rates_second(r, NOW), RATE_PUSHED), 3);
    CHECK_EQ(count(rates_second(r, NOW), RATE_DONE), 1);
    CHECK_EQ(count(rates_second(r, NOW + 1), RATE_PUSHED), 4);
    CHECK_EQ(count(rates_second(r, NOW + 2), RATE_PUSHED), 0);
    CHECK_EQ(count(rates_minute(r, NOW / 60), RATE_PUSHED), 7);
    CHECK(rates_second(r, NOW + 6) == NULL);
    CHECK(rates_second(r, NOW - RATES_SECONDS) == NULL);
    free(r);
}

TEST(what_is_too_old_is_forgotten_and_gaps_are_empty)
{
    struct rates *r = calloc(1, sizeof *r);
    for (int i = 0; i < RATES_SECONDS; i++)
        rates_add(r, NOW + i, RATE_DONE, 1);
    rates_add(r, NOW + 2 * RATES_SECONDS - 10, RATE_DONE, 5);
    for (int i = 0; i < RATES_SECONDS; i++) {
        int64_t at = NOW + RATES_SECONDS - 10 + i, want = at < NOW + RATES_SECONDS ? 1 : 0;
        CHECK_EQ(count(rates_second(r, at), RATE_DONE), want);
    }
    rates_add(r, NOW + 10 * RATES_SECONDS, RATE_DONE, 1); /* over the whole ring */
    CHECK_EQ(count(rates_second(r, NOW + 10 * RATES_SECONDS - 1), RATE_DONE), 0);
    CHECK_EQ(count(rates_second(r, NOW + 9 * RATES_SECONDS), RATE_DONE), 0);
    free(r);
}

TEST(time_that_goes_back_counts_into_what_is_open)
{
    struct rates *r = calloc(1, sizeof *r);
    rates_add(r, NOW, RATE_DONE, 1);
    rates_add(r, NOW - 100, RATE_DONE, 1);
    CHECK_EQ(count(rates_second(r, NOW), RATE_DONE), 2);
    free(r);
}

TEST(percentiles_are_a_fifth_off_at_most)
{
    struct rates *r = calloc(1, sizeof *r);
    for (int i = 1; i <= 1000; i++)
        rates_wait(r, NOW, i * INT64_C(1000000));
    rates_roll(r, NOW + 1);
    int64_t p50 = rates_bin_ns(rates_second(r, NOW)->p50);
    int64_t p99 = rates_bin_ns(rates_second(r, NOW)->p99);
    CHECK(p50 > 400000000 && p50 < 600000000);
    CHECK(p99 > 792000000 && p99 < 1188000000);
    CHECK_EQ(rates_second(r, NOW + 1)->p50, 0);
    rates_wait(r, NOW + 1, -5);
    rates_wait(r, NOW + 1, INT64_MAX);
    rates_roll(r, NOW + 2);
    CHECK(rates_second(r, NOW + 1)->p50 == 1 && rates_second(r, NOW + 1)->p99 == RATES_BINS);
    free(r);
}

TEST(minutes_come_back)
{
    struct rates *r = calloc(1, sizeof *r);
    int64_t minute = NOW / 60;
    for (int i = 3; i > 0; i--)
        rates_restore(r, minute - i * 7,
                      &(struct rates_bucket){.count = {1, 2, (uint32_t)i}, .p99 = 9});
    rates_add(r, NOW, RATE_DONE, 1);
    CHECK_EQ(count(rates_minute(r, minute - 7), RATE_FAILED), 1);
    CHECK_EQ(count(rates_minute(r, minute - 14), RATE_FAILED), 2);
    CHECK_EQ(rates_minute(r, minute - 21)->p99, 9);
    CHECK(rates_is_empty(rates_minute(r, minute - 8)));
    CHECK_EQ(count(rates_minute(r, minute), RATE_DONE), 1);
    free(r);
}

/* Against a plain list, with comings and goings over weeks. */
TEST(the_oldest_is_known_to_a_sixteenth)
{
    static struct ages ages;
    enum { MOST = 300 };
    int64_t since[MOST], now = NOW;
    int n = 0;
    srand(7);
    for (int step = 0; step < 20000; step++) {
        now += rand() % (step % 1000 < 20 ? 5000 : 3);
        if (n < MOST && rand() % 3)
            ages_enter(&ages, since[n++] = now - rand() % 3);
        else if (n) {
            int i = rand() % 4 ? 0 : rand() % n;
            ages_leave(&ages, since[i]);
            memmove(&since[i], &since[i + 1], (size_t)(--n - i) * sizeof *since);
        }
        int64_t oldest = 0;
        for (int i = 0; i < n; i++)
            oldest = now - since[i] > oldest ? now - since[i] : oldest;
        int64_t got = ages_oldest(&ages, now), off = got > oldest ? got - oldest : oldest - got;
        if (off > oldest / 15 + 1) {
            TEST_FAIL("step %d: %lld s, not %lld", step, (long long)got, (long long)oldest);
            return;
        }
    }
    CHECK_EQ(ages.count, n);
}
