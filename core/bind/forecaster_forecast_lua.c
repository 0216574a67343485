/* forecaster_forecast_lua.c -- forecasts of many series at once. */
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "bind/forecaster_lua.h"
#include "bind/forecaster_work.h"
#include "kernels/forecaster.h"
#include "vm/args.h"
#include "vm/floats.h"
#include "vm/vm.h"

#define USAGE "forecaster:forecast(list, [options])"

enum { SERIES_MOST = 10000, VALUES_MOST = 10000000, ALIGN = 64 };

/* ORDER wrong */
enum wrong { RIGHT, NO_SERIES, TOO_FEW, NO_NUMBER, NO_FORECAST };

/* One of the list. */
struct entry {
    enum wrong wrong;
    int at;        /* among the series that are run, unless it is wrong */
    size_t points; /* all of it */
    size_t index;  /* of the first bad value, from 1 */
};

struct forecasting {
    struct forecaster_work work; /* first */
    struct forecaster *f;
    int count, good, horizon;
    bool bands, floats;
    size_t longest;
    struct entry *entries;
    struct forecaster_series *series; /* [good], windows in values */
    float *values, *out;
};

/* ---- what comes in ----------------------------------------------------- */

/* The last n of the series' values; 0, or the index (from 1) of the first that is no finite number.
 */
static size_t read_values(lua_State *L, int index, size_t points, size_t n, float *to)
{
    const struct floats *floats = floats_at(L, index);
    for (size_t i = 0; i < n; i++) {
        size_t at = points - n + i;
        if (floats) {
            to[i] = floats->values[at];
        } else {
            lua_rawgeti(L, index, (int)at + 1);
            to[i] = lua_type(L, -1) == LUA_TNUMBER ? (float)lua_tonumber(L, -1) : NAN;
            lua_pop(L, 1);
        }
        if (!isfinite(to[i]))
            return at + 1;
    }
    return 0;
}

/* False: it is no series. */
static bool count_values(lua_State *L, int index, size_t *n)
{
    const struct floats *floats = floats_at(L, index);
    bool is_table = lua_istable(L, index);
    *n = floats ? floats->n : is_table ? lua_objlen(L, index) : 0;
    return floats || is_table;
}

static size_t window_of(const struct forecaster *f, size_t points)
{
    size_t lookback = (size_t)forecaster_info(f)->lookback;
    return points < lookback ? points : lookback;
}

/* The series on top of the stack. */
static void read_series(lua_State *L, struct forecasting *c, struct entry *e, float **to)
{
    const struct forecaster_info *info = forecaster_info(c->f);
    bool is_series = count_values(L, lua_gettop(L), &e->points);
    size_t n = window_of(c->f, e->points);
    if (!is_series)
        e->wrong = NO_SERIES;
    else if (e->points < (size_t)info->min_points)
        e->wrong = TOO_FEW;
    else if ((e->index = read_values(L, lua_gettop(L), e->points, n, *to)) > 0)
        e->wrong = NO_NUMBER;
    if (e->wrong != RIGHT)
        return;
    e->at = c->good;
    c->series[c->good++] = (struct forecaster_series){*to, n};
    c->longest = n > c->longest ? n : c->longest;
    *to += n;
}

/* ---- the work ---------------------------------------------------------- */

static void forecast_run(struct forecaster_work *work)
{
    struct forecasting *c = (struct forecasting *)work;
    if (c->good == 0)
        return;
    char *block = mem_alloc(forecaster_scratch(c->f, c->good, c->longest, c->horizon) + ALIGN);
    struct forecaster_call call = {.count = c->good,
                                   .series = c->series,
                                   .horizon = c->horizon,
                                   .out = c->out,
                                   .scratch = block + (ALIGN - (size_t)block % ALIGN) % ALIGN};
    forecaster_run(c->f, &call);
    mem_free(block);
}

static void forecast_end(struct forecaster_work *work)
{
    struct forecasting *c = (struct forecasting *)work;
    forecaster_close(c->f);
    mem_free(c->entries);
    mem_free(c->series);
    mem_free(c->values);
    mem_free(c->out);
    mem_free(c);
}

/* ---- what comes out ---------------------------------------------------- */

static int push_wrong(lua_State *L, const struct forecasting *c, const struct entry *e)
{
    const struct forecaster_info *info = forecaster_info(c->f);
    lua_createtable(L, 0, 1);
    lua_createtable(L, 0, 3);
    if (e->wrong == TOO_FEW)
        lua_pushfstring(L, "%d points; %s needs at least %d", (int)e->points, info->name,
                        info->min_points);
    else if (e->wrong == NO_NUMBER)
        lua_pushfstring(L, "value %d is not a finite number", (int)e->index);
    else if (e->wrong == NO_SERIES)
        lua_pushliteral(L, "a series is an array of numbers or a floats");
    else
        lua_pushliteral(L, "the model's forecast is not a finite number");
    lua_setfield(L, -2, "message");
    lua_pushstring(L, e->wrong == TOO_FEW ? "too_few" : "invalid");
    lua_setfield(L, -2, "code");
    if (e->wrong == NO_NUMBER) {
        lua_pushinteger(L, (lua_Integer)e->index);
        lua_setfield(L, -2, "index");
    }
    lua_setfield(L, -2, "error");
    return 1;
}

/* A table, unless floats were asked for and there is room for them. */
static void push_numbers(lua_State *L, const struct forecasting *c, const float *values)
{
    int n = c->horizon;
    struct floats *floats = c->floats ? floats_push(L, (size_t)n) : NULL;
    if (floats) {
        memcpy(floats->values, values, (size_t)n * sizeof *values);
        return;
    }
    if (c->floats)
        lua_pop(L, 3);
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushnumber(L, (double)values[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static int push_right(lua_State *L, const struct forecasting *c, const float *out)
{
    const struct forecaster_info *info = forecaster_info(c->f);
    lua_createtable(L, 0, 3);
    push_numbers(L, c, out + (size_t)info->median * (size_t)c->horizon);
    lua_setfield(L, -2, "forecast");
    lua_pushinteger(L, c->horizon);
    lua_setfield(L, -2, "horizon");
    if (!c->bands)
        return 1;
    lua_createtable(L, info->quantiles, 0);
    for (int q = 0; q < info->quantiles; q++) {
        push_numbers(L, c, out + (size_t)q * (size_t)c->horizon);
        lua_rawseti(L, -2, q + 1);
    }
    lua_setfield(L, -2, "quantiles");
    return 1;
}

static bool is_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static int forecast_push(lua_State *L, void *arg)
{
    struct forecasting *c = arg;
    size_t each = (size_t)forecaster_info(c->f)->quantiles * (size_t)c->horizon;
    lua_createtable(L, c->count, 0);
    for (int i = 0; i < c->count; i++) {
        struct entry *e = &c->entries[i];
        const float *out = c->out + (size_t)e->at * each;
        if (e->wrong == RIGHT && !is_finite(out, each))
            e->wrong = NO_FORECAST;
        if (e->wrong != RIGHT)
            push_wrong(L, c, e);
        else
            push_right(L, c, out);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* ---- the call ---------------------------------------------------------- */

/* Points of all windows, and of the longest. */
static size_t count_points(lua_State *L, const struct forecaster *f, int count, size_t *longest)
{
    size_t all = 0;
    for (int i = 1; i <= count; i++) {
        size_t n;
        lua_rawgeti(L, 2, i);
        count_values(L, lua_gettop(L), &n);
        n = window_of(f, n);
        lua_pop(L, 1);
        all += n;
        *longest = n > *longest ? n : *longest;
    }
    return all;
}

static struct forecasting *make(lua_State *L, struct forecaster *f, int count, int horizon,
                                size_t points)
{
    struct forecasting *c = mem_zero(1, sizeof *c);
    size_t answers = (size_t)count * (size_t)forecaster_info(f)->quantiles * (size_t)horizon;
    c->work =
        (struct forecaster_work){.run = forecast_run, .push = forecast_push, .end = forecast_end};
    c->f = forecaster_keep(f);
    c->count = count;
    c->horizon = horizon;
    c->entries = mem_zero((size_t)count + 1, sizeof *c->entries);
    c->series = mem_zero((size_t)count + 1, sizeof *c->series);
    c->values = mem_alloc((points + 1) * sizeof *c->values);
    c->out = mem_alloc((answers + 1) * sizeof *c->out);
    float *to = c->values;
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 2, i + 1);
        read_series(L, c, &c->entries[i], &to);
        lua_pop(L, 1);
    }
    return c;
}

static int read_horizon(lua_State *L, const struct forecaster_info *info)
{
    int most = FORECASTER_HORIZONS * info->horizon;
    double horizon = opt_number(L, 3, "horizon", (double)info->horizon, USAGE);
    if (!(horizon >= 1 && horizon <= most) || horizon != floor(horizon))
        args_error(L, "%s: horizon must be a whole number from 1 to %d", USAGE, most);
    return (int)horizon;
}

/*** (waits, unless it is little work)
 * @return table|nil answers, string? message, string? code */
int forecaster_l_forecast(lua_State *L)
{
    static const char *const known[] = {"horizon", "quantiles", "floats", NULL};
    struct forecaster *f = forecaster_at(L, 1, USAGE);
    args_table(L, 2, USAGE, "list");
    if (args_opt_table(L, 3, USAGE, "options"))
        opt_known(L, 3, known, USAGE);
    int horizon = read_horizon(L, forecaster_info(f));
    bool bands = opt_boolean(L, 3, "quantiles", true, USAGE);
    bool floats = opt_boolean(L, 3, "floats", false, USAGE);
    struct err err = {0};
    size_t count = lua_objlen(L, 2), longest = 0;
    if (count > SERIES_MOST)
        err_set(&err, ERR_LIMIT, "at most %d series at once", SERIES_MOST);
    size_t points = err.code ? 0 : count_points(L, f, (int)count, &longest);
    size_t answers = count * (size_t)forecaster_info(f)->quantiles * (size_t)horizon;
    if (!err.code && (points > VALUES_MOST || answers > VALUES_MOST))
        err_set(&err, ERR_LIMIT, "at most %d values in and out at once", VALUES_MOST);
    if (err.code)
        return push_error(L, &err);
    double work = forecaster_work(f, (int)count, longest, horizon);
    size_t bytes = (points + answers) * sizeof(float) + count * sizeof(struct entry) +
                   forecaster_scratch(f, count ? (int)count : 1, longest, horizon);
    forecaster_work_prepare(L, work, USAGE);
    if (!vm_charge(vm_of(L), bytes, &err))
        return push_error(L, &err);
    struct forecasting *c = make(L, f, (int)count, horizon, points);
    c->bands = bands;
    c->floats = floats;
    c->work.charged = bytes;
    return forecaster_work_do(L, &c->work, work);
}
