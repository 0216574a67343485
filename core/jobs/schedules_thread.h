/* schedules_thread.h -- a thread of a shared driver's that answers requests about schedules one
 * after the other: a lease must not wait behind a look.  Known to core/jobs only. */
#pragma once

#include <pthread.h>

#include "jobs/schedules.h"

struct schedules_thread {
    /* set by the driver before the first request; on the thread */
    void (*answer)(void *arg, struct jobs_schedules *s); /* fills *s in */
    void *arg;
    /* private */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    struct list asks;
    bool running, ending; /* it begins with the first request: not every queue has schedules */
};

void schedules_thread_init(struct schedules_thread *t,
                           void (*answer)(void *arg, struct jobs_schedules *s), void *arg);
/* Any thread. */
void schedules_thread_ask(struct schedules_thread *t, struct jobs_schedules *s);
/* What was asked for is answered, so that a lease is given back; then the thread ends. */
void schedules_thread_stop(struct schedules_thread *t);
