#include "jobs/celery_worker.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "jobs/celery_text.h"

static double seconds(int64_t wall_ns)
{
    return (double)wall_ns / (double)NS_PER_SECOND;
}

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
    map_destroy(w->totals);
    buf_free(&w->events);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
    rec->worker = NULL;
}

/* The fields all events have.  `utcoffset` is left out on purpose: a monitor shifts the time of an
 * event by it although it is UTC already, and does not when it is missing. */
static struct json begin(struct redis_record *rec, struct buf *out, const char *type, int64_t at)
{
    struct json w = json_to(out);
    json_open(&w, '{');
    json_key(&w, "hostname");
    json_cstr(&w, rec->node);
    json_key(&w, "pid");
    json_int(&w, getpid());
    json_key(&w, "clock");
    json_int(&w, ++rec->worker->clock);
    json_key(&w, "timestamp");
    json_num(&w, seconds(at));
    json_key(&w, "type");
    json_cstr(&w, type);
    return w;
}

static void text_field(struct json *w, const char *key, struct str value)
{
    json_key(w, key);
    if (value.n)
        json_str(w, value);
    else
        json_null(w);
}

static void repr_field(struct json *w, const char *key, struct str json)
{
    struct buf text = {0};
    celery_repr(json.n ? json : STR("null"), &text);
    json_key(w, key);
    json_str(w, buf_str(&text));
    buf_free(&text);
}

static void time_field(struct json *w, const char *key, int64_t wall_ns)
{
    char text[CELERY_TIME_BYTES] = "";
    if (wall_ns)
        celery_time_format(wall_ns, true, text);
    text_field(w, key, str_c(text));
}

/* Worker's lock held: room for one more event. */
static bool room(struct celery_worker *w)
{
    if (w->events.n > EVENTS_BYTES) {
        w->dropped++;
        return false;
    }
    if (w->events.n)
        buf_add_char(&w->events, ',');
    return true;
}

void celery_events_received(struct redis_record *rec, const struct claim *c)
{
    struct celery_worker *worker = rec->worker;
    pthread_mutex_lock(&worker->lock);
    if (room(worker)) {
        struct json w = begin(rec, &worker->events, "task-received", c->claimed_wall);
        text_field(&w, "uuid", c->m.id);
        text_field(&w, "name", c->m.task);
        repr_field(&w, "args", c->m.args);
        repr_field(&w, "kwargs", c->m.kwargs);
        text_field(&w, "root_id", c->m.root_id);
        text_field(&w, "parent_id", c->m.parent_id);
        json_key(&w, "retries");
        json_int(&w, c->m.retries);
        time_field(&w, "eta", c->m.eta_wall);
        time_field(&w, "expires", c->m.expires_wall);
        json_close(&w, '}');
    }
    pthread_mutex_unlock(&worker->lock);
}

/* Worker's lock held. */
static void say_started(struct redis_record *rec, struct str uuid, int64_t at)
{
    if (!room(rec->worker))
        return;
    struct json w = begin(rec, &rec->worker->events, "task-started", at);
    text_field(&w, "uuid", uuid);
    json_close(&w, '}');
}

/* ORDER ending_kind */
static const char *const ended_types[] = {
    "task-succeeded", "task-failed", "task-revoked", "task-revoked", "task-retried", NULL, NULL};

static void count_task(struct celery_worker *w, struct str task)
{
    struct total *t = map_get(w->totals, task);
    if (!t && w->total_count < REDIS_KINDS) {
        t = mem_zero(1, sizeof *t);
        t->task = str_dup(task);
        map_set(w->totals, task, t);
        w->total[w->total_count++] = t;
    }
    if (t)
        t->count++;
    w->processed++;
}

/* Worker's lock held. */
static void say_ended(struct redis_record *rec, const struct ending *e, const struct job *job,
                      int64_t now)
{
    if (!ended_types[e->kind] || !room(rec->worker))
        return;
    struct json w = begin(rec, &rec->worker->events, ended_types[e->kind], now);
    text_field(&w, "uuid", e->claim->m.id);
    if (e->kind == ENDING_DONE) {
        repr_field(&w, "result", e->result);
        json_key(&w, "runtime");
        json_num(&w, job && now > job->started_at ? seconds(now - job->started_at) : 0);
    } else if (e->kind == ENDING_DEAD || e->kind == ENDING_RETRY) {
        struct buf text = {0};
        buf_printf(&text, "%s(", e->exception ? e->exception : "RuntimeError");
        struct buf quoted = {0};
        json_write_string(&quoted, e->error);
        celery_repr(buf_str(&quoted), &text);
        buf_add_char(&text, ')');
        text_field(&w, "exception", buf_str(&text));
        text_field(&w, "traceback", e->error);
        buf_free(&text);
        buf_free(&quoted);
    } else {
        json_key(&w, "terminated");
        json_bool(&w, job && job->started_at > 0 && e->kind == ENDING_CANCELLED);
        json_key(&w, "signum");
        json_null(&w);
        json_key(&w, "expired");
        json_bool(&w, e->kind == ENDING_EXPIRED);
    }
    json_close(&w, '}');
}

void celery_events_ended(struct redis_record *rec, const struct ending *endings,
                         struct job *const *jobs, int count)
{
    struct celery_worker *w = rec->worker;
    int64_t now = clock_wall_ns();
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < count; i++) {
        const struct ending *e = &endings[i];
        if (e->stale || !ended_types[e->kind])
            continue;
        if (!atomic_exchange(&e->claim->started, true))
            say_started(rec, e->claim->m.id, jobs[i]->started_at);
        say_ended(rec, e, jobs[i], now);
        count_task(w, e->claim->m.task);
    }
    pthread_mutex_unlock(&w->lock);
}

/* What began to run since the last look. */
static void look_started(struct redis_record *rec)
{
    struct jobs *jobs = rec->jobs;
    jobs_lock(jobs);
    for (int i = 0; i < jobs->worker_count; i++)
        for (int r = 0; r < jobs->workers[i]->capacity; r++) {
            const struct run *run = &jobs->workers[i]->runs[r];
            if (!run->in_use)
                continue;
            pthread_mutex_lock(&rec->lock);
            struct claim *c = index_get(&rec->claims, run->view.id);
            if (c && !atomic_exchange(&c->started, true)) {
                pthread_mutex_lock(&rec->worker->lock);
                say_started(rec, c->m.id, run->started_wall);
                pthread_mutex_unlock(&rec->worker->lock);
            }
            pthread_mutex_unlock(&rec->lock);
        }
    jobs_unlock(jobs);
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
    struct json w = begin(rec, &body, type, clock_wall_ns());
    json_key(&w, "freq");
    json_num(&w, BEAT_MS / 1000.0);
    json_key(&w, "active");
    json_int(&w, running);
    json_key(&w, "processed");
    json_int(&w, worker->processed);
    json_key(&w, "loadavg");
    json_open(&w, '[');
    for (int i = 0; i < 3; i++)
        json_num(&w, load[i]);
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
        look_started(rec);
    if (!w->online && !go_online(rec, err))
        return false;
    if (due(&w->beat_at, BEAT_MS) && !say_worker(rec, "worker-heartbeat", "worker.heartbeat", err))
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
