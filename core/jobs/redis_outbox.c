/* redis_outbox.c -- rows of the outbox to Redis, on the writer thread. */
#include "jobs/redis_record.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

enum { ID_BLOCK = 1 << 20, TAKEN = 3 };

/* The body is redis_push, which sees the arguments of one job; arguments come as the parameters
 * of a function, so that nothing here depends on how many a job has.  A row that Redis cannot take
 * (a list's name is another type's) goes to the quarantine with its message, and the others on. */
static const char relay_before[] = "local all, P, n = ARGV, ARGV[1], tonumber(ARGV[2])\n"
                                   "local home, out, width = all[#all], {}, (#all - 3 - n) / n\n"
                                   "local function push(ARGV)\n";
static const char relay_after[] =
    "end\n"
    "local have = tonumber(redis.call('HGET', P .. 'relay', home) or 0)\n"
    "for k = 1, n do\n"
    "  local seq, from = tonumber(all[2 + n * width + k]), 3 + (k - 1) * width\n"
    "  local id, job = all[from], P .. 'job:' .. all[from]\n"
    "  out[k] = 0\n"
    "  if seq > have then\n"
    "    if redis.call('EXISTS', job) == 1 then\n"
    "      out[k] = 3\n"
    "      break\n"
    "    end\n"
    "    if tonumber(redis.call('GET', P .. 'next_id') or 0) < tonumber(id) then\n"
    "      redis.call('SET', P .. 'next_id', id)\n"
    "    end\n"
    "    local ok, one = pcall(push, {P, '1', unpack(all, from, from + width - 1)})\n"
    "    out[k] = ok and one[1] or type(one) == 'table' and one.err or tostring(one)\n"
    "    if not ok then\n"
    "      redis.call('DEL', job)\n"
    "      redis.call('ZREM', P .. 'open', id)\n"
    "      redis.call('ZREM', P .. 'eta', id)\n"
    "      redis.call('LPUSH', P .. 'quarantine', cjson.encode({reason = out[k],\n"
    "        queue = all[from + 3], at = tonumber(redis.call('TIME')[1]),\n"
    "        message = all[from + 5]}))\n"
    "      redis.call('LTRIM', P .. 'quarantine', 0, 9999)\n"
    "    end\n"
    "    redis.call('HSET', P .. 'relay', home, seq)\n"
    "  end\n"
    "end\n"
    "return out\n";

struct redis_script redis_relay;

void redis_relay_init(void)
{
    if (!redis_relay.text)
        redis_relay.text = mem_printf("%s%s%s", relay_before, redis_push.text, relay_after);
    redis_script_init(&redis_relay);
}

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
    redis_pushing_begin(rec, p);
    for (; op && p->count < REDIS_PUSHES; op = op->next)
        redis_pushing_add(rec, p, op, op->first);
    int n = p->count;
    for (struct push_op *each = ops; each != op; each = each->next)
        redis_arg_int(&p->args, seq_of(each));
    redis_arg_c(&p->args, rec->outbox.home);
    redisReply *reply = redis_pushing_send(conn, p, &redis_relay, err);
    for (int i = 0; reply && i < n && (size_t)i < reply->elements; i++, ops = ops->next) {
        const redisReply *one = reply->element[i];
        ops->duplicate = one->type == REDIS_REPLY_INTEGER && one->integer == 1;
        if (one->type == REDIS_REPLY_STRING)
            log_error("jobs", "job %lld, pushed in a transaction, is in the quarantine: %s",
                      (long long)ops->first->id, one->str);
        if (one->type == REDIS_REPLY_INTEGER && one->integer == TAKEN)
            break;
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
