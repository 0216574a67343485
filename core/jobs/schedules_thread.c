#include "jobs/schedules_thread.h"

#include <signal.h>

#include "jobs/driver.h"

void schedules_thread_init(struct schedules_thread *t,
                           void (*answer)(void *arg, struct jobs_schedules *s), void *arg)
{
    *t = (struct schedules_thread){.answer = answer, .arg = arg};
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    list_init(&t->asks);
}

static void *run(void *arg)
{
    struct schedules_thread *t = arg;
    pthread_mutex_lock(&t->lock);
    while (!t->ending || !list_empty(&t->asks)) {
        struct list *first = t->asks.next;
        if (list_empty(&t->asks)) {
            pthread_cond_wait(&t->wake, &t->lock);
            continue;
        }
        list_remove(first);
        pthread_mutex_unlock(&t->lock);
        struct jobs_schedules *s = list_entry(first, struct jobs_schedules, link);
        t->answer(t->arg, s);
        schedules_answer(s);
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* Lock held.  Signals are the control lane's. */
static bool start(struct schedules_thread *t, struct err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&t->thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    t->running = !failed;
    return !failed || err_sys(err, failed, "jobs: thread");
}

void schedules_thread_ask(struct schedules_thread *t, struct jobs_schedules *s)
{
    pthread_mutex_lock(&t->lock);
    bool ok = t->running || start(t, &s->err);
    if (ok) {
        list_push_back(&t->asks, &s->link);
        pthread_cond_signal(&t->wake);
    }
    pthread_mutex_unlock(&t->lock);
    if (!ok)
        schedules_answer(s);
}

void schedules_thread_stop(struct schedules_thread *t)
{
    pthread_mutex_lock(&t->lock);
    t->ending = true;
    pthread_cond_signal(&t->wake);
    bool running = t->running;
    pthread_mutex_unlock(&t->lock);
    if (running)
        pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
}
