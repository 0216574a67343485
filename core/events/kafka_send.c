/* kafka_send.c -- the producer: idempotent, every replica acknowledges, and an emit is answered by
 * its delivery report. */
#include <stdio.h>

#include "base/clock.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "events/kafka.h"
#include "observe/drivers.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum { FLUSH_MS = 300, PURGE_MS = 10000 };

/* librdkafka looks for messages over their time once a second, and reports within another. */
static int64_t message_timeout_ms(const struct kafka *k)
{
    int64_t ms = k->events->options.timeout_ns / NS_PER_MS;
    return ms > 4000 ? ms - 2000 : ms / 2;
}

static void published(struct events *events, struct op *op, const rd_kafka_message_t *m)
{
    pthread_mutex_lock(&events->lock);
    struct topic *t = topic_of(events, op->what.topic);
    pthread_mutex_unlock(&events->lock);
    metric_add(t->emitted, 1);
    op->offset = m->offset;
    if (op->emit)
        op->emit->partition = m->partition;
}

static void report(struct kafka *k, struct op *op, const rd_kafka_message_t *m)
{
    struct err err = {0};
    if (!m->err) {
        published(k->events, op, m);
        driver_health_up(k->events->health);
        op_answer(op, NULL);
        return;
    }
    kafka_err(&err, m->err, "the event was not acknowledged");
    if (rd_kafka_message_status(m) == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED) {
        size_t n = strlen(err.message);
        snprintf(err.message + n, sizeof err.message - n, " (it may be there nevertheless)");
    }
    op_answer(op, &err);
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg)
{
    struct kafka *k = arg;
    uintptr_t mark = (uintptr_t)m->_private;
    (void)rk;
    if (mark & OUTBOX_MARK)
        kafka_outbox_reported(k, (void *)(mark & ~(uintptr_t)OUTBOX_MARK), m->err);
    else
        report(k, m->_private, m);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *arg)
{
    struct kafka *k = arg;
    struct err err = {0};
    (void)rk;
    if (code == RD_KAFKA_RESP_ERR__FATAL)
        atomic_store(&k->fatal, true);
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__FATAL ||
        code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL) {
        err_set(&err, ERR_IO, "kafka: %s", reason);
        if (driver_health_down(k->events->health, &err))
            log_error("events", "%s", err.message);
    }
}

/* Once a second: whether any broker is there. */
static int on_stats(rd_kafka_t *rk, char *text, size_t n, void *arg)
{
    struct kafka *k = arg;
    struct json_pick pick;
    struct str name, broker;
    bool up = false;
    (void)rk;
    if (json_pick_open(&pick, json_pick_get(str_n(text, n), "brokers"), '{'))
        while (!up && json_pick_pair(&pick, &name, &broker))
            up = str_eq_c(json_pick_get(broker, "state"), "\"UP\"") ||
                 str_eq_c(json_pick_get(broker, "state"), "\"UPDATE\"");
    if (up && driver_health_up(k->events->health))
        log_info("events", "kafka is there");
    return 0;
}

static rd_kafka_t *make_producer(struct kafka *k, struct err *err)
{
    char timeout[24], why[300];
    snprintf(timeout, sizeof timeout, "%lld", (long long)message_timeout_ms(k));
    static const struct kafka_property defaults[] = {{"linger.ms", "1"},
                                                     {"partitioner", "murmur2_random"},
                                                     {"queue.buffering.max.messages", "100000"},
                                                     {"message.max.bytes", "1000000"},
                                                     {NULL, NULL}};
    const struct kafka_property fixed[] = {{"enable.idempotence", "true"},
                                           {"acks", "all"},
                                           {"message.timeout.ms", timeout},
                                           {"statistics.interval.ms", "1000"},
                                           {NULL, NULL}};
    rd_kafka_conf_t *conf = kafka_conf(k, "emit", defaults, fixed, err);
    if (!conf)
        return NULL;
    rd_kafka_conf_set_opaque(conf, k);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_stats_cb(conf, on_stats);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        err_set(err, ERR_INVALID, "events.kafka: %s", why);
    }
    return rk;
}

rd_kafka_resp_err_t kafka_produce(struct kafka *k, const struct event_what *what, int64_t at_wall,
                                  void *opaque)
{
    char topic[KAFKA_TOPIC_BYTES];
    rd_kafka_headers_t *headers = kafka_headers(what, at_wall);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__INVALID_ARG;
    pthread_rwlock_rdlock(&k->producer_lock);
    if (kafka_topic(k, what->topic, topic))
        code = rd_kafka_producev(k->producer, RD_KAFKA_V_TOPIC(topic),
                                 RD_KAFKA_V_KEY(what->key.n ? what->key.p : NULL, what->key.n),
                                 RD_KAFKA_V_VALUE((void *)(uintptr_t)what->data.p, what->data.n),
                                 RD_KAFKA_V_TIMESTAMP(at_wall / NS_PER_MS),
                                 RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(opaque),
                                 RD_KAFKA_V_END);
    pthread_rwlock_unlock(&k->producer_lock);
    if (code)
        rd_kafka_headers_destroy(headers);
    return code;
}

void kafka_emit(struct events *events, struct op *op)
{
    struct kafka *k = events->record;
    struct err err = {0};
    rd_kafka_resp_err_t code = kafka_produce(k, &op->what, op->at_wall, op);
    if (!code)
        return;
    if (code == RD_KAFKA_RESP_ERR__FATAL)
        atomic_store(&k->fatal, true);
    kafka_err(&err, code, "the event was not taken");
    op_answer(op, &err);
}

/* Every message has its report then: nothing is sent any more, they are ours to poll. */
static void purge(rd_kafka_t *rk)
{
    int64_t until = clock_steady_ns() + PURGE_MS * NS_PER_MS;
    rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    while (rd_kafka_flush(rk, FLUSH_MS) == RD_KAFKA_RESP_ERR__TIMED_OUT &&
           clock_steady_ns() < until)
        ;
}

/* After an error that the idempotent producer cannot heal by itself: what waits is answered with
 * it, and another one begins. */
static void renew(struct kafka *k)
{
    struct err err = {0};
    rd_kafka_t *fresh = make_producer(k, &err);
    if (!fresh) {
        log_error("events", "%s", err.message);
        return;
    }
    log_warn("events", "kafka: the producer begins anew after a fatal error");
    pthread_rwlock_wrlock(&k->producer_lock);
    rd_kafka_t *old = k->producer;
    k->producer = fresh;
    pthread_rwlock_unlock(&k->producer_lock);
    atomic_store(&k->fatal, false);
    purge(old);
    rd_kafka_destroy(old);
}

static void *send_thread(void *arg)
{
    struct kafka *k = arg;
    while (!atomic_load(&k->stopping)) {
        rd_kafka_poll(k->producer, KAFKA_POLL_MS);
        if (atomic_load(&k->fatal))
            renew(k);
        kafka_outbox_turn(k);
    }
    /* Emits that wait are answered: kept by now, or purged. */
    rd_kafka_flush(k->producer, FLUSH_MS);
    purge(k->producer);
    kafka_outbox_free(k);
    return NULL;
}

bool kafka_send_start(struct kafka *k, struct err *err)
{
    k->producer = make_producer(k, err);
    if (!k->producer)
        return false;
    int rc = pthread_create(&k->sender, NULL, send_thread, k);
    k->sending = rc == 0;
    return k->sending || err_sys(err, rc, "events: start a thread");
}

void kafka_send_stop(struct kafka *k)
{
    if (k->sending)
        pthread_join(k->sender, NULL);
    if (k->producer)
        rd_kafka_destroy(k->producer);
}
