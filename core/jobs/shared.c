/* shared.c -- the engine's side of a record that several processes work from. */
#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/mem.h"

/* How many jobs the lanes ended a millisecond lately, so that just enough lies ready
 * for them: what is claimed ahead of slow jobs only keeps other processes from it. */
static int buffer_size(struct jobs *jobs)
{
    struct pace *p = &jobs->pace;
    int64_t now = clock_ns(), ended = jobs->done_total + jobs->failed_total;
    int64_t past = now - p->at_ns;
    if (past > 10 * NS_PER_MS) {
        double rate = (double)(ended - p->ended) * (double)NS_PER_MS / (double)past;
        p->per_ms = p->at_ns == 0 ? 0 : (p->per_ms + rate) / 2;
        p->at_ns = now;
        p->ended = ended;
    }
    double size = p->per_ms * SHARED_BUFFER_MS;
    return size < SHARED_BUFFER ? (int)size : SHARED_BUFFER;
}

static int free_places(struct jobs *jobs)
{
    int places = 0;
    for (int i = 0; i < jobs->worker_count; i++)
        if (!jobs->workers[i]->lost)
            places += jobs->workers[i]->capacity - jobs->workers[i]->used;
    return places;
}

/* Lock held: how many more jobs it may have. */
static int room_now(struct jobs *jobs)
{
    int64_t most = free_places(jobs) + buffer_size(jobs) - jobs->count[PLACE_READY];
    bool takes = jobs->started && !jobs->stopping && !jobs->held && !jobs->closed;
    return takes && most > 0 ? (int)most : 0;
}

void shared_room(struct jobs *jobs, struct shared_room *room)
{
    size_t at = 0;
    struct str name;
    void *value;
    room->kinds = 0;
    jobs_lock(jobs);
    room->jobs = room_now(jobs);
    while (room->jobs && room->kinds < SHARED_KINDS && map_next(jobs->kinds, &at, &name, &value)) {
        const struct kind *k = value;
        if (k->limit.closed)
            continue;
        room->kind[room->kinds] = k;
        room->most[room->kinds++] = k->limit.most;
    }
    jobs_unlock(jobs);
}

static bool is_bounded(const struct job *job)
{
    const struct kind *k = job->kind;
    const struct queue *q = job->queue;
    return k->limit.most || k->limit.interval_ns || k->key_concurrency || k->key_rate.count ||
           q->limit.most || q->limit.interval_ns || q->limits.key_concurrency ||
           q->limits.key_rate.count;
}

/* It runs here, its time has come, nothing bounds it, and no other push may become its work. */
static bool may_begin(const struct job *job)
{
    return job->run_at <= job->created_at && job->unique_n == 0 && !is_bounded(job) &&
           !job->kind->limit.closed && !job->queue->limit.closed;
}

int shared_mark(struct jobs *jobs, struct push_op *pushes, int most)
{
    int marked = 0, looked = 0;
    for (struct push_op *op = pushes; op; op = op->next)
        for (struct job *job = op->first; job; job = job->next)
            if (job->extra)
                job->extra->lease = 0;
    if (most == 0)
        return 0;
    jobs_lock(jobs);
    int room = room_now(jobs);
    most = room < most ? room : most;
    for (struct push_op *op = pushes; op; op = op->next)
        for (struct job *job = op->first; job; job = job->next) {
            if (marked == most || ++looked > JOBS_SLICE) {
                jobs_unlock(jobs);
                return marked;
            }
            if (!may_begin(job))
                continue;
            extra_make(job)->lease = SHARED_MARK;
            marked++;
        }
    jobs_unlock(jobs);
    return marked;
}

bool shared_frees(struct jobs *jobs, const struct list *ends)
{
    int n = 0;
    bool frees = false;
    jobs_lock(jobs);
    list_each (node, ends) {
        const struct job *job = list_entry(node, struct job, link);
        bool back = job->end == JOB_END_RETRY || job->end == JOB_END_INTERRUPTED;
        if (back || job->crashes || is_bounded(job) || ++n == JOBS_SLICE) {
            frees = true;
            break;
        }
    }
    jobs_unlock(jobs);
    return frees;
}

struct job *shared_job(struct jobs *jobs, int64_t id, uint64_t lease, struct str kind,
                       struct str queue, struct str args, struct str unique)
{
    struct job *job = job_create(args, unique);
    jobs_lock(jobs);
    job->kind = kind_get(jobs, kind);
    job->queue = queue_get(jobs, queue);
    jobs_unlock(jobs);
    job->id = id;
    extra_make(job)->lease = lease;
    if (job->kind && job->queue)
        return job;
    job_unref(job);
    return NULL;
}

/* Lock held: the engine knows it no more; a run of it is stale from now on. */
static void drop(struct jobs *jobs, struct job *job)
{
    if (job->place == PLACE_CLAIMED)
        unclaim(jobs, job);
    if (job->place == PLACE_RUNNING) {
        run_ask(job->run, JOB_END_INTERRUPTED);
        job->run = NULL;
    }
    job->fence = ++jobs->fence;
    if (job->place == PLACE_FINISHING) /* the batch's, which will find it stale */
        return;
    place_set(jobs, job, PLACE_NONE);
    job_forget(jobs, job);
}

void shared_enter(struct jobs *jobs, struct job *first)
{
    int64_t now = clock_wall_ns();
    for (struct job *job = first, *next; job; job = next) {
        next = job->next;
        struct job *before = index_get(&jobs->index, job->id);
        if (before)
            drop(jobs, before);
        index_set(&jobs->index, job->id, job);
        jobs->count[PLACE_NONE]++;
        job->queue->count[PLACE_NONE]++;
        job->started_at = now; /* until it starts: when it came */
        place_set(jobs, job, PLACE_READY);
    }
    if (jobs->stopping || jobs->closed)
        shared_release(jobs, INT64_MAX);
}

void shared_arrive(struct jobs *jobs, struct job *first)
{
    jobs_lock(jobs);
    shared_enter(jobs, first);
    dispatch(jobs);
    jobs_unlock(jobs);
}

bool shared_has(const struct jobs *jobs, const char *what, struct err *err)
{
    if (!jobs->driver->shared)
        return true;
    return err_set(err, ERR_INVALID, "jobs: %s need jobs.driver = sqlite, not %s", what,
                   jobs->driver->name);
}

void shared_leave(struct jobs *jobs, struct job *job, enum job_end end)
{
    if (job->place == PLACE_CLAIMED)
        unclaim(jobs, job);
    job->end = (uint8_t)end;
    job->result = NULL;
    place_set(jobs, job, PLACE_FINISHING);
}

void shared_release(struct jobs *jobs, int64_t before_wall)
{
    for (size_t i = 0; i < jobs->index.size; i++) {
        struct job *job = jobs->index.slots[i].id ? jobs->index.slots[i].value : NULL;
        if (!job || (job->place != PLACE_READY && job->place != PLACE_PARKED))
            continue;
        if (job->started_at < before_wall || job->kind->limit.closed)
            shared_leave(jobs, job, JOB_END_INTERRUPTED);
    }
}

void shared_cancel(struct jobs *jobs, int64_t id)
{
    jobs_lock(jobs);
    struct job *job = index_get(&jobs->index, id);
    if (job && job->place == PLACE_RUNNING)
        run_ask(job->run, JOB_END_CANCELLED);
    else if (job && job->place != PLACE_FINISHING)
        shared_leave(jobs, job, JOB_END_CANCELLED);
    dispatch(jobs);
    jobs_unlock(jobs);
}

void shared_lose_all(struct jobs *jobs)
{
    jobs_lock(jobs);
    size_t n = 0, count = jobs->index.count;
    struct job **all = mem_alloc(count * sizeof(struct job *) + 1);
    for (size_t i = 0; i < jobs->index.size; i++)
        if (jobs->index.slots[i].id)
            all[n++] = jobs->index.slots[i].value;
    for (size_t i = 0; i < n; i++)
        drop(jobs, all[i]);
    mem_free(all);
    dispatch(jobs);
    jobs_unlock(jobs);
}

void shared_stale(struct jobs *jobs, struct job *job)
{
    jobs_lock(jobs);
    jobs->stale_total++;
    job->end = JOB_END_INTERRUPTED; /* so that it is counted as nothing else */
    jobs_unlock(jobs);
}

void shared_ids(struct jobs *jobs, int64_t next, int64_t limit)
{
    jobs_lock(jobs);
    jobs->next_id = next;
    jobs->id_limit = limit;
    jobs_unlock(jobs);
}

void shared_others(struct jobs *jobs, struct str workers)
{
    jobs_lock(jobs);
    buf_clear(&jobs->others);
    buf_add_str(&jobs->others, workers);
    jobs_unlock(jobs);
}

void shared_seen(struct jobs *jobs, struct str queue, int64_t ready, int64_t delayed,
                 int64_t running, int64_t dead)
{
    jobs_lock(jobs);
    struct queue *q = queue_get(jobs, queue);
    if (q) {
        jobs->dead += dead - q->dead;
        q->dead = dead;
        q->seen[PLACE_READY] = ready;
        q->seen[PLACE_DELAYED] = delayed;
        q->seen[PLACE_RUNNING] = running;
    }
    jobs_unlock(jobs);
}
