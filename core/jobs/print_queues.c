#include "jobs/private.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "jobs/driver.h"

/* A rate's periods as they are written. */
static const struct {
    const char *name;
    int64_t seconds;
} periods[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};

bool job_rate_parse(struct str text, struct job_rate *out)
{
    long long count;
    struct str number = str_split(&text, '/');
    if (!str_int64(number, &count) || count < 1)
        return false;
    for (size_t i = 0; i < sizeof periods / sizeof *periods; i++)
        if (str_eq_c(text, periods[i].name)) {
            *out = (struct job_rate){count, periods[i].seconds * NS_PER_SECOND};
            return true;
        }
    return false;
}

const char *job_rate_format(struct job_rate rate, char text[JOBS_RATE_TEXT])
{
    int64_t seconds = rate.period_ns / NS_PER_SECOND;
    size_t i = 0;
    while (i < sizeof periods / sizeof *periods - 1 && seconds % periods[i].seconds)
        i++;
    int64_t n = seconds / periods[i].seconds;
    if (n == 1)
        snprintf(text, JOBS_RATE_TEXT, "%lld/%s", (long long)rate.count, periods[i].name);
    else /* such as a plugin may declare */
        snprintf(text, JOBS_RATE_TEXT, "%lld/%lld%s", (long long)rate.count, (long long)n,
                 periods[i].name);
    return text;
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
const int64_t *queue_counts(const struct jobs *jobs, const struct queue *q)
{
    return jobs->driver->shared ? q->seen : q->count;
}

static void print_count(struct json *w, const char *key, int64_t value)
{
    json_key(w, key);
    if (value)
        json_int(w, value);
    else
        json_null(w);
}

static void print_rate(struct json *w, const char *key, struct job_rate rate)
{
    char text[JOBS_RATE_TEXT];
    json_key(w, key);
    json_cstr(w, rate.count ? job_rate_format(rate, text) : NULL);
}

/* null is no bound. */
static void print_limits(struct json *w, const struct job_queue_limits *l)
{
    print_count(w, "concurrency", l->concurrency);
    print_rate(w, "rate", l->rate);
    print_count(w, "weight", l->weight > 0 ? l->weight : 1);
    print_count(w, "key_concurrency", l->key_concurrency);
    print_rate(w, "key_rate", l->key_rate);
}

static void print_queue(struct json *w, const struct jobs *jobs, struct queue *q, int64_t now_wall)
{
    const int64_t *n = queue_counts(jobs, q);
    const struct {
        const char *key;
        int64_t value;
    } values[] = {
        {"ready", n[PLACE_READY] + n[PLACE_PARKED] + n[PLACE_CLAIMED]},
        {"delayed", n[PLACE_DELAYED]},
        {"running", n[PLACE_RUNNING] + n[PLACE_FINISHING]},
        {"held", q->held},
        {"held_s", held_oldest(q, now_wall)},
        {"dead", q->dead},
        {"done_total", q->done_total},
        {"failed_total", q->failed_total},
        {"expired_total", q->expired_total},
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
    print_limits(w, &q->limits);
    json_key(w, "declared");
    json_open(w, '{');
    print_limits(w, &q->declared);
    json_close(w, '}');
    print_per_second(w, q, now_wall);
    json_close(w, '}');
}

static int compare_names(const void *a, const void *b)
{
    const struct queue *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

void jobs_print_queues(struct jobs *jobs, struct buf *out)
{
    struct json w = json_to(out);
    int64_t now_wall = clock_wall_ns();
    size_t n = 0;
    json_open(&w, '[');
    jobs_lock(jobs);
    struct queue **queues = mem_alloc((jobs->words + 1) * sizeof(struct queue *));
    for (uint32_t i = 1; i <= jobs->words; i++)
        if (jobs->queue_words[i])
            queues[n++] = jobs->queue_words[i];
    qsort(queues, n, sizeof(struct queue *), compare_names);
    for (size_t i = 0; i < n; i++)
        print_queue(&w, jobs, queues[i], now_wall);
    jobs_unlock(jobs);
    json_close(&w, ']');
    mem_free(queues);
}
