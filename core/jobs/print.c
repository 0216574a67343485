#include "jobs/private.h"

#include "base/clock.h"
#include "base/json.h"

/* ORDER job_state */
static const char *const state_names[] = {"any",  "ready",     "delayed", "running",
                                          "done", "cancelled", "expired", "dead"};
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
    if (end == JOB_END_EXPIRED)
        return JOB_EXPIRED;
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

/* What few jobs have is shown where it is. */
static void print_extra(struct json *w, const struct job_row *r)
{
    const struct job_extra *extra = r->extra ? r->extra : &extra_none;
    if (r->unique.n) {
        json_key(w, "unique");
        json_str(w, r->unique);
    }
    if (extra->key) {
        json_key(w, "key");
        json_cstr(w, extra->key);
    }
    if (extra->workflow) {
        json_key(w, "workflow");
        json_int(w, extra->workflow);
    }
    if (extra->batch) {
        json_key(w, "batch");
        json_int(w, extra->batch);
    }
    if (extra->has_progress) {
        json_key(w, "progress");
        json_num(w, (double)(int)(extra->progress * 10000 + 0.5F) / 10000);
        json_key(w, "message");
        json_cstr(w, extra->message);
    }
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
    if (r->python) {
        json_key(&w, "python");
        json_bool(&w, true);
    }
    print_extra(&w, r);
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
        .unique = job_unique(job),
        .extra = job->extra,
    };
    print_row(out, &row);
}

void print_record(struct buf *out, struct jobs *jobs, const struct fin_record *r, struct str args)
{
    jobs_lock(jobs);
    const struct kind *k = r->kind <= jobs->words ? jobs->kind_words[r->kind] : NULL;
    const struct queue *q = r->queue <= jobs->words ? jobs->queue_words[r->queue] : NULL;
    jobs_unlock(jobs);
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
        .args = args,
    };
    print_row(out, &row);
}
