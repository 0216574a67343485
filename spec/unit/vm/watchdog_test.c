/* The watchdog: what it ends, what it cannot, and what goes on afterwards. */
#include "vm/support.h"
#include "vm/task_internal.h"
#include "vm/watchdog.h"

#include <stdatomic.h>
#include <unistd.h>

#define MS INT64_C(1000000)

struct watched {
    struct fixture f;
    struct watchdog *watchdog;
    const char *plugin, *name;
    struct run run;
    atomic_int runaways;
    char handler[64], label[64], lane[16];
    int killed;
    char reason[200];
};

static void on_runaway(void *arg, const struct watch_report *report)
{
    struct watched *w = arg;
    snprintf(w->handler, sizeof w->handler, "%s", report->handler);
    snprintf(w->label, sizeof w->label, "%s", report->plugin);
    snprintf(w->lane, sizeof w->lane, "%s", report->lane->name);
    atomic_fetch_add(&w->runaways, 1);
}

static void on_killed(struct vm *vm, void *owner, const char *reason)
{
    (void)vm;
    struct watched *w = (struct watched *)owner;
    w->killed++;
    snprintf(w->reason, sizeof w->reason, "%s", reason);
}

static void load_on_lane(void *arg)
{
    struct watched *w = arg;
    struct vm_options options = {.lane = w->f.lane,
                                 .host = &w->f.host,
                                 .bundle = &w->f.bundle,
                                 .label = "demo@0123456789ab",
                                 .owner = w,
                                 .killed = on_killed};
    w->f.vm = vm_create(&options, &w->f.decl, &w->f.err);
}

static void call_on_lane(void *arg)
{
    struct watched *w = arg;
    start(&w->f, w->name, &w->run);
}

static bool watched_open(struct watched *w, const char *plugin)
{
    memset(w, 0, sizeof *w);
    fixture_init(&w->f);
    add_file(&w->f, "plugin.lua", plugin);
    lane_start(w->f.lane, NULL, NULL, &w->f.err);
    struct watchdog_options options = {
        .lanes = &w->f.lane, .count = 1, .runaway = on_runaway, .arg = w};
    w->watchdog = watchdog_start(&options, &w->f.err);
    lane_call_wait(w->f.lane, load_on_lane, w);
    if (!w->f.vm)
        printf("# %s\n", w->f.err.message);
    return w->watchdog && w->f.vm;
}

static void watched_close(struct watched *w)
{
    watchdog_stop(w->watchdog);
    lane_stop(w->f.lane);
    lane_join(w->f.lane);
    fixture_close(&w->f);
}

/* Exports that never wait, so the run has ended when the lane answers. */
static struct run *watched_call(struct watched *w, const char *name)
{
    w->name = name;
    lane_call_wait(w->f.lane, call_on_lane, w);
    return &w->run;
}

static const char loops[] =
    "local M = { name = 'demo', version = '1.0.0', jit = false,\n"
    "  limits = { watchdog = '50ms', task = '10s' } }\n"
    "local function spin() while true do end end\n"
    "local function cowrap() coroutine.wrap(spin)() end\n"
    "M.exports = {\n"
    "  plain = spin,\n"
    "  caught = function() while true do pcall(spin) end end,\n"
    "  handled = function() while true do xpcall(spin, spin) end end,\n"
    "  coroutine = function() while true do pcall(cowrap) end end,\n"
    "  tail = function() local function f() return f() end return f() end,\n"
    "  meta = function() local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end "
    "})\n"
    "    while true do pcall(function() return t[1] end) end end,\n"
    "  fine = function() return 'fine' end,\n"
    "}\n"
    "return M\n";

/* TSan hands a signal over with the thread's next library call, which a loop never makes. */
#ifdef __SANITIZE_THREAD__
static const bool signals_arrive = false;
#else
static const bool signals_arrive = true;
#endif

static void ends(const char *name, const char *place)
{
    if (!signals_arrive)
        return;
    struct watched w;
    REQUIRE(watched_open(&w, loops));
    const struct run *run = watched_call(&w, name);
    CHECK(run->ended);
    CHECK_EQ(run->outcome, TASK_KILLED);
    CHECK_STR(run->code, "killed");
    CHECK(strstr(run->message, place));
    CHECK(strstr(run->message, "ran longer than 50 ms without waiting"));
    CHECK(strstr(run->traceback, "plugins/demo/plugin.lua:"));
    CHECK_EQ(w.killed, 1);
    CHECK_STR(w.reason, run->message);
    CHECK(vm_broken(w.f.vm));
    CHECK_EQ(atomic_load(&w.runaways), 0);
    watched_close(&w);
}

TEST(ends_a_loop_and_says_where_it_was)
{
    ends("plain", "plugins/demo/plugin.lua:3: plain ran");
}

TEST(ends_loops_that_catch_every_error)
{
    ends("caught", "plugin.lua:");
    ends("handled", "plugin.lua:");
    ends("meta", "plugin.lua:");
}

TEST(ends_loops_in_coroutines_and_tail_calls)
{
    ends("coroutine", "plugin.lua:");
    ends("tail", "plugin.lua:");
}

TEST(leaves_handlers_alone_that_return)
{
    struct watched w;
    REQUIRE(watched_open(&w, loops));
    for (int i = 0; i < 100; i++)
        CHECK_STR(watched_call(&w, "fine")->json, "[\"fine\"]");
    CHECK_EQ(w.killed, 0);
    watched_close(&w);
}

TEST(a_deadline_ends_a_loop_and_leaves_the_vm_whole)
{
    struct watched w;
    if (!signals_arrive)
        return;
    REQUIRE(watched_open(&w, "local M = { name = 'demo', version = '1.0.0', jit = false,\n"
                             "  limits = { watchdog = '20s', task = '120ms' } }\n"
                             "local function spin() while true do end end\n"
                             "M.exports = { plain = function() while true do pcall(spin) end end,\n"
                             "  fine = function() return #('x'):rep(100000) end }\n"
                             "return M\n"));
    CHECK_EQ(watched_call(&w, "plain")->outcome, TASK_TIMEOUT);
    CHECK_EQ(w.killed, 0);
    CHECK(!vm_broken(w.f.vm));
    CHECK_STR(watched_call(&w, "fine")->json, "[100000]");
    CHECK_EQ(watched_call(&w, "plain")->outcome, TASK_TIMEOUT);
    watched_close(&w);
}

/* With an end of its own, after a second or so of machine code; back in the interpreter it
 * meets the hook after all. */
TEST(compiled_code_is_ended_or_reported_as_what_the_trial_says)
{
    struct watched w;
    enum watch_protection p = watchdog_try();
    if (!signals_arrive)
        return;
    REQUIRE(watched_open(&w, "return { name = 'demo', version = '1.0.0',\n"
                             "  limits = { watchdog = '100ms' }, exports = { long = function()\n"
                             "  local x = 0 for i = 1, 1e9 do x = x + i end return x end } }"));
    const struct run *run = watched_call(&w, "long");
    CHECK_EQ(run->outcome, TASK_KILLED);
    if (p == WATCH_UNCHECKED) {
        CHECK_EQ(atomic_load(&w.runaways), 1);
        CHECK_STR(w.handler, "long");
        CHECK_STR(w.label, "demo@0123456789ab");
        CHECK_STR(w.lane, "test");
        CHECK(atomic_load(&w.f.lane->lost));
    } else {
        CHECK_EQ(atomic_load(&w.runaways), 0);
    }
    watched_close(&w);
}

TEST(the_trial_ends_and_is_the_same_each_time)
{
    enum watch_protection first = watchdog_try();
    for (int i = 0; i < 20; i++)
        CHECK_EQ(watchdog_try(), first);
    CHECK(strlen(watch_protection_text(first)) > 20);
}

TEST(a_starved_lane_is_not_a_stuck_one)
{
    CHECK(!watch_is_over(999 * MS, 999 * MS, 1000 * MS));
    CHECK(watch_is_over(1000 * MS, 900 * MS, 1000 * MS));
    CHECK(!watch_is_over(1500 * MS, 300 * MS, 1000 * MS));
    CHECK(watch_is_over(2500 * MS, 500 * MS, 1000 * MS));
    CHECK(watch_is_over(4000 * MS, 0, 1000 * MS));
}

static void kill_first(void *arg)
{
    struct watched *w = arg;
    task_kill(list_entry(w->f.vm->tasks.next, struct task, node), "past its hard timeout");
}

TEST(a_task_that_waits_is_ended_by_force)
{
    struct watched w;
    REQUIRE(watched_open(&w, "return { name = 'demo', version = '1.0.0', exports = {\n"
                             "f = function(app) local ok = app.sleep(100) return ok end } }"));
    CHECK(!watched_call(&w, "f")->ended);
    lane_call_wait(w.f.lane, kill_first, &w);
    CHECK(w.run.ended);
    CHECK_EQ(w.run.outcome, TASK_KILLED);
    CHECK_STR(w.run.message, "past its hard timeout");
    CHECK(strstr(w.run.traceback, "plugins/demo/plugin.lua:2"));
    CHECK_EQ(w.killed, 1);
    CHECK(vm_broken(w.f.vm));
    watched_close(&w);
}
