/* A little of Lua's memory that would become much of the process's. */
#include "vm/support.h"

/* The same long text many times, a table in a table in a table … */
static const char *const swollen[] = {
    "local s, t = ('x'):rep(1e6), {} for i = 1, 1e4 do t[i] = s end return t",
    "local t = { 1 } for i = 1, 60 do t = { t, t } end return t",
    "local t = { a = 1 } for i = 1, 60 do t = { a = t, b = t } end return t",
    "local s, t = ('\\1'):rep(1e6), {} for i = 1, 1e4 do t['k' .. i] = s end return t",
};

TEST(json_is_no_longer_than_the_plugins_memory)
{
    for (size_t i = 0; i < sizeof swollen / sizeof *swollen; i++) {
        char *exports = mem_printf("make = function() %s end", swollen[i]);
        char *text = mem_printf("local M = { name = 'demo', version = '1.0.0' }\n"
                                "local E = { %s }\n"
                                "M.exports = { f = function(app)\n"
                                "  local _, message = pcall(app.json.encode, E.make())\n"
                                "  return message end }\nreturn M",
                                exports);
        struct fixture f;
        REQUIRE(fixture_open(&f, text));
        struct run run = call(&f, "f");
        if (!strstr(run.json, "longer than it may be"))
            TEST_FAIL("%s: %s %s", swollen[i], run.json, run.message);
        fixture_close(&f);
        mem_free(text);
        mem_free(exports);
    }
}

TEST(an_error_is_as_long_as_somebody_reads)
{
    struct run run = call_once("f = function() error(('é'):rep(1e6), 0) end");
    CHECK_EQ(run.outcome, TASK_FAILED);
    CHECK_EQ(strlen(run.message), sizeof run.message - 1);
    run = call_once(
        "f = function(app) error(app.fail(404, 'no', 'm', { big = ('x'):rep(1e6) })) end");
    CHECK_EQ(run.status, 404);
    CHECK_STR(run.extra, "");
}

/* What app.fail made is the plugin's table. */
TEST(a_changed_failure_is_still_an_error)
{
    static const struct {
        const char *change;
        int status;
        double delay;
    } cases[] = {
        {"e.status = 200", 500, -1},
        {"e.status = 1e300", 500, -1},
        {"e.status = 0/0", 500, -1},
        {"e.status = 404.5", 500, -1},
        {"e.status = -404", 500, -1},
        {"e.status = 503", 503, -1},
        {"e.delay = 1e300", 404, 1e9},
        {"e.delay = 0/0", 404, -1},
        {"e.status = {}", 0, -1},
        {"for k in pairs(e) do e[k] = nil end", 0, -1},
        {"e.code = {} e.message = 5", 404, -1},
        {"e.extra = setmetatable({}, e)", 404, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *exports =
            mem_printf("f = function(app) local e = app.fail(404, 'no', 'm') %s error(e) end",
                       cases[i].change);
        struct run run = call_once(exports);
        mem_free(exports);
        CHECK_EQ(run.outcome, TASK_FAILED);
        if (run.status != cases[i].status || run.delay != cases[i].delay)
            TEST_FAIL("%s: status %d, delay %g", cases[i].change, run.status, run.delay);
    }
}

TEST(any_value_may_be_an_error)
{
    static const char *const values[] = {
        "nil",
        "{}",
        "true",
        "5",
        "print",
        "coroutine.create(print)",
        "app.json.null",
        "setmetatable({}, { __tostring = error })",
        "setmetatable({}, { __tostring = function() error('again') end, __index = error, "
        "__metatable = 1 })",
        "setmetatable({}, { __concat = error, __call = error, __eq = error })",
        "1LL",
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char *exports = mem_printf("f = function(app) error(%s) end", values[i]);
        struct run run = call_once(exports);
        mem_free(exports);
        if (run.outcome != TASK_FAILED || run.status != 0 || !run.message[0])
            TEST_FAIL("%s: %d %s", values[i], (int)run.outcome, run.message);
    }
}

TEST(a_metric_keeps_its_kind_and_its_labels_are_short)
{
    struct run run = call_once(
        "f = function(app)\n"
        "  app.metrics:count('once')\n"
        "  local _, a = pcall(function() app.metrics:gauge('once', 1) end)\n"
        "  local _, b = pcall(function() app.metrics:observe('once', 1) end)\n"
        "  local _, c = pcall(function() app.metrics:count('l', 1, { x = ('y'):rep(201) }) end)\n"
        "  return a, b, c end");
    CHECK(strstr(run.json,
                 "plugin.lua:5: app.metrics:count(name, [value], [labels]): maru_plugin_once is a "
                 "metric of another kind"));
    CHECK(strstr(run.json, "plugin.lua:6: "));
    CHECK(strstr(run.json, "label x has more than 200 bytes"));
}

TEST(what_a_call_holds_outside_counts_against_the_memory)
{
    struct fixture f;
    struct err err;
    REQUIRE(fixture_exports(&f, ""));
    int64_t before = vm_usage(f.vm).memory_bytes;
    CHECK(vm_charge(f.vm, 4 << 20, &err));
    CHECK_EQ(vm_usage(f.vm).memory_bytes, before + (4 << 20));
    CHECK(!vm_charge(f.vm, 8 << 20, &err));
    CHECK_EQ(err.code, ERR_LIMIT);
    CHECK(!vm_charge(f.vm, SIZE_MAX / 4, &err));
    vm_uncharge(f.vm, 4 << 20);
    CHECK_EQ(vm_usage(f.vm).memory_bytes, before);
    fixture_close(&f);
}
