#include "jobs/driver.h"
#include "jobs/elsewhere.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/still.h"
#include "observe/log.h"

enum { LOOK_MS = 1000, UPKEEP_SECONDS = 60, ASKED_MS = 500 };
static const int64_t default_result_ttl_ns = 24 * 3600 * NS_PER_SECOND;
static const int64_t default_dead_ttl_ns = 30 * 24 * 3600 * NS_PER_SECOND;

void jobs_lock(struct jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
}

/* Lock held: whether a write is to be handed to the store now. */
static bool take_write(struct jobs *jobs)
{
    if (jobs->writing || jobs->failed.code || (jobs->retry_at_ns && clock_ns() < jobs->retry_at_ns))
        return false;
    if (batch_is_empty(&jobs->pending) && !workflow_pending(jobs) && !jobs->upkeep_now)
        return false;
    jobs->writing = true;
    jobs->upkeep_now = false;
    return true;
}

void jobs_unlock(struct jobs *jobs)
{
    bool write = take_write(jobs);
    bool wake = jobs->wake_wanted && !jobs->waking && jobs->started && !jobs->stopped;
    struct worker *post = jobs->to_post;
    jobs->to_post = NULL;
    if (wake)
        jobs->waking = true;
    pthread_mutex_unlock(&jobs->lock);
    if (write)
        jobs->driver->write(jobs);
    if (wake)
        lane_post(jobs->options.lane, &jobs->wake);
    for (struct worker *next; post; post = next) {
        next = post->next_post; /* the lane may be given more as soon as it has this */
        lane_post(post->lane, &post->message);
    }
}

void jobs_wake(struct jobs *jobs, int64_t at_wall)
{
    if (jobs->armed_wall == 0 || at_wall < jobs->armed_wall) {
        jobs->armed_wall = at_wall;
        jobs->wake_wanted = true;
    }
}

void jobs_check_stopped(struct jobs *jobs)
{
    if (jobs->stopping && jobs->count[PLACE_RUNNING] == 0 && !jobs->stopped)
        jobs_wake(jobs, 1);
}

/* Lock held: of a shared record, what will not run here. */
static void give_back(struct jobs *jobs, int64_t before_wall)
{
    if (jobs->driver->shared)
        shared_release(jobs, before_wall);
}

static void ask_all(struct jobs *jobs, bool take_away)
{
    for (int i = 0; i < jobs->worker_count; i++)
        for (int r = 0; r < jobs->workers[i]->capacity; r++) {
            struct run *run = &jobs->workers[i]->runs[r];
            if (!run->in_use || run->job->run != run)
                continue;
            if (take_away) {
                log_warn("jobs", "%s %lld did not end in time; it will run again", run->view.kind,
                         (long long)run->view.id);
                run_take_away(jobs, run->job);
            } else
                run_ask(run, JOB_END_INTERRUPTED);
        }
}

/* Lock held: the grace is over, or the time after asking is. */
static void stop_step(struct jobs *jobs, int64_t now)
{
    if (jobs->count[PLACE_RUNNING] && now >= jobs->stop_at_ns) {
        ask_all(jobs, jobs->asked);
        give_back(jobs, INT64_MAX);
        jobs->asked = true;
        jobs->stop_at_ns = now + ASKED_MS * NS_PER_MS;
    }
    jobs->stopped = jobs->count[PLACE_RUNNING] == 0;
}

/* Lock held: when a delayed job or a wait of a workflow is due, or a job expires; 0 = never. */
static int64_t next_due(struct jobs *jobs)
{
    const struct heap_node *nodes[] = {heap_first(&jobs->due), heap_first(&jobs->expiring)};
    int64_t due = workflow_due_wall(jobs);
    for (int i = 0; i < 2; i++)
        if (nodes[i] && (due == 0 || nodes[i]->key < due))
            due = nodes[i]->key;
    return due;
}

/* Lock held: how long the control lane may sleep.  Wall time may jump, so delays
 * are looked at every second (where time stands still, jobs_hold() tells of jumps, and
 * upkeep waits for delays). */
static int64_t next_look(struct jobs *jobs, int64_t now, int64_t now_wall)
{
    const struct heap_node *refill = heap_first(&jobs->refills);
    int64_t due = next_due(jobs);
    bool still = still_stands();
    bool timed = due || refill || jobs->gather_at;
    int64_t delay = timed && still ? INT64_MAX : jobs->next_upkeep_ns - now;
    int64_t most = still ? INT64_MAX : LOOK_MS * NS_PER_MS;
    if (jobs->driver->shared && delay > most)
        delay = most; /* what does not start here goes back */
    jobs->timer.upkeep = !timed && !jobs->retry_at_ns && !jobs->stopping;
    if (due && due - now_wall < delay)
        delay = due - now_wall < most ? due - now_wall : most;
    if (jobs->held_look.watch && !still && delay > jobs->held_look.next_ns - now)
        delay = jobs->held_look.next_ns - now;
    if (refill && delay > refill->key - now)
        delay = refill->key - now;
    if (jobs->hard_at && delay > jobs->hard_at - now)
        delay = jobs->hard_at - now;
    if (jobs->gather_at && delay > jobs->gather_at - now)
        delay = jobs->gather_at - now;
    if (jobs->upkeep && delay > JOBS_TICK_MS * NS_PER_MS)
        delay = JOBS_TICK_MS * NS_PER_MS;
    if (jobs->retry_at_ns && delay > jobs->retry_at_ns - now)
        delay = jobs->retry_at_ns - now;
    if (jobs->stopping && delay > jobs->stop_at_ns - now)
        delay = jobs->stop_at_ns - now;
    return delay > 0 && !jobs->cut_short ? delay : 0;
}

static void look(struct jobs *jobs)
{
    int64_t now = clock_ns(), now_wall = clock_wall_ns(), delay = 0;
    jobs_lock(jobs);
    if (jobs->stopped) {
        jobs_unlock(jobs);
        return;
    }
    place_due(jobs, now_wall);
    place_expired(jobs, now_wall);
    runs_overdue(jobs, now);
    gathers_due(jobs, now);
    flow_refilled(jobs, now);
    held_look(jobs, now, now_wall);
    give_back(jobs, now_wall - SHARED_UNSTARTED_MS * NS_PER_MS);
    workflow_look(jobs, now_wall);
    dispatch(jobs);
    if (now >= jobs->next_upkeep_ns) {
        jobs->upkeep = !jobs->driver->shared;
        jobs->next_upkeep_ns = now + UPKEEP_SECONDS * NS_PER_SECOND;
        unique_sweep(jobs, now_wall);
    }
    jobs->upkeep_now = jobs->upkeep;
    if (jobs->stopping)
        stop_step(jobs, now);
    bool stopped = jobs->stopped;
    if (!stopped) {
        delay = next_look(jobs, now, now_wall);
        jobs->armed_wall = now_wall + delay;
    }
    jobs->wake_wanted = false;
    jobs_unlock(jobs);
    if (stopped) {
        timer_stop(jobs->options.lane, &jobs->timer);
        lane_call(jobs->stop_lane, jobs->stop_fn, jobs->stop_arg);
    } else
        timer_start(jobs->options.lane, &jobs->timer, delay);
}

static void on_timer(struct timer *timer)
{
    look((struct jobs *)(void *)((char *)timer - offsetof(struct jobs, timer)));
}

static void on_wake(struct lane_message *message)
{
    struct jobs *jobs = (struct jobs *)(void *)((char *)message - offsetof(struct jobs, wake));
    jobs_lock(jobs);
    jobs->waking = false;
    jobs_unlock(jobs);
    look(jobs);
}

static struct jobs *create(const struct jobs_options *options)
{
    struct jobs *jobs = mem_zero(1, sizeof *jobs);
    jobs->options = *options;
    jobs->options.flight_path = NULL;
    if (!jobs->options.result_ttl_ns)
        jobs->options.result_ttl_ns = default_result_ttl_ns;
    if (!jobs->options.dead_ttl_ns)
        jobs->options.dead_ttl_ns = default_dead_ttl_ns;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->quiet, NULL);
    jobs->kinds = map_create();
    jobs->queues = map_create();
    jobs->uniques = map_create();
    jobs->periods = map_create();
    list_init(&jobs->targets);
    list_init(&jobs->ring);
    list_init(&jobs->suspects);
    jobs->fields = map_create();
    jobs->flows = map_create();
    jobs->keys = map_create();
    jobs->timer.fire = on_timer;
    jobs->wake.fn = on_wake;
    jobs->driver = jobs_driver_named(options->driver ? options->driver : jobs_sqlite.name);
    batch_setup(jobs);
    return jobs;
}

static void destroy(struct jobs *jobs)
{
    batch_drop(&jobs->pending);
    elsewhere_close(jobs);
    workflow_close(jobs);
    heap_free(&jobs->due); /* they touch their nodes, so before the jobs */
    heap_free(&jobs->expiring);
    for (size_t i = 0; i < jobs->index.size; i++)
        if (jobs->index.slots[i].id)
            job_unref(jobs->index.slots[i].value);
    workers_free(jobs);
    flow_maps_free(jobs);
    names_free(jobs);
    uniques_free(jobs);
    workflow_begun_free(jobs);
    history_free(&jobs->history);
    fold_free(&jobs->fold);
    index_free(&jobs->index);
    watchers_free(jobs);
    crowds_free(jobs);
    buf_free(&jobs->blob);
    buf_free(&jobs->others);
    buf_free(&jobs->card);
    buf_free(&jobs->cards);
    flight_close(jobs->flight);
    pthread_cond_destroy(&jobs->quiet);
    pthread_mutex_destroy(&jobs->lock);
    mem_free(jobs);
}

struct jobs *jobs_open(const struct jobs_options *options, struct err *err)
{
    struct jobs *jobs = create(options);
    jobs->db = store_sqlite(options->store);
    jobs->elsewhere = map_create();
    jobs->begun = map_create();
    jobs->suspects_free = jobs->driver && jobs->driver->shared;
    if (!jobs->driver)
        err_set(err, ERR_INVALID, "jobs: there is no driver '%s'", options->driver);
    else if (!jobs->db)
        err_set(err, ERR_INVALID, "jobs: the queue needs the embedded store");
    else if ((jobs->flight = flight_open(options->flight_path, err)) &&
             jobs->driver->open(jobs, err) && (!options->carry || elsewhere_open(jobs, err)))
        return jobs;
    if (jobs->record)
        jobs->driver->close(jobs);
    destroy(jobs);
    return NULL;
}

void jobs_start(struct jobs *jobs)
{
    jobs_lock(jobs);
    jobs->started = true;
    jobs->next_upkeep_ns = clock_ns() + UPKEEP_SECONDS * NS_PER_SECOND;
    /* While something is written the fold is the writer's. */
    jobs->upkeep = !jobs->driver->shared && (jobs->writing || !fold_is_idle(&jobs->fold));
    jobs->wake_wanted = true;
    dispatch(jobs);
    jobs_unlock(jobs);
    if (jobs->driver->start)
        jobs->driver->start(jobs);
}

void jobs_stop(struct jobs *jobs, int64_t grace_ns, struct lane *lane, lane_fn *stopped, void *arg)
{
    jobs_lock(jobs);
    invariant(jobs->started && !jobs->stopping);
    jobs->stopping = true;
    jobs->stop_lane = lane;
    jobs->stop_fn = stopped;
    jobs->stop_arg = arg;
    jobs->stop_at_ns = clock_ns() + grace_ns;
    workers_unclaim(jobs);
    give_back(jobs, INT64_MAX);
    jobs_wake(jobs, 1);
    jobs_unlock(jobs);
}

bool jobs_healthy(struct jobs *jobs, struct err *err)
{
    jobs_lock(jobs);
    *err = jobs->failed;
    jobs_unlock(jobs);
    if (err->code)
        return err_wrap(err, "jobs");
    return !jobs->driver->healthy || jobs->driver->healthy(jobs, err);
}

void jobs_close(struct jobs *jobs)
{
    struct err refused;
    if (!jobs)
        return;
    err_set(&refused, ERR_CLOSED, "jobs: the queue is closed");
    jobs_lock(jobs);
    jobs->closed = true;
    give_back(jobs, INT64_MAX);
    jobs->retry_at_ns = 0;
    jobs_unlock(jobs);
    jobs_lock(jobs);
    while (jobs->writing)
        pthread_cond_wait(&jobs->quiet, &jobs->lock);
    if (!list_empty(&jobs->pending.ends))
        log_error("jobs", "%lld ended jobs could not be recorded; they will run again",
                  (long long)jobs->count[PLACE_FINISHING]);
    pthread_mutex_unlock(&jobs->lock);
    jobs->driver->close(jobs);
    batch_refuse(jobs, &refused);
    destroy(jobs);
}
