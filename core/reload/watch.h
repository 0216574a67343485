/* watch.h -- says which plugin folders changed, once they are quiet.
 *
 * inotify on every folder below the plugin paths, new ones included.  Events
 * are gathered until WATCH_QUIET_MS passed without another, so an editor's
 * write-and-rename or a checkout of many files is one change.
 *
 * Threads: everything on the lane it was started on.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum { WATCH_QUIET_MS = 50 };

struct lane;
struct watch;

/* names: NULL-terminated plugin (folder) names; NULL when events were lost and
 * everything may have changed. */
typedef void watch_fn(const char *const *names, void *arg);

/* dirs: NULL-terminated; copied.  A missing directory is left out. */
struct watch *watch_start(struct lane *lane, const char *const *dirs, watch_fn *changed, void *arg,
                          struct err *err);
void watch_stop(struct watch *watch); /* NULL is fine */
