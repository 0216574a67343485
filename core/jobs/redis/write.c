/* redis/write.c -- the writer: a batch goes to Redis, its ends first. */
#include "jobs/redis/record.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/celery/text.h"
#include "observe/log.h"

enum { PATIENCE_MS = 5000, AGAIN_MS = 50 };

struct ending redis_ending_of(const struct job *job, struct claim *claim)
{
    struct ending e = {
        .claim = claim, .attempt = job->attempt, .ttl_ns = job_extra(job)->result_ttl_ns};
    const char *error = job_extra(job)->error;
    e.error = str_c(error);
    e.traceback = str_c(job_extra(job)->traceback);
    switch ((enum job_end)job->end) {
    case JOB_END_DONE:
        e.kind = ENDING_DONE;
        e.error = str_n("", 0);
        if (job->result)
            e.result = str_n(job->result->bytes, job->result->n);
        break;
    case JOB_END_FAILED:
    case JOB_END_DISCARDED:
        e.kind = ENDING_DEAD;
        break;
    case JOB_END_CANCELLED:
        e.kind = ENDING_CANCELLED;
        e.terminated = job->attempt >= claim->attempt;
        break;
    case JOB_END_EXPIRED:
        e.kind = ENDING_EXPIRED;
        break;
    case JOB_END_RETRY:
        e.kind = ENDING_RETRY;
        e.run_at_wall = job->run_at;
        break;
    case JOB_END_INTERRUPTED:
        e.kind = ENDING_BACK;
        e.error = str_n("", 0);
        e.run_at_wall = job->run_at;
        e.began = !job_extra(job)->expires_at; /* settle.c: since then it is not kept */
        break;
    }
    return e;
}

static bool end_some(struct redis_record *rec, struct redis *conn, struct job **ended,
                     struct ending *endings, int count, struct err *err)
{
    if (!redis_ends_all(rec, conn, endings, count, err)) {
        for (int i = 0; i < count; i++)
            claim_release(rec, endings[i].claim);
        return false;
    }
    celery_events_ended(rec, endings, ended, count);
    for (int i = 0; i < count; i++) {
        if (endings[i].stale)
            shared_stale(rec->jobs, ended[i]);
        claim_drop(rec, endings[i].claim);
        extra_make(ended[i])->lease = 0;
    }
    return true;
}

static bool write_ends(struct redis_record *rec, struct redis *conn, struct err *err)
{
    struct ending endings[REDIS_ENDS];
    struct job *ended[REDIS_ENDS];
    int n = 0;
    bool ok = true;
    list_each (node, &rec->jobs->batch.ends) {
        struct job *job = list_entry(node, struct job, link);
        if (workflow_is_step(rec->jobs, job)) /* its end is a part of what is decided then */
            continue;
        struct claim *claim = claim_find(rec, job->id, job_extra(job)->lease);
        if (!claim) { /* lost with its lease; or (0) an earlier try of this batch ended it */
            if (job_extra(job)->lease)
                shared_stale(rec->jobs, job);
            continue;
        }
        ended[n] = job;
        endings[n++] = redis_ending_of(job, claim);
        if (n == REDIS_ENDS) {
            ok = end_some(rec, conn, ended, endings, n, err);
            n = 0;
        }
        if (!ok)
            break;
    }
    return ok && (n == 0 || end_some(rec, conn, ended, endings, n, err));
}

/* A connection broke while it was used: whether Redis has what was pushed is worth asking for.  A
 * server that is away is no such case. */
static bool is_patient(struct redis_record *rec, bool broke, int64_t until_ns)
{
    pthread_mutex_lock(&rec->lock);
    bool stopping = rec->stopping;
    pthread_mutex_unlock(&rec->lock);
    return broke && !stopping && clock_steady_ns() < until_ns;
}

static bool write_all(struct redis_record *rec, struct redis **conn, struct err *err)
{
    return redis_reach(rec, conn, "writer", err) && write_ends(rec, *conn, err) &&
           redis_write_pushes(rec, *conn, err) && redis_write_settings(rec, *conn, err) &&
           redis_write_workflows(rec, conn, err);
}

void redis_write_batch(struct redis_record *rec, struct redis **conn)
{
    struct jobs *jobs = rec->jobs;
    struct err err = {0};
    int64_t until = clock_steady_ns() + PATIENCE_MS * NS_PER_MS;
    batch_take(jobs);
    bool wakes = jobs->batch.pushes || jobs->batch.settings;
    bool ok, broke = false;
    while (!(ok = write_all(rec, conn, &err))) {
        broke = err.code == ERR_IO && (broke || *conn);
        if (*conn)
            redis_failed(rec, conn, &err);
        if (!is_patient(rec, broke, until))
            break;
        usleep(AGAIN_MS * 1000);
        err_clear(&err);
    }
    redis_pushes_over(rec);
    if (ok && wakes)
        redis_look_for_work(rec);
    batch_over(jobs, ok ? NULL : &err);
}
