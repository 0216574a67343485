/* celery_control.c -- remote control: what `celery inspect`, `celery control` and Flower ask of a
 * worker.  Keeper thread. */
#include "jobs/celery_worker.h"

#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/celery_text.h"
#include "observe/log.h"

enum { SHOWN = 200 };

struct request {
    struct redis_record *rec;
    struct str arguments; /* JSON */
};

/* -- replies -- */

static void write_request(struct redis_record *rec, struct json *w, const struct claim *c,
                          int64_t started_wall)
{
    const struct celery_message *m = &c->m;
    json_open(w, '{');
    json_key(w, "id");
    json_str(w, m->id);
    json_key(w, "name");
    json_str(w, m->task);
    json_key(w, "args");
    json_raw(w, m->args);
    json_key(w, "kwargs");
    json_raw(w, m->kwargs);
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
    json_key(w, "worker_pid");
    json_int(w, getpid());
    json_close(w, '}');
}

/* Lock held: when the job began to run here, or 0. */
static int64_t running_since(struct jobs *jobs, int64_t id)
{
    const struct job *job = index_get(&jobs->index, id);
    return job && job->place == PLACE_RUNNING ? job->started_at : 0;
}

void celery_active(struct redis_record *rec, bool running, struct buf *out)
{
    struct json w = json_to(out);
    int shown = 0;
    json_open(&w, '[');
    jobs_lock(rec->jobs);
    pthread_mutex_lock(&rec->lock);
    for (size_t i = 0; i < rec->claims.size && shown < SHOWN; i++) {
        const struct claim *c = rec->claims.slots[i].id ? rec->claims.slots[i].value : NULL;
        int64_t since = c ? running_since(rec->jobs, c->id) : 0;
        if (!c || (since > 0) != running)
            continue;
        write_request(rec, &w, c, since);
        shown++;
    }
    pthread_mutex_unlock(&rec->lock);
    jobs_unlock(rec->jobs);
    json_close(&w, ']');
}

static void on_ping(struct request *r, struct buf *out)
{
    (void)r;
    buf_add_c(out, "{\"ok\": \"pong\"}");
}

static void on_active(struct request *r, struct buf *out)
{
    celery_active(r->rec, true, out);
}

static void on_reserved(struct request *r, struct buf *out)
{
    celery_active(r->rec, false, out);
}

static void write_scheduled(struct redis_record *rec, struct json *w, struct str message,
                            struct str list)
{
    struct claim c = {.arena = arena_create()};
    struct err err = {0};
    char eta[CELERY_TIME_BYTES];
    if (celery_message_read(message, c.arena, &c.m, &err)) {
        celery_time_format(c.m.eta_wall, true, eta);
        json_open(w, '{');
        json_key(w, "eta");
        json_cstr(w, eta);
        json_key(w, "priority");
        json_int(w, c.m.priority);
        json_key(w, "request");
        write_request(rec, w, &c, 0);
        json_close(w, '}');
    }
    (void)list;
    arena_destroy(c.arena);
}

/* Messages that are not due belong to all nodes; each one shows them. */
static void on_scheduled(struct request *r, struct buf *out)
{
    struct redis_record *rec = r->rec;
    struct err err = {0};
    struct json w = json_to(out);
    redisReply *ids = redis_command(rec->keep, &err, "ZRANGE %seta 0 %d", rec->prefix, SHOWN - 1);
    json_open(&w, '[');
    for (size_t i = 0; ids && i < ids->elements; i++) {
        redisReply *h = redis_command(rec->keep, &err, "HMGET %sjob:%s m list", rec->prefix,
                                      redis_item(ids, i).p);
        write_scheduled(rec, &w, redis_item(h, 0), redis_item(h, 1));
        if (h)
            freeReplyObject(h);
    }
    json_close(&w, ']');
    if (ids)
        freeReplyObject(ids);
}

static void on_registered(struct request *r, struct buf *out)
{
    struct jobs *jobs = r->rec->jobs;
    struct json w = json_to(out);
    json_open(&w, '[');
    jobs_lock(jobs);
    for (uint32_t i = 1; i <= jobs->words; i++) {
        const struct kind *k = jobs->kind_words[i];
        if (k && k->target)
            json_cstr(&w, k->task ? k->task : k->name);
    }
    jobs_unlock(jobs);
    json_close(&w, ']');
}

static void on_revoked(struct request *r, struct buf *out)
{
    struct err err = {0};
    struct json w = json_to(out);
    redisReply *reply =
        redis_command(r->rec->keep, &err, "ZREVRANGE %srevoked 0 999", r->rec->prefix);
    json_open(&w, '[');
    for (size_t i = 0; reply && i < reply->elements; i++)
        json_str(&w, redis_item(reply, i));
    json_close(&w, ']');
    if (reply)
        freeReplyObject(reply);
}

static void write_queue(struct json *w, const char *name)
{
    json_open(w, '{');
    json_key(w, "name");
    json_cstr(w, name);
    json_key(w, "exchange");
    json_open(w, '{');
    json_key(w, "name");
    json_cstr(w, name);
    json_key(w, "type");
    json_cstr(w, "direct");
    json_close(w, '}');
    json_key(w, "routing_key");
    json_cstr(w, name);
    json_close(w, '}');
}

static void on_active_queues(struct request *r, struct buf *out)
{
    struct redis_record *rec = r->rec;
    struct map *seen = map_create();
    struct json w = json_to(out);
    json_open(&w, '[');
    for (int i = 0; i < rec->queue_count; i++) {
        if (!map_set(seen, str_c(rec->queues[i]), rec))
            write_queue(&w, rec->queues[i]);
    }
    jobs_lock(rec->jobs);
    for (uint32_t i = 1; i <= rec->jobs->words; i++) {
        const struct kind *k = rec->jobs->kind_words[i];
        if (k && k->target && !map_set(seen, str_c(k->queue->name), rec))
            write_queue(&w, k->queue->name);
    }
    jobs_unlock(rec->jobs);
    json_close(&w, ']');
    map_destroy(seen);
}

static int capacity_of(struct jobs *jobs)
{
    int capacity = 0;
    jobs_lock(jobs);
    for (int i = 0; i < jobs->worker_count; i++)
        capacity += jobs->workers[i]->capacity;
    jobs_unlock(jobs);
    return capacity;
}

static void write_totals(struct redis_record *rec, struct json *w)
{
    struct celery_worker *worker = rec->worker;
    json_key(w, "total");
    json_open(w, '{');
    pthread_mutex_lock(&worker->lock);
    for (int i = 0; i < worker->total_count; i++) {
        json_key(w, worker->total[i]->task);
        json_int(w, worker->total[i]->count);
    }
    int64_t clock = worker->clock;
    pthread_mutex_unlock(&worker->lock);
    json_close(w, '}');
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)clock);
    json_key(w, "clock");
    json_cstr(w, text);
}

static void write_broker(struct redis_record *rec, struct json *w)
{
    json_key(w, "broker");
    json_open(w, '{');
    json_key(w, "hostname");
    json_cstr(w, rec->url.host);
    json_key(w, "port");
    json_int(w, rec->url.port);
    json_key(w, "transport");
    json_cstr(w, "redis");
    char db[16];
    snprintf(db, sizeof db, "%d", rec->url.db);
    json_key(w, "virtual_host");
    json_cstr(w, db);
    json_close(w, '}');
}

static void write_usage(struct json *w)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    json_key(w, "rusage");
    json_open(w, '{');
    json_key(w, "utime");
    json_num(w, (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6);
    json_key(w, "stime");
    json_num(w, (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6);
    json_key(w, "maxrss");
    json_int(w, usage.ru_maxrss);
    json_close(w, '}');
}

static void on_stats(struct request *r, struct buf *out)
{
    struct redis_record *rec = r->rec;
    struct json w = json_to(out);
    int capacity = capacity_of(rec->jobs);
    json_open(&w, '{');
    write_totals(rec, &w);
    json_key(&w, "pid");
    json_int(&w, getpid());
    json_key(&w, "uptime");
    json_int(&w, (clock_wall_ns() - rec->started_wall) / NS_PER_SECOND);
    json_key(&w, "pool");
    json_open(&w, '{');
    json_key(&w, "implementation");
    json_cstr(&w, "maru");
    json_key(&w, "max-concurrency");
    json_int(&w, capacity);
    json_key(&w, "processes");
    json_open(&w, '[');
    json_int(&w, getpid());
    json_close(&w, ']');
    json_close(&w, '}');
    write_broker(rec, &w);
    json_key(&w, "prefetch_count");
    json_int(&w, capacity);
    write_usage(&w);
    json_close(&w, '}');
}

static void on_conf(struct request *r, struct buf *out)
{
    struct json w = json_to(out);
    json_open(&w, '{');
    json_key(&w, "task_default_queue");
    json_cstr(&w, r->rec->default_queue);
    json_key(&w, "task_acks_late");
    json_bool(&w, true);
    json_key(&w, "result_expires");
    json_int(&w, r->rec->jobs->options.result_ttl_ns / NS_PER_SECOND);
    json_key(&w, "broker_transport_options");
    json_open(&w, '{');
    json_key(&w, "visibility_timeout");
    json_int(&w, r->rec->visibility_s);
    json_close(&w, '}');
    json_close(&w, '}');
}

static void on_clock(struct request *r, struct buf *out)
{
    struct celery_worker *w = r->rec->worker;
    pthread_mutex_lock(&w->lock);
    buf_printf(out, "{\"clock\": %lld}", (long long)w->clock);
    pthread_mutex_unlock(&w->lock);
}

/* {id: [state, request]} of those that are here. */
static void on_query_task(struct request *r, struct buf *out)
{
    struct json_pick p;
    struct str id, ids = json_pick_get(r->arguments, "ids");
    struct redis_record *rec = r->rec;
    struct json w = json_to(out);
    json_open(&w, '{');
    jobs_lock(rec->jobs);
    pthread_mutex_lock(&rec->lock);
    for (size_t i = 0; i < rec->claims.size; i++) {
        const struct claim *c = rec->claims.slots[i].id ? rec->claims.slots[i].value : NULL;
        bool asked = false;
        struct buf text = {0};
        if (c && json_pick_open(&p, ids, '['))
            while (!asked && json_pick_item(&p, &id)) {
                buf_clear(&text);
                asked = json_pick_text(id, &text) && str_eq(buf_str(&text), c->m.id);
            }
        if (asked) {
            int64_t since = running_since(rec->jobs, c->id);
            json_key(&w, text.p);
            json_open(&w, '[');
            json_cstr(&w, since ? "active" : "reserved");
            write_request(rec, &w, c, since);
            json_close(&w, ']');
        }
        buf_free(&text);
    }
    pthread_mutex_unlock(&rec->lock);
    jobs_unlock(rec->jobs);
    json_close(&w, '}');
}

static void on_events(struct request *r, struct buf *out)
{
    (void)r;
    buf_add_c(out, "{\"ok\": \"task events already enabled\"}");
}

static void revoke_one(struct redis_record *rec, struct str uuid)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct err err = {0};
    int64_t id = redis_uuid_id(rec->cluster, uuid);
    redis_arg_c(a, rec->prefix);
    redis_arg(a, uuid);
    redis_arg_int(a, clock_wall_ns());
    redisReply *reply = redis_eval(rec->keep, &redis_revoke, a, &err);
    if (id == 0)
        id = redis_int(reply);
    if (reply)
        freeReplyObject(reply);
    mem_free(a);
    if (id) /* queued: gone; running here: asked to end */
        redis_cancel_id(rec, id);
}

/* A queued one never runs; a running one is asked to end, whether or not the caller said
 * `terminate`: there is no process to shoot, and a Lua handler is cancelled where it waits. */
static void on_revoke(struct request *r, struct buf *out)
{
    struct json_pick p;
    struct str id, ids = json_pick_get(r->arguments, "task_id");
    struct buf text = {0};
    int count = 0;
    if (json_pick_open(&p, ids, '[')) {
        while (count < 1000 && json_pick_item(&p, &id)) {
            buf_clear(&text);
            if (json_pick_text(id, &text))
                revoke_one(r->rec, buf_str(&text));
            count++;
        }
    } else if (json_pick_text(ids, &text)) {
        revoke_one(r->rec, buf_str(&text));
        count = 1;
    }
    buf_free(&text);
    buf_printf(out, "{\"ok\": \"%d tasks flagged as revoked\"}", count);
}

static const struct method {
    const char *name;
    void (*run)(struct request *r, struct buf *out);
} methods[] = {
    {"ping", on_ping},
    {"active", on_active},
    {"reserved", on_reserved},
    {"scheduled", on_scheduled},
    {"registered", on_registered},
    {"registered_tasks", on_registered},
    {"revoked", on_revoked},
    {"active_queues", on_active_queues},
    {"stats", on_stats},
    {"conf", on_conf},
    {"clock", on_clock},
    {"query_task", on_query_task},
    {"enable_events", on_events},
    {"disable_events", on_events},
    {"revoke", on_revoke},
};

/* -- requests -- */

static bool is_meant(struct redis_record *rec, struct str body)
{
    struct json_pick p;
    struct str name, destination = json_pick_get(body, "destination");
    struct buf text = {0};
    bool meant = destination.n == 0;
    if (json_pick_open(&p, destination, '['))
        while (!meant && json_pick_item(&p, &name)) {
            buf_clear(&text);
            meant = json_pick_text(name, &text) && str_eq_c(buf_str(&text), rec->node);
        }
    buf_free(&text);
    return meant;
}

static void send_reply(struct redis_record *rec, struct str to, struct str ticket, struct str json)
{
    struct arena *arena = arena_create();
    struct buf exchange = {0}, key = {0}, body = {0}, headers = {0}, text = {0};
    struct err err = {0};
    json_pick_text(json_pick_get(to, "exchange"), &exchange);
    json_pick_text(json_pick_get(to, "routing_key"), &key);
    buf_add_char(&body, '{');
    json_write_string(&body, str_c(rec->node));
    buf_printf(&body, ": %.*s}", (int)json.n, json.p);
    buf_printf(&headers, "{\"ticket\": %.*s, \"clock\": %lld}", ticket.n ? (int)ticket.n : 4,
               ticket.n ? ticket.p : "null", (long long)rec->worker->clock);
    celery_envelope_write(buf_str(&body), buf_str(&exchange), buf_str(&key), buf_str(&headers),
                          &text);
    struct str queue = redis_bound_queue(rec, arena, buf_str(&exchange), buf_str(&key));
    redisReply *reply = NULL;
    if (!str_eq(queue, buf_str(&key))) /* otherwise nobody waits any more */
        reply = redis_command(rec->keep, &err, "LPUSH %b %b", queue.p, queue.n, text.p, text.n);
    if (reply)
        freeReplyObject(reply);
    buf_free(&exchange);
    buf_free(&key);
    buf_free(&body);
    buf_free(&headers);
    buf_free(&text);
    arena_destroy(arena);
}

void celery_control_run(struct redis_record *rec, struct str message)
{
    struct buf body = {0}, name = {0}, out = {0};
    if (!celery_envelope_read(message, &body) || !is_meant(rec, buf_str(&body))) {
        buf_free(&body);
        return;
    }
    struct request r = {.rec = rec, .arguments = json_pick_get(buf_str(&body), "arguments")};
    struct str to = json_pick_get(buf_str(&body), "reply_to");
    const struct method *method = NULL;
    json_pick_text(json_pick_get(buf_str(&body), "method"), &name);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (str_eq_c(buf_str(&name), methods[i].name))
            method = &methods[i];
    if (method) {
        method->run(&r, &out);
    } else {
        struct json w = json_to(&out);
        json_open(&w, '{');
        json_key(&w, "error");
        json_cstr(&w, "maru does not know this method");
        json_close(&w, '}');
    }
    if (to.n && !str_eq_c(buf_str(&name), "hello")) /* a worker that starts asks its peers */
        send_reply(rec, to, json_pick_get(buf_str(&body), "ticket"), buf_str(&out));
    buf_free(&body);
    buf_free(&name);
    buf_free(&out);
}
