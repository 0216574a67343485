/* files_lua.c -- app.read: whole files, only those M.allow.fs names.  Reads on the pool. */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sys.h"
#include "bind/bind.h"
#include "loop/pool.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define USAGE "app.read(path)"

enum { READ_BYTES = 32 << 20 };

struct reading {
    struct pool_job job; /* first */
    struct task *task;   /* NULL once nobody waits */
    char *path, *real;   /* real: without links, what was allowed */
    struct buf bytes;
    struct err err;
};

/* A link inside an allowed folder must not lead out of it. */
static bool allowed(const struct plugin_decl *decl, const char *real)
{
    for (int i = 0; i < decl->allow_fs_count; i++) {
        char *entry = realpath(decl->allow_fs[i], NULL);
        if (!entry)
            continue;
        size_t n = strlen(entry), given = strlen(decl->allow_fs[i]);
        bool folder = decl->allow_fs[i][given - 1] == '/';
        bool inside =
            folder ? strncmp(real, entry, n) == 0 && real[n] == '/' : strcmp(real, entry) == 0;
        free(entry);
        if (inside)
            return true;
    }
    return false;
}

static void read_it(struct pool_job *job)
{
    struct reading *r = (struct reading *)job;
    file_read(r->real, READ_BYTES, &r->bytes, &r->err);
}

static int push_bytes(lua_State *L, void *arg)
{
    struct reading *r = arg;
    lua_pushlstring(L, r->bytes.p ? r->bytes.p : "", r->bytes.n);
    return 1;
}

static void on_read(struct pool_job *job)
{
    struct reading *r = (struct reading *)job;
    if (r->task && job->cancelled)
        err_set(&r->err, ERR_CLOSED, "maru is stopping");
    if (r->task && r->err.code != ERR_NONE)
        task_resume_error(r->task, &r->err);
    else if (r->task)
        task_wake_with(r->task, push_bytes, r);
    buf_free(&r->bytes);
    mem_free(r->path);
    free(r->real);
    mem_free(r);
}

static void forget(void *arg)
{
    ((struct reading *)arg)->task = NULL;
}

/*** A whole file of at most 32 MiB.  (waits)
 * @param path string
 * @return string|nil bytes, string? message, string? code */
static int l_read(lua_State *L)
{
    struct str path = args_string(L, 1, USAGE, "path");
    struct task *task = task_check(L, "app.read");
    struct vm *vm = task_vm(task);
    struct err err = {0};
    bind_part(L, vm_host(vm)->pool, "app.read", "a pool");
    char *name = str_dup(path);
    char *real = strlen(name) == path.n ? realpath(name, NULL) : NULL;
    if (!real && errno == ENOENT)
        err_set(&err, ERR_NOT_FOUND, "%.300s: no such file", name);
    else if (!real || !allowed(vm_decl(vm), real))
        err_set(&err, ERR_FORBIDDEN, "%.300s is not in the plugin's allow.fs", name);
    if (err.code != ERR_NONE) {
        mem_free(name);
        free(real);
        return push_error(L, &err);
    }
    struct reading *r = mem_zero(1, sizeof *r);
    r->job.work = read_it;
    r->job.done = on_read;
    r->task = task;
    r->path = name;
    r->real = real;
    pool_submit(vm_host(vm)->pool, &r->job, vm_lane(vm));
    return task_wait(task, forget, r);
}

int bind_files(lua_State *L)
{
    static const luaL_Reg functions[] = {{"read", l_read}, {NULL, NULL}};
    lua_createtable(L, 0, 1);
    luaL_register(L, NULL, functions);
    return 1;
}
