#include "base/map.h"

#include "base/mem.h"
#include "base/rand.h"

/* Linear probing over a power of two of slots, at most three quarters used.  A
 * removed slot keeps a tombstone until the next growth, so that an iteration may
 * remove the pair it is at. */
struct slot {
    uint64_t hash;
    char *key; /* NULL = empty */
    size_t n;
    void *value;
};

struct map {
    struct slot *slots;
    size_t size, count, used; /* used: count and tombstones */
};

static char tombstone[1];

static uint64_t rotl(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static uint64_t hash_key[2];

__attribute__((constructor)) static void seed_hash_key(void)
{
    rand_bytes(hash_key, sizeof hash_key);
}

uint64_t hash_bytes(const void *p, size_t n)
{
    const unsigned char *bytes = p;
    uint64_t v[4] = {
        hash_key[0] ^ UINT64_C(0x736f6d6570736575), hash_key[1] ^ UINT64_C(0x646f72616e646f6d),
        hash_key[0] ^ UINT64_C(0x6c7967656e657261), hash_key[1] ^ UINT64_C(0x7465646279746573)};
    size_t whole = n & ~(size_t)7;
    uint64_t word;
    for (size_t i = 0; i < whole; i += 8) {
        memcpy(&word, bytes + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)n << 56;
    for (size_t i = whole; i < n; i++)
        word |= (uint64_t)bytes[i] << (8 * (i - whole));
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_create(void)
{
    return mem_zero(1, sizeof(struct map));
}

void map_destroy(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->size; i++)
        if (m->slots[i].key != tombstone)
            mem_free(m->slots[i].key);
    mem_free(m->slots);
    mem_free(m);
}

size_t map_count(const struct map *m)
{
    return m->count;
}

/* The slot that holds key, or the empty one where it belongs. */
static struct slot *find(const struct map *m, struct str key, uint64_t hash)
{
    size_t i = hash & (m->size - 1);
    for (;; i = (i + 1) & (m->size - 1)) {
        struct slot *slot = &m->slots[i];
        if (!slot->key)
            return slot;
        if (slot->key != tombstone && slot->hash == hash && str_eq(str_n(slot->key, slot->n), key))
            return slot;
    }
}

static bool holds(const struct slot *slot)
{
    return slot->key && slot->key != tombstone;
}

/* Makes room for one more; the size stays when tombstones were what filled it. */
static void grow(struct map *m)
{
    struct slot *old = m->slots;
    size_t old_size = m->size;
    m->size = old_size ? (m->count * 2 >= old_size ? old_size * 2 : old_size) : 8;
    m->slots = mem_zero(m->size, sizeof *m->slots);
    for (size_t i = 0; i < old_size; i++)
        if (holds(&old[i]))
            *find(m, str_n(old[i].key, old[i].n), old[i].hash) = old[i];
    m->used = m->count;
    mem_free(old);
}

void *map_get(const struct map *m, struct str key)
{
    if (m->count == 0)
        return NULL;
    return find(m, key, hash_bytes(key.p, key.n))->value;
}

void *map_set(struct map *m, struct str key, void *value)
{
    if ((m->used + 1) * 4 > m->size * 3)
        grow(m);
    uint64_t hash = hash_bytes(key.p, key.n);
    struct slot *slot = find(m, key, hash);
    void *before = slot->value;
    if (!slot->key) {
        *slot = (struct slot){.hash = hash, .key = str_dup(key), .n = key.n};
        m->count++;
        m->used++;
    }
    slot->value = value;
    return before;
}

void *map_remove(struct map *m, struct str key)
{
    if (m->count == 0)
        return NULL;
    struct slot *slot = find(m, key, hash_bytes(key.p, key.n));
    void *value = slot->value;
    if (!slot->key)
        return NULL;
    mem_free(slot->key);
    *slot = (struct slot){.key = tombstone};
    m->count--;
    return value;
}

bool map_next(const struct map *m, size_t *at, struct str *key, void **value)
{
    while (*at < m->size) {
        struct slot *slot = &m->slots[(*at)++];
        if (!holds(slot))
            continue;
        *key = str_n(slot->key, slot->n);
        *value = slot->value;
        return true;
    }
    return false;
}
