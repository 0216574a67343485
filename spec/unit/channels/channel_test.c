#include <stdio.h>

#include "channels/channel.h"
#include "loop/lane.h"
#include "test.h"

enum { LANES = 2, MESSAGES = 1000 };

struct listener {
    struct channel_hub *hub;
    struct lane *lane;
    struct channel_sub *sub;
    int queue;
    int seen, in_order;
    int64_t lost;
    bool close_at_first;
    char last[64];
};

static void close_sub(void *arg)
{
    struct listener *l = arg;
    if (l->sub)
        channel_unsubscribe(l->sub);
    l->sub = NULL;
}

static void drain(struct listener *l)
{
    const struct channel_message *message;
    int64_t lost;
    while ((message = channel_receive(l->sub, &lost))) {
        char text[64];
        snprintf(text, sizeof text, "%.*s", (int)message->json.n, message->json.p);
        l->in_order += atoi(text) > atoi(l->last) || l->seen == 0;
        snprintf(l->last, sizeof l->last, "%s", text);
        l->seen++;
        l->lost += lost;
        channel_release(message);
    }
}

static void on_message(struct channel_sub *sub, void *arg)
{
    struct listener *l = arg;
    (void)sub;
    if (l->close_at_first) {
        l->seen++;
        close_sub(l);
        return;
    }
    if (l->queue == 0)
        drain(l);
}

static void open_sub(void *arg)
{
    struct listener *l = arg;
    struct err err = {0};
    l->sub = channel_subscribe(l->hub, l->lane, STR("lines"), l->queue, on_message, l, &err);
}

static void drain_sub(void *arg)
{
    drain(arg);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void start(struct lane *lanes[LANES])
{
    struct err err = {0};
    for (int i = 0; i < LANES; i++) {
        lanes[i] = lane_create(i, LANE_WEB, "web", &err);
        CHECK(lane_start(lanes[i], NULL, NULL, &err));
    }
}

static void stop(struct lane *lanes[LANES])
{
    for (int i = 0; i < LANES; i++) {
        lane_stop(lanes[i]);
        lane_join(lanes[i]);
        lane_destroy(lanes[i]);
    }
}

static void publish_numbers(struct channel_hub *hub)
{
    struct err err = {0};
    for (int i = 1; i <= MESSAGES; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        channel_publish(hub, STR("lines"), str_c(text), &err);
    }
}

TEST(every_listener_on_every_lane_gets_all_in_order)
{
    struct lane *lanes[LANES];
    struct channel_hub *hub = channel_hub_create();
    struct listener l[4] = {0};
    start(lanes);
    for (int i = 0; i < 4; i++) {
        l[i] = (struct listener){.hub = hub, .lane = lanes[i % LANES]};
        lane_call_wait(l[i].lane, open_sub, &l[i]);
    }
    CHECK(channel_listeners(hub, STR("lines")) == 4);
    CHECK(channel_listeners(hub, STR("other")) == 0);
    publish_numbers(hub);
    for (int i = 0; i < 4; i++) {
        lane_call_wait(l[i].lane, close_sub, &l[i]);
        CHECK(l[i].seen == MESSAGES);
        CHECK(l[i].in_order == MESSAGES);
        CHECK(l[i].lost == 0);
    }
    stop(lanes);
    channel_hub_destroy(hub);
}

TEST(a_slow_listener_loses_its_oldest_and_is_told_how_many)
{
    struct lane *lanes[LANES];
    struct channel_hub *hub = channel_hub_create();
    start(lanes);
    struct listener l = {.hub = hub, .lane = lanes[0], .queue = 10};
    lane_call_wait(l.lane, open_sub, &l);
    publish_numbers(hub);
    lane_call_wait(l.lane, drain_sub, &l);
    CHECK(l.seen == 10);
    CHECK(l.lost == MESSAGES - 10);
    CHECK(atoi(l.last) == MESSAGES);
    lane_call_wait(l.lane, close_sub, &l);
    stop(lanes);
    channel_hub_destroy(hub);
}

TEST(a_listener_may_close_itself_while_it_is_told)
{
    struct lane *lanes[LANES];
    struct channel_hub *hub = channel_hub_create();
    struct listener l[3] = {0};
    start(lanes);
    for (int i = 0; i < 3; i++) {
        l[i] = (struct listener){.hub = hub, .lane = lanes[0], .close_at_first = i != 1};
        lane_call_wait(l[i].lane, open_sub, &l[i]);
    }
    publish_numbers(hub);
    lane_call_wait(lanes[0], nothing, NULL);
    CHECK(l[0].seen == 1);
    CHECK(l[2].seen == 1);
    CHECK(l[1].seen == MESSAGES);
    lane_call_wait(lanes[0], close_sub, &l[1]);
    stop(lanes);
    channel_hub_destroy(hub);
}

TEST(topics_and_messages_have_bounds)
{
    struct channel_hub *hub = channel_hub_create();
    struct err err = {0};
    char name[CHANNEL_TOPIC_BYTES + 1];
    memset(name, 'a', sizeof name);
    CHECK(channel_publish(hub, STR(""), STR("1"), &err) == -1);
    CHECK(err.code == ERR_INVALID);
    CHECK(channel_publish(hub, str_n(name, sizeof name), STR("1"), &err) == -1);
    CHECK(err.code == ERR_LIMIT);
    CHECK(channel_publish(hub, STR("nobody"), STR("1"), &err) == 0);
    channel_hub_destroy(hub);
}

/* A lane that the test turns by hand. */
static void turn_lane(struct lane *lane)
{
    for (int i = 0; i < 10; i++)
        uv_run(&lane->loop, UV_RUN_NOWAIT);
}

static void ignore(struct channel_sub *sub, void *arg)
{
    (void)sub;
    (void)arg;
}

TEST(what_waits_in_many_subscriptions_keeps_to_their_budget)
{
    struct err err = {0};
    struct lane *lane = lane_create(0, LANE_WEB, "web", &err);
    struct channel_hub *hub = channel_hub_create();
    struct channel_budget budget = {.most = 1000};
    struct channel_sub *subs[3];
    char text[200];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 3; i++) {
        subs[i] = channel_subscribe(hub, lane, STR("lines"), 0, ignore, NULL, &err);
        channel_set_budget(subs[i], &budget);
    }
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(channel_publish(hub, STR("lines"), str_n(text, sizeof text), &err), 3);
        turn_lane(lane);
        CHECK(budget.bytes > 0 && budget.bytes <= budget.most);
    }
    int64_t lost = 0, kept = 0;
    for (int i = 0; i < 3; i++) {
        int64_t before = 0;
        const struct channel_message *message;
        while ((message = channel_receive(subs[i], &before))) {
            lost += before;
            kept++;
            channel_release(message);
        }
    }
    CHECK(kept > 0 && kept <= 4);
    CHECK(lost > 0 && kept + lost <= 60);
    CHECK_EQ(budget.bytes, 0);
    for (int i = 0; i < 3; i++)
        channel_unsubscribe(subs[i]);
    lane_destroy(lane);
    channel_hub_destroy(hub);
}

TEST(a_publisher_that_is_faster_than_the_lanes_is_told_so)
{
    struct err err = {0};
    struct lane *lane = lane_create(0, LANE_WEB, "web", &err);
    struct channel_hub *hub = channel_hub_create();
    struct channel_sub *sub = channel_subscribe(hub, lane, STR("lines"), 0, ignore, NULL, &err);
    char *text = malloc(CHANNEL_MESSAGE_BYTES);
    memset(text, 'x', CHANNEL_MESSAGE_BYTES);
    int sent = 0;
    while (sent < 1000 &&
           channel_publish(hub, STR("lines"), str_n(text, CHANNEL_MESSAGE_BYTES), &err) == 1)
        sent++;
    CHECK(sent >= 64 && sent <= 66);
    CHECK_EQ(err.code, ERR_BUSY);
    turn_lane(lane);
    CHECK_EQ(channel_publish(hub, STR("lines"), str_n(text, 100), &err), 1);
    turn_lane(lane);
    channel_unsubscribe(sub);
    lane_destroy(lane);
    channel_hub_destroy(hub);
    free(text);
}
