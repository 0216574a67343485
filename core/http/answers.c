#include "base/mem.h"
#include "http/internal.h"

/* DESIGN: answers are immutable and counted; a shard's lock covers its map and
 * its list (oldest first), never the sending.  When a shard is over its part of
 * the memory the oldest answers go. */

enum { ANSWER_SHARDS = 16 };

struct shard {
    pthread_mutex_t lock;
    struct map *map;       /* under lock */
    struct list by_age;    /* under lock */
    int64_t bytes, budget; /* under lock */
};

struct answer_table {
    struct shard shards[ANSWER_SHARDS];
};

struct answer_table *answer_table_create(int64_t bytes)
{
    struct answer_table *table = mem_zero(1, sizeof *table);
    for (int i = 0; i < ANSWER_SHARDS; i++) {
        struct shard *shard = &table->shards[i];
        pthread_mutex_init(&shard->lock, NULL);
        shard->map = map_create();
        list_init(&shard->by_age);
        shard->budget = bytes / ANSWER_SHARDS;
    }
    return table;
}

void answer_unref(struct answer *answer)
{
    if (!answer || atomic_fetch_sub(&answer->refs, 1) != 1)
        return;
    for (int i = 0; i < answer->header_count; i++) {
        mem_free(answer->headers[i].name);
        mem_free(answer->headers[i].value);
    }
    mem_free(answer->headers);
    mem_free(answer->owner);
    mem_free(answer->type);
    mem_free(answer->body);
    mem_free(answer->gzip);
    mem_free(answer->key);
    mem_free(answer);
}

static void drop(struct shard *shard, struct answer *answer)
{
    map_remove(shard->map, str_n(answer->key, answer->key_n));
    list_remove(&answer->node);
    shard->bytes -= (int64_t)answer->size;
    answer_unref(answer);
}

void answer_table_destroy(struct answer_table *table)
{
    if (!table)
        return;
    for (int i = 0; i < ANSWER_SHARDS; i++) {
        struct shard *shard = &table->shards[i];
        while (!list_empty(&shard->by_age))
            drop(shard, list_entry(shard->by_age.next, struct answer, node));
        map_destroy(shard->map);
        pthread_mutex_destroy(&shard->lock);
    }
    mem_free(table);
}

static struct shard *shard_of(struct answer_table *table, struct str key)
{
    return &table->shards[hash_bytes(key.p, key.n) >> 7 & (ANSWER_SHARDS - 1)];
}

struct answer *answer_find(struct answer_table *table, struct str key, int64_t now_ns)
{
    struct shard *shard = shard_of(table, key);
    pthread_mutex_lock(&shard->lock);
    struct answer *answer = map_get(shard->map, key);
    if (answer && answer->fresh_until_ns <= now_ns) {
        drop(shard, answer);
        answer = NULL;
    }
    if (answer)
        atomic_fetch_add(&answer->refs, 1);
    pthread_mutex_unlock(&shard->lock);
    return answer;
}

void answer_store(struct answer_table *table, struct str key, struct answer *answer)
{
    struct shard *shard = shard_of(table, key);
    answer->key = mem_dup(key.p, key.n);
    answer->key_n = key.n;
    answer->size = sizeof *answer + key.n + answer->body_n + answer->gzip_n;
    if ((int64_t)answer->size > shard->budget)
        return;
    atomic_fetch_add(&answer->refs, 1);
    pthread_mutex_lock(&shard->lock);
    struct answer *old = map_get(shard->map, key);
    if (old)
        drop(shard, old);
    map_set(shard->map, key, answer);
    list_push_back(&shard->by_age, &answer->node);
    shard->bytes += (int64_t)answer->size;
    while (shard->bytes > shard->budget)
        drop(shard, list_entry(shard->by_age.next, struct answer, node));
    pthread_mutex_unlock(&shard->lock);
}

void answer_forget(struct answer_table *table, const char *owner)
{
    for (int i = 0; i < ANSWER_SHARDS; i++) {
        struct shard *shard = &table->shards[i];
        pthread_mutex_lock(&shard->lock);
        list_each_safe (node, &shard->by_age) {
            struct answer *answer = list_entry(node, struct answer, node);
            if (strcmp(answer->owner, owner) == 0)
                drop(shard, answer);
        }
        pthread_mutex_unlock(&shard->lock);
    }
}
