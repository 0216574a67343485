#include "loop/standstill.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/still.h"

enum {
    ROUND_EAGER = 20, /* rounds in a row before the first pause */
    ROUND_PAUSE_MS = 1,
    ROUND_FLOW_MS = 5, /* while time flows, or nothing can ever happen */
    STUCK_ROUNDS = 40, /* of these in a row before it is told */
};
/* Timers later than this are nobody's hope. */
static const int64_t horizon_ns = INT64_C(20) * 365 * 86400 * NS_PER_SECOND;

/* One lane's look, there and back. */
struct look {
    struct lane_message message; /* first */
    struct standstill *owner;
    struct lane *lane;
    struct lane_rest rest;
    bool outside;
    struct lane_rest before;
};

struct standstill {
    struct standstill_options options;
    struct lane *lane; /* its own: all below is this thread's */
    struct look *looks;
    int left;    /* looks that are not back */
    int eager;   /* rounds since something was asked for or happened */
    bool second; /* the round before this one was quiet */
    int stuck;   /* pairs of quiet rounds since there was something to do */
    struct still_ask *ask;
    uv_timer_t pause; /* of real time */
    bool stopping;
    struct lane *stop_lane;
    lane_fn *stopped;
    void *stop_arg;
};

static void round_begin(struct standstill *s);

static void on_pause(uv_timer_t *timer)
{
    round_begin(timer->data);
}

static void pause_for(struct standstill *s, uint64_t ms)
{
    uv_timer_start(&s->pause, on_pause, ms, 0);
}

static void moved_on_lane(void *arg)
{
    lane_time_moved(arg);
}

static void tell_moved(struct standstill *s)
{
    for (int i = 0; i < s->options.count; i++)
        lane_call(s->options.lanes[i], moved_on_lane, s->options.lanes[i]);
}

/* -- what to do when all is quiet ------------------------------------------------------------ */

static int64_t next_timer(const struct standstill *s)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < s->options.count; i++) {
        if (s->looks[i].rest.next_ns < next)
            next = s->looks[i].rest.next_ns;
    }
    return next < clock_ns() + horizon_ns ? next : INT64_MAX;
}

static void move_to(struct standstill *s, int64_t at)
{
    int64_t by = at - clock_ns();
    if (by > 0)
        still_move(by);
    if (s->ask && by > 0)
        s->ask->moved = true;
    tell_moved(s);
}

static void deliver(struct lane_message *message)
{
    struct still_ask *ask = (struct still_ask *)message;
    ask->done(ask);
}

static void answer(struct standstill *s)
{
    struct still_ask *ask = s->ask;
    s->ask = NULL;
    ask->message.fn = deliver;
    lane_post(ask->lane, &ask->message);
}

/* True when there was something to do; false when nothing can happen any more. */
static bool act(struct standstill *s)
{
    int64_t next = next_timer(s);
    struct still_ask *ask = s->ask;
    if (ask && ask->goal == STILL_SETTLE) {
        answer(s);
    } else if (ask && ask->goal == STILL_UNTIL) {
        bool last = next > ask->until;
        move_to(s, last ? ask->until : next);
        if (last)
            ask->goal = STILL_SETTLE;
    } else if (next == INT64_MAX) {
        if (ask)
            answer(s);
        return ask != NULL;
    } else {
        move_to(s, next);
        if (ask)
            ask->goal = STILL_SETTLE;
    }
    return true;
}

/* -- rounds ---------------------------------------------------------------------------------- */

/* The look itself is one turn of the lane's loop, and one message. */
static bool nothing_since(const struct look *look)
{
    return look->rest.turns == look->before.turns + 1 &&
           look->rest.handled == look->before.handled + 1 && look->rest.heard == look->before.heard;
}

static bool is_quiet(const struct standstill *s)
{
    for (int i = 0; i < s->options.count; i++) {
        if (!s->looks[i].rest.idle || (s->second && !nothing_since(&s->looks[i])))
            return false;
    }
    return s->second || !s->options.background || !s->options.background(s->options.arg);
}

static bool is_outside(const struct standstill *s)
{
    for (int i = 0; i < s->options.count; i++) {
        if (s->looks[i].outside)
            return true;
    }
    return false;
}

/* While time flows its timers run by the real clock, and nothing jumps. */
static bool follow_outside(struct standstill *s)
{
    bool outside = is_outside(s);
    if (outside != (still_is_begun() && !still_stands())) {
        still_flow(outside);
        tell_moved(s);
    }
    return outside;
}

static void finish(struct standstill *s)
{
    still_flow(true);
    tell_moved(s);
    uv_close((uv_handle_t *)&s->pause, NULL);
    lane_stop(s->lane);
    lane_call(s->stop_lane, s->stopped, s->stop_arg);
}

static void round_end(struct standstill *s)
{
    if (s->stopping) {
        finish(s);
        return;
    }
    bool quiet = is_quiet(s), was_second = s->second;
    s->second = quiet && !was_second;
    if (follow_outside(s)) {
        s->second = false;
        pause_for(s, ROUND_FLOW_MS);
    } else if (quiet && !was_second) {
        round_begin(s);
    } else if (quiet) {
        bool more = act(s);
        s->eager = 0;
        s->stuck = more ? 0 : s->stuck + 1;
        if (s->stuck == STUCK_ROUNDS && s->options.stuck)
            s->options.stuck(s->options.arg);
        pause_for(s, more ? 0 : ROUND_FLOW_MS);
    } else if (s->stuck = 0, s->eager++ < ROUND_EAGER) {
        pause_for(s, 0);
    } else {
        pause_for(s, ROUND_PAUSE_MS);
    }
}

static void on_look_back(struct lane_message *message)
{
    struct look *look = (struct look *)message;
    if (--look->owner->left == 0)
        round_end(look->owner);
}

static void looked_on_lane(void *arg)
{
    struct look *look = arg;
    const struct standstill_options *o = &look->owner->options;
    look->outside = o->outside && o->outside(o->arg, look->lane);
    look->message.fn = on_look_back;
    lane_post(look->owner->lane, &look->message);
}

static void look_on_lane(struct lane_message *message)
{
    struct look *look = (struct look *)message;
    lane_look(look->lane, &look->rest, looked_on_lane, look);
}

static void round_begin(struct standstill *s)
{
    s->left = s->options.count;
    for (int i = 0; i < s->options.count; i++) {
        struct look *look = &s->looks[i];
        look->before = look->rest;
        look->message.fn = look_on_lane;
        lane_post(look->lane, &look->message);
    }
}

/* -- life ------------------------------------------------------------------------------------ */

static void on_ready(void *arg)
{
    struct standstill *s = arg;
    uv_timer_init(&s->lane->loop, &s->pause);
    s->pause.data = s;
    round_begin(s);
}

struct standstill *standstill_start(const struct standstill_options *options, struct err *err)
{
    struct standstill *s = mem_zero(1, sizeof *s);
    s->options = *options;
    s->looks = mem_zero((size_t)options->count, sizeof *s->looks);
    for (int i = 0; i < options->count; i++)
        s->looks[i] = (struct look){.owner = s, .lane = options->lanes[i]};
    s->lane = lane_create(options->count, LANE_CONTROL, "clock", err);
    if (s->lane && lane_start(s->lane, on_ready, s, err))
        return s;
    lane_destroy(s->lane);
    mem_free(s->looks);
    mem_free(s);
    return NULL;
}

struct asking {
    struct standstill *owner;
    struct still_ask *ask;
};

static void ask_on_lane(void *arg)
{
    struct asking *a = arg;
    invariant(!a->owner->ask);
    a->owner->ask = a->ask;
    a->owner->eager = 0;
    a->owner->second = false;
    mem_free(a);
}

void standstill_ask(struct standstill *s, struct still_ask *ask)
{
    struct asking *a = mem_zero(1, sizeof *a);
    *a = (struct asking){s, ask};
    ask->moved = false;
    lane_call(s->lane, ask_on_lane, a);
}

static void stop_on_lane(void *arg)
{
    ((struct standstill *)arg)->stopping = true;
}

void standstill_stop(struct standstill *s, struct lane *lane, lane_fn *stopped, void *arg)
{
    s->stop_lane = lane;
    s->stopped = stopped;
    s->stop_arg = arg;
    lane_call(s->lane, stop_on_lane, s);
}

void standstill_free(struct standstill *s)
{
    lane_join(s->lane);
    lane_destroy(s->lane);
    mem_free(s->looks);
    mem_free(s);
}
