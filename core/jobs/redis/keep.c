/* redis/keep.c -- what the keeper does now and then: leases, what is due, what is overdue. */
#include "jobs/redis/record.h"

#include "base/clock.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/celery/text.h"
#include "observe/log.h"

enum {
    DUE_MS = 100,
    SWEEP_MS = 4000,
    SEEN_MS = 1000,
    POLL_MS = 1000,
    PRUNE_MS = 30000,
    RENEW_PAIRS = 400
};

static bool is_time(int64_t *at, int64_t every_ms)
{
    int64_t now = clock_steady_ns();
    if (now < *at)
        return false;
    *at = now + every_ms * NS_PER_MS;
    return true;
}

static void set_more(struct redis_record *rec)
{
    pthread_mutex_lock(&rec->lock);
    rec->more = true;
    pthread_mutex_unlock(&rec->lock);
}

static bool push_due(struct redis_record *rec, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    redis_arg_c(a, rec->prefix);
    redisReply *reply = redis_eval(rec->keep, &redis_due, a, err);
    mem_free(a);
    if (redis_int(reply) > 0)
        set_more(rec);
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

/* Leases that are gone are others' jobs: what still runs of them is asked to end, and stale. */
static void lose(struct redis_record *rec, const redisReply *reply)
{
    for (size_t i = 0; reply && i < reply->elements; i++) {
        long long id = 0;
        str_int64(redis_item(reply, i), &id);
        pthread_mutex_lock(&rec->lock);
        struct claim *claim = index_get(&rec->claims, id);
        if (claim && claim->ending) /* its end may have come before this renewal */
            claim = NULL;
        if (claim)
            index_remove(&rec->claims, id);
        pthread_mutex_unlock(&rec->lock);
        if (!claim)
            continue;
        log_warn("jobs", "the lease of job %lld is gone; another node has it", id);
        claim_free(claim);
        shared_cancel(rec->jobs, id);
    }
}

static int leases(struct redis_record *rec, struct redis_args *a, size_t *at)
{
    int n = 0;
    pthread_mutex_lock(&rec->lock);
    for (; *at < rec->claims.size && n < RENEW_PAIRS; ++*at) {
        const struct claim *claim = rec->claims.slots[*at].id ? rec->claims.slots[*at].value : NULL;
        if (!claim)
            continue;
        redis_arg_int(a, claim->id);
        redis_arg_int(a, (int64_t)claim->lease);
        n++;
    }
    pthread_mutex_unlock(&rec->lock);
    return n;
}

static bool renew(struct redis_record *rec, struct err *err)
{
    struct redis_args *a = mem_alloc(sizeof *a);
    size_t at = 0;
    bool ok = true;
    for (int n = RENEW_PAIRS; ok && n == RENEW_PAIRS;) {
        a->count = a->number_count = 0;
        redis_arg_c(a, rec->prefix);
        redis_arg_int(a, rec->jobs->options.lease_ns / NS_PER_SECOND);
        n = leases(rec, a, &at);
        if (n == 0)
            break;
        redisReply *reply = redis_eval(rec->keep, &redis_renew, a, err);
        lose(rec, reply);
        ok = reply != NULL;
        if (reply)
            freeReplyObject(reply);
    }
    mem_free(a);
    return ok;
}

/* -- messages of those who died -- */

struct str redis_bound_queue(struct redis_record *rec, struct arena *arena, struct str exchange,
                             struct str key)
{
    struct err err = {0};
    struct str queue = key;
    if (exchange.n == 0)
        return key;
    redisReply *reply =
        redis_command(rec->keep, &err, "SMEMBERS _kombu.binding.%b", exchange.p, exchange.n);
    for (size_t i = 0; reply && i < reply->elements; i++) {
        struct str member = redis_item(reply, i), name = member;
        while (memchr(name.p, 0x16, name.n))
            str_split(&name, 0x16);
        if (member.n > key.n && memcmp(member.p, key.p, key.n) == 0 && member.p[key.n] == 0x06)
            queue = str_n(arena_strdup(arena, name), name.n);
    }
    if (reply)
        freeReplyObject(reply);
    return queue;
}

static struct str text_of(struct arena *arena, struct str value)
{
    struct buf text = {0};
    json_pick_text(value, &text);
    struct str copy = str_n(arena_strdup(arena, buf_str(&text)), text.n);
    buf_free(&text);
    return copy;
}

/* [message, exchange, routing key] as its list and the message with the marks of another delivery.
 */
static bool unpack(struct redis_record *rec, struct arena *arena, struct str value,
                   struct buf *list, struct buf *message)
{
    static const struct json_events nothing;
    struct err err = {0};
    struct json_pick p;
    struct str item[3];
    double priority = 0;
    int n = 0;
    if (json_read(value, CELERY_DEPTH, &nothing, NULL, &err) && json_pick_open(&p, value, '['))
        while (n < 3 && json_pick_item(&p, &item[n]))
            n++;
    if (n < 3)
        return false;
    struct str queue =
        redis_bound_queue(rec, arena, text_of(arena, item[1]), text_of(arena, item[2]));
    json_pick_number(json_pick_get(json_pick_get(item[0], "properties"), "priority"), &priority);
    celery_list_name(queue, priority > 0 && priority < 10 ? (int)priority : 0, list);
    celery_redelivered(item[0], message);
    return list->n > 0;
}

static void add_overdue(struct redis_record *rec, struct redis_args *a, struct arena *arena,
                        const redisReply *row)
{
    struct buf list = {0}, message = {0};
    if (redis_args_full(a, 4))
        return;
    if (unpack(rec, arena, redis_item(row, 2), &list, &message)) {
        redis_arg(a, redis_item(row, 0));
        redis_arg(a, redis_item(row, 1));
        redis_arg(a, str_n(arena_strdup(arena, buf_str(&list)), list.n));
        redis_arg(a, str_n(arena_strdup(arena, buf_str(&message)), message.n));
    } else
        log_warn("jobs", "what lies in unacked is not a message; it stays there");
    buf_free(&list);
    buf_free(&message);
}

static bool sweep(struct redis_record *rec, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct arena *arena = arena_create();
    char token[37];
    celery_uuid(token);
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, rec->visibility_s);
    redis_arg_c(a, token);
    redisReply *found = redis_eval(rec->keep, &redis_sweep, a, err), *reply = NULL;
    bool ok = found != NULL;
    if (found && found->elements > 0) {
        for (size_t i = 0; i < found->elements; i++)
            add_overdue(rec, a, arena, found->element[i]);
        reply = redis_eval(rec->keep, &redis_restore, a, err);
        ok = reply != NULL;
    }
    if (redis_int(reply) > 0) {
        log_info("jobs", "%lld messages of workers that are gone were put back",
                 (long long)redis_int(reply));
        set_more(rec);
    }
    if (found)
        freeReplyObject(found);
    if (reply)
        freeReplyObject(reply);
    arena_destroy(arena);
    mem_free(a);
    return ok;
}

/* Dead jobs that are too old; there may be more of them than one step takes. */
static bool prune(struct redis_record *rec, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, rec->jobs->options.dead_ttl_ns / NS_PER_SECOND);
    redisReply *reply = redis_eval(rec->keep, &redis_prune, a, err);
    mem_free(a);
    if (redis_int(reply) > 0)
        rec->prune_at = 0;
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

static void look_for_refill(struct redis_record *rec)
{
    if (rec->refill_at == 0 || clock_steady_ns() < rec->refill_at)
        return;
    rec->refill_at = 0;
    set_more(rec);
}

/* -- all of it -- */

bool redis_keep(struct redis_record *rec, struct err *err)
{
    int64_t lease_ms = rec->jobs->options.lease_ns / NS_PER_MS;
    pthread_mutex_lock(&rec->lock);
    bool started = rec->started && !rec->stopping;
    pthread_mutex_unlock(&rec->lock);
    if (is_time(&rec->renew_at, lease_ms / 4) && !renew(rec, err))
        return false;
    if (is_time(&rec->cards_at, lease_ms / 4) && !redis_tell_cards(rec, err))
        return false;
    if (!started)
        return true;
    if (is_time(&rec->due_at, DUE_MS) && !push_due(rec, err))
        return false;
    if (is_time(&rec->sweep_at, lease_ms / 4 < SWEEP_MS ? lease_ms / 4 : SWEEP_MS) &&
        !sweep(rec, err))
        return false;
    if (is_time(&rec->seen_at, SEEN_MS) &&
        (!redis_see_settings(rec, err) || !redis_see_queues(rec, err) ||
         !redis_see_workflows(rec, err)))
        return false;
    if (is_time(&rec->prune_at, PRUNE_MS) && !prune(rec, err))
        return false;
    if (!redis_declare(rec, err))
        return false;
    if (is_time(&rec->poll_at, POLL_MS))
        set_more(rec);
    look_for_refill(rec);
    pthread_mutex_lock(&rec->lock);
    bool more = rec->more;
    pthread_mutex_unlock(&rec->lock);
    return (!more || redis_claim_some(rec, err)) && celery_events_run(rec, err);
}
