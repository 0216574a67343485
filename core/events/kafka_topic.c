/* kafka_topic.c -- topics of the brokers: how many partitions they have, where those end. */
#include "base/mem.h"
#include "events/kafka.h"

int kafka_partitions(rd_kafka_t *rk, const char *name, struct err *err)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    if (!topic) {
        kafka_err(err, rd_kafka_last_error(), name);
        return -1;
    }
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, topic, &md, KAFKA_ASK_MS);
    int count = 0;
    if (!code && md->topic_cnt == 1) {
        code = md->topics[0].err;
        count = md->topics[0].partition_cnt;
        if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
            code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
            code = RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    if (md)
        rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(topic);
    if (code) {
        kafka_err(err, code, name);
        return -1;
    }
    return count;
}

/* Asks the brokers to make it; whether they did is seen by looking again. */
static void ask_for_topic(struct kafka *k, rd_kafka_t *rk, const char *name)
{
    char why[200];
    rd_kafka_NewTopic_t *fresh =
        rd_kafka_NewTopic_new(name, k->events->options.partitions, -1, why, sizeof why);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_AdminOptions_set_request_timeout(options, KAFKA_ASK_MS, why, sizeof why);
    if (fresh) {
        rd_kafka_CreateTopics(rk, &fresh, 1, options, queue);
        rd_kafka_event_t *answer = rd_kafka_queue_poll(queue, KAFKA_ASK_MS + 1000);
        if (answer)
            rd_kafka_event_destroy(answer);
        rd_kafka_NewTopic_destroy(fresh);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
}

/* Fills `offset` of each; what nobody answered for stays `which`, or has an error of its own. */
static rd_kafka_resp_err_t ask_ends(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list,
                                    int64_t which)
{
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = which;
    return rd_kafka_offsets_for_times(rk, list, KAFKA_ASK_MS);
}

static void take_ends(const rd_kafka_topic_partition_list_t *list, struct kafka_ends *out,
                      bool high)
{
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        if (!p->err && p->offset >= 0)
            *(high ? &out[i].high : &out[i].low) = p->offset;
    }
}

bool kafka_ends(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, struct kafka_ends *out,
                struct err *err)
{
    for (int i = 0; i < list->cnt; i++)
        out[i] = (struct kafka_ends){-1, -1};
    if (list->cnt == 0)
        return true;
    rd_kafka_resp_err_t code = ask_ends(rk, list, RD_KAFKA_OFFSET_BEGINNING);
    take_ends(list, out, false);
    if (!code)
        code = ask_ends(rk, list, RD_KAFKA_OFFSET_END);
    if (!code)
        take_ends(list, out, true);
    for (int i = 0; !code && i < list->cnt; i++)
        if (out[i].low < 0 || out[i].high < 0)
            code = list->elems[i].err ? list->elems[i].err : RD_KAFKA_RESP_ERR__TIMED_OUT;
    return !code || kafka_err(err, code, list->elems[0].topic);
}

static bool read_ends(rd_kafka_t *rk, const char *name, int count, int64_t **ends, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    struct kafka_ends *found = mem_zero((size_t)count, sizeof *found);
    for (int i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, name, i);
    bool ok = kafka_ends(rk, list, found, err);
    if (ok)
        *ends = mem_zero((size_t)count, sizeof **ends);
    for (int i = 0; ok && i < count; i++)
        (*ends)[i] = found[i].high;
    mem_free(found);
    rd_kafka_topic_partition_list_destroy(list);
    return ok;
}

bool kafka_topic_make(struct kafka *k, rd_kafka_t *rk, const char *name, int *were, int64_t **ends,
                      struct err *err)
{
    int count = kafka_partitions(rk, name, err);
    *ends = NULL;
    if (count < 0)
        return false;
    *were = count;
    if (count > 0)
        return read_ends(rk, name, count, ends, err);
    ask_for_topic(k, rk, name);
    count = kafka_partitions(rk, name, err);
    if (count == 0) { /* brokers that make topics of themselves, when a producer asks */
        pthread_rwlock_rdlock(&k->producer_lock);
        count = kafka_partitions(k->producer, name, err);
        pthread_rwlock_unlock(&k->producer_lock);
    }
    return count > 0 ||
           (count == 0 && err_set(err, ERR_NOT_FOUND, "kafka: there is no topic %s", name));
}
