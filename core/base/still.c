#include "base/still.h"

#include "base/clock.h"

_Atomic int still_mode = STILL_OFF;

static _Atomic int64_t at;    /* where it stands; while it flows: where it stood … */
static _Atomic int64_t since; /* … at this real time */
static _Atomic int64_t epoch; /* wall time minus monotonic time */

void still_begin(void)
{
    atomic_store(&epoch, clock_wall_ns() - clock_steady_ns());
    atomic_store(&at, clock_steady_ns());
    atomic_store(&still_mode, STILL_STANDS);
}

void still_move(int64_t ns)
{
    atomic_fetch_add(&at, ns);
}

void still_set_wall(int64_t wall_ns)
{
    atomic_store(&epoch, wall_ns - still_ns());
}

void still_flow(bool flows)
{
    if (flows == (atomic_load(&still_mode) == STILL_FLOWS))
        return;
    if (flows)
        atomic_store(&since, clock_steady_ns());
    else
        atomic_store(&at, still_ns());
    atomic_store(&still_mode, flows ? STILL_FLOWS : STILL_STANDS);
}

int64_t still_shift_ns(void)
{
    return atomic_load(&at) - atomic_load(&since);
}

int64_t still_ns(void)
{
    return still_stands() ? atomic_load(&at) : clock_steady_ns() + still_shift_ns();
}

int64_t still_wall_ns(void)
{
    return still_ns() + atomic_load(&epoch);
}
