/* scrape.c -- the queue as numbers: counts, and the gauges of /metrics. */

#include "jobs/private.h"

#include "base/clock.h"
#include "observe/metrics.h"

struct jobs_counts jobs_counts(struct jobs *jobs)
{
    struct jobs_counts c = {0};
    jobs_lock(jobs);
    for (uint32_t i = 1; i <= jobs->words; i++) {
        if (!jobs->queue_words[i])
            continue;
        const int64_t *n = queue_counts(jobs, jobs->queue_words[i]);
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

static void set_queue(const char *name, const char *help, const struct queue *q, double value)
{
    struct buf labels = {0};
    metrics_label(&labels, "queue", str_c(q->name));
    metric_set(metrics_gauge(name, help, labels.p), value);
    buf_free(&labels);
}

/* Brings a counter up to what is counted elsewhere. */
static void count_up(const char *name, const char *help, const struct queue *q, int64_t total)
{
    struct buf labels = {0};
    if (q)
        metrics_label(&labels, "queue", str_c(q->name));
    struct metric *m = metrics_counter(name, help, q ? labels.p : "");
    metric_add(m, (double)total - metric_value(m));
    buf_free(&labels);
}

static void scrape_queue(const struct jobs *jobs, const struct queue *q, int64_t oldest_s)
{
    const int64_t *n = queue_counts(jobs, q);
    set_gauge(q->name, "ready", n[PLACE_READY] + n[PLACE_PARKED] - q->held);
    set_gauge(q->name, "held", q->held);
    set_gauge(q->name, "delayed", n[PLACE_DELAYED]);
    set_gauge(q->name, "running", n[PLACE_RUNNING]);
    set_gauge(q->name, "dead", q->dead);
    set_queue("maru_queue_oldest_seconds", "How long the oldest job that waits has been due", q,
              (double)oldest_s);
    set_queue("maru_queue_held_seconds", "How long the oldest job without a handler has been due",
              q, (double)held_oldest(q, clock_wall_ns()));
    set_queue("maru_queue_paused", "1 when nothing of the queue starts", q, q->paused);
    count_up("maru_jobs_expired_total", "Jobs that were not started in time", q, q->expired_total);
    count_up("maru_jobs_rate_limited_total", "Starts that a rate held up", q, q->limited_total);
}

void jobs_scrape(void *arg)
{
    struct jobs *jobs = arg;
    int64_t now_wall = clock_wall_ns();
    workflow_scrape(jobs);
    for (uint32_t i = 1;; i++) {
        jobs_lock(jobs);
        bool more = i <= jobs->words;
        struct queue q = more && jobs->queue_words[i] ? *jobs->queue_words[i] : (struct queue){0};
        int64_t oldest_s = gauge_oldest(&q, now_wall);
        jobs_unlock(jobs);
        if (!more)
            break;
        if (q.name) /* else the word is a kind's */
            scrape_queue(jobs, &q, oldest_s);
    }
    jobs_lock(jobs);
    int64_t stale = jobs->stale_total;
    jobs_unlock(jobs);
    count_up("maru_jobs_stale_total", "Ends of runs whose job had been taken away", NULL, stale);
}
