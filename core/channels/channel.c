#include "channels/channel.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "observe/metrics.h"

/* DESIGN.  The hub's map (topic -> struct topic) and the listener counts are
 * under one lock; the lists of subscriptions are per lane and touched by that
 * lane only.  A topic is freed when its last subscription has gone and no
 * delivery is under way; deliveries hold a count for that.
 *
 * Invariants: (1) topic->count[i] is the length of topic->subs[i] or is ahead of
 * it by what that lane's thread is just adding; (2) topic->users is the sum of
 * the counts plus the deliveries under way; (3) a topic with users == 0 is in no
 * map. */
struct topic {
    char *name;
    size_t name_len;
    /* under hub->lock */
    int count[CHANNEL_LANES];
    int users;
    /* lane i's thread only */
    struct list subs[CHANNEL_LANES];
};

struct channel_hub {
    pthread_mutex_t lock;
    struct map *topics;                /* under lock */
    struct lane *lanes[CHANNEL_LANES]; /* under lock: those that ever listened */
    struct channel_carrier carrier;    /* immutable once somebody listens; or {0} */
    void (*heard)(void *arg, struct str topic, struct str json); /* under lock; or NULL */
    void *heard_arg;
    _Atomic int64_t sent_bytes; /* posted to lanes, not yet delivered */
    struct metric *published, *dropped;
};

struct shared_message {
    struct channel_message message; /* first */
    atomic_int refs;
};

struct channel_sub {
    struct list in_topic;
    struct channel_hub *hub;
    struct topic *topic;
    struct lane *lane;
    channel_wake_fn *wake;
    void *arg;
    struct shared_message **ring;
    int size, first, used;
    int64_t lost;
    struct channel_budget *budget; /* or NULL */
};

struct delivery {
    struct lane_message message; /* first */
    struct channel_hub *hub;
    struct topic *topic;
    struct lane *lane;
    struct shared_message *shared; /* NULL: one was lost */
};

static int64_t cost_of(const struct shared_message *shared)
{
    return (int64_t)(sizeof *shared + shared->message.topic.n + shared->message.json.n);
}

struct channel_hub *channel_hub_create(void)
{
    struct channel_hub *hub = mem_zero(1, sizeof *hub);
    pthread_mutex_init(&hub->lock, NULL);
    hub->topics = map_create();
    hub->published =
        metrics_counter("maru_channels_published_total", "Messages published to channels.", "");
    hub->dropped = metrics_counter("maru_channels_dropped_total",
                                   "Messages dropped because a listener was too slow.", "");
    return hub;
}

void channel_hub_destroy(struct channel_hub *hub)
{
    if (!hub)
        return;
    invariant(map_count(hub->topics) == 0);
    map_destroy(hub->topics);
    pthread_mutex_destroy(&hub->lock);
    mem_free(hub);
}

void channel_hub_carry(struct channel_hub *hub, const struct channel_carrier *carrier)
{
    hub->carrier = *carrier;
}

static void tell_wanted(struct channel_hub *hub, const struct topic *topic, bool on)
{
    if (hub->carrier.wanted)
        hub->carrier.wanted(hub->carrier.arg, str_n(topic->name, topic->name_len), on);
}

/* Under hub->lock. */
static void topic_release(struct channel_hub *hub, struct topic *topic)
{
    if (--topic->users > 0)
        return;
    tell_wanted(hub, topic, false);
    map_remove(hub->topics, str_n(topic->name, topic->name_len));
    mem_free(topic->name);
    mem_free(topic);
}

/* Under hub->lock. */
static struct topic *topic_get_or_create(struct channel_hub *hub, struct str name)
{
    struct topic *topic = map_get(hub->topics, name);
    if (topic)
        return topic;
    topic = mem_zero(1, sizeof *topic);
    topic->name = str_dup(name);
    topic->name_len = name.n;
    for (int i = 0; i < CHANNEL_LANES; i++)
        list_init(&topic->subs[i]);
    map_set(hub->topics, name, topic);
    tell_wanted(hub, topic, true);
    return topic;
}

static bool check_topic(struct str topic, struct err *err)
{
    if (topic.n == 0)
        return err_set(err, ERR_INVALID, "channel topic is empty");
    if (topic.n > CHANNEL_TOPIC_BYTES)
        return err_set(err, ERR_LIMIT, "channel topic is longer than %d bytes",
                       CHANNEL_TOPIC_BYTES);
    return true;
}

struct channel_sub *channel_subscribe(struct channel_hub *hub, struct lane *lane, struct str topic,
                                      int queue, channel_wake_fn *wake, void *arg, struct err *err)
{
    invariant(lane->index < CHANNEL_LANES);
    if (!check_topic(topic, err))
        return NULL;
    struct channel_sub *sub = mem_zero(1, sizeof *sub);
    sub->hub = hub;
    sub->lane = lane;
    sub->wake = wake;
    sub->arg = arg;
    sub->size = queue > 0 ? queue : CHANNEL_QUEUE_DEFAULT;
    sub->ring = mem_zero((size_t)sub->size, sizeof *sub->ring);
    pthread_mutex_lock(&hub->lock);
    sub->topic = topic_get_or_create(hub, topic);
    sub->topic->users++;
    sub->topic->count[lane->index]++;
    hub->lanes[lane->index] = lane;
    pthread_mutex_unlock(&hub->lock);
    list_push_back(&sub->topic->subs[lane->index], &sub->in_topic);
    return sub;
}

void channel_unsubscribe(struct channel_sub *sub)
{
    const struct channel_message *message;
    while ((message = channel_receive(sub, NULL)))
        channel_release(message);
    list_remove(&sub->in_topic);
    struct channel_hub *hub = sub->hub;
    pthread_mutex_lock(&hub->lock);
    sub->topic->count[sub->lane->index]--;
    topic_release(hub, sub->topic);
    pthread_mutex_unlock(&hub->lock);
    mem_free(sub->ring);
    mem_free(sub);
}

const struct channel_message *channel_receive(struct channel_sub *sub, int64_t *lost)
{
    if (lost)
        *lost = 0;
    if (sub->used == 0)
        return NULL;
    struct shared_message *shared = sub->ring[sub->first];
    sub->first = (sub->first + 1) % sub->size;
    sub->used--;
    if (sub->budget)
        sub->budget->bytes -= cost_of(shared);
    if (lost) {
        *lost = sub->lost;
        sub->lost = 0;
    }
    return &shared->message;
}

void channel_release(const struct channel_message *message)
{
    struct shared_message *shared = (struct shared_message *)(uintptr_t)message;
    if (atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) == 1)
        mem_free(shared);
}

void channel_set_budget(struct channel_sub *sub, struct channel_budget *budget)
{
    int64_t waiting = 0;
    for (int i = 0; i < sub->used; i++)
        waiting += cost_of(sub->ring[(sub->first + i) % sub->size]);
    if (sub->budget)
        sub->budget->bytes -= waiting;
    if (budget)
        budget->bytes += waiting;
    sub->budget = budget;
}

static bool has_room(const struct channel_sub *sub, const struct shared_message *shared)
{
    const struct channel_budget *b = sub->budget;
    return sub->used < sub->size && (!b || b->bytes + cost_of(shared) <= b->most);
}

static void sub_push(struct channel_sub *sub, struct shared_message *shared)
{
    while (sub->used > 0 && !has_room(sub, shared)) {
        int64_t lost;
        channel_release(channel_receive(sub, &lost));
        sub->lost = lost + 1;
        metric_add(sub->hub->dropped, 1);
    }
    if (!has_room(sub, shared)) {
        sub->lost++;
        metric_add(sub->hub->dropped, 1);
        return;
    }
    if (sub->budget)
        sub->budget->bytes += cost_of(shared);
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    sub->ring[(sub->first + sub->used) % sub->size] = shared;
    if (sub->used++ == 0)
        sub->wake(sub, sub->arg);
}

/* A wake-up may close its own or any other subscription of the topic, so each
 * pass takes the subscriptions one by one off a list of those not yet reached. */
static void deliver(struct lane_message *message)
{
    struct delivery *delivery = (struct delivery *)message;
    struct list *subs = &delivery->topic->subs[delivery->lane->index];
    struct list pending;
    list_init(&pending);
    list_splice(&pending, subs);
    while (!list_empty(&pending)) {
        struct list *node = pending.next;
        list_remove(node);
        list_push_back(subs, node);
        struct channel_sub *sub = list_entry(node, struct channel_sub, in_topic);
        if (delivery->shared)
            sub_push(sub, delivery->shared);
        else
            sub->lost++;
    }
    if (delivery->shared) {
        atomic_fetch_sub_explicit(&delivery->hub->sent_bytes, cost_of(delivery->shared),
                                  memory_order_relaxed);
        channel_release(&delivery->shared->message);
    }
    pthread_mutex_lock(&delivery->hub->lock);
    topic_release(delivery->hub, delivery->topic);
    pthread_mutex_unlock(&delivery->hub->lock);
    mem_free(delivery);
}

static struct shared_message *share(struct str topic, struct str json)
{
    struct shared_message *shared = mem_alloc(sizeof *shared + topic.n + json.n);
    char *bytes = (char *)(shared + 1);
    memcpy(bytes, topic.p, topic.n);
    memcpy(bytes + topic.n, json.p, json.n);
    shared->message =
        (struct channel_message){str_n(bytes, topic.n), str_n(bytes + topic.n, json.n)};
    atomic_init(&shared->refs, 1);
    return shared;
}

/* Under hub->lock: posting inside it keeps the order of publishers the same on
 * every lane. */
static int post_deliveries(struct channel_hub *hub, struct topic *topic,
                           struct shared_message *shared)
{
    int listeners = 0;
    for (int i = 0; i < CHANNEL_LANES; i++) {
        if (topic->count[i] == 0)
            continue;
        listeners += topic->count[i];
        struct delivery *delivery = mem_alloc(sizeof *delivery);
        *delivery = (struct delivery){.message.fn = deliver,
                                      .hub = hub,
                                      .topic = topic,
                                      .lane = hub->lanes[i],
                                      .shared = shared};
        topic->users++;
        if (shared) {
            atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
            atomic_fetch_add_explicit(&hub->sent_bytes, cost_of(shared), memory_order_relaxed);
        }
        lane_post(hub->lanes[i], &delivery->message);
    }
    return listeners;
}

static bool check_message(struct channel_hub *hub, struct str topic, struct str json,
                          struct err *err)
{
    if (!check_topic(topic, err))
        return false;
    if (json.n > CHANNEL_MESSAGE_BYTES)
        return err_set(err, ERR_LIMIT, "message on channel %.*s is longer than %d bytes",
                       (int)topic.n, topic.p, CHANNEL_MESSAGE_BYTES);
    if (atomic_load_explicit(&hub->sent_bytes, memory_order_relaxed) > CHANNEL_SENT_BYTES)
        return err_set(err, ERR_BUSY, "channels: more than %d MiB are on their way to listeners",
                       CHANNEL_SENT_BYTES >> 20);
    return true;
}

static int publish(struct channel_hub *hub, struct str topic, struct str json, bool carried,
                   struct err *err)
{
    int listeners = 0;
    if (!check_message(hub, topic, json, err))
        return -1;
    pthread_mutex_lock(&hub->lock);
    if (carried && !hub->carrier.publish(hub->carrier.arg, topic, json, err)) {
        pthread_mutex_unlock(&hub->lock);
        return -1;
    }
    if (hub->heard)
        hub->heard(hub->heard_arg, topic, json);
    struct topic *found = map_get(hub->topics, topic);
    if (found) {
        struct shared_message *shared = share(topic, json);
        listeners = post_deliveries(hub, found, shared);
        channel_release(&shared->message);
    }
    pthread_mutex_unlock(&hub->lock);
    return listeners;
}

int channel_publish(struct channel_hub *hub, struct str topic, struct str json, struct err *err)
{
    int listeners = publish(hub, topic, json, hub->carrier.publish != NULL, err);
    if (listeners >= 0)
        metric_add(hub->published, 1);
    return listeners;
}

int channel_publish_here(struct channel_hub *hub, struct str topic, struct str json,
                         struct err *err)
{
    return publish(hub, topic, json, false, err);
}

void channel_lose(struct channel_hub *hub, struct str topic)
{
    size_t at = 0;
    struct str name;
    void *found;
    pthread_mutex_lock(&hub->lock);
    if (topic.p && (found = map_get(hub->topics, topic)))
        post_deliveries(hub, found, NULL);
    while (!topic.p && map_next(hub->topics, &at, &name, &found))
        post_deliveries(hub, found, NULL);
    pthread_mutex_unlock(&hub->lock);
}

int channel_listeners(struct channel_hub *hub, struct str topic)
{
    int listeners = 0;
    pthread_mutex_lock(&hub->lock);
    struct topic *found = map_get(hub->topics, topic);
    for (int i = 0; found && i < CHANNEL_LANES; i++)
        listeners += found->count[i];
    pthread_mutex_unlock(&hub->lock);
    return listeners;
}

void channel_hub_tap(struct channel_hub *hub,
                     void (*heard)(void *arg, struct str topic, struct str json), void *arg)
{
    pthread_mutex_lock(&hub->lock);
    hub->heard = heard;
    hub->heard_arg = arg;
    pthread_mutex_unlock(&hub->lock);
}
