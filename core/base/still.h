/* still.h -- time that stands still, for `maru test`.
 *
 * Once begun, clock_ns(), clock_wall_ns() and the lanes' timers tell a time of
 * their own: it stands, moves when it is told to, or flows with the real one
 * from where it stood.  A program that never begins pays one relaxed load.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum still_mode { STILL_OFF, STILL_STANDS, STILL_FLOWS };

extern _Atomic int still_mode; /* read by the inline functions below only */

/* Time stands from now on, at the real present.  Before any other thread. */
void still_begin(void);
/* Both clocks go forward.  Any thread; nothing should be under way meanwhile. */
void still_move(int64_t ns);
/* Sets the wall clock, as an operator would; no time passes by it. */
void still_set_wall(int64_t wall_ns);
/* Lets time flow from where it stands, or stops it again. */
void still_flow(bool flows);

/* Of clock.c and lane.c, when still_is_begun(). */
int64_t still_ns(void);
int64_t still_wall_ns(void);
int64_t still_shift_ns(void); /* while it flows: what real monotonic time lacks */

static inline bool still_is_begun(void)
{
    return __builtin_expect(atomic_load_explicit(&still_mode, memory_order_relaxed) != STILL_OFF,
                            0);
}

static inline bool still_stands(void)
{
    return __builtin_expect(atomic_load_explicit(&still_mode, memory_order_relaxed) == STILL_STANDS,
                            0);
}
