/* guard.h -- whether a new generation does worse than the one it replaced.
 *
 * For guard_ns after a swap the control lane looks at what the new generation's
 * tasks came to.  When too many of them failed, and more than its predecessor's
 * did, or it was killed twice, the predecessor is put back by a rollback, which is
 * not guarded: it never leads back.  Nor does it lead to what was held back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    GUARD_LOOK_MS = 200, /* between two looks */
    GUARD_KILLS = 2,
};

struct guard_rule {
    int percent; /* of failed tasks over which it goes back; 0 = off */
    int tasks;   /* so many have ended before the share means anything */
    int64_t ns;  /* how long after the swap */
};

struct guard_count {
    int64_t ended, failed;
    int kills;
};

/* Pure.  before: the predecessor's whole life. */
bool guard_is_bad(const struct guard_rule *rule, const struct guard_count *before,
                  const struct guard_count *now);

struct generation;
struct reload;
/* Watches `fresh`, which is about to serve in the place of `old`.  Control lane, as the rest. */
void guard_begin(struct reload *reload, struct generation *fresh, const struct generation *old);
void guard_end_all(struct reload *reload);
