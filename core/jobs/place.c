#include "jobs/private.h"

/* Of 13 jobs of a queue with all three waiting 8 are high, 4 normal, 1 low: low
 * ones never starve.  ORDER job_priority */
static const int weights[JOBS_PRIORITIES] = {8, 4, 1};

void limit_init(struct limit *limit)
{
    *limit = (struct limit){0};
    for (int p = 0; p < JOBS_PRIORITIES; p++)
        list_init(&limit->parked[p]);
}

static bool limit_is_open(const struct limit *limit, int more)
{
    return !limit->closed && (limit->most == 0 || limit->active + more < limit->most);
}

static struct list *limit_first(struct limit *limit)
{
    for (int p = 0; p < JOBS_PRIORITIES; p++)
        if (!list_empty(&limit->parked[p]))
            return limit->parked[p].next;
    return NULL;
}

/* Where a job that comes to the front goes: behind those that limits offered
 * before it, so that parked jobs keep their order. */
static struct list *ready_front(struct list *l)
{
    struct list *at = l;
    while (at->next != l && list_entry(at->next, struct job, link)->limit)
        at = at->next;
    return at;
}

static void ready_enter(struct jobs *jobs, struct job *job, bool front)
{
    struct queue *q = job->queue;
    struct list *l = &q->ready[job->priority];
    if (q->count[PLACE_READY] == 1)
        list_push_back(&jobs->ring, &q->ring);
    if (front)
        list_push_front(ready_front(l), &job->link);
    else
        list_push_back(l, &job->link);
}

/* Returns the limit that may have got room, or NULL. */
static struct limit *ready_leave(struct job *job)
{
    struct limit *limit = job->limit;
    list_remove(&job->link);
    if (job->queue->count[PLACE_READY] == 0)
        list_remove(&job->queue->ring);
    if (limit)
        limit->offered--;
    return limit;
}

static void active_add(struct jobs *jobs, struct job *job, int by)
{
    job->kind->limit.active += by;
    if (job->crashes)
        jobs->suspects.active += by;
    if (by < 0) {
        limit_settle(jobs, &job->kind->limit);
        if (job->crashes)
            limit_settle(jobs, &jobs->suspects);
    }
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

static void enter(struct jobs *jobs, struct job *job, enum place place, bool front)
{
    if (place == PLACE_READY)
        ready_enter(jobs, job, front);
    else if (place == PLACE_DELAYED) {
        heap_push(&jobs->due, &job->due, job->run_at);
        if (heap_first(&jobs->due) == &job->due)
            jobs_wake(jobs, job->run_at);
    } else if (place == PLACE_FINISHING)
        list_push_back(&jobs->pending.ends, &job->link);
}

static void move(struct jobs *jobs, struct job *job, enum place place, bool front)
{
    enum place from = (enum place)job->place;
    struct limit *roomier = NULL;
    count_move(jobs, job, place);
    if (from == PLACE_READY)
        roomier = ready_leave(job);
    else if (from == PLACE_PARKED || from == PLACE_CLAIMED)
        list_remove(&job->link);
    else if (from == PLACE_DELAYED)
        heap_remove(&jobs->due, &job->due);
    if (from == PLACE_PARKED && job->held) {
        job->queue->held--;
        job->held = false;
    }
    if (from != PLACE_PARKED || place != PLACE_READY)
        job->limit = NULL; /* else it is offered by the limit it was parked at */
    enter(jobs, job, place, front);
    if (is_active(from) != is_active(place))
        active_add(jobs, job, is_active(place) ? 1 : -1);
    if (roomier)
        limit_settle(jobs, roomier);
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

void limit_settle(struct jobs *jobs, struct limit *limit)
{
    struct list *first;
    while (limit_is_open(limit, limit->offered) && (first = limit_first(limit))) {
        struct job *job = list_entry(first, struct job, link);
        limit->offered++;
        place_ready_front(jobs, job);
    }
}

static void park(struct jobs *jobs, struct job *job, struct limit *limit)
{
    bool again = job->limit == limit;
    struct list *l = &limit->parked[job->priority];
    bool held = limit->closed;
    place_set(jobs, job, PLACE_PARKED);
    job->limit = limit;
    job->held = held;
    job->queue->held += held;
    if (again)
        list_push_front(l, &job->link);
    else
        list_push_back(l, &job->link);
}

void limit_release_all(struct jobs *jobs, struct limit *limit)
{
    for (int p = 0; p < JOBS_PRIORITIES; p++)
        while (!list_empty(&limit->parked[p])) {
            struct job *job = list_entry(limit->parked[p].next, struct job, link);
            place_set(jobs, job, PLACE_READY);
            job->limit = NULL;
        }
}

/* What keeps the job from running now, or NULL. */
static struct limit *blocking(struct jobs *jobs, const struct job *job)
{
    struct limit *limit = &job->kind->limit;
    if (!limit_is_open(limit, 0))
        return limit;
    if (job->crashes && !limit_is_open(&jobs->suspects, 0))
        return &jobs->suspects;
    return NULL;
}

/* The queue's next in turn; one list at least is not empty. */
static struct job *queue_first(struct queue *q)
{
    for (;;) {
        for (int p = 0; p < JOBS_PRIORITIES; p++)
            if (q->credit[p] > 0 && !list_empty(&q->ready[p])) {
                q->credit[p]--;
                return list_entry(q->ready[p].next, struct job, link);
            }
        memcpy(q->credit, weights, sizeof weights);
    }
}

struct job *place_pick(struct jobs *jobs)
{
    while (!list_empty(&jobs->ring)) {
        struct queue *q = list_entry(jobs->ring.next, struct queue, ring);
        struct job *job = queue_first(q);
        list_remove(&q->ring);
        list_push_back(&jobs->ring, &q->ring);
        struct limit *limit = blocking(jobs, job);
        if (!limit)
            return job;
        park(jobs, job, limit);
    }
    return NULL;
}

void place_due(struct jobs *jobs, int64_t now_wall)
{
    struct heap_node *first;
    while ((first = heap_first(&jobs->due)) && first->key <= now_wall)
        place_set(jobs, list_entry(first, struct job, due), PLACE_READY);
}
