/* Jobs that one call takes together: how they are gathered, and how each of them ends. */
#include "jobs/host.h"
#include "jobs/private.h"
#include "test.h"

enum { CALLS = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int sizes[CALLS], calls, jobs_seen; /* of each call, in the order they came */
static struct job_run *kept[256];
static int kept_n;
static _Atomic bool keep;

static void end(struct job_run *const *runs, int count)
{
    struct job_outcome outcomes[256];
    for (int i = 0; i < count; i++)
        outcomes[i] = (struct job_outcome){.end = JOB_END_DONE, .result = runs[i]->args};
    jobs_finish_all(runs, outcomes, count);
}

static void take(struct job_run *const *runs, int count, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    for (int i = 0; keep && i < count; i++)
        kept[kept_n++] = runs[i];
    sizes[calls++ % CALLS] = count;
    jobs_seen += count;
    pthread_mutex_unlock(&lock);
    if (!keep)
        end(runs, count);
}

static void end_kept(void *arg)
{
    (void)arg;
    int n = kept_n;
    kept_n = 0;
    end(kept, n);
}

static void fail_kept(void *arg)
{
    (void)arg;
    struct job_outcome again[4];
    for (int i = 0; i < 4; i++)
        again[i] = (struct job_outcome){.end = JOB_END_RETRY, .error = STR("no")};
    kept_n = 0;
    jobs_finish_all(kept, again, 4);
}

static int seen(int least)
{
    int n = 0;
    for (int i = 0; i < 30000 && n < least; i++, host_sleep(1)) {
        pthread_mutex_lock(&lock);
        n = jobs_seen;
        pthread_mutex_unlock(&lock);
    }
    return n;
}

static struct host open_host(int most, int64_t wait_ns, int lanes, int capacity)
{
    struct host h = {.run_batch = take};
    calls = jobs_seen = kept_n = 0;
    keep = false;
    host_open(&h);
    h.batch = most;
    h.batch_wait_ns = wait_ns;
    host_kind(&h, "p.k", 3, NS_PER_MS, 0);
    if (lanes)
        host_start(&h, lanes, capacity);
    return h;
}

static void close_host(struct host *h)
{
    host_stop(h, 0);
    host_close(h);
    host_remove(h);
}

static int64_t push_many(struct host *h, int count)
{
    struct err err = {0};
    struct job_spec spec = {.kind = STR("p.k")};
    struct str args[256];
    for (int i = 0; i < count; i++)
        args[i] = STR("1");
    return jobs_push_wait(h->jobs, &spec, args, count, &err);
}

TEST(what_is_there_is_taken_together_as_far_as_there_is_room)
{
    struct host h = open_host(64, 0, 0, 0);
    CHECK(push_many(&h, 200) > 0);
    host_start(&h, 2,
               100); /* one look at all of them: 64, 64, and what the first lane has room for */
    CHECK(host_drain(&h, 20000));
    CHECK_EQ(jobs_seen, 200);
    CHECK_EQ(sizes[0], 64);
    CHECK_EQ(sizes[1] == 64 || sizes[1] == 36, true);
    close_host(&h);
}

TEST(a_full_one_does_not_wait_for_its_time)
{
    struct host h = open_host(4, 3600 * NS_PER_SECOND, 1, 64);
    struct buf why = {0};
    int64_t first = push_many(&h, 3);
    jobs_why(h.jobs, first, &why);
    buf_add_char(&why, 0);
    CHECK(strstr(why.p, "\"gathering\",\"until\":\"2"));
    buf_free(&why);
    jobs_lock(h.jobs);
    CHECK_EQ(h.jobs->count[PLACE_CLAIMED], 3);
    jobs_unlock(h.jobs);
    CHECK(push_many(&h, 1) > 0);
    CHECK_EQ(seen(4), 4);
    CHECK_EQ(sizes[0], 4);
    CHECK(host_drain(&h, 20000));
    CHECK(push_many(&h, 3) > 0);
    close_host(&h); /* what waits goes back */
}

TEST(nobody_waits_for_others_on_a_worker_without_a_place_for_them)
{
    struct host h = open_host(64, 3600 * NS_PER_SECOND, 1, 5);
    CHECK(push_many(&h, 10) > 0);
    CHECK(host_drain(&h, 20000));
    CHECK_EQ(jobs_seen, 10);
    CHECK_EQ(sizes[0], 5);
    CHECK_EQ(sizes[1], 5);
    close_host(&h);
}

TEST(the_time_of_those_that_wait_comes_to_an_end)
{
    struct host h = open_host(64, 20 * NS_PER_MS, 1, 64);
    CHECK(push_many(&h, 3) > 0);
    CHECK(host_drain(&h, 20000));
    CHECK_EQ(jobs_seen, 3);
    CHECK_EQ(calls, 1);
    close_host(&h);
}

TEST(those_that_wait_can_be_cancelled_and_taken_back)
{
    struct host h = open_host(64, 3600 * NS_PER_SECOND, 2, 64);
    int64_t first = push_many(&h, 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(host_change(&h, jobs_cancel, first + i), ERR_NONE);
    CHECK(host_is(&h, first, "cancelled"));
    jobs_lock(h.jobs);
    CHECK_EQ(h.jobs->workers[0]->used + h.jobs->workers[1]->used, 0);
    CHECK(list_empty(&h.jobs->workers[0]->gathers) && list_empty(&h.jobs->workers[1]->gathers));
    jobs_unlock(h.jobs);
    push_many(&h, 5);
    h.batch = 5; /* the plugin is another one now: they are gathered anew, and are enough */
    host_kind(&h, "p.k", 3, NS_PER_MS, 0);
    CHECK(host_drain(&h, 20000));
    CHECK_EQ(sizes[0], 5);
    close_host(&h);
}

TEST(what_fails_together_is_tried_again_together_but_for_the_last_time)
{
    struct host h = open_host(4, 3600 * NS_PER_SECOND, 1, 64);
    keep = true;
    CHECK(push_many(&h, 4) > 0);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(seen(4 * round + 4), 4 * round + 4);
        CHECK_EQ(sizes[round], 4);
        lane_call_wait(h.lanes[0], fail_kept, NULL);
    }
    CHECK_EQ(seen(16), 16);
    for (int i = 3; i < 7; i++)
        CHECK_EQ(sizes[i], 1);
    lane_call_wait(h.lanes[0], end_kept, NULL);
    CHECK(host_drain(&h, 20000));
    close_host(&h);
}

static void die(struct job_run *const *runs, int count, void *arg)
{
    (void)arg;
    for (int i = 0; i < count; i++)
        if (str_eq_c(runs[i]->args, "\"die\""))
            raise(SIGKILL);
    end(runs, count);
}

static bool child_survives(struct host *h)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        host_open(h);
        host_kind(h, "p.k", 0, NS_PER_MS, 0);
        host_start(h, 1, 64);
        _exit(host_drain(h, 20000) ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status);
}

TEST(of_those_that_ran_together_at_a_crash_only_the_guilty_one_is_set_aside)
{
    struct host h = {.run_batch = die, .batch = 64};
    int lives = 0;
    host_open(&h);
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    int64_t first = push_many(&h, 20);
    int64_t poison = host_push(&h, "p.k", "\"die\"");
    int64_t last = push_many(&h, 20);
    host_close(&h);
    while (lives < 10 && !child_survives(&h))
        lives++;
    CHECK_EQ(lives, JOBS_CRASHES);
    host_open(&h);
    CHECK_EQ(jobs_counts(h.jobs).dead, 1);
    CHECK_EQ(jobs_counts(h.jobs).ready, 0);
    CHECK(host_is(&h, poison, "dead"));
    CHECK(host_is(&h, first, "done") && host_is(&h, last + 19, "done"));
    host_close(&h);
    host_remove(&h);
}
