#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "channels/bus.h"
#include "channels/channel.h"
#include "config/config.h"
#include "kernels/forecaster.h"
#include "kernels/gpu.h"
#include "loop/pool.h"
#include "model/model.h"
#include "observe/log.h"
#include "observe/trace.h"
#include "search/search.h"
#include "series/series.h"
#include "server_parts.h"
#include "storage/cache_driver.h"
#include "storage/sqlite.h"
#include "supervisor.h"

/* A predecessor that dies without a word frees the database at once; one that
 * drains is waited for. */
const int64_t server_lock_wait_ns = 5 * NS_PER_SECOND;

/* A reload is no reason to keep a request waiting.  One thread: what VMs leave behind in malloc
 * stands in one arena, where the next ones take it up again. */
enum { LOADER_THREADS = 1, LOADER_NICE = 5 };

static bool pool_start(struct server *s, struct err *err)
{
    s->pool = pool_create("pool", (int)config_integer(s->config, "pool.threads"), err);
    s->loader = s->pool ? pool_create_nice("loader", LOADER_THREADS, LOADER_NICE, err) : NULL;
    if (s->pool && !s->loader)
        pool_destroy(s->pool);
    return s->loader != NULL;
}

static void pool_stop(struct server *s)
{
    pool_destroy(s->loader);
    pool_destroy(s->pool);
}

/* Nothing may be acknowledged after a failed sync: the supervisor starts a
 * server that recovers from what is on disk. */
void server_store_failed(void *arg, const struct err *err)
{
    (void)arg;
    log_error("store", "%s -- ending this process to recover from disk", err->message);
    _Exit(EXIT_STATE);
}

static bool store_start(struct server *s, struct err *err)
{
    char *path = mem_printf("%s/maru.db", s->state_dir);
    struct sqlite_options options = {
        .path = path,
        .pool = s->pool,
        .readers = (int)config_integer(s->config, "store.readers"),
        .lock_wait_ns = server_lock_wait_ns,
        .failed = server_store_failed,
    };
    if (s->in.successor) {
        options.lock_wait_ns += config_ns(s->config, "shutdown.grace");
        supervisor_tell(s, "waiting\n");
    }
    s->store = sqlite_open(&options, err);
    mem_free(path);
    return s->store != NULL;
}

static void store_stop(struct server *s)
{
    store_close(s->store);
}

/* NULL for DuckDB. */
static bool series_url(struct server *s, const char **url, struct err *err)
{
    const char *driver = config_text(s->config, "series.driver");
    bool postgres = !strcmp(driver, "postgres");
    *url = postgres ? config_text(s->config, "series.url") : NULL;
    if (postgres && !**url)
        *url = config_text(s->config, "store.url");
    if (!postgres && strcmp(driver, "duckdb"))
        return err_set(err, ERR_INVALID, "series.driver: \"%s\" is not duckdb or postgres", driver);
    return !postgres || **url ||
           err_set(err, ERR_INVALID,
                   "series.driver is postgres, but series.url and store.url are empty");
}

static bool series_start(struct server *s, struct err *err)
{
    const char *library = config_text(s->config, "series.library");
    const char *url;
    if (!series_url(s, &url, err))
        return false;
    char *path = mem_printf("%s/series.duckdb", s->state_dir);
    char *exports = mem_printf("%s/exports", s->state_dir);
    struct series_options options = {
        .library = *library ? library : NULL,
        .path = path,
        .export_dir = exports,
        .memory_bytes = config_bytes(s->config, "series.memory"),
        .threads = (int)config_integer(s->config, "series.threads"),
        .url = url,
        .pool = s->pool,
    };
    s->series = series_create(&options, err);
    mem_free(path);
    mem_free(exports);
    return s->series != NULL;
}

static void series_stop(struct server *s)
{
    series_destroy(s->series);
}

static bool kernels_start(struct server *s, struct err *err)
{
    const char *path = config_text(s->config, "kernels.gpu");
    if (!*path)
        return true;
    s->gpu = gpu_open(path, err);
    if (!s->gpu)
        return err_wrap(err, "kernels.gpu");
    for (int i = 0; i < gpu_count(s->gpu); i++)
        log_info("kernels", "GPU %d: %s", i, gpu_name(s->gpu, i));
    forecaster_use_gpu(s->gpu, (int)config_integer(s->config, "kernels.gpu_batch"));
    return true;
}

static void kernels_stop(struct server *s)
{
    forecaster_use_gpu(NULL, 0);
    gpu_close(s->gpu);
}

static bool cache_start(struct server *s, struct err *err)
{
    struct cache_options options = {
        .driver = s->guest ? "memory" : config_text(s->config, "cache.driver"),
        .url = config_text(s->config, "cache.url"),
        .prefix = config_text(s->config, "cache.prefix"),
        .memory = (size_t)config_bytes(s->config, "cache.memory"),
        .timeout_ns = config_ns(s->config, "cache.timeout"),
        .lanes = s->lane_count + 1,
    };
    s->cache = cache_driver_create(&options, err);
    return s->cache != NULL;
}

static void cache_stop(struct server *s)
{
    cache_driver_destroy(s->cache);
}

static bool channels_start(struct server *s, struct err *err)
{
    const char *driver = s->guest ? "memory" : config_text(s->config, "channels.driver");
    const char *url = config_text(s->config, "channels.url");
    struct channel_bus_options options = {
        .url = *url ? url : config_text(s->config, "cache.url"),
        .prefix = config_text(s->config, "cache.prefix"),
        .timeout_ns = config_ns(s->config, "cache.timeout"),
    };
    s->channels = channel_hub_create();
    if (strcmp(driver, "memory") == 0)
        return true;
    if (strcmp(driver, "redis") != 0)
        err_set(err, ERR_INVALID, "channels.driver: must be memory or redis, not %s", driver);
    else
        s->bus = channel_bus_create(s->channels, &options, err);
    if (!s->bus)
        channel_hub_destroy(s->channels);
    return s->bus != NULL;
}

static void channels_stop(struct server *s)
{
    channel_hub_destroy(s->channels);
    channel_bus_destroy(s->bus);
}

static bool trace_part_start(struct server *s, struct err *err)
{
    const struct config *c = s->config;
    return trace_start(&(struct trace_options){.url = s->guest ? "" : config_text(c, "trace.url"),
                                               .headers = config_text(c, "trace.headers"),
                                               .service = config_text(c, "trace.service"),
                                               .node = s->node.name,
                                               .version = MARU_VERSION,
                                               .ratio = config_ratio(c, "trace.ratio"),
                                               .parent = config_boolean(c, "trace.parent"),
                                               .spans = (int)config_integer(c, "trace.spans")},
                       err);
}

static void trace_part_stop(struct server *s)
{
    (void)s;
    trace_stop();
}

static bool model_start(struct server *s, struct err *err)
{
    s->model = model_create(s->config, store_sqlite(s->store), err);
    return s->model != NULL;
}

static void model_stop(struct server *s)
{
    model_destroy(s->model);
}

/* The start list, each with the exit code of its failure.  Stopping is its reverse. */
static const struct server_part parts[] = {
    {"supervisor", supervisor_start, supervisor_stop, EXIT_FAILED},
    {"trace", trace_part_start, trace_part_stop, EXIT_CONFIG},
    {"kernels", kernels_start, kernels_stop, EXIT_CONFIG}, /* what the pool computes uses it */
    {"pool", pool_start, pool_stop, EXIT_FAILED},
    {"store", store_start, store_stop, EXIT_STATE},
    {"series", series_start, series_stop, EXIT_STATE},
    {"search", search_start, search_stop, EXIT_STATE},
    {"cache", cache_start, cache_stop, EXIT_FAILED},
    {"channels", channels_start, channels_stop, EXIT_FAILED},
    {"lanes", lanes_start, lanes_stop, EXIT_FAILED},
    {"store", plugin_store_start, plugin_store_stop, EXIT_CONFIG},
    {"watchdog", watchdog_part_start, watchdog_part_stop, EXIT_FAILED},
    {"programs", programs_part_start, programs_part_stop, EXIT_STATE},
    {"events", events_part_start, events_part_stop, EXIT_STATE},
    {"jobs", jobs_part_start, jobs_part_stop, EXIT_STATE},
    {"cron", cron_part_start, cron_part_stop, EXIT_STATE},
    {"model", model_start, model_stop, EXIT_CONFIG},
    {"clients", clients_start, clients_stop, EXIT_FAILED},
    {"mail", mail_part_start, mail_part_stop, EXIT_CONFIG},
    {"objects", objects_start, objects_stop, EXIT_STATE},
    {"http", http_start, http_stop, EXIT_CONFIG},
    {"plugins", plugins_start, plugins_stop, EXIT_CONFIG},
};
enum { PARTS = sizeof parts / sizeof *parts };

static void on_plugins_loaded(const struct reload_result *result, void *arg)
{
    struct server *s = arg;
    struct err err = {0};
    if (s->draining)
        return;
    if (result->ok && web_open(s, &err)) {
        atomic_store(&s->shown.ready, true);
        plugins_watch(s);
        supervisor_tell(s, "ready\n");
        series_begin(s);
        node_begin(s);
        search_begin(s->search);
        objects_upkeep_begin(s);
        return;
    }
    if (err.code)
        fprintf(stderr, "maru: http: %s\n", err.message);
    for (int i = 0; i < result->error_count; i++)
        fprintf(stderr, "maru: %s\n", result->errors[i].message);
    s->exit_code = err.code ? EXIT_CONFIG : EXIT_PLUGIN;
    server_drain(s);
}

static int run(struct server *s)
{
    struct err err = {0};
    int started = 0;
    s->state_dir = config_text(s->config, "state.dir");
    if (!node_read(s->config, &s->node, &err)) {
        fprintf(stderr, "maru: %s\n", err.message);
        return EXIT_CONFIG;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* a terminal's are meant for the supervisor, */
    signal(SIGINT, SIG_IGN); /* which tells by the control socket */
    lanes_count(s);
    s->control = lane_create(s->lane_count, LANE_CONTROL, "control", &err);
    while (s->control && started < PARTS && parts[started].start(s, &err))
        started++;
    if (started == PARTS) {
        if (s->guest)
            s->guest->begin(s);
        else
            plugins_load(s, on_plugins_loaded);
        lane_run(s->control);
    } else {
        fprintf(stderr, "maru: %s: %s\n", parts[started].name, err.message);
        s->exit_code = parts[started].exit_code;
    }
    while (started-- > 0)
        parts[started].stop(s);
    if (s->control)
        lane_destroy(s->control);
    return s->exit_code;
}

int server_run(const struct config *config, const struct server_config *source,
               const struct inherited *in)
{
    struct server s = {.config = config, .source = source, .in = *in};
    return run(&s);
}

int server_run_guest(const struct config *config, const struct inherited *in,
                     struct server_guest *guest)
{
    struct server s = {.config = config, .in = *in, .guest = guest};
    return run(&s);
}
