#include "base/clock.h"
#include "jobs/driver.h"
#include "jobs/private.h"

static void enter(struct jobs *jobs, struct job *job, enum place place, bool front)
{
    if (place == PLACE_READY)
        flow_enter(jobs, job, front);
    else if (place == PLACE_DELAYED) {
        heap_push(&jobs->due, &job->due, job->run_at);
        if (heap_first(&jobs->due) == &job->due)
            jobs_wake(jobs, job->run_at);
    } else if (place == PLACE_PARKED)
        list_push_back(&jobs->suspects, &job->link);
    else if (place == PLACE_FINISHING)
        list_push_back(&jobs->pending.ends, &job->link);
}

static void leave(struct jobs *jobs, struct job *job, enum place place)
{
    if (place == PLACE_READY)
        flow_leave(jobs, job);
    else if (place == PLACE_PARKED || place == PLACE_CLAIMED)
        list_remove(&job->link);
    else if (place == PLACE_DELAYED)
        heap_remove(&jobs->due, &job->due);
}

static bool is_active(enum place place)
{
    return place == PLACE_CLAIMED || place == PLACE_RUNNING;
}

static void count_move(struct jobs *jobs, struct job *job, enum place to)
{
    gauge_move(job, (enum place)job->place, to);
    jobs->count[job->place]--;
    jobs->count[to]++;
    job->queue->count[job->place]--;
    job->queue->count[to]++;
    job->place = (uint8_t)to;
}

/* Those that waited for it take their places again; the next of them to be picked sets
 * the others aside. */
static void suspect_active(struct jobs *jobs, int by)
{
    if (by > 0 || jobs->suspects_active > 0)
        jobs->suspects_active += by;
    while (jobs->suspects_active == 0 && !list_empty(&jobs->suspects))
        place_ready_front(jobs, list_entry(jobs->suspects.prev, struct job, link));
}

/* Only what never started expires. */
static void follow_expiry(struct jobs *jobs, struct job *job, enum place place)
{
    struct job_extra *extra = job->extra;
    bool waits = place == PLACE_READY || place == PLACE_DELAYED || place == PLACE_PARKED;
    if (!waits || job->attempt > 0)
        heap_remove(&jobs->expiring, &extra->expiry);
    else if (!extra->expiry.slot) {
        heap_push(&jobs->expiring, &extra->expiry, extra->expires_at);
        if (heap_first(&jobs->expiring) == &extra->expiry)
            jobs_wake(jobs, extra->expires_at);
    }
}

static void expire(struct jobs *jobs, struct job *job)
{
    if (jobs->driver->shared)
        shared_leave(jobs, job, JOB_END_EXPIRED);
    else
        job_over(jobs, job, JOB_END_EXPIRED);
}

static void move(struct jobs *jobs, struct job *job, enum place place, bool front)
{
    enum place from = (enum place)job->place;
    bool was_active = is_active(from), active = is_active(place);
    count_move(jobs, job, place);
    leave(jobs, job, from);
    enter(jobs, job, place, front);
    if (active != was_active)
        flow_active(jobs, job, active ? 1 : -1);
    if (job->stream && !active && place != PLACE_READY)
        flow_forget(jobs, job);
    if (job->extra && job->extra->expires_at)
        follow_expiry(jobs, job, place);
    if (job->crashes && active != was_active)
        suspect_active(jobs, active ? 1 : -1);
}

void place_set(struct jobs *jobs, struct job *job, enum place place)
{
    move(jobs, job, place, false);
}

void place_ready_front(struct jobs *jobs, struct job *job)
{
    move(jobs, job, PLACE_READY, true);
}

void place_start(struct jobs *jobs, struct job *job, int64_t now_wall)
{
    place_set(jobs, job, job->run_at > now_wall ? PLACE_DELAYED : PLACE_READY);
}

bool place_sets_aside(struct jobs *jobs, struct job *job)
{
    if (job->extra && job->extra->expiry.slot && job->extra->expires_at <= clock_wall_ns()) {
        expire(jobs, job);
        return true;
    }
    if (!job->crashes || jobs->suspects_active == 0 || jobs->suspects_free)
        return false;
    place_set(jobs, job, PLACE_PARKED);
    return true;
}

void place_due(struct jobs *jobs, int64_t now_wall)
{
    struct heap_node *first;
    for (int n = 0; n < JOBS_SLICE && (first = heap_first(&jobs->due)) && first->key <= now_wall;
         n++)
        place_set(jobs, list_entry(first, struct job, due), PLACE_READY);
}

void place_expired(struct jobs *jobs, int64_t now_wall)
{
    struct heap_node *first;
    for (int n = 0; n < JOBS_SLICE; n++) {
        first = heap_first(&jobs->expiring);
        if (!first || first->key > now_wall)
            break;
        struct job_extra *extra = list_entry(first, struct job_extra, expiry);
        expire(jobs, extra->job);
    }
}
