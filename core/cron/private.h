/* private.h -- the structures of cron, known to core/cron only.  Control lane. */
#pragma once

#include "base/clock.h"
#include "base/heap.h"
#include "base/map.h"
#include "cron/cron.h"
#include "cron/memory.h"
#include "cron/schedule.h"
#include "cron/zone.h"

enum {
    LATE_SECONDS = 60,      /* a fire that comes later than this was missed */
    CRON_TICK_WORK = 20000, /* instants looked at before the lane's other work has its turn */
};

/* One schedule of the set.  In cron->due unless it has nothing to come or a push is
 * under way. */
struct entry {
    struct heap_node due; /* first; key: seconds */
    char *plugin, *id, *pattern, *tz, *kind, *args;
    struct schedule schedule;
    const struct zone *zone;
    struct memory *memory;
    bool enabled;
    int64_t jitter, deadline;
    enum cron_missed missed;
    int missed_max;
    enum cron_overlap overlap;
    int64_t next;       /* the instant to be fired next, or SCHEDULE_NEVER */
    int64_t until;      /* instants up to here were chosen, next is the first of them */
    int64_t not_before; /* it was refused: tried again then; 0 = it was not */
};

/* Who fires.  Monotonic ns. */
struct lead {
    int64_t lease_ns;
    int64_t asked_at, ask_at; /* when it was asked last, and is to be next */
    int64_t trust_until;      /* nobody else fires before */
    int64_t loaded_at;
    int64_t epoch;
    int64_t version, loaded_version;
    bool asking, loading;
    bool leads;   /* it held the lease when it asked last, and knows what is on record */
    bool failing; /* the record did not answer; said so */
};

struct cron {
    struct lane *lane;
    char *tz, *zone_dir;
    void (*push)(struct cron_push *push, void *arg);
    void *arg;
    int64_t (*wall_ns)(void), (*mono_ns)(void);
    struct cron_record record;
    struct map *zones; /* name -> struct zone, never dropped */
    struct memories *memories;
    struct entry *entries;
    int count;
    struct map *by_key; /* "plugin/id" -> entry */
    struct heap due;
    struct timer timer;
    struct lead lead;
    bool idle, stopped, ticking;
    int64_t seen; /* the wall clock at the last tick */
};

/* cron.c: NULL with *err, ERR_NOT_FOUND. */
struct entry *cron_find(struct cron *cron, struct str plugin, struct str id, struct err *err);

static inline int64_t cron_now(const struct cron *cron)
{
    return cron->wall_ns() / NS_PER_SECOND;
}

/* cron.c */
/* Goes on from what is known of each schedule; what nobody knew begins now. */
void entries_begin(struct cron *cron);
void cron_arm(struct cron *cron); /* the timer, for whatever comes first */

/* fire.c */
int64_t entry_due(const struct entry *e); /* when next is to be fired, with its jitter */
void entry_queue(struct cron *cron, struct entry *e);
/* It is due: chooses what to fire, and fires one instant.  *work goes down by what it took. */
void entry_run(struct cron *cron, struct entry *e, int64_t t, int *work);
void entry_fire(struct cron *cron, struct entry *e, int64_t at,
                void (*by_hand)(void *arg, const struct err *err, int64_t job_id), void *arg);

/* lead.c */
void lead_step(struct cron *cron); /* asks when it is time to */
void lead_resign(struct cron *cron);
int64_t lead_wait_ns(const struct cron *cron); /* until it has something to do */
