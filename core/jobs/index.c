#include "jobs/index.h"

#include "base/mem.h"

static size_t home(const struct index *x, int64_t id)
{
    return (size_t)(((uint64_t)id * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (x->size - 1);
}

/* The slot that holds id, or the empty one where it belongs. */
static size_t find(const struct index *x, int64_t id)
{
    size_t i = home(x, id);
    while (x->slots[i].id && x->slots[i].id != id)
        i = (i + 1) & (x->size - 1);
    return i;
}

static void grow(struct index *x)
{
    struct index old = *x;
    x->size = old.size ? old.size * 2 : 64;
    x->slots = mem_zero(x->size, sizeof *x->slots);
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].id)
            x->slots[find(x, old.slots[i].id)] = old.slots[i];
    mem_free(old.slots);
}

void *index_get(const struct index *x, int64_t id)
{
    return x->count && id > 0 ? x->slots[find(x, id)].value : NULL;
}

void index_set(struct index *x, int64_t id, void *value)
{
    if (3 * (x->count + 1) > 2 * x->size)
        grow(x);
    size_t i = find(x, id);
    x->count += x->slots[i].id == 0;
    x->slots[i] = (struct index_slot){id, value};
}

void *index_remove(struct index *x, int64_t id)
{
    if (x->count == 0 || id <= 0)
        return NULL;
    size_t mask = x->size - 1, hole = find(x, id);
    void *value = x->slots[hole].value;
    if (x->slots[hole].id == 0)
        return NULL;
    /* Whoever would be found no more because of the hole moves into it. */
    for (size_t i = (hole + 1) & mask; x->slots[i].id; i = (i + 1) & mask) {
        size_t h = home(x, x->slots[i].id);
        if (((i - h) & mask) >= ((i - hole) & mask)) {
            x->slots[hole] = x->slots[i];
            hole = i;
        }
    }
    x->slots[hole] = (struct index_slot){0, NULL};
    x->count--;
    return value;
}

void index_free(struct index *x)
{
    mem_free(x->slots);
    *x = (struct index){0};
}
