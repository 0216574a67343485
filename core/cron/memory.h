/* memory.h -- what each schedule last did, kept across sets and restarts; private to cron.
 *
 * Threads: control lane.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"
#include "cron/record.h"

struct metric;

/* Why an instant was not fired.  ORDER drop_reason: names in memory.c. */
enum drop_reason { DROP_MISSED, DROP_OVERLAP, DROP_DEADLINE, DROP_FAILED, DROP_REASONS };

struct memory {
    char *key;          /* "plugin/id" */
    int64_t last;       /* instant of the last fire, seconds; 0 = never */
    int64_t by_hand;    /* when it was last run by hand; 0 = never */
    int64_t since;      /* nothing up to here was missed; 0 = nobody knows it yet */
    int64_t job;        /* its last one, or 0 */
    const char *status; /* "fired", "skipped", "waiting", "failed", or NULL */
    bool paused;
    bool failing; /* the queue refused its fire last time; said so */
    bool pushing; /* its fire is on the way to the queue */
    int64_t dropped[DROP_REASONS];
    struct metric *metrics[DROP_REASONS];
    struct memory *next_dirty;
    bool dirty; /* since is not on disk */
};

struct memories;

struct memories *memories_create(const struct cron_record *record); /* borrowed */
void memories_free(struct memories *m);
/* What the record says, where it knows more. */
void memories_merge(struct memories *m, const struct cron_row *rows, int count);

/* Of "plugin/id", made when it is not there; good as long as m. */
struct memory *memory_of(struct memories *m, struct str key);
/* Nothing up to t was missed; on disk after the next memories_write(). */
void memory_since(struct memories *m, struct memory *memory, int64_t t);
void memory_dropped(struct memory *memory, enum drop_reason reason, int64_t count);
const char *drop_reason_name(enum drop_reason reason);

void memories_write(struct memories *m);
/* Now and then, a few schedules a call: forgets fires of long ago, but for each one's last. */
void memories_prune(struct memories *m, int64_t t);
