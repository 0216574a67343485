/* States by the thousand, and plugins that take all they can. */
#include <malloc.h>

#include "vm/support.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STATES = 500 };
#else
enum { STATES = 10000 };
#endif

TEST(ten_thousand_states_leave_nothing)
{
    struct fixture f;
    REQUIRE(fixture_open(&f, "return { name = 'demo', version = '1.0.0' }"));
    vm_destroy(f.vm);
    plugin_decl_free(f.decl);
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < STATES; i++) {
        REQUIRE(fixture_load(&f, ""));
        vm_destroy(f.vm);
        plugin_decl_free(f.decl);
    }
    size_t after = mallinfo2().uordblks;
    CHECK(after < before + (256 << 10));
    f.vm = NULL;
    f.decl = NULL;
    fixture_close(&f);
}

TEST(memory_bombs_end_their_task_only)
{
    static const char *const bombs[] = {
        "local t = {} for i = 1, 1e9 do t[i] = { i } end",
        "return #string.rep('x', 1e9)",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, 1000 do t[i] = string.rep('y', 2000) .. i end\n"
        "local all = {} for i = 1, 1e6 do all[i] = table.concat(t) end",
        "local t = {} for i = 1, 1e9 do t[i] = function() return i end end",
        "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(function() end) end",
        "local t = {} for i = 1, 1e9 do t[i] = app.json.decode('[[],[],[],[],[],[]]') end",
        "local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
        "local t = {} while true do t[#t + 1] = app.crypto.random(1024) end",
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        struct fixture f;
        char *exports = mem_printf("f = function(app) %s end,\n"
                                   "g = function(app) return 'alive' end",
                                   bombs[i]);
        REQUIRE(fixture_exports(&f, exports));
        struct run run = call(&f, "f");
        CHECK_EQ(run.outcome, TASK_MEMORY);
        CHECK_STR(run.code, "memory");
        CHECK(vm_broken(f.vm));
        CHECK_STR(call(&f, "g").json, "[\"alive\"]");
        fixture_close(&f);
        mem_free(exports);
    }
}

TEST(a_bomb_under_pcall_leaves_the_vm_marked)
{
    struct fixture f;
    REQUIRE(fixture_exports(&f, "f = function(app) return pcall(string.rep, 'x', 1e9) end"));
    struct run run = call(&f, "f");
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK_STR(run.json, "[false,\"not enough memory\"]");
    CHECK(vm_broken(f.vm));
    fixture_close(&f);
}

TEST(garbage_is_collected_before_the_limit)
{
    struct fixture f; /* 5 of 8 MiB are live, and 10 times the limit passes through */
    REQUIRE(fixture_exports(&f, "f = function(app)\n"
                                "  local live = {}\n"
                                "  for i = 1, 40000 do live[i] = { i, i, i } end\n"
                                "  for i = 1, 200000 do local t = { i, tostring(i) .. 'garbage' } "
                                "live[i % 40000 + 1][1] = t[1] end\n"
                                "  return #live\nend"));
    struct run run = call(&f, "f");
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK_STR(run.json, "[40000]");
    CHECK(vm_usage(f.vm).memory_bytes < 8 << 20);
    fixture_close(&f);
}

TEST(a_bomb_while_loading_is_an_error)
{
    struct fixture f;
    CHECK(!fixture_open(&f, "local t = {} for i = 1, 1e9 do t[i] = { i } end"));
    CHECK_EQ(f.err.code, ERR_MEMORY);
    CHECK_STR(f.err.message,
              "plugins/demo/plugin.lua: the memory limit of 65536 KiB was reached while loading");
    fixture_close(&f);
}

TEST(counts_what_it_does)
{
    struct fixture f;
    REQUIRE(fixture_exports(&f, "f = function(app) for i = 1, 1e5 do app.now() end end,\n"
                                "g = function(app) error('x') end"));
    call(&f, "f");
    call(&f, "g");
    struct vm_usage usage = vm_usage(f.vm);
    CHECK_EQ(usage.started, 2);
    CHECK_EQ(usage.errors, 1);
    CHECK_EQ(usage.tasks, 0);
    CHECK(usage.cpu_ns > 100000);
    CHECK_EQ(usage.memory_limit, 8 << 20);
    CHECK(usage.memory_bytes > 100000);
    fixture_close(&f);
}
