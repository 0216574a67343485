/* kafka_hand.c -- what was polled becomes jobs, topic by topic. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "events/kafka.h"
#include "observe/log.h"
#include "observe/metrics.h"

static void on_over(struct event_batch *batch)
{
    struct listener *l =
        (struct listener *)(void *)((char *)batch - offsetof(struct listener, batch));
    pthread_mutex_lock(&l->k->lock);
    l->over = true;
    pthread_cond_broadcast(&l->k->wake);
    pthread_mutex_unlock(&l->k->lock);
}

static void deliver(void *arg)
{
    struct listener *l = arg;
    const struct events_options *o = &l->k->events->options;
    o->deliver(&l->batch, o->arg);
}

/* Hands the collected events of one topic over; false: they are not kept. */
static bool hand_over(struct listener *l, struct heard *h, int count)
{
    for (int i = 0; i < count; i++) {
        size_t begin = i ? l->ends[i - 1] : 0;
        l->args[i] = str_n(l->text.p + begin, l->ends[i] - begin);
    }
    l->batch = (struct event_batch){.plugin = l->plugin,
                                    .topic = h->topic,
                                    .kind = h->kind,
                                    .stream = l->group,
                                    .args = l->args,
                                    .partitions = l->partitions,
                                    .offsets = l->offsets,
                                    .count = count,
                                    .record = handed_record,
                                    .over = on_over};
    pthread_mutex_lock(&l->k->lock);
    l->over = false;
    pthread_mutex_unlock(&l->k->lock);
    lane_call(l->k->events->options.lane, deliver, l);
    pthread_mutex_lock(&l->k->lock);
    while (!l->over && !atomic_load(&l->k->stopping)) /* then the queue has closed */
        pthread_cond_wait(&l->k->wake, &l->k->lock);
    bool over = l->over;
    pthread_mutex_unlock(&l->k->lock);
    if (over && l->batch.err.code)
        log_error("events", "%s: what comes next waits: %s", h->kind, l->batch.err.message);
    return over && !l->batch.err.code;
}

static void advance(struct listener *l, struct heard *h, int count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int i = 0; i < count; i++) {
        struct place *p = listener_place(l, h, l->partitions[i]);
        rd_kafka_topic_partition_t *to =
            rd_kafka_topic_partition_list_find(list, h->name, l->partitions[i]);
        if (!to)
            to = rd_kafka_topic_partition_list_add(list, h->name, l->partitions[i]);
        to->offset = l->offsets[i] + 1;
        if (p)
            p->next = to->offset;
    }
    rd_kafka_offsets_store(l->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    metric_add(h->consumed, count);
}

/* What was polled and not handed over is polled again. */
static void go_back(struct listener *l)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(l->place_count + 1);
    for (int i = 0; i < l->place_count; i++)
        rd_kafka_topic_partition_list_add(list, l->places[i].heard->name, l->places[i].partition)
            ->offset = l->places[i].next;
    rd_kafka_error_t *error =
        l->place_count ? rd_kafka_seek_partitions(l->rk, list, KAFKA_ASK_MS) : NULL;
    if (error)
        rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(list);
    l->retry_at = clock_steady_ns() + HEAR_AGAIN_MS * NS_PER_MS;
}

/* What somebody else put there may be more than a job takes: it would hold up all behind it. */
static void pass_over(struct listener *l, const struct heard *h, const rd_kafka_message_t *m)
{
    metric_add(h->lost, 1);
    log_error(
        "events",
        "%s cannot be handed event %lld of partition %d of %s, of %zu bytes: it is over %d as JSON",
        l->plugin, (long long)m->offset, (int)m->partition, h->topic, m->len, EVENT_ARGS_BYTES);
}

/* Prints the message as a job's arguments, if it is ours to hand over. */
static bool collect(struct listener *l, struct heard *h, const rd_kafka_message_t *m)
{
    const struct place *p;
    size_t begin = l->text.n;
    if (strcmp(rd_kafka_topic_name(m->rkt), h->name) != 0 ||
        !(p = listener_place(l, h, m->partition)) || m->offset < p->next)
        return false;
    kafka_print(&l->text, str_c(h->topic), m);
    if (l->text.n - begin <= EVENT_ARGS_BYTES)
        return true;
    l->text.n = begin;
    pass_over(l, h, m);
    return false;
}

/* Topic by topic. */
static bool hand_all(struct listener *l, rd_kafka_message_t **messages, int count)
{
    for (int i = 0; i < l->heard_count; i++) {
        struct heard *h = &l->heard[i];
        int n = 0;
        buf_clear(&l->text);
        for (int m = 0; m < count; m++) {
            if (!collect(l, h, messages[m]))
                continue;
            l->partitions[n] = messages[m]->partition;
            l->offsets[n] = messages[m]->offset;
            l->ends[n++] = l->text.n;
        }
        if (n && !hand_over(l, h, n))
            return false;
        if (n)
            advance(l, h, n);
    }
    return true;
}

void listener_hand(struct listener *l, rd_kafka_message_t **messages, int count)
{
    if (count && !hand_all(l, messages, count))
        go_back(l);
}
