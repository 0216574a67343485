/* jobs_bench.c -- durable jobs a second: pushed in bulk, pushed singly, run to their end in Lua.
 *
 * usage: jobs_bench DIR [--json] [COUNT].  A push counts when it is on disk.  What
 * peers were measured at is said in bench/README.md. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/bind.h"
#include "bind/jobs_run.h"
#include "jobs/admin.h"
#include "observe/log.h"
#include "storage/sqlite.h"
#include "vm/host.h"
#include "vm/vm.h"

enum { LANES = 2, CAPACITY = 64, INFLIGHT = 512, IDLE_PUSHES = 500 };

static const char plugin[] = "local M = { name = 'bench', version = '1.0.0' }\n"
                             "M.jobs = { noop = function() end }\n"
                             "return M\n";

static bool json;
static struct host host;
static struct jobs *jobs;
static struct lane *control, *lanes[LANES];
static struct vm *vms[LANES + 1];
static struct plugin_decl *decl;
static struct job_target target;
static struct bundle_file file = {"plugin.lua", (char *)(uintptr_t)plugin, sizeof plugin - 1};
static char folder[] = "plugins/bench";
static struct bundle bundle = {.name = "bench", .dir = folder, .files = &file, .count = 1};

static void report(const char *name, double value, const char *unit, const char *peer, double other,
                   bool more_is_better)
{
    double ratio = more_is_better ? value / other : other / value;
    if (json)
        printf("{\"group\":\"jobs\",\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",\"peer\":\"%s\","
               "\"peer_value\":%.3f,\"ratio\":%.2f,\"runs\":1}\n",
               name, value, unit, peer, other, ratio);
    else
        printf("%-34s %12.2f %-8s  %-24s %12.2f   x %.2f\n", name, value, unit, peer, other, ratio);
}

static void check(bool ok, const struct err *err)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static double cpu_us(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static double seconds_since(int64_t start)
{
    return (double)(clock_ns() - start) / (double)NS_PER_SECOND;
}

static void make_vm(void *arg)
{
    struct lane *lane = arg;
    struct err err = {0};
    struct vm_options options = {.lane = lane,
                                 .host = &host,
                                 .bundle = &bundle,
                                 .label = "bench@0",
                                 .config_json = str_c("")};
    vms[lane->index] = vm_create(&options, decl ? NULL : &decl, &err);
    check(vms[lane->index] != NULL, &err);
}

static struct vm *vm_of_lane(void *owner, struct lane *lane)
{
    (void)owner;
    return vms[lane->index];
}

static void serve(bool on)
{
    struct job_kind_options kind = {.kind = "bench.noop",
                                    .queue = "default",
                                    .priority = JOB_NORMAL,
                                    .backoff_ns = NS_PER_SECOND,
                                    .target = &target};
    jobs_set_kinds(jobs, &kind, on);
}

static void open_all(const char *dir)
{
    struct err err = {0};
    char *db = mem_printf("%s/maru.db", dir), *flight = mem_printf("%s/jobs.flight", dir);
    log_setup(-1, LOG_ERROR);
    struct pool *pool = pool_create("pool", 2, &err);
    struct sqlite_options so = {.path = db, .pool = pool};
    struct store *store = sqlite_open(&so, &err);
    check(store != NULL, &err);
    control = lane_create(0, LANE_CONTROL, "control", &err);
    check(control && lane_start(control, NULL, NULL, &err), &err);
    struct jobs_options jo = {.store = store,
                              .lane = control,
                              .flight_path = flight,
                              .run = jobs_run_task,
                              .cancel = jobs_cancel_task};
    jobs = jobs_open(&jo, &err);
    check(jobs != NULL, &err);
    host.bind = bind_all;
    host.jobs = jobs;
    host.store = store;
    for (int i = 0; i < LANES; i++) {
        lanes[i] = lane_create(i + 1, LANE_JOB, "job", &err);
        check(lanes[i] && lane_start(lanes[i], NULL, NULL, &err), &err);
        check(jobs_add_worker(jobs, lanes[i], CAPACITY, &err), &err);
        lane_call_wait(lanes[i], make_vm, lanes[i]);
    }
    target = (struct job_target){vm_of_lane, NULL, decl->jobs[0].handler};
    jobs_start(jobs);
    mem_free(db);
    mem_free(flight);
}

static const struct job_spec spec = {.kind = {"bench.noop", 10}};

static void wait_done(int64_t count)
{
    while (jobs_counts(jobs).done_total < count)
        usleep(500);
}

/* Pushed while nobody runs them, then run. */
static void bench_bulk(int count)
{
    struct err err = {0};
    struct str *args = mem_alloc((size_t)count * sizeof *args);
    for (int i = 0; i < count; i++)
        args[i] = STR("{\"id\":123456,\"name\":\"somebody\"}");
    int64_t start = clock_ns();
    check(jobs_push_wait(jobs, &spec, args, count, &err) > 0, &err);
    report("bulk push", count / seconds_since(start), "jobs/s", "graphile-worker", 85000, true);
    start = clock_ns();
    serve(true);
    wait_done(count);
    report("run to done, no-op Lua", count / seconds_since(start), "jobs/s", "graphile tuned",
           57000, true);
    mem_free(args);
}

struct flying {
    struct jobs_push push; /* first */
};
static _Atomic int64_t left;

static void push_next(struct jobs_push *push)
{
    static const struct str args = {"{\"id\":123456}", 13};
    struct err err = {0};
    if (atomic_fetch_sub(&left, 1) > 0)
        check(jobs_push(jobs, push, &spec, &args, 1, &err), &err);
}

static void begin_pushes(void *arg)
{
    struct flying *f = arg;
    for (int i = 0; i < INFLIGHT; i++) {
        f[i].push.lane = control;
        f[i].push.done = push_next;
        push_next(&f[i].push);
    }
}

/* One by one, many under way, while they run. */
static void bench_cycle(int count)
{
    struct flying *f = mem_zero(INFLIGHT, sizeof *f);
    int64_t before = jobs_counts(jobs).done_total, start = clock_ns();
    double cpu = cpu_us();
    atomic_store(&left, count);
    lane_call(control, begin_pushes, f);
    wait_done(before + count);
    report("push, run, done, no-op Lua", count / seconds_since(start), "jobs/s", "BullMQ", 20600,
           true);
    report("CPU of push, run, done", (cpu_us() - cpu) / count, "us/job", "BullMQ", 82, false);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* From the push to the acknowledgement of an idle queue, whose job has begun by then or begins. */
static void bench_idle(void)
{
    static const struct str args = {"{}", 2};
    double ms[IDLE_PUSHES];
    struct err err = {0};
    for (int i = 0; i < IDLE_PUSHES; i++, usleep(1000)) {
        int64_t start = clock_ns(), done = jobs_counts(jobs).done_total;
        check(jobs_push_wait(jobs, &spec, &args, 1, &err) > 0, &err);
        ms[i] = seconds_since(start) * 1e3;
        wait_done(done + 1);
    }
    qsort(ms, IDLE_PUSHES, sizeof *ms, compare);
    report("push acknowledged, idle, p50", ms[IDLE_PUSHES / 2], "ms", "BullMQ", 2.6, false);
    report("push acknowledged, idle, p99", ms[IDLE_PUSHES * 99 / 100], "ms", "BullMQ", 2.6, false);
}

int main(int argc, char **argv)
{
    int count = 300000;
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else
            count = atoi(argv[i]);
    if (argc < 2 || count < 1 || count > JOBS_PUSH_COUNT) {
        fprintf(stderr, "usage: jobs_bench DIR [--json] [COUNT]\n");
        return 2;
    }
    open_all(argv[1]);
    bench_bulk(count);
    bench_cycle(count);
    bench_idle();
    fflush(NULL);
    _exit(0); /* the folder is thrown away */
}
