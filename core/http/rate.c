#include "http/rate.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"

enum { RATE_SHARDS = 64, RATE_SLOTS = 1024, RATE_PROBES = 8 };

struct slot {
    uint64_t key;
    int64_t full_at; /* 0 = free */
};

struct shard {
    pthread_mutex_t lock;
    struct slot slots[RATE_SLOTS]; /* under lock */
};

struct rate_table {
    struct shard shards[RATE_SHARDS];
};

struct rate_table *rate_create(void)
{
    struct rate_table *table = mem_zero(1, sizeof *table);
    for (int i = 0; i < RATE_SHARDS; i++)
        pthread_mutex_init(&table->shards[i].lock, NULL);
    return table;
}

void rate_destroy(struct rate_table *table)
{
    if (!table)
        return;
    for (int i = 0; i < RATE_SHARDS; i++)
        pthread_mutex_destroy(&table->shards[i].lock);
    mem_free(table);
}

/* The key's slot, or the one nearest to full among those it may use. */
static struct slot *find(struct shard *shard, uint64_t key)
{
    struct slot *best = NULL;
    for (uint64_t i = 0; i < RATE_PROBES; i++) {
        struct slot *slot = &shard->slots[(key / RATE_SHARDS + i) % RATE_SLOTS];
        if (slot->key == key && slot->full_at != 0)
            return slot;
        if (!best || slot->full_at < best->full_at)
            best = slot;
    }
    best->key = key;
    best->full_at = 0;
    return best;
}

bool rate_take(struct rate_table *table, uint64_t key, double rate, int burst, int64_t now_ns,
               int64_t *wait_ns)
{
    int64_t each = (int64_t)((double)NS_PER_SECOND / rate);
    int64_t room = each * (burst > 1 ? burst : 1);
    struct shard *shard = &table->shards[key % RATE_SHARDS];
    pthread_mutex_lock(&shard->lock);
    struct slot *slot = find(shard, key);
    int64_t full_at = slot->full_at > now_ns ? slot->full_at : now_ns;
    int64_t over = full_at + each - now_ns - room;
    if (over <= 0)
        slot->full_at = full_at + each;
    pthread_mutex_unlock(&shard->lock);
    *wait_ns = over > 0 ? over : 0;
    return over <= 0;
}

void rate_tell(struct rate_table *table, uint64_t key, double rate, int burst, int64_t now_ns,
               int64_t wait_ns)
{
    int64_t each = (int64_t)((double)NS_PER_SECOND / rate);
    struct shard *shard = &table->shards[key % RATE_SHARDS];
    pthread_mutex_lock(&shard->lock);
    find(shard, key)->full_at = now_ns + wait_ns + each * (burst > 1 ? burst : 1) - each;
    pthread_mutex_unlock(&shard->lock);
}
