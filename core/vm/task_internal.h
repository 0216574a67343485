/* task_internal.h -- what task.c (life and stopping) and task_wait.c (waiting) share. */
#pragma once

#include "vm/internal.h"

enum {
    TASK_LAST_WAITS = 16, /* a stopped task's waits that fail before it is dropped */
};

enum stop { STOP_NO, STOP_CANCEL, STOP_DEADLINE };

struct task {
    struct vm *vm;
    struct list node; /* in vm->tasks */
    struct task *next_pooled;
    lua_State *L; /* its coroutine; NULL when a new one is needed */
    int ref;      /* L's anchor in the registry */
    struct task_options options;
    /* the wait slot */
    bool waiting;
    task_cancel_fn *cancel;
    void *cancel_arg;
    void (*retired)(void *arg); /* of task_when_retired, or NULL */
    void *retired_arg;
    /* stopping */
    enum stop stop;
    bool told;                /* a wait has failed because of it */
    int refused;              /* waits since then */
    int64_t began, left_lane; /* steady clock: first entered, last left; 0 = not yet */
    int64_t deadline;         /* lane time; the timer starts with the first wait */
    struct timer timer;
    struct timer sleep;       /* of task_sleep */
    struct lane_message turn; /* of task_start_soon */
    /* its memory */
    struct arena *arena;  /* of the call under way */
    struct list deferred; /* task_deferred, newest first */
    const char *holder;
    /* its trace, when that is kept */
    struct span *part;      /* what it does now: options.span, or a part inside of it */
    struct span *wait_span; /* of the wait under way, or of one that is about to begin */
    const char *who;        /* as task_check() was told last */
    struct span **parts;    /* those around `part` */
    int part_count;
    struct task_failure failure;
};

/* The only place that enters Lua on a coroutine. */
void task_run(struct task *task, int args);
/* Calls end, recycles the task; the VM may be gone afterwards. */
void task_finish(struct task *task, enum task_outcome outcome);
/* Which outcome a status of lua_resume or lua_pcall other than 0 is. */
enum task_outcome task_outcome_of(struct task *task, int status);
/* nil, message, code for a wait of a stopped task; returns 3. */
int task_push_stopped(struct task *task, lua_State *L);
void task_on_deadline(struct timer *timer);
void task_call_over(struct task *task); /* frees what task_alloc gave */
void task_clean_up(struct task *task);  /* at its end: runs what is deferred, frees its memory */
/* task_span.c */
void task_span_failed(struct task *task, const char *why); /* the wait's */
void task_wait_span_end(struct task *task);
void task_spans_end(struct task *task, enum task_outcome outcome);
