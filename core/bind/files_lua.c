/* files_lua.c -- app.read: whole files, only those M.allow.fs names.  Opened and read on the pool.
 * app.file and app.files: the plugin's own, as its generation was read.
 *
 * A path has to be below an entry as it is written, and what was opened has to lie there: the
 * kernel is asked where the open file is, and that same file is read, so that a link swapped in
 * between leads nowhere. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "bind/bind.h"
#include "loop/pool.h"
#include "vm/args.h"
#include "vm/bundle.h"
#include "vm/host.h"
#include "vm/task.h"
#include "vm/vm.h"

#define USAGE "app.read(path)"

enum { READ_BYTES = 32 << 20, FD_LINK_BYTES = 32 };

struct reading {
    struct pool_job job; /* first */
    struct task *task;   /* NULL once nobody waits */
    char *path;
    char *folder; /* of the entry that names it: what is opened lies in there */
    struct buf bytes;
    struct err err;
};

static bool climbs(struct str path)
{
    while (path.n) {
        if (str_eq_c(str_split(&path, '/'), ".."))
            return true;
    }
    return false;
}

/* The folder that the file must lie in, or NULL when no entry names the path. */
static char *folder_for(const struct allow_decl *fs, struct str path)
{
    for (int i = 0; i < fs->count && !memchr(path.p, 0, path.n); i++) {
        struct str entry = str_c(fs->entries[i]), folder = entry;
        while (folder.n && folder.p[folder.n - 1] != '/')
            folder.n--;
        bool inside = entry.n && folder.n == entry.n && str_starts(path, entry) &&
                      !climbs(str_n(path.p + entry.n, path.n - entry.n));
        if (inside || str_eq(path, entry))
            return folder.n ? str_dup(folder) : mem_strdup("./");
    }
    return NULL;
}

/* Where an open file or folder is, without links. */
static bool place_of(int fd, char out[PATH_MAX])
{
    char link[FD_LINK_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    out[n < 0 ? 0 : n] = '\0';
    return n > 0;
}

static bool lies_in(int file, int folder)
{
    char at[PATH_MAX], in[PATH_MAX];
    if (!place_of(file, at) || !place_of(folder, in))
        return false;
    size_t n = strcmp(in, "/") ? strlen(in) : 0;
    return strncmp(at, in, n) == 0 && at[n] == '/';
}

static bool is_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static void read_it(struct pool_job *job)
{
    struct reading *r = (struct reading *)job;
    char link[FD_LINK_BYTES];
    int folder = open(r->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int file = folder < 0 ? -1 : open(r->path, O_PATH | O_CLOEXEC);
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (file < 0 && (errno == ENOENT || errno == ENOTDIR))
        err_set(&r->err, ERR_NOT_FOUND, "%.300s: no such file", r->path);
    else if (file < 0)
        err_sys(&r->err, errno, "%.300s", r->path);
    else if (!lies_in(file, folder))
        err_set(&r->err, ERR_FORBIDDEN, "%.300s leads out of what the plugin's allow.fs names",
                r->path);
    else if (!is_file(file))
        err_set(&r->err, ERR_FORBIDDEN, "%.300s is not a file", r->path);
    else if (!file_read(link, READ_BYTES, &r->bytes, &r->err) && r->err.code == ERR_LIMIT)
        err_set(&r->err, ERR_LIMIT, "%.300s: more than %d MiB", r->path, READ_BYTES >> 20);
    else if (r->err.code != ERR_NONE)
        err_sys(&r->err, r->err.sys, "%.300s", r->path);
    if (file >= 0)
        close(file);
    if (folder >= 0)
        close(folder);
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
    task_answer(r->task, &r->err, push_bytes, r);
    buf_free(&r->bytes);
    mem_free(r->path);
    mem_free(r->folder);
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
    bind_part(L, vm_host(vm)->pool, "app.read", "a pool");
    char *folder = folder_for(&vm_decl(vm)->allow[CAPABILITY_FS], path);
    if (!folder) {
        struct err err;
        err_set(&err, ERR_FORBIDDEN, "%.300s is not in the plugin's allow.fs", path.p);
        return push_error(L, &err);
    }
    struct reading *r = mem_zero(1, sizeof *r);
    r->job.work = read_it;
    r->job.done = on_read;
    r->task = task;
    r->path = str_dup(path);
    r->folder = folder;
    pool_submit(vm_host(vm)->pool, &r->job, vm_lane(vm));
    return task_wait(task, forget, r);
}

/*** A file of the plugin's folder, as it was when this generation was read.
 * @param path string "models/trend.safetensors"
 * @return string|nil bytes, string? message, string? code */
static int l_own(lua_State *L)
{
    struct str path = args_string(L, 1, "app.file(path)", "path");
    const struct bundle *bundle = vm_bundle(vm_of(L));
    const struct bundle_file *file = bundle ? bundle_find(bundle, path) : NULL;
    if (!file) {
        struct err err;
        err_set(&err, ERR_NOT_FOUND, "%.300s: the plugin has no such file", path.p);
        return push_error(L, &err);
    }
    lua_pushlstring(L, file->bytes ? file->bytes : "", file->n);
    return 1;
}

/*** Names of the plugin's files that begin so, sorted.
 * @param prefix string|nil
 * @return string[] */
static int l_list(lua_State *L)
{
    struct str prefix = args_opt_string(L, 1, STR(""), "app.files([prefix])", "prefix");
    const struct bundle *bundle = vm_bundle(vm_of(L));
    lua_newtable(L);
    for (int i = 0, n = 0; bundle && i < bundle->count; i++) {
        if (!str_starts(str_c(bundle->files[i].name), prefix))
            continue;
        lua_pushstring(L, bundle->files[i].name);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

int bind_files(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"read", l_read}, {"own", l_own}, {"list", l_list}, {NULL, NULL}};
    lua_createtable(L, 0, 3);
    luaL_register(L, NULL, functions);
    return 1;
}
