/* kernels_rolling_lua.c -- app.kernels.rolling, exponential, cumulative_mean and holt_winters.
 * Wraps kernels/rolling_sums.h, rolling_many.h, rolling_order.h, running_averages.h and
 * holt_winters.h. */
#include "bind/kernels_rolling_lua.h"

#include <lauxlib.h>
#include <math.h>

#include "bind/numbers_lua.h"
#include "kernels/holt_winters.h"
#include "kernels/rolling_many.h"
#include "kernels/rolling_order.h"
#include "kernels/rolling_sums.h"
#include "kernels/running_averages.h"
#include "vm/args.h"
#include "vm/vm.h"

enum {
    HORIZON_MOST = 100000,
    PERIOD_MOST = 1000000,
    ABREAST_WINDOW = 4096, /* series abreast keep some hundred windows at once */
};

/* ---- rolling ----------------------------------------------------------- */

struct rolling {
    const struct statistic *what;
    size_t window, min_periods;
    double q, ddof;
    bool skip_nan, columns;
    size_t series; /* that `values` has, all as long */
};

static const struct statistic {
    const char *name;
    bool order; /* kind is a rolling_order, else a rolling_sum */
    int kind;
} statistics[] = {{"sum", false, ROLLING_SUM},         {"mean", false, ROLLING_MEAN},
                  {"var", false, ROLLING_VARIANCE},    {"std", false, ROLLING_DEVIATION},
                  {"zscore", false, ROLLING_ZSCORE},   {"weighted", false, ROLLING_WEIGHTED},
                  {"min", true, ROLLING_MIN},          {"max", true, ROLLING_MAX},
                  {"median", true, ROLLING_MEDIAN},    {"mad", true, ROLLING_MAD},
                  {"quantile", true, ROLLING_QUANTILE}};

static const struct statistic *check_statistic(lua_State *L, const char *usage)
{
    struct str name = args_string(L, 1, usage, "stat");
    for (size_t i = 0; i < sizeof statistics / sizeof *statistics; i++)
        if (str_eq_c(name, statistics[i].name))
            return &statistics[i];
    args_error(L,
               "%s: stat must be sum, mean, var, std, zscore, weighted, min, max, median, mad or "
               "quantile, got %s",
               usage, name.p);
    return NULL;
}

static double check_option(lua_State *L, int index, const char *key, double otherwise, double least,
                           double most, const char *usage)
{
    double value = opt_number(L, index, key, otherwise, usage);
    if (!(value >= least && value <= most))
        args_error(L, "%s: %s must be from %f to %f, got %f", usage, key, least, most, value);
    return value;
}

static void check_rolling(lua_State *L, struct rolling *r, const char *usage)
{
    static const char *const known[] = {"min_periods", "q",       "ddof", "skip_nan",
                                        "series",      "columns", NULL};
    r->what = check_statistic(L, usage);
    r->window = (size_t)args_integer(L, 3, 1, NUMBERS_MOST, usage, "window");
    args_opt_table(L, 4, usage, "options");
    opt_known(L, 4, known, usage);
    double periods = opt_number(L, 4, "min_periods", (double)r->window, usage);
    if (!(periods >= 1 && periods <= (double)r->window && periods == floor(periods)))
        args_error(L, "%s: min_periods must be a whole number from 1 to %d, got %f", usage,
                   (int)r->window, periods);
    r->min_periods = (size_t)periods;
    r->q = check_option(L, 4, "q", 0.5, 0, 1, usage);
    r->ddof = check_option(L, 4, "ddof", 1, 0, NUMBERS_MOST, usage);
    r->skip_nan = opt_boolean(L, 4, "skip_nan", true, usage);
    r->columns = opt_boolean(L, 4, "columns", false, usage);
    double series = check_option(L, 4, "series", 1, 1, NUMBERS_MOST, usage);
    if (series != floor(series))
        args_error(L, "%s: series must be a whole number, got %f", usage, series);
    r->series = (size_t)series;
}

/* How many values each series has. */
static size_t check_series(lua_State *L, const struct rolling *r, size_t n, const char *usage)
{
    if (n % r->series)
        args_error(L, "%s: %d values are not %d series as long as each other", usage, (int)n,
                   (int)r->series);
    return n / r->series;
}

/* In rows a series is in one piece; in columns the values of one instant are side by side. */
static struct rolling_steps steps_of(const struct rolling *r, size_t each)
{
    return r->columns ? (struct rolling_steps){1, (ptrdiff_t)r->series}
                      : (struct rolling_steps){(ptrdiff_t)each, 1};
}

static bool is_abreast(const struct rolling *r)
{
    return r->series > 1 && r->window <= ABREAST_WINDOW;
}

static void run_sums(const struct rolling *r, size_t each, const struct numbers *v)
{
    struct rolling_sums_options how = {.kind = (enum rolling_sum)r->what->kind,
                                       .window = r->window,
                                       .min_periods = r->min_periods,
                                       .ddof = r->ddof,
                                       .skip_nan = r->skip_nan};
    struct rolling_steps step = steps_of(r, each);
    if (is_abreast(r) && v->single) {
        rolling_many_f32(&how, r->series, each, v->from, step, v->to, step);
        return;
    } else if (is_abreast(r)) {
        rolling_many_f64(&how, r->series, each, v->from, step, v->to, step);
        return;
    }
    struct rolling_sums *s = rolling_sums_new(&how);
    for (size_t i = 0; i < r->series; i++) {
        ptrdiff_t at = (ptrdiff_t)i * step.series;
        rolling_sums_reset(s);
        if (v->single)
            rolling_sums_push_f32(s, (const float *)v->from + at, step.value, each,
                                  (float *)v->to + at, step.value);
        else
            rolling_sums_push_f64(s, (const double *)v->from + at, step.value, each,
                                  (double *)v->to + at, step.value);
    }
    rolling_sums_free(s);
}

static void run_order(const struct rolling *r, const struct rolling_order_options *how, size_t each,
                      const struct numbers *v)
{
    struct rolling_orders *s = rolling_order_new(how);
    struct rolling_steps step = steps_of(r, each);
    for (size_t i = 0; i < r->series; i++) {
        ptrdiff_t at = (ptrdiff_t)i * step.series;
        rolling_order_reset(s);
        if (v->single)
            rolling_order_push_f32(s, (const float *)v->from + at, step.value, each,
                                   (float *)v->to + at, step.value);
        else
            rolling_order_push_f64(s, (const double *)v->from + at, step.value, each,
                                   (double *)v->to + at, step.value);
    }
    rolling_order_free(s);
}

static size_t sums_bytes(const struct rolling *r)
{
    return (is_abreast(r) ? 256 * (r->window + 64) : 2 * (r->window + 4096)) * sizeof(double);
}

/* app.kernels.rolling(stat, values, window, [options]) -> as values | nil, message, code */
static int l_rolling(lua_State *L)
{
    static const char usage[] = "app.kernels.rolling(stat, values, window, [options])";
    struct rolling r;
    struct numbers v;
    check_rolling(L, &r, usage);
    if (!numbers_take(L, 2, usage, &v))
        return 3;
    size_t each = check_series(L, &r, v.n, usage);
    /* a longer window holds no more values; weights are by the place in a full one */
    bool weighted = !r.what->order && r.what->kind == ROLLING_WEIGHTED;
    if (!weighted && r.window > each)
        r.window = each + 1;
    if (r.min_periods > r.window)
        r.min_periods = r.window;
    struct rolling_order_options how = {.kind = (enum rolling_order)r.what->kind,
                                        .window = r.window,
                                        .min_periods = r.min_periods,
                                        .q = r.q,
                                        .skip_nan = r.skip_nan};
    size_t bytes = r.what->order ? rolling_order_bytes(&how) : sums_bytes(&r);
    struct err err = {0};
    if (!vm_charge(vm_of(L), bytes, &err))
        return push_error(L, &err);
    if (r.what->order)
        run_order(&r, &how, each, &v);
    else
        run_sums(&r, each, &v);
    vm_uncharge(vm_of(L), bytes);
    numbers_push(L, &v);
    return 1;
}

/* ---- averages of all values so far ------------------------------------- */

static double check_alpha(lua_State *L, const char *usage)
{
    double alpha = opt_number(L, 2, "alpha", 0, usage), span = opt_number(L, 2, "span", 0, usage);
    double halflife = opt_number(L, 2, "halflife", 0, usage);
    if ((alpha != 0) + (span != 0) + (halflife != 0) != 1)
        args_error(L, "%s: options must have one of alpha, span, halflife", usage);
    if (span != 0)
        alpha = span >= 1 ? 2 / (span + 1) : 0;
    else if (halflife != 0)
        alpha = halflife > 0 ? -expm1(-log(2) / halflife) : 0;
    if (!(alpha > 0 && alpha <= 1))
        args_error(L, "%s: alpha must be over 0, up to 1; span from 1; halflife over 0", usage);
    return alpha;
}

/* app.kernels.exponential(values, options) -> as values | nil, message, code */
static int l_exponential(lua_State *L)
{
    static const char usage[] = "app.kernels.exponential(values, options)";
    static const char *const known[] = {"alpha",     "span",        "halflife", "adjust",
                                        "ignore_na", "min_periods", NULL};
    args_table(L, 2, usage, "options");
    opt_known(L, 2, known, usage);
    struct exponential_options how = {
        .alpha = check_alpha(L, usage),
        .min_periods = (size_t)check_option(L, 2, "min_periods", 1, 1, NUMBERS_MOST, usage),
        .adjust = opt_boolean(L, 2, "adjust", true, usage),
        .ignore_missing = opt_boolean(L, 2, "ignore_na", false, usage)};
    struct numbers v;
    if (!numbers_take(L, 1, usage, &v))
        return 3;
    struct exponential_average s;
    exponential_begin(&s, &how);
    if (v.single)
        exponential_push_f32(&s, v.from, 1, v.n, v.to, 1);
    else
        exponential_push_f64(&s, v.from, 1, v.n, v.to, 1);
    numbers_push(L, &v);
    return 1;
}

/* app.kernels.cumulative_mean(values) -> as values | nil, message, code */
static int l_cumulative_mean(lua_State *L)
{
    struct numbers v;
    if (!numbers_take(L, 1, "app.kernels.cumulative_mean(values)", &v))
        return 3;
    struct cumulative_mean s;
    cumulative_begin(&s, &(struct cumulative_options){.min_periods = 1, .skip_missing = true});
    if (v.single)
        cumulative_push_f32(&s, v.from, 1, v.n, v.to, 1);
    else
        cumulative_push_f64(&s, v.from, 1, v.n, v.to, 1);
    numbers_push(L, &v);
    return 1;
}

/* ---- Holt-Winters ------------------------------------------------------ */

static const char HOLT_WINTERS[] = "app.kernels.holt_winters(values, options)";

static double check_whole(lua_State *L, const char *key, double otherwise, double least,
                          double most)
{
    double value = check_option(L, 2, key, otherwise, least, most, HOLT_WINTERS);
    if (value != floor(value))
        args_error(L, "%s: %s must be a whole number, got %f", HOLT_WINTERS, key, value);
    return value;
}

static size_t check_holt_winters(lua_State *L, struct holt_winters_options *how)
{
    static const char *const known[] = {"period",  "alpha",    "beta", "gamma",
                                        "horizon", "seasonal", NULL};
    args_table(L, 2, HOLT_WINTERS, "options");
    opt_known(L, 2, known, HOLT_WINTERS);
    struct str seasonal = opt_string(L, 2, "seasonal", STR("additive"), HOLT_WINTERS);
    if (str_eq_c(seasonal, "additive"))
        how->seasonal = HOLT_WINTERS_ADDITIVE;
    else if (str_eq_c(seasonal, "multiplicative"))
        how->seasonal = HOLT_WINTERS_MULTIPLICATIVE;
    else if (str_eq_c(seasonal, "none"))
        how->seasonal = HOLT_WINTERS_NONE;
    else
        args_error(L, "%s: seasonal must be \"additive\", \"multiplicative\" or \"none\", got %s",
                   HOLT_WINTERS, seasonal.p);
    bool none = how->seasonal == HOLT_WINTERS_NONE;
    how->period = (size_t)check_whole(L, "period", none ? 1 : 0, none ? 1 : 2, PERIOD_MOST);
    how->alpha = check_option(L, 2, "alpha", 0.3, 0, 1, HOLT_WINTERS);
    how->beta = check_option(L, 2, "beta", 0.1, 0, 1, HOLT_WINTERS);
    how->gamma = check_option(L, 2, "gamma", 0.1, 0, 1, HOLT_WINTERS);
    return (size_t)check_whole(L, "horizon", fmin((double)how->period, HORIZON_MOST), 1,
                               HORIZON_MOST);
}

/* Smooths all of v; false with *err and, when it is one value's fault, *bad (from 1). */
static bool smooth(const struct holt_winters_options *how, const struct numbers *v, size_t horizon,
                   double *result, size_t *bad, struct err *err)
{
    struct holt_winters *s = holt_winters_new(how);
    size_t taken = v->single ? holt_winters_push_f32(s, v->from, 1, v->n, v->to, 1)
                             : holt_winters_push_f64(s, v->from, 1, v->n, v->to, 1);
    *bad = 0;
    if (taken < v->n) {
        *bad = taken + 1;
        err_set(err, ERR_INVALID, "value %zu is infinite, or not above 0 as ratios need it", *bad);
    } else if (!holt_winters_forecast(s, horizon, result + 2)) {
        err_set(err, ERR_INVALID,
                "it begins with two periods of values, about a line that is above 0 for ratios");
    }
    result[0] = holt_winters_level(s);
    result[1] = holt_winters_trend(s);
    holt_winters_free(s);
    return !err->code;
}

/* app.kernels.holt_winters(values, options)
 *   -> { forecast, fitted, level, trend } | nil, message, code, index */
static int l_holt_winters(lua_State *L)
{
    struct holt_winters_options how;
    struct numbers v;
    struct err err = {0};
    size_t bad, horizon = check_holt_winters(L, &how);
    if (!numbers_take(L, 1, HOLT_WINTERS, &v))
        return 3;
    double *result = lua_newuserdata(L, (horizon + 2) * sizeof *result);
    if (!smooth(&how, &v, horizon, result, &bad, &err)) {
        int results = push_error(L, &err);
        if (bad)
            lua_pushinteger(L, (lua_Integer)bad);
        return results + (bad != 0);
    }
    lua_createtable(L, 0, 4);
    numbers_push_array(L, result + 2, horizon);
    lua_setfield(L, -2, "forecast");
    numbers_push(L, &v);
    lua_setfield(L, -2, "fitted");
    lua_pushnumber(L, result[0]);
    lua_setfield(L, -2, "level");
    lua_pushnumber(L, result[1]);
    lua_setfield(L, -2, "trend");
    return 1;
}

void kernels_rolling_register(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"cumulative_mean", l_cumulative_mean},
        {"exponential", l_exponential},
        {"holt_winters", l_holt_winters},
        {"rolling", l_rolling},
        {NULL, NULL},
    };
    luaL_register(L, NULL, functions);
}
