/* app.jobs and tx.jobs as a plugin sees them, and jobs running in its VM. */
#include <unistd.h>

#include "bind/cron_push.h"
#include "bind/jobs_run.h"
#include "jobs/admin.h"
#include "storage/migrate.h"
#include "storage/sqlite.h"
#include "vm/support.h"

static const char plugin[] =
    "local M = { name = 'demo', version = '1.0.0', limits = { memory = '8M', task = '5s' } }\n"
    "local seen = {}\n"
    "M.jobs = {\n"
    "  note = function(app, job) seen[#seen + 1] = job return { got = job.args } end,\n"
    "  plain = function() end,\n"
    "  breaks = { retries = 1, backoff = '1ms', function() error('it broke') end },\n"
    "  gives_up = function(app) error(app.discard('no use')) end,\n"
    "  later = function(app, job)\n"
    "    if job.attempt < 3 then error(app.retry('1ms')) end return job.attempt end,\n"
    "  fails = { retries = 0, function(app) return nil, 'down', 'io' end },\n"
    "  sleeps = { retries = 0, timeout = '100ms', function(app) return app.sleep(60) end },\n"
    "  odd = function() return print end,\n"
    "  eats = { retries = 0, function() local t = {} while true do t[#t + 1] = ('x'):rep(1e5) .. "
    "#t "
    "end end },\n"
    "}\n"
    "local j = function(app) return app.jobs end\n"
    "M.exports = {\n"
    "  seen = function() return seen end,\n"
    "  f = %s,\n"
    "}\n"
    "return M\n";

static const char lines[] = "create table lines(text text);";

struct queued {
    struct fixture vm; /* first */
    struct pool *pool;
    struct jobs *jobs;
    struct job_target targets[16];
    char dir[64], path[96], flight[96];
};

static struct vm *vm_of_lane(void *owner, struct lane *lane)
{
    (void)lane;
    return ((struct queued *)owner)->vm.vm;
}

static void set_kinds(struct queued *q)
{
    const struct plugin_decl *decl = q->vm.decl;
    struct job_kind_options kinds[16];
    for (int i = 0; i < decl->job_count; i++) {
        const struct job_decl *d = &decl->jobs[i];
        q->targets[i] = (struct job_target){vm_of_lane, q, d->handler};
        kinds[i] = (struct job_kind_options){.kind = d->kind,
                                             .queue = d->queue,
                                             .priority = d->priority,
                                             .retries = d->retries,
                                             .backoff_ns = d->backoff_ns,
                                             .timeout_ns = d->timeout_ns,
                                             .concurrency = d->concurrency,
                                             .target = &q->targets[i]};
    }
    jobs_set_kinds(q->jobs, kinds, decl->job_count);
}

static bool queued_open(struct queued *q, const char *f)
{
    struct err err = {0};
    char *text = mem_printf(plugin, f);
    snprintf(q->dir, sizeof q->dir, "/tmp/maru-bind-XXXXXX");
    if (!mkdtemp(q->dir) || !fixture_open(&q->vm, text)) {
        printf("# %s\n", q->vm.err.message);
        return false;
    }
    mem_free(text);
    snprintf(q->path, sizeof q->path, "%s/maru.db", q->dir);
    snprintf(q->flight, sizeof q->flight, "%s/jobs.flight", q->dir);
    q->pool = pool_create("test", 2, &err);
    struct sqlite_options options = {.path = q->path, .pool = q->pool, .readers = 2};
    q->vm.host.store = sqlite_open(&options, &err);
    struct migration m = {"0001_lines.sql", {lines, sizeof lines - 1}};
    store_migrate(q->vm.host.store, "demo", &m, 1, &err);
    struct jobs_options jo = {.store = q->vm.host.store,
                              .lane = q->vm.lane,
                              .flight_path = q->flight,
                              .run = jobs_run_task,
                              .cancel = jobs_cancel_task};
    q->jobs = q->vm.host.jobs = jobs_open(&jo, &err);
    set_kinds(q);
    jobs_add_worker(q->jobs, q->vm.lane, 8, &err);
    jobs_start(q->jobs);
    return true;
}

static void turn_until(struct queued *q, bool (*is)(struct queued *q), int ms)
{
    for (int i = 0; i < ms && !is(q); i++) {
        uv_run(&q->vm.lane->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

static bool is_drained(struct queued *q)
{
    struct jobs_counts c = jobs_counts(q->jobs);
    return c.ready + c.running + c.delayed + c.pushing == 0;
}

static bool stopped;
static void on_stopped(void *arg)
{
    (void)arg;
    stopped = true;
}
static bool is_stopped(struct queued *q)
{
    (void)q;
    return stopped;
}

static void queued_close(struct queued *q)
{
    stopped = false;
    jobs_stop(q->jobs, 0, q->vm.lane, on_stopped, NULL);
    turn_until(q, is_stopped, 2000);
    jobs_close(q->jobs);
    for (int i = 0; i < 5; i++) {
        uv_run(&q->vm.lane->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    store_close(q->vm.host.store);
    uv_run(&q->vm.lane->loop, UV_RUN_NOWAIT);
    fixture_close(&q->vm);
    pool_destroy(q->pool);
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", q->dir);
    CHECK_EQ(system(command), 0);
}

static void check_run(const char *f, const char *json)
{
    struct queued q = {0};
    struct run run;
    REQUIRE(queued_open(&q, f));
    REQUIRE(start(&q.vm, "f", &run));
    turn(&q.vm, &run, 1000000);
    CHECK_EQ(run.outcome, TASK_DONE);
    if (run.outcome == TASK_FAILED)
        printf("# %s\n", run.message);
    CHECK_STR(run.json, json);
    queued_close(&q);
}

TEST(push_returns_an_id_and_the_job_runs_with_its_event)
{
    struct queued q = {0};
    REQUIRE(queued_open(&q, "function(app) local id = app.jobs:push('note', { a = { 1, 'b' } })"
                            " local ids = app.jobs:push_many('demo.plain', { {}, { x = 1 } })"
                            " return id, ids end"));
    CHECK_STR(call(&q.vm, "f").json, "[1,[2,3]]");
    turn_until(&q, is_drained, 3000);
    char *json = mem_strdup(call(&q.vm, "seen").json);
    static const char *const parts[] = {"\"id\":1", "\"kind\":\"demo.note\"", "\"attempt\":1",
                                        "\"args\":{\"a\":[1,\"b\"]}", "\"queue\":\"default\""};
    for (int i = 0; i < 5; i++)
        CHECK(strstr(json, parts[i]));
    mem_free(json);
    CHECK_EQ(jobs_counts(q.jobs).done_total, 3);
    queued_close(&q);
}

TEST(get_tells_how_it_ended)
{
    check_run(
        "function(app)\n"
        "  local function ended(id) for _ = 1, 500 do local j = app.jobs:get(id)\n"
        "    if j.state == 'done' or j.state == 'dead' then return j end app.sleep(0.002) end "
        "end\n"
        "  local out = {}\n"
        "  for i, name in ipairs { 'note', 'plain', 'breaks', 'gives_up', 'later', 'fails', "
        "'odd' } do\n"
        "    local j = ended((app.jobs:push(name, { n = i }))) or error(name)\n"
        "    local e = j.error ~= app.json.null and j.error\n"
        "    out[i] = { j.state, j.attempt, j.result and j.result ~= app.json.null and "
        "app.json.encode(j.result), e and e:match('^[^\\n]*') }\n"
        "    for k = 1, 4 do if out[i][k] == nil then out[i][k] = false end end\n"
        "  end\n"
        "  return app.jobs:get(999999), out end",
        "[false,[[\"done\",1,\"{\\\"got\\\":{\\\"n\\\":1}}\",false],[\"done\",1,false,false],"
        "[\"dead\",2,false,\"plugins/demo/plugin.lua:6: it broke\"],"
        "[\"dead\",1,false,\"no use\"],[\"done\",3,\"3\",false],[\"dead\",1,false,\"down\"],"
        "[\"dead\",1,false,\"the job's result: a function has no JSON form\"]]]");
}

TEST(time_and_memory_end_a_job)
{
    struct queued q = {0};
    REQUIRE(queued_open(&q, "function(app) return app.jobs:push('sleeps') end"));
    CHECK_STR(call(&q.vm, "f").json, "[1]");
    turn_until(&q, is_drained, 3000);
    CHECK_EQ(jobs_counts(q.jobs).dead, 1);
    queued_close(&q);
    q = (struct queued){0};
    /* Later, so that the push has its answer before the state is out of memory. */
    REQUIRE(
        queued_open(&q, "function(app) return app.jobs:push('eats', nil, { delay = '50ms' }) end"));
    CHECK_STR(call(&q.vm, "f").json, "[1]");
    turn_until(&q, is_drained, 3000);
    CHECK_EQ(jobs_counts(q.jobs).dead, 1);
    queued_close(&q);
}

TEST(options_reach_the_queue)
{
    check_run("function(app)\n"
              "  local a = app.jobs:push('plain', nil, { delay = '1h', unique = 'k', retries = 0,\n"
              "    priority = 'high', queue = 'mail', timeout = '5s' })\n"
              "  local b, m, c = app.jobs:push('plain', nil, { unique = 'k' })\n"
              "  local j = app.jobs:get(a)\n"
              "  return j.state, j.queue, j.priority, j.max_attempts, b == nil, c end",
              "[\"delayed\",\"mail\",\"high\",1,true,\"duplicate\"]");
}

TEST(wrong_arguments_raise_with_the_usage)
{
    check_run(
        "function(app)\n"
        "  local out, has = {}, function(s, part) return s:find(part, 1, true) ~= nil end\n"
        "  local try = function(...) local _, e = pcall(app.jobs.push, app.jobs, ...) return e "
        "end\n"
        "  return has(try('nots'), \"there is no job 'nots' in M.jobs; did you mean "
        "'note'?\"),\n"
        "    has(try(7), 'name must be a string'), has(try('note', 'x'), 'args must be a table'),\n"
        "    has(try('note', { f = print }), 'args: f: a function has no JSON form'),\n"
        "    has(try('note', {}, { prio = 1 }), 'prio'),\n"
        "    has(try('note', {}, { priority = 'urgent' }), 'options.priority must be'),\n"
        "    has(try('note', {}, { retries = 1.5 }), 'options.retries must be') end",
        "[true,true,true,true,true,true,true]");
}

TEST(a_push_in_a_transaction_is_committed_or_lost_with_it)
{
    struct queued q = {0};
    REQUIRE(queued_open(
        &q, "function(app)\n"
            "  local id = app.store:tx(function(tx) tx:exec(\"insert into lines values ('a')\")\n"
            "    return tx.jobs:push('note', { tx = 1 }) end)\n"
            "  pcall(app.store.tx, app.store, function(tx) tx.jobs:push('note', { tx = 2 },\n"
            "    { unique = 'u' }) error('no') end)\n"
            "  local again = app.store:tx(function(tx) return tx.jobs:push('note', { tx = 3 },\n"
            "    { unique = 'u' }) end)\n"
            "  local _, e = pcall(app.store.tx, app.store, function() app.jobs:push('note') end)\n"
            "  return id, again ~= nil, e:match('only tx may wait') end"));
    CHECK_STR(call(&q.vm, "f").json, "[1,true,\"only tx may wait\"]");
    turn_until(&q, is_drained, 3000);
    char *json = mem_strdup(call(&q.vm, "seen").json);
    CHECK(strstr(json, "\"tx\":1") && strstr(json, "\"tx\":3") && !strstr(json, "\"tx\":2"));
    mem_free(json);
    CHECK_EQ(jobs_counts(q.jobs).done_total, 2);
    queued_close(&q);
}

static struct err fired_err;
static int fired;
static void on_fired(struct cron_push *push)
{
    fired_err = push->err;
    fired++;
}

TEST(a_fire_becomes_a_job_once)
{
    struct queued q = {0};
    REQUIRE(queued_open(&q, "function() end"));
    struct cron_push push = {.schedule = STR("demo/s"),
                             .kind = STR("demo.note"),
                             .args = STR("{}"),
                             .lane = q.vm.lane,
                             .at = 1700000000,
                             .done = on_fired};
    fired = 0;
    cron_push_job(&push, q.jobs);
    for (int i = 0; i < 1000 && !fired; i++)
        uv_run(&q.vm.lane->loop, UV_RUN_ONCE);
    CHECK_EQ(fired_err.code, ERR_NONE);
    turn_until(&q, is_drained, 3000);
    CHECK(strstr(call(&q.vm, "seen").json, "\"scheduled_at\":1700000000"));
    cron_push_job(&push, q.jobs);
    for (int i = 0; i < 1000 && fired < 2; i++)
        uv_run(&q.vm.lane->loop, UV_RUN_ONCE);
    CHECK_EQ(fired_err.code, ERR_EXISTS);
    CHECK(!push.skipped);
    queued_close(&q);
}
