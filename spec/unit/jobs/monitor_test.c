/* What operators look at: rates, ages, searches. */

#include "host.h"
#include "test.h"

static struct host open_host(void)
{
    struct host h = {0};
    host_open(&h);
    return h;
}

static void close_host(struct host *h)
{
    if (h->lanes[0])
        host_stop(h, 0);
    host_close(h);
    host_remove(h);
}

static int64_t push_to(struct host *h, const char *queue, const char *args, int64_t run_at_wall)
{
    struct err err = {0};
    struct job_spec spec = {.kind = STR("p.k"), .queue = str_c(queue), .run_at_wall = run_at_wall};
    struct str a = str_c(args);
    return jobs_push_wait(h->jobs, &spec, &a, 1, &err);
}

/* The numbers of one list of a printed series, added up. */
static long long sum_of(const char *json, const char *part, const char *key)
{
    char *end;
    const char *p = strstr(json, part);
    long long sum = 0;
    p = p ? strstr(p, key) : NULL;
    p = p ? strchr(p, '[') + 1 : NULL;
    for (; p && *p != ']'; p = *end == ',' ? end + 1 : end) {
        long long n = strtoll(p, &end, 10);
        if (end == p)
            break;
        sum += n;
    }
    return sum;
}

static char *rates(struct host *h, const char *queue)
{
    struct buf out = {0};
    size_t n;
    if (!jobs_print_rates(h->jobs, str_c(queue), 0, &out))
        buf_clear(&out);
    buf_add_c(&out, "");
    return buf_take(&out, &n);
}

static void wait_second(void)
{
    int64_t second = clock_wall_ns() / NS_PER_SECOND;
    while (clock_wall_ns() / NS_PER_SECOND == second)
        host_sleep(5);
}

TEST(rates_tell_what_was_pushed_and_done)
{
    struct host h = open_host();
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    for (int i = 0; i < 5; i++)
        push_to(&h, i < 3 ? "mail" : "other", "1", 0);
    CHECK(host_drain(&h, 3000));
    wait_second(); /* what is open is not shown */
    char *mail = rates(&h, "mail"), *all = rates(&h, ""), *none = rates(&h, "nobody");
    CHECK_EQ(sum_of(mail, "\"seconds\"", "\"pushed\""), 3);
    CHECK_EQ(sum_of(mail, "\"seconds\"", "\"done\""), 3);
    CHECK_EQ(sum_of(mail, "\"seconds\"", "\"failed\""), 0);
    CHECK_EQ(sum_of(all, "\"seconds\"", "\"done\""), 5);
    CHECK(none == NULL || !*none);
    mem_free(mail);
    mem_free(all);
    mem_free(none);
    close_host(&h);
}

TEST(the_oldest_that_waits_is_told_by_queue)
{
    struct host h = open_host();
    struct buf out = {0};
    push_to(&h, "mail", "1", 0);
    push_to(&h, "later", "1", clock_wall_ns() + 3600 * NS_PER_SECOND);
    wait_second();
    wait_second();
    jobs_print_queues(h.jobs, &out);
    const char *mail = strstr(out.p, "\"mail\""), *later = strstr(out.p, "\"later\"");
    REQUIRE(mail && later);
    CHECK(atoi(strstr(mail, "oldest_s\":") + 10) >= 1);
    CHECK_EQ(atoi(strstr(later, "oldest_s\":") + 10), 0);
    buf_clear(&out);
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    for (int i = 0; i < 3000 && jobs_counts(h.jobs).done_total < 1; i++)
        host_sleep(1);
    jobs_print_queues(h.jobs, &out);
    CHECK_EQ(atoi(strstr(strstr(out.p, "\"mail\""), "oldest_s\":") + 10), 0);
    buf_free(&out);
    close_host(&h);
}

/* -- searches ------------------------------------------------------------------------------- */

static void run_some(struct job_run *run, void *arg)
{
    bool fails = memchr(run->args.p, 'F', run->args.n) != NULL;
    (void)arg;
    jobs_finish(run, &(struct job_outcome){.end = fails ? JOB_END_DISCARDED : JOB_END_DONE,
                                           .error = fails ? STR("No Route To host") : STR(""),
                                           .result = fails ? STR("") : STR("{\"sent\":\"yes\"}")});
}

struct found {
    char *json, next[48];
    int64_t counts[JOB_STATES];
    enum err_code code;
    int n;
};

static struct found find(struct host *h, struct jobs_query query)
{
    struct host_look look = {.query = query};
    struct found f = {0};
    size_t n;
    look.query.done = host_looked;
    look.query.lane = h->control;
    jobs_query(h->jobs, &look.query);
    while (!atomic_load(&look.over))
        host_sleep(1);
    buf_add_c(&look.query.out, "");
    f.code = look.query.err.code;
    f.json = buf_take(&look.query.out, &n);
    memcpy(f.counts, look.query.counts, sizeof f.counts);
    memcpy(f.next, look.query.next, sizeof f.next);
    for (const char *p = f.json; (p = strstr(p, "{\"id\":")); p++)
        f.n++;
    return f;
}

static int found(struct host *h, struct jobs_query query)
{
    struct found f = find(h, query);
    mem_free(f.json);
    return f.n;
}

/* 40 that fail, 60 that are done, 300 that wait in two queues, 5 for tomorrow. */
static struct host host_with_jobs(void)
{
    struct host h = {.run = run_some};
    host_open(&h);
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 8);
    for (int i = 0; i < 100; i++)
        push_to(&h, i % 2 ? "odd" : "even", i < 40 ? "{\"to\":\"F\"}" : "{\"to\":\"kim\"}", 0);
    CHECK(host_drain(&h, 5000));
    struct job_kind_options nobody = {.kind = "p.k", .queue = "default"};
    jobs_set_kinds(h.jobs, &nobody, 1);
    for (int i = 0; i < 300; i++) {
        char args[64];
        snprintf(args, sizeof args, "{\"to\":\"Needle%d\",\"n\":%d}", i % 3, i);
        push_to(&h, i % 2 ? "odd" : "even", args, 0);
    }
    for (int i = 5; i > 0; i--)
        push_to(&h, "even", "{}", clock_wall_ns() + (24 * 3600 + i) * NS_PER_SECOND);
    return h;
}

TEST(a_look_filters_by_state_queue_kind_and_words)
{
    struct host h = host_with_jobs();
    CHECK_EQ(found(&h, (struct jobs_query){.limit = 500}), 405);
    CHECK_EQ(found(&h, (struct jobs_query){.state = JOB_DEAD, .limit = 500}), 40);
    CHECK_EQ(found(&h, (struct jobs_query){.state = JOB_DONE, .limit = 500}), 60);
    CHECK_EQ(found(&h, (struct jobs_query){.state = JOB_READY, .limit = 500}), 300);
    CHECK_EQ(found(&h, (struct jobs_query){.state = JOB_DELAYED}), 5);
    CHECK_EQ(found(&h, (struct jobs_query){.state = JOB_RUNNING}), 0);
    CHECK_EQ(found(&h, (struct jobs_query){.queue = STR("odd"), .limit = 500}), 50 + 150);
    CHECK_EQ(found(&h, (struct jobs_query){.queue = STR("nobody")}), 0);
    CHECK_EQ(found(&h, (struct jobs_query){.kind = STR("p.other")}), 0);
    CHECK_EQ(found(&h, (struct jobs_query){.text = STR("needle1"), .limit = 500}), 100);
    CHECK_EQ(found(&h, (struct jobs_query){.text = STR(" NEEDLE1  299 ")}), 0);
    CHECK_EQ(found(&h, (struct jobs_query){.text = STR("needle2 299")}), 1);
    CHECK_EQ(found(&h, (struct jobs_query){.text = STR("no route"), .limit = 500}), 40);
    CHECK_EQ(found(&h, (struct jobs_query){.text = STR("p.k"), .limit = 500}), 405);
    struct found f = find(
        &h, (struct jobs_query){
                .text = STR("needle0"), .state = JOB_DEAD, .queue = STR("odd"), .count = true});
    CHECK_EQ(f.n, 0);
    CHECK_EQ(f.counts[JOB_READY], 50);
    CHECK_EQ(f.counts[JOB_DEAD], 0);
    mem_free(f.json);
    f = find(&h, (struct jobs_query){.count = true, .state = JOB_DELAYED});
    CHECK_EQ(f.n, 5);
    CHECK_EQ(f.counts[JOB_DONE], 60);
    CHECK_EQ(f.counts[JOB_DEAD], 40);
    CHECK_EQ(f.counts[JOB_DELAYED], 5);
    mem_free(f.json);
    close_host(&h);
}

/* Every job once, in one order, whatever the size of a page. */
static void turn_pages(struct host *h, struct jobs_query query, int want)
{
    char next[48] = "";
    long long before = INT64_MAX;
    int n = 0;
    do {
        query.after = str_c(next);
        struct found f = find(h, query);
        for (const char *p = f.json; (p = strstr(p, "{\"id\":")); p++, n++) {
            long long id = atoll(p + 6);
            if (query.state != JOB_DELAYED && id >= before) {
                TEST_FAIL("%lld comes behind %lld", id, before);
                mem_free(f.json);
                return;
            }
            before = id;
        }
        memcpy(next, f.next, sizeof next);
        mem_free(f.json);
    } while (*next && n <= want);
    CHECK_EQ(n, want);
}

TEST(pages_show_every_job_once)
{
    struct host h = host_with_jobs();
    turn_pages(&h, (struct jobs_query){.limit = 7}, 405);
    turn_pages(&h, (struct jobs_query){.limit = 50, .count = true}, 405);
    turn_pages(&h, (struct jobs_query){.limit = 3, .state = JOB_DELAYED}, 5);
    turn_pages(&h, (struct jobs_query){.limit = 11, .state = JOB_DEAD, .text = STR("route")}, 40);
    turn_pages(&h, (struct jobs_query){.limit = 20, .queue = STR("odd")}, 200);
    host_stop(&h, 0);
    host_close(&h);
    host_open(&h); /* some of the history is gone, results and dead ones are on disk */
    host_start(&h, 1, 8);
    turn_pages(&h, (struct jobs_query){.limit = 9, .state = JOB_DONE}, 60);
    turn_pages(&h, (struct jobs_query){.limit = 500}, 405);
    struct found f = find(&h, (struct jobs_query){.after = STR("yesterday")});
    CHECK_EQ(f.code, ERR_INVALID);
    mem_free(f.json);
    close_host(&h);
}

/* -- one change of many --------------------------------------------------------------------- */

struct host_bulk {
    struct jobs_bulk bulk;
    _Atomic int over;
};

static void bulk_done(struct jobs_bulk *bulk)
{
    atomic_store(&((struct host_bulk *)(void *)bulk)->over, 1);
}

static struct jobs_bulk change_all(struct host *h, struct jobs_bulk bulk)
{
    struct host_bulk b = {.bulk = bulk};
    b.bulk.done = bulk_done;
    b.bulk.lane = h->control;
    jobs_bulk(h->jobs, &b.bulk);
    while (!atomic_load(&b.over))
        host_sleep(1);
    return b.bulk;
}

TEST(all_that_match_are_changed_at_once)
{
    struct host h = host_with_jobs();
    struct jobs_bulk retry = {.action = JOBS_RETRY, .query.text = STR("route"), .dry = true};
    struct jobs_bulk b = change_all(&h, retry);
    CHECK_EQ(b.matched, 40);
    CHECK_EQ(b.changed, 0);
    CHECK_EQ(jobs_counts(h.jobs).dead, 40);
    retry.dry = false;
    retry.query.queue = STR("odd");
    b = change_all(&h, retry);
    CHECK_EQ(b.matched, 20);
    CHECK_EQ(b.changed, 20);
    CHECK_EQ(jobs_counts(h.jobs).dead, 20);
    CHECK_EQ(jobs_counts(h.jobs).ready, 320);
    b = change_all(&h, (struct jobs_bulk){.action = JOBS_DISCARD, .query.state = JOB_DEAD});
    CHECK_EQ(b.changed, 20);
    CHECK_EQ(jobs_counts(h.jobs).dead, 0);
    CHECK_EQ(found(&h, (struct jobs_query){.state = JOB_DEAD}), 0);
    b = change_all(&h, (struct jobs_bulk){.action = JOBS_CANCEL, .query.text = STR("needle1")});
    CHECK_EQ(b.changed, 100);
    CHECK_EQ(jobs_counts(h.jobs).ready, 220);
    CHECK_EQ(found(&h, (struct jobs_query){.state = JOB_CANCELLED, .limit = 500}), 100);
    b = change_all(&h, (struct jobs_bulk){.action = JOBS_RETRY, .query.state = JOB_DELAYED});
    CHECK_EQ(b.changed, 5);
    CHECK_EQ(jobs_counts(h.jobs).delayed, 0);
    b = change_all(&h, (struct jobs_bulk){.action = JOBS_RETRY, .query.state = JOB_DONE});
    CHECK_EQ(b.err.code, ERR_INVALID);
    close_host(&h);
}

TEST(more_than_a_portion_is_changed_and_stays_so)
{
    struct host h = open_host();
    struct err err = {0};
    enum { MANY = 2300 };
    static struct str args[MANY];
    struct job_spec spec = {.kind = STR("p.k")};
    for (int i = 0; i < MANY; i++)
        args[i] = STR("1");
    int64_t first = jobs_push_wait(h.jobs, &spec, args, MANY, &err);
    const int64_t ids[] = {first, first + 1, first + MANY, 999999};
    host_start(&h, 1, 1);
    struct jobs_bulk b =
        change_all(&h, (struct jobs_bulk){.action = JOBS_DISCARD, .ids = ids, .id_count = 4});
    CHECK_EQ(b.matched, 4);
    CHECK_EQ(b.changed, 2);
    b = change_all(&h, (struct jobs_bulk){.action = JOBS_CANCEL, .query.kind = STR("p.k")});
    CHECK_EQ(b.changed, MANY - 2);
    host_stop(&h, 0);
    host_close(&h);
    host_open(&h);
    CHECK_EQ(jobs_counts(h.jobs).ready, 0);
    close_host(&h);
}
