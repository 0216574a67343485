#include "jobs/driver.h"
#include "jobs/private.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/metrics.h"

/* What a job of a kind nobody declared gets. */
static const char default_queue[] = "default";
enum { DEFAULT_RETRIES = 3 };

struct idle_waiter {
    struct list link;
    struct lane *lane;
    lane_fn *fn;
    void *arg;
};

/* Words are numbers of kinds and queues alike, from 1. */
static void word_store(struct jobs *jobs, uint32_t word, struct kind *kind, struct queue *queue)
{
    if (word >= jobs->words_cap) {
        uint32_t cap = jobs->words_cap;
        jobs->words_cap = word < 64 ? 64 : word * 2;
        jobs->kind_words = mem_realloc(jobs->kind_words, jobs->words_cap * sizeof(struct kind *));
        jobs->queue_words =
            mem_realloc(jobs->queue_words, jobs->words_cap * sizeof(struct queue *));
        memset(jobs->kind_words + cap, 0, (jobs->words_cap - cap) * sizeof(struct kind *));
        memset(jobs->queue_words + cap, 0, (jobs->words_cap - cap) * sizeof(struct queue *));
    }
    if (kind)
        jobs->kind_words[word] = kind;
    else
        jobs->queue_words[word] = queue;
    if (word > jobs->words)
        jobs->words = word;
}

static struct queue *queue_create(struct jobs *jobs, uint32_t word, struct str name)
{
    struct queue *q = mem_zero(1, sizeof *q);
    q->word = word;
    q->name = str_dup(name);
    flow_queue_init(q);
    map_set(jobs->queues, name, q);
    word_store(jobs, word, NULL, q);
    return q;
}

struct queue *queue_get(struct jobs *jobs, struct str name)
{
    struct queue *q = map_get(jobs->queues, name);
    if (q || jobs->words >= JOBS_NAMES)
        return q;
    return queue_create(jobs, jobs->words + 1, name);
}

/* Jobs that are ready are held from now on, or no longer. */
static void kind_close(struct kind *k, bool closed)
{
    if (k->limit.closed == closed)
        return;
    k->limit.closed = closed;
    k->closed_at = closed ? clock_wall_ns() : 0;
    list_each (node, &k->lines) {
        struct line *line = list_entry(node, struct line, link);
        line->queue->held += closed ? line->ready : -line->ready;
    }
}

struct kind *kind_of_task(struct jobs *jobs, struct str task)
{
    struct kind *named = map_get(jobs->kinds, task);
    for (uint32_t w = 1; w <= jobs->words; w++) {
        struct kind *k = jobs->kind_words[w];
        if (k && k->task && str_eq_c(task, k->task))
            return k;
    }
    return named && !named->task ? named : NULL;
}

enum job_offer jobs_offer(struct jobs *jobs, struct str kind)
{
    jobs_lock(jobs);
    const struct kind *k = map_get(jobs->kinds, kind);
    enum job_offer offer = !k || !k->declared ? JOB_UNKNOWN
                           : k->exported      ? JOB_EXPORTED
                                              : JOB_PRIVATE;
    jobs_unlock(jobs);
    return offer;
}

bool jobs_task_kind(struct jobs *jobs, struct str task, struct buf *out)
{
    jobs_lock(jobs);
    const struct kind *k = kind_of_task(jobs, task);
    bool known = k && k->declared;
    if (known)
        buf_add_c(out, k->name);
    jobs_unlock(jobs);
    return known;
}

static void kind_reset(struct jobs *jobs, struct kind *k)
{
    mem_free(k->task);
    k->task = NULL;
    k->queue = queue_get(jobs, str_c(default_queue));
    k->priority = JOB_NORMAL;
    k->retries = DEFAULT_RETRIES;
    k->backoff = backoff_whole((struct job_backoff){0});
    k->timeout_ns = k->result_ttl_ns = 0;
    k->hard_timeout_ns = 0;
    k->expires_ns = 0;
    k->key_field = NULL;
    k->key_concurrency = 0;
    k->key_rate = (struct job_rate){0};
    k->gather_most = 0;
    k->gather_wait_ns = 0;
    k->declared = k->exported = false;
    limit_set(&k->limit, 0, (struct job_rate){0});
    kind_close(k, true);
}

static struct kind *kind_create(struct jobs *jobs, uint32_t word, struct str name)
{
    struct kind *k = mem_zero(1, sizeof *k);
    k->word = word;
    k->name = str_dup(name);
    flow_kind_init(k);
    map_set(jobs->kinds, name, k);
    word_store(jobs, word, k, NULL);
    return k;
}

struct kind *kind_get(struct jobs *jobs, struct str name)
{
    struct kind *k = map_get(jobs->kinds, name);
    if (k || jobs->words + 2 >= JOBS_NAMES)
        return k;
    k = kind_create(jobs, jobs->words + 1, name);
    kind_reset(jobs, k);
    return k;
}

bool names_restore(struct jobs *jobs, uint32_t word, bool is_queue, struct str name)
{
    if (word == 0 || word > JOBS_NAMES || name.n == 0 || name.n > JOBS_NAME_BYTES)
        return false;
    if (is_queue)
        queue_create(jobs, word, name);
    else
        kind_create(jobs, word, name);
    return true;
}

void names_restored(struct jobs *jobs)
{
    jobs->words_stored = jobs->words;
    for (uint32_t w = 1; w <= jobs->words_stored; w++)
        if (jobs->kind_words[w])
            kind_reset(jobs, jobs->kind_words[w]);
}

static struct target *target_get(struct jobs *jobs, const void *pointer)
{
    list_each (node, &jobs->targets) {
        struct target *t = list_entry(node, struct target, link);
        if (t->pointer == pointer)
            return t;
    }
    return NULL;
}

static struct target *target_ref(struct jobs *jobs, void *pointer)
{
    struct target *t = target_get(jobs, pointer);
    if (!t) {
        t = mem_zero(1, sizeof *t);
        t->pointer = pointer;
        list_init(&t->runs);
        list_init(&t->waiters);
        list_push_back(&jobs->targets, &t->link);
    }
    t->kinds++;
    return t;
}

/* Tells those who wait, and frees a target nothing leads to any more. */
static void target_settle(struct target *t)
{
    if (t->kinds || t->running)
        return;
    list_each_safe (node, &t->waiters) {
        struct idle_waiter *w = list_entry(node, struct idle_waiter, link);
        lane_call(w->lane, w->fn, w->arg);
        mem_free(w);
    }
    list_remove(&t->link);
    mem_free(t);
}

void target_unref(struct run *run)
{
    list_remove(&run->link);
    run->target->running--;
    target_settle(run->target);
    run->target = NULL;
}

static void kind_metrics(struct kind *k)
{
    struct buf labels = {0};
    static const char finished[] = "maru_jobs_finished_total", help[] = "Runs of jobs by their end";
    static const char *const ends[] = {"done", "failed", "retried", "dead"};
    struct metric **metrics[] = {&k->done, &k->failed, &k->retried, &k->dead};
    for (int i = 0; i < 4 && !k->run_seconds; i++) {
        buf_clear(&labels);
        metrics_label(&labels, "kind", str_c(k->name));
        metrics_label(&labels, "end", str_c(ends[i]));
        *metrics[i] = metrics_counter(finished, help, buf_str(&labels).p);
    }
    buf_clear(&labels);
    metrics_label(&labels, "kind", str_c(k->name));
    k->run_seconds = metrics_histogram("maru_jobs_run_seconds", "Time a job ran", labels.p);
    k->wait_seconds =
        metrics_histogram("maru_jobs_wait_seconds", "Time from due to start", labels.p);
    if (k->gather_most) {
        k->batches = metrics_counter("maru_jobs_batches_total",
                                     "Calls of handlers that take several jobs", labels.p);
        k->batched = metrics_counter("maru_jobs_batched_total", "Jobs of such calls", labels.p);
    }
    buf_free(&labels);
}

/* Kept for good: pushes read it without the lock. */
static const char *field_name(struct jobs *jobs, const char *name)
{
    char *known = map_get(jobs->fields, str_c(name));
    if (!known) {
        known = mem_strdup(name);
        map_set(jobs->fields, str_c(name), known);
    }
    return known;
}

static void kind_set(struct jobs *jobs, const struct job_kind_options *o)
{
    struct kind *k = kind_get(jobs, str_c(o->kind));
    struct queue *q = o->queue && *o->queue ? queue_get(jobs, str_c(o->queue)) : NULL;
    if (!k)
        return;
    if (q)
        k->queue = q;
    k->declared = true;
    k->exported = o->exported;
    k->priority = o->priority < 0 || o->priority >= JOBS_PRIORITIES ? JOB_NORMAL : o->priority;
    k->retries = o->retries < 0 ? 0 : o->retries;
    k->backoff = backoff_whole((struct job_backoff){o->backoff_ns, o->backoff_max_ns,
                                                    o->backoff_factor, o->backoff_jitter});
    k->timeout_ns = o->timeout_ns;
    k->result_ttl_ns = o->result_ttl_ns;
    k->hard_timeout_ns = o->hard_timeout_ns;
    k->expires_ns = o->expires_ns;
    k->key_field = o->key_field ? field_name(jobs, o->key_field) : NULL;
    k->key_concurrency = o->key_concurrency;
    k->key_rate = o->key_rate;
    k->gather_most = o->batch > 1 ? o->batch : 0;
    k->gather_wait_ns = o->batch_wait_ns;
    limit_set(&k->limit, o->concurrency, o->rate);
    kind_close(k, !o->target);
    mem_free(k->task);
    k->task = o->celery && *o->celery ? mem_strdup(o->celery) : NULL;
    k->target = o->target ? target_ref(jobs, o->target) : NULL;
    kind_metrics(k);
}

void jobs_set_kinds(struct jobs *jobs, const struct job_kind_options *kinds, int count)
{
    size_t at = 0;
    struct str name;
    void *value;
    jobs_lock(jobs);
    workers_unclaim(jobs);
    list_each (node, &jobs->targets)
        list_entry(node, struct target, link)->kinds = 0;
    while (map_next(jobs->kinds, &at, &name, &value)) {
        struct kind *k = value;
        k->target = NULL;
        kind_reset(jobs, k);
    }
    for (int i = 0; i < count; i++)
        kind_set(jobs, &kinds[i]);
    keys_follow(jobs);
    held_begins(jobs);
    for (at = 0; map_next(jobs->kinds, &at, &name, &value);)
        flow_kind_changed(jobs, value);
    list_each_safe (node, &jobs->targets)
        target_settle(list_entry(node, struct target, link));
    if (jobs->driver->shared)
        shared_release(jobs, 0);
    dispatch(jobs);
    jobs_unlock(jobs);
}

int jobs_target_running(struct jobs *jobs, const void *pointer)
{
    jobs_lock(jobs);
    struct target *t = target_get(jobs, pointer);
    int running = t ? t->running : 0;
    jobs_unlock(jobs);
    return running;
}

void jobs_when_idle(struct jobs *jobs, const void *pointer, struct lane *lane, lane_fn *fn,
                    void *arg)
{
    struct idle_waiter *w = mem_alloc(sizeof *w);
    *w = (struct idle_waiter){.lane = lane, .fn = fn, .arg = arg};
    jobs_lock(jobs);
    struct target *t = target_get(jobs, pointer);
    if (t)
        list_push_back(&t->waiters, &w->link);
    jobs_unlock(jobs);
    if (!t) {
        mem_free(w);
        lane_call(lane, fn, arg);
    }
}

void jobs_interrupt(struct jobs *jobs, const void *pointer)
{
    jobs_lock(jobs);
    struct target *t = target_get(jobs, pointer);
    if (t)
        list_each (node, &t->runs)
            run_ask(list_entry(node, struct run, link), JOB_END_INTERRUPTED);
    jobs_unlock(jobs);
}

void names_free(struct jobs *jobs)
{
    gauge_free(jobs);
    for (uint32_t w = 1; w <= jobs->words; w++) {
        struct kind *k = jobs->kind_words[w];
        struct queue *q = jobs->queue_words[w];
        if (k) {
            flow_kind_free(k);
            mem_free(k->task);
            mem_free(k->name);
        }
        if (q) {
            flow_queue_free(q);
            mem_free(q->name);
        }
        mem_free(k);
        mem_free(q);
    }
    list_each_safe (node, &jobs->targets)
        mem_free(list_entry(node, struct target, link));
    size_t at = 0;
    struct str name;
    void *field;
    while (map_next(jobs->fields, &at, &name, &field))
        mem_free(field);
    map_destroy(jobs->fields);
    mem_free(jobs->kind_words);
    mem_free(jobs->queue_words);
    map_destroy(jobs->kinds);
    map_destroy(jobs->queues);
}
