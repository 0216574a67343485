#include "loop/lane.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/still.h"

/* DESIGN.  The mailbox is a stack pushed by compare-and-swap and taken whole by
 * the lane, which reverses it: the order of each sender is kept.  Only the push
 * that finds it empty wakes the loop, so a batch costs one eventfd write.
 *
 * Invariant: whenever `inbox` is not empty, either the async handle has been
 * signalled and not yet been answered, or the lane is about to look again. */
struct lane_private {
    _Atomic(struct lane_message *) inbox;
    uv_async_t wake;
    uv_timer_t clock;
    uv_idle_t soon;    /* instead of the clock, for what is due already */
    uv_prepare_t turn; /* where time stands still only */
    uint64_t turns, handled;
    struct lane_rest *look; /* to be filled at the end of this turn, or NULL */
    lane_fn *look_fn;
    void *look_arg;
    struct heap timers; /* key: fire time, ns of uv_hrtime */
    int64_t clock_at;   /* what `clock` or `soon` is set to; 0 = stopped */
    bool firing;
    pthread_t thread;
    lane_fn *ready;
    void *ready_arg;
    atomic_bool stopping;
};

enum { LANE_STACK_BYTES = 8 << 20 }; /* whatever `ulimit -s` says: plugins recurse in it */

static _Thread_local struct lane *current;

struct lane *lane_current(void)
{
    return current;
}

int64_t lane_now(const struct lane *lane)
{
    int64_t now = (int64_t)uv_now(&lane->loop) * 1000000;
    if (still_is_begun())
        return still_stands() ? still_ns() : now + still_shift_ns();
    return now;
}

static struct lane_message *take_all(struct lane_private *p)
{
    struct lane_message *stack = atomic_exchange_explicit(&p->inbox, NULL, memory_order_acquire);
    struct lane_message *queue = NULL;
    while (stack) {
        struct lane_message *next = stack->next;
        stack->next = queue;
        queue = stack;
        stack = next;
    }
    return queue;
}

/* One batch: what these messages post to their own lane wakes it again, so that
 * a chain of posts cannot keep the loop from its sockets.  False when there was
 * nothing. */
static bool drain(struct lane *lane)
{
    struct lane_message *first = take_all(lane->p), *message = first;
    while (message) {
        struct lane_message *next = message->next; /* fn owns it */
        lane->p->handled++;
        message->fn(message);
        message = next;
    }
    return first != NULL;
}

static void on_wake(uv_async_t *wake)
{
    struct lane *lane = wake->data;
    drain(lane);
    if (atomic_load_explicit(&lane->p->stopping, memory_order_acquire))
        uv_stop(&lane->loop);
}

/* A chain, newest first. */
static void push_messages(struct lane *lane, struct lane_message *newest,
                          struct lane_message *oldest)
{
    struct lane_private *p = lane->p;
    struct lane_message *head = atomic_load_explicit(&p->inbox, memory_order_relaxed);
    do
        oldest->next = head;
    while (!atomic_compare_exchange_weak_explicit(&p->inbox, &head, newest, memory_order_release,
                                                  memory_order_relaxed));
    if (!head)
        uv_async_send(&p->wake);
}

enum { HELD_LANES = 16 }; /* to those beyond it is posted at once */

static _Thread_local struct {
    bool on;
    int count;
    struct held {
        struct lane *lane;
        struct lane_message *newest, *oldest;
    } of[HELD_LANES];
} held;

/* Where the lane's messages wait; NULL: nowhere. */
static struct held *held_for(struct lane *lane)
{
    for (int i = 0; i < held.count; i++)
        if (held.of[i].lane == lane)
            return &held.of[i];
    if (!held.on || held.count == HELD_LANES)
        return NULL;
    held.of[held.count] = (struct held){.lane = lane};
    return &held.of[held.count++];
}

void lane_hold_posts(void)
{
    held.on = true;
}

void lane_send_posts(void)
{
    held.on = false;
    for (int i = 0; i < held.count; i++)
        push_messages(held.of[i].lane, held.of[i].newest, held.of[i].oldest);
    held.count = 0;
}

void lane_post(struct lane *lane, struct lane_message *message)
{
    struct held *h = held_for(lane);
    if (!h) {
        push_messages(lane, message, message);
        return;
    }
    message->next = h->newest;
    if (!h->newest)
        h->oldest = message;
    h->newest = message;
}

struct call {
    struct lane_message message; /* first */
    lane_fn *fn;
    void *arg;
};

static void run_call(struct lane_message *message)
{
    struct call *call = (struct call *)message;
    call->fn(call->arg);
    mem_free(call);
}

void lane_call(struct lane *lane, lane_fn *fn, void *arg)
{
    struct call *call = mem_alloc(sizeof *call);
    *call = (struct call){{NULL, run_call}, fn, arg};
    lane_post(lane, &call->message);
}

struct waited_call {
    struct lane_message message; /* first */
    lane_fn *fn;
    void *arg;
    uv_sem_t done;
};

static void run_waited(struct lane_message *message)
{
    struct waited_call *call = (struct waited_call *)message;
    call->fn(call->arg);
    uv_sem_post(&call->done);
}

void lane_call_wait(struct lane *lane, lane_fn *fn, void *arg)
{
    invariant(current == NULL || current->kind == LANE_CONTROL);
    struct waited_call call = {{NULL, run_waited}, fn, arg, {{0}}};
    uv_sem_init(&call.done, 0);
    lane_post(lane, &call.message);
    uv_sem_wait(&call.done);
    uv_sem_destroy(&call.done);
}

static void set_clock(struct lane *lane);

/* Timers started by those that fire are due in the loop's next turn, or one of no delay
 * would keep it from its sockets. */
static void fire_due(struct lane *lane)
{
    struct lane_private *p = lane->p;
    int64_t now = lane_now(lane);
    uint64_t last = p->timers.next_seq;
    struct heap_node *node;
    p->clock_at = 0;
    p->firing = true;
    while ((node = heap_first(&p->timers)) && node->key <= now && node->seq < last) {
        struct timer *timer = (struct timer *)node;
        heap_pop(&p->timers);
        timer->fire(timer);
    }
    p->firing = false;
    set_clock(lane);
}

static void on_clock(uv_timer_t *handle)
{
    fire_due(handle->data);
}

static void on_soon(uv_idle_t *handle)
{
    uv_idle_stop(handle);
    fire_due(handle->data);
}

static void set_clock(struct lane *lane)
{
    struct lane_private *p = lane->p;
    struct heap_node *first = heap_first(&p->timers);
    if (p->firing || (first && first->key == p->clock_at))
        return;
    if (!first) {
        /* Left running: it fires once for nothing, which costs less than
         * stopping and starting it for every task's deadline. */
        return;
    }
    if (p->clock_at != 0 && p->clock_at <= first->key)
        return; /* fires earlier and sets itself again */
    int64_t wait = first->key - lane_now(lane);
    if (wait > 0 && still_stands())
        return; /* lane_time_moved() looks again */
    p->clock_at = first->key;
    if (wait > 0)
        uv_timer_start(&p->clock, on_clock, (uint64_t)(wait + 999999) / 1000000, 0);
    else /* libuv would run a timer that is started again without a delay at once */
        uv_idle_start(&p->soon, on_soon);
}

void timer_start(struct lane *lane, struct timer *timer, int64_t delay_ns)
{
    heap_remove(&lane->p->timers, &timer->node);
    heap_push(&lane->p->timers, &timer->node, lane_now(lane) + (delay_ns > 0 ? delay_ns : 0));
    set_clock(lane);
}

void timer_stop(struct lane *lane, struct timer *timer)
{
    heap_remove(&lane->p->timers, &timer->node);
}

/* -- where time stands still ---------------------------------------------------------------- */

static int64_t next_wanted(const struct heap *timers)
{
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < timers->count; i++) {
        const struct timer *timer = (const struct timer *)timers->nodes[i];
        if (!timer->upkeep && timer->node.key < next)
            next = timer->node.key;
    }
    return next;
}

static void look(struct lane *lane, struct lane_rest *out)
{
    struct lane_private *p = lane->p;
    const struct heap_node *first = heap_first(&p->timers);
    const void *watchers = &lane->loop.watcher_queue; /* descriptors that libuv has yet to watch */
    struct pollfd ready = {.fd = uv_backend_fd(&lane->loop), .events = POLLIN};
    bool due = first && first->key <= lane_now(lane);
    out->idle = !due && !atomic_load_explicit(&p->inbox, memory_order_acquire) &&
                uv_backend_timeout(&lane->loop) != 0 && lane->loop.active_reqs.count == 0 &&
                lane->loop.watcher_queue[0] == watchers && poll(&ready, 1, 0) == 0;
    out->next_ns = next_wanted(&p->timers);
    out->turns = p->turns;
    out->handled = p->handled;
    out->heard = lane->heard;
}

void lane_look(struct lane *lane, struct lane_rest *out, lane_fn *fn, void *arg)
{
    struct lane_private *p = lane->p;
    invariant(!p->look);
    p->look = out;
    p->look_fn = fn;
    p->look_arg = arg;
}

void lane_time_moved(struct lane *lane)
{
    lane->p->clock_at = 0;
    set_clock(lane);
}

/* The first prepare handle of the loop is the last that runs. */
static void on_turn(uv_prepare_t *turn)
{
    struct lane *lane = turn->data;
    struct lane_private *p = lane->p;
    struct lane_rest *out = p->look;
    p->turns++;
    if (!out)
        return;
    p->look = NULL;
    look(lane, out);
    p->look_fn(p->look_arg);
}

static void count_turns(struct lane *lane)
{
    uv_prepare_init(&lane->loop, &lane->p->turn);
    lane->p->turn.data = lane;
    uv_prepare_start(&lane->p->turn, on_turn);
    uv_unref((uv_handle_t *)&lane->p->turn);
}

struct lane *lane_create(int index, enum lane_kind kind, const char *name, struct err *err)
{
    struct lane *lane = mem_zero(1, sizeof *lane);
    lane->p = mem_zero(1, sizeof *lane->p);
    lane->index = index;
    lane->kind = kind;
    snprintf(lane->name, sizeof lane->name, "%s", name);
    int status = uv_loop_init(&lane->loop);
    if (status == 0) {
        uv_async_init(&lane->loop, &lane->p->wake, on_wake);
        uv_timer_init(&lane->loop, &lane->p->clock);
        uv_idle_init(&lane->loop, &lane->p->soon);
        lane->p->wake.data = lane->p->clock.data = lane->p->soon.data = lane;
        if (still_is_begun())
            count_turns(lane);
        return lane;
    }
    err_set(err, ERR_IO, "lane %s: %s", name, uv_strerror(status));
    mem_free(lane->p);
    mem_free(lane);
    return NULL;
}

static void run(struct lane *lane)
{
    current = lane;
    uv_update_time(&lane->loop);
    if (lane->p->ready)
        lane->p->ready(lane->p->ready_arg);
    uv_run(&lane->loop, UV_RUN_DEFAULT);
    while (drain(lane)) /* what came after the stop was asked for */
        ;
    current = NULL;
}

static void *thread_main(void *arg)
{
    struct lane *lane = arg;
    pthread_setname_np(pthread_self(), lane->name);
    run(lane);
    return NULL;
}

bool lane_start(struct lane *lane, lane_fn *ready, void *arg, struct err *err)
{
    lane->p->ready = ready;
    lane->p->ready_arg = arg;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, LANE_STACK_BYTES);
    int status = pthread_create(&lane->p->thread, &attr, thread_main, lane);
    pthread_attr_destroy(&attr);
    if (status != 0)
        return err_sys(err, status, "lane %s: start its thread", lane->name);
    return true;
}

void lane_run(struct lane *lane)
{
    run(lane);
}

void lane_stop(struct lane *lane)
{
    atomic_store_explicit(&lane->p->stopping, true, memory_order_release);
    uv_async_send(&lane->p->wake);
}

void lane_join(struct lane *lane)
{
    pthread_join(lane->p->thread, NULL);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void lane_destroy(struct lane *lane)
{
    if (!lane)
        return;
    uv_walk(&lane->loop, close_handle, NULL);
    uv_run(&lane->loop, UV_RUN_DEFAULT);
    invariant(uv_loop_close(&lane->loop) == 0);
    heap_free(&lane->p->timers);
    mem_free(lane->p);
    mem_free(lane);
}
