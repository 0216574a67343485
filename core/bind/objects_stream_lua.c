/* objects_stream_lua.c -- objects written and read piece by piece.
 *
 * A stream belongs to the task that made it and ends with it: a writer that was not closed leaves
 * nothing.  What the store still holds of it then outlives the task. */
#include <lauxlib.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "bind/objects_lua.h"
#include "objects/checksum.h"
#include "vm/args.h"
#include "vm/task.h"
#include "vm/vm.h"

enum { COLLECT_BYTES = 8 << 20 };

#define WRITER      "app.objects.writer"
#define READER      "app.objects.reader"
#define WRITE_USAGE "writer:write(bytes)"
#define UNDER_WAY   "another call of it is under way"

struct stream {
    union {
        struct object_upload up;
        struct object_download down;
    };
    bool writes;
    struct task *task; /* that made it; NULL once it is over */
    struct task_deferred deferred;
    bool waiting;           /* the task waits for an answer */
    bool asked;             /* an answer is to come, whether or not somebody still waits for it */
    bool begun;             /* there was a handle */
    bool ended;             /* close or end was asked for */
    struct stream **handle; /* the userdata, NULL when collected */
    char *plugin, *key, *type;
    struct checksum *checksum;
    char *bytes;   /* being written */
    size_t passed; /* bytes since Lua was made to collect */
};

/* LuaJIT does as much collecting for a long string as for a short one: pieces of an object would
 * lie about until the VM's limit is reached. */
static void collect(lua_State *L, struct stream *s, size_t bytes)
{
    s->passed += bytes;
    if (s->passed < COLLECT_BYTES)
        return;
    lua_gc(L, LUA_GCSTEP, (int)(s->passed >> 10));
    s->passed = 0;
}

static void stream_free(struct stream *s)
{
    if (s->handle)
        *s->handle = NULL;
    task_undefer(&s->deferred);
    mem_free(s->plugin);
    mem_free(s->key);
    mem_free(s->type);
    checksum_free(s->checksum);
    mem_free(s->bytes);
    mem_free(s);
}

static void stream_end(struct stream *s, bool commit)
{
    s->ended = true;
    if (s->writes)
        object_upload_end(&s->up, commit);
    else
        object_download_close(&s->down);
}

/* Nobody reads or writes it any more. */
static void abandon(struct stream *s)
{
    s->waiting = false;
    if (s->handle)
        *s->handle = NULL;
    s->handle = NULL;
    if (!s->ended)
        stream_end(s, false);
}

static void on_task_over(void *arg)
{
    struct stream *s = arg;
    s->task = NULL;
    abandon(s);
}

static int on_collected(lua_State *L, const char *class)
{
    struct stream **handle = luaL_checkudata(L, 1, class);
    struct stream *s = *handle;
    if (s && s->waiting)
        s->handle = NULL; /* the wait has hold of it: given up when that is over */
    else if (s)
        abandon(s);
    return 0;
}

static int l_writer_gc(lua_State *L)
{
    return on_collected(L, WRITER);
}

static int l_reader_gc(lua_State *L)
{
    return on_collected(L, READER);
}

static void forget(void *arg)
{
    ((struct stream *)arg)->waiting = false;
}

static int push_handle(lua_State *L, void *arg)
{
    struct stream *s = arg;
    struct stream **handle = lua_newuserdata(L, sizeof *handle);
    *handle = s;
    s->handle = handle;
    s->begun = true;
    luaL_getmetatable(L, s->writes ? WRITER : READER);
    lua_setmetatable(L, -2);
    if (s->writes)
        return 1;
    objects_push_info(L, &s->down.info);
    return 2;
}

static int push_true(lua_State *L, void *arg)
{
    (void)arg;
    lua_pushboolean(L, true);
    return 1;
}

static int push_bytes(lua_State *L, void *arg)
{
    struct stream *s = arg;
    collect(L, s, s->down.bytes.n);
    lua_pushlstring(L, s->down.bytes.n ? s->down.bytes.p : "", s->down.bytes.n);
    return 1;
}

static int push_written(lua_State *L, void *arg)
{
    struct stream *s = arg;
    objects_push_info(L, &s->up.info);
    return 1;
}

static void wake(struct stream *s, const struct err *err, task_push_fn *push)
{
    struct task *task = s->waiting ? s->task : NULL;
    s->waiting = false;
    task_answer(task, err, push, s);
}

/* What has been asked is answered; err may be the next answer's once the task has gone on. */
static void answer(struct stream *s, const struct err *err, task_push_fn *push)
{
    bool stillborn = !s->begun && err->code;
    s->asked = false;
    wake(s, err, s->begun ? push : push_handle);
    bool collected = s->begun && !s->handle && !s->waiting;
    if ((stillborn || collected) && !s->ended)
        abandon(s);
}

static void on_ready(struct object_upload *u)
{
    struct stream *s = (struct stream *)(void *)u;
    mem_free(s->bytes);
    s->bytes = NULL;
    answer(s, &u->err, push_true);
}

static void on_ended(struct object_upload *u)
{
    struct stream *s = (struct stream *)(void *)u;
    wake(s, &u->err, push_written);
    stream_free(s);
}

static void on_got(struct object_download *d)
{
    answer((struct stream *)(void *)d, &d->err, push_bytes);
}

static void on_closed(struct object_download *d)
{
    stream_free((struct stream *)(void *)d);
}

static struct stream *check(lua_State *L, const char *class, const char *usage)
{
    struct stream **handle = luaL_checkudata(L, 1, class);
    if (!*handle || (*handle)->ended)
        args_error(L, "%s: it is closed", usage);
    if ((*handle)->waiting || (*handle)->asked)
        args_error(L, "%s: " UNDER_WAY, usage);
    return *handle;
}

/* `return await(…)`, what is waited for having been asked. */
static int await(struct stream *s)
{
    s->waiting = s->asked = true;
    return task_wait(s->task, forget, s);
}

static void check_task(lua_State *L, const struct stream *s, const char *usage)
{
    if (task_check(L, usage) != s->task)
        args_error(L, "%s: it belongs to another task", usage);
}

/*** (waits)
 * @return true|nil, string? message, string? code */
static int l_write(lua_State *L)
{
    struct stream *s = check(L, WRITER, WRITE_USAGE);
    struct str bytes = args_string(L, 2, WRITE_USAGE, "bytes");
    check_task(L, s, WRITE_USAGE);
    if (s->up.err.code)
        return push_error(L, &s->up.err);
    if (bytes.n == 0) {
        lua_pushboolean(L, true);
        return 1;
    }
    collect(L, s, bytes.n);
    s->bytes = str_dup(bytes);
    object_upload_write(&s->up, str_n(s->bytes, bytes.n));
    return await(s);
}

/*** (waits) The object is there, whole.
 * @return table|nil info, string? message, string? code */
static int l_finish(lua_State *L)
{
    struct stream *s = check(L, WRITER, "writer:close()");
    check_task(L, s, "writer:close()");
    if (s->up.err.code) {
        int results = push_error(L, &s->up.err);
        abandon(s);
        return results;
    }
    stream_end(s, true);
    return await(s);
}

static int give_up(lua_State *L, const char *class, const char *usage)
{
    struct stream **handle = luaL_checkudata(L, 1, class), *s = *handle;
    if (s && s->waiting)
        args_error(L, "%s: " UNDER_WAY, usage);
    if (s && !s->ended)
        abandon(s);
    return 0;
}

static int l_abort(lua_State *L)
{
    return give_up(L, WRITER, "writer:abort()");
}

static int l_close(lua_State *L)
{
    return give_up(L, READER, "reader:close()");
}

/*** (waits) The next piece, empty at the end.
 * @return string|nil bytes, string? message, string? code */
static int l_read(lua_State *L)
{
    static const char usage[] = "reader:read()";
    struct stream *s = check(L, READER, usage);
    check_task(L, s, usage);
    if (s->down.err.code)
        return push_error(L, &s->down.err);
    object_download_next(&s->down);
    return await(s);
}

static struct stream *create(struct task *task, bool writes)
{
    struct stream *s = mem_zero(1, sizeof *s);
    s->task = task;
    s->writes = writes;
    s->plugin = mem_strdup(vm_plugin(task_vm(task)));
    task_defer(task, &s->deferred, on_task_over, s);
    return s;
}

/*** (waits) key, type, if_absent, sha256
 * @return userdata|nil writer, string? message, string? code */
int objects_writer(lua_State *L)
{
    static const char usage[] = "app.objects:writer(key, [options])";
    struct str key = args_string(L, 1, usage, "key");
    struct str type = args_opt_string(L, 2, STR(""), usage, "type");
    struct str sha256 = args_opt_string(L, 4, STR(""), usage, "sha256");
    struct objects *store = objects_of(L, "app.objects:writer");
    struct task *task = task_check(L, "app.objects:writer");
    struct err err = {0};
    if (sha256.n && !checksum_hex_check(sha256, &err))
        return push_error(L, &err);
    struct stream *s = create(task, true);
    if (sha256.n) {
        s->checksum = s->up.checksum = checksum_create();
        (void)checksum_expect_hex(s->checksum, sha256, &err);
    }
    s->key = str_dup(key);
    s->type = str_dup(type);
    s->up.plugin = s->plugin;
    s->up.key = str_n(s->key, key.n);
    s->up.type = str_n(s->type, type.n);
    s->up.if_absent = lua_toboolean(L, 3);
    s->up.ready = on_ready;
    s->up.ended = on_ended;
    object_upload_begin(store, &s->up, vm_lane(task_vm(task)));
    return await(s);
}

/*** (waits) key, from, n
 * @return userdata|nil reader, table|string info_or_message, string? code */
int objects_reader(lua_State *L)
{
    static const char usage[] = "app.objects:reader(key, [options])";
    struct str key = args_string(L, 1, usage, "key");
    int64_t from = args_integer(L, 2, 0, INT64_C(1) << 53, usage, "from");
    int64_t n = args_integer(L, 3, 0, INT64_C(1) << 53, usage, "n");
    struct objects *store = objects_of(L, "app.objects:reader");
    struct task *task = task_check(L, "app.objects:reader");
    struct stream *s = create(task, false);
    s->key = str_dup(key);
    s->down.plugin = s->plugin;
    s->down.key = str_n(s->key, key.n);
    s->down.from = from;
    s->down.n = n;
    s->down.got = on_got;
    s->down.closed = on_closed;
    object_download_begin(store, &s->down, vm_lane(task_vm(task)));
    return await(s);
}

void objects_streams_open(lua_State *L)
{
    static const luaL_Reg writer[] = {
        {"write", l_write}, {"close", l_finish}, {"abort", l_abort}, {NULL, NULL}};
    static const luaL_Reg reader[] = {{"read", l_read}, {"close", l_close}, {NULL, NULL}};
    bind_class(L, WRITER, writer, l_writer_gc);
    bind_class(L, READER, reader, l_reader_gc);
}
