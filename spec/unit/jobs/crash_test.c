/* A child pushes and runs jobs and is killed at a random moment, again and again: what it was
 * told to be on disk is there or has run, and what ran last time is not lost. */
#include <sys/mman.h>

#include "base/rand.h"
#include "jobs/flight.h"
#include "jobs/host.h"
#include "test.h"

enum { ROUNDS = 20, PUSHERS = 3, IDS = 200000 };

/* Shared by parent and child; survives the child. */
struct shared {
    _Atomic int64_t acked_n, acked[IDS]; /* pushes that returned */
    _Atomic unsigned char ran[IDS];      /* by id: runs */
    _Atomic unsigned char reported[IDS]; /* by id: seen as done with its result */
    _Atomic int64_t started, finished;
};
static struct shared *shared;

static void on_run(struct job_run *run, void *arg)
{
    (void)arg;
    char result[64];
    if (run->id < IDS)
        atomic_fetch_add(&shared->ran[run->id], 1);
    int n = snprintf(result, sizeof result, "{\"id\":%lld}", (long long)run->id);
    jobs_finish(run,
                &(struct job_outcome){.end = JOB_END_DONE, .result = str_n(result, (size_t)n)});
}

static void *push_for_ever(void *arg)
{
    struct host *h = arg;
    struct err err = {0};
    struct str args[3] = {STR("{\"a\":1}"), STR("{}"), STR("{}")};
    struct job_spec spec = {.kind = STR("p.k")};
    for (;;) {
        int count = 1 + (int)(rand_u64() % 3);
        spec.run_at_wall = rand_u64() % 8 ? 0 : clock_wall_ns() + 30 * NS_PER_MS;
        int64_t id = jobs_push_wait(h->jobs, &spec, args, count, &err);
        for (int i = 0; id && i < count; i++) {
            int64_t at = atomic_fetch_add(&shared->acked_n, 1);
            if (at < IDS)
                atomic_store(&shared->acked[at], id + i);
        }
    }
    return NULL;
}

static bool is_reported(struct host *h, int64_t id)
{
    char want[64];
    snprintf(want, sizeof want, "{\"id\":%lld}", (long long)id);
    char *json = host_query(h, (struct jobs_query){.id = id});
    bool is = strstr(json, "\"state\":\"done\"") && strstr(json, want);
    mem_free(json);
    return is;
}

static void child(struct host *h)
{
    pthread_t threads[PUSHERS];
    host_open(h);
    host_kind(h, "p.k", 3, NS_PER_MS, 0);
    host_start(h, 2, 8);
    for (int i = 0; i < PUSHERS; i++)
        pthread_create(&threads[i], NULL, push_for_ever, h);
    for (;;) { /* look at what was acknowledged; what is reported as done must stay so */
        int64_t n = atomic_load(&shared->acked_n);
        int64_t id =
            n ? atomic_load(&shared->acked[rand_u64() % (uint64_t)(n < IDS ? n : IDS)]) : 0;
        if (id && id < IDS && is_reported(h, id))
            atomic_store(&shared->reported[id], 1);
    }
}

static void kill_round(struct host *h)
{
    pid_t pid = fork();
    if (pid == 0) {
        child(h);
        _exit(0);
    }
    host_sleep(5 + (int)(rand_u64() % 60));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void check_all(struct host *h)
{
    int lost = 0, forgotten = 0;
    int64_t n = atomic_load(&shared->acked_n);
    for (int64_t i = 0; i < n && i < IDS; i++) {
        int64_t id = atomic_load(&shared->acked[i]);
        if (id && id < IDS && !atomic_load(&shared->ran[id]))
            lost++;
    }
    for (int64_t id = 1; id < IDS; id++)
        if (atomic_load(&shared->reported[id]) && !is_reported(h, id))
            forgotten++;
    printf("# %lld pushes acknowledged\n", (long long)n);
    CHECK_EQ(lost, 0);
    CHECK_EQ(forgotten, 0);
}

TEST(nothing_acknowledged_is_lost_when_the_process_is_killed)
{
    struct host h = {.run = on_run};
    int quick = getenv("ROUNDS") ? atoi(getenv("ROUNDS")) : ROUNDS;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    host_make_dir(&h);
    for (int i = 0; i < quick; i++)
        kill_round(&h);
    host_open(&h);
    host_kind(&h, "p.k", 3, NS_PER_MS, 0);
    host_start(&h, 2, 8);
    CHECK(host_drain(&h, 20000));
    check_all(&h);
    host_stop(&h, NS_PER_SECOND);
    host_close(&h);
    host_remove(&h);
    munmap(shared, sizeof *shared);
}

static void die(struct job_run *run, void *arg)
{
    (void)arg;
    if (str_eq_c(run->args, "\"die\""))
        raise(SIGKILL);
    host_sleep(1);
    jobs_finish(run, &(struct job_outcome){.end = JOB_END_DONE});
}

/* Runs until the child dies or, when nothing is left, ends. */
static bool child_survives(struct host *h)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        host_open(h);
        host_kind(h, "p.k", 0, NS_PER_MS, 0);
        host_start(h, 2, 4);
        _exit(host_drain(h, 5000) ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status);
}

TEST(a_job_that_takes_the_process_down_twice_is_set_aside_with_evidence)
{
    struct host h = {.run = die};
    int lives = 0;
    host_open(&h);
    for (int i = 0; i < 20; i++)
        host_push(&h, "p.k", "1");
    int64_t poison = host_push(&h, "p.k", "\"die\"");
    for (int i = 0; i < 20; i++)
        host_push(&h, "p.k", "1");
    host_close(&h);
    while (lives < 10 && !child_survives(&h))
        lives++;
    CHECK_EQ(lives, JOBS_CRASHES);
    host_open(&h);
    CHECK_EQ(jobs_counts(h.jobs).dead, 1);
    CHECK_EQ(jobs_counts(h.jobs).ready, 0);
    char *json = host_query(&h, (struct jobs_query){.id = poison});
    CHECK(strstr(json, "\"error\":\"quarantined: took the process down 2 times\""));
    CHECK(strstr(json, "\"crashes\":2"));
    CHECK(strstr(json, "died while this ran: nobody saw how; boot "));
    CHECK(strstr(json, "2 of 2 times"));
    mem_free(json);
    CHECK_EQ(host_change(&h, jobs_retry, poison), ERR_NONE); /* it may be tried again by hand */
    CHECK_EQ(jobs_counts(h.jobs).ready, 1);
    CHECK_EQ(jobs_counts(h.jobs).dead, 0);
    host_close(&h);
    host_remove(&h);
}

TEST(the_recorder_forgets_nothing_and_blames_nobody_after_a_reboot)
{
    struct err err = {0};
    struct flight_entry e = {.id = 7, .fence = 9, .started_wall = 11, .attempt = 2}, got[4];
    bool same;
    struct host h = {0};
    host_make_dir(&h);
    struct flight *f = flight_open(h.flight, &err);
    REQUIRE(f != NULL);
    CHECK_EQ(flight_read(f, got, 4, &same), 0);
    CHECK(!same);
    flight_reset(f);
    flight_set(f, 3, &e);
    flight_set(f, 5, &e);
    flight_clear(f, 5);
    flight_close(f);
    f = flight_open(h.flight, &err);
    CHECK_EQ(flight_read(f, got, 4, &same), 1);
    CHECK(same && got[0].id == 7 && got[0].fence == 9 && got[0].attempt == 2);
    flight_close(f);
    FILE *file = fopen(h.flight, "r+");
    fseek(file, 8, SEEK_SET);
    fputs("another boot", file);
    fclose(file);
    f = flight_open(h.flight, &err);
    CHECK_EQ(flight_read(f, got, 4, &same), 1);
    CHECK(!same);
    flight_close(f);
    host_remove(&h);
}
