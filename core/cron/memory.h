/* memory.h -- what each schedule last did, kept across sets and restarts; private to cron.
 *
 * On disk it is the table maru_cron_fire: one row for each fire, and one with
 * job 0 for the moment the schedule was first seen.
 *
 * Threads: control lane.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct lane;
struct memories;
struct sqlite;

struct memory {
    int64_t last;       /* instant of the last fire, seconds; 0 = never */
    int64_t since;      /* nothing up to here was missed; 0 = nobody knows it yet */
    const char *status; /* "fired", "skipped", "failed", or NULL */
};

/* Reads the table; blocks.  NULL with *err. */
struct memories *memories_open(struct sqlite *db, struct lane *lane, struct err *err);
void memories_free(struct memories *m);

/* Of "plugin/id", made when it is not there. */
struct memory *memory_of(struct memories *m, struct str key);
/* One that is new is known since t, and written down by the next memories_write(),
 * so that a host that is down at its first instant makes up for it. */
void memory_begin(struct memories *m, struct str key, int64_t t);
void memories_write(struct memories *m);
/* Now and then: forgets fires of long ago, but for each schedule's last. */
void memories_prune(struct memories *m, int64_t t);
