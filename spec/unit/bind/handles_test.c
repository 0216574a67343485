/* Handles that a task closes are gone at once: nothing of them waits for its end. */
#include <unistd.h>

#include "channels/channel.h"
#include "storage/migrate.h"
#include "storage/sqlite.h"
#include "vm/support.h"
#include "vm/task_internal.h"

static int l_kept(lua_State *L)
{
    int kept = 0;
    list_each (node, &task_current(L)->deferred)
        kept++;
    lua_pushinteger(L, kept);
    return 1;
}

static int l_collect(lua_State *L)
{
    lua_gc(L, LUA_GCCOLLECT, 0);
    return 0;
}

/* Names of the classes whose collecting takes what is of none. */
static int l_takers(lua_State *L)
{
    lua_settop(L, 0);
    lua_pushliteral(L, "");
    for (lua_pushnil(L); lua_next(L, LUA_REGISTRYINDEX); lua_settop(L, 2)) {
        if (lua_type(L, 2) != LUA_TSTRING || !lua_istable(L, 3))
            continue;
        lua_getfield(L, 3, "__gc");
        if (!lua_iscfunction(L, -1))
            continue;
        memset(lua_newuserdata(L, 64), 0, 64);
        if (lua_pcall(L, 1, 0, 0) != 0)
            continue;
        lua_pushvalue(L, 1);
        lua_pushfstring(L, " %s", lua_tostring(L, 2));
        lua_concat(L, 2);
        lua_replace(L, 1);
    }
    return 1;
}

static int bind_test(lua_State *L)
{
    return bind_all_and(
        L,
        (luaL_Reg[]){{"kept", l_kept}, {"collect", l_collect}, {"takers", l_takers}, {NULL, NULL}});
}

struct stored {
    struct fixture vm;
    struct pool *pool;
    char dir[64], path[96];
};

static bool stored_open(struct stored *s, const char *exports)
{
    struct err err;
    snprintf(s->dir, sizeof s->dir, "/tmp/maru-handles-XXXXXX");
    if (!mkdtemp(s->dir))
        return false;
    snprintf(s->path, sizeof s->path, "%s/maru.db", s->dir);
    s->pool = pool_create("test", 2, &err);
    fixture_init(&s->vm);
    s->vm.host.bind = bind_test;
    s->vm.host.store =
        sqlite_open(&(struct sqlite_options){.path = s->path, .pool = s->pool, .readers = 2}, &err);
    s->vm.host.channels = channel_hub_create();
    add_file(&s->vm, "plugin.lua", exports);
    return s->vm.host.store &&
           store_migrate(s->vm.host.store, "demo",
                         &(struct migration){"0001_a.sql", STR("create table a(b integer)")}, 1,
                         &err) &&
           fixture_load(&s->vm, "");
}

static void stored_close(struct stored *s)
{
    store_close(s->vm.host.store);
    uv_run(&s->vm.lane->loop, UV_RUN_NOWAIT);
    channel_hub_destroy(s->vm.host.channels);
    fixture_close(&s->vm);
    pool_destroy(s->pool);
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", s->dir);
    CHECK_EQ(system(command), 0);
}

#define PLUGIN                                                                                     \
    "local M = { name = 'demo', version = '1.0.0', limits = { task = '60s' } }\n"                  \
    "M.exports = { f = function(app)\n"

static void check_run(const char *plugin, const char *json)
{
    struct stored s = {0};
    REQUIRE(stored_open(&s, plugin));
    struct run run = call(&s.vm, "f");
    CHECK(run.ended);
    if (run.outcome != TASK_DONE)
        printf("# %s\n", run.message);
    CHECK_STR(run.json, json);
    stored_close(&s);
}

TEST(a_transaction_that_is_over_is_gone)
{
    check_run(PLUGIN "local most = 0\n"
                     "for i = 1, 20 do\n"
                     "  assert(app.store:tx(function(tx) assert(tx:one('select 1 as n'))\n"
                     "    most = math.max(most, app.crypto.kept()) return true end))\n"
                     "  app.store:tx(function() return nil, 'no', 'no' end)\n"
                     "  pcall(app.store.tx, app.store, function() error('no') end)\n"
                     "end\n"
                     "return most, app.crypto.kept() end } return M",
              "[1,0]");
}

TEST(a_subscription_that_is_closed_is_gone)
{
    check_run(PLUGIN "local most = 0\n"
                     "for i = 1, 20 do\n"
                     "  local s = assert(app.channels:subscribe('a'))\n"
                     "  app.channels:publish('a', i) assert(s:receive() == i)\n"
                     "  assert(s:receive(0) == nil)\n"
                     "  most = math.max(most, app.crypto.kept()) s:close() s:close()\n"
                     "end\n"
                     "return most, app.crypto.kept() end } return M",
              "[1,0]");
}

TEST(a_subscription_closed_by_another_task_wakes_the_one_that_waits)
{
    check_run(PLUGIN "local s = assert(app.channels:subscribe('a'))\n"
                     "app.spawn(function() s:close() s:close() end)\n"
                     "local message, why, code = s:receive()\n"
                     "return message == nil, why, code, (pcall(s.receive, s)), app.crypto.kept()\n"
                     "end } return M",
              "[true,\"the subscription was closed by another task\",\"closed\",false,0]");
}

TEST(a_subscription_closed_by_another_task_says_so_once_to_its_own)
{
    check_run(PLUGIN
              "local s = assert(app.channels:subscribe('a'))\n"
              "local closed\n"
              "app.channels:publish('a', 1)\n"
              "app.spawn(function() s:close() closed = app.channels:publish('a', 2) end)\n"
              "while not closed do app.sleep(0.001) end\n"
              "local message, _, code = s:receive(1)\n"
              "return closed, message == nil, code, (pcall(s.receive, s)), app.crypto.kept()\n"
              "end } return M",
              "[0,true,\"closed\",false,0]");
}

TEST(collecting_takes_nothing_but_its_own_class)
{
    check_run(PLUGIN "return app.crypto.takers() end } return M", "[\"\"]");
}

#define SHARED                                                                                     \
    "local M = { name = 'demo', version = '1.0.0', limits = { task = '60s' } }\n"                  \
    "local s\n"                                                                                    \
    "M.exports = { f = function(app) s = app.channels:subscribe('a')\n"                            \
    "  return select(3, s:receive(50)) end,\n"                                                     \
    "g = function(app) s = app.channels:subscribe('a') app.sleep(50) end,\n"                       \
    "c = function() s:close() end } return M"

TEST(a_task_that_is_cancelled_before_it_hears_of_the_close_is_cancelled)
{
    struct stored s = {0};
    struct run waits, sleeps, close;
    REQUIRE(stored_open(&s, SHARED));
    REQUIRE(start(&s.vm, "f", &waits) && start(&s.vm, "c", &close));
    CHECK(close.ended && !waits.ended);
    REQUIRE(start(&s.vm, "g", &sleeps) && start(&s.vm, "c", &close));
    vm_cancel_tasks(s.vm.vm);
    CHECK(sleeps.ended);
    CHECK_STR(waits.json, "[\"cancelled\"]");
    stored_close(&s);
}

TEST(a_subscription_that_only_its_receive_knows_is_not_collected)
{
    struct stored s = {0};
    struct run run;
    REQUIRE(stored_open(&s, PLUGIN "return assert(app.channels:subscribe('a')).raw:receive() end,\n"
                                   "n = function(app) app.crypto.collect()\n"
                                   "  return app.channels:publish('a', 'm') end } return M"));
    REQUIRE(start(&s.vm, "f", &run));
    CHECK_STR(call(&s.vm, "n").json, "[1]");
    turn(&s.vm, &run, 1000);
    CHECK_STR(run.json, "[\"\\\"m\\\"\",0]");
    stored_close(&s);
}

TEST(what_was_not_closed_ends_with_the_task)
{
    struct stored s = {0};
    struct run closed, open;
    REQUIRE(stored_open(&s,
                        PLUGIN "local s = assert(app.channels:subscribe('a'))\n"
                               "app.spawn(function() s:close() end) app.sleep(50) end,\n"
                               "g = function(app) app.channels:subscribe('b') app.sleep(50) end,\n"
                               "n = function(app) return app.channels:publish('a', 1),\n"
                               "  app.channels:publish('b', 1) end,\n"
                               "nap = function(app) app.sleep(0.001) end } return M"));
    REQUIRE(start(&s.vm, "f", &closed));
    REQUIRE(start(&s.vm, "g", &open));
    CHECK_EQ(call(&s.vm, "nap").outcome, TASK_DONE);
    CHECK(!closed.ended); /* its subscription is closed, and not received from */
    CHECK_STR(call(&s.vm, "n").json, "[0,1]");
    vm_cancel_tasks(s.vm.vm);
    CHECK(closed.ended && open.ended);
    CHECK_STR(call(&s.vm, "n").json, "[0,0]");
    stored_close(&s);
}
