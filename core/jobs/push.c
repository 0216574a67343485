#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/metrics.h"

enum { PUBLISH_CHUNK = 256, FILL_LOCKED = 4, ATTEMPTS_MOST = 10000 };

/* What every record keeps as it is. */
static bool is_text(struct str s)
{
    return s.n == 0 || (utf8_valid(s) && !memchr(s.p, 0, s.n));
}

bool push_check(const struct job_spec *spec, const struct str *args, int count, struct err *err)
{
    if (spec->kind.n == 0 || spec->kind.n > JOBS_NAME_BYTES || spec->queue.n > JOBS_NAME_BYTES)
        return err_set(err, ERR_INVALID, "jobs: names have 1 to %d bytes", JOBS_NAME_BYTES);
    if (spec->unique.n > JOBS_UNIQUE_BYTES)
        return err_set(err, ERR_LIMIT, "jobs: a unique key has at most %d bytes",
                       JOBS_UNIQUE_BYTES);
    if (spec->key.n > JOBS_UNIQUE_BYTES)
        return err_set(err, ERR_LIMIT, "jobs: a key has at most %d bytes", JOBS_UNIQUE_BYTES);
    if (!is_text(spec->unique) || !is_text(spec->key) || !is_text(spec->queue))
        return err_set(err, ERR_INVALID, "jobs: a %s is text in UTF-8, without zero bytes",
                       !is_text(spec->unique) ? "unique key"
                       : !is_text(spec->key)  ? "key"
                                              : "queue");
    if (count < 1 || count > JOBS_PUSH_COUNT)
        return err_set(err, ERR_LIMIT, "jobs: a push has 1 to %d jobs", JOBS_PUSH_COUNT);
    if (count > 1 && (spec->unique.n || spec->schedule.n))
        return err_set(err, ERR_INVALID, "jobs: a unique key is for one job, not for %d", count);
    if (spec->priority < 0 || spec->priority > JOBS_PRIORITIES || spec->retries < 0 ||
        spec->retries > ATTEMPTS_MOST || spec->timeout_ns < 0 || spec->run_at_wall < 0 ||
        spec->result_ttl_ns < 0 || spec->expires_ns < 0)
        return err_set(err, ERR_INVALID, "jobs: priority, retries, timeout or time out of range");
    for (int i = 0; i < count; i++)
        if (args[i].n > JOBS_ARGS_BYTES)
            return err_set(err, ERR_LIMIT, "jobs: arguments have at most %d bytes, not %zu",
                           JOBS_ARGS_BYTES, args[i].n);
    return true;
}

static struct push_op *op_create(struct jobs *jobs, struct jobs_push *push,
                                 const struct job_spec *spec, const struct str *args, int count)
{
    struct push_op *op = mem_zero(1, sizeof *op);
    struct job **end = &op->first;
    op->jobs = jobs;
    op->push = push;
    op->count = count;
    op->schedule = spec->schedule.n ? str_dup(spec->schedule) : NULL;
    op->instant = spec->scheduled_at_wall;
    for (int i = 0; i < count; i++) {
        struct job *job = job_create(args[i], spec->unique);
        *end = job;
        end = &job->next;
    }
    *end = NULL;
    return op;
}

void push_free(struct push_op *op)
{
    for (struct job *job = op->first, *next; job; job = next) {
        next = job->next;
        job_unref(job);
    }
    mem_free(op->schedule);
    crowd_free(op->crowd);
    mem_free(op);
}

/* Lock held. */
static bool is_open(const struct jobs *jobs, struct err *err)
{
    if (!jobs->closed && !jobs->failed.code)
        return true;
    return err_set(err, jobs->closed ? ERR_CLOSED : jobs->failed.code, "jobs: %s",
                   jobs->closed ? "the queue is closed" : jobs->failed.message);
}

/* Lock held.  Without ids at hand the driver gives them; who has the key the record knows. */
static void admit_shared(struct jobs *jobs, struct push_op *op, const struct job_spec *spec)
{
    op->unique_period_ns = spec->unique_period_ns;
    op->replace = spec->unique_replace;
    bool ids = op->in_tx || !jobs->driver->numbers;
    if (spec->id)
        op->first->id = spec->id;
    else if (ids && jobs->next_id + op->count <= jobs->id_limit) {
        op->first->id = jobs->next_id;
        jobs->next_id += op->count;
    }
    jobs->pushing += op->count;
}

bool push_name(struct jobs *jobs, struct job *job, const struct job_spec *spec, struct err *err)
{
    struct kind *k = kind_get(jobs, spec->kind);
    struct queue *q = k && spec->queue.n ? queue_get(jobs, spec->queue) : k ? k->queue : NULL;
    if (!q)
        return err_set(err, ERR_LIMIT, "jobs: %d names of kinds and queues are known", JOBS_NAMES);
    job->kind = k;
    job->queue = q;
    job->priority = (uint8_t)(spec->priority ? spec->priority - 1 : k->priority);
    job->max_attempts = (uint16_t)(spec->retries ? spec->retries : k->retries + 1);
    return true;
}

bool push_room(struct jobs *jobs, int count, struct err *err)
{
    int64_t unfinished = (int64_t)jobs->index.count + jobs->pushing;
    if (!is_open(jobs, err))
        return false;
    if (unfinished + count > JOBS_QUEUED)
        return err_set(err, ERR_FULL, "jobs: %lld jobs are unfinished, the most is %d",
                       (long long)unfinished, JOBS_QUEUED);
    return true;
}

/* Lock held: names, ids, the unique key.  The rest of the fields needs no lock. */
static bool admit(struct jobs *jobs, struct push_op *op, const struct job_spec *spec,
                  struct err *err)
{
    struct job *first = op->first;
    if (!push_room(jobs, op->count, err) || !push_name(jobs, first, spec, err))
        return false;
    if (jobs->driver->shared) {
        admit_shared(jobs, op, spec);
        return true;
    }
    if (!unique_admit(jobs, op, spec, err))
        return false;
    if (op->replaces)
        return true;
    first->id = spec->id ? spec->id : jobs->next_id;
    jobs->next_id += spec->id ? 0 : op->count;
    jobs->pushing += op->count;
    return true;
}

void push_fill_job(struct job *job, const struct job_spec *spec, int64_t now)
{
    job->created_at = now;
    job->run_at = spec->run_at_wall > now ? spec->run_at_wall : now;
    extra_fill(job, spec);
    const char *field = atomic_load_explicit(&job->kind->key_field, memory_order_relaxed);
    int64_t expires_ns = atomic_load_explicit(&job->kind->expires_ns, memory_order_relaxed);
    if (field && !spec->key.n)
        key_fill(job, field);
    if (spec->expires_ns || expires_ns)
        extra_make(job)->expires_at =
            job->run_at + (spec->expires_ns ? spec->expires_ns : expires_ns);
}

void push_fill(struct push_op *op, const struct job_spec *spec)
{
    struct job *first = op->first;
    int64_t id = first->id, now = clock_wall_ns();
    for (struct job *job = first; job; job = job->next) {
        job->id = id++;
        job->kind = first->kind;
        job->queue = first->queue;
        job->priority = first->priority;
        job->max_attempts = first->max_attempts;
        push_fill_job(job, spec, now);
    }
}

bool push_hand_over(struct jobs *jobs, struct push_op *op, struct err *err)
{
    jobs_lock(jobs);
    bool open = is_open(jobs, err);
    if (open)
        batch_add_push(&jobs->pending, op);
    else {
        jobs->pushing -= op->count;
        unique_undo(jobs, op->first);
    }
    jobs_unlock(jobs);
    if (!open)
        push_free(op);
    return open;
}

static bool check_unique(const struct jobs *jobs, const struct job_spec *spec, bool queue,
                         struct err *err)
{
    if (!spec->unique_queued && !spec->unique_replace && !spec->unique_period_ns)
        return true;
    if (!jobs->driver->unique_modes &&
        !shared_has(jobs, "unique keys with a scope, a period or replace", err))
        return false;
    if (spec->unique.n == 0 || spec->unique_period_ns < 0)
        return err_set(err, ERR_INVALID, "jobs: scope, period and replace are of a unique key");
    return queue || !spec->unique_replace ||
           err_set(err, ERR_INVALID, "jobs: a transaction cannot replace a job");
}

struct push_op *push_prepare(struct jobs *jobs, struct jobs_push *push, bool queue,
                             const struct job_spec *spec, const struct str *args, int count,
                             struct err *err)
{
    if (!push_check(spec, args, count, err) || !check_unique(jobs, spec, queue, err))
        return NULL;
    struct push_op *op = op_create(jobs, push, spec, args, count);
    op->in_tx = !queue;
    push->count = count;
    err_clear(&push->err);
    jobs_lock(jobs);
    bool admitted = admit(jobs, op, spec, err);
    if (admitted && op->replaces) {
        push->first_id = op->replaces->id;
        push_fill_job(op->first, spec, clock_wall_ns());
        unique_replace(jobs, op);
        jobs_unlock(jobs);
        return op;
    }
    int64_t first_id = op->first->id;
    bool ready = admitted && queue && count <= FILL_LOCKED;
    if (ready) {
        push_fill(op, spec);
        push->first_id = first_id;
        batch_add_push(&jobs->pending, op);
    }
    jobs_unlock(jobs);
    if (!admitted) {
        push_free(op);
        return NULL;
    }
    if (ready)
        return op;
    push_fill(op, spec);
    push->first_id = first_id;
    return queue && !push_hand_over(jobs, op, err) ? NULL : op;
}

struct push_op *push_follow(struct jobs *jobs, const struct job_spec *spec, struct str args,
                            struct err *err)
{
    struct jobs_push nobody = {.lane = NULL};
    struct push_op *op = push_prepare(jobs, &nobody, false, spec, &args, 1, err);
    if (op)
        op->push = NULL;
    return op;
}

void push_drop(struct jobs *jobs, struct push_op *op, bool rolled_back)
{
    if (rolled_back) {
        jobs_lock(jobs);
        jobs->pushing -= op->count;
        jobs_unlock(jobs);
    }
    push_free(op);
}

bool jobs_push(struct jobs *jobs, struct jobs_push *push, const struct job_spec *spec,
               const struct str *args, int count, struct err *err)
{
    return push_prepare(jobs, push, true, spec, args, count, err) != NULL;
}

/* Lock held; let go of now and then, so that lanes come in between. */
static void publish_jobs(struct jobs *jobs, struct job *job, int64_t now, int *chunk)
{
    for (struct job *next; job; job = next) {
        next = job->next;
        if (++*chunk == PUBLISH_CHUNK) {
            *chunk = 0;
            dispatch(jobs);
            jobs_unlock(jobs);
            jobs_lock(jobs);
        }
        index_set(&jobs->index, job->id, job);
        job->kind->unfinished++;
        jobs->count[PLACE_NONE]++;
        job->queue->count[PLACE_NONE]++;
        jobs->pushed_total++;
        gauge_add(jobs, job->queue, now, RATE_PUSHED);
        place_start(jobs, job, now);
        if (jobs->late.count)
            unique_arrived(jobs, job);
    }
}

/* Lock held: of a push that is not published here. */
static void count_pushed(struct jobs *jobs, const struct push_op *op, int64_t now)
{
    if (op->fired_before || op->duplicate || op->replaced || op->refused)
        return;
    jobs->pushed_total += op->count;
    for (const struct job *job = op->first; job; job = job->next)
        gauge_add(jobs, job->queue, now, RATE_PUSHED);
}

/* Lock held: jobs of a push that the record gave this process with their rows. */
static void enter_claimed(struct jobs *jobs, struct push_op *op)
{
    struct job *claimed = NULL, **end = &claimed, **at = &op->first;
    int n = 0;
    for (struct job *job; (job = *at);) {
        if (!job_extra(job)->lease) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        *end = job;
        end = &job->next;
        n++;
    }
    *end = NULL;
    if (!n)
        return;
    metric_add(jobs->claimed_at_push, n);
    shared_enter(jobs, claimed);
}

void push_publish(struct jobs *jobs, struct push_op *ops)
{
    int64_t now = clock_wall_ns();
    int chunk = 0;
    jobs_lock(jobs);
    for (struct push_op *op = ops; op; op = op->next) {
        jobs->pushing -= op->count;
        if (op->fired_before || jobs->driver->shared) {
            unique_undo(jobs, op->first);
            count_pushed(jobs, op, now);
            if (op->push && jobs->driver->shared)
                op->push->first_id = op->replaced ? op->replaced : op->first->id;
            if (!op->fired_before && !op->duplicate && !op->replaced)
                enter_claimed(jobs, op);
            continue;
        }
        struct job *first = op->first;
        if (op->crowd)
            index_set(&jobs->crowds, op->crowd->id, op->crowd);
        op->crowd = NULL;
        op->first = NULL;
        publish_jobs(jobs, first, now, &chunk);
    }
    dispatch(jobs);
    jobs_unlock(jobs);
}

static void on_answer(struct lane_message *message)
{
    struct jobs_push *push = (struct jobs_push *)(void *)message;
    push->done(push);
}

void push_answer(struct jobs *jobs, struct push_op *op, const struct err *err)
{
    struct jobs_push *push = op->push;
    if (!push) {
        push_free(op);
        return;
    }
    if (err) {
        jobs_lock(jobs);
        jobs->pushing -= op->count;
        unique_undo(jobs, op->first);
        jobs_unlock(jobs);
        push->err = *err;
    } else if (op->refused)
        err_set(&push->err, ERR_INVALID, "jobs: %s is no queue: something else has its name in %s",
                op->first->queue->name, jobs->driver->name);
    else if (op->fired_before)
        err_set(&push->err, ERR_EXISTS, "jobs: %s was fired for this instant", op->schedule);
    else if (op->duplicate) {
        push->taken = true;
        err_set(&push->err, ERR_EXISTS, "jobs: an unfinished %s has this unique key",
                op->first->kind->name);
    }
    if (jobs->driver->shared && op->crowd)
        op->crowd->asked->id = op->crowd->id;
    push_free(op);
    push->message.fn = on_answer;
    if (push->lane)
        lane_post(push->lane, &push->message);
    else
        push->done(push);
}
