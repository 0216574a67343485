/* ages.h -- how long the oldest of many has waited, without keeping them in order.
 *
 * Counts by the second something became due, in rings of ever wider slots: each
 * one is counted in every ring, and the narrowest ring that the oldest fits in
 * tells its age to one sixteenth.  Entering and leaving take a few additions.
 *
 * Not thread-safe.
 */
#pragma once

#include <stdint.h>

enum { AGES_RINGS = 5, AGES_SLOTS = 256, AGES_STEP = 16 }; /* a ring's slots are AGES_STEP wider */

struct ages {
    int64_t count;
    uint32_t slots[AGES_RINGS][AGES_SLOTS];
}; /* {0} is empty */

/* since: wall seconds; the same when it leaves. */
void ages_enter(struct ages *ages, int64_t since);
void ages_leave(struct ages *ages, int64_t since);
/* Seconds the oldest has waited; 0 when there is none. */
int64_t ages_oldest(const struct ages *ages, int64_t now);
