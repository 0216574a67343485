#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/json.h"
#include "observe/metrics.h"

/* ORDER job_state */
static const char *const state_names[] = {"any",  "ready",     "delayed", "running",
                                          "done", "cancelled", "dead"};
/* ORDER job_priority */
static const char *const priority_names[] = {"high", "normal", "low"};

bool job_state_parse(struct str text, enum job_state *out)
{
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++)
        if (str_eq_c(text, state_names[i])) {
            *out = (enum job_state)i;
            return true;
        }
    return false;
}

const char *job_state_name(enum job_state state)
{
    return state_names[state];
}

enum job_state job_state_of_end(int end)
{
    return end == JOB_END_DONE ? JOB_DONE : JOB_CANCELLED;
}

enum job_state job_state_of(const struct job *job)
{
    switch ((enum place)job->place) {
    case PLACE_DELAYED:
        return JOB_DELAYED;
    case PLACE_RUNNING:
    case PLACE_FINISHING: /* reported as over only when that is on disk */
        return JOB_RUNNING;
    case PLACE_NONE:
    case PLACE_READY:
    case PLACE_PARKED:
    case PLACE_CLAIMED:
    case PLACE_COUNT:
        break;
    }
    return JOB_READY;
}

void print_time(struct json *w, const char *key, int64_t wall_ns)
{
    char text[32];
    json_key(w, key);
    if (wall_ns <= 0) {
        json_null(w);
        return;
    }
    clock_format_utc(wall_ns, text);
    json_cstr(w, text);
}

/* Raw JSON of a job, or null: what is on disk may be older than our checks. */
static void print_raw(struct json *w, const char *key, struct str text)
{
    json_key(w, key);
    if (text.n)
        json_raw(w, text);
    else
        json_null(w);
}

void print_row(struct buf *out, const struct job_row *r)
{
    struct json w = json_to(out);
    json_open(&w, '{');
    json_key(&w, "id");
    json_int(&w, r->id);
    json_key(&w, "kind");
    json_cstr(&w, r->kind);
    json_key(&w, "queue");
    json_cstr(&w, r->queue);
    json_key(&w, "priority");
    json_cstr(&w, priority_names[r->priority % JOBS_PRIORITIES]);
    json_key(&w, "state");
    json_cstr(&w, state_names[r->state]);
    json_key(&w, "attempt");
    json_int(&w, r->attempt);
    json_key(&w, "max_attempts");
    json_int(&w, r->max_attempts);
    json_key(&w, "crashes");
    json_int(&w, r->crashes);
    print_raw(&w, "args", r->args);
    json_key(&w, "error");
    if (r->error.n)
        json_str(&w, r->error);
    else
        json_null(&w);
    if (r->has_result)
        print_raw(&w, "result", r->result);
    print_time(&w, "created_at", r->created_at);
    print_time(&w, "run_at", r->run_at);
    print_time(&w, "started_at", r->started_at);
    print_time(&w, "finished_at", r->finished_at);
    json_close(&w, '}');
}

void print_job(struct buf *out, const struct job *job)
{
    enum job_state state = job_state_of(job);
    struct job_row row = {
        .id = job->id,
        .kind = job->kind->name,
        .queue = job->queue->name,
        .priority = job->priority,
        .state = state,
        .attempt = job->attempt,
        .max_attempts = job->max_attempts,
        .crashes = job->crashes,
        .args = job_args(job),
        .error = str_c(job_extra(job)->error),
        .created_at = job->created_at,
        .run_at = job->run_at,
        .started_at = state == JOB_RUNNING ? job->started_at : 0,
    };
    print_row(out, &row);
}

void print_record(struct buf *out, struct jobs *jobs, const struct fin_record *r)
{
    const struct kind *k = r->kind <= jobs->words ? jobs->kind_words[r->kind] : NULL;
    const struct queue *q = r->queue <= jobs->words ? jobs->queue_words[r->queue] : NULL;
    struct job_row row = {
        .id = r->id,
        .kind = k ? k->name : "?",
        .queue = q ? q->name : "?",
        .priority = r->priority,
        .state = job_state_of_end(r->end),
        .attempt = r->attempt,
        .max_attempts = r->max_attempts,
        .created_at = r->created_at,
        .started_at = r->started_at,
        .finished_at = r->finished_at,
    };
    print_row(out, &row);
}

static void print_per_second(struct json *w, struct queue *q, int64_t now_wall)
{
    static const char *const keys[RATE_COUNT] = {"pushed", "done", "failed"}; /* ORDER rate */
    double values[RATE_COUNT];
    gauge_per_second(q, now_wall, values);
    json_key(w, "per_second");
    json_open(w, '{');
    for (int i = 0; i < RATE_COUNT; i++) {
        json_key(w, keys[i]);
        json_num(w, values[i]);
    }
    json_close(w, '}');
}

/* Lock held: by place; of a shared record what was seen of it last. */
static const int64_t *counts_of(const struct jobs *jobs, const struct queue *q)
{
    return jobs->driver->shared ? q->seen : q->count;
}

static void print_queue(struct json *w, const struct jobs *jobs, struct queue *q, int64_t now_wall)
{
    const int64_t *n = counts_of(jobs, q);
    const struct {
        const char *key;
        int64_t value;
    } values[] = {
        {"ready", n[PLACE_READY] + n[PLACE_PARKED] + n[PLACE_CLAIMED]},
        {"delayed", n[PLACE_DELAYED]},
        {"running", n[PLACE_RUNNING] + n[PLACE_FINISHING]},
        {"held", q->held},
        {"dead", q->dead},
        {"done_total", q->done_total},
        {"failed_total", q->failed_total},
        {"oldest_s", gauge_oldest(q, now_wall)},
    };
    json_open(w, '{');
    json_key(w, "queue");
    json_cstr(w, q->name);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        json_key(w, values[i].key);
        json_int(w, values[i].value);
    }
    json_key(w, "paused");
    json_bool(w, q->paused);
    print_per_second(w, q, now_wall);
    json_close(w, '}');
}

void jobs_print_queues(struct jobs *jobs, struct buf *out)
{
    struct json w = json_to(out);
    int64_t now_wall = clock_wall_ns();
    json_open(&w, '[');
    jobs_lock(jobs);
    for (uint32_t i = 1; i <= jobs->words; i++)
        if (jobs->queue_words[i])
            print_queue(&w, jobs, jobs->queue_words[i], now_wall);
    jobs_unlock(jobs);
    json_close(&w, ']');
}

struct jobs_counts jobs_counts(struct jobs *jobs)
{
    struct jobs_counts c = {0};
    jobs_lock(jobs);
    for (uint32_t i = 1; i <= jobs->words; i++) {
        if (!jobs->queue_words[i])
            continue;
        const int64_t *n = counts_of(jobs, jobs->queue_words[i]);
        c.ready += n[PLACE_READY] + n[PLACE_PARKED] + n[PLACE_CLAIMED];
        c.delayed += n[PLACE_DELAYED];
        c.running += n[PLACE_RUNNING] + n[PLACE_FINISHING];
        c.held += jobs->queue_words[i]->held;
    }
    c.dead = jobs->dead;
    c.pushing = jobs->pushing;
    c.pushed_total = jobs->pushed_total;
    c.done_total = jobs->done_total;
    c.failed_total = jobs->failed_total;
    c.retried_total = jobs->retried_total;
    c.dead_total = jobs->dead_total;
    c.stale_total = jobs->stale_total;
    jobs_unlock(jobs);
    return c;
}

static void set_gauge(const char *queue, const char *state, int64_t value)
{
    struct buf labels = {0};
    metrics_label(&labels, "queue", str_c(queue));
    metrics_label(&labels, "state", str_c(state));
    metric_set(metrics_gauge("maru_jobs", "Unfinished and dead jobs by state", labels.p),
               (double)value);
    buf_free(&labels);
}

void jobs_scrape(void *arg)
{
    struct jobs *jobs = arg;
    workflow_scrape(jobs);
    for (uint32_t i = 1;; i++) {
        jobs_lock(jobs);
        bool more = i <= jobs->words;
        struct queue q = more && jobs->queue_words[i] ? *jobs->queue_words[i] : (struct queue){0};
        jobs_unlock(jobs);
        if (!more)
            break;
        if (!q.name) /* the word is a kind's */
            continue;
        const int64_t *n = counts_of(jobs, &q);
        set_gauge(q.name, "ready", n[PLACE_READY] + n[PLACE_PARKED] - q.held);
        set_gauge(q.name, "held", q.held);
        set_gauge(q.name, "delayed", n[PLACE_DELAYED]);
        set_gauge(q.name, "running", n[PLACE_RUNNING]);
        set_gauge(q.name, "dead", q.dead);
    }
}
