/* quarantine.h -- which plugins had to be ended by force, and who is held back for it.
 *
 * A record belongs to one content of one plugin (name and the 12 digits of its
 * hash), so a changed file begins anew.  `limit` kills within `window_ns`, over
 * all lanes and over processes, quarantine it.  A plugin that once took its
 * process along runs interpreted from then on.  Records are kept in one small
 * text file, written anew by rename; what cannot be read is passed over.
 *
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    QUARANTINE_NAME_BYTES = 64,
    QUARANTINE_HASH_BYTES = 13,
    QUARANTINE_REASON_BYTES = 200,
    QUARANTINE_KILLS = 1000, /* highest limit */
};

struct quarantine;

struct quarantine_options {
    const char *path;  /* copied */
    int limit;         /* kills … */
    int64_t window_ns; /* … within this time */
};

/* What is known of one content of one plugin; all zero when nothing is. */
struct quarantine_state {
    bool held;
    bool interpreted; /* it took a process along */
    int kills;        /* ever */
    int64_t since_wall;
    char reason[QUARANTINE_REASON_BYTES]; /* of the last kill */
};

/* Reads the file, if there is one. */
struct quarantine *quarantine_open(const struct quarantine_options *options);
void quarantine_close(struct quarantine *quarantine);

/* Counts a kill; true when the plugin is quarantined by it. */
bool quarantine_count(struct quarantine *quarantine, const char *plugin, const char *hash,
                      const char *reason, bool with_process, int64_t now_wall);
struct quarantine_state quarantine_of(struct quarantine *quarantine, const char *plugin,
                                      const char *hash);
/* Whether anything is known of the plugin. */
bool quarantine_has(struct quarantine *quarantine, const char *plugin);
enum quarantine_forgot {
    FORGOT_NOTHING,
    FORGOT_KILLS, /* some of them, which had led to nothing */
    FORGOT_HOLD,  /* it was held back, or interpreted */
};
/* Forgets what is known of the plugin, but for this content (NULL: of all). */
enum quarantine_forgot quarantine_forget(struct quarantine *quarantine, const char *plugin,
                                         const char *but_hash);
/* Puts the records on disk.  Blocks. */
bool quarantine_save(struct quarantine *quarantine, struct err *err);

/* Whether the newest of `count` kills is the limit-th within window_ns; at is sorted. */
bool quarantine_is_reached(const int64_t *at, int count, int limit, int64_t window_ns);
