/* scan.h -- what lies in the plugin folders. */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct bundle;

struct scan_entry {
    char name[64];
    struct bundle *bundle; /* NULL when it cannot be read; err says why */
    struct err err;
    char *note; /* why the bundle is not the folder's content; NULL = it is */
};

struct scan {
    struct scan_entry *entries; /* by name */
    int count;
};

/* Reads every folder that has a plugin.lua below the given directories; a name
 * found first wins.  only: NULL-terminated names to read, NULL = all.  Blocks. */
struct scan scan_read(const char *const *dirs, const char *const *only);
void scan_free(struct scan *scan); /* frees the bundles that were not taken (set to NULL) */
