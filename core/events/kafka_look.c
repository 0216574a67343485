/* kafka_look.c -- looks into topics: a thread with a consumer that is in no group. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "events/kafka.h"

struct look {
    struct look *next;
    struct event_query *query; /* one of the two */
    struct event_view *view;
};

/* -- topics ----------------------------------------------------------------------------------- */

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

static bool read_ends(rd_kafka_t *rk, const char *name, int count, int64_t **ends, struct err *err)
{
    int64_t low, *list = mem_zero((size_t)count, sizeof *list);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; !code && i < count; i++)
        code = rd_kafka_query_watermark_offsets(rk, name, i, &low, &list[i], KAFKA_ASK_MS);
    *ends = list;
    if (!code)
        return true;
    mem_free(list);
    *ends = NULL;
    return kafka_err(err, code, name);
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

/* -- reading ---------------------------------------------------------------------------------- */

struct part {
    int64_t from, high; /* next to be read; end as it was at the beginning of the look */
};
struct found {
    int64_t at, offset;
    int partition;
    size_t begin, end;
};
struct reading {
    struct event_query *query;
    char name[KAFKA_TOPIC_BYTES];
    struct part *parts;
    int count;
    struct buf text;
    struct found *found;
    int found_count;
};

/* "0:12,1:5": the next offset of each partition. */
static bool read_cursor(struct reading *r, struct err *err)
{
    struct str rest = r->query->cursor;
    while (rest.n) {
        struct str item = str_split(&rest, ',');
        struct str partition = str_split(&item, ':');
        long long p, offset;
        if (!str_int64(partition, &p) || !str_int64(item, &offset) || p < 0 || offset < 0)
            return err_set(err, ERR_INVALID, "events: '%.*s' is no cursor of a read",
                           (int)(r->query->cursor.n < 40 ? r->query->cursor.n : 40),
                           r->query->cursor.p);
        if (p < r->count)
            r->parts[p].from = offset;
    }
    return true;
}

static bool find_ends(struct reading *r, rd_kafka_t *rk, struct err *err)
{
    for (int i = 0; i < r->count; i++) {
        int64_t low, high;
        rd_kafka_resp_err_t code =
            rd_kafka_query_watermark_offsets(rk, r->name, i, &low, &high, KAFKA_ASK_MS);
        if (code)
            return kafka_err(err, code, r->name);
        struct part *p = &r->parts[i];
        p->high = high;
        if (p->from < low)
            p->from = low;
        if (r->query->partition >= 0 && r->query->partition != i)
            p->from = p->high;
        if (p->from > high && r->query->partition < 0 && !r->query->cursor.n)
            p->from = high;
    }
    return true;
}

static bool begin_read(struct reading *r, struct kafka *k, struct err *err)
{
    if (!kafka_topic(k, r->query->topic, r->name))
        return err_set(err, ERR_INVALID, "events: the topic's name is too long");
    r->count = kafka_partitions(k->browser, r->name, err);
    if (r->count < 0)
        return false;
    if (r->count == 0 || r->query->partition >= r->count)
        return err_set(err, ERR_NOT_FOUND, "events: there is no %s '%.*s'",
                       r->count ? "such partition of topic" : "topic", (int)r->query->topic.n,
                       r->query->topic.p);
    if (r->count > KAFKA_PARTITIONS)
        r->count = KAFKA_PARTITIONS;
    r->parts = mem_zero((size_t)r->count, sizeof *r->parts);
    for (int i = 0; i < r->count; i++)
        r->parts[i].from = r->query->cursor.n ? 0 : r->query->after + 1;
    return read_cursor(r, err) && find_ends(r, k->browser, err);
}

static bool is_through(const struct reading *r)
{
    for (int i = 0; i < r->count; i++)
        if (r->parts[i].from < r->parts[i].high)
            return false;
    return true;
}

static void take(struct reading *r, const rd_kafka_message_t *m)
{
    struct part *p = &r->parts[m->partition];
    if (m->partition >= r->count || m->offset < p->from)
        return;
    struct found *f = &r->found[r->found_count++];
    rd_kafka_timestamp_type_t type;
    f->at = rd_kafka_message_timestamp(m, &type);
    f->partition = m->partition;
    f->offset = m->offset;
    f->begin = r->text.n;
    kafka_print(&r->text, r->query->topic, m);
    f->end = r->text.n;
    p->from = m->offset + 1;
}

static bool poll_all(struct reading *r, struct kafka *k, struct err *err)
{
    int64_t until = clock_steady_ns() + KAFKA_ASK_MS * NS_PER_MS;
    while (!is_through(r) && r->found_count < r->query->limit && r->text.n < EVENT_READ_BYTES) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(k->browser, KAFKA_POLL_MS);
        if (m && !m->err)
            take(r, m);
        else if (m && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && m->partition < r->count)
            r->parts[m->partition].high = m->offset;
        if (m)
            rd_kafka_message_destroy(m);
        if (clock_steady_ns() > until && r->found_count == 0)
            return err_set(err, ERR_TIMEOUT, "kafka: %s was not answered in time", r->name);
        if (clock_steady_ns() > until)
            return true;
    }
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->partition == y->partition)
        return (x->offset > y->offset) - (x->offset < y->offset);
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->partition - y->partition;
}

static void print_found(struct reading *r)
{
    qsort(r->found, (size_t)r->found_count, sizeof *r->found, by_time);
    for (int i = 0; i < r->found_count; i++) {
        if (i)
            buf_add_char(&r->query->out, ',');
        buf_add(&r->query->out, r->text.p + r->found[i].begin, r->found[i].end - r->found[i].begin);
    }
}

static bool print_cursor(struct reading *r, struct err *err)
{
    struct buf text = {0};
    for (int i = 0; i < r->count; i++)
        if (r->query->partition < 0 || r->query->partition == i)
            buf_printf(&text, "%s%d:%" PRId64, text.n ? "," : "", i, r->parts[i].from);
    bool fits = text.n < sizeof r->query->next;
    if (fits)
        snprintf(r->query->next, sizeof r->query->next, "%s", text.p ? text.p : "");
    buf_free(&text);
    return fits ||
           err_set(err, ERR_LIMIT,
                   "events: %d partitions are too many for one read: name a partition", r->count);
}

static bool read_topic(struct reading *r, struct kafka *k, struct err *err)
{
    if (!begin_read(r, k, err))
        return false;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(r->count);
    for (int i = 0; i < r->count; i++)
        if (r->parts[i].from < r->parts[i].high)
            rd_kafka_topic_partition_list_add(list, r->name, i)->offset = r->parts[i].from;
    r->found = mem_zero((size_t)r->query->limit, sizeof *r->found);
    rd_kafka_resp_err_t code = rd_kafka_assign(k->browser, list);
    rd_kafka_topic_partition_list_destroy(list);
    bool ok = !code ? poll_all(r, k, err) : kafka_err(err, code, r->name);
    rd_kafka_assign(k->browser, NULL);
    if (ok)
        print_found(r);
    return ok && print_cursor(r, err);
}

static void answer_query(struct kafka *k, struct event_query *query)
{
    struct reading r = {.query = query};
    read_topic(&r, k, &query->err);
    buf_free(&r.text);
    mem_free(r.parts);
    mem_free(r.found);
    event_query_answer(query);
}

/* -- all of it -------------------------------------------------------------------------------- */

static void member(struct json *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_int(w, value);
}

static void print_topic(struct kafka *k, struct json *w, const struct rd_kafka_metadata_topic *t)
{
    const char *name = kafka_untopic(k, t->topic);
    int64_t events = 0;
    if (!name || t->err)
        return;
    json_open(w, '{');
    json_key(w, "topic");
    json_cstr(w, name);
    json_key(w, "partitions");
    json_open(w, '[');
    for (int i = 0; i < t->partition_cnt && i < KAFKA_PARTITIONS; i++) {
        int64_t low = -1, high = -1;
        rd_kafka_query_watermark_offsets(k->browser, t->topic, t->partitions[i].id, &low, &high,
                                         KAFKA_ASK_MS);
        json_open(w, '{');
        member(w, "partition", t->partitions[i].id);
        member(w, "first", low);
        member(w, "next", high);
        json_close(w, '}');
        events += high - low;
    }
    json_close(w, ']');
    member(w, "events", events);
    json_close(w, '}');
}

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

static int64_t print_places(struct kafka *k, struct json *w, const char *name,
                            const rd_kafka_topic_partition_list_t *list)
{
    int64_t lag = 0;
    for (int i = 0; i < list->cnt; i++) {
        int64_t low, high, offset = list->elems[i].offset;
        if (rd_kafka_query_watermark_offsets(k->browser, name, i, &low, &high, KAFKA_ASK_MS) ||
            offset < 0)
            continue;
        json_open(w, '{');
        member(w, "partition", i);
        member(w, "offset", offset);
        member(w, "lag", high > offset ? high - offset : 0);
        json_close(w, '}');
        lag += high > offset ? high - offset : 0;
    }
    return lag;
}

static void print_group(struct kafka *k, struct json *w, const struct group_seen *g)
{
    struct err err;
    int count = kafka_partitions(k->browser, g->name, &err);
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new(count > 0 ? count : 1);
    for (int i = 0; i < count && i < KAFKA_PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(list, g->name, i)->offset = RD_KAFKA_OFFSET_INVALID;
    if (count > 0)
        ask_group(k, g->group, list);
    json_open(w, '{');
    json_key(w, "group");
    json_cstr(w, g->plugin);
    json_key(w, "topic");
    json_cstr(w, g->topic);
    json_key(w, "partitions");
    json_open(w, '[');
    int64_t lag = print_places(k, w, g->name, list);
    json_close(w, ']');
    member(w, "lag", lag);
    json_key(w, "serving");
    json_bool(w, true);
    json_close(w, '}');
    rd_kafka_topic_partition_list_destroy(list);
}

static void print_groups(struct kafka *k, struct json *w)
{
    struct group_seen *list;
    int count = groups_seen(k, &list);
    for (int i = 0; i < count; i++) {
        print_group(k, w, &list[i]);
        mem_free(list[i].plugin);
        mem_free(list[i].group);
        mem_free(list[i].topic);
    }
    mem_free(list);
}

static void answer_view(struct kafka *k, struct event_view *view)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t code = rd_kafka_metadata(k->browser, 1, NULL, &md, KAFKA_ASK_MS);
    if (code) {
        kafka_err(&view->err, code, "list topics");
        event_view_answer(view);
        return;
    }
    struct json w = json_to(&view->out);
    json_open(&w, '{');
    json_key(&w, "driver");
    json_cstr(&w, "kafka");
    json_key(&w, "topics");
    json_open(&w, '[');
    for (int i = 0; i < md->topic_cnt; i++)
        print_topic(k, &w, &md->topics[i]);
    json_close(&w, ']');
    json_key(&w, "groups");
    json_open(&w, '[');
    print_groups(k, &w);
    json_close(&w, ']');
    json_close(&w, '}');
    rd_kafka_metadata_destroy(md);
    event_view_answer(view);
}

/* -- the thread -------------------------------------------------------------------------------- */

static struct look *next_look(struct kafka *k)
{
    pthread_mutex_lock(&k->lock);
    while (!k->looks && !atomic_load(&k->stopping))
        pthread_cond_wait(&k->wake, &k->lock);
    struct look *look = k->looks;
    if (look && !(k->looks = look->next))
        k->looks_end = &k->looks;
    pthread_mutex_unlock(&k->lock);
    return look;
}

static void refuse(struct look *look)
{
    struct err *err = look->query ? &look->query->err : &look->view->err;
    err_set(err, ERR_CLOSED, "events: the stream is closed");
    if (look->query)
        event_query_answer(look->query);
    else
        event_view_answer(look->view);
}

static void *look_thread(void *arg)
{
    struct kafka *k = arg;
    struct look *look;
    while ((look = next_look(k))) {
        if (atomic_load(&k->stopping))
            refuse(look);
        else if (look->query)
            answer_query(k, look->query);
        else
            answer_view(k, look->view);
        mem_free(look);
    }
    return NULL;
}

static void add(struct kafka *k, struct event_query *query, struct event_view *view)
{
    struct look *look = mem_zero(1, sizeof *look);
    look->query = query;
    look->view = view;
    pthread_mutex_lock(&k->lock);
    *k->looks_end = look;
    k->looks_end = &look->next;
    pthread_cond_broadcast(&k->wake);
    pthread_mutex_unlock(&k->lock);
}

void kafka_read(struct events *events, struct event_query *query)
{
    add(events->record, query, NULL);
}

void kafka_view(struct events *events, struct event_view *view)
{
    add(events->record, NULL, view);
}

static rd_kafka_t *make_browser(struct kafka *k, struct err *err)
{
    char why[300], *group = mem_printf("%s.look", k->events->options.group);
    static const struct kafka_property defaults[] = {{"fetch.wait.max.ms", "50"}, {NULL, NULL}};
    const struct kafka_property fixed[] = {{"group.id", group},
                                           {"enable.auto.commit", "false"},
                                           {"enable.partition.eof", "true"},
                                           {NULL, NULL}};
    rd_kafka_conf_t *conf = kafka_conf(k, "look", defaults, fixed, err);
    mem_free(group);
    if (!conf)
        return NULL;
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        err_set(err, ERR_INVALID, "events.kafka: %s", why);
        return NULL;
    }
    rd_kafka_poll_set_consumer(rk);
    return rk;
}

bool kafka_look_start(struct kafka *k, struct err *err)
{
    k->looks_end = &k->looks;
    k->browser = make_browser(k, err);
    if (!k->browser)
        return false;
    int rc = pthread_create(&k->looker, NULL, look_thread, k);
    k->looking = rc == 0;
    return k->looking || err_sys(err, rc, "events: start a thread");
}

void kafka_look_stop(struct kafka *k)
{
    pthread_mutex_lock(&k->lock);
    pthread_cond_broadcast(&k->wake);
    pthread_mutex_unlock(&k->lock);
    if (k->looking)
        pthread_join(k->looker, NULL);
    if (k->browser)
        rd_kafka_destroy_flags(k->browser, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}
