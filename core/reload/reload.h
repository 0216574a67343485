/* reload.h -- the set that serves now, and the transaction that replaces it.
 *
 * A change prepares everything aside: bundles are read, planned, loaded in
 * fresh VMs on every lane, checked against each other, migrated and started.
 * Any failure leaves what serves untouched and is reported with file and line.
 * Then one store of one pointer makes the new set current for all lanes.  The
 * old generations finish their tasks within `drain_ns`, then their VMs are
 * closed by the pool.
 *
 * A plugin with stop() hands its state over: stop(app) of the old generation
 * runs just before start(app, previous) of the new one, while the old one still
 * answers requests; if the change then fails, the old one is given what it
 * returned by another start(app, previous).
 *
 * A plugin that would reach more (M.allow) than it did when it last served is
 * refused like a broken one, until somebody allows it; see permit.c.
 *
 * Threads: the control lane, unless a function says otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "reload/generation.h"
#include "reload/guard.h"
#include "reload/plan.h"
#include "reload/quarantine.h"
#include "reload/set.h"

struct bundle;
struct events;
struct http_server;
struct reload;
struct reload_error;
struct store;

struct reload_options {
    struct generation_lanes on;
    struct set_fixed fixed;
    const char *const *dirs; /* plugin folders' parents, a name found first wins; NULL-terminated */
    const char *const *disabled;  /* plugin names; NULL-terminated */
    const char *const *tolerated; /* may fail at the first load; NULL-terminated */
    const char *const *trusted;   /* may reach more without being allowed to; "*" = all; or NULL */
    const char *accepted_dir;     /* where it is kept what each plugin may reach; or NULL */
    int64_t drain_ns;             /* how long old tasks may go on */
    struct guard_rule guard;      /* when a new generation is rolled back by itself */
    int generations;              /* of one plugin at a time: over it the oldest ends at once */
    int64_t start_ns;             /* deadline of start() and of stop() */
    struct http_server *http;     /* forgets kept answers of replaced plugins; or NULL */
    struct store *store;          /* for migrations; or NULL */
    const char *keep_dir;         /* where served bundles are kept; or NULL */
    bool fallback;                /* first load: a broken plugin is taken from keep_dir */
    /* A plugin's part of the configuration as JSON; the receiver frees it. */
    char *(*config_json)(void *arg, const char *plugin);
    /* Called before a set serves; may refuse it (a schedule that cannot be read). */
    bool (*check)(void *arg, const struct set *set, struct err *err);
    struct quarantine *quarantine; /* or NULL: kills are not counted */
    /* Called when a generation that serves is held back: kinds, sockets. */
    void (*held)(void *arg, struct generation *generation);
    /* Called right after a set has become current: kinds, schedules, topics.  gone: the
     * generations it no longer has. */
    void (*swapped)(void *arg, const struct set *set, struct generation *const *gone, int count);
    /* Called when a plugin's change failed, and when that is over.  bundle: what failed; NULL when
     * it could not be read.  Either may be NULL. */
    void (*failed)(void *arg, const struct reload_error *error, const struct bundle *bundle);
    void (*recovered)(void *arg, const char *plugin);
    void *arg;
};

/* Strings and lists of the options are borrowed as long as it lives. */
struct reload *reload_create(const struct reload_options *options);
void reload_destroy(struct reload *reload); /* after reload_stop is done */

/* The current set; NULL before the first change.  On any of the lanes: good
 * until the caller returns to the loop. */
const struct set *reload_current(const struct reload *reload);
/* For the HTTP server, on its lanes: the same, pinned until released. */
const struct http_set *reload_acquire(void *reload, struct lane *lane);
void reload_release(void *reload, struct lane *lane, const struct http_set *set);
/* For struct host. */
struct vm *reload_find_export(void *reload, struct lane *lane, const char *plugin,
                              const char *function, int *handler, struct err *err);

struct reload_error {
    char plugin[64];
    char message[ERR_MESSAGE_BYTES];
    char generation[GENERATION_LABEL_BYTES]; /* what was refused; "" when it was not read */
    char kept[GENERATION_LABEL_BYTES];       /* "" when nothing serves in its place */
    bool refused; /* it would reach more than was accepted; `allow` accepts it */
    int64_t at_wall;
};

struct reload_result {
    bool ok;
    struct plan plan; /* borrowed, like the rest, until done returns */
    const struct reload_error *errors;
    int error_count;
    const char *warning; /* what the operator must know although it was done; NULL = nothing */
    int64_t took_ns;     /* from the request to the answer */
    int64_t swap_ns;     /* from the pointer's store until every lane saw it */
};
typedef void reload_done_fn(const struct reload_result *result, void *arg);

struct reload_request {
    const char *const *names; /* NULL-terminated, copied; NULL = all */
    bool forced;              /* named plugins reload even when unchanged */
    bool allow;               /* they may reach more than was accepted */
    bool dry;          /* only says what it would do: loads, checks and lets it all go again */
    bool release;      /* what was held against the named ones is forgotten */
    const char *cause; /* static text for the log: "file change" */
    /* Serve a kept bundle instead of the folder: names[0], and the content hash it begins
     * with, or NULL for the newest that neither serves nor failed.  Copied. */
    bool rollback;
    const char *hash, *reason;
    const char *from;     /* nobody asked: only while this content serves, and what the folder has
                             become meanwhile is still loaded; NULL = the operator asked */
    reload_done_fn *done; /* or NULL; when every lane has switched, or on failure */
    void *arg;
};
/* Queues a change; they run one after another. */
void reload_run(struct reload *reload, const struct reload_request *request);

/* Stops every generation; done when all VMs are closed or, if a lane is lost, when those that
 * can be stopped are.  Requests are answered 503 from now on. */
void reload_stop(struct reload *reload, int64_t drain_ns, void (*done)(void *arg), void *arg);

/* Holds the generation with this label back, if it serves, until the process has been
 * replaced: one of its handlers cannot be stopped. */
void reload_suspend(struct reload *reload, const char *label, const char *reason);
/* What is known of a generation's kills. */
struct quarantine_state reload_kills(const struct reload *reload, const struct generation *g);
/* Whether anything is held against the plugin, this content or another that was refused. */
bool reload_has_kills(const struct reload *reload, const char *plugin);

/* Plugins whose last change failed; newest message each. */
const struct reload_error *reload_errors(const struct reload *reload, int *count);

/* Generations of a plugin that are not closed yet, the one that serves included. */
int reload_live(const struct reload *reload, const char *plugin);
/* Remembers what happened to a plugin, beside the log; generation: content hash or "". */
void reload_event(struct reload *reload, const char *plugin, const char *kind,
                  const char *generation, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
const struct events *reload_events(const struct reload *reload);
/* Where bundles are kept (keep.h, rollback.h), or NULL. */
const char *reload_keep_dir(const struct reload *reload);
