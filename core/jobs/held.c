/* held.c -- jobs that wait for a handler: how long the oldest of each queue has, and the end of
 * those that nobody will run.
 *
 * A look goes through the index in slices while there is one; what it finds is good for
 * HELD_SECONDS. Of an own record only: with a shared one another node may have the handler. */
#include "base/clock.h"
#include "base/mem.h"
#include "jobs/driver.h"
#include "jobs/private.h"

enum { HELD_SLICE = 10000, HELD_SECONDS = 10, HELD_TICK_MS = 100 };
static const int64_t grace_ns = 3600 * NS_PER_SECOND;

static int64_t waits_since(const struct job *job)
{
    return job->run_at > job->created_at ? job->run_at : job->created_at;
}

int64_t held_until(const struct jobs *jobs, const struct job *job)
{
    const struct kind *k = job->kind;
    int64_t ttl = jobs->options.held_ttl_ns;
    if (!ttl || jobs->driver->shared || k->declared || !k->closed_at)
        return 0;
    int64_t over = waits_since(job) + ttl;
    int64_t known = k->closed_at + (ttl < grace_ns ? ttl : grace_ns);
    return over > known ? over : known;
}

int64_t held_oldest(const struct queue *q, int64_t now_wall)
{
    return q->held > 0 && q->held_at && q->held_at < now_wall
               ? (now_wall - q->held_at) / NS_PER_SECOND
               : 0;
}

static void look_at(struct jobs *jobs, struct job *job, int64_t now_wall)
{
    if ((job->place != PLACE_READY && job->place != PLACE_PARKED) || !job->kind->limit.closed)
        return;
    int64_t since = waits_since(job), until = held_until(jobs, job);
    if (until && until <= now_wall) {
        extra_set_error(job, mem_printf("no plugin has declared %s since this job was due, %lld"
                                        " hours ago",
                                        job->kind->name,
                                        (long long)((now_wall - since) / (3600 * NS_PER_SECOND))));
        job_over(jobs, job, JOB_END_DISCARDED);
    } else if (!job->queue->held_next || since < job->queue->held_next)
        job->queue->held_next = since;
}

static bool begin(struct jobs *jobs)
{
    bool any = false;
    for (uint32_t w = 1; w <= jobs->words; w++)
        if (jobs->queue_words[w]) {
            any = any || jobs->queue_words[w]->held > 0;
            jobs->queue_words[w]->held_next = 0;
        }
    return any;
}

static void finish(struct jobs *jobs)
{
    for (uint32_t w = 1; w <= jobs->words; w++)
        if (jobs->queue_words[w])
            jobs->queue_words[w]->held_at = jobs->queue_words[w]->held_next;
}

/* Each HELD_SECONDS, and as often as what is to be found needs. */
static int64_t pause_ns(const struct jobs *jobs)
{
    int64_t ttl = jobs->options.held_ttl_ns, most = HELD_SECONDS * NS_PER_SECOND;
    int64_t pause = ttl && ttl / 2 < most ? ttl / 2 : most;
    return pause > HELD_TICK_MS * NS_PER_MS ? pause : HELD_TICK_MS * NS_PER_MS;
}

void held_begins(struct jobs *jobs)
{
    if (jobs->held_look.watch || jobs->driver->shared)
        return;
    jobs->held_look.watch = true;
    jobs->held_look.next_ns = 0;
    jobs_wake(jobs, 1);
}

void held_look(struct jobs *jobs, int64_t now, int64_t now_wall)
{
    struct held *h = &jobs->held_look;
    if (jobs->driver->shared || now < h->next_ns)
        return;
    h->next_ns = now + pause_ns(jobs);
    if (h->at == 0) {
        h->watch = begin(jobs);
        if (!h->watch)
            return;
    }
    size_t end = h->at + HELD_SLICE;
    for (; h->at < end && h->at < jobs->index.size; h->at++)
        if (jobs->index.slots[h->at].id)
            look_at(jobs, jobs->index.slots[h->at].value, now_wall);
    if (h->at < jobs->index.size) {
        h->next_ns = now + HELD_TICK_MS * NS_PER_MS;
        return;
    }
    h->at = 0;
    finish(jobs);
}
