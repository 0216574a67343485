/* metrics_lua.c -- app.metrics.  Wraps observe/metrics.h; lua/maru/metrics.lua keeps the handles.
 */
#include <lauxlib.h>
#include <stdio.h>

#include "bind/bind.h"
#include "observe/metrics.h"
#include "vm/args.h"
#include "vm/vm.h"

enum { METRIC_NAME_BYTES = 100, METRIC_LABELS = 8, METRIC_VALUE_BYTES = 200 };

static const char usage[] = "app.metrics:count(name, [value], [labels])";

static bool is_name(struct str name)
{
    if (name.n == 0 || name.n > METRIC_NAME_BYTES || (name.p[0] >= '0' && name.p[0] <= '9'))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}

/* Collects the label names of the table at index, sorted; returns how many. */
static int label_names(lua_State *L, int index, struct str names[METRIC_LABELS])
{
    int count = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        struct str name = {0};
        if (lua_type(L, -2) == LUA_TSTRING)
            name.p = lua_tolstring(L, -2, &name.n);
        if (!is_name(name) || str_eq_c(name, "plugin"))
            args_error(L, "%s: a label's name is [a-z_][a-z0-9_]* and not \"plugin\"", usage);
        if (count == METRIC_LABELS)
            args_error(L, "%s: at most %d labels", usage, METRIC_LABELS);
        int at = count++;
        for (; at > 0 && str_cmp(names[at - 1], name) > 0; at--)
            names[at] = names[at - 1];
        names[at] = name;
    }
    return count;
}

static void add_labels(lua_State *L, int index, struct buf *out)
{
    struct str names[METRIC_LABELS];
    int count = label_names(L, index, names);
    for (int i = 0; i < count; i++) {
        lua_pushlstring(L, names[i].p, names[i].n);
        lua_rawget(L, index);
        struct str value;
        if (lua_isboolean(L, -1))
            value = lua_toboolean(L, -1) ? STR("true") : STR("false");
        else if (!(value.p = lua_tolstring(L, -1, &value.n)))
            args_error(L, "%s: label %s must be text, got %s", usage, names[i].p,
                       luaL_typename(L, -1));
        if (value.n > METRIC_VALUE_BYTES)
            args_error(L, "%s: label %s has more than %d bytes", usage, names[i].p,
                       METRIC_VALUE_BYTES);
        metrics_label(out, names[i].p, value);
        lua_pop(L, 1);
    }
}

/* handle("counter"|"gauge"|"histogram", name, [labels]) -> light userdata */
static int l_handle(lua_State *L)
{
    struct str kind = args_string(L, 1, usage, "kind");
    struct str name = args_string(L, 2, usage, "name");
    if (!is_name(name))
        args_fail(L, usage, "name", "[a-z_][a-z0-9_]* of at most 100 bytes", 2);
    struct vm *vm = vm_of(L);
    struct buf *labels = vm_scratch(vm);
    metrics_label(labels, "plugin", str_c(vm_plugin(vm)));
    if (args_opt_table(L, 3, usage, "labels"))
        add_labels(L, 3, labels);
    char full[METRIC_NAME_BYTES + 20];
    snprintf(full, sizeof full, "maru_plugin_%s", name.p);
    if (vm_samples_have(full))
        args_error(L, "%s: %s is the host's own metric", usage, full);
    static const char help[] = "Counted by a plugin.";
    enum metric_kind which = str_eq_c(kind, "counter") ? METRIC_COUNTER
                             : str_eq_c(kind, "gauge") ? METRIC_GAUGE
                                                       : METRIC_HISTOGRAM;
    struct metric *metric = metrics_get(which, full, help, labels->p);
    if (!metric)
        args_error(L, "%s: %s is a metric of another kind", usage, full);
    lua_pushlightuserdata(L, metric);
    return 1;
}

static struct metric *check_handle(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
    return lua_touserdata(L, 1);
}

static int l_add(lua_State *L)
{
    metric_add(check_handle(L), args_number(L, 2, 0, 1e300, usage, "value"));
    return 0;
}

static int l_set(lua_State *L)
{
    metric_set(check_handle(L), args_number(L, 2, -1e300, 1e300,
                                            "app.metrics:gauge(name, value, [labels])", "value"));
    return 0;
}

static int l_observe(lua_State *L)
{
    metric_observe(
        check_handle(L),
        args_number(L, 2, 0, 1e300, "app.metrics:observe(name, seconds, [labels])", "seconds"));
    return 0;
}

static const luaL_Reg functions[] = {
    {"handle", l_handle}, {"add", l_add}, {"set", l_set}, {"observe", l_observe}, {NULL, NULL},
};

int bind_metrics(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
