/* rates.h -- how much of something went by, and how long it had waited: the last
 * five minutes by the second, the last day by the minute.
 *
 * A series has a fixed size.  What is closed keeps its counts and two
 * percentiles; only the open second and minute keep a histogram.
 *
 * Not thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RATES_SECONDS = 300,
    RATES_MINUTES = 1440,
    RATES_BINS = 160, /* of a wait: four to a doubling, from 1 us to eleven days */
};

enum rate { RATE_PUSHED, RATE_DONE, RATE_FAILED, RATE_COUNT }; /* ORDER rate */

struct rates_bucket {
    uint32_t count[RATE_COUNT];
    uint8_t p50, p99; /* bins of the wait, from 1; 0 = nothing started */
    uint8_t padding[2];
};

struct rates_open {
    int64_t at; /* which second or minute of wall time; 0 = none yet */
    struct rates_bucket bucket;
    uint32_t waited, waits[RATES_BINS];
};

struct rates {
    struct rates_open second, minute;
    struct rates_bucket seconds[RATES_SECONDS], minutes[RATES_MINUTES]; /* at its number % size */
};                                                                      /* {0} is empty */

/* Closes what is over.  Time that goes back counts into what is open. */
void rates_roll(struct rates *rates, int64_t now_s);

static inline void rates_add(struct rates *r, int64_t now_s, enum rate what, uint32_t n)
{
    if (now_s > r->second.at)
        rates_roll(r, now_s);
    r->second.bucket.count[what] += n;
    r->minute.bucket.count[what] += n;
}
void rates_wait(struct rates *rates, int64_t now_s, int64_t wait_ns);

/* A closed minute as it was kept elsewhere; not before the last day. */
void rates_restore(struct rates *rates, int64_t minute, const struct rates_bucket *bucket);
/* A closed or the open minute or second; NULL when it is out of range. */
const struct rates_bucket *rates_second(const struct rates *rates, int64_t second);
const struct rates_bucket *rates_minute(const struct rates *rates, int64_t minute);
bool rates_is_empty(const struct rates_bucket *bucket);
/* The middle of a bin in ns; 0 for bin 0. */
int64_t rates_bin_ns(int bin);
