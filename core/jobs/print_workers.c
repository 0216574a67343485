#include "jobs/private.h"

#include "base/clock.h"
#include "base/json.h"

enum { SHOWN = 200 /* running jobs of one lane */ };

static void print_progress(struct json *w, const struct job_extra *extra)
{
    if (!extra->has_progress)
        return;
    json_key(w, "progress");
    json_num(w, (double)(int)(extra->progress * 10000 + 0.5F) / 10000);
    json_key(w, "message");
    json_cstr(w, extra->message);
}

static void print_run(struct json *w, const struct run *run)
{
    char started[32];
    clock_format_utc(run->started_wall, started);
    json_open(w, '{');
    json_key(w, "id");
    json_int(w, run->view.id);
    json_key(w, "kind");
    json_cstr(w, run->view.kind);
    json_key(w, "queue");
    json_cstr(w, run->view.queue);
    json_key(w, "attempt");
    json_int(w, run->view.attempt);
    json_key(w, "started_at");
    json_cstr(w, started);
    print_progress(w, job_extra(run->job));
    json_close(w, '}');
}

static void print_worker(struct json *w, const char *node, const struct worker *worker)
{
    int running = 0;
    json_open(w, '{');
    json_key(w, "node");
    json_cstr(w, node);
    json_key(w, "lane");
    json_cstr(w, worker->lane->name);
    json_key(w, "capacity");
    json_int(w, worker->capacity);
    json_key(w, "lost");
    json_bool(w, worker->lost);
    json_key(w, "running");
    json_open(w, '[');
    for (int i = 0; i < worker->capacity; i++) {
        const struct run *run = &worker->runs[i];
        bool live = run->in_use && run->job && run->job->run == run;
        if (live && running++ < SHOWN)
            print_run(w, run);
    }
    json_close(w, ']');
    json_key(w, "used");
    json_int(w, running);
    json_close(w, '}');
}

static void print_own(struct jobs *jobs, const char *node, struct buf *out)
{
    struct json w = json_to(out);
    json_open(&w, '[');
    for (int i = 0;; i++) {
        jobs_lock(jobs);
        bool more = i < jobs->worker_count;
        if (more)
            print_worker(&w, node, jobs->workers[i]);
        jobs_unlock(jobs);
        if (!more)
            break;
    }
    json_close(&w, ']');
}

void jobs_print_workers(struct jobs *jobs, const char *node, struct buf *out)
{
    print_own(jobs, node, out);
    jobs_lock(jobs);
    if (jobs->others.n) {
        out->n--; /* the list's end */
        if (out->p[out->n - 1] != '[')
            buf_add_char(out, ',');
        buf_add_str(out, buf_str(&jobs->others));
        buf_add_char(out, ']');
    }
    jobs_unlock(jobs);
}
