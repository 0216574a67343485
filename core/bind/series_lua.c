/* series_lua.c -- app.series.  Wraps series/series.h.
 *
 * A call is copied out of Lua and lives until the series store gives it back,
 * also when its task is cancelled meanwhile: then nobody is woken. */
#include <lauxlib.h>
#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/series_ask.h"
#include "bind/table_lua.h"
#include "series/series.h"
#include "storage/store.h"
#include "vm/args.h"
#include "vm/host.h"
#include "vm/json.h"
#include "vm/task.h"
#include "vm/vm.h"

/* ---- answers ----------------------------------------------------------- */

static void push_cell(lua_State *L, const struct series_frame *f, int column, int64_t row)
{
    if (column < f->key_count) {
        struct str text = f->keys[column][row];
        lua_pushlstring(L, text.p, text.n);
        return;
    }
    double value = f->values[column - f->key_count][row];
    if (isnan(value))
        lua_json_push_null(L);
    else
        lua_pushnumber(L, value);
}

const char *series_column_name(const struct series_frame *f, int column)
{
    return column < f->key_count ? f->key_names[column] : f->value_names[column - f->key_count];
}

static void push_seconds(lua_State *L, int64_t us)
{
    lua_pushnumber(L, (double)us / 1e6);
}

/* An array of tables; a missing value is absent. */
static void push_points(lua_State *L, const struct series_frame *f)
{
    int columns = f->key_count + f->value_count;
    lua_createtable(L, (int)f->n, 0);
    for (int64_t row = 0; row < f->n; row++) {
        lua_createtable(L, 0, columns + 1);
        push_seconds(L, f->at_us[row]);
        lua_setfield(L, -2, "at");
        for (int c = 0; c < columns; c++) {
            if (c >= f->key_count && isnan(f->values[c - f->key_count][row]))
                continue;
            push_cell(L, f, c, row);
            lua_setfield(L, -2, series_column_name(f, c));
        }
        lua_rawseti(L, -2, (int)row + 1);
    }
}

/* A table of arrays; a missing value is null. */
static void push_columns(lua_State *L, const struct series_frame *f)
{
    int columns = f->key_count + f->value_count;
    lua_createtable(L, 0, columns + 3);
    lua_createtable(L, (int)f->n, 0);
    for (int64_t row = 0; row < f->n; row++) {
        push_seconds(L, f->at_us[row]);
        lua_rawseti(L, -2, (int)row + 1);
    }
    lua_setfield(L, -2, "at");
    for (int c = 0; c < columns; c++) {
        lua_createtable(L, (int)f->n, 0);
        for (int64_t row = 0; row < f->n; row++) {
            push_cell(L, f, c, row);
            lua_rawseti(L, -2, (int)row + 1);
        }
        lua_setfield(L, -2, series_column_name(f, c));
    }
    lua_pushnumber(L, (double)f->n);
    lua_setfield(L, -2, "n");
    if (!f->counts)
        return;
    lua_createtable(L, (int)f->n, 0);
    for (int64_t row = 0; row < f->n; row++) {
        lua_pushnumber(L, (double)f->counts[row]);
        lua_rawseti(L, -2, (int)row + 1);
    }
    lua_setfield(L, -2, "counts");
}

static void push_stats(lua_State *L, const struct series_call *call)
{
    lua_createtable(L, 0, 4);
    lua_pushnumber(L, (double)call->count);
    lua_setfield(L, -2, "points");
    lua_pushnumber(L, (double)call->lines);
    lua_setfield(L, -2, "lines");
    if (call->first_us == SERIES_NO_TIME)
        return;
    push_seconds(L, call->first_us);
    lua_setfield(L, -2, "first");
    push_seconds(L, call->last_us);
    lua_setfield(L, -2, "last");
}

static int push_answer(lua_State *L, void *arg)
{
    const struct series_call *call = arg;
    switch (call->op) {
    case SERIES_APPEND:
        lua_pushnumber(L, (double)call->count);
        break;
    case SERIES_LATEST:
        push_points(L, call->frame);
        break;
    case SERIES_WINDOW:
    case SERIES_DOWNSAMPLE:
        push_columns(L, call->frame);
        break;
    case SERIES_STATS:
        push_stats(L, call);
        break;
    case SERIES_EXPORT:
        lua_pushstring(L, call->path);
        break;
    case SERIES_QUERY:
        return table_push(L, call->table, call->types, call->limit, call->more,
                          ((const struct series_ask *)arg)->began_ns);
    case SERIES_PARQUET:
        lua_pushlstring(L, call->bytes, call->byte_count);
        break;
    }
    return 1;
}

static void on_done(struct series_call *call)
{
    struct series_ask *ask = (struct series_ask *)call;
    struct task *task = ask->task;
    if (task)
        vm_uncharge(task_vm(task), ask->charged);
    task_answer(task, &call->err, push_answer, call);
    series_frame_free(call->frame);
    series_frame_free(call->rows);
    rows_free(call->table);
    mem_free(call->path);
    mem_free(call->bytes);
    mem_free(ask->params);
    mem_free(ask);
}

static void forget(void *arg)
{
    struct series_ask *ask = arg;
    series_cancel(&ask->call);
    vm_uncharge(task_vm(ask->task), ask->charged);
    ask->task = NULL;
}

/* ---- questions --------------------------------------------------------- */

struct series_ask *series_ask_make(lua_State *L, enum series_op op, struct str name,
                                   size_t text_bytes, size_t charged, struct err *err)
{
    size_t bytes = sizeof(struct series_ask) + name.n + text_bytes;
    if (!vm_charge(vm_of(L), bytes + charged, err))
        return NULL;
    struct series_ask *ask = mem_alloc(bytes);
    *ask = (struct series_ask){
        .charged = bytes + charged,
        .began_ns = clock_steady_ns(),
        .call = {.op = op, .from_us = SERIES_NO_TIME, .to_us = SERIES_NO_TIME, .done = on_done}};
    snprintf(ask->plugin, sizeof ask->plugin, "%s", vm_plugin(vm_of(L)));
    ask->call.plugin = ask->plugin;
    ask->call.where = ask->where;
    ask->call.name = (struct str){memcpy(ask->text, name.p, name.n), name.n};
    return ask;
}

void series_ask_drop(lua_State *L, struct series_ask *ask)
{
    vm_uncharge(vm_of(L), ask->charged);
    mem_free(ask);
}

int series_ask_run(struct task *task, struct series_ask *ask, struct series_store *series)
{
    ask->task = task;
    if (ask->call.op == SERIES_QUERY || ask->call.op == SERIES_PARQUET)
        series_ask(series, &ask->call, task_lane(task));
    else
        series_run(series, &ask->call, task_lane(task));
    return task_wait(task, forget, ask);
}

struct series_store *series_check_part(lua_State *L, const char *usage)
{
    struct series_store *series = vm_host(vm_of(L))->series;
    bind_part(L, series, usage, "series");
    return series;
}

static int64_t check_time(lua_State *L, int index, const char *key, const char *usage)
{
    double seconds = opt_number(L, index, key, NAN, usage);
    if (isnan(seconds))
        return SERIES_NO_TIME;
    if (fabs(seconds) > SERIES_TIME_MOST)
        luaL_error(L, "%s: %s must be seconds since 1970", usage, key);
    return llround(seconds * 1e6);
}

static int64_t check_count(lua_State *L, int index, const char *key, const char *usage)
{
    double n = opt_number(L, index, key, 0, usage);
    bool given = n != 0;
    if (given && !(n >= 1 && n <= SERIES_POINTS_MAX && n == floor(n)))
        luaL_error(L, "%s: %s must be a whole number from 1 to %d", usage, key, SERIES_POINTS_MAX);
    return (int64_t)n;
}

static enum series_agg check_agg(lua_State *L, int index, const char *usage)
{
    static const char *const names[] = {"mean", "min", "max", "last", "sum"}; /* ORDER series_agg */
    struct str text = opt_string(L, index, "agg", STR("mean"), usage);
    for (int i = 0; i < 5; i++)
        if (str_eq_c(text, names[i]))
            return (enum series_agg)i;
    luaL_error(L, "%s: agg must be mean, min, max, last or sum", usage);
    return SERIES_MEAN;
}

/* Pushes options.where (or nil); how many bytes its texts take. */
static size_t check_where(lua_State *L, int index, int *count, const char *usage)
{
    size_t bytes = 0;
    *count = 0;
    lua_pushnil(L);
    if (!lua_istable(L, index))
        return 0;
    lua_pop(L, 1);
    opt_push(L, index, "where");
    if (lua_isnil(L, -1))
        return 0;
    if (!lua_istable(L, -1))
        args_fail(L, usage, "where", "a table { key = text }", -1);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            args_fail(L, usage, "where", "a table { key = text }", -1);
        bytes += lua_objlen(L, -2) + lua_objlen(L, -1);
        if (++*count > SERIES_COLUMNS)
            luaL_error(L, "%s: where names more keys than there are", usage);
    }
    return bytes;
}

struct str series_copy_text(lua_State *L, int index, char **to)
{
    struct str text;
    const char *p = lua_tolstring(L, index, &text.n);
    text.p = memcpy(*to, p, text.n);
    *to += text.n;
    return text;
}

/* name at 1, options at 2; `known` are the options' names. */
static int ask(lua_State *L, enum series_op op, const char *usage, const char *who,
               const char *const *known)
{
    struct str name = args_string(L, 1, usage, "name");
    struct series_call c = {0};
    int where_count;
    lua_settop(L, 2);
    if (args_opt_table(L, 2, usage, "options"))
        opt_known(L, 2, known, usage);
    c.from_us = check_time(L, 2, op == SERIES_LATEST ? "since" : "from", usage);
    c.to_us = check_time(L, 2, "to", usage);
    c.last = check_count(L, 2, "last", usage);
    c.limit = check_count(L, 2, "limit", usage);
    c.step_us = opt_duration(L, 2, "step", 0, usage) / 1000;
    c.agg = check_agg(L, 2, usage);
    if (op == SERIES_DOWNSAMPLE && c.step_us <= 0)
        luaL_error(L, "%s: step must be a duration such as \"5m\"", usage);
    size_t bytes = check_where(L, 2, &where_count, usage);
    struct series_store *series = series_check_part(L, usage);
    struct task *task = task_check(L, who);
    struct err err;
    struct series_ask *a = series_ask_make(L, op, name, bytes, 0, &err);
    if (!a)
        return push_error(L, &err);
    char *text = a->text + name.n;
    for (lua_pushnil(L); where_count > 0 && lua_next(L, 3); lua_pop(L, 1)) {
        struct series_where *w = &a->where[a->call.where_count++];
        w->key = series_copy_text(L, -2, &text);
        w->value = series_copy_text(L, -1, &text);
    }
    a->call.from_us = c.from_us;
    a->call.to_us = c.to_us;
    a->call.last = c.last;
    a->call.limit = c.limit;
    a->call.step_us = c.step_us;
    a->call.agg = c.agg;
    return series_ask_run(task, a, series);
}

/*** Newest point of each line.  (waits)
 * @param name string
 * @param options? { where?: table<string, string>, since?: number, limit?: integer }
 * @return table[]|nil, string? message, string? code */
static int l_latest(lua_State *L)
{
    static const char *const known[] = {"where", "since", "limit", NULL};
    return ask(L, SERIES_LATEST, "app.series:latest(name, [options])", "app.series:latest", known);
}

/*** Points in time order as columns.  (waits)
 * @param options? { where?, from?, to?, last?: integer, limit?: integer }
 * @return table|nil, string? message, string? code */
static int l_window(lua_State *L)
{
    static const char *const known[] = {"where", "from", "to", "last", "limit", NULL};
    return ask(L, SERIES_WINDOW, "app.series:window(name, [options])", "app.series:window", known);
}

/*** One row for each line and step, as columns.  (waits)
 * @param options { step: string|number, agg?: string, where?, from?, to?, limit? }
 * @return table|nil, string? message, string? code */
static int l_downsample(lua_State *L)
{
    static const char *const known[] = {"where", "from", "to", "limit", "step", "agg", NULL};
    return ask(L, SERIES_DOWNSAMPLE, "app.series:downsample(name, options)",
               "app.series:downsample", known);
}

/*** Number of points and lines, first and last instant.  (waits)
 * @return { points: integer, lines: integer, first: number?, last: number? }|nil */
static int l_stats(lua_State *L)
{
    static const char *const known[] = {"where", "from", "to", NULL};
    return ask(L, SERIES_STATS, "app.series:stats(name, [options])", "app.series:stats", known);
}

/*** Writes a Parquet file below state.dir/exports.  (waits)
 * @return string|nil path, string? message, string? code */
static int l_export(lua_State *L)
{
    static const char *const known[] = {"where", "from", "to", NULL};
    return ask(L, SERIES_EXPORT, "app.series:export(name, [options])", "app.series:export", known);
}

static const luaL_Reg functions[] = {
    {"append", series_lua_append},
    {"latest", l_latest},
    {"window", l_window},
    {"downsample", l_downsample},
    {"stats", l_stats},
    {"export", l_export},
    {"query", series_lua_query},
    {"parquet", series_lua_parquet},
    {NULL, NULL},
};

int bind_series(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
