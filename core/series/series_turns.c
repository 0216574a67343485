/* series_turns.c -- whose question is asked next: plugins take turns on the one connection that
 * asks, and a question's time counts while it waits. */
#include "base/clock.h"
#include "base/mem.h"
#include "series/series_private.h"

/* The questions of one plugin, in their order; in store->lines while there is one. */
struct line {
    struct list link, calls;
    char *plugin;
};

static const char *plugin_of(const struct series_call *call)
{
    return call->plugin ? call->plugin : "";
}

static struct line *line_of(struct series_store *store, const char *plugin)
{
    list_each (link, &store->lines) {
        struct line *line = list_entry(link, struct line, link);
        if (strcmp(line->plugin, plugin) == 0)
            return line;
    }
    struct line *line = mem_zero(1, sizeof *line);
    line->plugin = mem_strdup(plugin);
    list_init(&line->calls);
    list_push_back(&store->lines, &line->link);
    return line;
}

/* Lock held; the call is in the line. */
static void leave_line(struct line *line, struct series_call *call)
{
    list_remove(&call->item.link);
    call->waits = false;
    if (!list_empty(&line->calls))
        return;
    list_remove(&line->link);
    mem_free(line->plugin);
    mem_free(line);
}

/* Lock held; NULL: nobody waits. */
static struct series_call *take_first(struct series_store *store)
{
    if (list_empty(&store->lines))
        return NULL;
    struct line *line = list_entry(store->lines.next, struct line, link);
    struct series_call *call = list_entry(line->calls.next, struct series_call, item.link);
    list_remove(&line->link); /* to the end, if there is more of it */
    list_push_back(&store->lines, &line->link);
    leave_line(line, call);
    return call;
}

static void say_waited(struct series_call *call)
{
    err_set(&call->err, ERR_TIMEOUT, "the question waited %.1f s for others, and was not asked",
            (double)series_timeout_ms(call) / 1000);
}

/* Lane: its time is over.  Unless it is being asked: then the driver sees to that; or its tables
 * are not ready yet: then it does not begin to wait. */
static void on_late(struct timer *timer)
{
    struct series_call *call = list_entry(timer, struct series_call, patience);
    struct series_store *store = call->store;
    pthread_mutex_lock(&store->lock);
    bool waits = call->waits;
    call->late = true;
    if (waits)
        leave_line(line_of(store, plugin_of(call)), call);
    pthread_mutex_unlock(&store->lock);
    if (!waits)
        return;
    say_waited(call);
    series_deliver(call);
}

int64_t series_timeout_ms(const struct series_call *call)
{
    int64_t usual = call->op == SERIES_PARQUET ? SERIES_QUERY_MS_MAX : SERIES_QUERY_MS;
    return call->timeout_ms ? call->timeout_ms : usual;
}

int64_t series_left_ms(const struct series_call *call)
{
    int64_t left = (call->deadline_ns - clock_steady_ns()) / NS_PER_MS;
    return left > 1 ? left : 1;
}

void series_turn_begin(struct series_call *call)
{
    int64_t time = series_timeout_ms(call) * NS_PER_MS;
    call->waits = call->late = false;
    call->deadline_ns = clock_steady_ns() + time;
    call->patience = (struct timer){.fire = on_late};
    call->timed = call->lane && lane_current() == call->lane;
    if (call->timed)
        timer_start(call->lane, &call->patience, time);
}

static void run_turn(struct gate_item *item, void *resource)
{
    struct series_call *call = list_entry(item, struct series_call, item);
    struct series_store *store = call->store;
    if (resource && clock_steady_ns() > call->deadline_ns)
        say_waited(call);
    else
        series_ask_now(call, resource);
    series_deliver(call);
    pthread_mutex_lock(&store->lock);
    call = take_first(store);
    store->asking = call != NULL;
    pthread_mutex_unlock(&store->lock);
    if (call)
        gate_submit(store->asker, &call->item);
}

void series_turn_wait(struct series_call *call)
{
    struct series_store *store = call->store;
    call->item.run = run_turn;
    pthread_mutex_lock(&store->lock);
    bool late = call->late, now = !late && !store->asking;
    store->asking = store->asking || now;
    call->waits = !late && !now;
    if (call->waits)
        list_push_back(&line_of(store, plugin_of(call))->calls, &call->item.link);
    pthread_mutex_unlock(&store->lock);
    if (late) {
        say_waited(call);
        series_deliver(call);
    } else if (now) {
        gate_submit(store->asker, &call->item);
    }
}

void series_turns_close(struct series_store *store)
{
    struct series_call *call;
    do {
        pthread_mutex_lock(&store->lock);
        call = take_first(store);
        pthread_mutex_unlock(&store->lock);
        if (call) {
            err_set(&call->err, ERR_CLOSED, "the series store is closing");
            series_deliver(call);
        }
    } while (call);
}
