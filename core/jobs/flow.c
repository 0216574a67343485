#include "jobs/private.h"

/* Of 13 jobs of a flow with all three waiting 8 are high, 4 normal, 1 low: low
 * ones never starve.  ORDER job_priority */
static const uint8_t weights[JOBS_PRIORITIES] = {8, 4, 1};

/* So many limits are looked at in one pick before the lock is let go. */
enum { SHUT_MOST = 1000 };

void limit_look_at(struct jobs *jobs, struct limit *limit, int64_t at)
{
    if (limit->wait.slot && limit->wait.key <= at)
        return;
    heap_remove(&jobs->refills, &limit->wait);
    heap_push(&jobs->refills, &limit->wait, at);
    if (heap_first(&jobs->refills) == &limit->wait)
        jobs_wake(jobs, clock_wall_ns() + at - clock_ns());
}

/* Whether a job may start under it.  What only lacks tokens is looked at again when it
 * has some. */
static bool is_open(struct jobs *jobs, struct limit *limit)
{
    if (!limit_has_room(limit))
        return false;
    if (limit->interval_ns == 0 || limit_has_tokens(limit))
        return true;
    limit_look_at(jobs, limit, limit_start_at(limit));
    return false;
}

/* ---- who is in which ring --------------------------------------------------- */

static void queue_link(struct jobs *jobs, struct queue *q)
{
    if (q->blocked || list_empty(&q->turns) || !list_empty(&q->ring))
        return;
    q->turn = q->limits.weight;
    list_push_back(&jobs->ring, &q->ring);
}

static void flow_link(struct jobs *jobs, struct flow *f)
{
    if (f->blocked || f->awake == 0 || !list_empty(&f->turn))
        return;
    list_push_back(&f->queue->turns, &f->turn);
    queue_link(jobs, f->queue);
}

static void flow_unlink(struct flow *f)
{
    list_remove(&f->turn);
    if (list_empty(&f->queue->turns))
        list_remove(&f->queue->ring);
}

void stream_wake(struct jobs *jobs, struct stream *s)
{
    list_remove(&s->parked);
    s->state = STREAM_AWAKE;
    for (int p = 0; p < JOBS_PRIORITIES; p++)
        if (!list_empty(&s->ready[p]))
            list_push_back(&s->flow->ring[p], &s->ring[p]);
    s->flow->awake++;
    s->line->awake += !s->flow->blocked;
    flow_link(jobs, s->flow);
}

/* Out of the rings, or of the list it was parked in. */
static void stream_leave(struct stream *s, enum stream_state to)
{
    bool awake = s->state == STREAM_AWAKE;
    s->state = (uint8_t)to;
    list_remove(&s->parked);
    if (!awake)
        return;
    for (int p = 0; p < JOBS_PRIORITIES; p++)
        list_remove(&s->ring[p]);
    s->line->awake -= !s->flow->blocked;
    if (--s->flow->awake == 0)
        flow_unlink(s->flow);
}

/* The rule of flow.h. */
static void line_settle(struct jobs *jobs, struct line *line)
{
    while (line->awake == 0 && !list_empty(&line->parked) && is_open(jobs, &line->kind->limit))
        stream_wake(jobs, list_entry(line->parked.next, struct stream, parked));
}

static void park_at_kind(struct jobs *jobs, struct stream *s)
{
    stream_leave(s, STREAM_PARKED_AT_KIND);
    list_push_back(&s->line->parked, &s->parked);
    line_settle(jobs, s->line); /* shut, but its refill is to be looked at */
}

static void park_at_key(struct jobs *jobs, struct stream *s)
{
    stream_leave(s, STREAM_PARKED_AT_KEY);
    list_push_back(&s->key->parked, &s->parked);
    line_settle(jobs, s->line);
}

static void flow_block(struct jobs *jobs, struct flow *f)
{
    f->blocked = true;
    flow_unlink(f);
    list_each (node, &f->streams) {
        struct stream *s = list_entry(node, struct stream, link);
        if (s->state == STREAM_AWAKE) {
            s->line->awake--;
            line_settle(jobs, s->line);
        }
    }
}

static void flow_unblock(struct jobs *jobs, struct flow *f)
{
    if (!f->blocked || !is_open(jobs, &f->limit))
        return;
    f->blocked = false;
    list_each (node, &f->streams) {
        struct stream *s = list_entry(node, struct stream, link);
        s->line->awake += s->state == STREAM_AWAKE;
    }
    flow_link(jobs, f);
}

static void queue_block(struct queue *q)
{
    q->blocked = true;
    list_remove(&q->ring);
}

static void queue_unblock(struct jobs *jobs, struct queue *q)
{
    if (!q->blocked || !is_open(jobs, &q->limit))
        return;
    q->blocked = false;
    queue_link(jobs, q);
}

void key_unblock(struct jobs *jobs, struct key *key)
{
    while (!list_empty(&key->parked) && is_open(jobs, &key->limit))
        stream_wake(jobs, list_entry(key->parked.next, struct stream, parked));
}

/* ---- jobs come and go ------------------------------------------------------- */

void flow_enter(struct jobs *jobs, struct job *job, bool front)
{
    if (!job->stream)
        job->stream = stream_of(jobs, job);
    struct stream *s = job->stream;
    struct list *l = &s->ready[job->priority];
    bool first = list_empty(l);
    if (front)
        list_push_front(l, &job->link);
    else
        list_push_back(l, &job->link);
    s->ready_n++;
    s->line->ready++;
    job->queue->held += job->kind->limit.closed;
    if (job->kind->limit.closed)
        held_begins(jobs);
    if (s->state == STREAM_EMPTY)
        stream_wake(jobs, s);
    else if (s->state == STREAM_AWAKE && first)
        list_push_back(&s->flow->ring[job->priority], &s->ring[job->priority]);
}

void flow_leave(struct jobs *jobs, struct job *job)
{
    struct stream *s = job->stream;
    list_remove(&job->link);
    s->line->ready--;
    job->queue->held -= job->kind->limit.closed;
    if (list_empty(&s->ready[job->priority]))
        list_remove(&s->ring[job->priority]);
    if (--s->ready_n > 0)
        return;
    stream_leave(s, STREAM_EMPTY);
    line_settle(jobs, s->line);
}

void flow_active(struct jobs *jobs, struct job *job, int by)
{
    struct stream *s = job->stream;
    struct limit *limits[] = {&job->kind->limit, &job->queue->limit, &s->flow->limit,
                              s->key ? &s->key->limit : NULL};
    s->active_n += (uint32_t)by;
    for (int i = 0; i < 4 && limits[i]; i++) {
        limits[i]->active += by;
        if (by > 0)
            limit_take(limits[i]);
    }
    if (by > 0)
        return;
    queue_unblock(jobs, job->queue);
    flow_unblock(jobs, s->flow);
    if (s->key)
        key_unblock(jobs, s->key);
    flow_kind_changed(jobs, job->kind);
}

void flow_give_back(struct job *job)
{
    struct stream *s = job->stream;
    limit_give_back(&job->kind->limit);
    limit_give_back(&job->queue->limit);
    limit_give_back(&s->flow->limit);
    if (s->key)
        limit_give_back(&s->key->limit);
}

void flow_forget(struct jobs *jobs, struct job *job)
{
    struct stream *s = job->stream;
    job->stream = NULL;
    stream_rest(jobs, s);
}

void flow_kind_changed(struct jobs *jobs, struct kind *kind)
{
    list_each (node, &kind->lines)
        line_settle(jobs, list_entry(node, struct line, link));
}

void flow_queue_changed(struct jobs *jobs, struct queue *q)
{
    limit_set(&q->limit, q->limits.concurrency, q->limits.rate);
    q->limit.closed = q->paused;
    if (q->turn > q->limits.weight)
        q->turn = q->limits.weight;
    list_each_safe (node, &q->flows) {
        struct flow *f = list_entry(node, struct flow, link);
        if (f->key)
            limit_set(&f->limit, q->limits.key_concurrency, q->limits.key_rate);
        flow_unblock(jobs, f);
    }
    queue_unblock(jobs, q);
}

static void refilled(struct jobs *jobs, struct limit *limit)
{
    struct flow *f = list_entry(limit, struct flow, limit);
    struct key *key = list_entry(limit, struct key, limit);
    switch ((enum limit_of)limit->of) {
    case LIMIT_KIND:
        flow_kind_changed(jobs, list_entry(limit, struct kind, limit));
        break;
    case LIMIT_QUEUE:
        queue_unblock(jobs, list_entry(limit, struct queue, limit));
        break;
    case LIMIT_FLOW:
        flow_unblock(jobs, f);
        flow_rest(jobs, f);
        break;
    case LIMIT_KEY:
        key_unblock(jobs, key);
        key_rest(jobs, key);
        break;
    }
}

void flow_refilled(struct jobs *jobs, int64_t now)
{
    struct heap_node *first;
    while ((first = heap_first(&jobs->refills)) && first->key <= now) {
        heap_pop(&jobs->refills);
        refilled(jobs, list_entry(first, struct limit, wait));
    }
}

/* ---- turns ------------------------------------------------------------------ */

/* The flow's next stream; *priority is which of its lists. */
static struct stream *flow_next(struct flow *f, int *priority)
{
    for (;;) {
        for (int p = 0; p < JOBS_PRIORITIES; p++)
            if (f->credit[p] > 0 && !list_empty(&f->ring[p])) {
                *priority = p;
                return list_entry(f->ring[p].next, struct stream, ring[p]);
            }
        memcpy(f->credit, weights, sizeof weights);
    }
}

static void to_back(struct list *ring, struct list *node)
{
    list_remove(node);
    list_push_back(ring, node);
}

/* It had its turn.  One of those parked at the kind may be next to it. */
static void turn_over(struct jobs *jobs, struct stream *s, int priority)
{
    struct line *line = s->line;
    struct flow *f = s->flow;
    struct queue *q = f->queue;
    if (!list_empty(&line->parked) && is_open(jobs, &line->kind->limit))
        stream_wake(jobs, list_entry(line->parked.next, struct stream, parked));
    f->credit[priority]--;
    to_back(&f->ring[priority], &s->ring[priority]);
    to_back(&q->turns, &f->turn);
    if (--q->turn <= 0) {
        q->turn = q->limits.weight;
        to_back(&jobs->ring, &q->ring);
    }
}

/* The stream whose turn it is, in the first ring; NULL: something was shut and left it. */
static struct stream *look(struct jobs *jobs, int *priority)
{
    struct queue *q = list_entry(jobs->ring.next, struct queue, ring);
    if (!is_open(jobs, &q->limit)) {
        q->limited_total += limit_has_room(&q->limit);
        queue_block(q);
        return NULL;
    }
    struct flow *f = list_entry(q->turns.next, struct flow, turn);
    if (!is_open(jobs, &f->limit)) {
        q->limited_total += limit_has_room(&f->limit);
        flow_block(jobs, f);
        return NULL;
    }
    struct stream *s = flow_next(f, priority);
    if (s->key && !is_open(jobs, &s->key->limit)) {
        q->limited_total += limit_has_room(&s->key->limit);
        park_at_key(jobs, s);
        return NULL;
    }
    if (!is_open(jobs, &s->line->kind->limit)) {
        q->limited_total += limit_has_room(&s->line->kind->limit);
        park_at_kind(jobs, s);
        return NULL;
    }
    return s;
}

struct job *flow_pick(struct jobs *jobs)
{
    int priority, shut = 0;
    jobs->cut_short = false;
    while (!list_empty(&jobs->ring)) {
        struct stream *s = look(jobs, &priority);
        if (!s) {
            if (++shut < SHUT_MOST)
                continue;
            jobs->cut_short = true; /* the rest in the control lane's next look */
            jobs_wake(jobs, 1);
            return NULL;
        }
        struct job *job = list_entry(s->ready[priority].next, struct job, link);
        if (place_sets_aside(jobs, job))
            continue;
        turn_over(jobs, s, priority);
        return job;
    }
    return NULL;
}

const struct limit *flow_blocking(const struct job *job)
{
    const struct stream *s = job->stream;
    const struct limit *limits[] = {&job->queue->limit, s ? &s->flow->limit : NULL,
                                    s && s->key ? &s->key->limit : NULL, &job->kind->limit};
    for (int i = 0; i < 4; i++)
        if (limits[i] && !limit_is_open(limits[i]))
            return limits[i];
    return NULL;
}
