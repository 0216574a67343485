/* keep.h -- bundles that have served, kept on disk by content.
 *
 * <dir>/<plugin>.<hash12>/<plugin>/… is a copy of the folder; beside it stand
 * `version`, written whenever the bundle begins to serve, and `failed`, why it
 * was rolled back.  The newest KEEP_COUNT of a plugin stay.  A rollback serves
 * one of them, and so does a restarted server that finds a plugin's folder broken.
 *
 * These functions block: pool threads, start-up, and what an operator asked for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct bundle;

enum { KEEP_COUNT = 5, KEEP_HASH = 12, KEEP_TEXT = 200 };

struct kept {
    char hash[KEEP_HASH + 1];
    char version[64];
    char failed[KEEP_TEXT]; /* why it was rolled back; "" when it was not */
    int64_t at_wall;        /* when it last began to serve */
};

/* Writes it unless it is there; either way it is the newest from now on, and has not failed. */
bool keep_save(const char *dir, const struct bundle *bundle, const char *version, struct err *err);
/* The newest first; NULL when there are none (mem_free). */
struct kept *keep_list(const char *dir, const char *plugin, int *count);
/* The bundle whose hash begins so.  NULL with *err: ERR_NOT_FOUND, ERR_CONFLICT when several
 * begin so, ERR_CORRUPT when it is not what was kept. */
struct bundle *keep_read(const char *dir, const char *plugin, const char *hash, struct err *err);
/* The newest that can be read and has not failed; NULL with *err (ERR_NOT_FOUND when none was
 * kept). */
struct bundle *keep_newest(const char *dir, const char *plugin, struct err *err);
/* Remembers that it was rolled back. */
bool keep_fail(const char *dir, const char *plugin, const char *hash, const char *why,
               struct err *err);
