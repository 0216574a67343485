#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/lane.h"

static struct lane *lane_of(enum lane_kind kind)
{
    struct err err = {0};
    struct lane *lane = lane_create(0, kind, "test", &err);
    if (!lane)
        abort();
    return lane;
}

static struct lane *started(void)
{
    struct err err = {0};
    struct lane *lane = lane_of(LANE_WEB);
    if (!lane_start(lane, NULL, NULL, &err))
        abort();
    return lane;
}

static void finish(struct lane *lane)
{
    lane_stop(lane);
    lane_join(lane);
    lane_destroy(lane);
}

enum { SENDERS = 4, EACH = 20000 };

struct numbered {
    struct lane_message message;
    int sender, number;
};

static int next_of[SENDERS]; /* on the lane */
static int out_of_order;

static void receive(struct lane_message *message)
{
    struct numbered *m = (struct numbered *)message;
    out_of_order += m->number != next_of[m->sender]++;
    mem_free(m);
}

struct sender {
    pthread_t thread;
    struct lane *lane;
    int index;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    for (int i = 0; i < EACH; i++) {
        struct numbered *m = mem_alloc(sizeof *m);
        *m = (struct numbered){{NULL, receive}, s->index, i};
        if (s->index % 2 && i % 100 == 0)
            lane_hold_posts();
        lane_post(s->lane, &m->message);
        if (s->index % 2 && i % 100 == 99)
            lane_send_posts();
    }
    return NULL;
}

enum { MANY_LANES = 20 };

static atomic_int arrived;

static void count_arrived(struct lane_message *message)
{
    (void)message;
    atomic_fetch_add(&arrived, 1);
}

TEST(posts_that_are_held_go_out_together_to_as_many_lanes_as_there_are)
{
    struct lane *lanes[MANY_LANES];
    struct lane_message messages[MANY_LANES][3];
    for (int i = 0; i < MANY_LANES; i++)
        lanes[i] = started();
    lane_hold_posts();
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < MANY_LANES; i++) {
            messages[i][k].fn = count_arrived;
            lane_post(lanes[i], &messages[i][k]);
        }
    usleep(2000);
    CHECK(atomic_load(&arrived) <= 3 * (MANY_LANES - 16));
    lane_send_posts();
    for (int i = 0; i < MANY_LANES; i++)
        finish(lanes[i]);
    CHECK_EQ(atomic_load(&arrived), 3 * MANY_LANES);
}

TEST(messages_of_one_sender_arrive_in_order_and_none_is_lost)
{
    struct lane *lane = started();
    struct sender senders[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i].lane = lane;
        senders[i].index = i;
        pthread_create(&senders[i].thread, NULL, send_all, &senders[i]);
    }
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    finish(lane); /* ends after what is queued */
    CHECK_EQ(out_of_order, 0);
    for (int i = 0; i < SENDERS; i++)
        CHECK_EQ(next_of[i], EACH);
}

static void count(void *arg)
{
    ++*(int *)arg;
}

TEST(what_is_posted_before_the_start_is_delivered)
{
    struct err err = {0};
    struct lane *lane = lane_of(LANE_JOB);
    int calls = 0;
    lane_call(lane, count, &calls);
    CHECK(lane_start(lane, count, &calls, &err));
    lane_call_wait(lane, count, &calls);
    CHECK_EQ(calls, 3);
    finish(lane);
}

static void note_lane(void *arg)
{
    *(struct lane **)arg = lane_current();
}

TEST(a_call_runs_on_the_lane)
{
    struct lane *lane = started(), *seen = NULL;
    lane_call_wait(lane, note_lane, &seen);
    CHECK(seen == lane);
    CHECK(lane_current() == NULL);
    finish(lane);
}

static struct lane *control;

static void stop_control(void *arg)
{
    (void)arg;
    lane_stop(control);
}

TEST(the_control_lane_runs_on_the_calling_thread)
{
    control = lane_of(LANE_CONTROL);
    int calls = 0;
    lane_call(control, count, &calls);
    lane_call(control, stop_control, NULL);
    lane_run(control);
    CHECK_EQ(calls, 1);
    lane_destroy(control);
}

struct note {
    struct timer timer;
    char name;
    int64_t fired_at;
};

static char trail[32];

static void add_note(struct timer *timer)
{
    struct note *note = (struct note *)timer;
    size_t n = strlen(trail);
    trail[n] = note->name;
    trail[n + 1] = '\0';
    note->fired_at = lane_now(control);
}

static void end_with_note(struct timer *timer)
{
    add_note(timer);
    lane_stop(control);
}

TEST(timers_fire_by_time_and_then_by_start)
{
    struct note a = {{.fire = add_note}, 'a', 0}, b = {{.fire = add_note}, 'b', 0},
                c = {{.fire = add_note}, 'c', 0}, d = {{.fire = add_note}, 'd', 0},
                e = {{.fire = end_with_note}, 'e', 0};
    control = lane_of(LANE_CONTROL);
    trail[0] = '\0';
    timer_start(control, &a.timer, 20 * NS_PER_MS);
    timer_start(control, &b.timer, 5 * NS_PER_MS);
    timer_start(control, &c.timer, 5 * NS_PER_MS);
    timer_start(control, &d.timer, 1 * NS_PER_MS);
    timer_start(control, &e.timer, 30 * NS_PER_MS);
    timer_start(control, &b.timer, 10 * NS_PER_MS); /* restarts */
    timer_stop(control, &d.timer);
    timer_stop(control, &d.timer);
    int64_t from = lane_now(control);
    lane_run(control);
    CHECK_STR(trail, "cbae");
    CHECK(a.fired_at - from >= 20 * NS_PER_MS && b.fired_at - from >= 10 * NS_PER_MS);
    lane_destroy(control);
}

static void again(struct timer *timer)
{
    timer_start(control, timer, 0);
}

TEST(a_timer_that_restarts_itself_leaves_the_others_time)
{
    struct timer busy = {.fire = again};
    struct note end = {{.fire = end_with_note}, 'x', 0};
    control = lane_of(LANE_CONTROL);
    trail[0] = '\0';
    timer_start(control, &busy, 0);
    timer_start(control, &end.timer, 2 * NS_PER_MS);
    lane_run(control);
    CHECK_STR(trail, "x");
    lane_destroy(control);
}

static int turns_left, turns_slept;

static void again_for_some_turns(struct timer *timer)
{
    if (--turns_left > 0)
        timer_start(control, timer, 0);
    else
        lane_stop(control);
}

/* The loop is about to wait for its sockets. */
static void count_sleep(uv_prepare_t *handle)
{
    turns_slept += turns_left > 0 && uv_backend_timeout(handle->loop) != 0;
}

TEST(what_is_due_is_not_slept_over)
{
    static uv_prepare_t looks; /* lane_destroy closes it */
    struct timer chain = {.fire = again_for_some_turns};
    turns_left = 100;
    control = lane_of(LANE_CONTROL);
    uv_prepare_init(&control->loop, &looks);
    uv_prepare_start(&looks, count_sleep);
    timer_start(control, &chain, 0);
    lane_run(control);
    CHECK_EQ(turns_left, 0);
    CHECK_EQ(turns_slept, 0);
    lane_destroy(control);
}

static void post_again(struct lane_message *message)
{
    if (trail[0] == '\0')
        lane_post(control, message);
}

TEST(a_message_that_posts_itself_leaves_the_timers_time)
{
    struct lane_message busy = {NULL, post_again};
    struct note end = {{.fire = end_with_note}, 'x', 0};
    control = lane_of(LANE_CONTROL);
    trail[0] = '\0';
    lane_post(control, &busy);
    timer_start(control, &end.timer, 2 * NS_PER_MS);
    lane_run(control);
    CHECK_STR(trail, "x");
    lane_destroy(control);
}

TEST(a_lane_that_never_ran_can_be_destroyed)
{
    struct timer timer = {.fire = again};
    struct lane *lane = lane_of(LANE_WEB);
    timer_start(lane, &timer, NS_PER_SECOND);
    lane_destroy(lane);
    lane_destroy(NULL);
}
