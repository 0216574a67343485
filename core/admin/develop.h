/* develop.h -- what open pages are told while somebody develops a plugin.
 *
 * A plugin that does not load any more is shown over every page, with the failing
 * lines, until the fix lands.  GET /dev/events tells it as server-sent events
 * "state", the first one at once:
 *
 *   {"set":7,"failures":[{"plugin","message","at","file","line","lines":[{"line","text"}],
 *                         "kept","time"}]}
 *
 * It exists only while the configuration says development = true, because it shows
 * sources to everybody who reaches the server.
 *
 * Threads: the control lane; events are sent on the web lanes.
 */
#pragma once

#include <stdint.h>

struct bundle;
struct channel_hub;
struct develop;
struct reload_error;

struct develop *develop_create(struct channel_hub *hub);
void develop_destroy(struct develop *develop); /* NULL is fine; after the last stream is gone */

/* bundle: the files that failed, or NULL; only read during the call. */
void develop_failed(struct develop *develop, const struct reload_error *error,
                    const struct bundle *bundle);
void develop_recovered(struct develop *develop, const char *plugin);
/* Another set serves: a page that shows a handler's error may try again. */
void develop_swapped(struct develop *develop, uint64_t set);
