/* kafka.h -- what the files of driver "kafka" share.
 *
 * Threads of its own: one serves the producer's reports and sends what lies in
 * the outbox (kafka_send.c), three answer looks (kafka_look.c), and each plugin
 * that hears has one (kafka_hear.c), which is a member of the consumer group
 * "<events.group>.<plugin>".  librdkafka has more of its own; callbacks come on
 * ours only, from inside its polls.
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "events/private.h"

enum {
    KAFKA_ASK_MS = 4000,
    KAFKA_POLL_MS = 100,
    KAFKA_COMMIT_MS = 1000,
    KAFKA_PARTITIONS = 1000,
    HEAR_AGAIN_MS = 1000, /* until what was not handed over is tried again */
};

struct looker { /* a thread that answers looks, one after the other */
    struct kafka *k;
    pthread_t thread;
    bool started;
    struct look *first, **end; /* under k->lock */
};

struct kafka {
    struct events *events;
    pthread_t sender;
    bool sending; /* it was started */
    atomic_bool stopping;
    pthread_rwlock_t producer_lock; /* the producer is made anew after a fatal error */
    rd_kafka_t *producer;
    atomic_bool fatal, outbox; /* outbox: there may be rows in it */
    /* sender */
    struct outbox *out;
    int64_t outbox_at;   /* not before */
    rd_kafka_t *browser; /* a consumer that is in no group; only the reader assigns and polls */
    struct looker reader, viewer, browsing;
    rd_kafka_t *peek; /* as browser, of the thread that browses alone; made when it first does */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* listeners: changed on the control lane, under lock */
    struct list listeners;
    int leaving; /* listeners whose thread has not been joined */
};

/* kafka_conf.c */
struct kafka_property {
    const char *name, *value; /* NULL ends a list */
};
/* A configuration of these defaults, of what events.kafka says over them, and of what nobody may
 * change; or NULL with *err. */
rd_kafka_conf_t *kafka_conf(struct kafka *k, const char *client,
                            const struct kafka_property *defaults,
                            const struct kafka_property *fixed, struct err *err);
/* "prefix" + topic, in out. */
enum { KAFKA_TOPIC_BYTES = 250 };
bool kafka_topic(const struct kafka *k, struct str topic, char out[KAFKA_TOPIC_BYTES]);
/* The topic as plugins call it, or NULL when it is not of this prefix. */
const char *kafka_untopic(const struct kafka *k, const char *name);
/* Fills *err from a code of librdkafka's.  Returns false. */
bool kafka_err(struct err *err, rd_kafka_resp_err_t code, const char *what);

/* kafka_send.c */
bool kafka_send_start(struct kafka *k, struct err *err);
void kafka_send_stop(struct kafka *k);
void kafka_emit(struct events *events, struct op *op);

/* kafka_outbox.c, sender thread but the first three */
bool kafka_outbox_make(struct kafka *k, struct err *err);
bool kafka_outbox_record(struct events *events, struct sqlite_conn *conn, struct op *first,
                         struct err *err);
void kafka_outbox_recorded(struct events *events, struct op *op);
void kafka_outbox_turn(struct kafka *k); /* between two polls */
void kafka_outbox_reported(struct kafka *k, void *row, rd_kafka_resp_err_t code); /* its report */
void kafka_outbox_free(struct kafka *k);
/* kafka_send.c: hands a row to the producer; NO_ERROR or why not. */
rd_kafka_resp_err_t kafka_produce(struct kafka *k, const struct event_what *what, int64_t at_wall,
                                  void *opaque);
/* A row's opaque is told from an op's by its lowest bit. */
#define OUTBOX_MARK 1

/* kafka_message.c */
rd_kafka_headers_t *kafka_headers(const struct event_what *what, int64_t at_wall);
/* A message as an event.  Its parts lie in the message, or in headers and data, which are the
 * caller's. */
struct event kafka_event(const rd_kafka_message_t *m, struct buf *headers, struct buf *data);
/* Appends the arguments of a job for a message. */
void kafka_print(struct buf *out, struct str topic, const rd_kafka_message_t *m);

/* kafka_look.c */
bool kafka_look_start(struct kafka *k, struct err *err);
void kafka_look_stop(struct kafka *k);
void kafka_read(struct events *events, struct event_query *query);
void kafka_view(struct events *events, struct event_view *view);
void kafka_browse(struct events *events, struct event_browse *browse);
/* kafka_read.c, kafka_view.c, kafka_browse.c: each on its thread, which waits. */
void kafka_answer_query(struct kafka *k, struct event_query *query);
void kafka_answer_view(struct kafka *k, struct event_view *view);
void kafka_answer_browse(struct kafka *k, struct event_browse *browse);

/* kafka_topic.c.  Any thread of ours; they wait. */
struct kafka_ends {
    int64_t low, high; /* first offset, next one; -1: nobody said */
};
/* Where these partitions begin and end, as far as it is answered in 2 * KAFKA_ASK_MS; false with
 * *err if not of all.  librdkafka's own rd_kafka_query_watermark_offsets() waits beyond its time.
 */
bool kafka_ends(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, struct kafka_ends *out,
                struct err *err);
/* Partitions of a topic; 0 when there is none; -1 with *err. */
int kafka_partitions(rd_kafka_t *rk, const char *name, struct err *err);
/* Makes the topic if it is not there; *were, *ends (the caller's): its partitions before, and
 * where each ended. */
bool kafka_topic_make(struct kafka *k, rd_kafka_t *rk, const char *name, int *were, int64_t **ends,
                      struct err *err);

/* kafka_hear.c, kafka_hand.c, kafka_assign.c */
struct heard {
    char *topic, *kind, name[KAFKA_TOPIC_BYTES]; /* name: in Kafka */
    bool beginning, made, paused;
    int64_t *ends; /* of its partitions when this process began to hear it: there a group that is
                    * new begins.  Partitions that come later begin at their beginning. */
    int were;      /* how many there were */
    struct metric *consumed, *lag, *lost;
};
struct place { /* a partition that is ours */
    struct heard *heard;
    int partition;
    int64_t next; /* to be handed over */
};
struct listener {
    struct list link; /* kafka->listeners */
    struct kafka *k;
    char *plugin, *group;
    rd_kafka_t *rk;
    pthread_t thread;
    /* under k->lock */
    struct heard *wanted; /* what it hears from now on, or NULL: as it is */
    int wanted_count;
    bool stop;
    /* its thread */
    struct heard *heard;
    int heard_count;
    struct place *places;
    int place_count;
    bool lost; /* it could not find out where to begin: subscribe again */
    int64_t retry_at, scrape_at;
    /* one batch on its way: its thread waits */
    struct event_batch batch;
    struct buf text;
    size_t ends[EVENT_BATCH];
    struct str args[EVENT_BATCH];
    int partitions[EVENT_BATCH];
    int64_t offsets[EVENT_BATCH];
    bool over; /* under k->lock; k->wake */
};
void hear_follow(struct events *events, const struct event_follow *list, int count);
void hear_stop(struct kafka *k); /* waits for all threads */
bool hear_quiet(struct events *events);
/* Hands over messages that were just polled, or goes back to where they begin.  Waits until the
 * jobs are on disk. */
void listener_hand(struct listener *l, rd_kafka_message_t **messages, int count);
struct heard *listener_heard(struct listener *l, const char *name);
struct place *listener_place(struct listener *l, const struct heard *h, int partition);
void listener_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                        rd_kafka_topic_partition_list_t *list, void *listener);
/* Writer thread: as struct event_batch's record. */
bool handed_record(struct sqlite_conn *conn, struct event_batch *batch, struct err *err);
bool handed_read(struct listener *l, const struct heard *h, int partition, int64_t *offset);
