/* events.h -- what happened to each plugin, for whoever asks what changed.
 *
 * The newest EVENTS_KEPT of a plugin, in memory; the log has them all.
 * Threads: one; reload's belongs to the control lane.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

enum { EVENTS_KEPT = 64, EVENTS_TEXT = 320 };

struct events;

struct plugin_event {
    int64_t at_wall;
    char kind[24];       /* "loaded" "refused" "rolled back" "killed" … */
    char generation[13]; /* content hash, or "" */
    char text[EVENTS_TEXT];
};

struct events *events_create(void);
void events_destroy(struct events *events);

/* Copies; the oldest of the plugin's goes when there are too many. */
void events_add(struct events *events, const char *plugin, const struct plugin_event *event);
/* The n-th newest of a plugin, 0 = the newest; NULL behind the last one. */
const struct plugin_event *events_get(const struct events *events, const char *plugin, int n);
