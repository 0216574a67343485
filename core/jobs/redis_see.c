/* redis_see.c -- how much lies in each queue, once a second, for looks that do not wait. */
#include "jobs/redis_record.h"

#include "base/mem.h"

static int64_t length_of(struct redis_record *rec, const char *queue, struct err *err)
{
    int64_t total = 0;
    for (int step = 0; step < CELERY_STEPS && !err->code; step++) {
        struct buf list = {0};
        celery_list_name(str_c(queue), step * 3, &list);
        redisReply *reply = redis_command(rec->keep, err, "LLEN %b", list.p, list.n);
        total += redis_int(reply);
        if (reply)
            freeReplyObject(reply);
        buf_free(&list);
    }
    return total;
}

static int64_t number(struct redis_record *rec, const char *what, const char *key, struct err *err)
{
    redisReply *reply = redis_command(rec->keep, err, "%s %s%s", what, rec->prefix, key);
    int64_t value = redis_int(reply);
    if (reply)
        freeReplyObject(reply);
    return value;
}

/* Delayed, running and dead ones are not kept by queue: they are shown with the first one. */
bool redis_see_queues(struct redis_record *rec, struct err *err)
{
    struct map *names = map_create();
    redisReply *reply = redis_command(rec->keep, err, "SMEMBERS %squeues", rec->prefix);
    for (int i = 0; i < rec->queue_count; i++)
        map_set(names, str_c(rec->queues[i]), rec);
    for (size_t i = 0; reply && i < reply->elements && map_count(names) < 1000; i++) {
        struct str rest = redis_item(reply, i);
        map_set(names, str_split(&rest, '\n'), rec);
    }
    size_t at = 0;
    struct str name;
    void *value;
    bool first = true;
    while (!err->code && reply && map_next(names, &at, &name, &value)) {
        char *queue = str_dup(name);
        int64_t ready = length_of(rec, queue, err);
        shared_seen(rec->jobs, name, ready, first ? number(rec, "ZCARD", "eta", err) : 0,
                    first ? number(rec, "ZCARD", "lease", err) : 0,
                    first ? number(rec, "ZCARD", "dead", err) : 0);
        first = false;
        mem_free(queue);
    }
    map_destroy(names);
    if (reply) {
        if (rec->seen)
            freeReplyObject(rec->seen);
        rec->seen = reply;
    }
    return err->code == 0;
}
