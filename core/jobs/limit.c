#include "jobs/limit.h"

void limit_init(struct limit *limit, enum limit_of of)
{
    *limit = (struct limit){.of = (uint8_t)of};
}

void limit_set(struct limit *limit, int most, struct job_rate rate)
{
    bool same = rate.count == limit->rate.count && rate.period_ns == limit->rate.period_ns;
    limit->most = most;
    if (same)
        return;
    limit->rate = rate;
    limit->interval_ns = limit->burst_ns = 0;
    if (rate.count <= 0)
        return; /* what was spent is remembered: a rate may come back */
    limit->interval_ns = rate.period_ns > rate.count ? rate.period_ns / rate.count : 1;
    limit->burst_ns = (rate.count - 1) * limit->interval_ns;
    int64_t empty = clock_ns() + limit->burst_ns + limit->interval_ns;
    if (limit->full_at > empty)
        limit->full_at = empty;
}

int64_t limit_start_at(const struct limit *limit)
{
    return limit->full_at - limit->burst_ns;
}

bool limit_has_tokens(const struct limit *limit)
{
    return limit_start_at(limit) <= clock_ns();
}

bool limit_is_full(const struct limit *limit)
{
    return limit->interval_ns == 0 || limit->full_at <= clock_ns();
}

void limit_take(struct limit *limit)
{
    if (limit->interval_ns == 0)
        return;
    int64_t now = clock_ns();
    limit->full_at = (limit->full_at > now ? limit->full_at : now) + limit->interval_ns;
}

void limit_give_back(struct limit *limit)
{
    limit->full_at -= limit->interval_ns;
}
