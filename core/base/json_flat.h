/* json_flat.h -- JSON as paths and values, one after another as they stand in the text.
 *
 * {"plan":[{"plugin":"a"}],"ok":true} is an object at "", an array at "plan", an object at
 * "plan.0", "a" at "plan.0.plugin" and true at "ok".
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* Good during the call. */
struct json_flat {
    const char *path;
    int depth; /* how many names and numbers the path has: 0 = the whole */
    enum json_flat_kind {
        JSON_FLAT_NULL,
        JSON_FLAT_BARE,
        JSON_FLAT_STRING,
        JSON_FLAT_OBJECT,
        JSON_FLAT_ARRAY,
    } kind;
    struct str text; /* BARE: a number or boolean as written; STRING: decoded */
};

/* Calls take for each, an object or array before what is in it; false stops, with *err set by it.
 * False with *err as json_read. */
bool json_flat(struct str json, int max_depth,
               bool (*take)(void *arg, const struct json_flat *value, struct err *err), void *arg,
               struct err *err);
