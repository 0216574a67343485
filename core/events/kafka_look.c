/* kafka_look.c -- looks into topics: three threads, one reads, one shows what there is, one
 * browses, with consumers that are in no group. */
#include "base/mem.h"
#include "events/kafka.h"

struct look {
    struct look *next;
    struct event_query *query; /* one of the three */
    struct event_view *view;
    struct event_browse *browse;
};

static struct look *next_look(struct looker *l)
{
    struct kafka *k = l->k;
    pthread_mutex_lock(&k->lock);
    while (!l->first && !atomic_load(&k->stopping))
        pthread_cond_wait(&k->wake, &k->lock);
    struct look *look = l->first;
    if (look && !(l->first = look->next))
        l->end = &l->first;
    pthread_mutex_unlock(&k->lock);
    return look;
}

static void refuse(struct look *look)
{
    struct err *err = look->query  ? &look->query->err
                      : look->view ? &look->view->err
                                   : &look->browse->err;
    err_set(err, ERR_CLOSED, "events: the stream is closed");
    if (look->query)
        event_query_answer(look->query);
    else if (look->view)
        event_view_answer(look->view);
    else
        event_browse_answer(look->browse);
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

static void browse(struct kafka *k, struct event_browse *browse)
{
    if (k->peek || (k->peek = make_browser(k, &browse->err)))
        kafka_answer_browse(k, browse);
    else
        event_browse_answer(browse);
}

static void *look_thread(void *arg)
{
    struct looker *l = arg;
    struct look *look;
    while ((look = next_look(l))) {
        if (atomic_load(&l->k->stopping))
            refuse(look);
        else if (look->query)
            kafka_answer_query(l->k, look->query);
        else if (look->view)
            kafka_answer_view(l->k, look->view);
        else
            browse(l->k, look->browse);
        mem_free(look);
    }
    return NULL;
}

static void add(struct kafka *k, struct looker *l, struct look what)
{
    struct look *look = mem_zero(1, sizeof *look);
    *look = what;
    pthread_mutex_lock(&k->lock);
    *l->end = look;
    l->end = &look->next;
    pthread_cond_broadcast(&k->wake);
    pthread_mutex_unlock(&k->lock);
}

void kafka_read(struct events *events, struct event_query *query)
{
    struct kafka *k = events->record;
    add(k, &k->reader, (struct look){.query = query});
}

void kafka_view(struct events *events, struct event_view *view)
{
    struct kafka *k = events->record;
    add(k, &k->viewer, (struct look){.view = view});
}

void kafka_browse(struct events *events, struct event_browse *browse)
{
    struct kafka *k = events->record;
    add(k, &k->browsing, (struct look){.browse = browse});
}

static bool looker_start(struct looker *l, struct kafka *k, struct err *err)
{
    l->k = k;
    l->end = &l->first;
    int rc = pthread_create(&l->thread, NULL, look_thread, l);
    l->started = rc == 0;
    return l->started || err_sys(err, rc, "events: start a thread");
}

bool kafka_look_start(struct kafka *k, struct err *err)
{
    k->browser = make_browser(k, err);
    return k->browser && looker_start(&k->reader, k, err) && looker_start(&k->viewer, k, err) &&
           looker_start(&k->browsing, k, err);
}

void kafka_look_stop(struct kafka *k)
{
    pthread_mutex_lock(&k->lock);
    pthread_cond_broadcast(&k->wake);
    pthread_mutex_unlock(&k->lock);
    if (k->reader.started)
        pthread_join(k->reader.thread, NULL);
    if (k->viewer.started)
        pthread_join(k->viewer.thread, NULL);
    if (k->browsing.started)
        pthread_join(k->browsing.thread, NULL);
    if (k->peek)
        rd_kafka_destroy_flags(k->peek, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    if (k->browser)
        rd_kafka_destroy_flags(k->browser, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}
