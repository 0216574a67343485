/* lane.h -- one thread, one libuv loop, and the mailbox others reach it by.
 *
 * A lane owns everything made on it; nothing in a lane is touched by another
 * thread.  Others send it a message with lane_post().  Messages from one
 * thread arrive in the order they were sent.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "base/heap.h"

enum lane_kind { LANE_WEB, LANE_JOB, LANE_CONTROL };

struct lane {
    /* immutable */
    uv_loop_t loop;
    int index; /* 0.. over all lanes of the process: the slot of per-lane arrays */
    enum lane_kind kind;
    char name[16];
    /* any thread */
    atomic_bool lost; /* its thread is inside something that does not end: wait for nothing there */
    void *watch;      /* of vm/watchdog.c; NULL = not watched */
    /* lane thread */
    uint64_t heard; /* reads and new connections so far, counted by those who take them */
    /* private to lane.c */
    struct lane_private *p;
};

/* A message: embed it in what is sent.  fn runs on the lane's thread and owns
 * the message from then on. */
struct lane_message {
    struct lane_message *next;
    void (*fn)(struct lane_message *message);
};

typedef void lane_fn(void *arg);

struct lane *lane_create(int index, enum lane_kind kind, const char *name, struct err *err);
/* Runs the loop in a new thread until lane_stop(); `ready` first, on that thread. */
bool lane_start(struct lane *lane, lane_fn *ready, void *arg, struct err *err);
/* Runs it on the calling thread instead (the control lane). */
void lane_run(struct lane *lane);
/* Any thread; safe also before lane_start (delivered at the start).  Wakes the
 * lane once per batch, not once per message. */
void lane_post(struct lane *lane, struct lane_message *message);
/* What this thread posts from now on waits for lane_send_posts(), which wakes each lane once.  In
 * between the thread may not wait for a lane, nor tell anybody that it has posted. */
void lane_hold_posts(void);
void lane_send_posts(void);
/* lane_post with a message of its own for fn(arg). */
void lane_call(struct lane *lane, lane_fn *fn, void *arg);
/* Runs fn(arg) on the lane and waits for its end; never from a lane's own thread. */
void lane_call_wait(struct lane *lane, lane_fn *fn, void *arg);
void lane_stop(struct lane *lane);    /* any thread: the loop ends after what is queued */
void lane_join(struct lane *lane);    /* waits for the thread */
void lane_destroy(struct lane *lane); /* closes what is still open on the loop, frees */
struct lane *lane_current(void);      /* of the calling thread, or NULL */

/* One-shot timers, coalesced on one uv_timer per lane.  Lane thread only.  The
 * timer's memory is the caller's; fire runs once, then the timer is idle. */
struct timer {
    struct heap_node node;
    void (*fire)(struct timer *timer);
    bool upkeep; /* may come late: time that stands still does not move for it */
};
int64_t lane_now(const struct lane *lane); /* loop time, ns, monotonic, cached per iteration */
void timer_start(struct lane *lane, struct timer *timer, int64_t delay_ns); /* restarts */
void timer_stop(struct lane *lane, struct timer *timer);                    /* no-op when idle */

/* -- where time stands still (base/still.h), on the lane's thread -- */

struct lane_rest {
    bool idle;                      /* nothing to run and nothing to read or write */
    int64_t next_ns;                /* the first timer that is not upkeep; INT64_MAX = none */
    uint64_t turns, handled, heard; /* of the loop, messages, lane->heard, so far */
};
/* Fills *out just before the loop looks for events again, when all that this turn brought has
 * run; then fn(arg).  One at a time. */
void lane_look(struct lane *lane, struct lane_rest *out, lane_fn *fn, void *arg);
void lane_time_moved(struct lane *lane); /* timers that are due now run in the next turn */
