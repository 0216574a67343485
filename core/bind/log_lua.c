/* log_lua.c -- app.log and print.  Wraps observe/log.h; lua/maru/log.lua adds the methods. */
#include <lauxlib.h>

#include "bind/bind.h"
#include "observe/log.h"
#include "vm/args.h"
#include "vm/json.h"
#include "vm/task.h"
#include "vm/vm.h"

static const char usage[] = "app.log:info(message, [fields])";

/* `"job":7` of a job's handler, unless the caller has a field of that name; with `"jobs":64` it is
 * the first of so many. */
static void add_job(lua_State *L, const struct task *task, struct buf *fields)
{
    if (lua_istable(L, 3)) {
        opt_push(L, 3, "job");
        bool taken = !lua_isnil(L, -1);
        lua_pop(L, 1);
        if (taken)
            return;
    }
    buf_printf(fields, "%s\"job\":%lld", fields->n ? "," : "", (long long)task_job(task));
    if (task_jobs(task) > 1)
        buf_printf(fields, ",\"jobs\":%d", task_jobs(task));
}

/* `"task":"GET /api/live","trace":"…"` of the running task. */
static void add_task(lua_State *L, struct buf *fields)
{
    const struct task *task = task_current(L);
    if (!task)
        return;
    const char *pairs[][2] = {{"\"task\":", task_label(task)}, {"\"trace\":", task_trace_id(task)}};
    for (int i = 0; i < 2; i++) {
        if (!pairs[i][1] || !pairs[i][1][0])
            continue;
        if (fields->n)
            buf_add_char(fields, ',');
        buf_add_c(fields, pairs[i][0]);
        json_write_string(fields, str_c(pairs[i][1]));
    }
    if (task_job(task))
        add_job(L, task, fields);
}

/* write(level, message, [fields]) */
static int l_write(lua_State *L)
{
    enum log_level level;
    if (!log_level_parse(args_string(L, 1, usage, "level"), &level))
        args_fail(L, usage, "level", "debug, info, warn or error", 1);
    struct str message = args_string(L, 2, usage, "message");
    bool has_fields = args_opt_table(L, 3, usage, "fields");
    if (!log_enabled(level))
        return 0;
    struct vm *vm = vm_of(L);
    struct buf *fields = vm_scratch(vm);
    struct err err;
    if (has_fields && lua_json_encode_lenient(L, 3, fields, &err)) {
        if (fields->p[0] == '{') { /* only the inside is wanted */
            memmove(fields->p, fields->p + 1, fields->n - 2);
            fields->n -= 2;
        } else {
            struct buf items = {0};
            buf_printf(&items, "\"items\":%s", fields->p);
            buf_clear(fields);
            buf_add_str(fields, buf_str(&items));
            buf_free(&items);
        }
    }
    add_task(L, fields);
    log_write(level, "plugin", vm_label(vm), message, buf_str(fields));
    return 0;
}

static const luaL_Reg functions[] = {
    {"write", l_write},
    {NULL, NULL},
};

int bind_log(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
