/* watchdog.h -- a thread that notices handlers which hold their lane without waiting.
 *
 * Every entry into Lua is published in a slot of its lane: a few plain stores.
 * The thread looks at the slots 50 times a second.  A handler over its time
 * gets a count hook that stays armed until its task is dead, so that neither
 * pcall nor coroutines go on; the task ends as TASK_KILLED, or as TASK_TIMEOUT
 * when only its deadline has passed.  What honours no hook (machine code of a
 * LuaJIT without CHECKHOOK, a C function without end) is reported as running
 * away: nothing inside the process can stop it.
 *
 * The hook is armed by the lane's own thread, in a signal handler that first
 * looks whether the lane is still inside that same entry: so a state that was
 * left or closed meanwhile is never touched.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct lane;
struct task;
struct vm;
struct watch_slot;
struct watchdog;

enum { WATCH_SIGNAL = SIGUSR1, WATCH_TEXT_BYTES = 128 };

/* What a count hook reaches here. */
enum watch_protection {                    /* ORDER watch_protection */
                        WATCH_INTERPRETED, /* nothing is compiled: everything */
                        WATCH_CHECKED,     /* compiled code too (CHECKHOOK) */
                        WATCH_UNCHECKED,   /* interpreted code only */
};

/* Tries it out with a compiled loop of bounded length; under a millisecond. */
enum watch_protection watchdog_try(void);
const char *watch_protection_name(enum watch_protection p); /* "interpreted" … */
const char *watch_protection_text(enum watch_protection p); /* a sentence for people */

/* A handler that could not be stopped.  Texts live until the callback returns. */
struct watch_report {
    struct lane *lane;
    const char *plugin;  /* "name@hash12" */
    const char *handler; /* "GET /a" */
    int64_t job;         /* the job that it runs, or 0 */
    int64_t held_ns;
};

struct watchdog_options {
    struct lane **lanes; /* started, without a VM entered so far */
    int count;
    /* The watchdog's thread, once for each such entry; the lane is marked lost before. */
    void (*runaway)(void *arg, const struct watch_report *report);
    void *arg;
};

/* Needs the lanes to turn.  NULL with *err. */
struct watchdog *watchdog_start(const struct watchdog_options *options, struct err *err);
/* Before the lanes end; NULL is fine. */
void watchdog_stop(struct watchdog *watchdog);

/* Whether a handler that may hold its lane for limit_ns is over it, having had
 * cpu_ns of processor time in held_ns.  On a machine with too little to give, one that
 * got less than half of its time may hold it up to four times as long. */
bool watch_is_over(int64_t held_ns, int64_t cpu_ns, int64_t limit_ns);

/* -- for task.c: an entry into Lua, on the lane's thread; entries nest -- */

struct watch_entry {
    uint64_t id;
    struct vm *vm;
    struct task *task;
    int64_t began_ns, deadline_ns, limit_ns;
};
/* Publishes *mine and fills *outer with what was published before. */
void watch_enter(struct lane *lane, const struct watch_entry *mine, struct watch_entry *outer);
/* Publishes *outer again and takes an armed hook away. */
void watch_leave(struct lane *lane, struct vm *vm, const struct watch_entry *outer);
