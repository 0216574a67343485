/* What a VM counts, and the quantiles of it. */
#include "vm/support.h"

#include "vm/counters.h"

TEST(a_quantile_is_off_by_an_eighth_at_most)
{
    for (int64_t ns = 1500; ns < (int64_t)1 << SPREAD_LAST_BIT; ns += ns / 7) {
        struct vm_counters counters = {0};
        struct vm_totals totals = {0};
        spread_add(&counters.latency, ns);
        vm_totals_add(&totals, &counters);
        double found = vm_latency(&totals, 0.99) * 1e9 / (double)ns;
        if (found < 0.875 || found > 1.125)
            TEST_FAIL("%lld ns are told as %g times that", (long long)ns, found);
    }
}

TEST(durations_of_every_length_have_a_bucket)
{
    CHECK_EQ(spread_bucket(-5), 0);
    CHECK_EQ(spread_bucket(0), 0);
    CHECK_EQ(spread_bucket(1023), 0);
    CHECK_EQ(spread_bucket(1024), 1);
    CHECK_EQ(spread_bucket(((int64_t)1 << SPREAD_LAST_BIT) - 1), SPREAD_BUCKETS - 2);
    CHECK_EQ(spread_bucket(INT64_MAX), SPREAD_BUCKETS - 1);
    for (int64_t ns = 1; ns < (int64_t)1 << 45; ns += ns / 9 + 1)
        CHECK(spread_bucket(ns) <= spread_bucket(ns + 1) &&
              spread_bucket(ns + 1) <= spread_bucket(ns) + 1);
}

TEST(half_and_nearly_all_of_many)
{
    struct vm_counters counters = {0};
    struct vm_totals totals = {0};
    CHECK(vm_latency(&totals, 0.5) == 0);
    for (int i = 0; i < 98; i++)
        spread_add(&counters.hold, 1000 * 1000);
    spread_add(&counters.hold, 100 * 1000 * 1000);
    spread_add(&counters.hold, 100 * 1000 * 1000);
    vm_totals_add(&totals, &counters);
    CHECK(vm_hold(&totals, 0.5) > 0.0008 && vm_hold(&totals, 0.5) < 0.0012);
    CHECK(vm_hold(&totals, 0.99) > 0.08 && vm_hold(&totals, 0.99) < 0.12);
    CHECK_EQ(totals.hold.count, 100);
    CHECK_EQ(totals.latency.count, 0);
}

static struct vm_totals totals_of(void)
{
    struct vm_totals totals = {0};
    vm_totals_add(&totals, fixture_counters);
    return totals;
}

TEST(counts_tasks_by_how_they_end)
{
    struct fixture f;
    static struct vm_counters counters;
    fixture_counters = &counters;
    REQUIRE(fixture_exports(&f, "ok = function() return 1 end,\n"
                                "sleep = function(app) app.sleep(0.02) return 1 end,\n"
                                "bad = function() error('no') end,\n"
                                "big = function() return ('x'):rep(1e9) end"));
    int64_t at_rest = totals_of().memory_bytes;
    CHECK_EQ(at_rest, vm_usage(f.vm).memory_bytes);
    call(&f, "ok");
    struct run run;
    REQUIRE(start(&f, "sleep", &run));
    CHECK_EQ(totals_of().tasks, 1);
    turn(&f, &run, 1000);
    call(&f, "bad");
    call(&f, "big");
    struct vm_totals t = totals_of();
    CHECK_EQ(t.tasks, 0);
    CHECK_EQ(t.started, 4);
    CHECK_EQ(t.ended, 4);
    CHECK_EQ(t.failed, 2);
    CHECK_EQ(t.killed, 1);
    CHECK_EQ(t.latency.count, 4);
    CHECK_EQ(t.hold.count, 5); /* the one that slept ran twice */
    CHECK(t.latency.sum_ns > 20 * 1000 * 1000);
    CHECK(t.hold.sum_ns < t.latency.sum_ns && t.hold.sum_ns == t.cpu_ns);
    CHECK(llabs(t.memory_bytes - vm_usage(f.vm).memory_bytes) < 4096); /* words of the failure */
    vm_retire(f.vm);
    CHECK_EQ(totals_of().memory_bytes, 0);
    fixture_close(&f);
    fixture_counters = NULL;
}

/* Tools check such text line by line. */
TEST(prints_families_for_prometheus)
{
    struct vm_sample samples[2] = {{.labels = "plugin=\"a\",generation=\"1\""},
                                   {.labels = "plugin=\"b\",generation=\"2\"", .kills = 3}};
    struct vm_counters counters = {0};
    struct buf out = {0};
    counter_add(&counters.cpu_ns, 1500 * 1000 * 1000);
    counter_add(&counters.refused[CAP_TIMERS], 7);
    vm_totals_add(&samples[1].totals, &counters);
    vm_samples_print(samples, 2, &out);
    CHECK(strstr(out.p, "# TYPE maru_plugin_tasks gauge\n"
                        "maru_plugin_tasks{plugin=\"a\",generation=\"1\"} 0\n"
                        "maru_plugin_tasks{plugin=\"b\",generation=\"2\"} 0\n"));
    CHECK(strstr(out.p, "\nmaru_plugin_cpu_seconds_total{plugin=\"b\",generation=\"2\"} 1.5\n"));
    CHECK(strstr(out.p, "\nmaru_plugin_vms_killed_total{plugin=\"b\",generation=\"2\"} 3\n"));
    CHECK(strstr(
        out.p, "\nmaru_plugin_refused_total{plugin=\"b\",generation=\"2\",limit=\"timers\"} 7\n"));
    CHECK(strstr(out.p,
                 "# TYPE maru_plugin_task_seconds summary\n"
                 "maru_plugin_task_seconds{plugin=\"a\",generation=\"1\",quantile=\"0.5\"} 0\n"));
    CHECK(strstr(out.p, "\nmaru_plugin_hold_seconds_count{plugin=\"a\",generation=\"1\"} 0\n"));
    CHECK(vm_samples_have("maru_plugin_tasks") && vm_samples_have("maru_plugin_refused_total") &&
          vm_samples_have("maru_plugin_hold_seconds") && !vm_samples_have("maru_plugin_mine"));
    buf_free(&out);
}

TEST(a_plugin_cannot_take_the_hosts_metric)
{
    struct run run = call_once("f = function(app) return select(2, pcall(function()\n"
                               "app.metrics:count('tasks_started_total') end)) end");
    CHECK(strstr(run.json, "maru_plugin_tasks_started_total is the host's own metric"));
}
