/* generation.h -- one load of one plugin: its bundle, its declaration, one VM for each lane.
 *
 *   loading ──▶ ready ──▶ serving ──▶ draining ──▶ stopped
 *      └──────────┴─▶ stopped (it never served)
 *
 * Loading makes all VMs on a pool thread, the one of the home lane first; it
 * gives the declaration, and the others must sort their handlers the same way.
 * From then on a VM is only touched by its lane; the state above and every
 * function here, unless it says otherwise, belong to the control lane.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "vm/counters.h"
#include "vm/plugin.h"

struct bundle;
struct generation;
struct host;
struct lane;
struct pool;
struct vm;

enum generation_state { /* ORDER generation_state */
                        GENERATION_LOADING,
                        GENERATION_READY,
                        GENERATION_SERVING,
                        GENERATION_DRAINING,
                        GENERATION_STOPPED,
};

enum {
    GENERATION_LABEL_BYTES = 96,
    GENERATION_RETRY_SECONDS = 1, /* between tries to make a VM that could not be rebuilt */
};

/* Where plugins run. */
struct generation_lanes {
    struct lane **lanes; /* web and job lanes; [i]->index == i */
    int count;
    struct lane *control;
    const struct host *host;
    atomic_bool stopping; /* set once: what is being loaded is not wanted any more */
    /* control lane */
    bool serves;                  /* requests may be under way, and loading gives way to them */
    int vms_open;                 /* VMs that are not closed yet, and lanes asked to let one go */
    void (*vm_closed)(void *arg); /* told after each; may be NULL */
    void *vm_closed_arg;
    /* Control lane: a VM was ended by force (see generation_killed); may be NULL. */
    void (*killed)(void *arg, struct generation *generation, const char *reason);
    void *killed_arg;
};

/* Of one lane; only that lane touches it. */
struct generation_slot {
    struct vm_counters counters; /* any thread may read them */
    bool missing;                /* its VM was discarded; the next use makes one */
    int64_t retry_at;            /* not before: the last try failed */
    bool leaving;                /* it takes no new tasks */
};

/* Why nothing of a generation runs. */
struct generation_hold {
    bool restarting; /* only until this process has been replaced */
    int kills;
    int64_t since_wall;
    char reason[200];
};

struct generation {
    /* immutable after it is ready */
    struct generation_lanes *on;
    struct bundle *bundle;
    char name[64], label[GENERATION_LABEL_BYTES]; /* "guestbook@3f2a91bc04de" */
    char *config_json;
    char config_hash[17];
    struct plugin_decl *decl;
    int home; /* lane index where start, stop and health run */
    int64_t loaded_wall;
    bool interpreted; /* nothing of it is compiled, whatever the plugin says */
    /* slot i belongs to lane i */
    struct vm **vms;
    struct generation_slot *slots;
    /* control lane */
    enum generation_state state;
    int refs;       /* sets that contain it, the change that makes it, VMs that are open */
    int vms_open;   /* still to go idle */
    int emptying;   /* lanes that were asked to let its VM go */
    void *attached; /* of who runs its jobs: one block, freed with the generation */
    char *given;    /* what the predecessor's stop returned, JSON; NULL = nothing */
    /* any lane */
    _Atomic int kills; /* VMs of it that were ended by force */
    _Atomic(struct generation_hold *) hold;
};

typedef void generation_fn(struct generation *generation, const struct err *failure, void *arg);

/* Takes the bundle; copies config_json.  Holds one reference for the caller. */
struct generation *generation_create(struct generation_lanes *on, struct bundle *bundle,
                                     struct str config_json);
void generation_ref(struct generation *generation);
/* The last one frees bundle and declaration; its VMs are closed by then. */
void generation_unref(struct generation *generation);

/* Makes all VMs; done runs once on the control lane.  On failure (file and line
 * in the message) those that were made are closed again. */
void generation_load(struct generation *generation, generation_fn *done, void *arg);

/* Runs start(app, previous) in the home lane within deadline_ns; a plugin
 * without one is done at once.  previous: JSON or NULL; copied. */
void generation_start(struct generation *generation, const char *previous, int64_t deadline_ns,
                      generation_fn *done, void *arg);
/* Runs stop(app); what it returns is JSON in *result, the receiver's to free (NULL = nothing). */
typedef void generation_stop_fn(struct generation *generation, char *result,
                                const struct err *failure, void *arg);
void generation_stop(struct generation *generation, int64_t deadline_ns, generation_stop_fn *done,
                     void *arg);

/* On a lane, for its own VM: takes no new tasks; when the last one has ended
 * the VM goes to the reaper.  Cancel ends what is left. */
void generation_leave(struct generation *generation, struct lane *lane);
void generation_cancel(struct generation *generation, struct lane *lane);
/* A generation that never served: closes all VMs.  Drops the caller's reference. */
void generation_discard(struct generation *generation);

/* On a lane: its VM there was ended by force (a task over its memory or without end).  Counts
 * it, discards the VM, whose other tasks are cancelled, and tells on->killed; the next use of
 * the generation on this lane makes a fresh one.  reason is copied. */
void generation_killed(struct generation *generation, struct lane *lane, const char *reason);

/* Holds it back from now on, for good; the first reason stays.  Its VMs, if it has any, go
 * with generation_empty(); start and stop of it do nothing. */
void generation_hold(struct generation *generation, const struct generation_hold *why);
const struct generation_hold *generation_held(const struct generation *generation); /* any thread */
/* emptied comes when nothing of it runs on any lane (those that are lost apart). */
void generation_empty(struct generation *generation,
                      void (*emptied)(void *arg, struct generation *generation), void *arg);

/* On a lane, before a handler runs: its VM there, made again if it was discarded.  NULL
 * when there is none to run it (it could not be made, is leaving, or is held back). */
struct vm *generation_vm(struct generation *generation, struct lane *lane);

/* Sums over its VMs, also those that were discarded.  Any thread that holds it. */
struct generation_usage {
    int64_t memory_bytes, tasks, started, ended, cancelled, faults, cpu_ns;
    int64_t refused[CAP_COUNT];
    double p50, p99;           /* seconds from the start of a task to its end */
    double hold_p50, hold_p99; /* seconds that it holds a lane without waiting */
};
struct vm_totals generation_totals(const struct generation *generation);
struct generation_usage generation_usage(const struct generation *generation);

const char *generation_state_name(enum generation_state state);
void generation_label(const struct bundle *bundle, char out[GENERATION_LABEL_BYTES]);
/* 16 hex digits of a configuration text. */
void generation_config_hash(struct str config_json, char out[17]);
