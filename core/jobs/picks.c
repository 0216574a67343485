#include "jobs/picks.h"

#include <stdlib.h>

#include "base/mem.h"

static int compare(const void *a, const void *b)
{
    const struct pick *x = a, *y = b;
    if (x->key != y->key)
        return (x->key > y->key) - (x->key < y->key);
    if (x->id != y->id)
        return (x->id > y->id) - (x->id < y->id);
    return (x->source > y->source) - (x->source < y->source);
}

void picks_init(struct picks *p, size_t most)
{
    *p = (struct picks){.most = most, .cap = 4 * most + 16};
    p->list = mem_alloc(p->cap * sizeof *p->list);
}

void picks_finish(struct picks *p)
{
    size_t n = 0;
    qsort(p->list, p->n, sizeof *p->list, compare);
    for (size_t i = 0; i < p->n && n < p->most; i++)
        if (n == 0 || p->list[i].id != p->list[n - 1].id)
            p->list[n++] = p->list[i];
    p->n = n;
    p->full = n == p->most;
    if (p->full)
        p->worst = p->list[n - 1];
}

void picks_add(struct picks *p, int64_t key, int64_t id, enum pick_source source)
{
    struct pick pick = {key, id, source};
    if (p->full && compare(&pick, &p->worst) >= 0)
        return;
    p->list[p->n++] = pick;
    if (p->n == p->cap)
        picks_finish(p);
}

void picks_free(struct picks *p)
{
    mem_free(p->list);
    *p = (struct picks){0};
}
