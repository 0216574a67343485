/* internal.h -- what reload.c and change.c share; nobody else includes it. */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "loop/lane.h"
#include "reload/reload.h"

struct change;

/* What a lane still has to let go; only that lane touches it. */
struct reload_lane {
    struct reload *reload;
    struct lane *lane;
    struct list held;    /* struct held_set: replaced sets with requests in flight here */
    struct list leaving; /* struct leaving: generations whose VM here is on its way out */
    struct timer check;
};

struct reload {
    struct reload_options options;
    _Atomic(struct set *) current;
    struct reload_lane *lanes;
    /* control lane */
    struct list queue; /* struct change, the first one runs */
    bool busy, stopping, loaded_once;
    uint64_t sets;
    int leaving; /* replaced sets and generations that a lane has not let go yet */
    struct reload_error *errors;
    int error_count;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* Makes `set` current and lets `gone` go; acked(arg) when every lane has seen it. */
void reload_swap(struct reload *reload, struct set *set, struct generation *const *gone, int count,
                 int64_t drain_ns, void (*acked)(void *arg), void *arg);
/* change.c: begins the first change of the queue. */
void change_begin(struct change *change);
struct change *change_create(struct reload *reload, const struct reload_request *request);
struct list *change_link(struct change *change);
struct change *change_of(struct list *link);
/* The change is over: takes the next one of the queue. */
void reload_next(struct reload *reload);
/* Remembers, or with an empty message forgets, why a plugin's change failed. */
void reload_note(struct reload *reload, const struct reload_error *error);
