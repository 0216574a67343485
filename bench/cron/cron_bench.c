/* cron_bench.c -- what many schedules cost the control lane, on a clock that is moved by hand.
 *
 * usage: cron_bench DIR [--json] [COUNT].  A push is answered at once: the jobs' own cost is what
 * `scripts/bench jobs` measures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cron/cron.h"
#include "cron/schedule.h"
#include "observe/log.h"
#include "storage/sqlite.h"

enum { HOUR = 3600, COUNT = 10000 };

static const char *const patterns[] = {
    "*/5 * * * *",        "2-59/5 * * * *", "@every 30s", "0 * * * *",     "30 4 * * *",
    "0 9-17 * * mon-fri", "@every 5m",      "0 0 1 * *",  "15 30 2 * * *", "*/10 * * * *",
};
static const char *const zones[] = {"Asia/Seoul", "America/New_York", "Europe/London", "UTC"};

static bool json;
static int64_t wall, fires;

static int64_t test_wall(void)
{
    return wall * NS_PER_SECOND;
}

static void push(struct cron_push *push, void *arg)
{
    (void)arg;
    push->job_id = ++fires;
    push->done(push);
}

static void report(const char *name, double value, const char *unit)
{
    if (json)
        printf("{\"group\":\"cron\",\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\",\"peer\":null,"
               "\"peer_value\":null,\"ratio\":null,\"runs\":1}\n",
               name, value, unit);
    else
        printf("%-44s %12.4f %s\n", name, value, unit);
}

struct work {
    struct cron *cron;
    struct cron_schedule *list;
    int count;
};

static void measure(void *arg)
{
    struct work *w = arg;
    struct err err = {0};
    int64_t cpu = clock_cpu_ns(), ticks = 0, next;
    if (!cron_set(w->cron, w->list, w->count, &err))
        fprintf(stderr, "%s\n", err.message);
    report("a new set", (double)(clock_cpu_ns() - cpu) / 1e6, "ms");
    cpu = clock_cpu_ns();
    /* As the lane's timer does: at the next instant, or after half a minute. */
    for (int64_t until = wall + HOUR; wall < until; ticks++) {
        next = cron_tick(w->cron);
        wall = next <= wall ? wall : next < wall + 30 ? next : wall + 30;
    }
    double spent = (double)(clock_cpu_ns() - cpu);
    report("fires in an hour", (double)fires, "");
    report("ticks in an hour", (double)ticks, "");
    report("CPU of an hour", spent / 1e6, "ms");
    report("share of one core", spent / 1e9 / HOUR * 100, "%");
    report("CPU of a fire", spent / (double)fires / 1e3, "us");
    wall += 24 * HOUR;
    fires = 0;
    cpu = clock_cpu_ns();
    for (ticks = 1; cron_tick(w->cron) <= wall; ticks++)
        continue;
    report("after a day asleep", (double)(clock_cpu_ns() - cpu) / 1e6, "ms");
    report("in so many turns of the lane", (double)ticks, "");
    struct buf out = {0};
    cpu = clock_cpu_ns();
    cron_print(w->cron, &out);
    report("shown, with five runs each", (double)(clock_cpu_ns() - cpu) / 1e6, "ms");
    buf_free(&out);
    cron_stop(w->cron);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    char path[512];
    struct work w = {.count = COUNT};
    for (int i = 2; i < argc; i++) {
        json = json || !strcmp(argv[i], "--json");
        w.count = atoi(argv[i]) > 0 ? atoi(argv[i]) : w.count;
    }
    snprintf(path, sizeof path, "%s/maru.db", argc > 1 ? argv[1] : ".");
    log_setup(-1, LOG_ERROR);
    struct pool *pool = pool_create("pool", 2, &err);
    struct store *store = sqlite_open(&(struct sqlite_options){.path = path, .pool = pool}, &err);
    struct lane *lane = lane_create(0, LANE_CONTROL, "control", &err);
    if (!store || !lane || !lane_start(lane, NULL, NULL, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    wall = clock_wall_ns() / NS_PER_SECOND;
    w.cron = cron_open(
        &(struct cron_options){.store = store, .lane = lane, .push = push, .wall_ns = test_wall},
        &err);
    w.list = mem_zero((size_t)w.count, sizeof *w.list);
    for (int i = 0; w.cron && i < w.count; i++)
        w.list[i] = (struct cron_schedule){.plugin = "bench",
                                           .id = mem_printf("%d", i),
                                           .pattern = patterns[i % 10],
                                           .tz = zones[i % 4],
                                           .kind = "bench.noop",
                                           .jitter = i % 3 ? 0 : 60,
                                           .enabled = true};
    lane_call_wait(lane, measure, &w);
    lane_stop(lane);
    lane_join(lane);
    cron_close(w.cron);
    lane_destroy(lane);
    store_close(store);
    pool_destroy(pool);
    return 0;
}
