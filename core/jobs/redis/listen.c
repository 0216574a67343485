/* redis/listen.c -- what Redis says by itself: that a queue's list grew, that remote control has a
 * request, that a job which runs here was cancelled elsewhere.
 *
 * Kombu's producers announce nothing, and a worker that pops by a script cannot wait inside it.  So
 * a second connection asks for the server's invalidation messages (CLIENT TRACKING in broadcast
 * mode, since Redis 6) of the queues' names, which arrive here; without them, or when one is lost,
 * the keeper looks once a second anyway. */
#include "jobs/redis/record.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { LISTEN_MS = 200, AGAIN_MS = 500, REFRESH_MS = 2000 };

struct listener {
    struct redis_record *rec;
    struct redis *sub, *tracker;
    int64_t sub_id, refresh_at;
    struct buf prefixes; /* tracked now, each with a line feed behind it */
};

static bool did(redisReply *reply)
{
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

/* Names none of which begins with another: the server refuses prefixes that overlap. */
static void wanted(struct redis_record *rec, struct buf *out)
{
    const char *names[REDIS_QUEUES * 2];
    int count = 0;
    struct jobs *jobs = rec->jobs;
    for (int i = 0; i < rec->queue_count; i++)
        names[count++] = rec->queues[i];
    jobs_lock(jobs);
    for (uint32_t w = 1; w <= jobs->words && count < REDIS_QUEUES * 2; w++)
        if (jobs->kind_words[w] && jobs->kind_words[w]->target)
            names[count++] = jobs->kind_words[w]->queue->name;
    for (int i = 0; i < count; i++) {
        bool covered = false;
        for (int k = 0; k < count && !covered; k++)
            covered = k != i && str_starts(str_c(names[i]), str_c(names[k])) &&
                      (strcmp(names[i], names[k]) != 0 || k < i);
        if (!covered)
            buf_printf(out, "%s\n", names[i]);
    }
    jobs_unlock(jobs);
}

static void track(struct listener *l)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct buf names = {0};
    struct err err = {0};
    wanted(l->rec, &names);
    bool same = l->tracker && str_eq(buf_str(&names), buf_str(&l->prefixes));
    if (!same && names.n) {
        redis_close(l->tracker);
        l->tracker = redis_open(&l->rec->url, "maru-tracker", REDIS_TIMEOUT_MS, &err);
        struct str rest = buf_str(&names);
        redis_arg_c(a, "CLIENT");
        redis_arg_c(a, "TRACKING");
        redis_arg_c(a, "ON");
        redis_arg_c(a, "REDIRECT");
        redis_arg_int(a, l->sub_id);
        redis_arg_c(a, "BCAST");
        while (rest.n) {
            redis_arg_c(a, "PREFIX");
            redis_arg(a, str_split(&rest, '\n'));
        }
        if (l->tracker && did(redis_call(l->tracker, a, &err))) {
            buf_clear(&l->prefixes);
            buf_add_str(&l->prefixes, buf_str(&names));
        }
    } else if (l->tracker)
        did(redis_command(l->tracker, &err, "PING"));
    if (err.code == ERR_IO) {
        redis_close(l->tracker);
        l->tracker = NULL;
    }
    buf_free(&names);
    mem_free(a);
}

static bool subscribe(struct listener *l, struct err *err)
{
    l->sub = redis_open(&l->rec->url, "maru-listener", REDIS_TIMEOUT_MS, err);
    redisReply *id = l->sub ? redis_command(l->sub, err, "CLIENT ID") : NULL;
    l->sub_id = redis_int(id);
    redis_close(l->tracker);
    l->tracker = NULL;
    l->refresh_at = 0;
    /* One channel at a time: a command that has several answers would leave some behind. */
    return did(id) && did(redis_command(l->sub, err, "SUBSCRIBE __redis__:invalidate")) &&
           did(redis_command(l->sub, err, "SUBSCRIBE %scancel", l->rec->prefix)) &&
           did(redis_command(l->sub, err, "SUBSCRIBE %sroom", l->rec->prefix)) &&
           did(redis_command(l->sub, err, "PSUBSCRIBE /%d.celery.pidbox", l->rec->url.db));
}

/* Whether one of the keys may be a list of a queue: a queue's name can be what ours begin with. */
static bool is_work(const struct redis_record *rec, const redisReply *keys)
{
    if (keys->type != REDIS_REPLY_ARRAY)
        return true;
    for (size_t i = 0; i < keys->elements; i++)
        if (!str_starts(redis_item(keys, i), str_c(rec->prefix)))
            return true;
    return false;
}

static void on_message(struct listener *l, const redisReply *reply)
{
    struct redis_record *rec = l->rec;
    struct str kind = redis_item(reply, 0), channel = redis_item(reply, 1);
    bool is_news = str_eq_c(kind, "message");
    long long id;
    if (str_eq_c(kind, "pmessage")) {
        celery_control(rec, redis_item(reply, 3));
    } else if (is_news && str_eq_c(channel, "__redis__:invalidate")) {
        if (is_work(rec, reply->element[2]))
            redis_look_for_work(rec);
    } else if (is_news && str_int64(redis_item(reply, 2), &id)) {
        shared_cancel(rec->jobs, id);
    } else if (is_news) /* a limit has opened */
        redis_look_for_work(rec);
}

static bool is_stopping(struct redis_record *rec)
{
    pthread_mutex_lock(&rec->lock);
    bool stopping = rec->stopping;
    pthread_mutex_unlock(&rec->lock);
    return stopping;
}

void *redis_listener_main(void *record)
{
    struct listener l = {.rec = record};
    while (!is_stopping(l.rec)) {
        struct err err = {0};
        if (!l.sub && !subscribe(&l, &err)) {
            redis_close(l.sub);
            l.sub = NULL;
            usleep(AGAIN_MS * 1000);
            continue;
        }
        if (clock_steady_ns() >= l.refresh_at) {
            l.refresh_at = clock_steady_ns() + REFRESH_MS * NS_PER_MS;
            track(&l);
        }
        redisReply *reply = redis_receive(l.sub, LISTEN_MS, &err);
        if (reply) {
            on_message(&l, reply);
            freeReplyObject(reply);
        } else if (err.code) {
            redis_close(l.sub);
            l.sub = NULL;
        }
    }
    redis_close(l.sub);
    redis_close(l.tracker);
    buf_free(&l.prefixes);
    return NULL;
}
