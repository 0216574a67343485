/* app.store and app.cache as a plugin sees them. */
#include <semaphore.h>
#include <unistd.h>

#include "storage/cache_driver.h"
#include "storage/migrate.h"
#include "storage/sqlite.h"
#include "vm/support.h"

static const char lines[] = "create table lines(id integer primary key, text text not null unique,"
                            " seen boolean, weight real);";

struct stored {
    struct fixture vm; /* first */
    struct pool *pool;
    char dir[64], path[96];
};

/* hold() in a statement: the writer says that it is in it, waits there, and then loses the
 * transaction as to a statement over its time. */
static sem_t held, let_on;

static void sql_hold(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    (void)argv;
    sem_post(&held);
    sem_wait(&let_on);
    sqlite3_result_error_code(context, SQLITE_INTERRUPT);
}

static bool with_hold(sqlite3 *db, struct err *err)
{
    (void)err;
    return sqlite3_create_function(db, "hold", 0, SQLITE_UTF8, NULL, sql_hold, NULL, NULL) ==
           SQLITE_OK;
}

static bool stored_open(struct stored *s, const char *exports)
{
    snprintf(s->dir, sizeof s->dir, "/tmp/maru-bind-XXXXXX");
    if (!mkdtemp(s->dir))
        return false;
    snprintf(s->path, sizeof s->path, "%s/maru.db", s->dir);
    struct err err;
    s->pool = pool_create("test", 2, &err);
    struct sqlite_options options = {
        .path = s->path, .pool = s->pool, .readers = 2, .opened = with_hold};
    struct store *store = sqlite_open(&options, &err);
    struct migration m = {"0001_lines.sql", {lines, sizeof lines - 1}};
    bool ok = store && store_migrate(store, "demo", &m, 1, &err);
    if (!ok || !fixture_timed(&s->vm, exports, "30s"))
        return false;
    s->vm.host.store = store;
    s->vm.host.cache =
        cache_driver_create(&(struct cache_options){.driver = "memory", .memory = 1 << 20}, &err);
    return true;
}

static void stored_close(struct stored *s)
{
    struct store *store = s->vm.host.store;
    for (int i = 0; i < 5; i++) {
        uv_run(&s->vm.lane->loop, UV_RUN_NOWAIT);
        usleep(2000);
    }
    store_close(store);
    uv_run(&s->vm.lane->loop, UV_RUN_NOWAIT);
    cache_driver_destroy(s->vm.host.cache);
    fixture_close(&s->vm);
    pool_destroy(s->pool);
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", s->dir);
    CHECK_EQ(system(command), 0);
}

/* Runs f, then g if there is one; what f returned. */
static struct run with_store(const char *exports)
{
    struct stored s = {0};
    struct run run = {0};
    if (stored_open(&s, exports))
        run = call(&s.vm, "f");
    CHECK(run.ended);
    if (run.outcome == TASK_FAILED)
        printf("# %s\n", run.message);
    stored_close(&s);
    return run;
}

static void check_run(const char *exports, const char *json)
{
    struct run run = with_store(exports);
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK_STR(run.json, json);
}

TEST(rows_are_tables_and_null_is_absent)
{
    check_run("f = function(app)\n"
              "  local s = app.store\n"
              "  local row = s:one('insert into lines(text, seen, weight) values ($1, $2, $3)'\n"
              "    .. ' returning *', '안녕', true, nil)\n"
              "  assert(row.seen == true and row.weight == nil)\n"
              "  return row.id, row.text, s:all('select text from lines'),\n"
              "    s:one('select 1 from lines where id = $1', 99),\n"
              "    s:exec('update lines set weight = $1', 0.5),\n"
              "    s:one('select weight from lines').weight end",
              "[1,\"안녕\",[{\"text\":\"안녕\"}],false,1,0.5]");
}

TEST(expected_failures_are_triples)
{
    check_run("f = function(app)\n"
              "  app.store:exec(\"insert into lines(text) values ('a')\")\n"
              "  local a, m, c = app.store:exec(\"insert into lines(text) values ('a')\")\n"
              "  local _, m2, c2 = app.store:one('select * from maru_tables')\n"
              "  return a == nil, m, c, m2, c2 end",
              "[true,\"UNIQUE constraint failed: lines.text\",\"unique\","
              "\"table \\\"maru_tables\\\" belongs to the host\",\"sql\"]");
}

TEST(many_takes_rows_of_values)
{
    check_run(
        "f = function(app)\n"
        "  local rows = {}\n"
        "  for i = 1, 1000 do rows[i] = { 'l' .. i, i } end\n"
        "  rows[7] = { 'seven' }\n"
        "  local n = app.store:many('insert into lines(text, weight) values ($1, $2)', rows)\n"
        "  return n, app.store:one('select count(weight) as c from lines').c end",
        "[1000,999]");
}

TEST(wrong_arguments_raise_with_the_usage)
{
    check_run("f = function(app)\n"
              "  local _, a = pcall(app.store.all, app.store, 7)\n"
              "  local _, b = pcall(app.store.all, app.store, 'select $1', {})\n"
              "  local _, c = pcall(app.store.many, app.store, 'select $1', { 3 })\n"
              "  local _, d = pcall(app.store.tx, app.store, 'x')\n"
              "  local has = function(s, part) return s:find(part, 1, true) ~= nil end\n"
              "  return has(a, 'app.store:all(sql, …): sql must be a string, got 7'),\n"
              "    has(b, '$1 must be nil, a boolean, a number or a string, got table'),\n"
              "    has(c, 'rows must be an array of arrays'), has(d, 'fn must be a function') end",
              "[true,true,true,true]");
}

TEST(tx_commits_what_returns_and_drops_what_fails)
{
    check_run(
        "f = function(app)\n"
        "  local s = app.store\n"
        "  local add = \"insert into lines(text) values ($1)\"\n"
        "  local a, b = s:tx(function(tx) tx:exec(add, 'a') return 1, tx:all('select text "
        "from lines') end)\n"
        "  local ok, e = pcall(s.tx, s, function(tx) tx:exec(add, 'b') error('no') end)\n"
        "  local c, m, w = s:tx(function(tx) tx:exec(add, 'c') return nil, 'why', 'code' end)\n"
        "  s:tx(function(tx) tx:exec(add, 'd') tx:exec(add, 'd') end)\n"
        "  return a, b, ok, e:match('no$'), c == nil, m, w, s:all('select text from lines "
        "order by id') end",
        "[1,[{\"text\":\"a\"}],false,\"no\",true,\"why\",\"code\","
        "[{\"text\":\"a\"},{\"text\":\"d\"}]]");
}

TEST(inside_tx_only_tx_waits)
{
    check_run("f = function(app)\n"
              "  local kept\n"
              "  local ok, e = pcall(app.store.tx, app.store, function(tx)\n"
              "    kept = tx\n"
              "    app.store:all('select 1')\n"
              "  end)\n"
              "  local ok2, e2 = pcall(kept.all, kept, 'select 1')\n"
              "  local has = function(s, part) return s:find(part, 1, true) ~= nil end\n"
              "  return ok, has(e, 'only tx may wait inside store:tx'), ok2,\n"
              "    has(e2, 'the transaction is over'), app.store:one('select 1 as n').n end",
              "[false,true,false,true,1]");
}

TEST(a_cancelled_task_leaves_its_query_and_rolls_back_its_transaction)
{
    struct stored s = {0};
    REQUIRE(stored_open(&s, "f = function(app) app.store:tx(function(tx)\n"
                            "  tx:exec(\"insert into lines(text) values ('a')\")\n"
                            "  for i = 1, 1e6 do local ok, _, code = tx:all('select 1')\n"
                            "    if not ok then return nil, 'stopped', code end end end) end,\n"
                            "q = function(app) return app.store:all('select 1 as n') end,\n"
                            "g = function(app) return app.store:one("
                            "'select count(*) as n from lines').n end"));
    for (int turns = 0; turns < 12; turns++) {
        struct run run, query;
        REQUIRE(start(&s.vm, "f", &run));
        turn(&s.vm, &run, turns);
        vm_cancel_tasks(s.vm.vm);
        CHECK(run.ended);
        REQUIRE(start(&s.vm, "q", &query));
        vm_cancel_tasks(s.vm.vm);
        CHECK(query.ended);
    }
    struct run run = call(&s.vm, "g");
    CHECK_STR(run.json, "[0]");
    stored_close(&s);
}

TEST(what_a_cancelled_task_tries_behind_a_step_that_is_run_is_given_back)
{
    struct stored s = {0};
    struct run run;
    sem_init(&held, 0, 0);
    sem_init(&let_on, 0, 0);
    REQUIRE(stored_open(&s, "f = function(app) app.store:tx(function(tx)\n"
                            "  tx:exec(\"insert into lines(text) values ('a')\")\n"
                            "  tx:exec('insert into lines(text) select hold()')\n"
                            "  tx:exec(\"insert into lines(text) values ('b')\") end) end,\n"
                            "g = function(app) return app.store:one("
                            "'select count(*) as n from lines').n end"));
    REQUIRE(start(&s.vm, "f", &run));
    while (sem_trywait(&held) && !run.ended)
        turn(&s.vm, &run, 1);
    vm_cancel_tasks(s.vm.vm);
    CHECK(run.ended);
    sem_post(&let_on);
    CHECK_STR(call(&s.vm, "g").json, "[0]");
    stored_close(&s);
}

TEST(a_task_that_dies_in_tx_rolls_back)
{
    struct stored s = {0};
    REQUIRE(stored_open(&s, "f = function(app) local t = {}\n"
                            "  app.store:tx(function(tx)\n"
                            "  tx:exec(\"insert into lines(text) values ('a')\")\n"
                            "  for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end end) end,\n"
                            "g = function(app) return 1 end"));
    struct run run = call(&s.vm, "f");
    CHECK(run.outcome == TASK_MEMORY || run.outcome == TASK_FAILED);
    stored_close(&s);
}

TEST(the_cache_holds_what_json_can)
{
    check_run(
        "f = function(app)\n"
        "  local c = app.cache\n"
        "  c:set('t', { a = { 1, 2, 'x' } }) c:set('n', 1.5) c:set('s', 'a\\0b')\n"
        "  c:set('f', false)\n"
        "  local t = c:get('t')\n"
        "  return t, c:get('n'), #c:get('s'), c:get('f'), c:get('none') == nil,\n"
        "    c:add('n', 2), c:incr('n'), c:incr('m', 5, '1m'), c:delete('m'), c:delete('m'),\n"
        "    #c:keys(), c:keys('t')[1], select(3, c:incr('s')) end",
        "[{\"a\":[1,2,\"x\"]},1.5,3,false,true,false,2.5,5,true,false,4,\"t\","
        "\"invalid\"]");
}

TEST(a_lock_belongs_to_who_has_its_token)
{
    check_run("f = function(app)\n"
              "  local token = app.cache:lock('l', '1m')\n"
              "  return #token, app.cache:lock('l') == nil, app.cache:unlock('l', 'x'),\n"
              "    app.cache:unlock('l', token), app.cache:lock('l') ~= nil end",
              "[32,true,false,true,true]");
}
