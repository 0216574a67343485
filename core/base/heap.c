#include "base/heap.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

/* slot is the 1-based index into nodes, so children of index i are
 * 4i+1 … 4i+4 and its parent is (i-1)/4. */
enum { ARITY = 4 };

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key < b->key || (a->key == b->key && a->seq < b->seq);
}

static void put(struct heap *h, uint32_t i, struct heap_node *node)
{
    h->nodes[i] = node;
    node->slot = i + 1;
}

static void sift_up(struct heap *h, uint32_t i, struct heap_node *node)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / ARITY;
        if (!before(node, h->nodes[parent]))
            break;
        put(h, i, h->nodes[parent]);
        i = parent;
    }
    put(h, i, node);
}

static void sift_down(struct heap *h, uint32_t i, struct heap_node *node)
{
    for (;;) {
        uint32_t first = i * ARITY + 1, least = first;
        if (first >= h->count)
            break;
        for (uint32_t c = first + 1; c < h->count && c < first + ARITY; c++)
            if (before(h->nodes[c], h->nodes[least]))
                least = c;
        if (!before(h->nodes[least], node))
            break;
        put(h, i, h->nodes[least]);
        i = least;
    }
    put(h, i, node);
}

void heap_push(struct heap *h, struct heap_node *node, int64_t key)
{
    invariant(node->slot == 0);
    if (h->count == h->cap) {
        invariant(h->cap < UINT32_MAX / ARITY / 2);
        h->cap = h->cap ? h->cap * 2 : 64;
        h->nodes = mem_realloc(h->nodes, h->cap * sizeof *h->nodes);
    }
    node->key = key;
    node->seq = h->next_seq++;
    sift_up(h, h->count++, node);
}

struct heap_node *heap_first(const struct heap *h)
{
    return h->count ? h->nodes[0] : NULL;
}

struct heap_node *heap_pop(struct heap *h)
{
    struct heap_node *first = heap_first(h);
    if (first)
        heap_remove(h, first);
    return first;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (node->slot == 0)
        return;
    uint32_t i = node->slot - 1;
    invariant(i < h->count && h->nodes[i] == node);
    struct heap_node *last = h->nodes[--h->count];
    node->slot = 0;
    if (last == node)
        return;
    if (i > 0 && before(last, h->nodes[(i - 1) / ARITY]))
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

void heap_free(struct heap *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        h->nodes[i]->slot = 0;
    mem_free(h->nodes);
    *h = (struct heap){0};
}
