#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

static const int64_t backoff_most_ns = 6 * 3600 * NS_PER_SECOND;

struct job *job_create(struct str args, struct str unique)
{
    struct job *job = mem_alloc(sizeof *job + args.n + unique.n);
    *job = (struct job){.args_n = (uint32_t)args.n, .unique_n = (uint16_t)unique.n, .refs = 1};
    if (args.n)
        memcpy(job->bytes, args.p, args.n);
    if (unique.n)
        memcpy(job->bytes + args.n, unique.p, unique.n);
    return job;
}

void job_unref(struct job *job)
{
    if (--job->refs)
        return;
    if (job->place == PLACE_FINISHING)
        mem_free(job->result);
    extra_free(job);
    mem_free(job);
}

void job_forget(struct jobs *jobs, struct job *job)
{
    unique_release(jobs, job);
    /* With a shared record the same job may be here again, under another lease. */
    if (!jobs->driver->shared || index_get(&jobs->index, job->id) == job)
        index_remove(&jobs->index, job->id);
    if (!jobs->driver->shared)
        job->kind->unfinished--;
    jobs->count[job->place]--;
    job->queue->count[job->place]--;
    job_unref(job);
}

struct fin_record job_record(const struct job *job, int64_t now_wall)
{
    return (struct fin_record){
        .id = job->id,
        .created_at = job->created_at,
        .started_at = job->started_at,
        .finished_at = now_wall,
        .kind = job->kind->word,
        .queue = job->queue->word,
        .attempt = job->attempt,
        .max_attempts = job->max_attempts,
        .end = job->end,
        .priority = job->priority,
        .args_bits = (uint8_t)(job->args_n ? 32 - __builtin_clz(job->args_n) : 0),
    };
}

struct job_backoff backoff_whole(struct job_backoff b)
{
    return (struct job_backoff){
        .first_ns = b.first_ns > 0 ? b.first_ns : 2 * NS_PER_SECOND,
        .max_ns = b.max_ns > 0 ? b.max_ns : backoff_most_ns,
        .factor = b.factor >= 1 ? b.factor : 2,
        .jitter = b.jitter >= 1 ? b.jitter : 1.2,
    };
}

/* The jitter keeps jobs that failed together from coming back together. */
int64_t retry_delay_ns(const struct job_backoff *b, int attempt)
{
    double delay = (double)b->first_ns, most = (double)b->max_ns, share = b->jitter - 1;
    for (int i = 1; i < attempt && delay < most && b->factor > 1; i++)
        delay *= b->factor;
    if (delay > most)
        delay = most;
    return (int64_t)(delay * (1 - share + 2 * share * rand_unit()));
}
