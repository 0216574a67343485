/* kafka_view.c -- all topics and groups: a thread of its own asks, because a broker that is away
 * makes it wait.  Each broker is asked once for all that it leads; what nobody answers for in time
 * is shown as not known. */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "events/kafka.h"

#define VIEW_NS (3 * KAFKA_ASK_MS * NS_PER_MS)

struct sight {
    struct kafka *k;
    const struct rd_kafka_metadata *md;
    struct kafka_ends *ends; /* of all partitions of topics of ours, one behind the other */
    int count;
    int64_t until; /* steady: then nothing more is asked */
};

static bool is_over(const struct sight *s)
{
    return atomic_load(&s->k->stopping) || clock_steady_ns() >= s->until;
}

/* -- topics ----------------------------------------------------------------------------------- */

static int parts_of(const struct sight *s, const struct rd_kafka_metadata_topic *t)
{
    if (t->err || !kafka_untopic(s->k, t->topic))
        return 0;
    return t->partition_cnt < KAFKA_PARTITIONS ? t->partition_cnt : KAFKA_PARTITIONS;
}

static void ask_leader(struct sight *s, int32_t broker)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(s->count);
    struct kafka_ends *found = mem_zero((size_t)s->count, sizeof *found);
    int *places = mem_zero((size_t)s->count, sizeof *places), at = 0;
    struct err err;
    for (int t = 0; t < s->md->topic_cnt; t++) {
        const struct rd_kafka_metadata_topic *topic = &s->md->topics[t];
        for (int i = 0; i < parts_of(s, topic); i++, at++)
            if (topic->partitions[i].leader == broker) {
                places[list->cnt] = at;
                rd_kafka_topic_partition_list_add(list, topic->topic, topic->partitions[i].id);
            }
    }
    kafka_ends(s->k->browser, list, found, &err); /* it may know of some */
    for (int i = 0; i < list->cnt; i++)
        s->ends[places[i]] = found[i];
    mem_free(places);
    mem_free(found);
    rd_kafka_topic_partition_list_destroy(list);
}

static void find_ends(struct sight *s)
{
    for (int t = 0; t < s->md->topic_cnt; t++)
        s->count += parts_of(s, &s->md->topics[t]);
    s->ends = mem_zero((size_t)s->count + 1, sizeof *s->ends);
    for (int i = 0; i < s->count; i++)
        s->ends[i] = (struct kafka_ends){-1, -1};
    for (int i = 0; i < s->md->broker_cnt && s->count && !is_over(s); i++)
        ask_leader(s, s->md->brokers[i].id);
}

static void member(struct json *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_int(w, value);
}

static void print_topic(const struct sight *s, struct json *w,
                        const struct rd_kafka_metadata_topic *t, const struct kafka_ends *ends)
{
    int64_t events = 0;
    json_open(w, '{');
    json_key(w, "topic");
    json_cstr(w, kafka_untopic(s->k, t->topic));
    json_key(w, "partitions");
    json_open(w, '[');
    for (int i = 0; i < parts_of(s, t); i++) {
        json_open(w, '{');
        member(w, "partition", t->partitions[i].id);
        member(w, "first", ends[i].low);
        member(w, "next", ends[i].high);
        json_close(w, '}');
        if (ends[i].low >= 0 && ends[i].high >= 0)
            events += ends[i].high - ends[i].low;
    }
    json_close(w, ']');
    member(w, "events", events);
    json_close(w, '}');
}

static void print_topics(const struct sight *s, struct json *w)
{
    for (int t = 0, at = 0; t < s->md->topic_cnt; t++) {
        const struct rd_kafka_metadata_topic *topic = &s->md->topics[t];
        if (parts_of(s, topic))
            print_topic(s, w, topic, s->ends + at);
        at += parts_of(s, topic);
    }
}

/* -- groups ----------------------------------------------------------------------------------- */

struct group_seen { /* a group as it stands while nothing is asked */
    char *plugin, *group, *topic, name[KAFKA_TOPIC_BYTES];
};

static int groups_seen(struct kafka *k, struct group_seen **out)
{
    int count = 0, n = 0;
    pthread_mutex_lock(&k->lock);
    list_each (node, &k->listeners)
        count += list_entry(node, struct listener, link)->heard_count;
    struct group_seen *list = mem_zero((size_t)count + 1, sizeof *list);
    list_each (node, &k->listeners) {
        const struct listener *l = list_entry(node, struct listener, link);
        for (int i = 0; i < l->heard_count && !l->stop; i++, n++) {
            list[n].plugin = mem_strdup(l->plugin);
            list[n].group = mem_strdup(l->group);
            list[n].topic = mem_strdup(l->heard[i].topic);
            snprintf(list[n].name, sizeof list[n].name, "%s", l->heard[i].name);
        }
    }
    pthread_mutex_unlock(&k->lock);
    *out = list;
    return n;
}

/* What the group has committed, whoever of its members has the partition: fills list's offsets. */
static void ask_group(struct kafka *k, const char *group, rd_kafka_topic_partition_list_t *list)
{
    char why[200];
    rd_kafka_ListConsumerGroupOffsets_t *ask = rd_kafka_ListConsumerGroupOffsets_new(group, list);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(k->browser, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(k->browser);
    rd_kafka_AdminOptions_set_request_timeout(options, KAFKA_ASK_MS, why, sizeof why);
    rd_kafka_ListConsumerGroupOffsets(k->browser, &ask, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, KAFKA_ASK_MS + 1000);
    const rd_kafka_ListConsumerGroupOffsets_result_t *result =
        event ? rd_kafka_event_ListConsumerGroupOffsets_result(event) : NULL;
    size_t n = 0;
    const rd_kafka_group_result_t **groups =
        result ? rd_kafka_ListConsumerGroupOffsets_result_groups(result, &n) : NULL;
    const rd_kafka_topic_partition_list_t *got =
        n ? rd_kafka_group_result_partitions(groups[0]) : NULL;
    for (int i = 0; got && i < got->cnt; i++) {
        const rd_kafka_topic_partition_t *g = &got->elems[i];
        rd_kafka_topic_partition_t *to =
            rd_kafka_topic_partition_list_find(list, g->topic, g->partition);
        if (to && !g->err)
            to->offset = g->offset;
    }
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ListConsumerGroupOffsets_destroy(ask);
}

static int64_t print_places(struct json *w, const rd_kafka_topic_partition_list_t *list,
                            const struct kafka_ends *ends)
{
    int64_t lag = 0;
    for (int i = 0; i < list->cnt; i++) {
        int64_t high = ends[i].high, offset = list->elems[i].offset;
        if (high < 0 || offset < 0)
            continue;
        json_open(w, '{');
        member(w, "partition", list->elems[i].partition);
        member(w, "offset", offset);
        member(w, "lag", high > offset ? high - offset : 0);
        json_close(w, '}');
        lag += high > offset ? high - offset : 0;
    }
    return lag;
}

/* The partitions of a topic, with where their ends are; an empty list if it is not there. */
static rd_kafka_topic_partition_list_t *places_of(const struct sight *s, const char *name,
                                                  const struct kafka_ends **ends)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    *ends = s->ends;
    for (int t = 0; t < s->md->topic_cnt; t++) {
        const struct rd_kafka_metadata_topic *topic = &s->md->topics[t];
        int count = parts_of(s, topic);
        if (strcmp(topic->topic, name) != 0) {
            *ends += count;
            continue;
        }
        for (int i = 0; i < count; i++)
            rd_kafka_topic_partition_list_add(list, name, topic->partitions[i].id)->offset =
                RD_KAFKA_OFFSET_INVALID;
        break;
    }
    return list;
}

static void print_group(const struct sight *s, struct json *w, const struct group_seen *g)
{
    const struct kafka_ends *ends;
    rd_kafka_topic_partition_list_t *list = places_of(s, g->name, &ends);
    if (list->cnt && !is_over(s))
        ask_group(s->k, g->group, list);
    json_open(w, '{');
    json_key(w, "group");
    json_cstr(w, g->plugin);
    json_key(w, "topic");
    json_cstr(w, g->topic);
    json_key(w, "partitions");
    json_open(w, '[');
    int64_t lag = print_places(w, list, ends);
    json_close(w, ']');
    member(w, "lag", lag);
    json_key(w, "serving");
    json_bool(w, true);
    json_close(w, '}');
    rd_kafka_topic_partition_list_destroy(list);
}

static void print_groups(const struct sight *s, struct json *w)
{
    struct group_seen *list;
    int count = groups_seen(s->k, &list);
    for (int i = 0; i < count; i++) {
        print_group(s, w, &list[i]);
        mem_free(list[i].plugin);
        mem_free(list[i].group);
        mem_free(list[i].topic);
    }
    mem_free(list);
}

void kafka_answer_view(struct kafka *k, struct event_view *view)
{
    struct sight s = {.k = k, .until = clock_steady_ns() + VIEW_NS};
    rd_kafka_resp_err_t code = rd_kafka_metadata(k->browser, 1, NULL, &s.md, KAFKA_ASK_MS);
    if (code) {
        kafka_err(&view->err, code, "list topics");
        event_view_answer(view);
        return;
    }
    struct json w = json_to(&view->out);
    find_ends(&s);
    json_open(&w, '{');
    json_key(&w, "driver");
    json_cstr(&w, "kafka");
    json_key(&w, "topics");
    json_open(&w, '[');
    print_topics(&s, &w);
    json_close(&w, ']');
    json_key(&w, "groups");
    json_open(&w, '[');
    print_groups(&s, &w);
    json_close(&w, ']');
    json_close(&w, '}');
    mem_free(s.ends);
    rd_kafka_metadata_destroy(s.md);
    event_view_answer(view);
}
