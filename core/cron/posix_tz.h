/* posix_tz.h -- the rule in a TZif footer, "EST5EDT,M3.2.0,M11.1.0" (POSIX, RFC 8536 §3.3); private
 * to zone.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* From `at` on the offset (seconds east of UTC) applies. */
struct zone_change {
    int64_t at;
    int32_t offset;
};

struct posix_date {
    enum { DATE_JULIAN, DATE_DAY, DATE_WEEKDAY } form; /* Jn, n, Mm.w.d */
    int month, week, day;
    int32_t time; /* local seconds of that day; may be negative or over a day */
};

struct posix_tz {
    int32_t standard, daylight; /* seconds east of UTC */
    bool has_daylight;
    struct posix_date start, end; /* of daylight time */
};

bool posix_tz_parse(struct str text, struct posix_tz *out);
/* The year's two changes, in order. */
void posix_tz_year(const struct posix_tz *tz, int64_t year, struct zone_change out[2]);
