/* Batches: what is counted, what follows, and that both survive a process that is killed. */
#include <sys/mman.h>

#include "base/rand.h"
#include "jobs/words.h"
#include "test.h"

struct pushing {
    struct jobs_push push; /* first */
    _Atomic int over;
};

static void on_pushed(struct jobs_push *push)
{
    atomic_store(&((struct pushing *)(void *)push)->over, 1);
}

/* A batch of these words, all of kind p.k, followed by p.end.  Its id, or 0. */
static int64_t push_batch(struct host *h, const char *const *words, int count, const char *done)
{
    struct err err = {0};
    struct job_spec *specs = mem_zero((size_t)count, sizeof *specs);
    struct str *args = mem_zero((size_t)count, sizeof *args);
    struct pushing p = {.push.done = on_pushed};
    struct jobs_batch batch = {
        .done_kind = str_c(done), .done_args = STR("{\"x\":1}"), .description = STR("a test")};
    for (int i = 0; i < count; i++) {
        specs[i].kind = STR("p.k");
        args[i] = str_c(words[i]);
    }
    bool ok = jobs_push_batch(h->jobs, &p.push, &batch, specs, args, count, &err);
    while (ok && !atomic_load(&p.over))
        host_sleep(1);
    mem_free(specs);
    mem_free(args);
    return ok && !p.push.err.code ? batch.id : 0;
}

static char *look(struct host *h, int64_t id)
{
    struct host_look l = {.query = {.id = id, .done = host_looked, .lane = h->control}};
    size_t n;
    jobs_query_batch(h->jobs, &l.query);
    while (!atomic_load(&l.over))
        host_sleep(1);
    buf_add_c(&l.query.out, "");
    return buf_take(&l.query.out, &n);
}

static bool says_of(struct host *h, int64_t id, const char *text)
{
    char *json = look(h, id);
    bool is = strstr(json, text) != NULL;
    if (!is)
        printf("# %s\n", json);
    mem_free(json);
    return is;
}

static void kinds(struct host *h)
{
    struct job_kind_options k[] = {
        {.kind = "p.k", .queue = "default", .priority = JOB_NORMAL, .target = h},
        {.kind = "p.end", .queue = "default", .priority = JOB_NORMAL, .target = h}};
    jobs_set_kinds(h->jobs, k, 2);
}

TEST(when_all_have_ended_one_more_job_says_how)
{
    static const char *const words[] = {"\"a\"", "\"fail\"", "\"discard\"", "\"wait\"", "\"b\""};
    struct host h = open_host();
    kinds(&h);
    host_start(&h, 2, 4);
    int64_t id = push_batch(&h, words, 5, "p.end");
    CHECK(id > 0);
    CHECK_EQ(wait_runs(5), 5);
    CHECK(says_of(&h, id, "\"description\":\"a test\""));
    CHECK(says_of(&h, id, "\"finished_at\":null,\"done_job\":null"));
    while (jobs_counts(h.jobs).running > 1 || !jobs_is_settled(h.jobs))
        host_sleep(1);
    CHECK(says_of(&h, id, "\"total\":5,\"succeeded\":2,\"failed\":2,\"pending\":1"));
    CHECK_EQ(host_change(&h, jobs_cancel, id + 4), ERR_NONE); /* a cancelled one has failed */
    CHECK_EQ(wait_runs(6), 6);
    CHECK(host_drain(&h, 3000));
    CHECK(strstr(seen, "{\"x\":1,\"batch\":{\"id\":"));
    CHECK(strstr(seen, "\"total\":5,\"succeeded\":2,\"failed\":3}}"));
    CHECK(says_of(&h, id, "\"succeeded\":2,\"failed\":3,\"pending\":0"));
    CHECK_EQ(host_change(&h, jobs_retry, id + 3), ERR_NONE); /* dead; not counted again */
    CHECK_EQ(wait_runs(7), 7);
    CHECK(host_drain(&h, 3000));
    CHECK(says_of(&h, id, "\"succeeded\":2,\"failed\":3,\"pending\":0"));
    CHECK_EQ(jobs_counts(h.jobs).pushed_total, 6);
    close_host(&h);
}

TEST(a_batch_is_counted_on_after_a_restart)
{
    static const char *const words[] = {"\"a\"", "\"b\"", "\"c\""};
    struct host h = open_host();
    int64_t id = push_batch(&h, words, 3, "p.end");
    int64_t none = push_batch(&h, words, 1, "");
    CHECK_EQ(host_change(&h, jobs_cancel, id + 1), ERR_NONE);
    host_close(&h);
    host_open(&h);
    kinds(&h);
    host_start(&h, 1, 1);
    CHECK_EQ(wait_runs(4), 4);
    CHECK(host_drain(&h, 3000));
    CHECK(strstr(seen, "\"total\":3,\"succeeded\":2,\"failed\":1}}"));
    CHECK(says_of(&h, none, "\"succeeded\":1,\"failed\":0,\"pending\":0"));
    CHECK(says_of(&h, none, "\"done_job\":null"));
    char *json = look(&h, 999999);
    CHECK_EQ(strlen(json), 0);
    mem_free(json);
    close_host(&h);
}

/* By the id of a batch: which job was its last one, and what it said. */
enum { BATCHES = 20000, MEMBERS = 5, ROUNDS = 20, PUSHERS = 3 };
struct shared {
    _Atomic int64_t acked_n, acked[BATCHES];
    _Atomic int64_t last[1 << 20];
    _Atomic int twice, wrong;
};
static struct shared *shared;

static void run_member(struct job_run *run, void *arg)
{
    (void)arg;
    struct job_outcome outcome = {.end = JOB_END_DONE};
    if (strcmp(run->kind, "p.end") == 0) {
        char text[160];
        long long id;
        snprintf(text, sizeof text, "%.*s", (int)run->args.n, run->args.p);
        const char *at = strstr(text, "\"id\":");
        id = at ? atoll(at + 5) : 0;
        int64_t before = atomic_exchange(&shared->last[id & ((1 << 20) - 1)], run->id);
        if (before && before != run->id)
            atomic_fetch_add(&shared->twice, 1);
        if (!strstr(text, "\"total\":5,\"succeeded\":4,\"failed\":1}}"))
            atomic_fetch_add(&shared->wrong, 1);
    }
    if (says(run, "\"discard"))
        outcome = (struct job_outcome){.end = JOB_END_DISCARDED, .error = STR("no use")};
    jobs_finish(run, &outcome);
}

static void *push_for_ever(void *arg)
{
    static const char *const words[MEMBERS] = {"1", "2", "\"discard\"", "3", "4"};
    for (;;) {
        int64_t id = push_batch(arg, words, MEMBERS, "p.end");
        int64_t at = id ? atomic_fetch_add(&shared->acked_n, 1) : BATCHES;
        if (at < BATCHES)
            atomic_store(&shared->acked[at], id);
    }
    return NULL;
}

static void kill_round(struct host *h)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t threads[PUSHERS];
        host_open(h);
        kinds(h);
        host_start(h, 2, 8);
        for (int i = 0; i < PUSHERS; i++)
            pthread_create(&threads[i], NULL, push_for_ever, h);
        host_sleep(60000);
        _exit(0);
    }
    int64_t before = atomic_load(&shared->acked_n);
    for (int i = 0; i < 20000 && atomic_load(&shared->acked_n) < before + 20; i++)
        host_sleep(1);
    host_sleep((int)(rand_u64() % 20));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

TEST(the_last_job_is_pushed_once_whenever_the_process_is_killed)
{
    struct host h = {.run = run_member};
    int rounds = getenv("ROUNDS") ? atoi(getenv("ROUNDS")) : ROUNDS;
    int missing = 0, untold = 0;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    host_make_dir(&h);
    for (int i = 0; i < rounds; i++)
        kill_round(&h);
    host_open(&h);
    kinds(&h);
    host_start(&h, 2, 8);
    CHECK(host_drain(&h, 20000));
    int64_t n = atomic_load(&shared->acked_n);
    for (int64_t i = 0; i < n && i < BATCHES; i++) {
        int64_t id = atomic_load(&shared->acked[i]);
        if (id && !atomic_load(&shared->last[id & ((1 << 20) - 1)])) {
            printf("# no job followed batch %lld\n", (long long)id);
            missing++;
        }
        untold += !id;
    }
    printf("# %lld batches acknowledged, %d untold\n", (long long)n, untold);
    CHECK(n >= 20 * rounds);
    CHECK(untold <= PUSHERS * rounds);
    CHECK_EQ(missing, 0);
    CHECK_EQ(atomic_load(&shared->twice), 0);
    CHECK_EQ(atomic_load(&shared->wrong), 0);
    host_stop(&h, NS_PER_SECOND);
    host_close(&h);
    host_remove(&h);
    munmap(shared, sizeof *shared);
}
