/* redis/settings.c -- what an operator set of queues, for all nodes. */
#include "jobs/redis/record.h"

#include <stdio.h>

#include "base/mem.h"

/* ORDER queue_field: one word of a queue's text each; "-" = not set. */
enum { FIELDS = 6, FIELD_BYTES = 48 };

static void print_field(const struct job_queue_change *c, unsigned field, char *out)
{
    const struct job_queue_limits *l = &c->limits;
    const struct job_rate *rate = field == QUEUE_RATE ? &l->rate : &l->key_rate;
    int number = field == QUEUE_PAUSED        ? c->paused
                 : field == QUEUE_CONCURRENCY ? l->concurrency
                 : field == QUEUE_WEIGHT      ? l->weight
                                              : l->key_concurrency;
    if (c->reset & field)
        snprintf(out, FIELD_BYTES, "-");
    else if (!(c->set & field))
        *out = '\0';
    else if (field == QUEUE_RATE || field == QUEUE_KEY_RATE)
        snprintf(out, FIELD_BYTES, "%lld/%lld", (long long)rate->count, (long long)rate->period_ns);
    else
        snprintf(out, FIELD_BYTES, "%d", number);
}

static void read_field(struct job_queue_change *c, unsigned field, struct str word)
{
    struct job_queue_limits *l = &c->limits;
    struct str count = str_split(&word, '/');
    long long number = 0, period = 0;
    if (!str_int64(count, &number)) /* "-" */
        return;
    str_int64(word, &period);
    c->set |= field;
    switch ((enum queue_field)field) {
    case QUEUE_PAUSED:
        c->paused = number != 0;
        break;
    case QUEUE_CONCURRENCY:
        l->concurrency = (int)number;
        break;
    case QUEUE_RATE:
        l->rate = (struct job_rate){number, period};
        break;
    case QUEUE_WEIGHT:
        l->weight = (int)number;
        break;
    case QUEUE_KEY_CONCURRENCY:
        l->key_concurrency = (int)number;
        break;
    case QUEUE_KEY_RATE:
        l->key_rate = (struct job_rate){number, period};
        break;
    case QUEUE_FIELDS:
        break;
    }
}

static struct job_queue_change read_setting(struct str text)
{
    struct job_queue_change c;
    memset(&c, 0, sizeof c); /* settings_seen() compares it whole */
    for (int i = 0; i < FIELDS; i++)
        read_field(&c, 1U << i, str_split(&text, ' '));
    return c;
}

static bool write_setting(struct redis_record *rec, struct redis *conn, struct setting_op *op,
                          struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    char words[FIELDS][FIELD_BYTES];
    redis_arg_c(a, rec->prefix);
    redis_arg_c(a, op->queue->name);
    for (int i = 0; i < FIELDS; i++) {
        print_field(&op->what, 1U << i, words[i]);
        redis_arg_c(a, words[i]);
    }
    redisReply *reply = redis_eval(conn, &redis_set_queue, a, err);
    mem_free(a);
    if (!reply)
        return false;
    op->result = read_setting(redis_text(reply));
    freeReplyObject(reply);
    return true;
}

bool redis_write_settings(struct redis_record *rec, struct redis *conn, struct err *err)
{
    for (struct setting_op *op = rec->jobs->batch.settings; op; op = op->next)
        if (!write_setting(rec, conn, op, err))
            return false;
    return true;
}

bool redis_see_settings(struct redis_record *rec, struct err *err)
{
    redisReply *reply = redis_command(rec->keep, err, "HGETALL %ssetting", rec->prefix);
    for (size_t i = 0; reply && i + 1 < reply->elements; i += 2) {
        struct job_queue_change now = read_setting(redis_item(reply, i + 1));
        struct str name = redis_item(reply, i);
        if (name.n <= JOBS_NAME_BYTES)
            settings_seen(rec->jobs, name, &now);
    }
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}
