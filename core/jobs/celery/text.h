/* celery/text.h -- the small text forms Python's Celery uses: times, base64, reprs, typed JSON.
 *
 * Pure; any thread.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

enum { CELERY_REPR_BYTES = 1024, CELERY_TIME_BYTES = 40 };

/* ISO 8601 as datetime.isoformat() and Celery's parser know it: date, 'T' or a space, time with up
 * to nine digits of fraction, then nothing (UTC), Z, +hh:mm, +hhmm or +hh; a date alone is its
 * midnight.  Wall time in ns.  False: it is not one, or not between 1970 and 2261. */
bool celery_time_parse(struct str text, int64_t *wall_ns);
/* "2026-11-21T01:30:27.062752+00:00"; `offset` false leaves the end out, as date_done of 5.2 has
 * it. */
void celery_time_format(int64_t wall_ns, bool offset, char out[CELERY_TIME_BYTES]);

void celery_base64(struct str bytes, struct buf *out);
bool celery_unbase64(struct str text, struct buf *out); /* false: it is not base64 */

/* Python's repr() of a JSON value, cut after CELERY_REPR_BYTES with "..." as saferepr() does. */
void celery_repr(struct str json, struct buf *out);

/* Copies a JSON value with kombu's typed values ({"__type__":…,"__value__":…}, and the older
 * {"bytes":…,"__bytes__":true}) turned into plain strings: a datetime stays its ISO text, a uuid is
 * its usual form, bytes are their text if they are UTF-8 and base64 otherwise. */
void celery_plain(struct str json, struct buf *out);

/* A random UUID version 4, which Celery's own ids are. */
void celery_uuid(char out[37]);
