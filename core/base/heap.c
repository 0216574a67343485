#include "base/heap.h"

#include <stdbool.h>

#include "base/mem.h"

/* nodes[i]'s children are nodes[4i+1 … 4i+4]; slot is the index plus one. */

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

static void put(struct heap *h, uint32_t i, struct heap_node *node)
{
    h->nodes[i] = node;
    node->slot = i + 1;
}

static void sift_up(struct heap *h, uint32_t i, struct heap_node *node)
{
    while (i > 0 && before(node, h->nodes[(i - 1) / 4])) {
        put(h, i, h->nodes[(i - 1) / 4]);
        i = (i - 1) / 4;
    }
    put(h, i, node);
}

static void sift_down(struct heap *h, uint32_t i, struct heap_node *node)
{
    for (;;) {
        uint32_t first = 4 * i + 1, least = first;
        if (first >= h->count)
            break;
        for (uint32_t c = first + 1; c < first + 4 && c < h->count; c++)
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
    if (h->count == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 16;
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

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (node->slot == 0)
        return;
    uint32_t i = node->slot - 1;
    struct heap_node *last = h->nodes[--h->count];
    node->slot = 0;
    if (last == node)
        return;
    if (i > 0 && before(last, h->nodes[(i - 1) / 4]))
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

struct heap_node *heap_pop(struct heap *h)
{
    struct heap_node *first = heap_first(h);
    if (first)
        heap_remove(h, first);
    return first;
}

void heap_free(struct heap *h)
{
    mem_free(h->nodes);
    *h = (struct heap){0};
}
