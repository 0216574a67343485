/* What a plugin may have only so many of at once. */
#include "vm/support.h"

static bool open_limited(struct fixture *f, const char *limits, const char *exports)
{
    static char *text; /* the bundle borrows it */
    mem_free(text);
    text =
        mem_printf("return { name = 'demo', version = '1.0.0', limits = { %s }, exports = { %s } }",
                   limits, exports);
    return fixture_open(f, text);
}

static int64_t refused(const struct vm_counters *counters, enum vm_cap cap)
{
    return counter_get(&counters->refused[cap]);
}

TEST(takes_no_more_tasks_than_it_may)
{
    struct fixture f;
    struct vm_counters counters = {0};
    struct run runs[4];
    fixture_counters = &counters;
    REQUIRE(open_limited(&f, "tasks = 3", "f = function(app) return app.sleep(0.01) end"));
    for (int i = 0; i < 3; i++)
        CHECK(start(&f, "f", &runs[i]));
    CHECK(!start(&f, "f", &runs[3]));
    CHECK_EQ(f.err.code, ERR_LIMIT);
    CHECK_STR(f.err.message, "demo has 3 tasks at once on this lane (limits.tasks)");
    CHECK_EQ(refused(&counters, CAP_TASKS), 1);
    for (int i = 0; i < 3; i++)
        turn(&f, &runs[i], 100);
    CHECK_STR(call(&f, "f").json, "[true]");
    fixture_close(&f);
    fixture_counters = NULL;
}

TEST(start_and_stop_are_never_one_too_many)
{
    struct fixture f;
    struct run waiting, last;
    REQUIRE(open_limited(&f, "tasks = 1",
                         "f = function(app) return app.sleep(0.01) end, g = function() return "
                         "'stopped' end"));
    REQUIRE(start(&f, "f", &waiting));
    memset(&last, 0, sizeof last);
    struct task_options options = {.kind = TASK_STOP,
                                   .handler = find_export(&f, "g"),
                                   .label = "stop",
                                   .end = on_end,
                                   .arg = &last};
    CHECK(task_start(f.vm, &options, &f.err));
    CHECK_STR(last.json, "[\"stopped\"]");
    turn(&f, &waiting, 100);
    fixture_close(&f);
}

TEST(spawn_says_that_there_are_too_many)
{
    struct fixture f;
    REQUIRE(open_limited(&f, "tasks = 5",
                         "f = function(app)\n"
                         "  local began, message, code = 0, nil, nil\n"
                         "  for _ = 1, 10 do\n"
                         "    local ok, m, c = app.spawn(function(a) a.sleep(0.01) end)\n"
                         "    if ok then began = began + 1 else message, code = m, c end\n"
                         "  end\n"
                         "  return began, message, code\n"
                         "end"));
    CHECK_STR(call(&f, "f").json,
              "[4,\"demo has 5 tasks at once on this lane (limits.tasks)\",\"limit\"]");
    for (int i = 0; i < 100 && vm_usage(f.vm).tasks; i++)
        uv_run(&f.lane->loop, UV_RUN_ONCE);
    CHECK_EQ(vm_usage(f.vm).tasks, 0);
    fixture_close(&f);
}

TEST(a_timer_is_given_back_however_it_ends)
{
    struct fixture f;
    struct vm_counters counters = {0};
    struct run a, b, c;
    fixture_counters = &counters;
    REQUIRE(open_limited(&f, "timers = 2, task = '100ms'",
                         "f = function(app) return app.sleep(0.005) end, "
                         "long = function(app) return app.sleep(60) end"));
    for (int round = 0; round < 3; round++) {
        CHECK(start(&f, "f", &a) && start(&f, "long", &b));
        CHECK_STR(call(&f, "f").json,
                  "[null,\"demo has 2 timers at once on this lane (limits.timers)\",\"limit\"]");
        turn(&f, &a, 100);
        turn(&f, &b, 100); /* its deadline */
        CHECK_STR(a.json, "[true]");
        CHECK(strstr(b.json, "timeout"));
    }
    CHECK(start(&f, "long", &c));
    vm_cancel_tasks(f.vm);
    CHECK(c.ended);
    CHECK_STR(call(&f, "f").json, "[true]");
    CHECK_EQ(refused(&counters, CAP_TIMERS), 3);
    CHECK_EQ(refused(&counters, CAP_TASKS), 0);
    fixture_close(&f);
    fixture_counters = NULL;
}

TEST(refuses_limits_that_are_no_counts)
{
    static const struct {
        const char *limits, *message;
    } cases[] = {
        {"tasks = 0", "plugins/demo/plugin.lua:1: limits.tasks: must be a whole number from 1 to "
                      "1000000, got 0"},
        {"timers = 1.5", "limits.timers: must be a whole number from 1 to 1000000, got 1.5"},
        {"sockets = '10'", "limits.sockets: must be a whole number from 1 to 1000000, got string"},
        {"connections = 1e9",
         "limits.connections: must be a whole number from 1 to 1000000, got 1000000000"},
        {"socket = 1", "limits.socket: unknown limit; did you mean 'sockets'?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        CHECK(!open_limited(&f, cases[i].limits, ""));
        if (!strstr(f.err.message, cases[i].message))
            TEST_FAIL("%s, not %s", f.err.message, cases[i].message);
        fixture_close(&f);
    }
}

TEST(limits_have_defaults)
{
    struct fixture f;
    REQUIRE(open_limited(&f, "sockets = 7", ""));
    CHECK_EQ(f.decl->caps[CAP_TASKS], 1000);
    CHECK_EQ(f.decl->caps[CAP_TIMERS], 1000);
    CHECK_EQ(f.decl->caps[CAP_SOCKETS], 7);
    CHECK_EQ(f.decl->caps[CAP_CONNECTIONS], 64);
    fixture_close(&f);
}
