/* validate.h -- conditional and range requests, kinds of content (RFC 9110, sections 8, 13 and 14).
 * Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Whether a list such as `"a", W/"b"` or `*` of If-None-Match (weak comparison)
 * or If-Match (strong) names the entity tag, which is given with its quotes. */
bool etag_listed(struct str list, struct str etag, bool strong);

/* "Sun, 06 Nov 1994 08:49:37 GMT" <-> seconds since the epoch; -1 when malformed. */
int64_t http_date_parse(struct str text);
void http_date_format(int64_t seconds, char out[30]);

enum range_result {
    RANGE_WHOLE,   /* no range, several ranges, or one that is ignored: answer all of it */
    RANGE_PART,    /* *first..*last */
    RANGE_OUTSIDE, /* 416 */
};
enum range_result range_parse(struct str header, uint64_t size, uint64_t *first, uint64_t *last);

/* Whether accept-encoding allows a coding ("gzip", "br"): named with q > 0, or by "*". */
bool encoding_accepted(struct str accept, const char *coding);

/* Whether a content-type is application/json or application/…+json, in UTF-8.  False when empty. */
bool content_is_json(struct str type);
