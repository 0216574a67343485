/* zone.h -- an IANA time zone, read from a TZif file (RFC 8536) and its POSIX rule.
 *
 * The system's tzdata is the source; the C library's own zone (TZ, localtime)
 * is not used, because it is one per process.  A zone is immutable: any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct zone;

enum { ZONE_FILE_BYTES = 1 << 20, ZONE_NAME_BYTES = 64 };

#define ZONE_DIR "/usr/share/zoneinfo"

/* Reads dir/name (dir NULL = ZONE_DIR).  NULL with *err: `time zone "Asia/Soeul":
 * there is no such zone in /usr/share/zoneinfo (package tzdata)`. */
struct zone *zone_load(const char *dir, struct str name, struct err *err);
/* The same from the bytes of a file; bounds are checked, bad bytes are ERR_CORRUPT. */
struct zone *zone_parse(struct str bytes, struct err *err);
void zone_free(struct zone *zone);

/* Offset from UTC in seconds at an instant, and the interval [*from, *to) around
 * it in which it does not change (INT64_MIN, INT64_MAX at the ends). */
int32_t zone_offset(const struct zone *zone, int64_t at, int64_t *from, int64_t *to);

enum zone_local {
    ZONE_ONCE,  /* *at is the instant */
    ZONE_TWICE, /* *at is the first of the two */
    ZONE_NEVER, /* skipped; *at is the first instant after the gap */
};
/* Local wall-clock seconds (as if UTC) → instant. */
enum zone_local zone_instant(const struct zone *zone, int64_t local, int64_t *at);

/* "2026-11-21T13:45:00+09:00" of an instant. */
void zone_format(const struct zone *zone, int64_t at, char out[40]);

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar, and back. */
int64_t date_days(int64_t year, int month, int day);
void date_from_days(int64_t days, int64_t *year, int *month, int *day);
