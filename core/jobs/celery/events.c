/* celery/events.c -- what monitors hear of tasks. */
#include "jobs/celery/worker.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/celery/text.h"

static double seconds(int64_t wall_ns)
{
    return (double)wall_ns / (double)NS_PER_SECOND;
}

/* The fields all events have.  `utcoffset` is left out on purpose: a monitor shifts the time of an
 * event by it although it is UTC already, and does not when it is missing. */
struct json celery_event_begin(struct redis_record *rec, struct buf *out, const char *type,
                               int64_t at)
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

void celery_shown_field(struct json *w, const char *key, const struct celery_message *m,
                        const char *header, struct str json)
{
    struct buf text = {0};
    if (!json_pick_text(json_pick_get(m->headers, header), &text))
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
    if (w->quiet)
        return false;
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
        struct json w = celery_event_begin(rec, &worker->events, "task-received", c->claimed_wall);
        text_field(&w, "uuid", c->m.id);
        text_field(&w, "name", c->m.task);
        celery_shown_field(&w, "args", &c->m, "argsrepr", c->m.args);
        celery_shown_field(&w, "kwargs", &c->m, "kwargsrepr", c->m.kwargs);
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
    struct json w = celery_event_begin(rec, &rec->worker->events, "task-started", at);
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

static void revoked_fields(struct json *w, bool terminated, bool expired)
{
    json_key(w, "terminated");
    json_bool(w, terminated);
    json_key(w, "signum");
    json_null(w);
    json_key(w, "expired");
    json_bool(w, expired);
}

/* Worker's lock held. */
static void say_ended(struct redis_record *rec, const struct ending *e, const struct job *job,
                      int64_t now)
{
    if (!ended_types[e->kind] || !room(rec->worker))
        return;
    struct json w = celery_event_begin(rec, &rec->worker->events, ended_types[e->kind], now);
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
        text_field(&w, "traceback", e->traceback.n ? e->traceback : e->error);
        buf_free(&text);
        buf_free(&quoted);
    } else
        revoked_fields(&w, e->terminated, e->kind == ENDING_EXPIRED);
    json_close(&w, '}');
}

/* One that is cancelled or expires while it waits for a lane never starts. */
static bool was_started(const struct ending *e, const struct job *job)
{
    return e->terminated || (e->kind != ENDING_CANCELLED && e->kind != ENDING_EXPIRED) ||
           job->attempt >= e->claim->attempt;
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
        const struct job *job = jobs ? jobs[i] : NULL;
        if (job && was_started(e, job) && !atomic_exchange(&e->claim->started, true))
            say_started(rec, e->claim->m.id, job->started_at);
        say_ended(rec, e, job, now);
        count_task(w, e->claim->m.task);
    }
    pthread_mutex_unlock(&w->lock);
}

void celery_events_revoked(struct redis_record *rec, struct str uuid)
{
    pthread_mutex_lock(&rec->worker->lock);
    if (room(rec->worker)) {
        struct json w =
            celery_event_begin(rec, &rec->worker->events, "task-revoked", clock_wall_ns());
        text_field(&w, "uuid", uuid);
        revoked_fields(&w, false, false);
        json_close(&w, '}');
    }
    pthread_mutex_unlock(&rec->worker->lock);
}

void celery_events_started(struct redis_record *rec)
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
