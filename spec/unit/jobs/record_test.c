/* What the record keeps: columns added later, rare attributes, attempts. */
#include "jobs/words.h"
#include "test.h"

/* The tables as the first version made them, with a queued, a dead and a finished job. */
static const char first_version[] =
    "CREATE TABLE maru_job(id INTEGER PRIMARY KEY, kind INT, queue INT, priority INT,"
    " created_at INT, run_at INT, attempt INT, max_attempts INT, timeout_ms INT,"
    " scheduled_at INT, crashes INT, uniq TEXT, args TEXT, error TEXT);"
    "CREATE TABLE maru_job_fin(seq INTEGER PRIMARY KEY, b BLOB);"
    "CREATE TABLE maru_job_dead(id INTEGER PRIMARY KEY, kind INT, queue INT, priority INT,"
    " created_at INT, max_attempts INT, timeout_ms INT, scheduled_at INT, attempt INT,"
    " crashes INT, started_at INT, dead_at INT, uniq TEXT, args TEXT, error TEXT);"
    "CREATE TABLE maru_job_done(id INTEGER PRIMARY KEY, expires_at INT, kind INT, queue INT,"
    " priority INT, attempt INT, max_attempts INT, created_at INT, started_at INT,"
    " finished_at INT, result TEXT);"
    "CREATE TABLE maru_job_word(id INTEGER PRIMARY KEY, is_queue INT, word TEXT);"
    "CREATE TABLE maru_job_meta(key TEXT PRIMARY KEY, value INT) WITHOUT ROWID;"
    "INSERT INTO maru_job_meta VALUES('epoch', 4), ('next_id', 1);"
    "INSERT INTO maru_job_word VALUES(1, 0, 'p.k'), (2, 1, 'default');"
    "INSERT INTO maru_job VALUES(7, 1, 2, 1, 5, 5, 1, 4, 9000, 77, 0, NULL, '\"a\"', 'it broke');"
    "INSERT INTO maru_job_dead VALUES(8, 1, 2, 1, 5, 4, 0, 0, 4, 0, 6, 4000000000000000000,"
    " 'key', '\"b\"', 'it died');";

TEST(a_database_of_the_first_version_opens_and_gains_what_is_new)
{
    struct host h = {.run = run_word};
    sqlite3 *db;
    host_make_dir(&h);
    REQUIRE(sqlite3_open(h.db, &db) == SQLITE_OK);
    CHECK_EQ(sqlite3_exec(db, first_version, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    seen[0] = 0;
    host_open(&h);
    char *json = host_query(&h, (struct jobs_query){.id = 7});
    CHECK(strstr(json, "\"error\":\"it broke\""));
    mem_free(json);
    CHECK_EQ(host_change(&h, jobs_retry, 8), ERR_NONE);
    CHECK(push(&h, "\"c\"", (struct job_spec){.result_ttl_ns = NS_PER_SECOND}, NULL) > 8);
    host_close(&h);
    host_open(&h); /* the column is not added twice */
    host_kind(&h, "p.k", 3, NS_PER_MS, 1);
    host_start(&h, 1, 1);
    CHECK(host_drain(&h, 5000));
    CHECK(strcmp(seen, "\"a\" \"b\" \"c\" ") == 0);
    host_stop(&h, 0);
    host_close(&h);
    host_remove(&h);
}

static int count_of(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

TEST(every_failed_attempt_leaves_a_line_and_the_newest_twenty_stay)
{
    struct host h = open_host();
    host_kind(&h, "p.k", 2, 1000, 0);
    host_start(&h, 1, 4);
    int64_t three = push(&h, "\"fail\"", (struct job_spec){0}, NULL);
    int64_t many = push(&h, "\"stubborn\"", (struct job_spec){.retries = 26}, NULL);
    CHECK(wait_runs(29) == 29);
    CHECK(host_drain(&h, 5000));
    char *json = host_query(&h, (struct jobs_query){.id = three});
    CHECK_EQ(count_of(json, "\"traceback\":\"at line 7\""), 3);
    CHECK(strstr(json, "\"attempt\":1,\"started_at\":\"20"));
    CHECK(strstr(json, "\"error\":\"it broke\",\"traceback\":\"at line 7\",\"lane\":\"job\"}"));
    mem_free(json);
    json = host_query(&h, (struct jobs_query){.id = many});
    CHECK_EQ(count_of(json, "\"traceback\":"), 20);
    CHECK(strstr(json, "{\"attempt\":26,\"started_at\""));
    CHECK(!strstr(json, "{\"attempt\":6,\"started_at\""));
    mem_free(json);
    for (int life = 2; life <= 9;
         life++) { /* brought back from the dead, it has three more each time */
        CHECK_EQ(host_change(&h, jobs_retry, three), ERR_NONE);
        CHECK(wait_runs(26 + 3 * life) == 26 + 3 * life);
        CHECK(host_drain(&h, 5000));
    }
    json = host_query(&h, (struct jobs_query){.id = three});
    CHECK_EQ(count_of(json, "\"traceback\":\"at line 7\""), 20);
    mem_free(json);
    host_stop(&h, 0);
    host_close(&h);
    host_open(&h); /* they are on disk */
    json = host_query(&h, (struct jobs_query){.id = three});
    CHECK_EQ(count_of(json, "\"traceback\":"), 20);
    mem_free(json);
    host_close(&h);
    host_remove(&h);
}

static void on_over(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static bool soon(_Atomic int *value, int want)
{
    for (int i = 0; i < 3000 && atomic_load(value) != want; i++)
        host_sleep(1);
    return atomic_load(value) == want;
}

TEST(who_waits_is_told_when_all_have_ended_or_when_he_gives_up)
{
    struct host h = open_host();
    _Atomic int over = 0;
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 8);
    int64_t ids[] = {push(&h, "\"wait\"", (struct job_spec){.priority = 1}, NULL),
                     push(&h, "\"wait\"", (struct job_spec){.run_at_wall = INT64_MAX / 2}, NULL),
                     push(&h, "\"a\"", (struct job_spec){.priority = 1}, NULL), 12345};
    CHECK_EQ(wait_runs(2), 2);
    CHECK(jobs_wait(h.jobs, ids, 4, h.control, on_over, &over) != NULL);
    struct jobs_wait *second = jobs_wait(h.jobs, ids, 2, h.control, on_over, &over);
    CHECK_EQ(host_change(&h, jobs_cancel, ids[1]), ERR_NONE);
    host_sleep(5);
    CHECK_EQ(atomic_load(&over), 0);
    jobs_wait_end(second);
    CHECK(soon(&over, 1));
    lane_call(h.lanes[0], end_waiting, NULL);
    CHECK(soon(&over, 2));
    CHECK(jobs_wait(h.jobs, ids, 4, h.control, on_over, &over) != NULL); /* at once */
    CHECK(soon(&over, 3));
    close_host(&h);
}

TEST(progress_is_shown_while_the_job_runs)
{
    struct host h = open_host();
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 8);
    int64_t id = push(&h, "\"wait\"", (struct job_spec){0}, NULL);
    CHECK_EQ(wait_runs(1), 1);
    struct job_run *run = waiting[0];
    CHECK(jobs_progress(run, 0.25, STR("a quarter")));
    char *json = host_query(&h, (struct jobs_query){.id = id});
    CHECK(strstr(json, "\"progress\":0.25,\"message\":\"a quarter\""));
    mem_free(json);
    CHECK(jobs_reclaim(h.jobs, id)); /* it runs again, from the start */
    CHECK_EQ(wait_runs(2), 2);
    CHECK(!jobs_progress(run, 0.5, STR("too late")));
    json = host_query(&h, (struct jobs_query){.id = id});
    CHECK(!strstr(json, "progress"));
    mem_free(json);
    lane_call(h.lanes[0], end_waiting, NULL);
    CHECK(host_drain(&h, 3000));
    close_host(&h);
}
