/* celery/worker.c -- this process's place among Celery's workers: that it is there, that it lives,
 * what it was asked. */
#include "jobs/celery/worker.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

void celery_events_open(struct redis_record *rec)
{
    struct celery_worker *w = mem_zero(1, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    w->totals = map_create();
    rec->worker = w;
}

void celery_events_close(struct redis_record *rec)
{
    struct celery_worker *w = rec->worker;
    if (!w)
        return;
    for (int i = 0; i < w->total_count; i++) {
        mem_free(w->total[i]->task);
        mem_free(w->total[i]);
    }
    for (int i = 0; i < w->control_count; i++)
        mem_free(w->control[i]);
    celery_order_free(w);
    map_destroy(w->totals);
    buf_free(&w->events);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
    rec->worker = NULL;
}

static bool publish(struct redis_record *rec, const char *key, struct str body, struct err *err)
{
    struct buf headers = {0}, text = {0}, channel = {0};
    struct json w = json_to(&headers);
    json_open(&w, '{');
    json_key(&w, "hostname");
    json_cstr(&w, rec->node);
    json_close(&w, '}');
    buf_printf(&channel, "/%d.celeryev/%s", rec->url.db, key);
    celery_envelope_write(body, STR("celeryev"), str_c(key), buf_str(&headers), &text);
    redisReply *reply =
        redis_command(rec->keep, err, "PUBLISH %b %b", channel.p, channel.n, text.p, text.n);
    if (reply)
        freeReplyObject(reply);
    buf_free(&headers);
    buf_free(&text);
    buf_free(&channel);
    return reply != NULL;
}

static bool say_worker(struct redis_record *rec, const char *type, const char *key, struct err *err)
{
    struct celery_worker *worker = rec->worker;
    struct buf body = {0};
    double load[3] = {0};
    int running = (int)jobs_counts(rec->jobs).running;
    if (getloadavg(load, 3) != 3)
        load[0] = load[1] = load[2] = 0;
    pthread_mutex_lock(&worker->lock);
    struct json w = celery_event_begin(rec, &body, type, clock_wall_ns());
    json_key(&w, "freq");
    json_num(&w, BEAT_MS / 1000.0);
    json_key(&w, "active");
    json_int(&w, running);
    json_key(&w, "processed");
    json_int(&w, worker->processed);
    json_key(&w, "loadavg");
    json_open(&w, '[');
    for (int i = 0; i < 3; i++)
        json_num(&w, round(load[i] * 100) / 100);
    json_close(&w, ']');
    json_key(&w, "sw_ident");
    json_cstr(&w, "maru");
    json_key(&w, "sw_ver");
    json_cstr(&w, MARU_VERSION);
    json_key(&w, "sw_sys");
    json_cstr(&w, "Linux");
    json_close(&w, '}');
    pthread_mutex_unlock(&worker->lock);
    bool ok = publish(rec, key, buf_str(&body), err);
    buf_free(&body);
    return ok;
}

bool celery_beat(struct redis_record *rec, struct err *err)
{
    return say_worker(rec, "worker-heartbeat", "worker.heartbeat", err);
}

static bool send_events(struct redis_record *rec, struct err *err)
{
    struct celery_worker *w = rec->worker;
    struct buf body = {0};
    pthread_mutex_lock(&w->lock);
    bool any = w->events.n > 0;
    if (any) {
        buf_add_char(&body, '[');
        buf_add_str(&body, buf_str(&w->events));
        buf_add_char(&body, ']');
        buf_clear(&w->events);
    }
    pthread_mutex_unlock(&w->lock);
    bool ok = !any || publish(rec, "task.multi", buf_str(&body), err);
    buf_free(&body);
    return ok;
}

/* The worker's place in kombu's table of who hears remote control. */
static bool go_online(struct redis_record *rec, struct err *err)
{
    redisReply *reply = redis_command(
        rec->keep, err, "SADD _kombu.binding.celery.pidbox \x06\x16\x06\x16%s.celery.pidbox",
        rec->node);
    if (reply)
        freeReplyObject(reply);
    rec->worker->online = reply && say_worker(rec, "worker-online", "worker.online", err);
    return rec->worker->online;
}

static bool due(int64_t *at, int64_t every_ms)
{
    int64_t now = clock_steady_ns();
    if (now < *at)
        return false;
    *at = now + every_ms * NS_PER_MS;
    return true;
}

bool celery_events_run(struct redis_record *rec, struct err *err)
{
    struct celery_worker *w = rec->worker;
    char *control[CONTROL_MOST];
    pthread_mutex_lock(&w->lock);
    int count = w->control_count;
    memcpy(control, w->control, sizeof control);
    w->control_count = 0;
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < count; i++) {
        celery_control_run(rec, str_c(control[i]));
        mem_free(control[i]);
    }
    if (due(&w->started_at, STARTED_MS))
        celery_events_started(rec);
    if (!w->online && !go_online(rec, err))
        return false;
    if (due(&w->beat_at, BEAT_MS) && !celery_beat(rec, err))
        return false;
    return send_events(rec, err);
}

void celery_events_stop(struct redis_record *rec)
{
    struct err err = {0};
    if (!rec->keep || !rec->worker->online)
        return;
    redisReply *reply = redis_command(
        rec->keep, &err, "SREM _kombu.binding.celery.pidbox \x06\x16\x06\x16%s.celery.pidbox",
        rec->node);
    if (reply)
        freeReplyObject(reply);
    if (send_events(rec, &err))
        say_worker(rec, "worker-offline", "worker.offline", &err);
}

void celery_control(struct redis_record *rec, struct str message)
{
    struct celery_worker *w = rec->worker;
    pthread_mutex_lock(&w->lock);
    if (w->control_count < CONTROL_MOST && message.n < 1 << 20 && !memchr(message.p, 0, message.n))
        w->control[w->control_count++] = str_dup(message);
    pthread_mutex_unlock(&w->lock);
    redis_wake_keeper(rec);
}
