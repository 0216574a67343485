/* Turns and limits on the whole queue; flow_model_test.c has the structures alone. */
#include "jobs/host.h"
#include "jobs/private.h"
#include "test.h"

enum { MOST = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char seen[MOST]; /* the first letter of each job's arguments, in the order of starts */
static int seen_n, running, most_running;
static struct job_run *waiting[64];
static int waiting_n;
static _Atomic bool fails;
static bool keep; /* runs wait until end_all() */

static void note(struct job_run *run, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    seen[seen_n++] = run->args.n > 1 ? run->args.p[1] : '?';
    if (++running > most_running)
        most_running = running;
    bool stays = keep;
    if (stays)
        waiting[waiting_n++] = run;
    pthread_mutex_unlock(&lock);
    if (stays)
        return;
    host_sleep(1);
    pthread_mutex_lock(&lock);
    running--;
    pthread_mutex_unlock(&lock);
    jobs_finish(run, &(struct job_outcome){.end = fails ? JOB_END_DISCARDED : JOB_END_DONE});
}

static void end_waiting(void *arg)
{
    (void)arg;
    while (waiting_n) {
        running--;
        jobs_finish(waiting[--waiting_n], &(struct job_outcome){.end = JOB_END_DONE});
    }
}

static int started(int least)
{
    int n = 0;
    for (int i = 0; i < 3000 && n < least; i++, host_sleep(1)) {
        pthread_mutex_lock(&lock);
        n = seen_n;
        pthread_mutex_unlock(&lock);
    }
    return n;
}

static struct host open_host(void)
{
    struct host h = {.run = note};
    memset(seen, 0, sizeof seen);
    seen_n = running = most_running = waiting_n = 0;
    keep = false;
    host_open(&h);
    return h;
}

static void close_host(struct host *h)
{
    host_stop(h, 0);
    host_close(h);
    host_remove(h);
}

static void kind(struct host *h, struct job_kind_options options)
{
    options.kind = "p.k";
    options.queue = options.queue ? options.queue : "q";
    options.priority = JOB_NORMAL;
    options.target = h;
    jobs_set_kinds(h->jobs, &options, 1);
}

static int64_t push(struct host *h, const char *args, struct job_spec spec)
{
    struct err err = {0};
    struct str text = str_c(args);
    spec.kind = STR("p.k");
    int64_t id = jobs_push_wait(h->jobs, &spec, &text, 1, &err);
    if (!id)
        host_die("push", &err);
    return id;
}

static void push_many(struct host *h, const char *args, int count, struct job_spec spec)
{
    struct err err = {0};
    struct str *list = mem_zero((size_t)count, sizeof *list);
    for (int i = 0; i < count; i++)
        list[i] = str_c(args);
    spec.kind = STR("p.k");
    if (!jobs_push_wait(h->jobs, &spec, list, count, &err))
        host_die("push", &err);
    mem_free(list);
}

static void change(struct host *h, const char *queue, struct job_queue_change what,
                   enum err_code want)
{
    struct host_change c = {.change = {.done = host_changed, .lane = h->control}};
    jobs_queue_set(h->jobs, &c.change, str_c(queue), &what);
    while (!atomic_load(&c.over))
        host_sleep(1);
    CHECK_EQ(c.change.err.code, want);
}

static int place_of(char who)
{
    const char *at = memchr(seen, who, (size_t)seen_n);
    return at ? (int)(at - seen) : MOST;
}

TEST(keys_take_turns)
{
    struct host h = open_host();
    push_many(&h, "\"a\"", 200, (struct job_spec){.key = STR("a")});
    push_many(&h, "\"-\"", 200, (struct job_spec){0});
    push(&h, "\"b\"", (struct job_spec){.key = STR("b")});
    kind(&h, (struct job_kind_options){0});
    host_start(&h, 1, 1);
    CHECK(host_drain(&h, 10000));
    CHECK(place_of('b') <= 3);
    CHECK(place_of('-') <= 3);
    CHECK_EQ(seen_n, 401);
    close_host(&h);
}

TEST(a_field_of_the_arguments_is_the_key)
{
    struct host h = open_host();
    kind(&h, (struct job_kind_options){.key_field = "tenant"});
    push_many(&h, "{\"a\":[{\"tenant\":\"x\"}],\"tenant\":1}", 50, (struct job_spec){0});
    push(&h, " {\"tenant\":2}", (struct job_spec){0});
    push(&h, "\"c\"", (struct job_spec){0}); /* no object, no key */
    host_start(&h, 1, 1);
    CHECK(host_drain(&h, 10000));
    CHECK(place_of('{') <= 3);
    CHECK(place_of('c') <= 3);
    close_host(&h);
}

TEST(weights_share_out_the_turns)
{
    struct host h = open_host();
    const struct job_queue_options queues[] = {{"heavy", {.weight = 3}}, {"light", {0}}};
    jobs_set_queues(h.jobs, queues, 2);
    push_many(&h, "\"h\"", 90, (struct job_spec){.queue = STR("heavy")});
    push_many(&h, "\"l\"", 90, (struct job_spec){.queue = STR("light")});
    kind(&h, (struct job_kind_options){0});
    host_start(&h, 1, 1);
    CHECK(host_drain(&h, 10000));
    CHECK(strncmp(seen, "hhhlhhhlhhhlhhhl", 16) == 0 || strncmp(seen, "lhhhlhhhlhhhlhhh", 16) == 0);
    close_host(&h);
}

TEST(what_runs_at_once_in_a_queue_is_bounded)
{
    struct host h = open_host();
    jobs_set_queues(h.jobs, &(struct job_queue_options){"q", {.concurrency = 3}}, 1);
    kind(&h, (struct job_kind_options){0});
    host_start(&h, 2, 16);
    push_many(&h, "\"a\"", 100, (struct job_spec){0});
    CHECK(host_drain(&h, 10000));
    CHECK_EQ(seen_n, 100);
    CHECK(most_running <= 3);
    close_host(&h);
}

/* Both limits of one key hold: that of its kind, in whatever queues, and that of its queue. */
TEST(what_runs_at_once_of_a_key_is_bounded)
{
    struct host h = open_host();
    jobs_set_queues(h.jobs, &(struct job_queue_options){"q", {.key_concurrency = 1}}, 1);
    kind(&h, (struct job_kind_options){.key_concurrency = 2});
    keep = true;
    host_start(&h, 1, 32);
    push_many(&h, "\"a\"", 5, (struct job_spec){.key = STR("a")});
    push_many(&h, "\"A\"", 5, (struct job_spec){.key = STR("a"), .queue = STR("r")});
    push_many(&h, "\"b\"", 5, (struct job_spec){.key = STR("b")});
    push_many(&h, "\"-\"", 5, (struct job_spec){0});
    CHECK_EQ(started(8), 8); /* a, A, b, and all without a key */
    host_sleep(20);
    CHECK_EQ(started(8), 8);
    int a = 0, b = 0;
    for (int i = 0; i < 8; i++) {
        a += seen[i] == 'a' || seen[i] == 'A';
        b += seen[i] == 'b';
    }
    CHECK_EQ(a, 2);
    CHECK_EQ(b, 1);
    keep = false;
    lane_call_wait(h.lanes[0], end_waiting, NULL);
    CHECK(host_drain(&h, 10000));
    CHECK_EQ(seen_n, 20);
    close_host(&h);
}

TEST(a_rate_lets_so_many_start)
{
    struct host h = open_host();
    kind(&h, (struct job_kind_options){.rate = {3, 3600 * NS_PER_SECOND}});
    host_start(&h, 1, 8);
    push_many(&h, "\"a\"", 10, (struct job_spec){0});
    CHECK_EQ(started(3), 3);
    host_sleep(30);
    CHECK_EQ(started(3), 3);
    CHECK_EQ(jobs_counts(h.jobs).ready, 7);
    kind(&h, (struct job_kind_options){0}); /* none any more */
    CHECK(host_drain(&h, 10000));
    close_host(&h);
}

TEST(a_bucket_that_refills_wakes_what_waits)
{
    struct host h = open_host();
    kind(&h, (struct job_kind_options){.key_rate = {1, 20 * NS_PER_MS}});
    host_start(&h, 1, 8);
    push_many(&h, "\"a\"", 6, (struct job_spec){.key = STR("a")});
    CHECK_EQ(started(6), 6); /* nobody pushes or ends meanwhile: the timer alone */
    CHECK(host_drain(&h, 10000));
    close_host(&h);
}

TEST(a_paused_queue_stays_paused_over_a_restart)
{
    struct host h = open_host();
    kind(&h, (struct job_kind_options){0});
    host_start(&h, 1, 4);
    push(&h, "\"1\"", (struct job_spec){0});
    CHECK_EQ(started(1), 1);
    change(&h, "q", (struct job_queue_change){.set = QUEUE_PAUSED, .paused = true}, ERR_NONE);
    push_many(&h, "\"2\"", 3, (struct job_spec){0});
    host_stop(&h, 0);
    host_close(&h);
    host_open(&h);
    kind(&h, (struct job_kind_options){0});
    host_start(&h, 1, 4);
    host_sleep(30);
    CHECK_EQ(started(1), 1);
    struct buf out = {0};
    jobs_print_queues(h.jobs, &out);
    CHECK(strstr(out.p, "\"paused\":true"));
    buf_free(&out);
    change(&h, "q", (struct job_queue_change){.set = QUEUE_PAUSED, .paused = false}, ERR_NONE);
    CHECK(host_drain(&h, 5000));
    CHECK_EQ(seen_n, 4);
    close_host(&h);
}

TEST(an_operators_limit_wins_until_it_is_reset)
{
    struct host h = open_host();
    const struct job_queue_options declared = {"q", {.concurrency = 2}};
    jobs_set_queues(h.jobs, &declared, 1);
    change(&h, "q",
           (struct job_queue_change){.set = QUEUE_CONCURRENCY, .limits = {.concurrency = 1}},
           ERR_NONE);
    change(&h, "q", (struct job_queue_change){.set = QUEUE_WEIGHT, .limits = {.weight = 5}},
           ERR_NONE);
    change(&h, "nobody", (struct job_queue_change){.set = QUEUE_PAUSED}, ERR_NOT_FOUND);
    change(&h, "q", (struct job_queue_change){.set = QUEUE_WEIGHT}, ERR_INVALID);
    host_close(&h);
    host_open(&h);
    jobs_set_queues(h.jobs, &declared, 1);
    kind(&h, (struct job_kind_options){0});
    keep = true;
    host_start(&h, 1, 8);
    push_many(&h, "\"a\"", 6, (struct job_spec){0});
    CHECK_EQ(started(1), 1);
    host_sleep(20);
    CHECK_EQ(started(1), 1);
    change(&h, "q", (struct job_queue_change){.reset = QUEUE_CONCURRENCY}, ERR_NONE);
    CHECK_EQ(started(2), 2);
    host_sleep(20);
    CHECK_EQ(started(2), 2);
    keep = false;
    lane_call_wait(h.lanes[0], end_waiting, NULL);
    CHECK(host_drain(&h, 5000));
    close_host(&h);
}

TEST(what_has_not_started_in_time_is_expired)
{
    struct host h = open_host();
    kind(&h, (struct job_kind_options){.expires_ns = 3600 * NS_PER_SECOND});
    int64_t stays = push(&h, "\"s\"", (struct job_spec){0});
    change(&h, "q", (struct job_queue_change){.set = QUEUE_PAUSED, .paused = true}, ERR_NONE);
    host_start(&h, 1, 4);
    int64_t gone = push(&h, "\"g\"", (struct job_spec){.expires_ns = 10 * NS_PER_MS});
    int64_t later = push(&h, "\"l\"",
                         (struct job_spec){.expires_ns = NS_PER_MS,
                                           .run_at_wall = clock_wall_ns() + 3600 * NS_PER_SECOND});
    for (int i = 0; i < 3000 && !host_is(&h, gone, "expired"); i++)
        host_sleep(1);
    CHECK(host_is(&h, gone, "expired"));
    CHECK(host_is(&h, stays, "ready"));
    CHECK(host_is(&h, later, "delayed"));
    host_stop(&h, 0);
    host_close(&h);
    host_open(&h); /* still known, and the times of the others too */
    CHECK(host_is(&h, gone, "expired"));
    kind(&h, (struct job_kind_options){0});
    host_start(&h, 1, 4);
    change(&h, "q", (struct job_queue_change){.set = QUEUE_PAUSED}, ERR_NONE);
    CHECK_EQ(started(1), 1);
    CHECK_EQ(seen[0], 's');
    close_host(&h);
}

TEST(a_dead_job_that_is_retried_does_not_expire_by_its_old_time)
{
    struct host h = open_host();
    fails = true;
    kind(&h, (struct job_kind_options){.retries = 0});
    host_start(&h, 1, 4);
    int64_t id = push(&h, "\"x\"", (struct job_spec){.expires_ns = 200 * NS_PER_MS});
    CHECK_EQ(started(1), 1);
    for (int i = 0; i < 3000 && !host_is(&h, id, "dead"); i++)
        host_sleep(1);
    host_sleep(250);
    fails = false;
    CHECK_EQ(host_change(&h, jobs_retry, id), ERR_NONE);
    CHECK_EQ(started(2), 2);
    CHECK(host_drain(&h, 10000));
    CHECK(host_is(&h, id, "done"));
    close_host(&h);
}

TEST(what_started_in_time_does_not_expire_when_it_comes_back)
{
    struct host h = open_host();
    keep = true;
    kind(&h, (struct job_kind_options){0});
    host_start(&h, 1, 4);
    int64_t id = push(&h, "\"x\"", (struct job_spec){.expires_ns = 200 * NS_PER_MS});
    CHECK_EQ(started(1), 1);
    host_sleep(250);
    CHECK(jobs_reclaim(h.jobs, id));
    CHECK_EQ(started(2), 2);
    host_stop(&h, 0);
    host_close(&h);
    waiting_n = 0; /* they went with their lanes */
    keep = false;
    host_open(&h);
    kind(&h, (struct job_kind_options){0});
    host_start(&h, 1, 4);
    CHECK_EQ(started(3), 3);
    CHECK(host_drain(&h, 10000));
    CHECK(host_is(&h, id, "done"));
    close_host(&h);
}

TEST(a_key_whose_bucket_is_remembered_gets_the_new_rate)
{
    struct host h = open_host();
    kind(&h, (struct job_kind_options){.key_rate = {1, 3600 * NS_PER_SECOND}});
    host_start(&h, 1, 8);
    push(&h, "\"a\"", (struct job_spec){.key = STR("a")});
    CHECK(host_drain(&h, 10000));
    kind(&h, (struct job_kind_options){.key_rate = {1000, NS_PER_SECOND}});
    push(&h, "\"a\"", (struct job_spec){.key = STR("a")});
    CHECK_EQ(started(2), 2);
    CHECK(host_drain(&h, 10000));
    close_host(&h);
}

static _Atomic int killed;

static void on_kill(struct job_run *run, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < waiting_n; i++)
        if (waiting[i] == run)
            waiting[i] = waiting[--waiting_n];
    running--;
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&killed, 1);
    jobs_finish(run, &(struct job_outcome){.end = JOB_END_FAILED, .error = STR("by force")});
}

TEST(a_run_over_its_hard_timeout_is_ended_by_force)
{
    struct host h = open_host();
    host_close(&h);
    h.kill = on_kill;
    atomic_store(&killed, 0);
    host_open(&h);
    keep = true;
    kind(&h, (struct job_kind_options){.timeout_ns = 5 * NS_PER_MS,
                                       .hard_timeout_ns = 20 * NS_PER_MS,
                                       .backoff_ns = NS_PER_MS,
                                       .retries = 1});
    host_start(&h, 1, 4);
    int64_t own = push(&h, "\"o\"", (struct job_spec){.timeout_ns = 3600 * NS_PER_SECOND});
    int64_t id = push(&h, "\"k\"", (struct job_spec){0});
    CHECK_EQ(started(3), 3); /* the second one twice */
    for (int i = 0; i < 3000 && !host_is(&h, id, "dead"); i++)
        host_sleep(1);
    CHECK(host_is(&h, id, "dead"));
    CHECK(host_is(&h, own, "running")); /* it may run as much longer as its timeout is */
    CHECK_EQ(atomic_load(&killed), 2);
    keep = false;
    lane_call_wait(h.lanes[0], end_waiting, NULL);
    CHECK(host_drain(&h, 5000));
    close_host(&h);
}

/* Many jobs at one instant keep the lock only for a slice of them. */
TEST(what_is_due_or_over_at_one_instant_comes_in_slices)
{
    enum { COUNT = 3 * JOBS_SLICE };
    struct host h = {.run = note};
    struct err err = {0};
    struct str *args = mem_alloc(COUNT * sizeof *args);
    int64_t later = clock_wall_ns() + 3600 * NS_PER_SECOND;
    for (int i = 0; i < COUNT; i++)
        args[i] = STR("\"a\"");
    host_open(&h);
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    struct job_spec expires = {.kind = STR("p.k"), .expires_ns = 3600 * NS_PER_SECOND};
    struct job_spec waits = {.kind = STR("p.k"), .run_at_wall = later};
    CHECK(jobs_push_wait(h.jobs, &expires, args, COUNT, &err) > 0);
    CHECK(jobs_push_wait(h.jobs, &waits, args, COUNT, &err) > 0);
    jobs_lock(h.jobs);
    place_due(h.jobs, later + NS_PER_SECOND);
    place_expired(h.jobs, later + NS_PER_SECOND);
    CHECK_EQ(h.jobs->count[PLACE_DELAYED], COUNT - JOBS_SLICE);
    CHECK_EQ(h.jobs->count[PLACE_FINISHING], JOBS_SLICE);
    jobs_unlock(h.jobs);
    mem_free(args);
    host_close(&h);
    host_remove(&h);
}

/* And the rest follows at once. */
TEST(slices_follow_each_other)
{
    enum { COUNT = 3 * JOBS_SLICE };
    struct host h = {.run = note};
    struct err err = {0};
    struct str *args = mem_alloc(COUNT * sizeof *args);
    for (int i = 0; i < COUNT; i++)
        args[i] = STR("\"a\"");
    host_open(&h);
    host_start(&h, 1, 1);
    struct job_spec expires = {.kind = STR("p.k"), .expires_ns = 5 * NS_PER_MS};
    CHECK(jobs_push_wait(h.jobs, &expires, args, COUNT, &err) > 0); /* nobody runs them */
    mem_free(args);
    CHECK(host_drain(&h, 5000));
    host_stop(&h, 0);
    host_close(&h);
    host_remove(&h);
}
