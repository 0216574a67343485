/* Unique keys: their scopes, periods and replacement, and what a restart keeps of them. */
#include "jobs/words.h"
#include "test.h"

static enum err_code code;

static int64_t push_key(struct host *h, const char *args, struct job_spec spec)
{
    spec.unique = STR("key");
    return push(h, args, spec, &code);
}

static struct job_spec later(struct job_spec spec)
{
    spec.run_at_wall = clock_wall_ns() + 3600 * NS_PER_SECOND;
    return spec;
}

static bool is_args(struct host *h, int64_t id, const char *args)
{
    char want[64];
    snprintf(want, sizeof want, "\"args\":%s,", args);
    char *json = host_query(h, (struct jobs_query){.id = id});
    bool is = strstr(json, want);
    mem_free(json);
    return is;
}

TEST(a_key_of_scope_queued_is_free_once_its_job_runs)
{
    struct host h = open_host();
    struct job_spec queued = {.unique_queued = true};
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    int64_t first = push_key(&h, "\"wait\"", queued);
    CHECK_EQ(wait_runs(1), 1);
    int64_t second = push_key(&h, "\"2\"", later(queued));
    CHECK(second > first);
    CHECK(!push_key(&h, "\"3\"", queued) && code == ERR_EXISTS);
    CHECK(jobs_reclaim(h.jobs, first)); /* waits again beside the second: no conflict with itself */
    CHECK_EQ(wait_runs(2), 2);
    CHECK(!push_key(&h, "\"4\"", queued) && code == ERR_EXISTS);
    host_stop(&h, 0);
    host_close(&h);
    host_open(&h);
    CHECK(!push_key(&h, "\"5\"", queued) && code == ERR_EXISTS);
    CHECK_EQ(host_change(&h, jobs_cancel, first), ERR_NONE);
    CHECK(!push_key(&h, "\"6\"", queued) && code == ERR_EXISTS); /* the second is still queued */
    CHECK_EQ(host_change(&h, jobs_cancel, second), ERR_NONE);
    CHECK(push_key(&h, "\"7\"", later(queued)) > second);
    host_close(&h);
    host_remove(&h);
}

TEST(a_key_of_scope_queued_is_taken_while_any_of_its_jobs_waits)
{
    struct host h = open_host();
    struct job_spec queued = {.unique_queued = true}, replace = {.unique_replace = true};
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    int64_t first = push_key(&h, "\"wait\"", queued);
    CHECK_EQ(wait_runs(1), 1);
    int64_t second = push_key(&h, "\"wait 2\"", queued);
    CHECK_EQ(wait_runs(2), 2);
    int64_t third = push_key(&h, "\"3\"", later(queued));
    jobs_set_kinds(h.jobs, NULL, 0); /* what waits again stays so */
    CHECK(jobs_reclaim(h.jobs, first) && jobs_reclaim(h.jobs, second));
    CHECK_EQ(push_key(&h, "\"4\"", later(replace)), third);
    CHECK_EQ(host_change(&h, jobs_cancel, third), ERR_NONE);
    CHECK(!push_key(&h, "\"5\"", queued) && code == ERR_EXISTS);
    CHECK_EQ(host_change(&h, jobs_cancel, first), ERR_NONE);
    CHECK(!push_key(&h, "\"6\"", queued) && code == ERR_EXISTS);
    CHECK_EQ(host_change(&h, jobs_cancel, second), ERR_NONE);
    CHECK(push_key(&h, "\"7\"", later(queued)) > third);
    close_host(&h);
}

static void run_sql(const struct host *h, const char *sql)
{
    sqlite3 *db;
    REQUIRE(sqlite3_open(h->db, &db) == SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    CHECK_EQ(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

struct waiting {
    struct jobs_push push; /* first */
    _Atomic int over;
};

static void on_answer(struct jobs_push *push)
{
    atomic_store(&((struct waiting *)(void *)push)->over, 1);
}

/* A dead job comes back, but its commit takes a while and fails; a push that was to replace it
 * meanwhile fails with it, and so does its hold of the key. */
TEST(a_period_of_a_push_that_failed_holds_nothing)
{
    enum { TRIES = 20 };
    struct host h = open_host();
    struct err err = {0};
    struct str args = STR("\"new\"");
    int64_t ids[TRIES];
    char key[TRIES][16];
    int failed = 0;
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    for (int i = 0; i < TRIES; i++) {
        snprintf(key[i], sizeof key[i], "k%d", i);
        ids[i] = push(&h, "\"discard\"", (struct job_spec){.unique = str_c(key[i])}, &code);
    }
    CHECK(host_drain(&h, 3000));
    run_sql(&h, "CREATE TRIGGER no BEFORE DELETE ON maru_job_dead BEGIN SELECT (WITH RECURSIVE c(x)"
                " AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 500000) SELECT max(x) FROM"
                " c); SELECT raise(ABORT, 'not now'); END");
    for (int i = 0; i < TRIES && !failed; i++) {
        struct host_change c = {.change = {.done = host_changed, .lane = h.control}};
        struct waiting w = {.push = {.done = on_answer}};
        struct job_spec hour = {.kind = STR("p.k"),
                                .unique = str_c(key[i]),
                                .unique_replace = true,
                                .unique_period_ns = 3600 * NS_PER_SECOND};
        jobs_retry(h.jobs, &c.change, ids[i]);
        host_sleep(20);
        REQUIRE(jobs_push(h.jobs, &w.push, &hour, &args, 1, &err));
        while (!atomic_load(&c.over) || !atomic_load(&w.over))
            host_sleep(1);
        failed = w.push.first_id == ids[i] && w.push.err.code;
        if (failed)
            CHECK(push(&h, "\"free\"", (struct job_spec){.unique = str_c(key[i])}, &code) > ids[i]);
    }
    CHECK(failed);
    close_host(&h);
}

TEST(a_queue_that_cannot_write_frees_what_it_kept)
{
    struct host h = open_host();
    struct job_spec spec = {.kind = STR("p.k"), .unique = STR("key"), .unique_replace = true};
    struct str args = STR("\"new\"");
    struct waiting w = {.push = {.done = on_answer}};
    struct err err = {0};
    int64_t id = push_key(&h, "\"old\"", later((struct job_spec){0}));
    run_sql(&h, "CREATE TRIGGER no BEFORE UPDATE ON maru_job BEGIN SELECT"
                " raise(ABORT, 'not now'); END");
    spec.key = STR("k");
    CHECK(jobs_push(h.jobs, &w.push, &spec, &args, 1, &err));
    CHECK_EQ(w.push.first_id, id);
    host_close(&h);
    CHECK(atomic_load(&w.over) && w.push.err.code);
    run_sql(&h, "DROP TRIGGER no");
    host_open(&h);
    CHECK(is_args(&h, id, "\"old\""));
    host_close(&h);
    host_remove(&h);
}

TEST(keys_are_text)
{
    struct host h = open_host();
    const struct str bad[] = {STR("\xff"), STR("a\0b"), STR("\xed\xa0\x80"), STR("half \xc3")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!push(&h, "1", (struct job_spec){.unique = bad[i]}, &code) && code == ERR_INVALID);
        CHECK(!push(&h, "1", (struct job_spec){.key = bad[i]}, &code) && code == ERR_INVALID);
    }
    CHECK(push(&h, "1",
               later((struct job_spec){.unique = STR("\xc3\xa9"), .key = STR("\xea\xb0\x80")}),
               &code) > 0);
    host_close(&h);
    host_open(&h);
    push(&h, "1", (struct job_spec){.unique = STR("\xc3\xa9")}, &code);
    CHECK_EQ(code, ERR_EXISTS);
    host_close(&h);
    host_remove(&h);
}

TEST(a_period_outlives_the_job_and_a_restart)
{
    struct host h = open_host();
    struct job_spec hour = {.unique_period_ns = 3600 * NS_PER_SECOND};
    struct job_spec moment = {.kind = STR("p.other"), .unique_period_ns = 20 * NS_PER_MS};
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    CHECK(push_key(&h, "\"1\"", hour) > 0);
    CHECK(host_drain(&h, 3000));
    CHECK(!push_key(&h, "\"2\"", hour) && code == ERR_EXISTS);
    CHECK(!push_key(&h, "\"2\"", (struct job_spec){0}) && code == ERR_EXISTS);
    int64_t id = push_key(&h, "\"3\"", moment);
    CHECK(id > 0);
    CHECK_EQ(host_change(&h, jobs_cancel, id), ERR_NONE);
    host_sleep(25);
    CHECK(push_key(&h, "\"4\"", moment) > id); /* its time is over */
    host_stop(&h, 0);
    host_close(&h);
    host_open(&h);
    CHECK(!push_key(&h, "\"5\"", (struct job_spec){0}) && code == ERR_EXISTS);
    host_close(&h);
    host_remove(&h);
}

TEST(a_queued_job_is_replaced_and_a_running_one_kept)
{
    struct host h = open_host();
    struct job_spec replace = {.unique_replace = true};
    int64_t id = push_key(&h, "\"1\"", later(replace));
    CHECK(id > 0);
    CHECK_EQ(push_key(&h, "\"2\"", later(replace)), id);
    CHECK(is_args(&h, id, "\"2\""));
    CHECK_EQ(jobs_counts(h.jobs).delayed, 1);
    CHECK_EQ(jobs_counts(h.jobs).ready, 0);
    host_close(&h);
    host_open(&h); /* the row says so, too */
    CHECK(is_args(&h, id, "\"2\""));
    CHECK_EQ(push_key(&h, "\"wait 3\"", replace), id); /* now, and not in an hour */
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    CHECK_EQ(wait_runs(1), 1);
    CHECK(strcmp(seen, "\"wait 3\" ") == 0);
    CHECK(!push_key(&h, "\"4\"", replace) && code == ERR_EXISTS);
    lane_call(h.lanes[0], end_waiting, NULL);
    CHECK(host_drain(&h, 3000));
    CHECK(push_key(&h, "\"5\"", replace) > id);
    CHECK(host_drain(&h, 3000));
    CHECK_EQ(runs, 2);
    close_host(&h);
}

/* A dead job comes back in a commit; a push that replaces it meanwhile is not lost. */
TEST(a_dead_job_on_its_way_back_is_replaced)
{
    enum { ROUNDS = 60 };
    struct host h = open_host();
    int64_t ids[ROUNDS];
    char key[ROUNDS][16];
    int replaced = 0, lost = 0;
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(key[i], sizeof key[i], "k%d", i);
        ids[i] = push(&h, "\"discard\"", (struct job_spec){.unique = str_c(key[i])}, &code);
    }
    CHECK(host_drain(&h, 3000));
    jobs_set_kinds(h.jobs, NULL, 0); /* nothing runs from now on */
    for (int i = 0; i < ROUNDS; i++) {
        struct host_change c = {.change = {.done = host_changed, .lane = h.control}};
        struct job_spec spec = later((struct job_spec){.unique_replace = true});
        spec.unique = str_c(key[i]);
        jobs_retry(h.jobs, &c.change, ids[i]);
        nanosleep(&(struct timespec){.tv_nsec = i % 20 * 20000L}, NULL);
        bool same = push(&h, "\"new\"", spec, &code) == ids[i];
        while (!atomic_load(&c.over))
            host_sleep(1);
        replaced += same;
        lost += same && !is_args(&h, ids[i], "\"new\"");
    }
    printf("# %d of %d were replaced\n", replaced, ROUNDS);
    CHECK_EQ(lost, 0);
    close_host(&h);
}

enum { PUSHERS = 4, PUSHES = 200 };
static _Atomic int accepted, wrong;

static void *push_often(void *arg)
{
    struct host *h = arg;
    struct err err = {0};
    struct job_spec spec = {.kind = STR("p.k"), .unique = STR("key"), .unique_replace = true};
    for (int i = 0; i < PUSHES; i++) {
        struct str args = i % 2 ? STR("\"odd\"") : STR("\"even\"");
        spec.run_at_wall = i % 3 ? 0 : clock_wall_ns() + 2 * NS_PER_MS;
        err.code = ERR_NONE;
        if (jobs_push_wait(h->jobs, &spec, &args, 1, &err))
            atomic_fetch_add(&accepted, 1);
        else if (err.code == ERR_EXISTS)
            host_sleep(1); /* it runs, or its end is being written */
        else
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

TEST(many_may_replace_at_once_while_it_runs)
{
    struct host h = open_host();
    pthread_t threads[PUSHERS];
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 2, 4);
    for (int i = 0; i < PUSHERS; i++)
        pthread_create(&threads[i], NULL, push_often, &h);
    for (int i = 0; i < PUSHERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(host_drain(&h, 5000));
    CHECK_EQ(atomic_load(&wrong), 0);
    CHECK(atomic_load(&accepted) >= runs && runs > 0);
    CHECK_EQ(most_running, 1);
    printf("# %d pushes became %d runs\n", atomic_load(&accepted), runs);
    host_stop(&h, 0);
    host_close(&h);
    host_open(&h);
    CHECK_EQ(jobs_counts(h.jobs).ready + jobs_counts(h.jobs).delayed, 0);
    host_close(&h);
    host_remove(&h);
}

TEST(options_without_a_key_are_refused)
{
    struct host h = open_host();
    push(&h, "1", (struct job_spec){.unique_replace = true}, &code);
    CHECK_EQ(code, ERR_INVALID);
    host_close(&h);
    host_remove(&h);
}
