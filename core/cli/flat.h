/* flat.h -- JSON as lines of path and value, and arrays of objects as tables.
 *
 * {"plan":[{"plugin":"a"}],"ok":true} → "plan.0.plugin" = "a", "ok" = "true".
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct flat_value {
    char *path, *text; /* null is "-"; characters that steer a terminal are "?" */
};

struct flat {
    struct flat_value *values; /* in the order of the JSON */
    struct flat_value **sorted;
    int count;
};

bool flat_read(struct str json, struct flat *out, struct err *err);
void flat_free(struct flat *flat);
/* The value at a path made like printf, or NULL. */
const char *flat_get(const struct flat *flat, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints rows prefix.0, prefix.1 … (prefix "" = the array itself) under the
 * given columns, NULL-terminated, as wide as they need.  Returns how many. */
int flat_print_table(const struct flat *flat, const char *prefix, const char *const *columns);

/* Prints what is at and below a key, "args.to.0  kim" a line, unless it is null. */
void flat_print_below(const struct flat *flat, const char *key, int width);
