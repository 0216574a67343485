/* forecaster_lua.c -- app.kernels.forecaster.  Wraps kernels/forecaster.h.
 *
 * What takes longer than a moment runs on the pool, from copies: a task that is cancelled leaves
 * its work behind, and nobody is woken. */
#include "bind/forecaster_lua.h"

#include <lauxlib.h>
#include <math.h>
#include <stdatomic.h>

#include "base/json_pick.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/forecaster_work.h"
#include "kernels/forecaster.h"
#include "vm/args.h"
#include "vm/json.h"
#include "vm/vm.h"

#define FORECASTER_TYPE "app.forecaster"
#define STREAM_TYPE     "app.forecaster_stream"

enum { FILE_BYTES = 64 << 20, METADATA_DEPTH = 32, STREAM_BYTES = 1 << 20 };

/* Additions and multiplications for each byte of a file that is read and packed, about. */
#define READ_WORK 20.0

struct forecaster *forecaster_at(lua_State *L, int index, const char *usage)
{
    struct forecaster **handle = luaL_checkudata(L, index, FORECASTER_TYPE);
    if (!*handle)
        args_error(L, "%s: it is closed", usage);
    return *handle;
}

static int l_forecaster_gc(lua_State *L)
{
    struct forecaster **handle = luaL_checkudata(L, 1, FORECASTER_TYPE);
    forecaster_close(*handle);
    *handle = NULL;
    return 0;
}

/* ---- opening ----------------------------------------------------------- */

struct opening {
    struct forecaster_work work; /* first */
    struct str bytes;            /* a copy */
    struct forecaster *f;
};

static void open_run(struct forecaster_work *work)
{
    struct opening *o = (struct opening *)work;
    o->f = forecaster_open(o->bytes, &work->err);
}

static int open_push(lua_State *L, void *arg)
{
    struct opening *o = arg;
    struct forecaster **handle = lua_newuserdata(L, sizeof *handle);
    *handle = NULL;
    luaL_getmetatable(L, FORECASTER_TYPE);
    lua_setmetatable(L, -2);
    *handle = o->f;
    o->f = NULL;
    return 1;
}

static void open_end(struct forecaster_work *work)
{
    struct opening *o = (struct opening *)work;
    forecaster_close(o->f);
    mem_free((char *)o->bytes.p);
    mem_free(o);
}

/* app.kernels.forecaster(bytes) -> forecaster | nil, message, code  (waits, if it is a big file) */
static int l_forecaster(lua_State *L)
{
    static const char usage[] = "app.kernels.forecaster(bytes)";
    struct str bytes = args_string(L, 1, usage, "bytes");
    struct err err = {0};
    if (bytes.n > FILE_BYTES)
        err_set(&err, ERR_LIMIT, "a model file has at most %d MiB", FILE_BYTES >> 20);
    double work = (double)bytes.n * READ_WORK;
    forecaster_work_prepare(L, work, usage);
    if (err.code || !vm_charge(vm_of(L), bytes.n, &err))
        return push_error(L, &err);
    struct opening *o = mem_zero(1, sizeof *o);
    o->work = (struct forecaster_work){
        .run = open_run, .push = open_push, .end = open_end, .charged = bytes.n};
    o->bytes = (struct str){mem_dup(bytes.p, bytes.n), bytes.n};
    return forecaster_work_do(L, &o->work, work);
}

/* ---- what it is -------------------------------------------------------- */

/* forecaster:info() -> the metadata of the file, and weights, parameters */
static int l_info(lua_State *L)
{
    struct err err = {0};
    const struct forecaster_info *info = forecaster_info(forecaster_at(L, 1, "forecaster:info()"));
    if (!lua_json_decode(L, info->metadata, METADATA_DEPTH, &err))
        return push_error(L, &err);
    lua_pushstring(L, forecaster_weights_name(info->weights));
    lua_setfield(L, -2, "weights");
    lua_pushnumber(L, (double)info->parameters);
    lua_setfield(L, -2, "parameters");
    return 1;
}

/* ---- point by point ---------------------------------------------------- */

/* The userdata holds it once, and the pool while it works for it. */
struct flow {
    atomic_int holders;
    struct forecaster *f;
    struct forecaster_stream *s;
    bool busy; /* lane */
};

struct pushing {
    struct forecaster_work work; /* first */
    struct flow *flow;
    float value;
    bool enough;
    float next[FORECASTER_QUANTILES_MOST];
};

static void let_go(struct flow *flow)
{
    if (atomic_fetch_sub(&flow->holders, 1) != 1)
        return;
    forecaster_stream_free(flow->s);
    forecaster_close(flow->f);
    mem_free(flow);
}

static int l_stream_gc(lua_State *L)
{
    struct flow **handle = luaL_checkudata(L, 1, STREAM_TYPE);
    if (*handle) {
        vm_uncharge(vm_of(L), forecaster_stream_bytes((*handle)->f));
        let_go(*handle);
    }
    *handle = NULL;
    return 0;
}

/* forecaster:stream() -> stream | nil, message, "limit" */
static int l_stream(lua_State *L)
{
    struct err err = {0};
    struct forecaster *f = forecaster_at(L, 1, "forecaster:stream()");
    size_t bytes = forecaster_stream_bytes(f);
    struct flow **handle = lua_newuserdata(L, sizeof *handle);
    *handle = NULL;
    luaL_getmetatable(L, STREAM_TYPE);
    lua_setmetatable(L, -2);
    if (!vm_charge(vm_of(L), bytes, &err)) {
        lua_gc(L, LUA_GCCOLLECT, 0); /* streams that nobody has any more */
        if (!vm_charge(vm_of(L), bytes, &err))
            return push_error(L, &err);
    }
    struct flow *flow = mem_zero(1, sizeof *flow);
    atomic_init(&flow->holders, 1);
    flow->f = forecaster_keep(f);
    flow->s = forecaster_stream_new(f);
    *handle = flow;
    return 1;
}

static void push_run(struct forecaster_work *work)
{
    struct pushing *p = (struct pushing *)work;
    p->enough = forecaster_push(p->flow->s, p->value, p->next);
}

static int push_push(lua_State *L, void *arg)
{
    const struct pushing *p = arg;
    const struct forecaster_info *info = forecaster_info(p->flow->f);
    if (!p->enough) {
        lua_pushnil(L);
        lua_pushfstring(L, "%s needs at least %d points", info->name, info->min_points);
        lua_pushliteral(L, "too_few");
        return 3;
    }
    lua_pushnumber(L, (double)p->next[info->median]);
    lua_createtable(L, info->quantiles, 0);
    for (int q = 0; q < info->quantiles; q++) {
        lua_pushnumber(L, (double)p->next[q]);
        lua_rawseti(L, -2, q + 1);
    }
    return 2;
}

static void push_end(struct forecaster_work *work)
{
    struct pushing *p = (struct pushing *)work;
    p->flow->busy = false;
    let_go(p->flow);
    mem_free(p);
}

/* stream:push(value) -> median, quantiles | nil, message, code  (waits, if the model is big) */
static int l_push(lua_State *L)
{
    static const char usage[] = "stream:push(value)";
    struct flow **handle = luaL_checkudata(L, 1, STREAM_TYPE), *flow = *handle;
    struct err err = {0};
    if (lua_type(L, 2) != LUA_TNUMBER)
        args_fail(L, usage, "value", "a number", 2);
    if (!flow)
        return args_error(L, "%s: it is closed", usage);
    float value = (float)lua_tonumber(L, 2);
    if (flow->busy)
        err_set(&err, ERR_BUSY, "another push is under way");
    else if (!isfinite(value))
        err_set(&err, ERR_INVALID, "the value is not a finite number");
    if (err.code)
        return push_error(L, &err);
    double work = forecaster_push_work(flow->s);
    forecaster_work_prepare(L, work, usage);
    struct pushing *p = mem_zero(1, sizeof *p);
    p->work = (struct forecaster_work){.run = push_run, .push = push_push, .end = push_end};
    p->flow = flow;
    p->value = value;
    flow->busy = true;
    atomic_fetch_add(&flow->holders, 1);
    return forecaster_work_do(L, &p->work, work);
}

void forecaster_register(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"info", l_info}, {"forecast", forecaster_l_forecast}, {"stream", l_stream}, {NULL, NULL}};
    static const luaL_Reg stream[] = {{"push", l_push}, {NULL, NULL}};
    bind_class(L, FORECASTER_TYPE, methods, l_forecaster_gc);
    bind_class(L, STREAM_TYPE, stream, l_stream_gc);
    lua_pushcfunction(L, l_forecaster);
    lua_setfield(L, -2, "forecaster");
}
