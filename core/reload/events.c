#include "reload/events.h"

#include "base/map.h"
#include "base/mem.h"

struct ring {
    struct plugin_event events[EVENTS_KEPT];
    int count, next; /* next: where the next one goes */
};

struct events {
    struct map *rings; /* by plugin */
};

struct events *events_create(void)
{
    struct events *e = mem_zero(1, sizeof *e);
    e->rings = map_create();
    return e;
}

void events_destroy(struct events *e)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(e->rings, &at, &key, &value))
        mem_free(value);
    map_destroy(e->rings);
    mem_free(e);
}

void events_add(struct events *e, const char *plugin, const struct plugin_event *event)
{
    struct ring *ring = map_get(e->rings, str_c(plugin));
    if (!ring) {
        ring = mem_zero(1, sizeof *ring);
        map_set(e->rings, str_c(plugin), ring);
    }
    ring->events[ring->next] = *event;
    ring->next = (ring->next + 1) % EVENTS_KEPT;
    ring->count += ring->count < EVENTS_KEPT;
}

const struct plugin_event *events_get(const struct events *e, const char *plugin, int n)
{
    const struct ring *ring = map_get(e->rings, str_c(plugin));
    if (!ring || n < 0 || n >= ring->count)
        return NULL;
    return &ring->events[(ring->next - 1 - n + 2 * EVENTS_KEPT) % EVENTS_KEPT];
}
