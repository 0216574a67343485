/* schedule.h -- when a pattern fires: text and time zone in, instants out.  Pure.
 *
 * Five fields "minute hour day month weekday", or six with the second in front:
 * numbers, names (jan, mon), lists 1,2, ranges 1-5, steps after / (0-30/5); Sunday
 * is 0 and 7.  "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly",
 * and "@every 30s" (1 s … 366 d).
 *
 * Day and weekday both restricted: either may match (Vixie).
 *
 * Changes of the clock: a pattern whose second, minute and hour are single numbers
 * or lists is *fixed*: local times that a change skips fire once, at the first
 * instant after it; of local times that come twice the first fires.  Any other
 * pattern is an *interval*: it follows real elapsed time, so through both hours
 * of an overlap, and misses nothing at a gap.  "@every d" fires at the multiples
 * of d since 1970, so that every node agrees on the instants.
 *
 * Instants are seconds since 1970-01-01 UTC.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct zone;

enum { SCHEDULE_PATTERN_BYTES = 256 };

#define SCHEDULE_NEVER INT64_MAX

struct schedule {
    int64_t every; /* seconds; 0 = the fields below */
    uint64_t seconds, minutes;
    uint32_t hours, days, months, weekdays; /* bit n = value n */
    bool any_day, any_weekday;              /* written as * */
    bool interval;
};

/* False with *err naming the field: "cron pattern "61 * * * *": minute: 61 is not
 * in 0-59".  A date that no year has (30 February) is refused too. */
bool schedule_parse(struct str text, struct schedule *out, struct err *err);

/* The first instant > after; SCHEDULE_NEVER when there is none within 40 years. */
int64_t schedule_next(const struct schedule *schedule, const struct zone *zone, int64_t after);
/* The last instant in (after, until]; SCHEDULE_NEVER when there is none. */
int64_t schedule_latest(const struct schedule *schedule, const struct zone *zone, int64_t after,
                        int64_t until);
/* How many instants are in (after, until], counted up to `most`. */
int schedule_count(const struct schedule *schedule, const struct zone *zone, int64_t after,
                   int64_t until, int most);
/* Fills out with the next n; returns how many there are. */
int schedule_next_n(const struct schedule *schedule, const struct zone *zone, int64_t after,
                    int64_t *out, int n);
