/* celery_lua.c -- the options of app.jobs:push_celery, under the names Celery has for them. */
#include <lauxlib.h>
#include <math.h>

#include "base/clock.h"
#include "bind/jobs_lua.h"
#include "jobs/celery/text.h"
#include "vm/args.h"

#define USAGE "app.jobs:push_celery(task, [args], [kwargs], [options])"

enum { RETRIES_MOST = 1000, QUEUE_BYTES = 100 };

static int type_of(lua_State *L, int options, const char *key)
{
    opt_push(L, options, key);
    int type = lua_type(L, -1);
    lua_pop(L, 1);
    return type;
}

static bool is_set(lua_State *L, int options, const char *key)
{
    return type_of(L, options, key) != LUA_TNIL;
}

/* A whole number up to `most`; -1: there is none. */
static int read_whole(lua_State *L, int options, const char *key, int most)
{
    double n = opt_number(L, options, key, NAN, USAGE);
    if (isnan(n))
        return -1;
    if (n < 0 || n > most || n != floor(n))
        args_error(L, USAGE ": options.%s must be a whole number from 0 to %d", key, most);
    return (int)n;
}

/* 0 is the first to run, as on Redis everywhere; the words are maru's. */
static void read_priority(lua_State *L, int options, struct job_spec *spec)
{
    static const char *const names[] = {"high", "normal", "low"};
    if (type_of(L, options, "priority") == LUA_TSTRING) {
        struct str text = opt_string(L, options, "priority", STR(""), USAGE);
        for (int i = 0; i < 3; i++)
            if (str_eq_c(text, names[i]))
                spec->priority = i + 1;
        if (spec->priority == 0)
            args_error(L, USAGE ": options.priority must be 0 to 9, high, normal or low");
        return;
    }
    int n = read_whole(L, options, "priority", 9);
    if (n < 0)
        return;
    spec->wire_priority = n + 1;
    spec->priority = n < 3 ? 1 : n < 6 ? 2 : 3;
}

/* ISO 8601 text of an instant; false: it is something else. */
static bool read_iso(lua_State *L, int options, const char *key, int64_t *wall_ns)
{
    if (type_of(L, options, key) != LUA_TSTRING)
        return false;
    return celery_time_parse(opt_string(L, options, key, STR(""), USAGE), wall_ns);
}

static void read_eta(lua_State *L, int options, struct job_spec *spec)
{
    if (is_set(L, options, "eta") && is_set(L, options, "countdown"))
        args_error(L, USAGE ": options.countdown or options.eta, not both");
    int64_t countdown = opt_duration(L, options, "countdown", 0, USAGE);
    if (countdown > 0)
        spec->run_at_wall = clock_wall_ns() + countdown;
    if (read_iso(L, options, "eta", &spec->run_at_wall))
        return;
    if (type_of(L, options, "eta") == LUA_TSTRING)
        args_error(L, USAGE ": options.eta must be seconds since 1970 or an ISO 8601 time");
    double at = opt_number(L, options, "eta", -1, USAGE);
    if (is_set(L, options, "eta") && !(at >= 0 && at <= 4e9))
        args_error(L, USAGE ": options.eta must be seconds since 1970 or an ISO 8601 time");
    if (at > 0)
        spec->run_at_wall = (int64_t)(at * (double)NS_PER_SECOND);
}

/* Counted from now, as Celery does, and not from when the task is due. */
static void read_expires(lua_State *L, int options, struct job_spec *spec)
{
    if (!is_set(L, options, "expires") || read_iso(L, options, "expires", &spec->expires_at_wall))
        return;
    int64_t ns = opt_duration(L, options, "expires", 0, USAGE);
    if (ns <= 0)
        args_error(L, USAGE ": options.expires must be longer than 0");
    spec->expires_at_wall = clock_wall_ns() + ns;
}

static int64_t read_limit(lua_State *L, int options, const char *key)
{
    int64_t ns = opt_duration(L, options, key, 0, USAGE);
    if (is_set(L, options, key) && ns <= 0)
        args_error(L, USAGE ": options.%s must be longer than 0", key);
    return ns;
}

static void read_queue(lua_State *L, int options, struct job_spec *spec)
{
    spec->queue = opt_string(L, options, "queue", STR("celery"), USAGE);
    bool good = spec->queue.n > 0 && spec->queue.n <= QUEUE_BYTES;
    for (size_t i = 0; good && i < spec->queue.n; i++)
        good = (unsigned char)spec->queue.p[i] > ' ' && spec->queue.p[i] != 0x7F;
    if (!good)
        args_error(L, USAGE ": options.queue must be 1 to %d characters without spaces",
                   QUEUE_BYTES);
}

void jobs_read_celery(lua_State *L, int options, struct job_spec *spec)
{
    static const char *const known[] = {"queue",    "countdown", "eta",        "expires",
                                        "priority", "retries",   "time_limit", "soft_time_limit",
                                        "celery",   NULL};
    if (is_set(L, options, "max_retries"))
        args_error(L, USAGE ": max_retries is the task's own, in Python: @app.task(max_retries=3);"
                            " options.retries is how many attempts came before");
    opt_known(L, options, known, USAGE);
    spec->external = true;
    read_queue(L, options, spec);
    read_priority(L, options, spec);
    read_eta(L, options, spec);
    read_expires(L, options, spec);
    int retries = read_whole(L, options, "retries", RETRIES_MOST);
    spec->wire_retries = retries > 0 ? retries : 0;
    spec->timeout_ns = read_limit(L, options, "time_limit");
    spec->soft_timeout_ns = read_limit(L, options, "soft_time_limit");
}
