/* heap.h -- intrusive 4-ary minimum heap of (key, sequence).
 *
 * Elements with the same key come out in the order they went in.  An element
 * knows its index, so it can be removed from the middle in O(log n).
 */
#pragma once

#include <stdint.h>

struct heap_node {
    int64_t key;
    uint64_t seq;  /* set by heap_push */
    uint32_t slot; /* 1-based index; 0 = in no heap */
};

struct heap {
    struct heap_node **nodes;
    uint32_t count, cap;
    uint64_t next_seq;
}; /* {0} is empty */

void heap_push(struct heap *h, struct heap_node *node, int64_t key); /* node must be in no heap */
struct heap_node *heap_first(const struct heap *h);                  /* NULL when empty */
struct heap_node *heap_pop(struct heap *h);                          /* NULL when empty */
void heap_remove(struct heap *h, struct heap_node *node);            /* no-op when in no heap */
void heap_free(struct heap *h);                                      /* nodes stay the caller's */
