#include "loop/pool.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/mem.h"

struct pool {
    /* immutable */
    char name[12];
    int threads, nice;
    pthread_t *ids;
    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct pool_job *first, **last;
    int depth, running;
    bool stopping;
};

static void deliver(struct lane_message *message)
{
    struct pool_job *job = (struct pool_job *)message;
    job->done(job);
}

static void finish(struct pool_job *job)
{
    if (!job->done)
        return;
    if (!job->lane) {
        job->done(job);
        return;
    }
    job->message.fn = deliver;
    lane_post(job->lane, &job->message);
}

/* Under lock. */
static struct pool_job *pop(struct pool *pool)
{
    struct pool_job *job = pool->first;
    if (!job)
        return NULL;
    pool->first = job->next;
    if (!pool->first)
        pool->last = &pool->first;
    pool->depth--;
    return job;
}

static void *thread_main(void *arg)
{
    struct pool *pool = arg;
    pthread_setname_np(pthread_self(), pool->name);
    if (pool->nice)
        setpriority(PRIO_PROCESS, 0, pool->nice); /* of this thread, as Linux has it */
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->first && !pool->stopping)
            pthread_cond_wait(&pool->work, &pool->lock);
        struct pool_job *job = pop(pool);
        if (!job)
            break;
        job->cancelled = pool->stopping;
        pool->running++;
        pthread_mutex_unlock(&pool->lock);
        if (!job->cancelled)
            job->work(job);
        finish(job);
        pthread_mutex_lock(&pool->lock);
        pool->running--;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void join_all(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->threads; i++)
        pthread_join(pool->ids[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool->ids);
    mem_free(pool);
}

struct pool *pool_create_nice(const char *name, int threads, int nice, struct err *err)
{
    struct pool *pool = mem_zero(1, sizeof *pool);
    pool->nice = nice;
    snprintf(pool->name, sizeof pool->name, "%s", name);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->last = &pool->first;
    pool->ids = mem_zero((size_t)threads, sizeof *pool->ids);
    for (; pool->threads < threads; pool->threads++) {
        int status = pthread_create(&pool->ids[pool->threads], NULL, thread_main, pool);
        if (status != 0) {
            err_sys(err, status, "pool %s: start a thread", name);
            join_all(pool);
            return NULL;
        }
    }
    return pool;
}

struct pool *pool_create(const char *name, int threads, struct err *err)
{
    return pool_create_nice(name, threads, 0, err);
}

void pool_submit(struct pool *pool, struct pool_job *job, struct lane *lane)
{
    job->lane = lane;
    job->next = NULL;
    job->cancelled = false;
    pthread_mutex_lock(&pool->lock);
    *pool->last = job;
    pool->last = &job->next;
    pool->depth++;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

int pool_depth(const struct pool *pool)
{
    struct pool *p = (struct pool *)(uintptr_t)pool; /* the lock is not part of its value */
    pthread_mutex_lock(&p->lock);
    int depth = p->depth;
    pthread_mutex_unlock(&p->lock);
    return depth;
}

bool pool_is_idle(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool idle = !pool->depth && !pool->running;
    pthread_mutex_unlock(&pool->lock);
    return idle;
}

void pool_destroy(struct pool *pool)
{
    if (pool)
        join_all(pool);
}
