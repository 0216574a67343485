/* record.h -- where the fires of schedules, their pauses and the lease of who leads are kept.
 *
 * By default that is the store of this host, which nobody shares.  Where nodes share
 * a queue it is the queue's database, so that its answers come later or not at all.
 *
 * Requests are their maker's until done, which comes once, on the lane, or without
 * one on a thread of the record's; it may come before the call returns.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/lane.h"

struct sqlite;

/* What is known of a schedule; instants in seconds, 0 = none. */
struct cron_row {
    char *schedule; /* "plugin/id" */
    int64_t last;   /* of its last fire */
    int64_t since;  /* nothing up to here was missed */
    int64_t job;    /* of its last fire */
    bool paused;
};
void cron_rows_free(struct cron_row *rows, int count);

/* Every schedule that is known. */
struct cron_load {
    struct lane_message message; /* private, first */
    struct lane *lane;
    void (*done)(struct cron_load *load);
    void *arg; /* the maker's */
    struct err err;
    struct cron_row *rows; /* the maker's to free */
    int count;
};

enum cron_keep_what {
    KEEP_SINCE, /* since, unless a later one is known */
    KEEP_PAUSE, /* since as above, and paused as in the row; the version changes */
    KEEP_PRUNE, /* forget fires before `since` other than the last */
};
struct cron_keep {
    struct lane_message message; /* private, first */
    struct lane *lane;
    void (*done)(struct cron_keep *keep);
    void *arg;
    struct err err;
    enum cron_keep_what what;
    struct cron_row *rows;
    int count;
};

/* Asks for the lease, or to keep it, for lease_ns from now on. */
struct cron_lead {
    struct lane_message message; /* private, first */
    struct lane *lane;           /* where done is called; NULL = any thread */
    void (*done)(struct cron_lead *lead);
    void *arg;
    bool resign; /* gives it up instead */
    int64_t lease_ns;
    int64_t epoch; /* of the lease that is held, 0 = none; the answer's when held */
    struct err err;
    bool held;
    int64_t version; /* other than last time: a pause was changed */
};

struct cron_record {
    void (*load)(void *arg, struct cron_load *load);
    void (*keep)(void *arg, struct cron_keep *keep);
    void (*lead)(void *arg, struct cron_lead *lead); /* NULL: nobody else is there */
    void *arg;
};

/* That of the host's own store.  Makes its table and reads it into *load; blocks. */
bool record_sqlite(struct sqlite *db, struct cron_record *out, struct cron_load *load,
                   struct err *err);
