/* test_lua.c -- raw.test: what a spec does to the host around its plugin.  Lua's half is
 * maru/test/. */
#include "bind/test.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "jobs/admin.h"
#include "loop/lane.h"
#include "observe/log.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/library.h"
#include "vm/task.h"
#include "vm/vm.h"

static struct test_host *host_of(lua_State *L)
{
    return vm_host(vm_of(L))->test;
}

/* -- calls to the control lane --------------------------------------------------------------- */

static int push_out(lua_State *L, void *arg)
{
    const struct test_call *call = arg;
    if (call->err.code)
        return push_error(L, &call->err);
    lua_pushlstring(L, call->out.n ? call->out.p : "", call->out.n);
    return 1;
}

static void call_free(struct test_call *call)
{
    buf_free(&call->out);
    mem_free((char *)(uintptr_t)call->name);
    mem_free((char *)(uintptr_t)call->text.p);
    mem_free(call);
}

static void done_on_lane(void *arg)
{
    struct test_call *call = arg;
    if (call->task)
        task_wake_with(call->task, push_out, call);
    call_free(call);
}

void test_call_done(struct test_call *call)
{
    lane_call(call->lane, done_on_lane, call);
}

static void forget(void *arg)
{
    ((struct test_call *)arg)->task = NULL;
}

/* control(name, [text]) -> text | nil, message, code (waits) */
static int l_control(lua_State *L)
{
    static const char usage[] = "test.control(name, [text])";
    struct str name = args_string(L, 1, usage, "name");
    struct str text = args_opt_string(L, 2, STR(""), usage, "text");
    struct task *task = task_check(L, "test.control");
    struct test_host *host = host_of(L);
    struct test_call *call = mem_zero(1, sizeof *call);
    call->name = str_dup(name);
    call->text = str_n(str_dup(text), text.n);
    call->task = task;
    call->lane = task_lane(task);
    host->control(host->arg, call);
    return task_wait(task, forget, call);
}

/* -- what was noted -------------------------------------------------------------------------- */

void test_notes_init(struct test_notes *notes)
{
    *notes = (struct test_notes){0};
    pthread_mutex_init(&notes->lock, NULL);
}

void test_notes_free(struct test_notes *notes)
{
    pthread_mutex_destroy(&notes->lock);
    mem_free(notes->jobs);
    buf_free(&notes->messages);
}

void test_note_job(struct test_notes *notes, int64_t id)
{
    pthread_mutex_lock(&notes->lock);
    notes->jobs = mem_realloc(notes->jobs, (size_t)(notes->job_count + 1) * sizeof *notes->jobs);
    notes->jobs[notes->job_count++] = id;
    pthread_mutex_unlock(&notes->lock);
}

void test_note_message(struct test_notes *notes, struct str topic, struct str json)
{
    pthread_mutex_lock(&notes->lock);
    if (notes->messages.n)
        buf_add_char(&notes->messages, ',');
    buf_add_char(&notes->messages, '[');
    json_write_string(&notes->messages, topic);
    buf_add_char(&notes->messages, ',');
    buf_add_str(&notes->messages, json);
    buf_add_char(&notes->messages, ']');
    pthread_mutex_unlock(&notes->lock);
}

/* jobs_ran() -> ids since the last call, in the order they began */
static int l_jobs_ran(lua_State *L)
{
    struct test_notes *notes = &host_of(L)->notes;
    pthread_mutex_lock(&notes->lock);
    int count = notes->job_count;
    int64_t *ids = notes->jobs;
    notes->jobs = NULL;
    notes->job_count = 0;
    pthread_mutex_unlock(&notes->lock);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushnumber(L, (double)ids[i]);
        lua_rawseti(L, -2, i + 1);
    }
    mem_free(ids);
    return 1;
}

/* published() -> JSON: [[topic, message], …] */
static int l_published(lua_State *L)
{
    struct test_notes *notes = &host_of(L)->notes;
    struct buf *out = vm_scratch(vm_of(L));
    buf_add_char(out, '[');
    pthread_mutex_lock(&notes->lock);
    buf_add_str(out, buf_str(&notes->messages));
    pthread_mutex_unlock(&notes->lock);
    buf_add_char(out, ']');
    lua_pushlstring(L, out->p, out->n);
    return 1;
}

/* forget_published() */
static int l_forget_published(lua_State *L)
{
    struct test_notes *notes = &host_of(L)->notes;
    pthread_mutex_lock(&notes->lock);
    buf_clear(&notes->messages);
    pthread_mutex_unlock(&notes->lock);
    return 0;
}

/* log(after, level, plugin) -> JSON of the lines, newest number */
static int l_log(lua_State *L)
{
    static const char usage[] = "test.log(after, level, plugin)";
    double after = args_number(L, 1, 0, 1e15, usage, "after");
    enum log_level level;
    if (!log_level_parse(args_string(L, 2, usage, "level"), &level))
        args_fail(L, usage, "level", "debug, info, warn or error", 2);
    struct str plugin = args_string(L, 3, usage, "plugin");
    struct buf *out = vm_scratch(vm_of(L));
    uint64_t newest = log_recent(out, (uint64_t)after, level, plugin, LOG_RING_LINES);
    lua_pushlstring(L, out->p, out->n);
    lua_pushnumber(L, (double)newest);
    return 2;
}

/* -- jobs ------------------------------------------------------------------------------------ */

static struct jobs *jobs_of(lua_State *L)
{
    return vm_host(vm_of(L))->jobs;
}

/* jobs_hold(held) */
static int l_jobs_hold(lua_State *L)
{
    jobs_hold(jobs_of(L), lua_toboolean(L, 1));
    return 0;
}

/* jobs_claim(id) -> whether it could begin */
static int l_jobs_claim(lua_State *L)
{
    double id = args_number(L, 1, 1, 9e15, "test.jobs_claim(id)", "id");
    lua_pushboolean(L, jobs_claim(jobs_of(L), (int64_t)id));
    return 1;
}

/* jobs_busy() -> how many are ready or running */
static int l_jobs_busy(lua_State *L)
{
    struct jobs_counts c = jobs_counts(jobs_of(L));
    lua_pushnumber(L, (double)(c.ready + c.running + c.pushing));
    return 1;
}

/* -- the run --------------------------------------------------------------------------------- */

/* run() -> JSON: what is to be run */
static int l_run(lua_State *L)
{
    struct str json = host_of(L)->run_json;
    lua_pushlstring(L, json.p, json.n);
    return 1;
}

/* report(line) */
static int l_report(lua_State *L)
{
    struct str line = args_string(L, 1, "test.report(line)", "line");
    int fd = host_of(L)->report_fd;
    while (line.n) {
        ssize_t n = write(fd, line.p, line.n);
        if (n < 0 && errno != EINTR)
            return luaL_error(L, "nobody takes the report any more");
        if (n > 0)
            line = str_n(line.p + n, line.n - (size_t)n);
    }
    return 0;
}

/* exit(code): os.exit in a spec.  Other threads are running: nothing is torn down. */
static int l_exit(lua_State *L)
{
    fflush(NULL);
    _exit((int)args_integer(L, 1, 0, 255, "os.exit(code)", "code"));
}

/* declare(declaration): this VM is the plugin's from now on, as far as bindings ask */
static int l_declare(lua_State *L)
{
    args_table(L, 1, "test.declare(declaration)", "declaration");
    lua_settop(L, 1);
    vm_declare(vm_of(L), L);
    return 0;
}

static const luaL_Reg functions[] = {
    {"control", l_control},
    {"jobs_ran", l_jobs_ran},
    {"published", l_published},
    {"forget_published", l_forget_published},
    {"log", l_log},
    {"jobs_hold", l_jobs_hold},
    {"jobs_claim", l_jobs_claim},
    {"jobs_busy", l_jobs_busy},
    {"run", l_run},
    {"report", l_report},
    {"declare", l_declare},
    {"exit", l_exit},
    {NULL, NULL},
};

/* A plugin's os.time() and os.date() tell the same time as app.now(): the host library's copy of
 * `os` is what the sandbox hands on.  And its handlers can be made to stand. */
int bind_tested(lua_State *L)
{
    bind_all(L);
    library_push(L, "maru.test.tested");
    lua_pushvalue(L, -2);
    if (host_of(L)->pause)
        lua_pushcfunction(L, test_pause_here);
    else
        lua_pushnil(L);
    lua_call(L, 2, 0);
    return 1;
}

int bind_test(lua_State *L)
{
    luaL_openlibs(L); /* a spec is no plugin: it has all of Lua */
    bind_all(L);
    library_push(L, "maru.test.tested");
    lua_pushvalue(L, -2);
    lua_call(L, 1, 0);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    test_add_streams(L);
    test_add_time(L);
    test_add_tape(L);
    test_add_pause(L);
    lua_setfield(L, -2, "test");
    return 1;
}
