/* rollback.h -- what serves instead of what lies in a plugin's folder, until that changes.
 *
 * After a rollback the folder still holds the content that was given up.  A file
 * <dir>/rolled_back/<plugin> says so, so that neither the file watch nor a
 * restart loads it again: as long as the folder is as it was, the kept
 * bundle is served in its place.
 *
 * These functions read and write one small file and block that long.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "reload/keep.h"

enum { ROLLBACK_REASON = 200 };

struct rollback {
    char plugin[64];
    char from[KEEP_HASH + 1], to[KEEP_HASH + 1]; /* content hashes, 12 digits */
    char folder[KEEP_HASH + 1]; /* other content of the folder that is passed over; "" = none */
    char reason[ROLLBACK_REASON];
    int64_t at_wall;
};

/* False when there is none. */
bool rollback_read(const char *dir, const char *plugin, struct rollback *out);
bool rollback_write(const char *dir, const struct rollback *rollback, struct err *err);
void rollback_forget(const char *dir, const char *plugin);
/* Whether a folder with this content is to be passed over. */
bool rollback_hides(const struct rollback *rollback, const char *hash);
/* "rolled back from 3f2a91bc04de to 91bc0a27e6d1: reason", the caller's to free. */
char *rollback_text(const struct rollback *rollback);

struct scan;
/* Puts kept bundles, with a note, where the folder's content was given up; `except`
 * (NULL-terminated, or NULL) names plugins whose folder counts. */
void rollback_apply(const char *dir, struct scan *scan, const char *const *except);
