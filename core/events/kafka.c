/* kafka.c -- driver "kafka": its life. */
#include "events/kafka.h"

#include "base/mem.h"
#include "observe/drivers.h"

static bool is_quiet(struct events *events)
{
    return hear_quiet(events);
}

static void scrape(struct events *events)
{
    (void)events; /* listeners' threads keep their gauges */
}

static void close_kafka(struct events *events)
{
    struct kafka *k = events->record;
    if (!k)
        return;
    atomic_store(&k->stopping, true);
    hear_stop(k);
    kafka_look_stop(k);
    kafka_send_stop(k);
    if (k->out)
        kafka_outbox_free(k);
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    pthread_rwlock_destroy(&k->producer_lock);
    mem_free(k);
    events->record = NULL;
}

static bool open_kafka(struct events *events, struct err *err)
{
    struct kafka *k = mem_zero(1, sizeof *k);
    events->record = k;
    k->events = events;
    pthread_rwlock_init(&k->producer_lock, NULL);
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->wake, NULL);
    list_init(&k->listeners);
    events->health = driver_health_register("events", "kafka", false);
    driver_health_address(events->health, events->options.url);
    bool ok = events->options.url[0] ||
              err_set(err, ERR_INVALID, "events.driver = \"kafka\" needs events.url");
    if (ok && kafka_outbox_make(k, err) && kafka_send_start(k, err) && kafka_look_start(k, err))
        return true;
    close_kafka(events);
    return false;
}

const struct events_driver events_kafka = {
    .name = "kafka",
    .open = open_kafka,
    .close = close_kafka,
    .emit = kafka_emit,
    .record = kafka_outbox_record,
    .recorded = kafka_outbox_recorded,
    .keep = op_write,
    .read = kafka_read,
    .browse = kafka_browse,
    .view = kafka_view,
    .follow = hear_follow,
    .quiet = is_quiet,
    .scrape = scrape,
};
