/* The cache's driver on several lanes, over a real Redis that dies and comes back. */
#include "storage/cache_driver.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/redis_server.h"
#include "loop/lane.h"
#include "test.h"

enum { LANES = 4 /* the last is the control lane */, AT_ONCE = 50 };

static struct redis_server server;

struct guest {
    struct cache_driver *d;
    struct lane *lanes[LANES];
    atomic_bool stop;
    atomic_int answers, failed, refused, granted, running;
};

/* One question; its answer is copied here. */
struct question {
    struct guest *g;
    struct lane *lane;
    struct cache_ask ask;
    struct buf copy;
    atomic_bool done;
};

static void on_answer(void *arg, struct cache_ask *ask)
{
    struct question *q = arg;
    q->ask = *ask;
    atomic_store(&q->done, true);
}

static void ask_on_lane(void *arg)
{
    struct question *q = arg;
    q->ask.copy = &q->copy;
    if (!cache_ask(q->g->d, q->lane, &q->ask, on_answer, q))
        atomic_store(&q->done, true);
}

static struct cache_ask ask(struct guest *g, int lane, struct cache_ask what)
{
    struct question q = {.g = g, .lane = g->lanes[lane], .ask = what};
    lane_call_wait(g->lanes[lane], ask_on_lane, &q);
    for (int i = 0; i < 2000 && !atomic_load(&q.done); i++)
        usleep(5000);
    CHECK(atomic_load(&q.done));
    buf_free(&q.copy);
    return q.ask;
}

struct entering {
    struct guest *g;
    int lane;
};

static void enter_on_lane(void *arg)
{
    struct entering *e = arg;
    struct err err = {0};
    CHECK(cache_driver_enter(e->g->d, e->g->lanes[e->lane], e->lane == LANES - 1, &err));
}

static void leave_on_lane(void *arg)
{
    struct entering *e = arg;
    cache_driver_leave(e->g->d, e->g->lanes[e->lane]);
}

static struct guest *enter(void)
{
    struct guest *g = mem_zero(1, sizeof *g);
    struct err err = {0};
    if (!server.pid)
        redis_server_start(&server);
    struct cache_options options = {.driver = "redis",
                                    .url = server.url,
                                    .prefix = "t:",
                                    .memory = 1 << 20,
                                    .timeout_ns = NS_PER_SECOND,
                                    .lanes = LANES};
    g->d = cache_driver_create(&options, &err);
    for (int i = 0; i < LANES; i++) {
        g->lanes[i] = lane_create(i, i < LANES - 1 ? LANE_WEB : LANE_CONTROL, "test", &err);
        if (!g->lanes[i] || !lane_start(g->lanes[i], NULL, NULL, &err))
            abort();
        lane_call_wait(g->lanes[i], enter_on_lane, &(struct entering){g, i});
    }
    return g;
}

static void leave(struct guest *g)
{
    for (int i = LANES - 1; i >= 0; i--)
        lane_call_wait(g->lanes[i], leave_on_lane, &(struct entering){g, i});
    for (int i = 0; i < LANES; i++) {
        lane_stop(g->lanes[i]);
        lane_join(g->lanes[i]);
        lane_destroy(g->lanes[i]);
    }
    cache_driver_destroy(g->d);
    mem_free(g);
}

static void await_shared(struct guest *g, bool shared)
{
    for (int i = 0; i < 2000 && cache_driver_is_shared(g->d) != shared; i++)
        usleep(5000);
    CHECK(cache_driver_is_shared(g->d) == shared);
}

#define ASK(g, lane, ...) ask((g), (lane), (struct cache_ask){__VA_ARGS__})

TEST(lanes_see_each_others_entries)
{
    struct guest *g = enter();
    CHECK(ASK(g, 0, .op = CACHE_SET, .key = STR("p:a"), .value = {.tag = 'n', .number = 1.5}).yes);
    struct cache_ask got = ASK(g, 1, .op = CACHE_GET, .key = STR("p:a"));
    CHECK(got.yes && got.value.tag == 'n' && got.value.number == 1.5);
    CHECK(ASK(g, 2, .op = CACHE_INCR, .key = STR("p:a"), .by = 1).value.number == 2.5);
    CHECK(!ASK(g, 1, .op = CACHE_ADD, .key = STR("p:a"), .value = {.tag = 'n'}).yes);
    CHECK_EQ(ASK(g, 0, .op = CACHE_KEYS, .key = STR("p:"), .limit = 10).count, 1);
    CHECK(ASK(g, 0, .op = CACHE_DELETE, .key = STR("p:a")).yes);
    CHECK(!ASK(g, 1, .op = CACHE_GET, .key = STR("p:a")).yes);
    leave(g);
}

static void release_on_lane(void *arg)
{
    struct entering *e = arg;
    cache_driver_release(e->g->d, e);
}

TEST(a_lock_of_an_owner_that_dies_is_given_back)
{
    struct guest *g = enter();
    struct entering owner = {g, LANES - 1};
    struct cache_ask one = ASK(g, 0, .op = CACHE_LOCK, .key = STR("p:l"), .owner = &owner);
    CHECK(one.yes && one.number > 0);
    CHECK(!ASK(g, 1, .op = CACHE_LOCK, .key = STR("p:l"), .owner = g).yes);
    lane_call_wait(g->lanes[LANES - 1], release_on_lane, &owner);
    struct cache_ask two = {0};
    for (int i = 0; i < 1000 && !two.yes; i++) {
        two = ASK(g, 1, .op = CACHE_LOCK, .key = STR("p:l"), .owner = g);
        usleep(1000);
    }
    CHECK(two.yes && two.number > one.number);
    CHECK(!ASK(g, 0, .op = CACHE_UNLOCK, .key = STR("p:l"), .token = str_c(one.made_token)).yes);
    CHECK(ASK(g, 0, .op = CACHE_UNLOCK, .key = STR("p:l"), .token = str_c(two.made_token)).yes);
    leave(g);
}

static void forget_on_lane(void *arg)
{
    struct entering *e = arg;
    struct cache_ask what = {.op = CACHE_LOCK, .key = STR("p:nobody"), .owner = e};
    struct cache_wait *wait = cache_ask(e->g->d, e->g->lanes[0], &what, NULL, NULL);
    CHECK(wait);
    cache_forget(wait);
}

TEST(a_lock_that_nobody_waits_for_any_more_is_given_back)
{
    struct guest *g = enter();
    struct entering e = {g, 0};
    lane_call_wait(g->lanes[0], forget_on_lane, &e);
    struct cache_ask one = {0};
    for (int i = 0; i < 1000 && !one.yes; i++) {
        one = ASK(g, 1, .op = CACHE_LOCK, .key = STR("p:nobody"), .owner = g);
        usleep(1000);
    }
    CHECK(one.yes);
    leave(g);
}

TEST(nothing_old_comes_back_with_redis)
{
    struct guest *g = enter();
    struct cache_value old = {.tag = 's', .bytes = STR("old")},
                       now = {.tag = 's', .bytes = STR("now")};
    CHECK(ASK(g, 0, .op = CACHE_SET, .key = STR("p:x"), .value = old).yes);
    CHECK(ASK(g, 0, .op = CACHE_SET, .key = STR("p:y"), .value = old).yes);
    kill(server.pid, SIGSTOP);
    CHECK(!ASK(g, 0, .op = CACHE_GET, .key = STR("p:x")).yes);
    CHECK(!cache_driver_is_shared(g->d));
    CHECK(ASK(g, 1, .op = CACHE_SET, .key = STR("p:x"), .value = now).yes);
    CHECK(ASK(g, 2, .op = CACHE_GET, .key = STR("p:x")).yes);
    CHECK_EQ(ASK(g, 0, .op = CACHE_LOCK, .key = STR("p:l")).err.code, ERR_UNAVAILABLE);
    kill(server.pid, SIGCONT);
    await_shared(g, true);
    CHECK(!ASK(g, 0, .op = CACHE_GET, .key = STR("p:x")).yes);
    CHECK(ASK(g, 0, .op = CACHE_GET, .key = STR("p:y")).yes);
    leave(g);
}

enum { TOO_MANY = 100001 };

static void write_many(void *arg)
{
    struct entering *e = arg;
    char key[32];
    for (int i = 0; i < TOO_MANY; i++) {
        snprintf(key, sizeof key, "p:many%d", i);
        struct cache_ask what = {.op = CACHE_SET, .key = str_c(key), .value = {.tag = 'n'}};
        CHECK(!cache_ask(e->g->d, e->g->lanes[0], &what, NULL, NULL));
    }
}

TEST(more_than_can_be_remembered_is_deleted_all_the_same)
{
    struct guest *g = enter();
    struct entering e = {g, 0};
    CHECK(
        ASK(g, 0, .op = CACHE_SET, .key = STR("p:many7"), .value = {.tag = 'n', .number = 7}).yes);
    CHECK(ASK(g, 0, .op = CACHE_SET, .key = STR("p:y"), .value = {.tag = 'n', .number = 1}).yes);
    redis_server_kill(&server);
    await_shared(g, false);
    lane_call_wait(g->lanes[0], write_many, &e);
    redis_server_start(&server);
    await_shared(g, true);
    CHECK(!ASK(g, 0, .op = CACHE_GET, .key = STR("p:many7")).yes);
    CHECK(!ASK(g, 0, .op = CACHE_GET, .key = STR("p:y")).yes);
    leave(g);
}

/* -- everything at once -- */

struct turn {
    struct guest *g;
    struct lane *lane;
    struct timer pause;
    struct buf copy;
    int n;
};

static void next(struct turn *t);

static void on_pause(struct timer *timer)
{
    next((struct turn *)(void *)((char *)timer - offsetof(struct turn, pause)));
}

static void on_turn(void *arg, struct cache_ask *ask)
{
    struct turn *t = arg;
    struct guest *g = t->g;
    bool of_lock = ask->op == CACHE_LOCK || ask->op == CACHE_UNLOCK;
    bool away = ask->err.code == ERR_UNAVAILABLE || ask->err.code == ERR_TIMEOUT;
    atomic_fetch_add(&g->answers, 1);
    if (ask->err.code && (!of_lock || !away))
        atomic_fetch_add(&g->failed, 1);
    else if (ask->err.code)
        atomic_fetch_add(&g->refused, 1);
    else if (ask->op == CACHE_LOCK && ask->yes)
        atomic_fetch_add(&g->granted, 1);
    timer_start(t->lane, &t->pause, NS_PER_MS);
}

static void next(struct turn *t)
{
    static const enum cache_op ops[] = {CACHE_GET,  CACHE_SET,  CACHE_ADD,
                                        CACHE_INCR, CACHE_KEYS, CACHE_LOCK};
    if (atomic_load(&t->g->stop)) {
        buf_free(&t->copy);
        atomic_fetch_sub(&t->g->running, 1);
        mem_free(t);
        return;
    }
    char key[16];
    int n = t->n++;
    snprintf(key, sizeof key, "s:%d", n % 6 == 3 ? 99 : n % 17);
    buf_clear(&t->copy);
    struct cache_ask what = {.op = ops[n % 6],
                             .key = str_c(key),
                             .value = {.tag = 's', .bytes = STR("value")},
                             .by = 1,
                             .limit = 3,
                             .ttl_ns = 20 * NS_PER_MS,
                             .owner = t->g,
                             .copy = &t->copy};
    if (!cache_ask(t->g->d, t->lane, &what, on_turn, t))
        on_turn(t, &what);
}

static void begin_turns(void *arg)
{
    struct entering *e = arg;
    for (int i = 0; i < AT_ONCE; i++) {
        struct turn *t = mem_zero(1, sizeof *t);
        *t = (struct turn){.g = e->g, .lane = e->g->lanes[e->lane], .pause.fire = on_pause, .n = i};
        atomic_fetch_add(&e->g->running, 1);
        next(t);
    }
}

static void await_more(const atomic_int *what, int more)
{
    int from = atomic_load(what);
    for (int i = 0; i < 4000 && atomic_load(what) < from + more; i++)
        usleep(5000);
    CHECK(atomic_load(what) >= from + more);
}

TEST(three_lanes_go_on_while_redis_dies_and_comes_back)
{
    struct guest *g = enter();
    for (int i = 0; i < LANES - 1; i++)
        lane_call_wait(g->lanes[i], begin_turns, &(struct entering){g, i});
    for (int i = 0; i < 2; i++) {
        await_more(&g->granted, 20);
        redis_server_kill(&server);
        await_more(&g->refused, 20);
        redis_server_start(&server);
        await_shared(g, true);
    }
    await_more(&g->granted, 20);
    atomic_store(&g->stop, true);
    for (int i = 0; i < 2000 && atomic_load(&g->running); i++)
        usleep(5000);
    CHECK_EQ(atomic_load(&g->running), 0);
    CHECK_EQ(atomic_load(&g->failed), 0);
    leave(g);
    redis_server_stop(&server);
}
