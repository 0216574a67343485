#include "jobs/rates.h"

#include <string.h>

enum { SHORTEST_BITS = 10, SUB_BITS = 2 }; /* 1024 ns; four bins to a doubling */

/* From 1 to RATES_BINS. */
static int bin_of(int64_t wait_ns)
{
    uint64_t ns = wait_ns < 1 << SHORTEST_BITS ? 1u << SHORTEST_BITS : (uint64_t)wait_ns;
    int bits = 63 - __builtin_clzll(ns);
    int sub = (int)(ns >> (bits - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    int bin = (bits - SHORTEST_BITS) * (1 << SUB_BITS) + sub + 1;
    return bin > RATES_BINS ? RATES_BINS : bin;
}

int64_t rates_bin_ns(int bin)
{
    if (bin <= 0)
        return 0;
    int bits = SHORTEST_BITS + (bin - 1) / (1 << SUB_BITS), sub = (bin - 1) % (1 << SUB_BITS);
    int64_t quarter = INT64_C(1) << (bits - SUB_BITS);
    return ((1 << SUB_BITS) + sub) * quarter + quarter / 2;
}

static uint8_t percentile(const struct rates_open *o, uint32_t per_cent)
{
    uint64_t rank = ((uint64_t)o->waited * per_cent + 99) / 100, seen = 0;
    for (int i = 0; i < RATES_BINS && o->waited; i++)
        if ((seen += o->waits[i]) >= rank)
            return (uint8_t)(i + 1);
    return 0;
}

/* Keeps what is open in the ring, empties what nobody wrote since, and opens `at`. */
static void roll(struct rates_open *o, struct rates_bucket *ring, int size, int64_t at)
{
    int64_t gap = at - o->at - 1;
    if (o->at) {
        o->bucket.p50 = percentile(o, 50);
        o->bucket.p99 = percentile(o, 99);
        ring[o->at % size] = o->bucket;
    }
    for (int64_t i = at - (gap < size ? gap : size); i < at; i++)
        ring[i % size] = (struct rates_bucket){0};
    *o = (struct rates_open){.at = at};
}

void rates_roll(struct rates *r, int64_t now_s)
{
    if (now_s > r->second.at)
        roll(&r->second, r->seconds, RATES_SECONDS, now_s);
    if (now_s / 60 > r->minute.at)
        roll(&r->minute, r->minutes, RATES_MINUTES, now_s / 60);
}

void rates_wait(struct rates *r, int64_t now_s, int64_t wait_ns)
{
    int bin = bin_of(wait_ns);
    if (now_s > r->second.at)
        rates_roll(r, now_s);
    r->second.waits[bin - 1]++;
    r->second.waited++;
    r->minute.waits[bin - 1]++;
    r->minute.waited++;
}

void rates_restore(struct rates *r, int64_t minute, const struct rates_bucket *bucket)
{
    if (minute >= r->minute.at)
        roll(&r->minute, r->minutes, RATES_MINUTES, minute + 1);
    r->minutes[minute % RATES_MINUTES] = *bucket;
}

static const struct rates_bucket *find(const struct rates_open *o, const struct rates_bucket *ring,
                                       int size, int64_t at)
{
    if (at == o->at && o->at)
        return &o->bucket;
    return at > 0 && at < o->at && at >= o->at - size ? &ring[at % size] : NULL;
}

const struct rates_bucket *rates_second(const struct rates *r, int64_t second)
{
    return find(&r->second, r->seconds, RATES_SECONDS, second);
}

const struct rates_bucket *rates_minute(const struct rates *r, int64_t minute)
{
    return find(&r->minute, r->minutes, RATES_MINUTES, minute);
}

bool rates_is_empty(const struct rates_bucket *b)
{
    return !b->count[RATE_PUSHED] && !b->count[RATE_DONE] && !b->count[RATE_FAILED] && !b->p99;
}
