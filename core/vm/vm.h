/* vm.h -- one lua_State of one plugin generation on one lane.
 *
 * Memory is counted and limited by an allocator of its own; the standard
 * library is cut down to what a plugin may have (sandbox.c); `require` reaches
 * the plugin's bundle and maru.* only.  lua_getallocf gives the VM back from
 * any lua_State, which is how bindings find their host in a few instructions.
 */
#pragma once

#include <lua.h>
#include <stdatomic.h>

#include "base/err.h"
#include "base/str.h"
#include "vm/bundle.h"
#include "vm/counters.h"
#include "vm/plugin.h"

struct host;
struct lane;
struct task;
struct vm;

struct vm_options {
    struct lane *lane;           /* the only thread that enters it */
    const struct host *host;     /* what bindings reach; outlives the VM */
    const struct bundle *bundle; /* borrowed; outlives the VM */
    const char *label;           /* "name@hash12", borrowed */
    struct str config_json;      /* this plugin's part of the configuration */
    int64_t memory_limit;        /* bytes; 0 = default; the plugin's limits may lower or raise it */
    int64_t watchdog_ns;         /* how long a handler may hold its lane without waiting, unless
                                    the plugin's limits say; 0 = 1 s */
    bool interpreted;            /* nothing is compiled, whatever the plugin says */
    const char *boot;            /* first file of the host library; NULL = "maru.boot" (a plugin) */
    int64_t load_ns;             /* how long its files may take to run; 0 = 10 s */
    const atomic_bool *unwanted; /* vm_create gives up once it is true; NULL = never */
    struct vm_counters *counters;             /* outlive the VM; NULL = its own */
    void *owner;                              /* the generation, for end callbacks */
    void (*idle)(struct vm *vm, void *owner); /* lane: the last task of a retired VM ended */
    /* Lane, once: one of its tasks was ended by force, so the VM is to be discarded.  A task of
     * it is not over yet, so it does not become idle in here.  reason is borrowed. */
    void (*killed)(struct vm *vm, void *owner, const char *reason);
};

/* Makes the state and runs plugin.lua in it, on any thread: the lane enters it
 * only afterwards.  NULL with *err "plugins/x/plugin.lua:7: …" (path as in the
 * bundle).  On success *decl (when not NULL) receives the declaration, to be
 * freed by plugin_decl_free. */
struct vm *vm_create(const struct vm_options *options, struct plugin_decl **decl, struct err *err);
/* Whether more of its code may be compiled from now on (if the plugin allows it at all):
 * interpreted code can always be stopped.  Lane thread, outside of its tasks. */
void vm_compile(struct vm *vm, bool on);
/* Takes the normalised declaration on top of L's stack as the VM's own, where plugin.lua is read
 * later than at the start (maru test). */
void vm_declare(struct vm *vm, lua_State *L);
/* Must have no tasks.  Any thread (a reaper closes big states). */
void vm_destroy(struct vm *vm);
/* vm_destroy on a thread of its own, waited for: its memory is everybody's again.  Any thread. */
void vm_reap(struct vm *vm);

struct vm *vm_of(lua_State *L);
struct lane *vm_lane(const struct vm *vm);
const struct host *vm_host(const struct vm *vm);
const char *vm_label(const struct vm *vm);  /* "name@hash12" */
const char *vm_plugin(const struct vm *vm); /* "name" */
void *vm_owner(const struct vm *vm);
const struct bundle *vm_bundle(const struct vm *vm); /* the files it runs */
const struct plugin_decl *vm_decl(const struct vm *vm);

/* Takes no new tasks; `idle` is called when the last one has ended (at once,
 * on the lane, if there is none).  vm_cancel_tasks cancels those left. */
void vm_retire(struct vm *vm);
void vm_cancel_tasks(struct vm *vm);
bool vm_retired(const struct vm *vm);

/* Counted by the lane's thread, readable from any (relaxed). */
struct vm_usage {
    int64_t memory_bytes, memory_limit;
    int64_t tasks;           /* running now */
    int64_t started, errors; /* these and cpu_ns: of its counters, so of VMs before it too */
    int64_t cpu_ns;          /* spent inside this VM */
};
struct vm_usage vm_usage(const struct vm *vm);
bool vm_broken(const struct vm *vm); /* out of memory happened: discard and rebuild */

/* One more of what the plugin may have only so many of (timers, connections), until
 * vm_give.  False with *err (ERR_LIMIT, naming the limit) and counted when it has all
 * it may have.  Lane thread. */
bool vm_take(struct vm *vm, enum vm_cap cap, struct err *err);
void vm_give(struct vm *vm, enum vm_cap cap);
/* The same refusal for what is counted elsewhere: false when `count` are there already. */
bool vm_may_have(struct vm *vm, enum vm_cap cap, int64_t count, struct err *err);

/* Bytes outside of the Lua state that a call holds for the plugin (a statement's values on
 * their way) count against its memory until vm_uncharge.  False with *err (ERR_LIMIT)
 * when there is no room.  Lane thread. */
bool vm_charge(struct vm *vm, size_t bytes, struct err *err);
void vm_uncharge(struct vm *vm, size_t bytes);
/* Where a handler begins: "plugins/guestbook/plugin.lua:7"; "" when that is not known.  On the
 * lane, outside of Lua. */
void vm_place(struct vm *vm, int handler, char *out, size_t size);

/* Bytes for one call of a binding: empty, valid until the next vm_scratch.  It has an
 * owner, so a Lua error in between loses nothing. */
struct buf *vm_scratch(struct vm *vm);

/* What bind/ modules keep per VM, by name; not freed here. */
void vm_set_slot(struct vm *vm, const char *name, void *value);
void *vm_get_slot(const struct vm *vm, const char *name);
