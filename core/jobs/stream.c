/* stream.c -- streams, flows, lines and keys: found, made when missing, gone when idle. */
#include "jobs/private.h"

#include "base/mem.h"

static struct str map_key(uint32_t word, struct str key, struct buf *out)
{
    buf_add(out, &word, sizeof word);
    buf_add(out, key.p, key.n);
    return buf_str(out);
}

static void flow_init(struct flow *f, struct queue *q, struct str key)
{
    *f = (struct flow){.queue = q, .key = key.n ? str_dup(key) : NULL};
    list_init(&f->streams);
    list_init(&f->turn);
    for (int p = 0; p < JOBS_PRIORITIES; p++)
        list_init(&f->ring[p]);
    limit_init(&f->limit, LIMIT_FLOW);
    if (f->key)
        limit_set(&f->limit, q->limits.key_concurrency, q->limits.key_rate);
    list_push_back(&q->flows, &f->link);
}

static struct flow *flow_get(struct jobs *jobs, struct queue *q, struct str key)
{
    struct buf text = {0};
    if (key.n == 0)
        return &q->plain;
    struct flow *f = map_get(jobs->flows, map_key(q->word, key, &text));
    if (!f) {
        f = mem_alloc(sizeof *f);
        flow_init(f, q, key);
        map_set(jobs->flows, buf_str(&text), f);
    }
    buf_free(&text);
    return f;
}

static struct line *line_get(struct jobs *jobs, struct kind *k, struct queue *q)
{
    if (k->line && k->line->queue == q)
        return k->line;
    int64_t id = (int64_t)((uint64_t)k->word << 32 | q->word);
    struct line *line = index_get(&jobs->lines, id);
    if (!line) {
        line = mem_zero(1, sizeof *line);
        line->kind = k;
        line->queue = q;
        list_init(&line->parked);
        list_push_back(&k->lines, &line->link);
        index_set(&jobs->lines, id, line);
    }
    k->line = line;
    return line;
}

static struct key *key_get(struct jobs *jobs, struct kind *k, const char *text)
{
    struct buf name = {0};
    struct key *key = map_get(jobs->keys, map_key(k->word, str_c(text), &name));
    if (!key) {
        key = mem_zero(1, sizeof *key);
        key->kind = k;
        key->text = mem_strdup(text);
        list_init(&key->parked);
        limit_init(&key->limit, LIMIT_KEY);
        map_set(jobs->keys, buf_str(&name), key);
    }
    buf_free(&name);
    limit_set(&key->limit, k->key_concurrency, k->key_rate); /* it may be of an older declaration */
    return key;
}

static bool kind_limits_keys(const struct kind *k)
{
    return k->key_concurrency > 0 || k->key_rate.count > 0;
}

/* What is active already counts under the new limit, too. */
static void key_attach(struct jobs *jobs, struct stream *s)
{
    s->key = key_get(jobs, s->line->kind, s->flow->key);
    s->key->streams++;
    s->key->limit.active += (int)s->active_n;
}

static void key_free(struct jobs *jobs, struct key *key)
{
    struct buf name = {0};
    map_remove(jobs->keys, map_key(key->kind->word, str_c(key->text), &name));
    buf_free(&name);
    heap_remove(&jobs->refills, &key->limit.wait);
    mem_free(key->text);
    mem_free(key);
}

/* A bucket that is not full yet is remembered until it is. */
static bool limit_rests(struct jobs *jobs, struct limit *limit)
{
    if (limit_is_full(limit))
        return false;
    limit_look_at(jobs, limit, limit->full_at);
    return true;
}

void key_rest(struct jobs *jobs, struct key *key)
{
    if (key->streams == 0 && !limit_rests(jobs, &key->limit))
        key_free(jobs, key);
}

static void key_detach(struct jobs *jobs, struct stream *s)
{
    struct key *key = s->key;
    key->limit.active -= (int)s->active_n;
    key->streams--;
    s->key = NULL;
    key_rest(jobs, key);
}

static struct stream *stream_create(struct jobs *jobs, struct flow *f, struct line *line)
{
    struct stream *s = mem_zero(1, sizeof *s);
    s->flow = f;
    s->line = line;
    for (int p = 0; p < JOBS_PRIORITIES; p++) {
        list_init(&s->ready[p]);
        list_init(&s->ring[p]);
    }
    list_init(&s->parked);
    list_push_back(&f->streams, &s->link);
    if (!f->key)
        line->plain = s;
    else if (kind_limits_keys(line->kind))
        key_attach(jobs, s);
    return s;
}

struct stream *stream_of(struct jobs *jobs, const struct job *job)
{
    struct line *line = line_get(jobs, job->kind, job->queue);
    struct str key = job_key(job);
    if (key.n == 0)
        return line->plain ? line->plain : stream_create(jobs, &job->queue->plain, line);
    struct flow *f = flow_get(jobs, job->queue, key);
    list_each (node, &f->streams) {
        struct stream *s = list_entry(node, struct stream, link);
        if (s->line == line)
            return s;
    }
    return stream_create(jobs, f, line);
}

void flow_rest(struct jobs *jobs, struct flow *f)
{
    struct buf text = {0};
    if (!f->key || !list_empty(&f->streams) || limit_rests(jobs, &f->limit))
        return;
    map_remove(jobs->flows, map_key(f->queue->word, str_c(f->key), &text));
    buf_free(&text);
    heap_remove(&jobs->refills, &f->limit.wait);
    list_remove(&f->link);
    mem_free(f->key);
    mem_free(f);
}

void stream_rest(struct jobs *jobs, struct stream *s)
{
    struct flow *f = s->flow;
    if (!f->key || s->ready_n || s->active_n)
        return;
    if (s->key)
        key_detach(jobs, s);
    list_remove(&s->link);
    mem_free(s);
    flow_rest(jobs, f);
}

/* A kind got limits for each key, lost them, or they changed. */
static void stream_follow(struct jobs *jobs, struct stream *s)
{
    bool wanted = kind_limits_keys(s->line->kind);
    if (wanted && !s->key)
        key_attach(jobs, s);
    if (s->key)
        limit_set(&s->key->limit, s->line->kind->key_concurrency, s->line->kind->key_rate);
    if (wanted)
        key_unblock(jobs, s->key);
    else if (s->key) {
        if (s->state == STREAM_PARKED_AT_KEY)
            stream_wake(jobs, s);
        key_detach(jobs, s);
    }
}

void keys_follow(struct jobs *jobs)
{
    for (uint32_t w = 1; w <= jobs->words; w++) {
        struct queue *q = jobs->queue_words[w];
        for (struct list *f = q ? q->flows.next : NULL; q && f != &q->flows; f = f->next) {
            struct flow *flow = list_entry(f, struct flow, link);
            if (!flow->key)
                continue;
            list_each (node, &flow->streams)
                stream_follow(jobs, list_entry(node, struct stream, link));
        }
    }
}

void flow_queue_init(struct queue *q)
{
    list_init(&q->turns);
    list_init(&q->flows);
    list_init(&q->ring);
    limit_init(&q->limit, LIMIT_QUEUE);
    q->limits.weight = q->declared.weight = 1;
    flow_init(&q->plain, q, STR(""));
}

void flow_kind_init(struct kind *k)
{
    limit_init(&k->limit, LIMIT_KIND);
    list_init(&k->lines);
}

static void flow_free(struct flow *f)
{
    list_each_safe (node, &f->streams)
        mem_free(list_entry(node, struct stream, link));
    mem_free(f->key);
}

void flow_queue_free(struct queue *q)
{
    list_each_safe (node, &q->flows) {
        struct flow *f = list_entry(node, struct flow, link);
        flow_free(f);
        if (f != &q->plain)
            mem_free(f);
    }
}

void flow_kind_free(struct kind *k)
{
    list_each_safe (node, &k->lines)
        mem_free(list_entry(node, struct line, link));
}

void flow_maps_free(struct jobs *jobs)
{
    size_t at = 0;
    struct str name;
    void *value;
    heap_free(&jobs->refills); /* it touches its nodes, so before them */
    while (map_next(jobs->keys, &at, &name, &value)) {
        mem_free(((struct key *)value)->text);
        mem_free(value);
    }
    map_destroy(jobs->keys);
    map_destroy(jobs->flows);
    index_free(&jobs->lines);
}
