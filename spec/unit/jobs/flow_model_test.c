/* Random pushes, starts, ends and changes of limits, beside a reference that goes through all
 * jobs every time: no limit is ever exceeded, what may run is found, and nobody waits long. */
#include "base/rand.h"
#include "base/still.h"
#include "jobs/host.h"
#include "jobs/private.h"
#include "test.h"

enum { QUEUES = 3, KINDS = 4, KEYS = 6, WEIGHT = 4, JOBS = 160, STEPS = 4000 };

/* A token bucket as the text books have it. */
struct bucket {
    double tokens;
    int64_t at;
};
struct model_job {
    struct job *job; /* NULL = a free place */
    int queue, kind, key;
    bool active, suspect;
};

static struct jobs *jobs;
static struct queue *queues[QUEUES];
static struct kind *kinds[KINDS];
static struct model_job all[JOBS];
static struct bucket queue_bucket[QUEUES], kind_bucket[KINDS];
static struct bucket flow_bucket[QUEUES][KEYS], key_bucket[KINDS][KEYS];
static int skipped_flow[QUEUES][KEYS], skipped_queue[QUEUES];
static unsigned seed;
static int64_t ids;

static int chance(int n)
{
    seed = seed * 1103515245u + 12345u;
    return (int)((seed >> 16) % (unsigned)n);
}

static void refill(struct bucket *b, struct job_rate rate)
{
    int64_t now = clock_ns();
    if (rate.count)
        b->tokens += (double)(now - b->at) * (double)rate.count / (double)rate.period_ns;
    if (!rate.count || b->tokens > (double)rate.count)
        b->tokens = (double)rate.count;
    b->at = now;
}

static bool has_token(struct bucket *b, struct job_rate rate)
{
    refill(b, rate);
    return rate.count == 0 || b->tokens > 1 - 1e-6;
}

static int active(int queue, int kind, int key)
{
    int n = 0;
    for (int i = 0; i < JOBS; i++)
        n += all[i].job && all[i].active && (queue < 0 || all[i].queue == queue) &&
             (kind < 0 || all[i].kind == kind) && (key < 0 || all[i].key == key);
    return n;
}

static bool room(int most, int now)
{
    return most == 0 || now < most;
}

static bool suspect_runs(void)
{
    for (int i = 0; i < JOBS; i++)
        if (all[i].job && all[i].active && all[i].suspect)
            return true;
    return false;
}

/* Whether this job might start now, by counting. */
static bool may_start(const struct model_job *m)
{
    const struct job_queue_limits *q = &queues[m->queue]->limits;
    const struct kind *k = kinds[m->kind];
    if (!m->job || m->active || queues[m->queue]->paused || k->limit.closed)
        return false;
    if (m->suspect && suspect_runs())
        return false;
    if (!room(q->concurrency, active(m->queue, -1, -1)) ||
        !room(k->limit.most, active(-1, m->kind, -1)) ||
        !has_token(&queue_bucket[m->queue], q->rate) ||
        !has_token(&kind_bucket[m->kind], k->limit.rate))
        return false;
    return m->key == 0 || (room(q->key_concurrency, active(m->queue, -1, m->key)) &&
                           room(k->key_concurrency, active(-1, m->kind, m->key)) &&
                           has_token(&flow_bucket[m->queue][m->key], q->key_rate) &&
                           has_token(&key_bucket[m->kind][m->key], k->key_rate));
}

static void push(void)
{
    int i = chance(JOBS);
    struct model_job *m = &all[i];
    if (m->job)
        return;
    *m = (struct model_job){.queue = chance(QUEUES),
                            .kind = chance(KINDS),
                            .key = chance(3) ? chance(KEYS) : 0,
                            .suspect = chance(40) == 0};
    struct job *job = m->job = job_create(STR(""), STR(""));
    job->id = ++ids;
    job->kind = kinds[m->kind];
    job->queue = queues[m->queue];
    job->priority = (uint8_t)chance(JOBS_PRIORITIES);
    job->crashes = m->suspect;
    if (m->key) {
        char text[8];
        snprintf(text, sizeof text, "k%d", m->key);
        extra_make(job)->key = mem_strdup(text);
    }
    jobs->count[PLACE_NONE]++;
    job->queue->count[PLACE_NONE]++;
    if (chance(10))
        place_set(jobs, job, PLACE_READY);
    else
        place_ready_front(jobs, job);
}

static struct model_job *model_of(const struct job *job)
{
    for (int i = 0; i < JOBS; i++)
        if (all[i].job == job)
            return &all[i];
    return NULL;
}

static void gone(struct model_job *m)
{
    place_set(jobs, m->job, PLACE_NONE);
    jobs->count[PLACE_NONE]--;
    m->job->queue->count[PLACE_NONE]--;
    job_unref(m->job);
    *m = (struct model_job){0};
}

/* Ends, comes back or is cancelled while it waits. */
static void end_one(void)
{
    struct model_job *m = &all[chance(JOBS)];
    if (!m->job)
        return;
    if (m->active && chance(4) == 0) {
        m->active = false;
        place_ready_front(jobs, m->job);
    } else if (m->active || chance(8) == 0)
        gone(m);
}

static void spend(const struct model_job *m)
{
    queue_bucket[m->queue].tokens--;
    kind_bucket[m->kind].tokens--;
    if (m->key) {
        flow_bucket[m->queue][m->key].tokens--;
        key_bucket[m->kind][m->key].tokens--;
    }
}

/* Who could have been next, and was not. */
static void count_skipped(const struct model_job *taken)
{
    bool flow[QUEUES][KEYS] = {0}, queue[QUEUES] = {0};
    for (int i = 0; i < JOBS; i++)
        if (may_start(&all[i]))
            queue[all[i].queue] = flow[all[i].queue][all[i].key] = true;
    for (int q = 0; q < QUEUES; q++) {
        skipped_queue[q] = queue[q] && q != taken->queue ? skipped_queue[q] + 1 : 0;
        if (skipped_queue[q] > 2 * QUEUES * WEIGHT)
            TEST_FAIL("queue %d was passed over %d times", q, skipped_queue[q]);
        for (int k = 0; k < KEYS; k++) {
            bool same = q == taken->queue && k == taken->key;
            if (!flow[q][k] || same)
                skipped_flow[q][k] = 0;
            else if (q == taken->queue && ++skipped_flow[q][k] > 4 * KEYS)
                TEST_FAIL("key %d of queue %d was passed over %d times", k, q, skipped_flow[q][k]);
        }
    }
}

static void start_one(void)
{
    struct job *job = flow_pick(jobs);
    if (!job) {
        for (int i = 0; i < JOBS; i++)
            if (may_start(&all[i]))
                TEST_FAIL("job %lld may run and is not found", (long long)all[i].job->id);
        return;
    }
    struct model_job *m = model_of(job);
    if (!m || !may_start(m)) {
        TEST_FAIL("job %lld may not run", (long long)job->id);
        return;
    }
    count_skipped(m);
    spend(m);
    place_set(jobs, job, PLACE_RUNNING);
    m->active = true;
}

static struct job_rate some_rate(void)
{
    return chance(3) ? (struct job_rate){0}
                     : (struct job_rate){1 + chance(5), (1 + chance(3)) * NS_PER_SECOND};
}

static bool same_rate(struct job_rate a, struct job_rate b)
{
    return a.count == b.count && a.period_ns == b.period_ns;
}

/* A new rate begins with what an empty bucket has at least; the model takes what is there. */
static void take_bucket(struct bucket *b, const struct limit *l)
{
    int64_t left = clock_ns() + l->burst_ns + l->interval_ns - l->full_at;
    b->at = clock_ns();
    b->tokens = l->interval_ns ? (double)left / (double)l->interval_ns : 0;
    if (b->tokens > (double)l->rate.count)
        b->tokens = (double)l->rate.count;
}

/* A new bucket for what has none is full. */
static void fill_key_buckets(void)
{
    for (int i = 0; i < KEYS; i++) {
        for (int q = 0; q < QUEUES; q++)
            flow_bucket[q][i] = (struct bucket){1e9, clock_ns()};
        for (int k = 0; k < KINDS; k++)
            key_bucket[k][i] = (struct bucket){1e9, clock_ns()};
    }
}

static void change_queue(int q)
{
    struct job_queue_limits *l = &queues[q]->limits;
    struct job_rate rate = l->rate;
    *l = (struct job_queue_limits){.concurrency = chance(3) ? chance(6) : 0,
                                   .weight = 1 + chance(WEIGHT),
                                   .rate = some_rate(),
                                   .key_concurrency = chance(3) ? 0 : chance(3),
                                   .key_rate = l->key_rate};
    queues[q]->paused = chance(6) == 0;
    flow_queue_changed(jobs, queues[q]);
    if (!same_rate(rate, l->rate))
        take_bucket(&queue_bucket[q], &queues[q]->limit);
}

static void change_kind(int k)
{
    struct kind *kind = kinds[k];
    struct job_rate rate = kind->limit.rate;
    limit_set(&kind->limit, chance(3) ? chance(5) : 0, some_rate());
    kind->key_concurrency = chance(3) ? 0 : 1 + chance(2);
    kind->limit.closed = chance(6) == 0;
    keys_follow(jobs);
    flow_kind_changed(jobs, kind);
    if (!same_rate(rate, kind->limit.rate))
        take_bucket(&kind_bucket[k], &kind->limit);
}

/* Rates of keys are set once in a run: their buckets come and go with the keys. */
static void begin(struct host *h, unsigned with)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    memset(all, 0, sizeof all);
    memset(skipped_flow, 0, sizeof skipped_flow);
    memset(skipped_queue, 0, sizeof skipped_queue);
    seed = with;
    host_open(h);
    jobs = h->jobs;
    jobs_lock(jobs);
    for (int q = 0; q < QUEUES; q++) {
        queues[q] = queue_get(jobs, str_c(names[q]));
        queues[q]->limits.key_rate = some_rate();
        flow_queue_changed(jobs, queues[q]);
    }
    for (int k = 0; k < KINDS; k++) {
        kinds[k] = kind_get(jobs, str_c(names[k]));
        kinds[k]->limit.closed = false;
        kinds[k]->key_rate = some_rate();
    }
    fill_key_buckets();
}

static void end(struct host *h)
{
    for (int i = 0; i < JOBS; i++)
        if (all[i].job)
            gone(&all[i]);
    still_move(100 * NS_PER_SECOND);
    flow_refilled(jobs, clock_ns());
    CHECK_EQ(map_count(jobs->flows), 0);
    CHECK_EQ(map_count(jobs->keys), 0);
    CHECK(list_empty(&jobs->ring));
    for (int q = 0; q < QUEUES; q++)
        CHECK_EQ(queues[q]->limit.active, 0);
    for (int k = 0; k < KINDS; k++) {
        CHECK_EQ(kinds[k]->limit.active, 0);
        kinds[k]->limit.closed = true;
    }
    jobs_unlock(jobs);
    host_close(h);
    host_remove(h);
}

static void step(void)
{
    switch (chance(16)) {
    case 0:
        if (chance(4) == 0)
            change_queue(chance(QUEUES));
        break;
    case 1:
        if (chance(4) == 0)
            change_kind(chance(KINDS));
        break;
    case 2:
        still_move((1 + chance(400)) * NS_PER_MS);
        flow_refilled(jobs, clock_ns());
        break;
    case 3:
    case 4:
    case 5:
        end_one();
        break;
    case 6:
    case 7:
    case 8:
    case 9:
        push();
        break;
    default:
        start_one();
    }
}

static void run_model(unsigned with)
{
    struct host h = {0};
    begin(&h, with);
    for (int i = 0; i < STEPS && !test_failures; i++)
        step();
    if (test_failures)
        printf("# seed %u\n", with);
    end(&h);
}

TEST(picks_are_what_the_model_allows)
{
    const char *given = getenv("SEED"), *rounds = getenv("ROUNDS");
    unsigned from = given ? (unsigned)atoi(given) : (unsigned)(rand_u64() % 1000000);
    if (!still_is_begun())
        still_begin();
    for (int i = 0; i < (rounds ? atoi(rounds) : 20) && !test_failures; i++)
        run_model(from + (unsigned)i);
}
