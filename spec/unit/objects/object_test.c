/* How many calls may be under way, whatever the driver. */
#include "objects/object.h"

#include "test.h"

static struct object_call calls[OBJECT_QUEUE + 1];
static atomic_int done, busy;

static void on_done(struct object_call *call)
{
    atomic_fetch_add(call->err.code == ERR_BUSY ? &busy : &done, 1);
    object_call_free(call);
}

/* It answers when it is told to. */
static void hold(struct objects *store, struct object_call *call)
{
    (void)store, (void)call;
}

static void nothing(void *arg)
{
    (void)arg;
}

static void ask(struct objects *store, struct lane *lane, struct object_call *call)
{
    *call =
        (struct object_call){.op = OBJECT_STAT, .plugin = "p", .key = STR("k"), .done = on_done};
    object_run(store, call, lane);
}

TEST(refuses_a_call_when_too_many_are_under_way)
{
    static const struct objects_driver driver = {.name = "still", .run = hold};
    struct objects store = {.driver = &driver};
    struct err err = {0};
    struct lane *lane = lane_create(0, LANE_JOB, "t", &err);
    REQUIRE(lane && lane_start(lane, NULL, NULL, &err));
    for (int i = 0; i <= OBJECT_QUEUE; i++)
        ask(&store, lane, &calls[i]);
    lane_call_wait(lane, nothing, NULL);
    CHECK_EQ(atomic_load(&busy), 1);
    CHECK_EQ(atomic_load(&done), 0);
    object_answer(&calls[0]);
    lane_call_wait(lane, nothing, NULL);
    ask(&store, lane, &calls[0]);
    for (int i = 0; i < OBJECT_QUEUE; i++)
        object_answer(&calls[i]);
    lane_call_wait(lane, nothing, NULL);
    CHECK_EQ(atomic_load(&busy), 1);
    CHECK_EQ(atomic_load(&done), OBJECT_QUEUE + 1);
    lane_stop(lane);
    lane_join(lane);
    lane_destroy(lane);
}
