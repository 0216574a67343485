/* redis/outbox.c -- rows of the outbox to Redis, on the writer thread. */
#include "jobs/redis/record.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

enum { ID_BLOCK = 1 << 20 };

bool redis_ids(struct redis_record *rec, struct redis *conn, struct err *err)
{
    jobs_lock(rec->jobs);
    bool enough = rec->jobs->id_limit - rec->jobs->next_id >= ID_BLOCK / 4;
    jobs_unlock(rec->jobs);
    if (enough)
        return true;
    redisReply *reply = redis_command(conn, err, "INCRBY %snext_id %d", rec->prefix, ID_BLOCK);
    int64_t last = redis_int(reply);
    if (reply)
        freeReplyObject(reply);
    if (last)
        shared_ids(rec->jobs, last - ID_BLOCK + 1, last + 1);
    return last != 0;
}

void redis_tx_committed(struct jobs *jobs)
{
    struct redis_record *rec = record_of(jobs);
    pthread_mutex_lock(&rec->lock);
    rec->relay_wanted = true;
    pthread_cond_signal(&rec->write_wake);
    pthread_mutex_unlock(&rec->lock);
}

/* Redis was set back, and has given the id that the transaction was told to another job since. */
static bool renumber(struct redis_record *rec, struct redis *conn, struct job *job, struct err *err)
{
    redisReply *reply = redis_command(conn, err, "INCRBY %snext_id 1", rec->prefix);
    int64_t id = redis_int(reply);
    if (reply)
        freeReplyObject(reply);
    if (!id)
        return false;
    log_warn("jobs", "%s pushed in a transaction is job %lld, not %lld: Redis has lost what it had",
             job->kind->name, (long long)id, (long long)job->id);
    job->id = id;
    return true;
}

static int64_t seq_of(const struct push_op *op)
{
    return ((const struct outbox_row *)(const void *)((const char *)op -
                                                      offsetof(struct outbox_row, op)))
        ->seq;
}

/* As many as one call takes; returns the first that has not arrived.  NULL with *err, too. */
static struct push_op *relay_some(struct redis_record *rec, struct redis *conn,
                                  struct redis_pushing *p, struct push_op *ops, struct err *err)
{
    struct push_op *op = ops;
    redis_pushing_begin(rec, p, rec->outbox.home, 0);
    for (; op && p->count < REDIS_PUSHES; op = op->next)
        redis_pushing_add(rec, p, op, op->first);
    int n = p->count;
    for (struct push_op *each = ops; each != op; each = each->next)
        redis_arg_int(&p->args, seq_of(each));
    redisReply *reply = redis_eval(conn, &redis_relay, redis_pushing_args(p), err);
    for (int i = 0; reply && i < n && (size_t)i < reply->elements; i++, ops = ops->next) {
        struct str code = redis_item(reply, (size_t)i);
        if (str_eq_c(code, "taken"))
            break;
        redis_push_answer(ops, code, 0);
        if (ops->refused)
            log_error("jobs", "job %lld, pushed in a transaction, is in the quarantine",
                      (long long)ops->first->id);
    }
    bool taken = reply && ops != op;
    if (reply)
        freeReplyObject(reply);
    if (taken && !renumber(rec, conn, ops->first, err))
        return NULL;
    return ops;
}

static bool relay(struct redis_record *rec, struct redis *conn, struct push_op *pushes,
                  struct err *err)
{
    struct redis_pushing *p = mem_zero(1, sizeof *p);
    for (struct push_op *op = pushes; op && !err->code;)
        op = relay_some(rec, conn, p, op, err);
    redis_pushing_end(p);
    mem_free(p);
    return err->code == 0;
}

void redis_relay_rows(struct redis_record *rec, struct redis **conn)
{
    struct outbox_rows rows = {0};
    struct err err = {0};
    bool up = redis_reach(rec, conn, "writer", &err);
    if (up && redis_ids(rec, *conn, &err) && outbox_read(&rec->outbox, &rows, &err) && rows.first) {
        struct push_op *pushes = outbox_pushes(&rows, 0);
        if (relay(rec, *conn, pushes, &err)) {
            outbox_complain(pushes);
            outbox_delete(&rows, &err);
        }
    }
    if (err.code)
        log_warn("jobs", "pushes of transactions wait: %s", err.message);
    if (up && err.code)
        redis_failed(rec, conn, &err);
    pthread_mutex_lock(&rec->lock);
    rec->relay_wanted |= err.code || rows.count == OUTBOX_ROWS;
    rec->relay_at = err.code ? clock_steady_ns() + OUTBOX_RETRY_MS * NS_PER_MS : 0;
    rec->more |= rows.first != NULL;
    pthread_mutex_unlock(&rec->lock);
    if (rows.first)
        redis_wake_keeper(rec);
    outbox_free(&rows);
}
