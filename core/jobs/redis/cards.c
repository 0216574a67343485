/* redis/cards.c -- what this node says of itself, and what the others do, with each heartbeat. */
#include "jobs/driver.h"
#include "jobs/redis/record.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/drivers.h"

static redisReply *say(struct redis_record *rec, struct str card, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    redis_arg_c(a, rec->prefix);
    redis_arg_c(a, rec->outbox.home);
    redis_arg(a, card);
    redis_arg_int(a, rec->jobs->options.lease_ns / 1000);
    redisReply *reply = redis_eval(rec->keep, &redis_cards, a, err);
    mem_free(a);
    return reply;
}

bool redis_tell_cards(struct redis_record *rec, struct err *err)
{
    struct buf card = {0};
    struct shared_cards all = {0};
    shared_card(rec->jobs, &card);
    int64_t began = clock_steady_ns();
    redisReply *reply = say(rec, card.n ? buf_str(&card) : STR("{}"), err);
    if (reply)
        driver_health_took(rec->health, clock_steady_ns() - began);
    buf_free(&card);
    for (size_t i = 0; reply && i < reply->elements; i++) {
        const redisReply *row = reply->element[i];
        if (row->elements == 3)
            shared_cards_add(&all, redis_item(row, 2), row->element[0]->integer * 1000,
                             row->element[1]->integer != 0);
    }
    if (!reply)
        return false;
    shared_cards_end(rec->jobs, &all);
    freeReplyObject(reply);
    return true;
}

void redis_leave_cards(struct redis_record *rec)
{
    struct err err = {0};
    redisReply *reply = rec->keep ? say(rec, STR(""), &err) : NULL;
    if (reply)
        freeReplyObject(reply);
}
