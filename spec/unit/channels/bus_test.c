/* Messages between the hubs of two processes, which are here one. */
#include "channels/bus.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "channels/channel.h"
#include "jobs/redis_server.h"
#include "loop/lane.h"
#include "test.h"

enum { MESSAGES = 2000, PUBLISHERS = 3 };

static struct redis_server server;

struct process {
    struct channel_hub *hub;
    struct channel_bus *bus;
    struct lane *control, *web;
    struct channel_sub *sub; /* web */
    int last[PUBLISHERS];    /* web: number of its last message */
    atomic_int seen, disordered;
    _Atomic int64_t lost;
};

static void on_message(struct channel_sub *sub, void *arg)
{
    struct process *p = arg;
    const struct channel_message *m;
    int64_t lost;
    int who, number;
    while ((m = channel_receive(sub, &lost))) {
        char text[64];
        snprintf(text, sizeof text, "%.*s", (int)m->json.n, m->json.p);
        if (sscanf(text, "[%d,%d]", &who, &number) == 2) {
            if (number <= p->last[who])
                atomic_fetch_add(&p->disordered, 1);
            p->last[who] = number;
        }
        channel_release(m);
        atomic_fetch_add(&p->lost, lost);
        atomic_fetch_add(&p->seen, 1);
    }
}

static void listen_on_lane(void *arg)
{
    struct process *p = arg;
    struct err err;
    p->sub = channel_subscribe(p->hub, p->web, STR("news"), 100000, on_message, p, &err);
}

static void unlisten_on_lane(void *arg)
{
    struct process *p = arg;
    channel_unsubscribe(p->sub);
}

static void enter_on_lane(void *arg)
{
    struct process *p = arg;
    struct err err;
    CHECK(channel_bus_enter(p->bus, p->control, &err));
}

static void leave_on_lane(void *arg)
{
    struct process *p = arg;
    channel_bus_leave(p->bus);
}

static struct lane *start_lane(int index)
{
    struct err err;
    struct lane *lane = lane_create(index, LANE_WEB, "test", &err);
    if (!lane || !lane_start(lane, NULL, NULL, &err))
        abort();
    return lane;
}

static void stop_lane(struct lane *lane)
{
    lane_stop(lane);
    lane_join(lane);
    lane_destroy(lane);
}

static struct process *process_start(void)
{
    struct process *p = mem_zero(1, sizeof *p);
    struct err err;
    if (!server.pid)
        redis_server_start(&server);
    struct channel_bus_options options = {
        .url = server.url, .prefix = "t:", .timeout_ns = 2 * NS_PER_SECOND};
    p->hub = channel_hub_create();
    p->bus = channel_bus_create(p->hub, &options, &err);
    p->web = start_lane(0);
    p->control = start_lane(1);
    lane_call_wait(p->control, enter_on_lane, p);
    lane_call_wait(p->web, listen_on_lane, p);
    return p;
}

static void process_stop(struct process *p)
{
    lane_call_wait(p->web, unlisten_on_lane, p);
    lane_call_wait(p->control, leave_on_lane, p);
    stop_lane(p->web);
    stop_lane(p->control);
    channel_hub_destroy(p->hub);
    channel_bus_destroy(p->bus);
    mem_free(p);
}

static void publish(struct process *p, const char *json)
{
    struct err err = {0};
    while (channel_publish(p->hub, STR("news"), str_c(json), &err) < 0 && err.code == ERR_BUSY)
        usleep(1000);
}

/* Until what `from` publishes reaches `to`. */
static void await_path(struct process *from, struct process *to)
{
    int seen = atomic_load(&to->seen);
    for (int i = 0; i < 2000 && atomic_load(&to->seen) == seen; i++) {
        publish(from, "\"mark\"");
        usleep(10000);
    }
    CHECK(atomic_load(&to->seen) > seen);
}

struct publisher {
    pthread_t thread;
    struct process *process;
    int who;
};

static void *publisher_main(void *arg)
{
    struct publisher *x = arg;
    char json[32];
    for (int i = 1; i <= MESSAGES; i++) {
        snprintf(json, sizeof json, "[%d,%d]", x->who, i);
        publish(x->process, json);
    }
    return NULL;
}

static bool has_all(const struct process *p)
{
    bool all = true;
    for (int i = 0; i < PUBLISHERS; i++)
        all = all && p->last[i] == MESSAGES;
    return all;
}

struct looking {
    const struct process *process;
    bool all;
};

static void look_on_lane(void *arg)
{
    struct looking *l = arg;
    l->all = has_all(l->process);
}

TEST(what_several_threads_publish_arrives_everywhere_once_and_in_order)
{
    struct process *a = process_start(), *b = process_start();
    await_path(a, b);
    await_path(b, a);
    struct publisher list[PUBLISHERS];
    for (int i = 0; i < PUBLISHERS; i++) {
        list[i] = (struct publisher){.process = i % 2 ? b : a, .who = i};
        pthread_create(&list[i].thread, NULL, publisher_main, &list[i]);
    }
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(list[i].thread, NULL);
    struct process *both[] = {a, b};
    for (int k = 0; k < 2; k++) {
        struct looking l = {.process = both[k]};
        for (int i = 0; i < 2000 && !l.all; i++) {
            usleep(5000);
            lane_call_wait(both[k]->web, look_on_lane, &l);
        }
        CHECK(l.all);
        CHECK_EQ(atomic_load(&both[k]->disordered), 0);
        CHECK_EQ(atomic_load(&both[k]->lost), 0);
    }
    process_stop(a);
    process_stop(b);
}

TEST(who_was_cut_off_is_told_that_messages_were_lost)
{
    struct process *a = process_start(), *b = process_start();
    await_path(a, b);
    redis_server_kill(&server);
    for (int i = 0; i < 100; i++)
        CHECK(channel_publish(a->hub, STR("news"), STR("\"alone\""), &(struct err){0}) == 1);
    redis_server_start(&server);
    await_path(a, b);
    await_path(b, a);
    for (int i = 0; i < 1000 && !(atomic_load(&a->lost) && atomic_load(&b->lost)); i++) {
        publish(a, "\"mark\"");
        usleep(10000);
    }
    CHECK(atomic_load(&a->lost) >= 1);
    CHECK(atomic_load(&b->lost) >= 1);
    process_stop(a);
    process_stop(b);
}

TEST(more_topics_than_are_remembered_are_told_together)
{
    struct process *a = process_start(), *b = process_start();
    await_path(a, b);
    kill(server.pid, SIGSTOP);
    for (int i = 0; i < 1500; i++) {
        char topic[32];
        snprintf(topic, sizeof topic, "topic%d", i);
        channel_publish(a->hub, str_c(topic), STR("1"), &(struct err){0});
    }
    usleep(2500000); /* longer than the patience with an answer */
    kill(server.pid, SIGCONT);
    await_path(a, b);
    for (int i = 0; i < 1000 && !atomic_load(&b->lost); i++) {
        publish(a, "\"mark\"");
        usleep(10000);
    }
    CHECK(atomic_load(&b->lost) >= 1);
    process_stop(a);
    process_stop(b);
    redis_server_stop(&server);
}
