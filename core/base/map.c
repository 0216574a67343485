#include "base/map.h"

#include "base/err.h"
#include "base/mem.h"

/* Linear probing.  A removed pair leaves its slot dead (key NULL, value set),
 * so that a walk may remove what it stands on; the next growth drops it. */
struct slot {
    uint64_t hash;
    char *key; /* owned; NULL = free or dead */
    size_t key_n;
    void *value;
};

struct map {
    struct slot *slots;
    size_t cap;  /* a power of two, or 0 */
    size_t live; /* pairs */
    size_t used; /* pairs and dead slots; always < cap */
};

static char dead; /* its address marks a dead slot's value */

struct map *map_create(void)
{
    return mem_zero(1, sizeof(struct map));
}

void map_destroy(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->cap; i++)
        mem_free(m->slots[i].key);
    mem_free(m->slots);
    mem_free(m);
}

size_t map_count(const struct map *m)
{
    return m->live;
}

static struct slot *find(const struct map *m, struct str key, uint64_t hash)
{
    if (m->cap == 0)
        return NULL;
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct slot *s = &m->slots[i];
        if (s->key && s->hash == hash && str_eq(str_n(s->key, s->key_n), key))
            return s;
        if (!s->key && !s->value)
            return NULL;
    }
}

static struct slot *free_slot(const struct map *m, uint64_t hash)
{
    size_t i = hash & (m->cap - 1);
    while (m->slots[i].key || m->slots[i].value)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static void rehash(struct map *m)
{
    struct map bigger = {.cap = 8, .live = m->live, .used = m->live};
    while (bigger.cap < 2 * (m->live + 1))
        bigger.cap *= 2;
    bigger.slots = mem_zero(bigger.cap, sizeof *bigger.slots);
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].key)
            *free_slot(&bigger, m->slots[i].hash) = m->slots[i];
    mem_free(m->slots);
    *m = bigger;
}

void *map_get(const struct map *m, struct str key)
{
    struct slot *s = m->live ? find(m, key, hash_bytes(key.p, key.n)) : NULL;
    return s ? s->value : NULL;
}

void *map_set(struct map *m, struct str key, void *value)
{
    uint64_t hash = hash_bytes(key.p, key.n);
    struct slot *s = find(m, key, hash);
    invariant(value != NULL);
    if (s) {
        void *old = s->value;
        s->value = value;
        return old;
    }
    if (m->used + 1 > m->cap / 4 * 3)
        rehash(m);
    *free_slot(m, hash) = (struct slot){hash, str_dup(key), key.n, value};
    m->live++;
    m->used++;
    return NULL;
}

void *map_remove(struct map *m, struct str key)
{
    struct slot *s = find(m, key, hash_bytes(key.p, key.n));
    if (!s)
        return NULL;
    void *value = s->value;
    mem_free(s->key);
    *s = (struct slot){.value = &dead};
    m->live--;
    return value;
}

bool map_next(const struct map *m, size_t *at, struct str *key, void **value)
{
    for (; *at < m->cap; (*at)++) {
        struct slot *s = &m->slots[*at];
        if (!s->key)
            continue;
        *key = str_n(s->key, s->key_n);
        *value = s->value;
        (*at)++;
        return true;
    }
    return false;
}

static uint64_t reversed(uint64_t n)
{
    uint64_t out = 0;
    for (int i = 0; i < 64; i++, n >>= 1)
        out = out << 1 | (n & 1);
    return out;
}

/* The cursor is a home, the slot where a pair's probing begins, and is counted up from its highest
 * bit down (as Redis walks its tables, dict.c by Pieter Noordhuis): homes that have been met are
 * those whose reversed number is smaller, and that stays so for every other size of the table. */
void map_scan(const struct map *m, uint64_t *cursor,
              void (*fn)(void *arg, struct str key, void *value), void *arg)
{
    uint64_t mask = m->cap - 1, home = *cursor & mask;
    if (m->cap == 0) {
        *cursor = 0;
        return;
    }
    for (uint64_t i = home; m->slots[i].key || m->slots[i].value; i = (i + 1) & mask) {
        const struct slot *s = &m->slots[i];
        if (s->key && (s->hash & mask) == home)
            fn(arg, str_n(s->key, s->key_n), s->value);
    }
    *cursor = reversed(reversed(home | ~mask) + 1);
}
