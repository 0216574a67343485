#include "jobs/redis_record.h"

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/celery_text.h"
#include "observe/log.h"

/* Urgency on the wire: 0 runs first on Redis.  ORDER job_priority */
static const int priorities[] = {0, 3, 6};

/* -- pushes -- */

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

static struct str message_of(struct redis_record *rec, struct redis_pushing *p,
                             const struct job *job, struct str task, const char *uuid)
{
    char tag[37], host[160];
    struct buf args = {0}, kwargs = {0}, text = {0};
    int64_t timeout_ms = job_extra(job)->timeout_ms;
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
        .soft_time_limit_s = (double)timeout_ms / 1000,
        .time_limit_s = timeout_ms ? (double)timeout_ms / 1000 + 10 : 0,
        .priority = priorities[job->priority % JOBS_PRIORITIES],
        .routing_key = str_c(job->queue->name),
        .delivery_tag = str_c(tag),
        .maru_id = job->id,
        .args = buf_str(&args),
        .kwargs = buf_str(&kwargs),
    };
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

void redis_pushing_add(struct redis_record *rec, struct redis_pushing *p, struct push_op *op,
                       const struct job *job)
{
    struct redis_args *a = &p->args;
    struct buf task = {0}, list = {0}, uuid = {0};
    char id[37];
    jobs_lock(rec->jobs);
    buf_add_c(&task, job->kind->task ? job->kind->task : job->kind->name);
    jobs_unlock(rec->jobs);
    redis_uuid(rec->cluster, job->id, id);
    buf_add_c(&uuid, id);
    celery_list_name(str_c(job->queue->name), priorities[job->priority % JOBS_PRIORITIES], &list);
    struct str name = kept(p, &task), uuid_text = kept(p, &uuid);
    redis_arg_int(a, job->id);
    redis_arg(a, uuid_text);
    redis_arg_c(a, job->kind->name);
    redis_arg_c(a, job->queue->name);
    redis_arg(a, kept(p, &list));
    redis_arg(a, message_of(rec, p, job, name, uuid_text.p));
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
    if (job_extra(job)->batch)
        redis_arg_int(a, job_extra(job)->batch);
    else
        redis_arg_c(a, "");
    p->ops[p->count++] = op;
}

redisReply *redis_pushing_send(struct redis *conn, struct redis_pushing *p,
                               const struct redis_script *script, struct err *err)
{
    char count[16];
    snprintf(count, sizeof count, "%d", p->count);
    p->args.p[1] = count;
    p->args.n[1] = strlen(count);
    return redis_eval(conn, script, &p->args, err);
}

static bool send_jobs(struct redis_record *rec, struct redis *conn, struct redis_pushing *p,
                      struct err *err)
{
    if (p->count == 0)
        return true;
    redisReply *reply = redis_pushing_send(conn, p, &redis_push, err);
    for (int i = 0; reply && i < p->count && (size_t)i < reply->elements; i++) {
        p->ops[i]->duplicate |= reply->element[i]->integer == 1;
        p->ops[i]->fired_before |= reply->element[i]->integer == 2;
    }
    if (reply)
        freeReplyObject(reply);
    (void)rec;
    return reply != NULL;
}

void redis_pushing_end(struct redis_pushing *p)
{
    if (p->arena)
        arena_destroy(p->arena);
    p->arena = NULL;
}

void redis_pushing_begin(struct redis_record *rec, struct redis_pushing *p)
{
    p->args.count = p->args.number_count = p->count = 0;
    redis_pushing_end(p);
    p->arena = arena_create();
    redis_arg_c(&p->args, rec->prefix);
    redis_arg_c(&p->args, "");
}

static bool write_pushes(struct redis_record *rec, struct redis *conn, struct err *err)
{
    struct redis_pushing *p = mem_zero(1, sizeof *p);
    bool ok = give_ids(rec, conn, err) && redis_open_batches(rec, conn, err);
    redis_pushing_begin(rec, p);
    for (struct push_op *op = rec->jobs->batch.pushes; ok && op; op = op->next)
        for (struct job *job = op->first; ok && job; job = job->next) {
            if (p->count == REDIS_PUSHES) {
                ok = send_jobs(rec, conn, p, err);
                redis_pushing_begin(rec, p);
            }
            redis_pushing_add(rec, p, op, job);
        }
    ok = ok && send_jobs(rec, conn, p, err);
    redis_pushing_end(p);
    mem_free(p);
    return ok;
}

/* -- ends -- */

static struct ending ending_of(const struct job *job, struct claim *claim)
{
    struct ending e = {.claim = claim, .attempt = job->attempt};
    const char *error = job_extra(job)->error;
    e.error = str_c(error);
    e.traceback = str_c(job_extra(job)->traceback);
    switch ((enum job_end)job->end) {
    case JOB_END_DONE:
        e.kind = ENDING_DONE;
        e.error = str_n("", 0);
        if (job->result)
            e.result = str_n(job->result->bytes, job->result->n);
        break;
    case JOB_END_FAILED:
    case JOB_END_DISCARDED:
        e.kind = ENDING_DEAD;
        break;
    case JOB_END_CANCELLED:
        e.kind = ENDING_CANCELLED;
        e.terminated = job->attempt >= claim->attempt;
        break;
    case JOB_END_EXPIRED:
        e.kind = ENDING_EXPIRED;
        break;
    case JOB_END_RETRY:
        e.kind = ENDING_RETRY;
        e.run_at_wall = job->run_at;
        break;
    case JOB_END_INTERRUPTED:
        e.kind = ENDING_BACK;
        e.error = str_n("", 0);
        e.run_at_wall = job->run_at;
        break;
    }
    return e;
}

static bool end_some(struct redis_record *rec, struct redis *conn, struct job **ended,
                     struct ending *endings, int count, struct err *err)
{
    if (!redis_end_all(rec, conn, endings, count, err)) {
        for (int i = 0; i < count; i++)
            claim_release(rec, endings[i].claim);
        return false;
    }
    celery_events_ended(rec, endings, ended, count);
    for (int i = 0; i < count; i++) {
        if (endings[i].stale)
            shared_stale(rec->jobs, ended[i]);
        claim_drop(rec, endings[i].claim);
        extra_make(ended[i])->lease = 0;
    }
    return true;
}

static bool write_ends(struct redis_record *rec, struct redis *conn, struct err *err)
{
    struct ending endings[REDIS_ENDS];
    struct job *ended[REDIS_ENDS];
    int n = 0;
    bool ok = true;
    list_each (node, &rec->jobs->batch.ends) {
        struct job *job = list_entry(node, struct job, link);
        struct claim *claim = claim_find(rec, job->id, job_extra(job)->lease);
        if (!claim) { /* lost with its lease; or (0) an earlier try of this batch ended it */
            if (job_extra(job)->lease)
                shared_stale(rec->jobs, job);
            continue;
        }
        ended[n] = job;
        endings[n++] = ending_of(job, claim);
        if (n == REDIS_ENDS) {
            ok = end_some(rec, conn, ended, endings, n, err);
            n = 0;
        }
        if (!ok)
            break;
    }
    return ok && (n == 0 || end_some(rec, conn, ended, endings, n, err));
}

void redis_write_batch(struct redis_record *rec, struct redis **conn)
{
    struct jobs *jobs = rec->jobs;
    struct err err = {0};
    batch_take(jobs);
    bool wakes = jobs->batch.pushes || jobs->batch.settings;
    bool ok = redis_reach(rec, conn, "writer", &err) && write_ends(rec, *conn, &err) &&
              write_pushes(rec, *conn, &err) && redis_write_settings(rec, *conn, &err);
    if (!ok && *conn)
        redis_failed(rec, conn, &err);
    if (ok && wakes) {
        pthread_mutex_lock(&rec->lock);
        rec->more = true;
        pthread_mutex_unlock(&rec->lock);
        redis_wake_keeper(rec);
    }
    batch_over(jobs, ok ? NULL : &err);
}
