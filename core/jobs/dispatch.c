#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/mem.h"

/* Outcomes that wait for their commit.  More at once would make it long, and a push waits for the
 * one under way: 1,000,000 no-op jobs end in a second, but take 0.7 to write. */
enum { OUTCOMES_WAITING = 16384 };

/* The worker with most room, which spreads a few jobs over all lanes. */
static struct worker *worker_for_next(struct jobs *jobs)
{
    struct worker *best = NULL;
    int most = 0;
    for (int i = 0; i < jobs->worker_count; i++) {
        struct worker *w = jobs->workers[i];
        if (!w->lost && w->claimed < JOBS_BATCH && w->capacity - w->used > most) {
            most = w->capacity - w->used;
            best = w;
        }
    }
    return best;
}

void worker_post(struct jobs *jobs, struct worker *w)
{
    if (w->posted)
        return;
    w->posted = true;
    w->next_post = jobs->to_post;
    jobs->to_post = w;
}

void claim_begin(struct jobs *jobs, struct job *job, struct worker *w)
{
    place_set(jobs, job, PLACE_CLAIMED);
    job->fence = ++jobs->fence;
    job->attempt++;
    w->used++;
}

/* held: it is the only one that may start. */
static void claim(struct jobs *jobs, struct job *job, struct worker *w)
{
    if (job->kind->gather_most) {
        gather_claim(jobs, job, w, jobs->held);
        return;
    }
    claim_begin(jobs, job, w);
    job->worker = w;
    w->claimed++;
    list_push_back(&w->inbox, &job->link);
    worker_post(jobs, w);
}

void unclaim(struct jobs *jobs, struct job *job)
{
    bool gathered = job->kind->gather_most > 0;
    struct worker *w = gathered ? gather_leave(job) : job->worker;
    flow_give_back(job);
    w->used--;
    w->claimed -= !gathered;
    job->attempt--;
    job->worker = NULL;
    place_ready_front(jobs, job);
}

/* The record is: commit.c calls dispatch() when it has come up. */
static bool behind(const struct jobs *jobs)
{
    int64_t updates = jobs->pending.updates_n + jobs->updates_writing;
    return jobs->count[PLACE_FINISHING] + updates >= OUTCOMES_WAITING;
}

void dispatch(struct jobs *jobs)
{
    struct worker *w;
    struct job *job;
    jobs->cut_short = false; /* or the control lane would look on and on while all lanes are full */
    if (!jobs->started || jobs->stopping || jobs->held || behind(jobs))
        return;
    while ((w = worker_for_next(jobs)) && (job = flow_pick(jobs)))
        claim(jobs, job, w);
    if (jobs->driver->room)
        jobs->driver->room(jobs);
}

void jobs_hold(struct jobs *jobs, bool held)
{
    jobs_lock(jobs);
    jobs->held = held;
    jobs->wake_wanted = true;
    dispatch(jobs);
    jobs_unlock(jobs);
}

bool jobs_claim(struct jobs *jobs, int64_t id)
{
    jobs_lock(jobs);
    struct job *job = index_get(&jobs->index, id);
    struct worker *w = worker_for_next(jobs);
    bool ready = w && job && job->place == PLACE_READY && jobs->started && !jobs->stopping &&
                 !flow_blocking(job);
    if (ready)
        claim(jobs, job, w);
    jobs_unlock(jobs);
    return ready;
}

void worker_unclaim(struct jobs *jobs, struct worker *w)
{
    while (!list_empty(&w->inbox))
        unclaim(jobs, list_entry(w->inbox.prev, struct job, link));
    while (!list_empty(&w->gathers)) {
        struct gather *g = list_entry(w->gathers.prev, struct gather, link);
        unclaim(jobs, list_entry(g->jobs.prev, struct job, link));
    }
}

void workers_unclaim(struct jobs *jobs)
{
    for (int i = 0; i < jobs->worker_count; i++)
        worker_unclaim(jobs, jobs->workers[i]);
}

/* As much longer than its own timeout as the kind says. */
void run_bind_timeout(struct jobs *jobs, struct run *run, const struct kind *k, int64_t now)
{
    run->kill = false;
    run->hard_at =
        k->hard_timeout_ns ? now + run->view.timeout_ns + k->hard_timeout_ns - k->timeout_ns : 0;
    if (!run->hard_at || (jobs->hard_at && jobs->hard_at <= run->hard_at))
        return;
    jobs->hard_at = run->hard_at;
    jobs_wake(jobs, run->started_wall + run->hard_at - now);
}

void runs_overdue(struct jobs *jobs, int64_t now)
{
    if (!jobs->hard_at || now < jobs->hard_at)
        return;
    jobs->hard_at = 0;
    for (int i = 0; i < jobs->worker_count; i++)
        for (int r = 0; r < jobs->workers[i]->capacity; r++) {
            struct run *run = &jobs->workers[i]->runs[r];
            if (!run->in_use || !run->hard_at || run->kill)
                continue;
            if (now >= run->hard_at) {
                run->kill = true;
                run_ask(run, JOB_END_FAILED);
            } else if (!jobs->hard_at || run->hard_at < jobs->hard_at)
                jobs->hard_at = run->hard_at;
        }
}

/* A claimed job gets its run.  Its target is the kind's of this moment. */
struct run *run_bind(struct jobs *jobs, struct worker *w, struct job *job)
{
    struct run *run = w->free_runs;
    struct kind *k = job->kind;
    int64_t timeout_ms = job_extra(job)->timeout_ms;
    w->free_runs = run->next;
    place_set(jobs, job, PLACE_RUNNING);
    unique_started(jobs, job);
    job->run = run;
    job->refs++;
    run->job = job;
    run->in_use = true;
    run->target = k->target;
    run->target->running++;
    list_push_back(&run->target->runs, &run->link);
    run->started_wall = job->started_at;
    run->view = (struct job_run){
        .jobs = jobs,
        .id = job->id,
        .fence = job->fence,
        .kind = k->name,
        .queue = job->queue->name,
        .args = job_args(job),
        .previous = str_c(job_extra(job)->previous),
        .trace = str_c(job_extra(job)->trace),
        .attempt = job->attempt,
        .max_attempts = job->max_attempts,
        .scheduled_at_wall = job_extra(job)->scheduled_at,
        .timeout_ns = timeout_ms ? timeout_ms * NS_PER_MS : k->timeout_ns,
        .target = k->target->pointer,
        .lane = w->lane,
    };
    return run;
}

static int take_batch(struct jobs *jobs, struct worker *w, struct run **runs, struct list *taken)
{
    int count = 0;
    int64_t now = clock_wall_ns(), now_ns = clock_ns();
    w->posted = false;
    while (!list_empty(&w->inbox)) {
        struct job *job = list_entry(w->inbox.next, struct job, link);
        job->started_at = now;
        runs[count] = run_bind(jobs, w, job);
        run_bind_timeout(jobs, runs[count++], job->kind, now_ns);
        w->claimed--;
    }
    gathers_take(jobs, w, now, taken);
    return count;
}

void run_note(struct run *run)
{
    struct flight_entry entry = {.id = run->view.id,
                                 .fence = run->view.fence,
                                 .started_wall = run->started_wall,
                                 .attempt = run->view.attempt};
    flight_set(run->worker->jobs->flight, run->slot, &entry);
}

/* What ended becomes each job's next state, and the freed places new claims. */
static void flush(struct worker *w)
{
    struct jobs *jobs = w->jobs;
    int64_t now = clock_wall_ns();
    struct run *run = w->finished;
    w->finished = NULL;
    w->finished_end = &w->finished;
    if (!run)
        return;
    jobs_lock(jobs);
    for (struct run *next; run; run = next) {
        next = run->next;
        settle(jobs, run, now);
    }
    dispatch(jobs);
    jobs_check_stopped(jobs);
    jobs_unlock(jobs);
}

static void on_batch(struct lane_message *message)
{
    struct worker *w =
        (struct worker *)(void *)((char *)message - offsetof(struct worker, message));
    struct run *runs[JOBS_BATCH];
    struct jobs *jobs = w->jobs;
    struct list taken;
    jobs_lock(jobs);
    int count = take_batch(jobs, w, runs, &taken);
    jobs_unlock(jobs);
    w->in_batch = true;
    for (int i = 0; i < count; i++) {
        run_note(runs[i]);
        jobs->options.run(&runs[i]->view, jobs->options.arg);
    }
    gathers_begin(jobs, &taken);
    w->in_batch = false;
    flush(w);
}

static char *copy_text(struct str s, size_t most)
{
    return s.n ? str_dup(str_n(s.p, s.n < most ? s.n : most)) : NULL;
}

static void hand_in(struct run *run, const struct job_outcome *outcome)
{
    struct worker *w = run->worker;
    flight_clear(w->jobs->flight, run->slot);
    run->end = outcome->end;
    run->delay_ns = outcome->delay_ns;
    run->result = NULL;
    run->error = copy_text(outcome->error, JOBS_ERROR_BYTES);
    run->traceback = copy_text(outcome->traceback, JOBS_ERROR_BYTES);
    if (outcome->end == JOB_END_DONE && outcome->result.n > JOBS_RESULT_BYTES) {
        run->end = JOB_END_DISCARDED;
        mem_free(run->error);
        run->error = mem_printf("the result has %zu bytes, more than %d", outcome->result.n,
                                JOBS_RESULT_BYTES);
    } else if (outcome->end == JOB_END_DONE && outcome->result.n) {
        run->result = mem_alloc(sizeof *run->result + outcome->result.n);
        run->result->n = outcome->result.n;
        memcpy(run->result->bytes, outcome->result.p, outcome->result.n);
    }
    run->next = NULL;
    *w->finished_end = run;
    w->finished_end = &run->next;
}

void jobs_finish(struct job_run *run, const struct job_outcome *outcome)
{
    jobs_finish_all(&run, outcome, 1);
}

void jobs_finish_all(struct job_run *const *runs, const struct job_outcome *outcomes, int count)
{
    struct worker *w = ((struct run *)(void *)runs[0])->worker;
    for (int i = 0; i < count; i++)
        hand_in((struct run *)(void *)runs[i], &outcomes[i]);
    if (!w->in_batch)
        flush(w);
}

/* Lane.  The run may have ended, and its place have a new one, since the request. */
static void on_cancel(struct lane_message *message)
{
    struct run *run = (struct run *)(void *)((char *)message - offsetof(struct run, cancel));
    struct jobs *jobs = run->worker->jobs;
    jobs_lock(jobs);
    run->cancelling = false;
    bool live = run->in_use && run->view.fence == run->cancel_fence;
    enum job_end why = run->why;
    bool kill = run->kill && jobs->options.kill;
    jobs_unlock(jobs);
    if (live && kill)
        jobs->options.kill(&run->view, jobs->options.arg);
    else if (live)
        jobs->options.cancel(&run->view, why, jobs->options.arg);
}

void run_ask(struct run *run, enum job_end why)
{
    run->why = why;
    run->cancel_fence = run->view.fence;
    if (run->cancelling)
        return;
    run->cancelling = true;
    run->cancel.fn = on_cancel;
    lane_post(run->worker->lane, &run->cancel);
}

bool jobs_add_worker(struct jobs *jobs, struct lane *lane, int capacity, struct err *err)
{
    if (capacity < 1 || capacity > JOBS_CAPACITY)
        return err_set(err, ERR_INVALID, "jobs: capacity %d is not in 1-%d", capacity,
                       JOBS_CAPACITY);
    if (jobs->worker_count == JOBS_WORKERS || jobs->slots + capacity > FLIGHT_SLOTS)
        return err_set(err, ERR_LIMIT, "jobs: more than %d lanes or %d jobs at once", JOBS_WORKERS,
                       FLIGHT_SLOTS);
    struct worker *w = mem_zero(1, sizeof *w);
    w->jobs = jobs;
    w->lane = lane;
    w->capacity = capacity;
    w->message.fn = on_batch;
    w->finished_end = &w->finished;
    list_init(&w->inbox);
    list_init(&w->gathers);
    w->runs = mem_zero((size_t)capacity, sizeof *w->runs);
    for (int i = capacity - 1; i >= 0; i--) {
        struct run *run = &w->runs[i];
        run->worker = w;
        run->slot = jobs->slots + i;
        list_init(&run->link);
        run->next = w->free_runs;
        w->free_runs = run;
    }
    jobs_lock(jobs);
    jobs->slots += capacity;
    jobs->workers[jobs->worker_count++] = w;
    jobs_unlock(jobs);
    return true;
}

void workers_free(struct jobs *jobs)
{
    for (int i = 0; i < jobs->worker_count; i++) {
        struct worker *w = jobs->workers[i];
        for (int r = 0; r < w->capacity; r++)
            if (w->runs[r].in_use)
                job_unref(w->runs[r].job);
        list_each_safe (node, &w->gathers)
            mem_free(list_entry(node, struct gather, link));
        mem_free(w->runs);
        mem_free(jobs->workers[i]);
    }
}
