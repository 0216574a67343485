/* plan.h -- what a reload would do, decided without doing anything.
 *
 * (what serves, what lies in the plugin folders, what the configuration says)
 * → one step for each plugin, with a reason.  `maru check`, the admin API and
 * the dashboard show the same list.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "vm/capability.h"

enum plan_action { PLAN_KEEP, PLAN_START, PLAN_REPLACE, PLAN_STOP }; /* ORDER plan_action */

/* One plugin as it serves, or as it was found.  Strings are borrowed. */
struct plan_plugin {
    const char *name;
    const char *hash;        /* of the folder's content */
    const char *config_hash; /* of its part of the configuration */
    bool disabled;           /* found, but plugins.disable names it */
    const char *note;        /* found: why it is not the folder's content; NULL = it is */
};

struct plan_step {
    const char *plugin; /* borrowed from the input */
    enum plan_action action;
    const char *reason;    /* "files changed"; static text, or the note of what was found */
    const char *from, *to; /* content hashes, NULL when there is none; borrowed */
    int found;             /* index in what was found; -1 for a plugin that goes */
    int serving;           /* index in what serves; -1 for a new one */
    /* What it may reach afterwards and not before, and the other way round.  Empty until
     * plan_permissions: a declaration is only known once it is loaded. */
    struct capability_diff permissions; /* owned */
};

struct plan {
    struct plan_step *steps; /* by name */
    int count;
    int changes; /* steps other than keep */
};

/* `only`: NULL-terminated names a reload was asked for; the others are kept as they
 * are.  NULL = all.  `forced`: plugins named in `only` are replaced even if unchanged. */
struct plan plan_make(const struct plan_plugin *serving, int serving_count,
                      const struct plan_plugin *found, int found_count, const char *const *only,
                      bool forced);
void plan_free(struct plan *plan);

/* What a step's plugin may reach now (empty when nothing serves) and afterwards. */
void plan_permissions(struct plan_step *step, const struct capability_list *before,
                      const struct capability_list *after);

const char *plan_action_name(enum plan_action action); /* "keep" "start" "replace" "stop" */
/* A table for people:
 * "replace  guestbook  3f2a… -> 91bc…  files changed  + net api.example.com:443". */
void plan_print(const struct plan *plan, struct buf *out);
/* [{"plugin","action","reason","from","to","permissions":{"added":[…],"removed":[…]}}] */
void plan_json(const struct plan *plan, struct buf *out);
