#include "test.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/still.h"
#include "loop/lane.h"
#include "loop/pool.h"
#include "loop/standstill.h"

/* Three lanes, a pool behind them, and time that stands. */
enum { LANES = 3 };
static struct lane *lanes[LANES];
static struct pool *pool;
static struct standstill *still;
static atomic_bool reaching_out;
static atomic_int stuck_count;

static void on_stuck(void *arg)
{
    (void)arg;
    atomic_fetch_add(&stuck_count, 1);
}

static bool background(void *arg)
{
    (void)arg;
    return !pool_is_idle(pool);
}

static bool outside(void *arg, struct lane *lane)
{
    (void)arg;
    return lane == lanes[1] && atomic_load(&reaching_out);
}

__attribute__((constructor)) static void begin(void)
{
    struct err err = {0};
    still_begin();
    for (int i = 0; i < LANES; i++) {
        lanes[i] = lane_create(i, LANE_WEB, "still", &err);
        if (!lanes[i] || !lane_start(lanes[i], NULL, NULL, &err))
            abort();
    }
    pool = pool_create("still", 2, &err);
    struct standstill_options options = {.lanes = lanes,
                                         .count = LANES,
                                         .background = background,
                                         .outside = outside,
                                         .stuck = on_stuck};
    still = standstill_start(&options, &err);
    if (!still)
        abort();
}

static void on_stopped(void *arg)
{
    uv_sem_post(arg);
}

__attribute__((destructor)) static void end(void)
{
    uv_sem_t stopped;
    uv_sem_init(&stopped, 0);
    standstill_stop(still, lanes[0], on_stopped, &stopped);
    uv_sem_wait(&stopped);
    uv_sem_destroy(&stopped);
    standstill_free(still);
    for (int i = 0; i < LANES; i++) {
        lane_stop(lanes[i]);
        lane_join(lanes[i]);
        lane_destroy(lanes[i]);
    }
    pool_destroy(pool);
}

struct waited {
    struct still_ask ask; /* first */
    uv_sem_t done;
};

static void on_done(struct still_ask *ask)
{
    uv_sem_post(&((struct waited *)ask)->done);
}

static bool ask(enum still_goal goal, int64_t until)
{
    struct waited w = {.ask = {.goal = goal, .until = until, .lane = lanes[0], .done = on_done}};
    uv_sem_init(&w.done, 0);
    standstill_ask(still, &w.ask);
    uv_sem_wait(&w.done);
    uv_sem_destroy(&w.done);
    return w.ask.moved;
}

/* A chain: timer on a lane → work in the pool → timer on the next lane → … */
struct chain {
    struct timer timer;
    struct pool_job job;
    int at, left;
    int64_t wait_ns;
    int64_t ended; /* clock_ns() */
    uv_sem_t done;
};

static void chain_arm(void *arg);

static void chain_worked(struct pool_job *job)
{
    struct chain *c = (struct chain *)(void *)((char *)job - offsetof(struct chain, job));
    c->at = (c->at + 1) % LANES;
    lane_call(lanes[c->at], chain_arm, c);
}

static void chain_work(struct pool_job *job)
{
    (void)job;
    usleep(300);
}

static void chain_fire(struct timer *timer)
{
    struct chain *c = (struct chain *)timer;
    if (c->left-- == 0) {
        c->ended = clock_ns();
        uv_sem_post(&c->done);
        return;
    }
    c->job.work = chain_work;
    c->job.done = chain_worked;
    pool_submit(pool, &c->job, lanes[c->at]);
}

static void chain_arm(void *arg)
{
    struct chain *c = arg;
    c->timer.fire = chain_fire;
    timer_start(lanes[c->at], &c->timer, c->wait_ns);
}

TEST(time_jumps_from_timer_to_timer_and_never_while_something_runs)
{
    for (int i = 0; i < 30; i++) {
        struct chain c = {.left = 8, .wait_ns = 3600 * NS_PER_SECOND};
        int64_t began = clock_ns(), real = clock_steady_ns();
        uv_sem_init(&c.done, 0);
        lane_call(lanes[0], chain_arm, &c);
        uv_sem_wait(&c.done);
        uv_sem_destroy(&c.done);
        CHECK_EQ(c.ended - began, 9 * c.wait_ns);
        CHECK(clock_steady_ns() - real < 60 * NS_PER_SECOND);
    }
}

struct settling {
    struct still_ask ask; /* first */
    struct chain chain;
    int64_t began, settled;
};

static void on_settled(struct still_ask *ask)
{
    ((struct settling *)ask)->settled = clock_ns();
}

/* Both from the lane, so that no free jump comes between. */
static void arm_and_settle(void *arg)
{
    struct settling *s = arg;
    s->began = clock_ns();
    chain_arm(&s->chain);
    standstill_ask(still, &s->ask);
}

TEST(settling_lets_no_time_pass)
{
    struct settling s = {.ask = {.goal = STILL_SETTLE, .lane = lanes[0], .done = on_settled},
                         .chain = {.wait_ns = NS_PER_SECOND}};
    uv_sem_init(&s.chain.done, 0);
    lane_call(lanes[0], arm_and_settle, &s);
    uv_sem_wait(&s.chain.done);
    uv_sem_destroy(&s.chain.done);
    CHECK_EQ(s.settled, s.began);
    CHECK_EQ(s.chain.ended - s.began, NS_PER_SECOND);
    CHECK(!s.ask.moved);
}

struct tick {
    struct timer timer;
    atomic_int count;
    int64_t every;
};

static void tick_fire(struct timer *timer)
{
    struct tick *t = (struct tick *)timer;
    atomic_fetch_add(&t->count, 1);
    timer_start(lanes[2], timer, t->every);
}

static struct tick ticker;

static void tick_start(void *arg)
{
    (void)arg;
    ticker.timer.fire = tick_fire;
    ticker.timer.upkeep = true;
    timer_start(lanes[2], &ticker.timer, ticker.every);
}

static void tick_stop(void *arg)
{
    uv_sem_t *done = arg;
    timer_stop(lanes[2], &ticker.timer);
    uv_sem_post(done);
}

TEST(time_passes_up_to_what_was_asked_and_upkeep_comes_late)
{
    uv_sem_t done;
    int64_t before = clock_ns();
    ticker.every = NS_PER_SECOND;
    lane_call(lanes[2], tick_start, NULL);
    CHECK(ask(STILL_UNTIL, before + 86400 * NS_PER_SECOND));
    CHECK_EQ(clock_ns() - before, 86400 * NS_PER_SECOND);
    CHECK_EQ(atomic_load(&ticker.count), 1);
    uv_sem_init(&done, 0);
    lane_call(lanes[2], tick_stop, &done);
    uv_sem_wait(&done);
    uv_sem_destroy(&done);
}

TEST(a_step_without_any_timer_says_so)
{
    int64_t before = clock_ns();
    CHECK(!ask(STILL_STEP, 0));
    CHECK_EQ(clock_ns(), before);
}

TEST(that_nothing_can_ever_happen_is_told_once)
{
    int before = atomic_load(&stuck_count);
    ask(STILL_SETTLE, 0); /* something happened: it is looked at anew */
    while (atomic_load(&stuck_count) == before)
        usleep(1000);
    usleep(400000);
    CHECK_EQ(atomic_load(&stuck_count), before + 1);
}

TEST(time_flows_while_a_lane_waits_for_the_world_outside)
{
    int64_t before = clock_ns();
    atomic_store(&reaching_out, true);
    usleep(60000);
    atomic_store(&reaching_out, false);
    ask(STILL_SETTLE, 0);
    int64_t passed = clock_ns() - before;
    CHECK(passed > 0 && passed < 60 * NS_PER_SECOND);
    before = clock_ns();
    usleep(20000);
    CHECK_EQ(clock_ns(), before);
}

TEST(the_wall_clock_can_be_set_without_time_passing)
{
    int64_t before = clock_ns();
    still_set_wall(INT64_C(1767225600) * NS_PER_SECOND);
    CHECK_EQ(clock_wall_ns(), INT64_C(1767225600) * NS_PER_SECOND);
    CHECK_EQ(clock_ns(), before);
    still_move(NS_PER_SECOND);
    CHECK_EQ(clock_wall_ns(), INT64_C(1767225601) * NS_PER_SECOND);
}
