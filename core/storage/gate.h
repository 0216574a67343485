/* gate.h -- blocking work on pool threads, at most one piece per resource.
 *
 * The resources are connections.  Work that finds none free waits in order
 * without occupying a thread.
 */
#pragma once

#include "base/list.h"
#include "loop/pool.h"

struct gate;

struct gate_item {
    struct list link;
    /* Pool thread; resource is NULL when the gate closes before the work's turn. */
    void (*run)(struct gate_item *item, void *resource);
    int kind; /* for the owner of another queue the item may stand in */
};

struct gate *gate_create(struct pool *pool, void *const *resources, int count);
void gate_submit(struct gate *gate, struct gate_item *item); /* any thread */
int gate_depth(struct gate *gate);                           /* waiting items */
/* Waits for what runs, runs what waits with NULL; nothing may be submitted after. */
void gate_close(struct gate *gate);
