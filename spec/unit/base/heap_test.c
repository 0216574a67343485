#include "test.h"

#include "base/heap.h"
#include "base/rand.h"

enum { COUNT = 3000 };

TEST(comes_out_by_key_and_then_in_the_order_it_went_in)
{
    static struct heap_node nodes[COUNT];
    struct heap h = {0};
    for (int i = 0; i < COUNT; i++)
        heap_push(&h, &nodes[i], (int64_t)(rand_u64() % 50));
    struct heap_node *last = heap_pop(&h);
    for (int i = 1; i < COUNT; i++) {
        struct heap_node *next = heap_pop(&h);
        REQUIRE(next != NULL);
        CHECK(last->key < next->key || (last->key == next->key && last->seq < next->seq));
        last = next;
    }
    CHECK(heap_pop(&h) == NULL);
    heap_free(&h);
}

TEST(any_element_can_be_removed)
{
    static struct heap_node nodes[COUNT];
    struct heap h = {0};
    for (int i = 0; i < COUNT; i++)
        heap_push(&h, &nodes[i], (int64_t)(rand_u64() % 1000));
    for (int i = 0; i < COUNT; i += 2)
        heap_remove(&h, &nodes[i]);
    heap_remove(&h, &nodes[0]);
    CHECK_EQ(h.count, COUNT / 2);
    int64_t key = -1;
    for (int i = 0; i < COUNT / 2; i++) {
        struct heap_node *n = heap_pop(&h);
        CHECK((n - nodes) % 2 == 1 && n->key >= key);
        key = n->key;
    }
    CHECK(heap_first(&h) == NULL);
    heap_free(&h);
}

TEST(an_element_can_be_pushed_again)
{
    struct heap_node node = {0};
    struct heap h = {0};
    heap_push(&h, &node, 5);
    heap_pop(&h);
    heap_push(&h, &node, 3);
    CHECK_EQ(heap_first(&h)->key, 3);
    heap_free(&h);
    CHECK_EQ(node.slot, 0);
}
