/* support.h -- a plugin from text in a VM on a lane that the test turns by hand. */
#pragma once

#include <lauxlib.h>
#include <lua.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "loop/lane.h"
#include "observe/log.h"
#include "test.h"
#include "vm/host.h"
#include "vm/json.h"
#include "vm/task.h"
#include "vm/vm.h"

static struct vm_counters *fixture_counters; /* of VMs made from now on; NULL: their own */

struct fixture {
    struct lane *lane;
    struct host host;
    struct bundle bundle;
    struct bundle_file files[8];
    struct vm *vm;
    struct plugin_decl *decl;
    struct err err;
    int64_t load_ns; /* 0 = the default */
    int idle;        /* times that the VM said it is idle */
    uv_timer_t tick; /* ends a turn in which nothing more comes: libuv fires timers, then polls */
};

/* For a fixture's host.bind: all bindings, and functions of the test's in app.crypto. */
static inline int bind_all_and(lua_State *L, const luaL_Reg *functions)
{
    bind_all(L);
    lua_getfield(L, -1, "crypto");
    luaL_register(L, NULL, functions);
    lua_pop(L, 1);
    return 1;
}

/* What a task came to. */
struct run {
    bool ended;
    enum task_outcome outcome;
    int results;
    char json[4096]; /* the results as a JSON array */
    int status;
    char code[64], message[512], traceback[2048], extra[256];
    double delay;
};

static inline void on_idle(struct vm *vm, void *owner)
{
    (void)vm;
    ((struct fixture *)owner)->idle++;
}

static inline void add_file(struct fixture *f, const char *name, const char *text)
{
    int at = f->bundle.count++;
    for (; at > 0 && strcmp(f->files[at - 1].name, name) > 0; at--)
        f->files[at] = f->files[at - 1];
    f->files[at] =
        (struct bundle_file){(char *)(uintptr_t)name, (char *)(uintptr_t)text, strlen(text)};
}

static inline void on_tick(uv_timer_t *tick)
{
    (void)tick;
}

static inline void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    log_setup(-1, LOG_DEBUG);
    f->lane = lane_create(0, LANE_WEB, "test", &f->err);
    uv_timer_init(&f->lane->loop, &f->tick); /* lane_destroy closes it */
    uv_timer_start(&f->tick, on_tick, 10, 10);
    f->host.bind = bind_all;
    strcpy(f->bundle.name, "demo");
    static char dir[] = "plugins/demo";
    f->bundle.dir = dir;
    f->bundle.files = f->files;
}

static inline bool fixture_load(struct fixture *f, const char *config)
{
    struct vm_options options = {
        .lane = f->lane,
        .host = &f->host,
        .bundle = &f->bundle,
        .label = "demo@0123456789ab",
        .config_json = str_c(config),
        .load_ns = f->load_ns,
        .counters = fixture_counters,
        .owner = f,
        .idle = on_idle,
    };
    f->vm = vm_create(&options, &f->decl, &f->err);
    return f->vm != NULL;
}

/* A VM of a plugin.lua, or f->vm NULL and f->err. */
static inline bool fixture_open(struct fixture *f, const char *plugin)
{
    fixture_init(f);
    add_file(f, "plugin.lua", plugin);
    return fixture_load(f, "");
}

/* plugin.lua whose exports are given: `f = function(app) … end`, with a time for its tasks. */
static inline bool fixture_timed(struct fixture *f, const char *exports, const char *task)
{
    char *text = mem_printf("local M = { name = \"demo\", version = \"1.0.0\" }\n"
                            "M.limits = { memory = \"8M\", task = \"%s\" }\n"
                            "M.exports = { %s }\nreturn M\n",
                            task, exports);
    bool ok = fixture_open(f, text);
    if (!ok)
        printf("# %s\n", f->err.message);
    mem_free(text);
    return ok;
}

static inline bool fixture_exports(struct fixture *f, const char *exports)
{
    return fixture_timed(f, exports, "200ms");
}

static inline void fixture_close(struct fixture *f)
{
    if (f->vm)
        vm_destroy(f->vm);
    plugin_decl_free(f->decl);
    lane_destroy(f->lane);
}

static inline void on_end(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                          void *arg)
{
    struct run *run = arg;
    run->ended = true;
    run->outcome = outcome;
    run->results = results;
    struct buf json = {0};
    struct err err;
    for (int i = 0; i < results; i++) {
        buf_add_char(&json, i ? ',' : '[');
        if (!lua_json_encode_lenient(L, lua_gettop(L) - results + 1 + i, &json, &err))
            buf_add_c(&json, err.message);
    }
    buf_add_c(&json, results ? "]" : "[]");
    snprintf(run->json, sizeof run->json, "%s", json.p);
    buf_free(&json);
    if (outcome != TASK_FAILED && outcome != TASK_MEMORY && outcome != TASK_KILLED)
        return;
    const struct task_failure *failure = task_failure(task);
    run->status = failure->status;
    run->delay = failure->delay;
    snprintf(run->code, sizeof run->code, "%s", failure->code);
    snprintf(run->message, sizeof run->message, "%s", failure->message);
    snprintf(run->traceback, sizeof run->traceback, "%s", failure->traceback);
    snprintf(run->extra, sizeof run->extra, "%.*s", (int)failure->extra_json.n,
             failure->extra_json.p ? failure->extra_json.p : "");
}

static inline int find_export(struct fixture *f, const char *name)
{
    for (int i = 0; i < f->decl->export_count; i++)
        if (strcmp(f->decl->exports[i], name) == 0)
            return f->decl->export_handlers[i];
    return 0;
}

/* Begins export `name`; *run is filled at its end. */
static inline bool start(struct fixture *f, const char *name, struct run *run)
{
    memset(run, 0, sizeof *run);
    struct task_options options = {
        .kind = TASK_CALL,
        .handler = find_export(f, name),
        .label = name,
        .end = on_end,
        .arg = run,
    };
    uv_update_time(
        &f->lane->loop); /* deadlines count from a turn's begin: not from the loading's */
    return task_start(f->vm, &options, &f->err);
}

/* Turns the loop until the run has ended or `turns` are over. */
static inline void turn(struct fixture *f, struct run *run, int turns)
{
    for (int i = 0; i < turns && !run->ended; i++)
        uv_run(&f->lane->loop, UV_RUN_ONCE);
}

static inline struct run call(struct fixture *f, const char *name)
{
    struct run run;
    if (start(f, name, &run))
        turn(f, &run, 1000);
    return run;
}

/* Loads exports `f = …` and calls f once. */
static inline struct run call_once(const char *exports)
{
    struct fixture f;
    struct run run = {0};
    if (fixture_exports(&f, exports))
        run = call(&f, "f");
    fixture_close(&f);
    return run;
}
