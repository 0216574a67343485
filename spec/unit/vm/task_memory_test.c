/* What a task keeps while it goes on: the memory of one call, and clean-ups not taken out. */
#include "vm/support.h"

enum { BYTES = 3000 };

static char *given;
static int others; /* times that memory was another, or not zero */

static int l_take(lua_State *L)
{
    struct task *task = task_check(L, "test.take");
    char *before = given;
    given = task_alloc(task, BYTES);
    if (before)
        others += given != before;
    for (int i = 0; i < BYTES; i++)
        others += given[i] != 0;
    memset(given, 'x', BYTES);
    return task_sleep(task, 0);
}

struct owner {
    struct task_deferred deferred;
    const char *name;
};

static struct owner owners[3];
static char trail[16];

static void leave(void *arg)
{
    struct owner *owner = arg;
    task_undefer(&owner->deferred);
    task_undefer(&owners[1].deferred); /* as the end of one may be another's */
    strncat(trail, owner->name, sizeof trail - strlen(trail) - 1);
}

static int l_defer(lua_State *L)
{
    static const char *const names[] = {"a", "b", "c"};
    struct task *task = task_current(L);
    for (int i = 0; i < 3; i++) {
        owners[i] = (struct owner){.name = names[i]};
        task_undefer(&owners[i].deferred);
        task_defer(task, &owners[i].deferred, leave, &owners[i]);
    }
    return 0;
}

static int l_undefer(lua_State *L)
{
    int i = (int)luaL_checkinteger(L, 1);
    task_undefer(&owners[i].deferred);
    task_undefer(&owners[i].deferred);
    return 0;
}

static int bind_test(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"take", l_take}, {"defer", l_defer}, {"undefer", l_undefer}, {NULL, NULL}};
    return bind_all_and(L, functions);
}

static struct run with_test(const char *exports)
{
    struct fixture f;
    struct run run;
    char *text =
        mem_printf("return { name = 'demo', version = '1.0.0', exports = { %s } }", exports);
    fixture_init(&f);
    f.host.bind = bind_test;
    add_file(&f, "plugin.lua", text);
    CHECK(fixture_load(&f, ""));
    run = call(&f, "f");
    fixture_close(&f);
    mem_free(text);
    return run;
}

TEST(memory_of_a_call_is_the_next_calls)
{
    struct run run = with_test("f = function(app) for i = 1, 100 do app.crypto.take() end end");
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK(given != NULL);
    CHECK_EQ(others, 0);
}

TEST(clean_ups_run_backwards_once)
{
    trail[0] = '\0';
    struct run run = with_test("f = function(app) app.crypto.defer() app.sleep(0) end");
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK_STR(trail, "ca"); /* c took b out */
}

TEST(what_is_taken_out_is_not_run)
{
    trail[0] = '\0';
    struct run run = with_test("f = function(app) for i = 1, 100 do app.crypto.defer()\n"
                               "app.crypto.undefer(0) app.crypto.undefer(2)\n"
                               "if i < 100 then app.crypto.undefer(1) end end end");
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK_STR(trail, "b");
}

TEST(clean_ups_run_for_a_task_that_raises_or_is_stopped)
{
    trail[0] = '\0';
    struct run run = with_test("f = function(app) app.crypto.defer() error('x') end");
    CHECK_EQ(run.outcome, TASK_FAILED);
    CHECK_STR(trail, "ca");
    trail[0] = '\0';
    struct fixture f;
    fixture_init(&f);
    f.host.bind = bind_test;
    add_file(&f, "plugin.lua",
             "return { name = 'demo', version = '1.0.0', exports = {\n"
             "f = function(app) app.crypto.defer() assert(app.sleep(100)) end } }");
    REQUIRE(fixture_load(&f, ""));
    REQUIRE(start(&f, "f", &run));
    CHECK_STR(trail, "");
    vm_cancel_tasks(f.vm);
    CHECK_STR(trail, "ca");
    fixture_close(&f);
}
