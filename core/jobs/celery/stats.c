/* celery/stats.c -- what remote control asks about this node: as a worker, a consumer, a process.
 */
#include "jobs/celery/worker.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

/* -- members of an object -- */

static void text(struct json *w, const char *key, const char *value)
{
    json_key(w, key);
    json_cstr(w, value);
}

static void whole(struct json *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_int(w, value);
}

static void truth(struct json *w, const char *key, bool value)
{
    json_key(w, key);
    json_bool(w, value);
}

static void nothing(struct json *w, const char *const *keys)
{
    for (; *keys; keys++) {
        json_key(w, *keys);
        json_null(w);
    }
}

/* -- queues -- */

static void write_exchange(struct json *w, const char *name)
{
    static const char *const empty[] = {"arguments", "delivery_mode", NULL};
    json_key(w, "exchange");
    json_open(w, '{');
    text(w, "name", name);
    text(w, "type", "direct");
    truth(w, "durable", true);
    truth(w, "passive", false);
    truth(w, "auto_delete", false);
    truth(w, "no_declare", false);
    nothing(w, empty);
    json_close(w, '}');
}

/* All of kombu's fields: Flower's page of a worker fails for want of one. */
static void write_queue(struct json *w, const char *name)
{
    static const char *const empty[] = {"queue_arguments",
                                        "binding_arguments",
                                        "consumer_arguments",
                                        "alias",
                                        "no_declare",
                                        "expires",
                                        "message_ttl",
                                        "max_length",
                                        "max_length_bytes",
                                        "max_priority",
                                        NULL};
    json_open(w, '{');
    text(w, "name", name);
    write_exchange(w, name);
    text(w, "routing_key", name);
    truth(w, "durable", true);
    truth(w, "exclusive", false);
    truth(w, "auto_delete", false);
    truth(w, "no_ack", false);
    json_key(w, "bindings");
    json_open(w, '[');
    json_close(w, ']');
    nothing(w, empty);
    json_close(w, '}');
}

static void on_active_queues(struct celery_call *call, struct buf *out)
{
    struct redis_record *rec = call->rec;
    const char *names[REDIS_QUEUES];
    struct json w = json_to(out);
    int count = 0;
    for (int i = 0; i < rec->queue_count; i++)
        count = celery_queue_add(names, count, rec->queues[i]);
    jobs_lock(rec->jobs);
    for (uint32_t i = 1; i <= rec->jobs->words; i++) {
        const struct kind *k = rec->jobs->kind_words[i];
        if (k && k->target) /* a queue's name lives as long as the jobs */
            count = celery_queue_add(names, count, k->queue->name);
    }
    jobs_unlock(rec->jobs);
    count = celery_consumed(rec, names, count);
    json_open(&w, '[');
    for (int i = 0; i < count; i++)
        write_queue(&w, names[i]);
    json_close(&w, ']');
}

/* -- the worker -- */

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
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)clock);
    text(w, "clock", number);
}

static void write_pool(struct json *w, int capacity)
{
    json_key(w, "pool");
    json_open(w, '{');
    text(w, "implementation", "maru");
    whole(w, "max-concurrency", capacity);
    json_key(w, "processes");
    json_open(w, '[');
    json_int(w, getpid());
    json_close(w, ']');
    text(w, "max-tasks-per-child", "N/A");
    truth(w, "put-guarded-by-semaphore", false);
    json_key(w, "timeouts"); /* those of a job are its own */
    json_open(w, '[');
    json_int(w, 0);
    json_int(w, 0);
    json_close(w, ']');
    json_close(w, '}');
}

/* Without its password. */
static void write_broker(struct redis_record *rec, struct json *w)
{
    static const char *const empty[] = {"userid", "login_method", "uri_prefix", NULL};
    char db[16];
    snprintf(db, sizeof db, "%d", rec->url.db);
    json_key(w, "broker");
    json_open(w, '{');
    text(w, "hostname", rec->url.host);
    whole(w, "port", rec->url.port);
    text(w, "transport", "redis");
    text(w, "virtual_host", db);
    truth(w, "insist", false);
    truth(w, "ssl", false);
    whole(w, "connect_timeout", REDIS_TIMEOUT_MS / 1000);
    json_key(w, "transport_options");
    json_open(w, '{');
    whole(w, "visibility_timeout", rec->visibility_s);
    json_close(w, '}');
    whole(w, "heartbeat", 0);
    text(w, "failover_strategy", "round-robin");
    json_key(w, "alternates");
    json_open(w, '[');
    json_close(w, ']');
    nothing(w, empty);
    json_close(w, '}');
}

static void seconds(struct json *w, const char *key, struct timeval time)
{
    json_key(w, key);
    json_num(w, (double)time.tv_sec + (double)time.tv_usec / 1e6);
}

static void write_usage(struct json *w)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    json_key(w, "rusage");
    json_open(w, '{');
    seconds(w, "utime", u.ru_utime);
    seconds(w, "stime", u.ru_stime);
    whole(w, "maxrss", u.ru_maxrss);
    whole(w, "minflt", u.ru_minflt);
    whole(w, "majflt", u.ru_majflt);
    whole(w, "nswap", u.ru_nswap);
    whole(w, "inblock", u.ru_inblock);
    whole(w, "oublock", u.ru_oublock);
    whole(w, "nvcsw", u.ru_nvcsw);
    whole(w, "nivcsw", u.ru_nivcsw);
    json_close(w, '}');
}

static void on_stats(struct celery_call *call, struct buf *out)
{
    struct redis_record *rec = call->rec;
    struct json w = json_to(out);
    int capacity = capacity_of(rec->jobs);
    json_open(&w, '{');
    write_totals(rec, &w);
    whole(&w, "pid", getpid());
    whole(&w, "uptime", (clock_wall_ns() - rec->started_wall) / NS_PER_SECOND);
    write_pool(&w, capacity);
    write_broker(rec, &w);
    whole(&w, "prefetch_count", capacity);
    write_usage(&w);
    json_close(&w, '}');
}

/* Celery's names for what holds here. */
static void on_conf(struct celery_call *call, struct buf *out)
{
    struct redis_record *rec = call->rec;
    struct json w = json_to(out);
    struct buf url = {0};
    buf_printf(&url, "redis://%s%s:%d/%d", rec->url.password ? ":********@" : "", rec->url.host,
               rec->url.port, rec->url.db);
    json_open(&w, '{');
    text(&w, "broker_url", url.p);
    text(&w, "result_backend", url.p);
    text(&w, "task_default_queue", rec->default_queue);
    truth(&w, "task_acks_late", true);
    truth(&w, "task_track_started", false);
    text(&w, "task_serializer", "json");
    text(&w, "result_serializer", "json");
    json_key(&w, "accept_content");
    json_open(&w, '[');
    json_cstr(&w, "json");
    json_close(&w, ']');
    whole(&w, "result_expires", rec->jobs->options.result_ttl_ns / NS_PER_SECOND);
    truth(&w, "worker_send_task_events", true);
    whole(&w, "worker_concurrency", capacity_of(rec->jobs));
    truth(&w, "enable_utc", true);
    json_key(&w, "broker_transport_options");
    json_open(&w, '{');
    whole(&w, "visibility_timeout", rec->visibility_s);
    json_close(&w, '}');
    json_close(&w, '}');
    buf_free(&url);
}

static void on_ping(struct celery_call *call, struct buf *out)
{
    (void)call;
    buf_add_c(out, "{\"ok\": \"pong\"}");
}

static int64_t clock_of(struct celery_call *call)
{
    struct celery_worker *w = call->rec->worker;
    pthread_mutex_lock(&w->lock);
    int64_t clock = w->clock;
    pthread_mutex_unlock(&w->lock);
    return clock;
}

static void on_clock(struct celery_call *call, struct buf *out)
{
    buf_printf(out, "{\"clock\": %lld}", (long long)clock_of(call));
}

/* A worker that starts asks the others what was revoked, and for their clock.  Revoked ids stand in
 * Redis here; Celery's table has each one's age by a clock of the machine, which is no use to
 * another. */
static void on_hello(struct celery_call *call, struct buf *out)
{
    buf_printf(out, "{\"revoked\": {}, \"clock\": %lld}", (long long)clock_of(call));
}

static void on_report(struct celery_call *call, struct buf *out)
{
    struct json w = json_to(out);
    struct buf lines = {0};
    buf_printf(&lines,
               "\nsoftware -> maru:%s\nplatform -> system:Linux\nloader   -> plugins in Lua\n"
               "settings -> transport:redis results:redis queues' default:%s\n",
               MARU_VERSION, call->rec->default_queue);
    json_open(&w, '{');
    text(&w, "ok", lines.p);
    json_close(&w, '}');
    buf_free(&lines);
}

const struct celery_method celery_worker_questions[] = {
    {"ping", on_ping},      {"stats", on_stats},   {"conf", on_conf},
    {"dump_conf", on_conf}, {"clock", on_clock},   {"active_queues", on_active_queues},
    {"hello", on_hello},    {"report", on_report}, {NULL, NULL},
};
