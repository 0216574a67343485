#include "storage/gate.h"

#include <pthread.h>

#include "base/mem.h"

enum { SLICE = 32 }; /* pieces after which a slot goes to the end of the pool's queue */

struct slot {
    struct pool_job job; /* first */
    struct gate *gate;
    void *resource;
    struct gate_item *pending; /* taken, to be run in the next turn */
    struct slot *next_idle;
};

struct gate {
    /* immutable */
    struct pool *pool;
    int count;
    struct slot *slots;
    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t all_idle;
    struct list waiting;
    int depth, idle_count;
    struct slot *idle;
    bool closed;
};

/* The next item, or NULL with the slot put back among the idle ones. */
static struct gate_item *take(struct gate *gate, struct slot *slot)
{
    struct gate_item *item = NULL;
    pthread_mutex_lock(&gate->lock);
    if (!list_empty(&gate->waiting)) {
        item = list_entry(gate->waiting.next, struct gate_item, link);
        list_remove(&item->link);
        gate->depth--;
    } else {
        slot->next_idle = gate->idle;
        gate->idle = slot;
        if (++gate->idle_count == gate->count)
            pthread_cond_broadcast(&gate->all_idle);
    }
    pthread_mutex_unlock(&gate->lock);
    return item;
}

/* Runs as the job's `done`: the pool has let go of the job by then, so that it
 * can be submitted again from here. */
static void slot_done(struct pool_job *job)
{
    struct slot *slot = (struct slot *)job;
    struct gate *gate = slot->gate;
    struct gate_item *item = slot->pending;
    slot->pending = NULL; /* not after take(): an idle slot may be another thread's, or freed */
    if (!item)
        item = take(gate, slot);
    for (int i = 0; item && i < SLICE; i++) {
        bool closed = job->cancelled || __atomic_load_n(&gate->closed, __ATOMIC_RELAXED);
        item->run(item, closed ? NULL : slot->resource);
        item = take(gate, slot);
    }
    if (item) {
        slot->pending = item;
        pool_submit(gate->pool, job, NULL);
    }
}

static void slot_work(struct pool_job *job)
{
    (void)job; /* everything happens in slot_done */
}

struct gate *gate_create(struct pool *pool, void *const *resources, int count)
{
    struct gate *gate = mem_zero(1, sizeof *gate);
    gate->pool = pool;
    gate->count = gate->idle_count = count;
    gate->slots = mem_zero((size_t)count, sizeof *gate->slots);
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->all_idle, NULL);
    list_init(&gate->waiting);
    for (int i = 0; i < count; i++) {
        struct slot *slot = &gate->slots[i];
        slot->job.work = slot_work;
        slot->job.done = slot_done;
        slot->gate = gate;
        slot->resource = resources[i];
        slot->next_idle = gate->idle;
        gate->idle = slot;
    }
    return gate;
}

void gate_submit(struct gate *gate, struct gate_item *item)
{
    pthread_mutex_lock(&gate->lock);
    list_push_back(&gate->waiting, &item->link);
    gate->depth++;
    struct slot *slot = gate->idle;
    if (slot) {
        gate->idle = slot->next_idle;
        gate->idle_count--;
    }
    pthread_mutex_unlock(&gate->lock);
    if (slot)
        pool_submit(gate->pool, &slot->job, NULL);
}

int gate_depth(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    int depth = gate->depth;
    pthread_mutex_unlock(&gate->lock);
    return depth;
}

void gate_close(struct gate *gate)
{
    if (!gate)
        return;
    pthread_mutex_lock(&gate->lock);
    __atomic_store_n(&gate->closed, true, __ATOMIC_RELAXED);
    while (gate->idle_count < gate->count)
        pthread_cond_wait(&gate->all_idle, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    pthread_cond_destroy(&gate->all_idle);
    pthread_mutex_destroy(&gate->lock);
    mem_free(gate->slots);
    mem_free(gate);
}
