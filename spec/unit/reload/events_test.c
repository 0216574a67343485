/* What happened to a plugin: the newest first, bounded. */
#include "reload/events.h"

#include "test.h"

static void add(struct events *e, const char *plugin, int n)
{
    struct plugin_event event = {.at_wall = n, .kind = "loaded", .generation = "0123456789ab"};
    snprintf(event.text, sizeof event.text, "event %d", n);
    events_add(e, plugin, &event);
}

TEST(answers_the_newest_first_for_each_plugin)
{
    struct events *e = events_create();
    CHECK(!events_get(e, "a", 0));
    add(e, "a", 1);
    add(e, "a", 2);
    add(e, "b", 3);
    CHECK_STR(events_get(e, "a", 0)->text, "event 2");
    CHECK_STR(events_get(e, "a", 1)->text, "event 1");
    CHECK(!events_get(e, "a", 2));
    CHECK(!events_get(e, "a", -1));
    CHECK_STR(events_get(e, "b", 0)->text, "event 3");
    events_destroy(e);
}

TEST(forgets_the_oldest)
{
    struct events *e = events_create();
    for (int i = 1; i <= 3 * EVENTS_KEPT + 5; i++)
        add(e, "a", i);
    for (int i = 0; i < EVENTS_KEPT; i++)
        CHECK_EQ(events_get(e, "a", i)->at_wall, 3 * EVENTS_KEPT + 5 - i);
    CHECK(!events_get(e, "a", EVENTS_KEPT));
    events_destroy(e);
}
