/* flight.h -- the flight recorder: which jobs were running when the process died.
 *
 * A memory-mapped file with one slot for each job a worker may run at once.  A
 * store into it costs no system call and survives the process, though not the
 * power; so a different boot_id blames nobody.
 *
 * Threads: a slot belongs to one worker lane.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct flight;

enum { FLIGHT_SLOTS = 16384 }; /* over all workers of a process */

/* What the last process left in a slot. */
struct flight_entry {
    int64_t id;
    uint64_t fence;
    int64_t started_wall; /* ns */
    int attempt;
};

/* Opens or makes the file; nothing is forgotten before flight_reset(). */
struct flight *flight_open(const char *path, struct err *err);
/* Copies what the last process left into out; returns how many.  *same_boot:
 * the machine has not been restarted since, so the process itself died. */
int flight_read(const struct flight *f, struct flight_entry *out, int max, bool *same_boot);
const char *flight_boot(const struct flight *f); /* this boot's id */
void flight_reset(struct flight *f);             /* empty, under this boot's id */
void flight_set(struct flight *f, int slot, const struct flight_entry *entry);
void flight_clear(struct flight *f, int slot);
void flight_close(struct flight *f); /* what is set stays set */
