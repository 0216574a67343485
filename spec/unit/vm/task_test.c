/* Waiting, stopping, failing. */
#include "vm/support.h"

TEST(sleeps_and_goes_on)
{
    struct run run = call_once("f = function(app) local t = app.now() local ok = app.sleep(0.01)\n"
                               "return ok, app.now() - t >= 0.009 end");
    CHECK_STR(run.json, "[true,true]");
}

TEST(waits_under_pcall_in_metamethods_and_in_iterators)
{
    struct run run = call_once(
        "f = function(app)\n"
        "  local ok, slept = pcall(app.sleep, 0)\n"
        "  local t = setmetatable({}, { __index = function(_, k) app.sleep(0) return k .. '!' "
        "end,\n"
        "    __call = function() return app.sleep(0) end })\n"
        "  local seen = {}\n"
        "  for i in function(_, i) app.sleep(0) i = (i or 0) + 1 return i < 4 and i or nil end do\n"
        "    seen[#seen + 1] = i\n"
        "  end\n"
        "  return ok, slept, t.key, t(), seen\n"
        "end");
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK_STR(run.json, "[true,true,\"key!\",true,[1,2,3]]");
}

TEST(refuses_to_wait_where_it_cannot)
{
    struct run run = call_once(
        "f = function(app)\n"
        "  local function try(fn, ...) return (select(2, pcall(fn, ...))) end\n"
        "  local sleeper = function() app.sleep(0) return true end\n"
        "  return { try(table.sort, { 2, 1 }, sleeper), try(string.gsub, 'a', 'a', sleeper),\n"
        "    try(coroutine.wrap(sleeper)), try(require, 'nothing.here') }\n"
        "end");
    CHECK(strstr(run.json, "cannot wait inside a C callback (table.sort, string.gsub"));
    CHECK(strstr(run.json, "cannot wait inside a coroutine of the plugin's own"));
    CHECK(strstr(run.json, "plugins/demo/plugin.lua:5: app.sleep: cannot"));
    CHECK(strstr(run.json, "require: no module 'nothing.here' in plugins/demo or maru.*"));
}

TEST(refuses_to_wait_while_a_module_loads)
{
    struct fixture f;
    fixture_init(&f);
    add_file(&f, "plugin.lua",
             "return { name = 'demo', version = '1.0.0', exports = {\n"
             "f = function(app) _G.rawset(_G, 'APP', app) return select(2, pcall(require, 'late')) "
             "end } }");
    add_file(&f, "late.lua", "_G.APP.sleep(0) return 1");
    REQUIRE(fixture_load(&f, ""));
    struct run run = call(&f, "f");
    CHECK(strstr(run.json, "cannot wait inside a C callback (table.sort, string.gsub, require)"));
    fixture_close(&f);
}

TEST(plugin_coroutines_work_and_never_show_the_task)
{
    struct run run = call_once("f = function(app)\n"
                               "  local co = coroutine.wrap(function(a) local b = "
                               "coroutine.yield(a + 1) return b * 2 end)\n"
                               "  local own\n"
                               "  coroutine.wrap(function() own = coroutine.running() end)()\n"
                               "  return co(1), co(5), coroutine.running() == nil, type(own),\n"
                               "    select(2, pcall(coroutine.yield, 1))\n"
                               "end");
    CHECK_STR(run.json, "[2,10,true,\"thread\",\"plugins/demo/plugin.lua:8: coroutine.yield: not "
                        "inside a coroutine of the plugin's own\"]");
}

TEST(cancel_ends_a_wait_with_three_values)
{
    struct fixture f;
    struct run run;
    REQUIRE(fixture_exports(&f, "f = function(app) return app.sleep(100) end"));
    REQUIRE(start(&f, "f", &run));
    CHECK(!run.ended);
    vm_cancel_tasks(f.vm);
    CHECK(run.ended);
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK_STR(run.json, "[null,\"cancelled\",\"cancelled\"]");
    fixture_close(&f);
}

TEST(a_cancelled_task_that_raises_is_cancelled)
{
    struct fixture f;
    struct run run;
    REQUIRE(fixture_exports(&f, "f = function(app) assert(app.sleep(100)) end"));
    REQUIRE(start(&f, "f", &run));
    vm_cancel_tasks(f.vm);
    CHECK_EQ(run.outcome, TASK_CANCELLED);
    fixture_close(&f);
}

TEST(a_cancelled_task_that_waits_forever_is_dropped)
{
    struct fixture f;
    struct run run;
    REQUIRE(fixture_exports(&f, "f = function(app) while true do pcall(app.sleep, 1) end end"));
    REQUIRE(start(&f, "f", &run));
    vm_cancel_tasks(f.vm);
    CHECK(run.ended);
    CHECK_EQ(run.outcome, TASK_CANCELLED);
    run = call(&f, "f"); /* deadline of 200 ms */
    CHECK_EQ(run.outcome, TASK_TIMEOUT);
    CHECK_EQ(vm_usage(f.vm).tasks, 0);
    fixture_close(&f);
}

TEST(deadline_ends_a_wait_with_timeout)
{
    struct run run = call_once("f = function(app) return app.sleep(100) end");
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK_STR(run.json, "[null,\"the task's time limit has passed\",\"timeout\"]");
}

TEST(says_where_an_error_was_raised)
{
    struct run run = call_once("f = function(app)\n  local t = nil\n  return t.x\nend");
    CHECK_EQ(run.outcome, TASK_FAILED);
    CHECK_STR(run.message, "plugins/demo/plugin.lua:5: attempt to index local 't' (a nil value)");
    CHECK(strstr(run.traceback, "in function <plugins/demo/plugin.lua:3>"));
    CHECK(!strstr(run.traceback, "maru/"));
    CHECK_STR(run.code, "lua");
    CHECK_EQ(run.status, 0);
}

TEST(takes_any_value_as_an_error)
{
    static const struct {
        const char *raise, *message;
    } cases[] = {
        {"error({})", "raised a table value instead of text or app.fail(…)"},
        {"error(nil)", "raised a nil value instead of text or app.fail(…)"},
        {"error()", "raised a nil value instead of text or app.fail(…)"},
        {"error(7)", "plugins/demo/plugin.lua:3: 7"},
        {"error('plain', 0)", "plain"},
        {"error(setmetatable({}, { __tostring = function() error('again') end }))",
         "raised a table value instead of text or app.fail(…)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *exports = mem_printf("f = function() %s end", cases[i].raise);
        struct run run = call_once(exports);
        mem_free(exports);
        CHECK_EQ(run.outcome, TASK_FAILED);
        CHECK_STR(run.message, cases[i].message);
    }
}

TEST(decodes_fail_discard_and_retry)
{
    struct fixture f;
    REQUIRE(fixture_exports(&f, "fail = function(app) error(app.fail(404, 'not_found', 'no such "
                                "thing', { id = 7 })) end,\n"
                                "discard = function(app) error(app.discard('bad args')) end,\n"
                                "retry = function(app) error(app.retry('2m', 'later')) end,\n"
                                "again = function(app) error(app.retry()) end,\n"
                                "wrong = function(app) error(app.fail(200, 'x', 'y')) end"));
    struct run run = call(&f, "fail");
    CHECK_EQ(run.status, 404);
    CHECK_STR(run.code, "not_found");
    CHECK_STR(run.message, "no such thing");
    CHECK_STR(run.extra, "{\"id\":7}");
    CHECK_STR(run.traceback, "");
    run = call(&f, "discard");
    CHECK_STR(run.code, "discard");
    CHECK_STR(run.message, "bad args");
    run = call(&f, "retry");
    CHECK_STR(run.code, "retry");
    CHECK_EQ(run.delay, 120);
    run = call(&f, "again");
    CHECK_EQ(run.delay, -1);
    run = call(&f, "wrong");
    CHECK_STR(run.message, "plugins/demo/plugin.lua:7: app.fail(status, code, message, [extra]): "
                           "status must be from 400 to 599, got number");
    fixture_close(&f);
}

TEST(survives_deep_recursion)
{
    struct run run =
        call_once("f = function(app) local function r(n) return 1 + r(n + 1) end return "
                  "r(1) end");
    CHECK_EQ(run.outcome, TASK_FAILED);
    CHECK(strstr(run.message, "stack overflow"));
    run = call_once(
        "f = function(app) local t = setmetatable({}, {}) getmetatable(t).__index = "
        "function(_, k) return t[k .. 'x'] end return pcall(function() return t.a end) end");
    CHECK_EQ(run.outcome, TASK_DONE);
}

TEST(spawns_tasks_that_outlive_their_parent)
{
    struct fixture f;
    REQUIRE(fixture_exports(&f, "f = function(app)\n"
                                "  app.spawn(function(app2, a, b) app2.sleep(0) "
                                "rawset(_G, 'SUM', a + b) end, 1, 2)\n"
                                "  app.spawn(function() error('spawned') end)\n"
                                "  return rawget(_G, 'SUM') == nil\n"
                                "end, g = function() return rawget(_G, 'SUM') end"));
    struct run run = call(&f, "f");
    CHECK_STR(run.json, "[true]");
    CHECK_EQ(vm_usage(f.vm).tasks, 2);
    for (int i = 0; i < 100 && vm_usage(f.vm).tasks; i++)
        uv_run(&f.lane->loop, UV_RUN_ONCE);
    run = call(&f, "g");
    CHECK_STR(run.json, "[3]");
    struct buf log = {0};
    log_recent(&log, 0, LOG_ERROR, STR("demo"), 10);
    CHECK(strstr(log.p, "plugins/demo/plugin.lua:5: spawned"));
    buf_free(&log);
    fixture_close(&f);
}

TEST(cancels_what_has_not_begun)
{
    struct fixture f;
    REQUIRE(
        fixture_exports(&f, "f = function(app) app.spawn(function() rawset(_G, 'X', 1) end) end"));
    call(&f, "f");
    vm_retire(f.vm);
    CHECK_EQ(f.idle, 0);
    vm_cancel_tasks(f.vm);
    for (int i = 0; i < 10 && !f.idle; i++)
        uv_run(&f.lane->loop, UV_RUN_ONCE);
    CHECK_EQ(f.idle, 1);
    fixture_close(&f);
}

TEST(a_retired_vm_takes_no_task_and_says_when_idle)
{
    struct fixture f;
    struct run run, other;
    REQUIRE(fixture_exports(&f, "f = function(app) return app.sleep(0.01) end"));
    REQUIRE(start(&f, "f", &run));
    vm_retire(f.vm);
    CHECK_EQ(f.idle, 0);
    CHECK(!start(&f, "f", &other));
    CHECK_EQ(f.err.code, ERR_CLOSED);
    turn(&f, &run, 100);
    CHECK_STR(run.json, "[true]");
    CHECK_EQ(f.idle, 1);
    fixture_close(&f);
}

/* ---- a binding of the test's own --------------------------------------- */

static struct task *held;
static lua_State *woken_in;

static int l_hold(lua_State *L)
{
    held = task_check(L, "test.hold");
    return task_wait(held, NULL, NULL);
}

static int push_text(lua_State *L, void *arg)
{
    struct str *text = arg;
    woken_in = L;
    lua_pushlstring(L, text->p, text->n);
    return 1;
}

static int bind_test(lua_State *L)
{
    return bind_all_and(L, (luaL_Reg[]){{"hold", l_hold}, {NULL, NULL}});
}

TEST(wakes_a_task_with_what_push_pushed)
{
    struct fixture f;
    struct run run;
    fixture_init(&f);
    f.host.bind = bind_test;
    add_file(&f, "plugin.lua",
             "return { name = 'demo', version = '1.0.0', limits = { memory = '8M' },\n"
             "exports = { f = function(app) local t = app.crypto.hold() return #t end } }");
    REQUIRE(fixture_load(&f, ""));
    REQUIRE(start(&f, "f", &run));
    struct str text = STR("hello");
    task_wake_with(held, push_text, &text);
    CHECK_STR(run.json, "[5]");
    CHECK(woken_in != NULL);

    REQUIRE(start(&f, "f", &run));
    struct err err;
    err_set(&err, ERR_IO, "broken");
    task_resume_error(held, &err);
    CHECK_EQ(run.outcome, TASK_FAILED);

    REQUIRE(start(&f, "f", &run)); /* more than the VM may have */
    text = str_n(mem_zero(16, 1 << 20), 16 << 20);
    task_wake_with(held, push_text, &text);
    CHECK_EQ(run.outcome, TASK_MEMORY);
    CHECK_STR(run.code, "memory");
    CHECK(vm_broken(f.vm));
    mem_free((void *)(uintptr_t)text.p);
    fixture_close(&f);
}

static int l_held(lua_State *L)
{
    task_hold(task_current(L), "tx");
    return 0;
}

static int bind_held(lua_State *L)
{
    return bind_all_and(L, (luaL_Reg[]){{"held", l_held}, {NULL, NULL}});
}

TEST(refuses_other_waits_while_held)
{
    struct fixture f;
    fixture_init(&f);
    f.host.bind = bind_held;
    add_file(&f, "plugin.lua",
             "return { name = 'demo', version = '1.0.0', exports = {\n"
             "f = function(app) app.crypto.held() return select(2, pcall(app.sleep, 0)) end } }");
    REQUIRE(fixture_load(&f, ""));
    for (int i = 1; i <= 3; i++) {
        struct run run = call(&f, "f");
        CHECK(strstr(run.json, "app.sleep: only tx may wait inside store:tx"));
    }
    fixture_close(&f);
}

/* ---- app.call ---------------------------------------------------------- */

static struct fixture *called;

static struct vm *find_test_export(void *reload, struct lane *lane, const char *plugin,
                                   const char *function, int *handler, struct err *err)
{
    (void)reload;
    (void)lane;
    *handler = find_export(called, function);
    if (strcmp(plugin, "demo") == 0 && *handler)
        return called->vm;
    err_set(err, ERR_NOT_FOUND, "%s.%s is not there", plugin, function);
    return NULL;
}

TEST(calls_another_plugins_export)
{
    struct fixture f;
    called = &f;
    REQUIRE(fixture_exports(
        &f, "add = function(app, a, b) app.sleep(0) return a + b, nil, { list = {} } end,\n"
            "bad = function(app) error(app.fail(409, 'busy', 'try later')) end,\n"
            "slow = function(app) return app.sleep(100) end,\n"
            "f = function(app) return app.call('demo.add', 1, 2) end,\n"
            "g = function(app) return app.call('demo.bad') end,\n"
            "h = function(app) return app.call('demo.nothing') end,\n"
            "i = function(app) return app.call('other.add') end,\n"
            "j = function(app) return app.call('demo.add', print) end,\n"
            "k = function(app) return app.call('demo.slow') end"));
    f.host.find_export = find_test_export;
    f.host.reload = &f;
    CHECK_STR(call(&f, "f").json, "[3,null,{\"list\":{}}]");
    CHECK_STR(call(&f, "g").json, "[null,\"try later\",\"busy\"]");
    CHECK_STR(call(&f, "h").json, "[null,\"demo.nothing is not there\",\"not_found\"]");
    CHECK(strstr(call(&f, "i").message, "app.call: 'other' is not in this plugin's requires"));
    CHECK(strstr(call(&f, "j").message, "value 1: a function has no JSON form"));
    struct run run = call(&f, "k");
    CHECK(strstr(run.json, "timeout"));
    for (int i = 0; i < 100 && vm_usage(f.vm).tasks; i++)
        uv_run(&f.lane->loop, UV_RUN_ONCE);
    CHECK_EQ(vm_usage(f.vm).tasks, 0);
    fixture_close(&f);
}

TEST(calls_only_what_allow_exports_names)
{
    struct fixture f;
    called = &f;
    REQUIRE(fixture_open(
        &f, "local M = { name = 'demo', version = '1.0.0', requires = { 'demo2', 'other' } }\n"
            "M.allow = { exports = { 'demo2.add', 'other.*' } }\n"
            "M.exports = { a = function(app) return app.call('demo2.add') end,\n"
            "  b = function(app) return app.call('demo2.addition') end,\n"
            "  c = function(app) return app.call('other.any') end }\n"
            "return M\n"));
    f.host.find_export = find_test_export;
    f.host.reload = &f;
    CHECK_STR(call(&f, "a").json, "[null,\"demo2.add is not there\",\"not_found\"]");
    CHECK(strstr(call(&f, "b").message, "app.call: 'demo2.addition' is not in this plugin's "
                                        "allow.exports"));
    CHECK_STR(call(&f, "c").json, "[null,\"other.any is not there\",\"not_found\"]");
    fixture_close(&f);
}

TEST(cancelling_a_caller_cancels_the_called)
{
    struct fixture f;
    struct run run;
    called = &f;
    REQUIRE(fixture_exports(&f, "slow = function(app) app.sleep(100) end,\n"
                                "f = function(app) return app.call('demo.slow') end"));
    f.host.find_export = find_test_export;
    f.host.reload = &f;
    REQUIRE(start(&f, "f", &run));
    uv_run(&f.lane->loop, UV_RUN_ONCE);
    CHECK_EQ(vm_usage(f.vm).tasks, 2);
    vm_retire(f.vm);
    vm_cancel_tasks(f.vm);
    CHECK_EQ(f.idle, 1);
    fixture_close(&f);
}
