#include "base/clock.h"
#include "jobs/private.h"
#include "test.h"

static bool within(const struct job_backoff *b, int attempt, double least, double most)
{
    for (int i = 0; i < 200; i++) {
        double s = (double)retry_delay_ns(b, attempt) / (double)NS_PER_SECOND;
        if (s < least || s > most)
            return false;
    }
    return true;
}

TEST(delays_grow_up_to_the_most_with_jitter_either_way)
{
    struct job_backoff usual = backoff_whole((struct job_backoff){0});
    CHECK(within(&usual, 1, 1.6, 2.4));
    CHECK(within(&usual, 4, 12.8, 19.2));
    CHECK(within(&usual, 1000, 0.8 * 6 * 3600, 1.2 * 6 * 3600));
    struct job_backoff exact = backoff_whole((struct job_backoff){
        .first_ns = NS_PER_SECOND, .max_ns = 10 * NS_PER_SECOND, .factor = 3, .jitter = 1});
    CHECK(within(&exact, 1, 1, 1));
    CHECK(within(&exact, 2, 3, 3));
    CHECK(within(&exact, 3, 9, 9));
    CHECK(within(&exact, 4, 10, 10));
    struct job_backoff flat = backoff_whole((struct job_backoff){.factor = 1, .jitter = 1});
    CHECK(within(&flat, 10000, 2, 2));
}
