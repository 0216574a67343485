#include "jobs/private.h"

#include "base/mem.h"

void history_add(struct history *h, const struct fin_record *record)
{
    if (!h->ring)
        h->ring = mem_zero(JOBS_HISTORY, sizeof *h->ring);
    struct fin_record *slot = &h->ring[h->next];
    if (h->count == JOBS_HISTORY)
        index_remove(&h->by_id, slot->id);
    else
        h->count++;
    *slot = *record;
    index_set(&h->by_id, record->id, slot);
    h->next = (h->next + 1) % JOBS_HISTORY;
}

const struct fin_record *history_find(const struct history *h, int64_t id)
{
    return index_get(&h->by_id, id);
}

const struct fin_record *history_back(const struct history *h, size_t n)
{
    return n < h->count ? &h->ring[(h->next + JOBS_HISTORY - 1 - n) % JOBS_HISTORY] : NULL;
}

void history_free(struct history *h)
{
    mem_free(h->ring);
    index_free(&h->by_id);
    *h = (struct history){0};
}
