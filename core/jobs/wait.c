/* wait.c -- who waits until jobs have ended, and how far a running one says it is. */
#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/mem.h"

struct jobs_wait {
    struct lane_message message; /* first */
    struct jobs *jobs;
    struct lane *lane;
    void (*done)(void *arg);
    void *arg;
    int left; /* jobs not yet over, and one while it is being made */
    int count;
    int64_t ids[];
};

static void on_over(struct lane_message *message)
{
    struct jobs_wait *w = (struct jobs_wait *)(void *)message;
    void (*done)(void *arg) = w->done;
    void *arg = w->arg;
    mem_free(w);
    done(arg);
}

/* Lock held. */
static void step(struct jobs_wait *w, int by)
{
    w->left -= by;
    if (w->left == 0)
        lane_post(w->lane, &w->message);
}

void wait_step(struct jobs *jobs, struct change_op *op)
{
    struct jobs_wait *w = op->wait;
    mem_free(op);
    jobs_lock(jobs);
    step(w, 1);
    jobs_unlock(jobs);
}

/* Lock held. */
static void watch(struct jobs *jobs, struct jobs_wait *w, int64_t id)
{
    struct change_op *op = mem_zero(1, sizeof *op);
    op->wait = w;
    op->id = id;
    op->next = index_get(&jobs->watched, id);
    index_set(&jobs->watched, id, op);
    w->left++;
}

struct jobs_wait *jobs_wait(struct jobs *jobs, const int64_t *ids, int count, struct lane *lane,
                            void (*done)(void *arg), void *arg, struct err *err)
{
    if (jobs->driver->shared) {
        err_set(err, ERR_INVALID, "jobs: this driver cannot wait");
        return NULL;
    }
    struct jobs_wait *w = mem_zero(1, sizeof *w + (size_t)count * sizeof *ids);
    w->message.fn = on_over;
    w->jobs = jobs;
    w->lane = lane;
    w->done = done;
    w->arg = arg;
    w->left = 1;
    w->count = count;
    memcpy(w->ids, ids, (size_t)count * sizeof *ids);
    jobs_lock(jobs);
    for (int i = 0; i < count; i++)
        if (index_get(&jobs->index, ids[i]))
            watch(jobs, w, ids[i]);
    step(w, 1);
    jobs_unlock(jobs);
    return w;
}

/* Lock held: how many of one id's watchers were of this wait. */
static int unwatch(struct jobs *jobs, const struct jobs_wait *w, int64_t id)
{
    struct change_op *first = index_get(&jobs->watched, id), **at = &first;
    int removed = 0;
    while (*at) {
        struct change_op *op = *at;
        if (op->wait != w) {
            at = &op->next;
            continue;
        }
        *at = op->next;
        mem_free(op);
        removed++;
    }
    if (removed && first)
        index_set(&jobs->watched, id, first);
    else if (removed)
        index_remove(&jobs->watched, id);
    return removed;
}

void jobs_wait_end(struct jobs_wait *w)
{
    struct jobs *jobs = w->jobs;
    int removed = 0;
    jobs_lock(jobs);
    for (int i = 0; i < w->count && w->left; i++)
        removed += unwatch(jobs, w, w->ids[i]);
    if (removed)
        step(w, removed); /* the rest is on its way */
    jobs_unlock(jobs);
}

void watchers_free(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->watched.size; i++) {
        struct change_op *op = jobs->watched.slots[i].id ? jobs->watched.slots[i].value : NULL;
        for (struct change_op *next; op; op = next) {
            next = op->next;
            if (op->wait && --op->wait->left == 0)
                mem_free(op->wait);
            mem_free(op);
        }
    }
    index_free(&jobs->watched);
}

bool jobs_progress(struct job_run *view, double fraction, struct str message)
{
    struct run *run = (struct run *)(void *)view;
    struct jobs *jobs = view->jobs;
    char *text =
        message.n ? str_dup(str_n(message.p, message.n < JOBS_PROGRESS_BYTES ? message.n
                                                                             : JOBS_PROGRESS_BYTES))
                  : NULL;
    jobs_lock(jobs);
    struct job *job = run->job;
    bool live = job && job->place == PLACE_RUNNING && job->fence == view->fence;
    if (live) {
        struct job_extra *extra = extra_make(job);
        mem_free(extra->message);
        extra->message = text;
        extra->progress = (float)fraction;
        extra->has_progress = true;
    }
    jobs_unlock(jobs);
    if (!live)
        mem_free(text);
    return live;
}
