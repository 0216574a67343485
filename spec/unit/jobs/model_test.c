/* Random operations on the queue beside a simple model of it: after each, both must agree. */
#include "base/rand.h"
#include "jobs/host.h"
#include "test.h"

enum { JOBS = 4000, CAPACITY = 4, KINDS = 3, STEPS = 400, LIMIT_OF_C = 1 };

enum state { NONE, READY, DELAYED, RUNNING, DONE, DEAD, CANCELLED };
static const char *const state_names[] = {"",     "ready", "delayed",  "running",
                                          "done", "dead",  "cancelled"};
static const char *const kinds[KINDS] = {"p.a", "p.b", "p.c"};

struct model_job {
    enum state state;
    int kind, attempt, max_attempts, unique;
    struct job_run *run; /* RUNNING */
};

/* Under `lock`; the test and the run callback share it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct model_job jobs[JOBS];
static int last_id, running_n, stale_n;
static struct job_run *stale[64];
static _Atomic bool registered[KINDS]; /* what the model goes by */
static bool wanted[KINDS];             /* what the queue was told */
static char broken[256];
static unsigned seed;

static int chance(int n)
{
    seed = seed * 1103515245u + 12345u;
    return (int)((seed >> 16) % (unsigned)n);
}

#define EXPECT(condition)                                                                          \
    ((condition) || broken[0]                                                                      \
         ? (void)0                                                                                 \
         : (void)snprintf(broken, sizeof broken, "line %d: %s", __LINE__, #condition))

static int count_kind(int kind, enum state state)
{
    int n = 0;
    for (int i = 1; i <= last_id; i++)
        n += jobs[i].kind == kind && jobs[i].state == state;
    return n;
}

static void on_run(struct job_run *run, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    struct model_job *j = &jobs[run->id];
    EXPECT(j->state == READY);
    EXPECT(registered[j->kind]);
    EXPECT(run->attempt == j->attempt + 1);
    EXPECT(run->max_attempts == j->max_attempts);
    j->state = RUNNING;
    j->attempt++;
    j->run = run;
    running_n++;
    EXPECT(count_kind(2, RUNNING) <= LIMIT_OF_C);
    pthread_mutex_unlock(&lock);
}

struct ending {
    struct job_run *run;
    struct job_outcome outcome;
};

static void end_run(void *arg)
{
    struct ending *e = arg;
    jobs_finish(e->run, &e->outcome);
}

/* A random job in this state, or 0. */
static int pick(enum state state)
{
    int from = last_id ? chance(last_id) : 0;
    for (int i = 0; i < last_id; i++) {
        int id = (from + i) % last_id + 1;
        if (jobs[id].state == state)
            return id;
    }
    return 0;
}

static bool unique_taken(int kind, int unique)
{
    for (int i = 1; i <= last_id && unique; i++)
        if (jobs[i].kind == kind && jobs[i].unique == unique && jobs[i].state >= READY &&
            jobs[i].state <= RUNNING)
            return true;
    return false;
}

static void set_kinds(struct host *h)
{
    struct job_kind_options list[KINDS];
    int n = 0;
    for (int k = 0; k < KINDS; k++)
        if (wanted[k])
            list[n++] = (struct job_kind_options){.kind = kinds[k],
                                                  .queue = k ? "default" : "other",
                                                  .priority = JOB_NORMAL,
                                                  .backoff_ns = 3600 * NS_PER_SECOND,
                                                  .concurrency = k == 2 ? LIMIT_OF_C : 0,
                                                  .target = h};
    jobs_set_kinds(h->jobs, list, n);
}

/* The lock is held over the push, so that the run comes after the model knows. */
static void do_push(struct host *h)
{
    struct err err = {0};
    struct str args = STR("{}");
    struct model_job j = {.state = chance(5) ? READY : DELAYED,
                          .kind = chance(KINDS),
                          .max_attempts = 1 + chance(3),
                          .unique = chance(3) ? 0 : 1 + chance(3)};
    char unique[16];
    snprintf(unique, sizeof unique, "u%d", j.unique);
    struct job_spec spec = {.kind = str_c(kinds[j.kind]),
                            .priority = chance(4),
                            .retries = j.max_attempts,
                            .unique = str_c(j.unique ? unique : ""),
                            .run_at_wall =
                                j.state == DELAYED ? clock_wall_ns() + 3600 * NS_PER_SECOND : 0};
    pthread_mutex_lock(&lock);
    bool taken = unique_taken(j.kind, j.unique);
    int64_t id = jobs_push_wait(h->jobs, &spec, &args, 1, &err);
    EXPECT(taken == (id == 0 && err.code == ERR_EXISTS));
    if (id > 0 && id < JOBS) {
        jobs[id] = j;
        last_id = (int)id;
    }
    pthread_mutex_unlock(&lock);
}

static void do_finish(struct host *h)
{
    pthread_mutex_lock(&lock);
    int id = pick(RUNNING);
    struct model_job *j = &jobs[id];
    struct ending e = {.run = j->run};
    if (id) {
        running_n--;
        switch (chance(5)) {
        case 0:
            e.outcome = (struct job_outcome){.end = JOB_END_FAILED, .error = STR("no")};
            j->state = j->attempt < j->max_attempts ? DELAYED : DEAD;
            break;
        case 1:
            e.outcome = (struct job_outcome){.end = JOB_END_DISCARDED, .error = STR("never")};
            j->state = DEAD;
            break;
        case 2:
            e.outcome = (struct job_outcome){.end = JOB_END_RETRY, .delay_ns = 0};
            j->state = j->attempt < j->max_attempts ? READY : DEAD;
            break;
        case 3:
            e.outcome = (struct job_outcome){.end = JOB_END_INTERRUPTED};
            j->state = READY;
            j->attempt--;
            break;
        default:
            e.outcome = (struct job_outcome){.end = JOB_END_DONE, .result = STR("[1]")};
            j->state = DONE;
        }
    }
    pthread_mutex_unlock(&lock);
    if (id)
        lane_call_wait(h->lanes[0], end_run, &e);
}

static void do_reclaim(struct host *h)
{
    pthread_mutex_lock(&lock);
    int id = pick(RUNNING);
    if (id && stale_n < 2) {
        jobs[id].state = READY;
        jobs[id].attempt--;
        stale[stale_n++] = jobs[id].run;
        running_n--;
        EXPECT(jobs_reclaim(h->jobs, id));
    }
    pthread_mutex_unlock(&lock);
}

static void end_stale(struct host *h)
{
    struct ending e = {.outcome = {.end = JOB_END_DONE}};
    while (stale_n) {
        e.run = stale[--stale_n];
        lane_call_wait(h->lanes[0], end_run, &e);
    }
}

static void do_cancel(struct host *h)
{
    pthread_mutex_lock(&lock);
    int id = pick(chance(2) ? READY : DELAYED);
    if (id) {
        jobs[id].state = CANCELLED;
        EXPECT(host_change(h, jobs_cancel, id) == ERR_NONE);
    }
    pthread_mutex_unlock(&lock);
}

static void do_retry(struct host *h)
{
    pthread_mutex_lock(&lock);
    int id = pick(chance(2) ? DEAD : DELAYED);
    struct model_job *j = &jobs[id];
    if (id && j->state == DEAD) {
        bool taken = unique_taken(j->kind, j->unique);
        if (!taken) {
            j->state = READY;
            j->attempt = 0;
        }
        EXPECT(host_change(h, jobs_retry, id) == (taken ? ERR_EXISTS : ERR_NONE));
    } else if (id) {
        j->state = READY;
        EXPECT(host_change(h, jobs_retry, id) == ERR_NONE);
    }
    pthread_mutex_unlock(&lock);
}

/* Ends are on disk: a unique key is free only from then on. */
static void all_ended(struct host *h)
{
    for (int i = 0; i < 1000 && jobs_counts(h->jobs).running != running_n; i++)
        host_sleep(1);
}

/* What must be running when the queue has come to rest. */
static int should_run(void)
{
    int n = 0;
    for (int k = 0; k < KINDS; k++) {
        int active = count_kind(k, RUNNING);
        int able = active + (registered[k] ? count_kind(k, READY) : 0);
        if (k == 2 && able > LIMIT_OF_C)
            able = active > LIMIT_OF_C ? active : LIMIT_OF_C;
        n += able;
    }
    return n < CAPACITY - stale_n ? n : CAPACITY - stale_n;
}

static bool settled(void)
{
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&lock);
        bool ok = running_n == should_run() || broken[0];
        pthread_mutex_unlock(&lock);
        if (ok)
            return true;
        host_sleep(1);
    }
    return false;
}

static void check_states(struct host *h)
{
    for (int id = 1; id <= last_id; id++) {
        enum state want = jobs[id].state;
        for (int i = 0; want != NONE && !host_is(h, id, state_names[want]); i++) {
            if (i == 200) {
                char *json = host_query(h, (struct jobs_query){.id = id});
                printf("# job %d should be %s: %s\n", id, state_names[want], json);
                mem_free(json);
                EXPECT(!"states agree");
                return;
            }
            host_sleep(1);
        }
    }
}

static void interrupt_at_stop(struct job_run *run, enum job_end why, void *arg)
{
    (void)arg;
    (void)why;
    for (int i = 0; i < stale_n; i++)
        if (stale[i] == run)
            return;
    pthread_mutex_lock(&lock);
    jobs[run->id].state = READY;
    jobs[run->id].attempt--;
    running_n--;
    pthread_mutex_unlock(&lock);
    jobs_finish(run, &(struct job_outcome){.end = JOB_END_INTERRUPTED});
}

static void do_reopen(struct host *h)
{
    end_stale(h);
    host_stop(h, 0);
    host_close(h);
    EXPECT(running_n == 0);
    host_open(h);
    check_states(h);
    set_kinds(h);
    host_start(h, 1, CAPACITY);
}

/* A run that was bound before its kind went may begin a moment after. */
static void toggle_kind(struct host *h, int k)
{
    wanted[k] = !wanted[k];
    if (wanted[k])
        registered[k] = true;
    set_kinds(h);
    if (!wanted[k]) {
        all_ended(h);
        registered[k] = false;
    }
}

static void step(struct host *h)
{
    switch (chance(20)) {
    case 0:
        toggle_kind(h, chance(KINDS));
        return;
    case 1:
    case 2:
        do_cancel(h);
        return;
    case 3:
    case 4:
        do_retry(h);
        return;
    case 5:
        do_reclaim(h);
        return;
    case 6:
        end_stale(h);
        return;
    case 7:
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
        do_finish(h);
        return;
    default:
        do_push(h);
    }
}

static void run_model(unsigned with)
{
    struct host h = {.run = on_run, .cancel = interrupt_at_stop};
    memset(jobs, 0, sizeof jobs);
    last_id = running_n = stale_n = 0;
    broken[0] = 0;
    seed = with;
    for (int k = 0; k < KINDS; k++)
        registered[k] = wanted[k] = true;
    host_open(&h);
    set_kinds(&h);
    host_start(&h, 1, CAPACITY);
    for (int i = 0; i < STEPS && !broken[0]; i++) {
        step(&h);
        if (!settled())
            EXPECT(!"the right number of jobs runs");
        all_ended(&h);
        if (i % 100 == 99 && !broken[0])
            do_reopen(&h);
    }
    if (broken[0])
        TEST_FAIL("seed %u: %s", with, broken);
    end_stale(&h);
    host_stop(&h, 0);
    host_close(&h);
    host_remove(&h);
}

TEST(the_queue_does_what_the_model_does)
{
    const char *given = getenv("SEED");
    unsigned from = given ? (unsigned)atoi(given) : (unsigned)(rand_u64() % 1000000);
    for (unsigned i = 0; i < 6 && !test_failures; i++)
        run_model(from + i);
}
