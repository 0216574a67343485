/* celery/inspect.c -- what remote control asks about tasks: which run, wait, are known here. */
#include "jobs/celery/worker.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/celery/text.h"

enum { SHOWN = 200 };

/* How arguments are shown: as they are; or, to who asks for it `safe`, as text, which is what
 * their sender wants to be seen of them. */
static void write_arguments(struct json *w, const struct celery_message *m, bool safe)
{
    if (safe) {
        celery_shown_field(w, "args", m, "argsrepr", m->args);
        celery_shown_field(w, "kwargs", m, "kwargsrepr", m->kwargs);
        return;
    }
    json_key(w, "args");
    json_raw(w, m->args);
    json_key(w, "kwargs");
    json_raw(w, m->kwargs);
}

static void write_delivery(struct json *w, const struct celery_message *m)
{
    json_key(w, "delivery_info");
    json_open(w, '{');
    json_key(w, "exchange");
    json_str(w, m->exchange);
    json_key(w, "routing_key");
    json_str(w, m->routing_key);
    json_key(w, "priority");
    json_int(w, m->priority);
    json_key(w, "redelivered");
    json_bool(w, m->redelivered);
    json_close(w, '}');
}

static void write_request(struct redis_record *rec, struct json *w, const struct celery_message *m,
                          int64_t started_wall, bool safe)
{
    json_open(w, '{');
    json_key(w, "id");
    json_str(w, m->id);
    json_key(w, "name");
    json_str(w, m->task);
    write_arguments(w, m, safe);
    json_key(w, "type");
    json_str(w, m->task);
    json_key(w, "hostname");
    json_cstr(w, rec->node);
    json_key(w, "time_start");
    if (started_wall)
        json_num(w, (double)started_wall / (double)NS_PER_SECOND);
    else
        json_null(w);
    json_key(w, "acknowledged");
    json_bool(w, false); /* late: when it has ended */
    write_delivery(w, m);
    json_key(w, "worker_pid");
    if (started_wall)
        json_int(w, getpid());
    else
        json_null(w);
    json_close(w, '}');
}

/* Lock held: when the job began to run here, or 0. */
static int64_t running_since(struct jobs *jobs, int64_t id)
{
    const struct job *job = index_get(&jobs->index, id);
    return job && job->place == PLACE_RUNNING ? job->started_at : 0;
}

/* What runs here (running) or waits in hand; takes both locks. */
static void list_claims(struct celery_call *call, bool running, struct buf *out)
{
    struct redis_record *rec = call->rec;
    struct json w = json_to(out);
    bool safe = celery_truth(json_pick_get(call->arguments, "safe"));
    int shown = 0;
    json_open(&w, '[');
    jobs_lock(rec->jobs);
    pthread_mutex_lock(&rec->lock);
    for (size_t i = 0; i < rec->claims.size && shown < SHOWN; i++) {
        const struct claim *c = rec->claims.slots[i].id ? rec->claims.slots[i].value : NULL;
        int64_t since = c ? running_since(rec->jobs, c->id) : 0;
        if (!c || (since > 0) != running)
            continue;
        write_request(rec, &w, &c->m, since, safe);
        shown++;
    }
    pthread_mutex_unlock(&rec->lock);
    jobs_unlock(rec->jobs);
    json_close(&w, ']');
}

static void on_active(struct celery_call *call, struct buf *out)
{
    list_claims(call, true, out);
}

static void on_reserved(struct celery_call *call, struct buf *out)
{
    list_claims(call, false, out);
}

static void write_scheduled(struct redis_record *rec, struct json *w, struct str message)
{
    struct arena *arena = arena_create();
    struct celery_message m;
    struct err err = {0};
    char eta[CELERY_TIME_BYTES];
    if (celery_message_read(message, arena, &m, &err)) {
        celery_time_format(m.eta_wall, true, eta);
        json_open(w, '{');
        json_key(w, "eta");
        json_cstr(w, eta);
        json_key(w, "priority");
        json_int(w, m.priority);
        json_key(w, "request");
        write_request(rec, w, &m, 0, false);
        json_close(w, '}');
    }
    arena_destroy(arena);
}

/* Messages that are not due belong to all nodes; each one shows them. */
static void on_scheduled(struct celery_call *call, struct buf *out)
{
    struct redis_record *rec = call->rec;
    struct err err = {0};
    struct json w = json_to(out);
    redisReply *ids = redis_command(rec->keep, &err, "ZRANGE %seta 0 %d", rec->prefix, SHOWN - 1);
    json_open(&w, '[');
    for (size_t i = 0; ids && i < ids->elements; i++) {
        redisReply *m =
            redis_command(rec->keep, &err, "HGET %sjob:%s m", rec->prefix, redis_item(ids, i).p);
        write_scheduled(rec, &w, redis_text(m));
        if (m)
            freeReplyObject(m);
    }
    json_close(&w, ']');
    if (ids)
        freeReplyObject(ids);
}

/* "lua.add [rate_limit=10/m]", as Celery tells a limit; without one the name alone. */
static void write_registered(struct json *w, const struct kind *k)
{
    struct buf text = {0};
    struct job_rate rate = k->limit.rate;
    int64_t seconds = rate.period_ns / NS_PER_SECOND;
    buf_add_c(&text, k->task ? k->task : k->name);
    if (rate.count)
        buf_printf(&text, " [rate_limit=%lld/%s]",
                   (long long)(seconds > 3600 ? rate.count * 3600 / seconds : rate.count),
                   seconds == 1    ? "s"
                   : seconds == 60 ? "m"
                                   : "h");
    json_str(w, buf_str(&text));
    buf_free(&text);
}

static void on_registered(struct celery_call *call, struct buf *out)
{
    struct jobs *jobs = call->rec->jobs;
    struct json w = json_to(out);
    json_open(&w, '[');
    jobs_lock(jobs);
    for (uint32_t i = 1; i <= jobs->words; i++) {
        const struct kind *k = jobs->kind_words[i];
        if (k && k->target)
            write_registered(&w, k);
    }
    jobs_unlock(jobs);
    json_close(&w, ']');
}

static void on_revoked(struct celery_call *call, struct buf *out)
{
    struct err err = {0};
    struct json w = json_to(out);
    redisReply *reply =
        redis_command(call->rec->keep, &err, "ZREVRANGE %srevoked 0 999", call->rec->prefix);
    json_open(&w, '[');
    for (size_t i = 0; reply && i < reply->elements; i++)
        json_str(&w, redis_item(reply, i));
    json_close(&w, ']');
    if (reply)
        freeReplyObject(reply);
}

struct question {
    struct redis_record *rec;
    struct json *w;
};

/* [state, request] of the one with this id, if it is here; takes both locks. */
static void answer_one(void *arg, struct str uuid)
{
    struct question *q = arg;
    struct redis_record *rec = q->rec;
    jobs_lock(rec->jobs);
    pthread_mutex_lock(&rec->lock);
    for (size_t i = 0; i < rec->claims.size; i++) {
        const struct claim *c = rec->claims.slots[i].id ? rec->claims.slots[i].value : NULL;
        if (!c || !str_eq(uuid, c->m.id))
            continue;
        int64_t since = running_since(rec->jobs, c->id);
        char *key = str_dup(uuid);
        json_key(q->w, key);
        mem_free(key);
        json_open(q->w, '[');
        json_cstr(q->w, since ? "active" : "reserved");
        write_request(rec, q->w, &c->m, since, false);
        json_close(q->w, ']');
        break;
    }
    pthread_mutex_unlock(&rec->lock);
    jobs_unlock(rec->jobs);
}

/* {id: [state, request]} of those that are here. */
static void on_query_task(struct celery_call *call, struct buf *out)
{
    struct json w = json_to(out);
    struct question q = {call->rec, &w};
    json_open(&w, '{');
    celery_each_text(json_pick_get(call->arguments, "ids"), answer_one, &q);
    json_close(&w, '}');
}

const struct celery_method celery_questions[] = {
    {"active", on_active},
    {"dump_active", on_active},
    {"reserved", on_reserved},
    {"dump_reserved", on_reserved},
    {"scheduled", on_scheduled},
    {"dump_schedule", on_scheduled},
    {"registered", on_registered},
    {"registered_tasks", on_registered},
    {"dump_tasks", on_registered},
    {"revoked", on_revoked},
    {"dump_revoked", on_revoked},
    {"query_task", on_query_task},
    {NULL, NULL},
};
