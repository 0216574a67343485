#include "channels/bus.h"

#include <pthread.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "channels/channel.h"
#include "loop/lane.h"
#include "observe/drivers.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "storage/redis_client.h"

/* DESIGN.  What the hub asks for goes into one queue, in the order of the hub's lock, and is taken
 * from it by the control lane, woken once for each batch.
 *
 * On the wire: channel <prefix>channel:<topic>, message <16 hex digits of the process> and a blank
 * before JSON; or "!" instead of the blank and no JSON: messages of that topic were lost.  The
 * channel <prefix>channels, to which every process listens, says the latter of all topics. */
enum { NODE_BYTES = 16, CONNECT_MS = 2000, UNSENT_TOPICS = 1000 };

enum order_kind { ORDER_PUBLISH, ORDER_LOST, ORDER_WANT, ORDER_LEAVE };

struct order {
    struct list link;
    enum order_kind kind;
    struct channel_bus *bus;
    struct str channel, message; /* behind it */
    char bytes[];
};

struct channel_bus {
    /* immutable */
    struct channel_hub *hub;
    struct redis_url url;
    char *prefix, *all; /* of channels; the one of all topics */
    int64_t timeout_ns;
    char node[NODE_BYTES + 1];
    struct driver_health *health;
    struct metric *unsent, *received;
    pthread_mutex_t lock;
    /* under lock */
    struct lane *control; /* NULL: closed */
    struct list orders;
    bool posted;
    int64_t bytes; /* of messages that are queued or not answered */
    /* control lane */
    struct redis_client *out, *in;
    struct map *wanted; /* channels that are subscribed to whenever `in` stands */
    struct map *lost;   /* channels of which messages could not be sent; if there are too
                           many, the one of all topics */
    bool in_before;     /* `in` stood once */
};

static int64_t cost_of(const struct order *o)
{
    return (int64_t)(sizeof *o + o->channel.n + o->message.n);
}

/* -- from the hub, on any thread under its lock -- */

static struct order *order_new(struct channel_bus *bus, enum order_kind kind, struct str prefix,
                               struct str topic, struct str json)
{
    size_t channel = prefix.n + topic.n;
    size_t message = kind <= ORDER_LOST ? NODE_BYTES + 1 + json.n : 0;
    struct order *o = mem_alloc(sizeof *o + channel + message);
    *o = (struct order){.kind = kind,
                        .bus = bus,
                        .channel = {o->bytes, channel},
                        .message = {o->bytes + channel, message}};
    memcpy(o->bytes, prefix.p, prefix.n);
    memcpy(o->bytes + prefix.n, topic.p, topic.n);
    char *at = o->bytes + channel;
    if (message) {
        memcpy(at, bus->node, NODE_BYTES);
        at[NODE_BYTES] = kind == ORDER_LOST ? '!' : ' ';
    }
    if (json.n)
        memcpy(at + NODE_BYTES + 1, json.p, json.n);
    return o;
}

static void take_orders(void *bus);

/* Under bus->lock. */
static void give(struct channel_bus *bus, struct order *o)
{
    list_push_back(&bus->orders, &o->link);
    if (bus->posted || !bus->control)
        return;
    bus->posted = true;
    lane_call(bus->control, take_orders, bus);
}

static bool on_publish(void *arg, struct str topic, struct str json, struct err *err)
{
    struct channel_bus *bus = arg;
    struct order *o = order_new(bus, ORDER_PUBLISH, str_c(bus->prefix), topic, json);
    pthread_mutex_lock(&bus->lock);
    bool closed = !bus->control, room = bus->bytes + cost_of(o) <= CHANNEL_BUS_BYTES;
    if (!closed && room) {
        bus->bytes += cost_of(o);
        give(bus, o);
        o = NULL;
    }
    pthread_mutex_unlock(&bus->lock);
    mem_free(o);
    return closed || room ||
           err_set(err, ERR_BUSY, "channels: more than %d MiB are on their way to other servers",
                   CHANNEL_BUS_BYTES >> 20);
}

static void on_wanted(void *arg, struct str topic, bool on)
{
    struct channel_bus *bus = arg;
    struct order *o =
        order_new(bus, on ? ORDER_WANT : ORDER_LEAVE, str_c(bus->prefix), topic, str_n("", 0));
    pthread_mutex_lock(&bus->lock);
    give(bus, o);
    pthread_mutex_unlock(&bus->lock);
}

/* -- to Redis, on the control lane -- */

static void note_lost(struct channel_bus *bus, const struct order *o)
{
    struct str all = str_c(bus->all);
    if (o->kind == ORDER_PUBLISH)
        metric_add(bus->unsent, 1);
    if (map_count(bus->lost) >= UNSENT_TOPICS) {
        map_destroy(bus->lost);
        bus->lost = map_create();
        map_set(bus->lost, all, bus);
    } else if (!map_get(bus->lost, all)) {
        map_set(bus->lost, o->channel, bus);
    }
}

static void order_end(struct order *o, bool sent)
{
    struct channel_bus *bus = o->bus;
    if (o->kind == ORDER_PUBLISH) {
        pthread_mutex_lock(&bus->lock);
        bus->bytes -= cost_of(o);
        pthread_mutex_unlock(&bus->lock);
    }
    if (!sent)
        note_lost(bus, o);
    mem_free(o);
}

/* Whether it reached the server is not known when that broke: then it counts as lost. */
static void on_published(void *arg, const redisReply *reply, const struct err *err)
{
    (void)err;
    order_end(arg, reply != NULL);
}

static void publish(struct channel_bus *bus, struct order *o)
{
    struct str words[] = {STR("PUBLISH"), o->channel, o->message};
    struct err err;
    if (!bus->out || !redis_send(bus->out, words, 3, on_published, o, &err))
        order_end(o, false);
}

static void subscribe(struct channel_bus *bus, struct str command, struct str channel)
{
    struct str words[] = {command, channel};
    struct err err;
    if (bus->in && redis_client_is_up(bus->in))
        redis_send(bus->in, words, 2, NULL, NULL, &err);
}

static void take_orders(void *arg)
{
    struct channel_bus *bus = arg;
    struct list orders;
    list_init(&orders);
    pthread_mutex_lock(&bus->lock);
    list_splice(&orders, &bus->orders);
    bus->posted = false;
    pthread_mutex_unlock(&bus->lock);
    while (!list_empty(&orders)) {
        struct order *o = list_entry(orders.next, struct order, link);
        list_remove(&o->link);
        if (o->kind == ORDER_PUBLISH) {
            publish(bus, o);
            continue;
        }
        bool on = o->kind == ORDER_WANT;
        if (on)
            map_set(bus->wanted, o->channel, bus);
        else
            map_remove(bus->wanted, o->channel);
        subscribe(bus, on ? STR("SUBSCRIBE") : STR("UNSUBSCRIBE"), o->channel);
        mem_free(o);
    }
}

static void tell_health(struct channel_bus *bus, const struct err *err)
{
    bool both = bus->in && bus->out && redis_client_is_up(bus->in) && redis_client_is_up(bus->out);
    if (err && driver_health_degraded(bus->health, err))
        log_warn("channels", "%s -- messages stay in this process until it is back", err->message);
    else if (!err && both && driver_health_up(bus->health))
        log_info("channels", "redis is back");
}

static void on_out_changed(void *arg, const struct err *err)
{
    struct channel_bus *bus = arg;
    struct str channel;
    void *value;
    tell_health(bus, err);
    if (err)
        return;
    struct map *lost = bus->lost;
    bus->lost = map_create();
    for (size_t at = 0; map_next(lost, &at, &channel, &value);)
        publish(bus, order_new(bus, ORDER_LOST, channel, str_n("", 0), str_n("", 0)));
    map_destroy(lost);
}

static void on_in_changed(void *arg, const struct err *err)
{
    struct channel_bus *bus = arg;
    struct str channel;
    void *value;
    tell_health(bus, err);
    if (err)
        return;
    subscribe(bus, STR("SUBSCRIBE"), str_c(bus->all));
    for (size_t at = 0; map_next(bus->wanted, &at, &channel, &value);)
        subscribe(bus, STR("SUBSCRIBE"), channel);
    if (bus->in_before)
        channel_lose(bus->hub, str_n(NULL, 0));
    bus->in_before = true;
}

static void on_message(void *arg, struct str channel, struct str bytes)
{
    struct channel_bus *bus = arg;
    struct str prefix = str_c(bus->prefix);
    struct err err;
    if (bytes.n <= NODE_BYTES || memcmp(bytes.p, bus->node, NODE_BYTES) == 0)
        return;
    char kind = bytes.p[NODE_BYTES];
    bool all = str_eq_c(channel, bus->all);
    struct str topic = str_n(channel.p + prefix.n, all ? 0 : channel.n - prefix.n);
    struct str json = str_n(bytes.p + NODE_BYTES + 1, bytes.n - NODE_BYTES - 1);
    if (kind == '!')
        channel_lose(bus->hub, all ? str_n(NULL, 0) : topic);
    else if (kind == ' ' && !all && channel_publish_here(bus->hub, topic, json, &err) < 0)
        channel_lose(bus->hub, topic);
    metric_add(bus->received, 1);
}

/* -- birth and death -- */

static void set_node(struct channel_bus *bus)
{
    unsigned char random[NODE_BYTES / 2];
    rand_bytes(random, sizeof random);
    sodium_bin2hex(bus->node, sizeof bus->node, random, sizeof random);
}

struct channel_bus *channel_bus_create(struct channel_hub *hub,
                                       const struct channel_bus_options *options, struct err *err)
{
    struct redis_url url;
    if (!redis_url_parse(str_c(options->url), &url, err)) {
        err_wrap(err, "channels.url");
        return NULL;
    }
    struct channel_bus *bus = mem_zero(1, sizeof *bus);
    bus->hub = hub;
    bus->url = url;
    bus->prefix = mem_printf("%schannel:", options->prefix);
    bus->all = mem_printf("%schannels", options->prefix);
    bus->timeout_ns = options->timeout_ns;
    bus->wanted = map_create();
    bus->lost = map_create();
    list_init(&bus->orders);
    pthread_mutex_init(&bus->lock, NULL);
    set_node(bus);
    bus->health = driver_health_register("channels", "redis", false);
    driver_health_address(bus->health, options->url);
    bus->unsent = metrics_counter("maru_channels_unsent_total",
                                  "Messages that did not reach other servers.", "");
    bus->received = metrics_counter("maru_channels_received_total",
                                    "Messages that came from other servers.", "");
    struct channel_carrier carrier = {.publish = on_publish, .wanted = on_wanted, .arg = bus};
    channel_hub_carry(hub, &carrier);
    return bus;
}

void channel_bus_destroy(struct channel_bus *bus)
{
    if (!bus)
        return;
    while (!list_empty(&bus->orders)) {
        struct order *o = list_entry(bus->orders.next, struct order, link);
        list_remove(&o->link);
        mem_free(o);
    }
    driver_health_unregister(bus->health);
    map_destroy(bus->wanted);
    map_destroy(bus->lost);
    pthread_mutex_destroy(&bus->lock);
    redis_url_fini(&bus->url);
    mem_free(bus->prefix);
    mem_free(bus->all);
    mem_free(bus);
}

static struct redis_client *
open_client(struct channel_bus *bus, const char *name,
            void (*changed)(void *arg, const struct err *err),
            void (*message)(void *arg, struct str channel, struct str bytes), struct err *err)
{
    struct redis_client_options options = {.url = &bus->url,
                                           .name = name,
                                           .connect_ns = CONNECT_MS * NS_PER_MS,
                                           .answer_ns = bus->timeout_ns,
                                           .changed = changed,
                                           .message = message,
                                           .arg = bus};
    return redis_client_create(bus->control, &options, err);
}

bool channel_bus_enter(struct channel_bus *bus, struct lane *control, struct err *err)
{
    pthread_mutex_lock(&bus->lock);
    bus->control = control;
    pthread_mutex_unlock(&bus->lock);
    bus->out = open_client(bus, "maru-publish", on_out_changed, NULL, err);
    bus->in = bus->out ? open_client(bus, "maru-listen", on_in_changed, on_message, err) : NULL;
    if (!bus->in)
        return err_wrap(err, "channels.url");
    take_orders(bus);
    return true;
}

void channel_bus_leave(struct channel_bus *bus)
{
    take_orders(bus);
    pthread_mutex_lock(&bus->lock);
    bus->control = NULL;
    pthread_mutex_unlock(&bus->lock);
    struct redis_client *in = bus->in, *out = bus->out;
    bus->in = bus->out = NULL;
    redis_client_destroy(in);
    redis_client_destroy(out);
}
