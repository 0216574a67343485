/* json_pick.h -- values inside JSON text, found without building anything.
 *
 * For text that json_read() accepted: the walk trusts its grammar and looks at
 * nothing else.  What it hands out are slices of the text.
 */
#pragma once

#include "base/str.h"

struct json_pick {
    struct str rest;
};

/* Stands before the first element of an array ('[') or pair of an object ('{').  False when the
 * value is not one. */
bool json_pick_open(struct json_pick *p, struct str value, char bracket);
/* The next element; false at the end. */
bool json_pick_item(struct json_pick *p, struct str *value);
/* The next pair; the key is what stands between its quotes, escapes and all. */
bool json_pick_pair(struct json_pick *p, struct str *key, struct str *value);

/* The member of an object (the last one of that name, as Python reads it), or an empty slice when
 * there is none, it is null, or the value is no object.  Keys with escapes in them are not found.
 */
struct str json_pick_get(struct str object, const char *key);
size_t json_pick_count(struct str array); /* elements; 0 when it is no array */

/* Whether the value is a string; its decoded text is appended to out. */
bool json_pick_text(struct str value, struct buf *out);
bool json_pick_number(struct str value, double *out);
