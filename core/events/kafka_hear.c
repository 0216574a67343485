/* kafka_hear.c -- plugins that hear topics of Kafka: what comes next becomes jobs.
 *
 * DESIGN.  One thread for each plugin, a member of the consumer group
 * "<events.group>.<plugin>".  It collects what came, hands it over topic by
 * topic, waits until the jobs are on disk, and only then stores the offsets,
 * which librdkafka commits every half second and when a partition is taken away.
 * So nothing is in flight while it polls, and a partition that is revoked (in a
 * poll) has no offset committed that was not handed over.
 *
 * What is handed over twice, after a crash between the jobs' commit and Kafka's,
 * is met on both sides: where the jobs are this server's own, the commit also
 * keeps how far each partition came (maru_event_handed); a record that several
 * servers share knows the events again by their unique keys.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "events/kafka.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum { SCRAPE_MS = 500, LEAVE_MS = 1500 };

static void free_heard(struct heard *list, int count)
{
    for (int i = 0; list && i < count; i++) {
        mem_free(list[i].topic);
        mem_free(list[i].kind);
        mem_free(list[i].ends);
    }
    mem_free(list);
}

struct heard *listener_heard(struct listener *l, const char *name)
{
    for (int i = 0; i < l->heard_count; i++)
        if (strcmp(l->heard[i].name, name) == 0)
            return &l->heard[i];
    return NULL;
}

struct place *listener_place(struct listener *l, const struct heard *h, int partition)
{
    for (int i = 0; i < l->place_count; i++)
        if (l->places[i].heard == h && l->places[i].partition == partition)
            return &l->places[i];
    return NULL;
}

static bool stopping(struct listener *l)
{
    pthread_mutex_lock(&l->k->lock);
    bool stop = l->stop || atomic_load(&l->k->stopping);
    pthread_mutex_unlock(&l->k->lock);
    return stop;
}

/* -- polling ------------------------------------------------------------------------------------
 */

/* A topic whose window is full is not fetched; all of them while a batch waits to be tried again.
 */
static void mind_windows(struct listener *l)
{
    const struct events_options *o = &l->k->events->options;
    bool wait = clock_steady_ns() < l->retry_at;
    for (int i = 0; i < l->heard_count; i++) {
        struct heard *h = &l->heard[i];
        bool full = wait || o->unfinished(h->kind, o->arg) >= EVENT_WINDOW;
        if (full == h->paused)
            continue;
        rd_kafka_topic_partition_list_t *list =
            rd_kafka_topic_partition_list_new(l->place_count + 1);
        for (int p = 0; p < l->place_count; p++)
            if (l->places[p].heard == h)
                rd_kafka_topic_partition_list_add(list, h->name, l->places[p].partition);
        if (full)
            rd_kafka_pause_partitions(l->rk, list);
        else
            rd_kafka_resume_partitions(l->rk, list);
        rd_kafka_topic_partition_list_destroy(list);
        h->paused = full;
    }
}

static void poll_once(struct listener *l)
{
    rd_kafka_message_t *messages[EVENT_BATCH];
    int count = 0;
    size_t bytes = 0;
    int64_t from = clock_steady_ns();
    while (count < EVENT_BATCH && bytes < EVENT_READ_BYTES) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(l->rk, count ? 0 : KAFKA_POLL_MS);
        if (!m)
            break;
        if (m->err) {
            log_debug("kafka", "%s: %s", l->group, rd_kafka_message_errstr(m));
            rd_kafka_message_destroy(m);
            break;
        }
        bytes += m->len;
        messages[count++] = m;
    }
    listener_hand(l, messages, count);
    for (int i = 0; i < count; i++)
        rd_kafka_message_destroy(messages[i]);
    if (!count && clock_steady_ns() - from < NS_PER_MS)
        uv_sleep(KAFKA_POLL_MS / 10);
}

static void show_lag(struct listener *l)
{
    int64_t now = clock_steady_ns();
    if (now < l->scrape_at)
        return;
    l->scrape_at = now + SCRAPE_MS * NS_PER_MS;
    for (int i = 0; i < l->heard_count; i++) {
        int64_t lag = 0, low, high;
        for (int p = 0; p < l->place_count; p++) {
            const struct place *place = &l->places[p];
            if (place->heard == &l->heard[i] &&
                !rd_kafka_get_watermark_offsets(l->rk, place->heard->name, place->partition, &low,
                                                &high) &&
                high > place->next)
                lag += high - place->next;
        }
        metric_set(l->heard[i].lag, (double)lag);
    }
}

/* -- what it hears ------------------------------------------------------------------------------
 */

/* Takes up a new list, and waits for topics that are not there yet. */
static void take_wanted(struct listener *l)
{
    pthread_mutex_lock(&l->k->lock);
    struct heard *old = l->wanted ? l->heard : NULL;
    int old_count = l->heard_count;
    if (l->wanted) {
        l->heard = l->wanted;
        l->heard_count = l->wanted_count;
        l->wanted = NULL;
        l->lost = true;
    }
    pthread_mutex_unlock(&l->k->lock);
    if (!old)
        return;
    rd_kafka_unsubscribe(l->rk);
    rd_kafka_assign(l->rk, NULL);
    l->place_count = 0;
    for (int i = 0; i < old_count; i++)
        metric_set(old[i].lag, 0);
    free_heard(old, old_count);
}

/* False: a topic could not be looked at; it is tried again. */
static bool subscribe(struct listener *l)
{
    struct err err = {0};
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(l->heard_count + 1);
    bool ok = true;
    for (int i = 0; ok && i < l->heard_count; i++) {
        struct heard *h = &l->heard[i];
        ok =
            h->made || (h->made = kafka_topic_make(l->k, l->rk, h->name, &h->were, &h->ends, &err));
        rd_kafka_topic_partition_list_add(list, h->name, RD_KAFKA_PARTITION_UA);
    }
    if (!ok)
        log_debug("kafka", "%s: %s", l->group, err.message);
    else if (l->heard_count)
        rd_kafka_subscribe(l->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return ok;
}

/* Commits and says good-bye, as far as the brokers answer. */
static void leave(struct listener *l)
{
    int64_t until = clock_steady_ns() + LEAVE_MS * NS_PER_MS;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(l->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(l->rk, queue);
    while (!error && !rd_kafka_consumer_closed(l->rk) && clock_steady_ns() < until)
        rd_kafka_queue_poll_callback(queue, KAFKA_POLL_MS / 10);
    if (error)
        rd_kafka_error_destroy(error);
    rd_kafka_queue_destroy(queue);
}

static void *hear_thread(void *arg)
{
    struct listener *l = arg;
    while (!stopping(l)) {
        take_wanted(l);
        if (l->lost && clock_steady_ns() >= l->retry_at) {
            l->lost = !subscribe(l);
            if (l->lost)
                l->retry_at = clock_steady_ns() + HEAR_AGAIN_MS * NS_PER_MS;
        }
        mind_windows(l);
        poll_once(l);
        show_lag(l);
    }
    leave(l);
    return NULL;
}

/* -- control lane --------------------------------------------------------------------------------
 */

static struct heard heard_of(struct listener *l, const struct event_follow *f)
{
    struct heard h = {
        .topic = mem_strdup(f->topic), .kind = mem_strdup(f->kind), .beginning = f->beginning};
    struct buf labels = {0};
    if (!kafka_topic(l->k, str_c(f->topic), h.name))
        log_error("events", "the name of topic %s is too long for Kafka", f->topic);
    metrics_label(&labels, "plugin", str_c(f->plugin));
    metrics_label(&labels, "topic", str_c(f->topic));
    h.consumed = metrics_counter("maru_events_consumed_total",
                                 "Events handed over to plugins as jobs.", labels.p);
    h.lag = metrics_gauge("maru_events_lag", "Events that were not handed over yet.", labels.p);
    h.lost = metrics_counter("maru_events_missed_total",
                             "Events that were never handed over: too old, or too large for a job.",
                             labels.p);
    buf_free(&labels);
    return h;
}

/* What the list says of this plugin. */
static struct heard *wanted_of(struct listener *l, const struct event_follow *list, int count,
                               int *n)
{
    struct heard *out = mem_zero((size_t)count + 1, sizeof *out);
    *n = 0;
    for (int i = 0; i < count; i++)
        if (strcmp(list[i].plugin, l->plugin) == 0)
            out[(*n)++] = heard_of(l, &list[i]);
    return out;
}

static bool same(const struct listener *l, const struct heard *list, int count)
{
    const struct heard *now = l->wanted ? l->wanted : l->heard;
    int now_count = l->wanted ? l->wanted_count : l->heard_count;
    bool equal = now_count == count;
    for (int i = 0; equal && i < count; i++)
        equal = strcmp(now[i].topic, list[i].topic) == 0;
    return equal;
}

static rd_kafka_t *make_consumer(struct listener *l, struct err *err)
{
    char why[300];
    static const struct kafka_property defaults[] = {
        {"fetch.wait.max.ms", "100"},
        {"topic.metadata.refresh.interval.ms", "30000"},
        {NULL, NULL}};
    const struct kafka_property fixed[] = {{"group.id", l->group},
                                           {"enable.auto.commit", "true"},
                                           {"auto.commit.interval.ms", "500"},
                                           {"enable.auto.offset.store", "false"},
                                           {"auto.offset.reset", "earliest"},
                                           /* listener_rebalance() takes whole assignments */
                                           {"partition.assignment.strategy", "range,roundrobin"},
                                           {NULL, NULL}};
    rd_kafka_conf_t *conf = kafka_conf(l->k, l->plugin, defaults, fixed, err);
    if (!conf)
        return NULL;
    rd_kafka_conf_set_opaque(conf, l);
    rd_kafka_conf_set_rebalance_cb(conf, listener_rebalance);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        err_set(err, ERR_INVALID, "events.kafka: %s", why);
        return NULL;
    }
    rd_kafka_poll_set_consumer(rk);
    return rk;
}

static void free_listener(struct listener *l)
{
    if (l->rk)
        rd_kafka_destroy_flags(l->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free_heard(l->heard, l->heard_count);
    free_heard(l->wanted, l->wanted_count);
    buf_free(&l->text);
    mem_free(l->places);
    mem_free(l->plugin);
    mem_free(l->group);
    mem_free(l);
}

static void listener_open(struct kafka *k, const struct event_follow *list, int count, int at)
{
    struct listener *l = mem_zero(1, sizeof *l);
    struct err err = {0};
    l->k = k;
    l->plugin = mem_strdup(list[at].plugin);
    l->group = mem_printf("%s.%s", k->events->options.group, l->plugin);
    l->heard = mem_zero(1, sizeof *l->heard);
    l->wanted = wanted_of(l, list, count, &l->wanted_count);
    l->rk = make_consumer(l, &err);
    int rc = l->rk ? pthread_create(&l->thread, NULL, hear_thread, l) : 0;
    if (!l->rk || rc) {
        log_error("events", "%s hears nothing: %s", l->plugin, l->rk ? strerror(rc) : err.message);
        free_listener(l);
        return;
    }
    pthread_mutex_lock(&k->lock);
    list_push_back(&k->listeners, &l->link);
    pthread_mutex_unlock(&k->lock);
}

static struct listener *listener_find(struct kafka *k, const char *plugin)
{
    list_each (node, &k->listeners) {
        struct listener *l = list_entry(node, struct listener, link);
        if (!l->stop && strcmp(l->plugin, plugin) == 0)
            return l;
    }
    return NULL;
}

static void listener_change(struct listener *l, const struct event_follow *list, int count)
{
    int n;
    struct heard *wanted = wanted_of(l, list, count, &n);
    pthread_mutex_lock(&l->k->lock);
    bool equal = same(l, wanted, n);
    if (!equal) {
        free_heard(l->wanted, l->wanted_count);
        l->wanted = wanted;
        l->wanted_count = n;
    }
    pthread_mutex_unlock(&l->k->lock);
    if (equal)
        free_heard(wanted, n);
}

/* A thread that leaves its group takes its time: what it was is freed when it is asked next. */
static void reap(struct kafka *k, bool wait)
{
    list_each_safe (node, &k->listeners) {
        struct listener *l = list_entry(node, struct listener, link);
        if (!l->stop ||
            (wait ? pthread_join(l->thread, NULL) : pthread_tryjoin_np(l->thread, NULL)) != 0)
            continue;
        pthread_mutex_lock(&k->lock);
        list_remove(&l->link);
        pthread_mutex_unlock(&k->lock);
        free_listener(l);
    }
}

void hear_follow(struct events *events, const struct event_follow *list, int count)
{
    struct kafka *k = events->record;
    list_each (node, &k->listeners) {
        struct listener *l = list_entry(node, struct listener, link);
        bool wanted = false;
        for (int i = 0; i < count; i++)
            wanted = wanted || strcmp(list[i].plugin, l->plugin) == 0;
        if (wanted && !l->stop)
            listener_change(l, list, count);
        pthread_mutex_lock(&k->lock);
        l->stop = l->stop || !wanted;
        pthread_cond_broadcast(&k->wake);
        pthread_mutex_unlock(&k->lock);
    }
    for (int i = 0; i < count; i++)
        if (!listener_find(k, list[i].plugin))
            listener_open(k, list, count, i);
    reap(k, false);
}

bool hear_quiet(struct events *events)
{
    struct kafka *k = events->record;
    reap(k, false);
    return list_empty(&k->listeners);
}

void hear_stop(struct kafka *k)
{
    pthread_mutex_lock(&k->lock);
    list_each (node, &k->listeners)
        list_entry(node, struct listener, link)->stop = true;
    pthread_cond_broadcast(&k->wake);
    pthread_mutex_unlock(&k->lock);
    reap(k, true);
}
