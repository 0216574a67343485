/* internal.h -- what reload.c and change.c share; nobody else includes it. */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "loop/lane.h"
#include "loop/pool.h"
#include "reload/reload.h"
#include "reload/rollback.h"
#include "reload/scan.h"

struct change;
struct stopping;

/* What a lane still has to let go; only that lane touches it. */
struct reload_lane {
    struct reload *reload;
    struct lane *lane;
    struct list held;    /* struct held_set: replaced sets with requests in flight here */
    struct list leaving; /* struct leaving: generations whose VM here is on its way out */
    struct timer check;
    bool checking, again;
};

struct reload {
    struct reload_options options;
    _Atomic(struct set *) current;
    struct reload_lane *lanes;
    /* control lane */
    struct list queue; /* struct change, the first one runs */
    bool busy, stopping, loaded_once;
    uint64_t sets;
    int leaving; /* replaced sets and generations that a lane has not let go yet, and what a pool
                    thread writes to disk: the end waits for them */
    struct list draining; /* struct draining, the oldest first */
    struct events *events;
    struct list guards; /* struct guard */
    struct timer guard_timer;
    struct reload_error *errors;
    int error_count;
    struct stopping
        *stop; /* waits for the change that runs; NULL = it began, or none was asked for */
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* -- generation.c and generation_load.c -- */

/* Where VMs are made and closed: the loader, or the pool as long as nothing serves. */
struct pool *generation_pool(const struct generation_lanes *on);
/* Makes the VM of one lane; any thread, as long as the lane does not know it yet.  It fails once
 * *unwanted (NULL = never) is true. */
struct vm *generation_make_vm(struct generation *generation, struct lane *lane,
                              const atomic_bool *unwanted, struct plugin_decl **decl,
                              struct err *err);
/* Every VM holds a reference until it is closed.  Control lane. */
void generation_count_vm(void *generation);
/* For struct vm_options: on the VM's lane, nothing of it runs any more. */
void generation_idle(struct vm *vm, void *generation);

/* On a lane: cancels what its VM there runs and lets it go. */
void generation_drop_vm(struct generation *generation, struct lane *lane);
/* Control lane: a lane that was asked has answered; gives back the reference and the count. */
void generation_settle(struct generation *generation);

/* -- hold.c: kills and quarantine -- */

void reload_killed(void *reload, struct generation *generation, const char *reason);
/* A generation that is to be loaded: whether it is held back, or interpreted. */
void reload_meet(struct reload *reload, struct generation *fresh, bool release);
/* Whether it may take the place of `old` (NULL = nothing serves).  False with *err: it is held back
 * and old is not. */
bool reload_may_replace(const struct generation *fresh, const struct generation *old,
                        struct err *err);
/* One that serves from now on: forgets what its predecessors did. */
void reload_welcome(struct reload *reload, struct generation *fresh, bool release);

/* -- change.c and change_start.c: one transaction -- */

/* One plugin that starts or is replaced. */
struct item {
    struct change *change;
    struct generation *fresh, *old; /* old: NULL for a start */
    bool fell_back;                 /* fresh is not the folder's content but a kept one */
    bool refused; /* it would reach more than was accepted, and nothing serves instead */
    bool stopped; /* old has handed its state over */
    bool started; /* fresh has run its start() */
};

struct change {
    struct list link;
    struct reload *reload;
    /* the request */
    char **names;
    bool forced, first, allow, dry, release, rollback;
    char *hash, *reason, *from; /* of a rollback */
    struct rollback rolling;
    const char *cause;
    reload_done_fn *done;
    void *arg;
    int64_t since;
    /* what is found out */
    struct scan scan;
    struct plan plan;
    struct plan_plugin *serving, *found;
    struct item *items;
    int item_count, loading;
    bool judged; /* whether its plugins may reach what they declare */
    struct set *set;
    int *order; /* of set->generations */
    int at;     /* start: how many of `order` are done */
    struct reload_error *errors;
    int error_count;
    struct pool_job migration;
    struct item *migrating;
    struct err migration_err;
    struct buf warning;
    int64_t swapped;
};

/* Makes `set` current and lets `gone` go; acked(arg) when every lane has seen it. */
void reload_swap(struct reload *reload, struct set *set, struct generation *const *gone, int count,
                 int64_t drain_ns, void (*acked)(void *arg), void *arg);
/* change_plan.c: begins the first change of the queue. */
void change_begin(struct change *change);
/* change.c: the plan is made; loads what it says. */
void change_load(struct change *change);
bool change_is_listed(const char *const *list, const char *name);
struct change *change_create(struct reload *reload, const struct reload_request *request);
struct list *change_link(struct change *change);
struct change *change_of(struct list *link);
/* The change is over: takes the next one of the queue. */
void reload_next(struct reload *reload);
/* stop.c: no change runs or waits any more. */
void reload_stop_when_idle(struct reload *reload);
/* A lane is done with its part of something that stops. */
void reload_check_stopped(struct reload *reload);
/* On a lane: the generation's time is over there. */
void reload_hurry_on_lane(struct reload_lane *lane, const struct generation *generation);

/* -- draining.c: replaced generations on their way out -- */

/* Follows it until its last VM is closed; ends the oldest when there are too many. */
void draining_add(struct reload *reload, struct generation *generation);
void draining_prune(struct reload *reload);

/* -- report.c: what the operator is told -- */

/* Remembers why a plugin's last change failed, until it is forgotten. */
void reload_note(struct reload *reload, const struct reload_error *error);
void reload_forget(struct reload *reload, const char *plugin);
/* permit.c: fills the plan's permissions from what was loaded. */
void permit_plan(struct change *change);
/* Whether an item may reach what it declares.  False with *err, which names what is new. */
bool permit_check(const struct change *change, const struct item *item, struct err *err);
/* An item serves from now on: what it may reach is accepted, kept and, if it is news, logged. */
void permit_accept(const struct change *change, const struct item *item);
/* change_errors.c: notes and logs why the change fails for a plugin. */
void change_add_error(struct change *change, const char *plugin, const char *message, bool refused);
/* Whether the server is stopping, which is the change's error then. */
bool change_is_unwanted(struct change *change);
/* A broken folder that was put back to what serves, or taken away, is not broken any more. */
void change_forget_undone(struct change *change);
/* change_rollback.c: a kept bundle in the folder's place. */
bool change_find_kept(struct change *change);
bool change_is_late(const struct change *change);
/* The set that serves has it: whatever the folders hold now is passed over, or counts again. */
void change_settle_rollbacks(struct change *change);
/* On a pool thread: warns of migrations that a kept bundle does not know. */
void change_warn_ahead(struct change *change);
/* change.c: a restarted server comes up again although a start() fails: the kept bundle is
 * loaded instead, and the set made anew.  False: that cannot help. */
bool change_start_kept(struct change *change, struct item *item, const struct err *failure);
/* change_start.c: migrations, start(), swap; the set is verified. */
void change_migrate(struct change *change);
/* A bundle's migrations/ in order; returns how many, out may be NULL. */
struct migration;
int change_migrations(const struct bundle *bundle, struct migration *out);
/* Reports everything that was made for the change as failed, or as done. */
void change_fail(struct change *change);
void change_fail_with(struct change *change, const char *plugin, const struct err *err);
void change_end(struct change *change, bool ok);
