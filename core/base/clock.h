/* clock.h -- the two clocks, and their text forms.
 *
 * Inside the core a time is int64_t nanoseconds: monotonic unless the name
 * says _wall (since 1970-01-01 UTC).  Lua sees seconds.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define NS_PER_MS     INT64_C(1000000)

int64_t clock_ns(void);        /* CLOCK_MONOTONIC */
int64_t clock_wall_ns(void);   /* CLOCK_REALTIME */
int64_t clock_steady_ns(void); /* CLOCK_MONOTONIC also where time stands still (still.h): for the
                                  kernel's waits and for how long work takes */
int64_t clock_cpu_ns(void);    /* CPU time of the calling thread */

/* RFC 3339 in UTC with milliseconds, "2026-11-21T04:45:52.123Z". */
void clock_format_utc(int64_t wall_ns, char out[32]);

/* A hundred years: added to a wall clock it stays far from INT64_MAX. */
#define DURATION_MOST (INT64_C(36525) * 86400 * NS_PER_SECOND)
/* "250ms", "30s", "5m", "2h", "1d", or a bare number of seconds -> nanoseconds.
 * False with *err naming the right forms: also for one over DURATION_MOST. */
bool duration_parse(struct str text, int64_t *ns, struct err *err);
/* "64K", "16M", "1G", or bytes -> bytes (powers of 1024). */
bool size_parse(struct str text, int64_t *bytes, struct err *err);
