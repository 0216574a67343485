/* redis/see.c -- how much lies in each queue, once a second, for looks that do not wait. */
#include "jobs/redis/record.h"

#include "base/mem.h"

enum { QUEUES_MOST = 1000, COUNTS = 4 /* ready, delayed, running, dead */ };

static redisReply *ask(struct redis_record *rec, const struct map *names, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    size_t at = 0;
    struct str name;
    void *value;
    redis_arg_c(a, rec->prefix);
    while (map_next(names, &at, &name, &value))
        redis_arg(a, name);
    redisReply *reply = redis_eval(rec->keep, &redis_see, a, err);
    mem_free(a);
    return reply;
}

static void tell(struct redis_record *rec, const struct map *names, const redisReply *reply)
{
    size_t at = 0, i = 0;
    struct str name;
    void *value;
    for (; i < reply->elements && map_next(names, &at, &name, &value); i++) {
        const redisReply *row = reply->element[i];
        if (row->elements == COUNTS)
            shared_seen(rec->jobs, name, row->element[0]->integer, row->element[1]->integer,
                        row->element[2]->integer, row->element[3]->integer);
    }
}

bool redis_see_queues(struct redis_record *rec, struct err *err)
{
    struct map *names = map_create();
    redisReply *queues = redis_command(rec->keep, err, "SMEMBERS %squeues", rec->prefix);
    for (int i = 0; i < rec->queue_count; i++)
        map_set(names, str_c(rec->queues[i]), rec);
    for (size_t i = 0; queues && i < queues->elements && map_count(names) < QUEUES_MOST; i++) {
        struct str rest = redis_item(queues, i);
        map_set(names, str_split(&rest, '\n'), rec);
    }
    redisReply *counts = queues ? ask(rec, names, err) : NULL;
    if (counts) {
        tell(rec, names, counts);
        freeReplyObject(counts);
    }
    map_destroy(names);
    if (queues) {
        if (rec->seen)
            freeReplyObject(rec->seen);
        rec->seen = queues;
    }
    return err->code == 0;
}
