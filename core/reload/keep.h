/* keep.h -- bundles that have served, kept on disk by content.
 *
 * <dir>/<plugin>.<hash12>/<plugin>/… is a copy of the folder; the newest
 * KEEP_COUNT of a plugin stay.  When a restarted server finds a plugin's folder
 * broken, it serves the newest of these instead.
 *
 * These functions block: pool threads and start-up only.
 */
#pragma once

#include "base/err.h"

struct bundle;

enum { KEEP_COUNT = 5 };

/* Writes it unless it is there; either way it is the newest from now on. */
bool keep_save(const char *dir, const struct bundle *bundle, struct err *err);
/* NULL with *err (ERR_NOT_FOUND when none was kept). */
struct bundle *keep_newest(const char *dir, const char *plugin, struct err *err);
