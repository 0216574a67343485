/* words.h -- a host whose jobs do what the word in their arguments says. */
#pragma once

#include "jobs/host.h"

/* What the run function does is in the arguments: each job is one word. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char seen[4096]; /* arguments in the order of their runs, with spaces */
static int running, most_running, runs;
static struct job_run *waiting[16]; /* runs that "wait" until somebody ends them */
static int waiting_n;
static enum job_end cancelled_with;

static inline void note(const struct job_run *run)
{
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof seen - n, "%.*s ", (int)run->args.n, run->args.p);
    runs++;
}

static inline bool says(const struct job_run *run, const char *word)
{
    return str_starts(run->args, str_c(word));
}

static inline void run_word(struct job_run *run, void *arg)
{
    (void)arg;
    struct job_outcome outcome = {.end = JOB_END_DONE};
    pthread_mutex_lock(&lock);
    note(run);
    bool wait = says(run, "\"wait");
    if (wait)
        waiting[waiting_n++] = run;
    if (++running > most_running)
        most_running = running;
    pthread_mutex_unlock(&lock);
    if (wait)
        return;
    if (says(run, "\"fail"))
        outcome = (struct job_outcome){
            .end = JOB_END_FAILED, .error = STR("it broke"), .traceback = STR("at line 7")};
    if (says(run, "\"once") && run->attempt == 1)
        outcome = (struct job_outcome){.end = JOB_END_FAILED, .error = STR("once")};
    if (says(run, "\"again") && run->attempt < 3)
        outcome = (struct job_outcome){.end = JOB_END_RETRY, .delay_ns = 1000};
    if (says(run, "\"stubborn"))
        outcome = (struct job_outcome){
            .end = JOB_END_RETRY, .delay_ns = 1000, .error = STR("no"), .traceback = STR("at 8")};
    if (says(run, "\"discard"))
        outcome = (struct job_outcome){.end = JOB_END_DISCARDED, .error = STR("no use")};
    if (says(run, "\"result"))
        outcome.result = STR("{\"answer\":42}");
    if (says(run, "\"slow"))
        host_sleep(5);
    pthread_mutex_lock(&lock);
    running--;
    pthread_mutex_unlock(&lock);
    jobs_finish(run, &outcome);
}

static inline void on_cancel(struct job_run *run, enum job_end why, void *arg)
{
    (void)arg;
    cancelled_with = why;
    for (int i = 0; i < waiting_n; i++)
        if (waiting[i] == run) {
            waiting[i] = waiting[--waiting_n];
            pthread_mutex_lock(&lock);
            running--;
            pthread_mutex_unlock(&lock);
            jobs_finish(run, &(struct job_outcome){.end = why});
            return;
        }
}

static inline void end_waiting(void *arg)
{
    (void)arg;
    while (waiting_n) {
        struct job_run *run = waiting[--waiting_n];
        running--;
        jobs_finish(run, &(struct job_outcome){.end = JOB_END_DONE});
    }
}

static inline struct host open_host(void)
{
    struct host h = {.run = run_word, .cancel = on_cancel};
    seen[0] = 0;
    running = most_running = runs = waiting_n = 0;
    host_open(&h);
    return h;
}

static inline void close_host(struct host *h)
{
    host_stop(h, 0);
    host_close(h);
    host_remove(h);
}

static inline int64_t push(struct host *h, const char *args, struct job_spec spec,
                           enum err_code *code)
{
    struct err err = {0};
    struct str a = str_c(args);
    if (!spec.kind.n)
        spec.kind = STR("p.k");
    int64_t id = jobs_push_wait(h->jobs, &spec, &a, 1, &err);
    if (code)
        *code = err.code;
    return id;
}

static inline int wait_runs(int count)
{
    int now = 0;
    for (int i = 0; i < 3000 && now < count; i++, host_sleep(1)) {
        pthread_mutex_lock(&lock);
        now = runs;
        pthread_mutex_unlock(&lock);
    }
    return now;
}
