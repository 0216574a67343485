/* counters.h -- what one plugin generation did on one lane.
 *
 * Written by the lane's thread with plain loads and stores, read by any (relaxed).  They
 * outlive the VM: a rebuilt one counts on.  Zeroed memory is ready to use.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Four buckets for each power of two, so a quantile is off by an eighth at most. */
enum {
    SPREAD_FIRST_BIT = 10, /* below 1 us is one bucket */
    SPREAD_LAST_BIT = 40,  /* from 18 min on is the last one */
    SPREAD_BUCKETS = (SPREAD_LAST_BIT - SPREAD_FIRST_BIT) * 4 + 2,
};

/* A histogram of durations. */
struct spread {
    _Atomic int64_t buckets[SPREAD_BUCKETS];
    _Atomic int64_t sum_ns;
};

/* What a plugin may have only so many of, see limits in plugin.h. */
enum vm_cap { /* ORDER vm_cap */
              CAP_TASKS,
              CAP_TIMERS,
              CAP_SOCKETS,
              CAP_CONNECTIONS,
              CAP_COUNT,
};
const char *vm_cap_name(enum vm_cap cap); /* "tasks" … */

struct vm_counters {
    _Atomic int64_t memory_bytes, tasks;            /* now */
    _Atomic int64_t started, ended, failed, killed; /* tasks; killed ones have failed, too */
    _Atomic int64_t cancelled; /* ended because nobody waited or the VM had to go */
    _Atomic int64_t faults;    /* ended by a fault: raised (but app.fail below 500), late, killed */
    _Atomic int64_t cpu_ns;
    _Atomic int64_t refused[CAP_COUNT]; /* for being one too many */
    struct spread latency;              /* of tasks, from their start to their end */
    struct spread hold;                 /* of what ran on the lane without waiting */
};

/* Sums of several, as plain numbers. */
struct vm_totals {
    int64_t memory_bytes, tasks, started, ended, failed, killed, cancelled, faults, cpu_ns;
    int64_t refused[CAP_COUNT];
    struct {
        int64_t buckets[SPREAD_BUCKETS], sum_ns, count;
    } latency, hold;
};

static inline int64_t counter_get(const _Atomic int64_t *counter)
{
    return atomic_load_explicit((_Atomic int64_t *)counter, memory_order_relaxed);
}
/* Only one thread writes, so a load and a store are enough. */
static inline void counter_add(_Atomic int64_t *counter, int64_t by)
{
    atomic_store_explicit(counter, counter_get(counter) + by, memory_order_relaxed);
}

static inline int spread_bucket(int64_t ns)
{
    if (ns < (int64_t)1 << SPREAD_FIRST_BIT)
        return 0;
    int bit = 63 - __builtin_clzll((unsigned long long)ns);
    if (bit >= SPREAD_LAST_BIT)
        return SPREAD_BUCKETS - 1;
    return (bit - SPREAD_FIRST_BIT) * 4 + (int)(ns >> (bit - 2) & 3) + 1;
}
static inline void spread_add(struct spread *spread, int64_t ns)
{
    counter_add(&spread->buckets[spread_bucket(ns)], 1);
    counter_add(&spread->sum_ns, ns);
}

void vm_totals_add(struct vm_totals *totals, const struct vm_counters *counters);
/* Seconds that the share `part` (0.99) of all was no longer than; 0 when there were none. */
double vm_latency(const struct vm_totals *totals, double part);
double vm_hold(const struct vm_totals *totals, double part);

/* Prometheus text of many generations, family by family; labels as metrics.h has them. */
struct vm_sample {
    const char *labels; /* plugin="x",generation="3f2a91bc04de" */
    struct vm_totals totals;
    int64_t kills; /* of VMs */
};
void vm_samples_print(const struct vm_sample *samples, int count, struct buf *out);
/* Whether that is one of the families printed there: "maru_plugin_tasks". */
bool vm_samples_have(const char *family);
