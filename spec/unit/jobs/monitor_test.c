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
