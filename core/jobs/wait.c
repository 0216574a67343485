/* wait.c -- who waits until jobs have ended, and how far a running one says it is.
 *
 * An end that this process writes is told as it is published.  With a shared record others end
 * jobs too, so besides the record is asked, with growing pauses, of the first job that is not
 * known to be over. */
#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/json_pick.h"
#include "base/mem.h"

enum {
    LOOK_FIRST_MS = 50,
    LOOK_MOST_MS = 1000,
    ABSENT_MS = 1000, /* what a transaction pushed may still be on its way to the record */
};

struct jobs_wait {
    struct lane_message message; /* first */
    struct timer timer;          /* this to `absent_ns`: looks at a shared record; the lane's */
    struct jobs_query look;
    int64_t pause_ms, absent_ns; /* since when the job in `look` is not there */
    bool ended;
    struct jobs *jobs;
    struct lane *lane;
    void (*done)(void *arg);
    void *arg;
    int left; /* jobs not yet over, one while it is being made, one during a look */
    int count;
    int64_t ids[];
};

static void on_over(struct lane_message *message)
{
    struct jobs_wait *w = (struct jobs_wait *)(void *)message;
    void (*done)(void *arg) = w->done;
    void *arg = w->arg;
    timer_stop(w->lane, &w->timer);
    buf_free(&w->look.out);
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

/* Lock held: the next job that is not known to be over; 0: none. */
static int64_t first_open(const struct jobs_wait *w)
{
    for (int i = 0; i < w->count; i++)
        for (const struct change_op *op = index_get(&w->jobs->watched, w->ids[i]); op;
             op = op->next)
            if (op->wait == w)
                return w->ids[i];
    return 0;
}

/* The lane. */
static void look(struct jobs_wait *w)
{
    jobs_lock(w->jobs);
    int64_t id = w->left ? first_open(w) : 0;
    w->left += id != 0;
    jobs_unlock(w->jobs);
    if (id == 0)
        return;
    if (id != w->look.id)
        w->absent_ns = 0;
    w->look.id = id;
    jobs_query(w->jobs, &w->look);
}

static bool is_over(struct jobs_wait *w)
{
    enum job_state state;
    struct buf text = {0};
    if (w->look.err.code)
        return false;
    if (w->look.out.n == 0) {
        int64_t now = clock_ns();
        w->absent_ns = w->absent_ns ? w->absent_ns : now;
        return now - w->absent_ns >= ABSENT_MS * NS_PER_MS;
    }
    bool known = json_pick_text(json_pick_get(buf_str(&w->look.out), "state"), &text) &&
                 job_state_parse(buf_str(&text), &state);
    buf_free(&text);
    return known && state != JOB_READY && state != JOB_DELAYED && state != JOB_RUNNING;
}

static void on_looked(struct jobs_query *query)
{
    struct jobs_wait *w =
        (struct jobs_wait *)(void *)((char *)query - offsetof(struct jobs_wait, look));
    bool over = is_over(w);
    jobs_lock(w->jobs);
    step(w, 1 + (over ? unwatch(w->jobs, w, query->id) : 0));
    bool more = w->left > 0 && !w->ended;
    jobs_unlock(w->jobs);
    if (!more)
        return;
    if (over) {
        look(w);
        return;
    }
    timer_start(w->lane, &w->timer, w->pause_ms * NS_PER_MS);
    w->pause_ms = w->pause_ms * 2 > LOOK_MOST_MS ? LOOK_MOST_MS : w->pause_ms * 2;
}

static void on_pause_over(struct timer *timer)
{
    look((struct jobs_wait *)(void *)((char *)timer - offsetof(struct jobs_wait, timer)));
}

static struct jobs_wait *create(struct jobs *jobs, const int64_t *ids, int count)
{
    struct jobs_wait *w = mem_zero(1, sizeof *w + (size_t)count * sizeof *ids);
    w->message.fn = on_over;
    w->timer.fire = on_pause_over;
    w->look.done = on_looked;
    w->pause_ms = LOOK_FIRST_MS;
    w->jobs = jobs;
    w->left = 1;
    w->count = count;
    memcpy(w->ids, ids, (size_t)count * sizeof *ids);
    return w;
}

struct jobs_wait *jobs_wait(struct jobs *jobs, const int64_t *ids, int count, struct lane *lane,
                            void (*done)(void *arg), void *arg)
{
    struct jobs_wait *w = create(jobs, ids, count);
    bool shared = jobs->driver->shared;
    w->lane = w->look.lane = lane;
    w->done = done;
    w->arg = arg;
    jobs_lock(jobs);
    for (int i = 0; i < count && !jobs->closed; i++)
        if (shared || index_get(&jobs->index, ids[i]))
            watch(jobs, w, ids[i]);
    step(w, 1);
    jobs_unlock(jobs);
    if (shared)
        look(w);
    return w;
}

void jobs_wait_end(struct jobs_wait *w)
{
    struct jobs *jobs = w->jobs;
    int removed = 0;
    w->ended = true;
    if (jobs->driver->shared)
        timer_stop(w->lane, &w->timer);
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
