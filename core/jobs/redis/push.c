/* redis/push.c -- pushes as calls: each push is in one step in Redis, or not there.
 *
 * A call has a number, and Redis keeps the last one of this process with its answer.  So a call
 * whose answer did not arrive is sent again as it was, and does nothing if it was done; and one
 * that is still on its way in an old connection comes to nothing.
 */
#include "jobs/redis/record.h"

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/celery/text.h"

enum {
    CALL_BYTES = 16 << 20, /* then another call begins */
    EXEC_MS = 5000,        /* for a transaction's answer, and 1 ms more for each 20 jobs */
    ROUNDS = 100,          /* of a push that replaces a job which others start or replace, too */
};

/* Urgency on the wire: 0 runs first on Redis.  ORDER job_priority */
static const int priorities[] = {0, 3, 6};

/* -- one job -- */

static bool give_ids(struct redis_record *rec, struct redis *conn, struct err *err)
{
    int64_t wanted = 0;
    for (struct push_op *op = rec->jobs->batch.pushes; op; op = op->next)
        wanted += op->first->id ? 0 : op->crowd ? crowd_ids(op) : op->count;
    if (wanted == 0)
        return true;
    redisReply *reply =
        redis_command(conn, err, "INCRBY %snext_id %lld", rec->prefix, (long long)wanted);
    if (!reply)
        return false;
    int64_t id = reply->integer - wanted + 1;
    for (struct push_op *op = rec->jobs->batch.pushes; op; op = op->next)
        if (op->first->id == 0 && op->crowd) {
            crowd_number(op, id);
            id += crowd_ids(op);
        } else if (op->first->id == 0)
            for (struct job *job = op->first; job; job = job->next)
                job->id = id++;
    freeReplyObject(reply);
    return true;
}

static struct str kept(struct redis_pushing *p, struct buf *text)
{
    struct str copy = str_n(arena_strdup(p->arena, buf_str(text)), text->n);
    buf_free(text);
    return copy;
}

/* On the wire: 0 … 9. */
static int priority_of(const struct job *job)
{
    int wire = job_extra(job)->wire_priority;
    return wire ? wire - 1 : priorities[job->priority % JOBS_PRIORITIES];
}

/* A job of ours is ended by force a while after its timeout; to a Python worker both limits are
 * what was asked for. */
static void fill_limits(const struct job *job, struct celery_message *m)
{
    const struct job_extra *extra = job_extra(job);
    double seconds = (double)extra->timeout_ms / 1000;
    if (extra->external) {
        m->time_limit_s = seconds;
        m->soft_time_limit_s = (double)extra->soft_timeout_ms / 1000;
    } else if (extra->timeout_ms) {
        m->time_limit_s = seconds + 10;
        m->soft_time_limit_s = seconds;
    }
}

static struct str message_of(struct redis_record *rec, struct redis_pushing *p,
                             const struct job *job, struct str task, const char *uuid)
{
    char tag[37], host[160];
    struct buf args = {0}, kwargs = {0}, text = {0};
    celery_uuid(tag);
    snprintf(host, sizeof host, "%s", rec->node);
    celery_args_split(job_args(job), &args, &kwargs);
    struct celery_message m = {
        .task = task,
        .id = str_c(uuid),
        .origin = str_c(host),
        .group_index = -1,
        .eta_wall = job->run_at > job->created_at ? job->run_at : 0,
        .expires_wall = job_extra(job)->expires_at,
        .retries = job_extra(job)->wire_retries,
        .priority = priority_of(job),
        .routing_key = str_c(job->queue->name),
        .delivery_tag = str_c(tag),
        .maru_id = job->id,
        .version = (int64_t)job->fence,
        .key = job_key(job),
        .args = buf_str(&args),
        .kwargs = buf_str(&kwargs),
    };
    fill_limits(job, &m);
    celery_message_write(&m, &text);
    buf_free(&args);
    buf_free(&kwargs);
    return kept(p, &text);
}

static struct str unique_name(struct redis_pushing *p, const struct job *job)
{
    struct str unique = job_unique(job);
    struct buf name = {0};
    if (unique.n == 0)
        return unique;
    buf_printf(&name, "%s:", job->kind->name);
    buf_add_str(&name, unique);
    return kept(p, &name);
}

static struct str fire_name(struct redis_pushing *p, const struct push_op *op)
{
    struct buf name = {0};
    if (!op->schedule)
        return str_n("", 0);
    buf_printf(&name, "%s:%lld", op->schedule, (long long)(op->instant / NS_PER_SECOND));
    return kept(p, &name);
}

/* What takes another's place has that one's id, and its own as its version. */
static void add_unique_mode(struct redis_args *a, const struct push_op *op, const struct job *job)
{
    int64_t period_ms = op->unique_period_ns / NS_PER_MS;
    redis_arg_c(a, job_extra(job)->unique_queued ? "queued" : "");
    if (op->unique_period_ns)
        redis_arg_int(a, period_ms > 0 ? period_ms : 1);
    else
        redis_arg_c(a, "");
    if (op->replace && job->fence)
        redis_arg_int(a, job->id);
    else
        redis_arg_c(a, op->replace ? "?" : "");
    if (job->fence)
        redis_arg_int(a, (int64_t)job->fence);
    else
        redis_arg_c(a, "");
}

void redis_pushing_add(struct redis_record *rec, struct redis_pushing *p, struct push_op *op,
                       const struct job *job)
{
    struct redis_args *a = &p->args;
    struct buf task = {0}, list = {0}, uuid = {0}, extra = {0};
    char id[37];
    jobs_lock(rec->jobs);
    buf_add_c(&task, job->kind->task ? job->kind->task : job->kind->name);
    jobs_unlock(rec->jobs);
    redis_uuid(rec->cluster, job->id, id);
    buf_add_c(&uuid, id);
    celery_list_name(str_c(job->queue->name), priority_of(job), &list);
    if (job->extra)
        extra_print(job->extra, &extra);
    struct str name = kept(p, &task), uuid_text = kept(p, &uuid);
    struct str message = message_of(rec, p, job, name, uuid_text.p);
    redis_arg_int(a, job->id);
    redis_arg(a, uuid_text);
    redis_arg_c(a, job->kind->name);
    redis_arg_c(a, job->queue->name);
    redis_arg(a, kept(p, &list));
    redis_arg(a, message);
    if (job->run_at > job->created_at && !job_extra(job)->external)
        redis_arg_score(a, job->run_at);
    else
        redis_arg_c(a, "");
    redis_arg(a, unique_name(p, job));
    redis_arg(a, fire_name(p, op));
    redis_arg_int(a, job->created_at);
    redis_arg_int(a, job_extra(job)->external ? 0 : job->max_attempts);
    redis_arg(a, job_args(job));
    redis_arg_int(a, job->priority);
    redis_arg(a, job_key(job));
    redis_arg(a, kept(p, &extra));
    add_unique_mode(a, op, job);
    if (job_extra(job)->batch)
        redis_arg_int(a, job_extra(job)->batch);
    else
        redis_arg_c(a, "");
    p->bytes += message.n + job->args_n;
    p->ops[p->count++] = op;
}

/* -- calls -- */

void redis_pushing_end(struct redis_pushing *p)
{
    if (p->arena)
        arena_destroy(p->arena);
    p->arena = NULL;
}

void redis_pushing_begin(struct redis_record *rec, struct redis_pushing *p, const char *who,
                         int64_t seq)
{
    p->args.count = p->args.number_count = p->count = 0;
    p->bytes = 0;
    redis_pushing_end(p);
    p->arena = arena_create();
    redis_arg_c(&p->args, rec->prefix);
    redis_arg_c(&p->args, who);
    redis_arg_int(&p->args, seq);
    redis_arg_c(&p->args, "");
}

const struct redis_args *redis_pushing_args(struct redis_pushing *p)
{
    snprintf(p->number, sizeof p->number, "%d", p->count);
    p->args.p[3] = p->number;
    p->args.n[3] = strlen(p->number);
    return &p->args;
}

static void begin_call(struct redis_record *rec, struct redis_pushing *p)
{
    redis_pushing_begin(rec, p, rec->process, rec->push_seq + ++rec->push_calls);
}

void redis_push_answer(struct push_op *op, struct str code, int round)
{
    long long holder = 0;
    op->duplicate |= str_eq_c(code, "1");
    op->fired_before |= str_eq_c(code, "2");
    op->refused |= str_eq_c(code, "3");
    if (str_eq_c(code, "4"))
        op->replaced = op->first->id;
    if (code.n == 0 || *code.p != '=')
        return;
    struct job *job = op->first;
    if (job->fence == 0)
        job->fence = (uint64_t)job->id;
    str_int64(str_n(code.p + 1, code.n - 1), &holder);
    job->id = holder ? holder : (int64_t)job->fence;
    op->round = (uint8_t)(round + 1);
}

static void read_answer(struct redis_record *rec, struct redis_pushing *p, const redisReply *reply)
{
    for (int i = 0; i < p->count && (size_t)i < reply->elements; i++)
        redis_push_answer(p->ops[i], redis_item(reply, (size_t)i), rec->push_round);
}

static bool send_call(struct redis_record *rec, struct redis *conn, struct redis_pushing *p,
                      struct err *err)
{
    if (p->count == 0)
        return true;
    redisReply *reply = redis_eval(conn, &redis_push, redis_pushing_args(p), err);
    if (!reply)
        return false;
    read_answer(rec, p, reply);
    freeReplyObject(reply);
    begin_call(rec, p);
    return true;
}

static bool queue_call(struct redis_record *rec, struct redis *conn, struct redis_pushing *p,
                       struct err *err)
{
    bool ok = redis_queue(conn, &redis_push, redis_pushing_args(p), err);
    begin_call(rec, p);
    return ok;
}

/* A push that is too much for one call: calls in a transaction. */
static bool send_big(struct redis_record *rec, struct redis *conn, struct redis_pushing *p,
                     struct push_op *op, struct err *err)
{
    bool ok = redis_multi(conn, &redis_push, err);
    for (struct job *job = op->first; ok && job; job = job->next) {
        redis_pushing_add(rec, p, op, job);
        if (p->count == REDIS_PUSHES || p->bytes > CALL_BYTES || !job->next)
            ok = queue_call(rec, conn, p, err);
    }
    redisReply *reply = redis_exec(conn, ok, EXEC_MS + op->count / 20, err);
    for (size_t i = 0; reply && i < reply->elements; i++)
        for (size_t k = 0; k < reply->element[i]->elements; k++)
            redis_push_answer(op, redis_item(reply->element[i], k), 0);
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

static bool write_op(struct redis_record *rec, struct redis *conn, struct redis_pushing *p,
                     struct push_op *op, struct err *err)
{
    bool big = op->count > REDIS_PUSHES;
    bool full = p->count + op->count > REDIS_PUSHES || p->bytes > CALL_BYTES;
    if ((big || full) && !send_call(rec, conn, p, err))
        return false;
    if (big)
        return send_big(rec, conn, p, op, err);
    for (struct job *job = op->first; job; job = job->next)
        redis_pushing_add(rec, p, op, job);
    return true;
}

/* A round after the first is of pushes that may replace a job, once they are made out to it.  It
 * has the same ones when it comes again: what was answered meanwhile is above it. */
static bool write_round(struct redis_record *rec, struct redis *conn, struct redis_pushing *p,
                        struct err *err)
{
    bool ok = true;
    rec->push_calls = rec->push_round_calls;
    begin_call(rec, p);
    for (struct push_op *op = rec->jobs->batch.pushes; ok && op; op = op->next)
        if (op->round >= rec->push_round)
            ok = write_op(rec, conn, p, op, err);
    return ok && send_call(rec, conn, p, err);
}

static bool is_another_round(struct redis_record *rec)
{
    bool any = false;
    for (struct push_op *op = rec->jobs->batch.pushes; op; op = op->next)
        any |= op->round > rec->push_round;
    if (any && rec->push_round + 1 < ROUNDS) {
        rec->push_round_calls = rec->push_calls;
        rec->push_round++;
        return true;
    }
    for (struct push_op *op = rec->jobs->batch.pushes; op; op = op->next)
        op->duplicate |= op->round > rec->push_round; /* others replace it faster than this */
    return false;
}

bool redis_write_pushes(struct redis_record *rec, struct redis *conn, struct err *err)
{
    if (!rec->jobs->batch.pushes)
        return true;
    struct redis_pushing *p = mem_zero(1, sizeof *p);
    bool ok = give_ids(rec, conn, err) && redis_open_batches(rec, conn, err);
    do
        ok = ok && write_round(rec, conn, p, err);
    while (ok && is_another_round(rec));
    redis_pushing_end(p);
    mem_free(p);
    return ok;
}

void redis_pushes_over(struct redis_record *rec)
{
    rec->push_seq += rec->push_calls;
    rec->push_calls = rec->push_round = rec->push_round_calls = 0;
}
