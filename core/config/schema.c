/* schema.c -- every configuration key. */
#include <stddef.h>

#include "config/config.h"

#define MS     INT64_C(1000000)
#define SECOND (1000 * MS)
#define DAY    (86400 * SECOND)
#define KIB    INT64_C(1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)

const struct config_key config_keys[] = {
    {"state.dir", CONFIG_TEXT, "state", 0, 0,
     "Everything maru writes is below this folder; commands find the admin socket by it."},

    {"http.listen", CONFIG_TEXT, "127.0.0.1:8080", 0, 0,
     "HTTP/1.1 without TLS, host:port; port 0 picks a free one; empty = off."},
    {"https.listen", CONFIG_TEXT, "127.0.0.1:8443", 0, 0,
     "HTTP/1.1 and HTTP/2 over TLS; empty = off."},
    {"https.certificate", CONFIG_TEXT, "", 0, 0,
     "PEM chain; empty = one made at the first start in state.dir."},
    {"https.key", CONFIG_TEXT, "", 0, 0, "PEM key of the certificate."},
    {"admin.listen", CONFIG_TEXT, "", 0, 0,
     "Port of the operations page and admin API, behind a token; empty = unix socket only."},
    {"http.access_log", CONFIG_BOOLEAN, "false", 0, 0,
     "One JSON line a request on standard output."},
    {"http.cors_origins", CONFIG_LIST, "", 0, 0,
     "Origins other than our own that browsers may call from; * = any."},
    {"http.header_bytes", CONFIG_SIZE, "16K", 1 * KIB, 1 * MIB,
     "Request line and headers; over it 431."},
    {"http.body_bytes", CONFIG_SIZE, "1M", 1 * KIB, 1 * GIB,
     "Body of a route that says nothing; over it 413."},
    {"http.header_timeout", CONFIG_DURATION, "10s", 10 * MS, DAY, "Time for a request's headers."},
    {"http.body_timeout", CONFIG_DURATION, "10s", 10 * MS, DAY, "Time without a byte of a body."},
    {"http.idle_timeout", CONFIG_DURATION, "60s", 10 * MS, DAY, "Keep-alive without a request."},
    {"http.send_timeout", CONFIG_DURATION, "60s", 10 * MS, DAY,
     "Patience with a client that does not take its answers; each KiB taken gives a second back."},
    {"http.unsent_bytes", CONFIG_SIZE, "4M", 64 * KIB, 1 * GIB,
     "Answers that one connection has not taken; over it its next requests wait."},
    {"http.tasks_per_connection", CONFIG_INTEGER, "128", 1, 10000,
     "Requests of one connection at a time."},
    {"http.connections", CONFIG_INTEGER, "20000", 1, 1000000, "Connections of one lane."},
    {"http.max_cancels", CONFIG_INTEGER, "100", 1, 1000000,
     "Requests a second one connection may cancel before it is closed."},
    {"http.max_control_frames", CONFIG_INTEGER, "1000", 10, 1000000,
     "HTTP/2 frames a second without request or data before a connection is closed."},
    {"http.cache_bytes", CONFIG_SIZE, "32M", 0, 64 * GIB,
     "Kept answers of routes with a cache option."},
    {"public.dir", CONFIG_TEXT, "", 0, 0,
     "The dashboard's files; empty = those that came with the program."},

    {"plugins.path", CONFIG_TEXT, "plugins", 0, 0,
     "Folders of plugins, colon-separated; a folder given first wins."},
    {"plugins.disable", CONFIG_LIST, "simulator", 0, 0, "Plugins that are not loaded."},
    {"plugins.tolerate", CONFIG_LIST, "", 0, 0,
     "Plugins that may be broken at start-up; the rest starts without them."},
    {"plugins.quarantine_kills", CONFIG_INTEGER, "3", 1, 1000,
     "A plugin that had to be ended by force so often is held back until it is released."},
    {"plugins.quarantine_time", CONFIG_DURATION, "60s", 1 * SECOND, DAY,
     "The time within which these count."},
    {"plugins.trust", CONFIG_LIST, "", 0, 0,
     "Plugins that may reach more than before without `maru reload NAME --allow`; * = all."},
    {"plugins.watch", CONFIG_BOOLEAN, "true", 0, 0, "Reload a plugin when its files change."},
    {"development", CONFIG_BOOLEAN, "true", 0, 0,
     "Error answers and pages show file, line and source; browsers do not cache."},
    {"reload.drain", CONFIG_DURATION, "30s", 0, DAY, "Time for tasks of a replaced generation."},
    {"reload.generations", CONFIG_INTEGER, "4", 1, 100,
     "Live generations of one plugin, the one serving included; over it the oldest ends at once."},
    {"reload.start_time", CONFIG_DURATION, "10s", 10 * MS, DAY,
     "Time of a plugin's start(), and of its stop()."},

    {"lanes.web", CONFIG_INTEGER, "0", 0, 32, "Threads that serve; 0 = one a core."},
    {"lanes.job", CONFIG_INTEGER, "0", 0, 32, "Threads that run jobs; 0 = one a core."},
    {"pool.threads", CONFIG_INTEGER, "4", 1, 256, "Threads for what blocks."},
    {"vm.memory", CONFIG_SIZE, "64M", 1 * MIB, 64 * GIB,
     "Lua memory of one plugin on one lane, unless it says otherwise."},
    {"task.timeout", CONFIG_DURATION, "30s", 10 * MS, DAY,
     "Time of one handler, unless its plugin says otherwise."},
    {"watchdog", CONFIG_DURATION, "1s", 50 * MS, DAY,
     "How long one handler may hold its lane without waiting, unless its plugin says otherwise."},
    {"shutdown.grace", CONFIG_DURATION, "10s", 0, DAY,
     "Time to finish what runs when told to stop."},

    {"store.readers", CONFIG_INTEGER, "4", 1, 64, "Reading connections of the relational store."},
    {"series.library", CONFIG_TEXT, "", 0, 0,
     "Path of libduckdb.so; empty = beside the program, then the system's."},
    {"series.memory", CONFIG_SIZE, "512M", 64 * MIB, 1024 * GIB, "Memory DuckDB may use."},
    {"series.threads", CONFIG_INTEGER, "2", 1, 256, "Threads DuckDB may use."},
    {"cache.memory", CONFIG_SIZE, "64M", 1 * MIB, 1024 * GIB,
     "In-process cache; over it the least recently used goes."},
    {"jobs.concurrency", CONFIG_INTEGER, "64", 1, 10000, "Jobs one job lane runs at a time."},
    {"jobs.result_ttl", CONFIG_DURATION, "1d", 0, 3650 * DAY, "How long results are kept."},
    {"cron.tz", CONFIG_TEXT, "Asia/Seoul", 0, 0, "Zone of schedules that name none."},

    {"log.level", CONFIG_TEXT, "info", 0, 0, "debug, info, warn or error."},
    {"log.file", CONFIG_TEXT, "", 0, 0, "Where log lines go; empty = standard error."},
    {NULL, CONFIG_TEXT, NULL, 0, 0, NULL},
};
