/* why.c -- what keeps a queued job from running, as an operator is told. */

#include "base/clock.h"
#include "base/json.h"
#include "jobs/private.h"

/* ORDER limit_of */
static const char *const full_codes[] = {"kind_full", "queue_full", "queue_key_full", "key_full"};
static const char *const rate_codes[] = {"kind_rate", "queue_rate", "queue_key_rate", "key_rate"};

static void open_reason(struct json *w, const char *code)
{
    json_open(w, '{');
    json_key(w, "code");
    json_cstr(w, code);
}

static void add_reason(struct json *w, const char *code)
{
    open_reason(w, code);
    json_close(w, '}');
}

static void add_until(struct json *w, const char *code, int64_t wall_ns)
{
    char text[32];
    clock_format_utc(wall_ns, text);
    open_reason(w, code);
    json_key(w, "until");
    json_cstr(w, text);
    json_close(w, '}');
}

static void add_limit(struct json *w, const struct limit *limit)
{
    if (!limit->closed && limit->most && limit->active >= limit->most) {
        open_reason(w, full_codes[limit->of]);
        json_key(w, "running");
        json_int(w, limit->active);
        json_key(w, "limit");
        json_int(w, limit->most);
        json_close(w, '}');
    }
    if (limit->interval_ns && !limit_has_tokens(limit))
        add_until(w, rate_codes[limit->of], clock_wall_ns() + limit_start_at(limit) - clock_ns());
}

static bool has_room(const struct jobs *jobs)
{
    for (int i = 0; i < jobs->worker_count; i++)
        if (!jobs->workers[i]->lost && jobs->workers[i]->used < jobs->workers[i]->capacity)
            return true;
    return false;
}

static void add_host(struct json *w, const struct jobs *jobs)
{
    if (jobs->stopping)
        add_reason(w, "stopping");
    else if (!jobs->started || jobs->worker_count == 0)
        add_reason(w, "no_workers");
    else if (!has_room(jobs))
        add_reason(w, "workers_busy");
}

/* Lock held: of a job that is due. */
static void add_reasons(struct json *w, const struct jobs *jobs, const struct job *job)
{
    add_host(w, jobs);
    int64_t until = job->kind->limit.closed ? held_until(jobs, job) : 0;
    if (until)
        add_until(w, "held", until);
    else if (job->kind->limit.closed)
        add_reason(w, "held");
    if (job->queue->paused)
        add_reason(w, "paused");
    if (job->crashes && jobs->suspects_active && !jobs->suspects_free)
        add_reason(w, "crashed");
    add_limit(w, &job->kind->limit);
    add_limit(w, &job->queue->limit);
    if (job->stream && job->stream->flow->key)
        add_limit(w, &job->stream->flow->limit);
    if (job->stream && job->stream->key)
        add_limit(w, &job->stream->key->limit);
}

void jobs_why(struct jobs *jobs, int64_t id, struct buf *out)
{
    struct json w = json_to(out);
    json_open(&w, '[');
    jobs_lock(jobs);
    const struct job *job = index_get(&jobs->index, id);
    enum place place = job ? (enum place)job->place : PLACE_NONE;
    if (place == PLACE_DELAYED)
        add_until(&w, "not_due", job->run_at);
    if (place == PLACE_CLAIMED && job->kind->gather_most && !job->gather->posted)
        add_until(&w, "gathering", clock_wall_ns() + job->gather->due - clock_ns());
    size_t before = out->n;
    if (place == PLACE_READY || place == PLACE_PARKED)
        add_reasons(&w, jobs, job);
    if (out->n == before && (place == PLACE_READY || place == PLACE_PARKED))
        add_reason(&w, "behind");
    jobs_unlock(jobs);
    json_close(&w, ']');
}
