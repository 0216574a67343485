/* redis/change.c -- cancel, retry, discard: by id, wherever the job is. */
#include "jobs/redis/record.h"

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/celery/text.h"

void redis_cancelled_meta(struct buf *out)
{
    celery_result_write(&(struct celery_result){.state = CELERY_REVOKED,
                                                .task_id = STR("$uuid"),
                                                .exc_type = STR("TaskRevokedError"),
                                                .exc_message = STR("revoked"),
                                                .exc_module = STR("celery.exceptions"),
                                                .done_wall = clock_wall_ns()},
                        out);
}

static redisReply *cancel(struct redis_record *rec, int64_t id, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct buf meta = {0};
    int64_t ttl = rec->jobs->options.result_ttl_ns / NS_PER_SECOND;
    redis_cancelled_meta(&meta);
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, id);
    redis_arg_int(a, clock_wall_ns());
    redis_arg(a, buf_str(&meta));
    redis_arg_int(a, ttl > 0 ? ttl : 1);
    redisReply *reply = redis_eval(rec->keep, &redis_cancel, a, err);
    buf_free(&meta);
    mem_free(a);
    return reply;
}

bool redis_fresh_message(struct str raw, bool again, struct buf *out)
{
    struct arena *arena = arena_create();
    struct celery_message m;
    struct err err = {0};
    char tag[37];
    bool ok = celery_message_read(raw, arena, &m, &err);
    celery_uuid(tag);
    m.retries = again ? 0 : m.retries;
    m.eta_wall = 0;
    m.expires_wall = again ? 0 : m.expires_wall;
    m.delivery_tag = str_c(tag);
    if (ok)
        celery_message_write(&m, out);
    arena_destroy(arena);
    return ok;
}

static redisReply *retry(struct redis_record *rec, int64_t id, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct buf whole = {0}, now = {0};
    redisReply *have =
        redis_command(rec->keep, err, "HMGET %sjob:%lld m list", rec->prefix, (long long)id);
    redis_fresh_message(redis_item(have, 0), true, &whole);
    redis_fresh_message(redis_item(have, 0), false, &now);
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, id);
    redis_arg(a, buf_str(&whole));
    redis_arg(a, redis_item(have, 1));
    redis_arg_int(a, clock_wall_ns());
    redis_arg(a, buf_str(&now));
    redis_arg(a, redis_item(have, 0));
    redisReply *reply = have ? redis_eval(rec->keep, &redis_retry, a, err) : NULL;
    if (have)
        freeReplyObject(have);
    buf_free(&whole);
    buf_free(&now);
    mem_free(a);
    return reply;
}

void redis_cancel_id(struct redis_record *rec, int64_t id)
{
    struct err err = {0};
    redisReply *reply = cancel(rec, id, &err);
    if (reply)
        freeReplyObject(reply);
    shared_cancel(rec->jobs, id);
}

static redisReply *discard(struct redis_record *rec, int64_t id, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, id);
    redisReply *reply = redis_eval(rec->keep, &redis_discard, a, err);
    mem_free(a);
    /* Not dead: it is queued, and then gone for good. */
    if (!str_eq_c(redis_text(reply), "none"))
        return reply;
    freeReplyObject(reply);
    return cancel(rec, id, err);
}

/* A dead step of a workflow: its run goes on with it, so that is decided there. */
static bool is_dead_step(struct redis_record *rec, int64_t id)
{
    struct err err = {0};
    redisReply *have =
        redis_command(rec->keep, &err, "HMGET %sjob:%lld state extra", rec->prefix, (long long)id);
    struct job *carrier = job_create(str_n("", 0), str_n("", 0));
    bool is = str_eq_c(redis_item(have, 0), "dead") &&
              extra_parse(carrier, redis_item(have, 1), &err) && job_extra(carrier)->workflow;
    job_unref(carrier);
    if (have)
        freeReplyObject(have);
    return is;
}

void redis_run_change(struct redis_record *rec, struct redis_look *look)
{
    if (look->what == LOOK_RETRY && is_dead_step(rec, look->id)) {
        workflow_retry(rec->jobs, look->change, look->id);
        mem_free(look);
        return;
    }
    static const char *const states[] = {"", "unfinished", "dead or delayed", "dead or queued"};
    struct err err = {0};
    redisReply *reply = look->what == LOOK_CANCEL  ? cancel(rec, look->id, &err)
                        : look->what == LOOK_RETRY ? retry(rec, look->id, &err)
                                                   : discard(rec, look->id, &err);
    struct str text = redis_text(reply);
    if (str_eq_c(text, "none"))
        err_set(&err, ERR_NOT_FOUND, "jobs: there is no %s job %lld", states[look->what],
                (long long)look->id);
    else if (str_eq_c(text, "taken"))
        err_set(&err, ERR_EXISTS, "jobs: its unique key was taken meanwhile");
    else if (reply && look->what == LOOK_RETRY)
        redis_look_for_work(rec);
    else if (reply && !str_eq_c(text, "ok"))
        shared_cancel(rec->jobs, look->id);
    if (reply)
        freeReplyObject(reply);
    redis_answer(look, err.code ? &err : NULL);
}
