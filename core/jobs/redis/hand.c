/* redis/hand.c -- the messages this process has in hand, and how jobs and Celery's ids are one. */
#include "jobs/redis/record.h"

#include <stdio.h>

#include "base/mem.h"

/* -- ids -- */

/* A job's Celery id is its number in the clothes of a UUID (version 4 in form), with four random
 * bytes of this keyspace in front: nothing has to be stored to find the one from the other, and a
 * keyspace that was emptied does not give ids whose old results somebody still waits for. */
void redis_uuid(uint32_t cluster, int64_t id, char out[37])
{
    uint64_t n = (uint64_t)id;
    snprintf(out, 37, "%08x-6d61-4000-8%03x-%012llx", cluster, (unsigned)(n >> 48 & 0xFFF),
             (unsigned long long)(n & 0xFFFFFFFFFFFF));
}

int64_t redis_uuid_id(uint32_t cluster, struct str uuid)
{
    char text[37], again[37];
    unsigned of, high;
    unsigned long long low;
    if (uuid.n != 36)
        return 0;
    memcpy(text, uuid.p, 36);
    text[36] = '\0';
    if (sscanf(text, "%8x-6d61-4000-8%3x-%12llx", &of, &high, &low) != 3)
        return 0;
    int64_t id = (int64_t)((uint64_t)high << 48 | low);
    redis_uuid(cluster, id, again);
    return strcmp(text, again) == 0 ? id : 0;
}

bool jobs_celery_id(struct jobs *jobs, int64_t id, char out[37])
{
    if (jobs->driver != &jobs_redis)
        return false;
    redis_uuid(record_of(jobs)->cluster, id, out);
    return true;
}

int64_t jobs_celery_number(struct jobs *jobs, struct str uuid)
{
    return jobs->driver == &jobs_redis ? redis_uuid_id(record_of(jobs)->cluster, uuid) : 0;
}

void redis_route(void *record, struct str task, struct buf *out)
{
    struct redis_record *rec = record;
    struct jobs *jobs = rec->jobs;
    jobs_lock(jobs);
    struct kind *k = kind_of_task(jobs, task);
    buf_add_c(out, k && k->target ? k->queue->name : rec->default_queue);
    jobs_unlock(jobs);
}

/* -- claims in hand -- */

void claim_free(struct claim *claim)
{
    arena_destroy(claim->arena);
    mem_free(claim->queue);
    mem_free(claim);
}

struct claim *claim_find(struct redis_record *rec, int64_t id, uint64_t lease)
{
    pthread_mutex_lock(&rec->lock);
    struct claim *claim = index_get(&rec->claims, id);
    if (claim && claim->lease != lease)
        claim = NULL;
    if (claim)
        claim->ending = true;
    pthread_mutex_unlock(&rec->lock);
    return claim;
}

void claim_release(struct redis_record *rec, struct claim *claim)
{
    pthread_mutex_lock(&rec->lock);
    bool ours = index_get(&rec->claims, claim->id) == claim;
    claim->ending = false;
    pthread_mutex_unlock(&rec->lock);
    if (!ours)
        claim_free(claim);
}

void claim_drop(struct redis_record *rec, struct claim *claim)
{
    pthread_mutex_lock(&rec->lock);
    if (index_get(&rec->claims, claim->id) == claim)
        index_remove(&rec->claims, claim->id);
    pthread_mutex_unlock(&rec->lock);
    claim_free(claim);
}
