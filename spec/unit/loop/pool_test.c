#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "loop/pool.h"

static struct lane *lane;
static struct pool *pool;
static atomic_int worked, done, cancelled, on_lane, found_nice;
static uv_sem_t gate, all_done;

static void set_up(int threads)
{
    struct err err = {0};
    lane = lane_create(0, LANE_WEB, "test", &err);
    pool = pool_create("test", threads, &err);
    if (!lane || !pool || !lane_start(lane, NULL, NULL, &err))
        abort();
    worked = done = cancelled = on_lane = 0;
    uv_sem_init(&gate, 0);
    uv_sem_init(&all_done, 0);
}

static void tear_down(void)
{
    lane_stop(lane);
    lane_join(lane);
    lane_destroy(lane);
    uv_sem_destroy(&gate);
    uv_sem_destroy(&all_done);
}

static void work(struct pool_job *job)
{
    (void)job;
    worked++;
}

static void wait_for_gate(struct pool_job *job)
{
    (void)job;
    worked++;
    uv_sem_wait(&gate);
}

static void finish(struct pool_job *job)
{
    on_lane += lane_current() == lane;
    cancelled += job->cancelled;
    done++;
    uv_sem_post(&all_done);
    mem_free(job);
}

static void submit(void (*fn)(struct pool_job *), struct lane *to)
{
    struct pool_job *job = mem_zero(1, sizeof *job);
    job->work = fn;
    job->done = finish;
    pool_submit(pool, job, to);
}

TEST(work_is_done_and_answered_on_the_lane)
{
    set_up(3);
    for (int i = 0; i < 1000; i++)
        submit(work, lane);
    for (int i = 0; i < 1000; i++)
        uv_sem_wait(&all_done);
    CHECK_EQ(worked, 1000);
    CHECK_EQ(on_lane, 1000);
    CHECK_EQ(cancelled, 0);
    pool_destroy(pool);
    tear_down();
}

static void *open_gate(void *arg)
{
    (void)arg;
    uv_sleep(50);
    uv_sem_post(&gate);
    return NULL;
}

TEST(destroying_finishes_what_runs_and_cancels_what_waits)
{
    pthread_t opener;
    set_up(1);
    submit(wait_for_gate, lane);
    while (atomic_load(&worked) == 0)
        uv_sleep(1);
    for (int i = 0; i < 5; i++)
        submit(work, lane);
    CHECK_EQ(pool_depth(pool), 5);
    pthread_create(&opener, NULL, open_gate, NULL);
    pool_destroy(pool);
    pthread_join(opener, NULL);
    for (int i = 0; i < 6; i++)
        uv_sem_wait(&all_done);
    CHECK_EQ(worked, 1);
    CHECK_EQ(done, 6);
    CHECK_EQ(cancelled, 5);
    tear_down();
}

TEST(without_a_lane_the_pool_thread_answers)
{
    set_up(2);
    submit(work, NULL);
    uv_sem_wait(&all_done);
    CHECK_EQ(on_lane, 0);
    CHECK_EQ(done, 1);
    pool_destroy(pool);
    tear_down();
}

static void read_nice(struct pool_job *job)
{
    (void)job;
    found_nice = getpriority(PRIO_PROCESS, 0);
}

TEST(a_nice_pool_gives_way)
{
    struct err err;
    struct pool *low = pool_create_nice("low", 1, 7, &err);
    struct pool_job job = {.work = read_nice};
    REQUIRE(low);
    pool_submit(low, &job, NULL);
    while (!pool_is_idle(low))
        usleep(100);
    pool_destroy(low);
    CHECK_EQ(found_nice, getpriority(PRIO_PROCESS, 0) + 7);
}
