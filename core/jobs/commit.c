/* commit.c -- one batch is written: it becomes visible and is answered, or goes back. */
#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "observe/metrics.h"

/* How long the deletion of ended rows may take inside a commit: longer when
 * nobody waits for it, or when it falls behind. */
enum { FOLD_BUSY_US = 400, FOLD_IDLE_US = 2000, FOLD_BEHIND = 100000, RETRY_MS = 1000 };

static struct jobs *jobs_of(struct sqlite_write *w)
{
    return (struct jobs *)(void *)((char *)w - offsetof(struct jobs, write));
}

void batch_take(struct jobs *jobs)
{
    if (jobs->taken)
        return;
    jobs_lock(jobs);
    jobs->updates_writing = jobs->pending.updates_n;
    batch_move(&jobs->batch, &jobs->pending);
    workflow_take(jobs);
    jobs_unlock(jobs);
    jobs->taken = true;
    jobs->taken_ns = clock_ns();
}

static bool work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct jobs *jobs = jobs_of(w);
    batch_take(jobs);
    jobs->rates_written = jobs->rates_stored; /* whatever a run before this one did */
    bool idle = batch_is_empty(&jobs->batch) || fold_backlog(&jobs->fold) > FOLD_BEHIND;
    return record_batch(jobs, conn, &w->err) && gauge_record(jobs, conn, &w->err) &&
           fold_step(jobs, conn, (idle ? FOLD_IDLE_US : FOLD_BUSY_US) * INT64_C(1000), &w->err);
}

/* Lock held. */
static void end_published(struct jobs *jobs, struct job *job, int64_t now_wall)
{
    struct kind *k = job->kind;
    struct queue *q = job->queue;
    if (job->end == JOB_END_DONE) {
        jobs->done_total++;
        q->done_total++;
        gauge_add(jobs, q, now_wall, RATE_DONE);
    } else if (job->end == JOB_END_DISCARDED) {
        jobs->dead_total++;
        jobs->dead++;
        q->dead++;
        if (jobs->driver->shared)
            death_told(jobs, job);
    } else if (job->end == JOB_END_EXPIRED) {
        q->expired_total++;
    }
    if (k->dead && (job->end == JOB_END_DONE || job->end == JOB_END_DISCARDED))
        metric_add(job->end == JOB_END_DONE ? k->done : k->dead, 1);
    job_forget(jobs, job);
}

/* Lock held: who waits for this end.  One that only leaves this process has not ended. */
static struct change_op *take_watchers(struct jobs *jobs, const struct job *job)
{
    bool leaves =
        jobs->driver->shared && (job->end == JOB_END_RETRY || job->end == JOB_END_INTERRUPTED);
    struct change_op *op =
        jobs->watched.count && !leaves ? index_get(&jobs->watched, job->id) : NULL;
    if (op)
        index_remove(&jobs->watched, job->id);
    return op;
}

/* Takes out the ends under short locks; returns the changes that waited for them. */
static struct change_op *publish_ends(struct jobs *jobs)
{
    struct change_op *changes = NULL;
    int64_t now_wall = clock_wall_ns();
    while (!list_empty(&jobs->batch.ends)) {
        jobs_lock(jobs);
        for (int n = 0; n < 256 && !list_empty(&jobs->batch.ends); n++) {
            struct job *job = list_entry(jobs->batch.ends.next, struct job, link);
            list_remove(&job->link);
            for (struct change_op *op = take_watchers(jobs, job), *next; op; op = next) {
                next = op->next;
                op->next = changes;
                changes = op;
            }
            end_published(jobs, job, now_wall);
        }
        dispatch(jobs);
        jobs_unlock(jobs);
    }
    return changes;
}

static void answer_changes(struct jobs *jobs, struct change_op *op, const struct err *err)
{
    for (struct change_op *next; op; op = next) {
        next = op->next;
        if (op->wait) {
            wait_step(jobs, op);
            continue;
        }
        const struct err own = op->err;
        change_answer(op, err ? err : own.code ? &own : NULL);
    }
}

static void publish_revivals(struct jobs *jobs)
{
    jobs_lock(jobs);
    for (struct change_op *op = jobs->batch.revivals; op; op = op->next) {
        struct job *job = op->revived;
        if (op->gone) {
            op->gone->dead--;
            jobs->dead--;
        }
        if (!job)
            continue;
        op->revived = NULL;
        index_set(&jobs->index, job->id, job);
        job->kind->unfinished++;
        jobs->count[PLACE_NONE]++;
        job->queue->count[PLACE_NONE]++;
        job->queue->dead--;
        jobs->dead--;
        place_start(jobs, job, clock_wall_ns());
        unique_arrived(jobs, job);
    }
    dispatch(jobs);
    jobs_unlock(jobs);
}

static void free_updates(struct jobs *jobs, struct batch *b)
{
    for (struct update_op *op = b->updates, *next; op; op = next) {
        next = op->next;
        if (op->change)
            change_answer(op->change, NULL);
        unique_row_free(jobs, op, NULL);
        mem_free(op->error);
        mem_free(op);
    }
}

static void finish_effects(struct jobs *jobs, struct batch *b)
{
    for (struct effect *e = b->effects, *next; e; e = next) {
        next = e->next;
        if (e->type->committed)
            e->type->committed(jobs, e);
        effect_free(e);
    }
}

/* What is on disk becomes visible, and is answered. */
static void publish(struct jobs *jobs)
{
    struct batch *b = &jobs->batch;
    gauge_commit(jobs, true);
    lane_hold_posts();
    struct change_op *changes = publish_ends(jobs);
    if (b->pushes)
        push_publish(jobs, b->pushes);
    for (struct push_op *op = b->pushes, *next; op; op = next) {
        next = op->next;
        push_answer(jobs, op, NULL);
    }
    if (b->revivals)
        publish_revivals(jobs);
    if (b->settings)
        settings_publish(jobs, b->settings);
    workflow_committed(jobs);
    answer_changes(jobs, changes, NULL);
    answer_changes(jobs, b->revivals, NULL);
    settings_answer(b->settings, NULL);
    free_updates(jobs, b);
    finish_effects(jobs, b);
    lane_send_posts();
    batch_init(b);
}

static void committed(struct sqlite_write *w)
{
    struct jobs *jobs = jobs_of(w);
    size_t n = jobs->blob.n / sizeof(struct fin_record);
    const struct fin_record *records = (const struct fin_record *)(void *)jobs->blob.p;
    jobs_lock(jobs);
    jobs->words_stored = jobs->words_written;
    jobs->rates_stored = jobs->rates_written;
    fold_committed(jobs);
    for (size_t i = 0; i < n; i++)
        history_add(&jobs->history, &records[i]);
    jobs_unlock(jobs);
    if (n)
        fold_recorded(&jobs->fold, jobs->fold.next_seq, records, n);
    publish(jobs);
}

/* Callers hear of it; returns what follows from ends, to be pushed again. */
static struct push_op *refuse_pushes(struct jobs *jobs, const struct err *err)
{
    struct push_op *kept = NULL, **end = &kept;
    for (struct push_op *op = jobs->batch.pushes, *next; op; op = next) {
        next = op->next;
        if (!op->follows) {
            push_answer(jobs, op, err);
            continue;
        }
        *end = op;
        end = &op->next;
    }
    *end = NULL;
    return kept;
}

/* Lock held: what came out of runs goes before what has come out since. */
static void keep_outcomes(struct jobs *jobs, struct push_op *pushes)
{
    struct batch *b = &jobs->batch, *pending = &jobs->pending;
    if (b->updates) {
        *b->updates_end = pending->updates;
        if (!pending->updates)
            pending->updates_end = b->updates_end;
        pending->updates = b->updates;
        pending->updates_n += jobs->updates_writing;
    }
    if (b->effects) {
        *b->effects_end = pending->effects;
        if (!pending->effects)
            pending->effects_end = b->effects_end;
        pending->effects = b->effects;
    }
    while (pushes) {
        struct push_op *op = pushes;
        pushes = op->next;
        op->next = NULL;
        batch_add_push(pending, op);
    }
    list_splice(&b->ends, &pending->ends);
    list_splice(&pending->ends, &b->ends);
}

/* I7: callers hear of it, outcomes join the next batch, in front. */
static void failed(struct jobs *jobs, const struct err *err)
{
    struct batch *b = &jobs->batch;
    gauge_commit(jobs, false);
    struct push_op *follows = refuse_pushes(jobs, err);
    for (struct change_op *op = b->revivals; op; op = op->next)
        change_undo(jobs, op);
    answer_changes(jobs, b->revivals, err);
    settings_answer(b->settings, err);
    workflow_failed(jobs, err);
    jobs_lock(jobs);
    keep_outcomes(jobs, follows);
    jobs->retry_at_ns = clock_ns() + RETRY_MS * NS_PER_MS;
    if (!jobs->driver->shared &&
        (err->code == ERR_IO || err->code == ERR_CLOSED || err->code == ERR_CORRUPT))
        jobs->failed = *err;
    jobs_wake(jobs, clock_wall_ns() + RETRY_MS * NS_PER_MS);
    jobs_unlock(jobs);
    batch_init(b);
    log_error("jobs", "nothing written: %s", err->message);
    if (jobs->failed.code)
        batch_refuse(jobs, err);
}

/* Lock held: the next batch may be handed over, and dispatch() be no longer behind. */
static void over(struct jobs *jobs, bool ok)
{
    jobs->updates_writing = 0;
    jobs->taken = false;
    jobs->writing = false;
    if (ok)
        jobs->retry_at_ns = 0;
    pthread_cond_broadcast(&jobs->quiet);
    dispatch(jobs);
}

void batch_over(struct jobs *jobs, const struct err *err)
{
    if (err)
        failed(jobs, err);
    else
        publish(jobs);
    jobs_lock(jobs);
    over(jobs, !err);
    jobs_unlock(jobs);
}

static void done(struct sqlite_write *w)
{
    struct jobs *jobs = jobs_of(w);
    if (w->err.code)
        failed(jobs, &w->err);
    bool upkeep = !fold_is_idle(&jobs->fold);
    jobs_lock(jobs);
    jobs->upkeep = upkeep;
    if (upkeep)
        jobs_wake(jobs, clock_wall_ns() + JOBS_TICK_MS * NS_PER_MS);
    over(jobs, !w->err.code);
    jobs_unlock(jobs); /* hands over the next batch if there is one */
}

void batch_setup(struct jobs *jobs)
{
    gauge_setup(jobs);
    batch_init(&jobs->pending);
    batch_init(&jobs->batch);
    jobs->write.work = work;
    jobs->write.committed = committed;
    jobs->write.done = done;
}
