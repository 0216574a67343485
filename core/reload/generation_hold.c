/* generation_hold.c -- a generation that is held back: nothing of it runs any more. */

#include <stdio.h>

#include "base/mem.h"
#include "reload/internal.h"
#include "vm/vm.h"

struct hop {
    struct generation *generation;
    struct lane *lane;
    void (*emptied)(void *arg, struct generation *generation);
    void *arg;
};

void generation_hold(struct generation *g, const struct generation_hold *why)
{
    struct generation_hold *copy = mem_zero(1, sizeof *copy), *none = NULL;
    *copy = *why;
    if (!atomic_compare_exchange_strong(&g->hold, &none, copy))
        mem_free(copy);
}

const struct generation_hold *generation_held(const struct generation *g)
{
    return atomic_load_explicit(&((struct generation *)(uintptr_t)g)->hold, memory_order_acquire);
}

static void emptied_on_control(void *arg)
{
    struct hop *hop = arg;
    struct generation *g = hop->generation;
    if (--g->emptying == 0)
        hop->emptied(hop->arg, g);
    mem_free(hop);
    generation_settle(g);
}

static void empty_on_lane(void *arg)
{
    struct hop *hop = arg;
    generation_drop_vm(hop->generation, hop->lane);
    lane_call(hop->generation->on->control, emptied_on_control, hop);
}

void generation_empty(struct generation *g, void (*emptied)(void *arg, struct generation *g),
                      void *arg)
{
    for (int i = 0; i < g->on->count; i++) {
        struct lane *lane = g->on->lanes[i];
        if (atomic_load(&lane->lost))
            continue;
        struct hop *hop = mem_zero(1, sizeof *hop);
        *hop = (struct hop){g, lane, emptied, arg};
        g->emptying++;
        generation_ref(g);
        g->on->vms_open++;
        lane_call(lane, empty_on_lane, hop);
    }
}
