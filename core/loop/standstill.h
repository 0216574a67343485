/* standstill.h -- moves the time that stands still (base/still.h), for `maru test`.
 *
 * A thread of its own asks every lane, again and again, whether there is
 * anything left to do.  When there is nothing, and no thread behind the lanes
 * works either, only time can bring what somebody waits for: it jumps to the
 * next timer.  So a handler that sleeps for an hour is through at once, and no
 * time passes while anything runs.  While a lane waits for the world outside
 * (a real HTTP answer) time flows.
 *
 * Nothing is missed: two rounds of looks with nothing between them on any lane, no
 * message and nothing read, and a quiet background in the middle, mean that all
 * were quiet at that moment.
 */
#pragma once

#include "loop/lane.h"

struct standstill;

struct standstill_options {
    struct lane *const *lanes; /* all of the process; borrowed */
    int count;
    bool (*background)(void *arg); /* any thread: whether threads that are no lanes work */
    bool (*outside)(void *arg, struct lane *lane); /* lane: it waits for the world outside */
    void (*stuck)(void *arg); /* its own thread, once: nothing can ever happen any more; or NULL */
    void *arg;
};

/* What to wait for. */
enum still_goal {
    STILL_SETTLE, /* until only time could bring something */
    STILL_STEP,   /* settle, jump to the next timer, settle */
    STILL_UNTIL,  /* let time pass until `until` (as clock_ns()), timer by timer; settle */
};

/* One question; its memory is the asker's until done.  One at a time: while there is none,
 * time jumps by itself. */
struct still_ask {
    struct lane_message message; /* private, first */
    enum still_goal goal;
    int64_t until;
    struct lane *lane; /* where done runs */
    void (*done)(struct still_ask *ask);
    bool moved; /* answer: time has passed */
};

/* The lanes' loops run already, or will.  NULL with *err. */
struct standstill *standstill_start(const struct standstill_options *options, struct err *err);
void standstill_ask(struct standstill *s, struct still_ask *ask); /* any thread */
/* Time flows from now on; stopped(arg) on the lane, to call standstill_free().  No ask may be
 * pending, and the lanes run until then. */
void standstill_stop(struct standstill *s, struct lane *lane, lane_fn *stopped, void *arg);
void standstill_free(
    struct standstill *s); /* waits for its thread, which has ended or is about to */
