/* jobs_bench.h -- a queue with two lanes that run Lua jobs, for jobs_bench.c. */
#pragma once

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
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

enum { LANES = 2, CAPACITY = 64, STARTS = 1 << 20, TOGETHER = 64 };

static const char plugin[] = "local M = { name = 'bench', version = '1.0.0' }\n"
                             "M.jobs = { noop = function() end,\n"
                             "  many = { batch = 64, function(app, jobs) end },\n"
                             "  busy = function() local x = 0 for i = 1, 20000 do x = x + i end end"
                             " }\n"
                             "return M\n";

static bool json;
static const char *suffix = ""; /* after each name: what the disk was made to be */
static struct host host;
static struct jobs *jobs;
static struct lane *control, *lanes[LANES];
static struct vm *vms[LANES + 1];
static struct plugin_decl *decl;
static struct job_target target, busy_target, many_target;
static struct bundle_file file = {"plugin.lua", (char *)(uintptr_t)plugin, sizeof plugin - 1};
static char folder[] = "plugins/bench";
static struct bundle bundle = {.name = "bench", .dir = folder, .files = &file, .count = 1};
static _Atomic int64_t started_at[STARTS]; /* by id modulo STARTS: ns, monotonic */

/* aim and peer may be missing: 0 and NULL. */
static void report(const char *name, double value, const char *unit, double aim, const char *peer,
                   double other, bool more_is_better)
{
    double ratio = !peer ? 0 : more_is_better ? value / other : other / value;
    if (json && peer)
        printf("{\"group\":\"jobs\",\"name\":\"%s%s\",\"value\":%.3f,\"unit\":\"%s\",\"peer\":"
               "\"%s\",\"peer_value\":%.3f,\"ratio\":%.2f,\"runs\":1}\n",
               name, suffix, value, unit, peer, other, ratio);
    else if (json)
        printf("{\"group\":\"jobs\",\"name\":\"%s%s\",\"value\":%.3f,\"unit\":\"%s\",\"peer\":null,"
               "\"peer_value\":null,\"ratio\":null,\"runs\":1}\n",
               name, suffix, value, unit);
    else {
        char beside[64] = "", wanted[32] = "";
        if (peer)
            snprintf(beside, sizeof beside, "%s %.6g: x %.2f", peer, other, ratio);
        if (aim > 0)
            snprintf(wanted, sizeof wanted, "(aim %.6g)", aim);
        printf("%-44s%-16s %12.3f %-7s %-14s %s\n", name, suffix, value, unit, wanted, beside);
    }
    fflush(stdout);
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

static double rss_mb(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static double seconds_since(int64_t start)
{
    return (double)(clock_ns() - start) / (double)NS_PER_SECOND;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts. */
static double percentile(double *values, int count, double of_100)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    int at = (int)((double)count * of_100 / 100);
    return count ? values[at < count ? at : count - 1] : 0;
}

/* Late by some 60 us: awake, it would take the core that the queue needs. */
static void wait_until(int64_t at_ns)
{
    for (int64_t left; (left = at_ns - clock_ns()) > 0;) {
        int64_t ns = left < 50000 ? 50000 : left < NS_PER_SECOND ? left : NS_PER_SECOND - 1;
        nanosleep(&(struct timespec){0, (long)ns}, NULL);
    }
}

/* Also tells when a job began. */
static void run_job(struct job_run *run, void *arg)
{
    atomic_store_explicit(&started_at[run->id % STARTS], clock_ns(), memory_order_release);
    jobs_run_task(run, arg);
}

static _Atomic int64_t calls;

static void run_batch(struct job_run *const *runs, int n, void *arg)
{
    atomic_fetch_add(&calls, 1);
    jobs_run_batch_task(runs, n, arg);
}

static int64_t start_of(int64_t id)
{
    return atomic_load_explicit(&started_at[id % STARTS], memory_order_acquire);
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

/* Who runs the jobs: nobody, or the lanes; at most `hourly` of one key an hour (0 = any). */
static void serve(bool on, double hourly)
{
    struct job_kind_options kinds[4] = {{.kind = "bench.noop",
                                         .queue = "default",
                                         .priority = JOB_NORMAL,
                                         .backoff_ns = NS_PER_SECOND,
                                         .target = &target}};
    kinds[1] = kinds[0];
    kinds[1].kind = "bench.keyed";
    kinds[1].key_rate =
        (struct job_rate){.count = (int64_t)hourly, .period_ns = 3600 * NS_PER_SECOND};
    kinds[2] = kinds[0];
    kinds[2].kind = "bench.busy"; /* some 20 us of work */
    kinds[2].target = &busy_target;
    kinds[3] = kinds[0];
    kinds[3].kind = "bench.many"; /* as noop, in lists of TOGETHER */
    kinds[3].target = &many_target;
    kinds[3].batch = TOGETHER;
    jobs_set_kinds(jobs, kinds, on ? 4 : 0);
}

/* Returns the seconds it took to open the queue. */
static double open_all(const char *dir)
{
    struct err err = {0};
    char *db = mem_printf("%s/maru.db", dir), *flight = mem_printf("%s/jobs.flight", dir);
    log_setup(-1, LOG_ERROR);
    prctl(PR_SET_TIMERSLACK, 1);
    struct pool *pool = pool_create("pool", 2, &err);
    struct sqlite_options so = {.path = db, .pool = pool};
    struct store *store = sqlite_open(&so, &err);
    check(store != NULL, &err);
    control = lane_create(0, LANE_CONTROL, "control", &err);
    check(control && lane_start(control, NULL, NULL, &err), &err);
    struct jobs_options jo = {.store = store,
                              .lane = control,
                              .flight_path = flight,
                              .run = run_job,
                              .run_batch = run_batch,
                              .cancel = jobs_cancel_task};
    int64_t start = clock_ns();
    jobs = jobs_open(&jo, &err);
    check(jobs != NULL, &err);
    double seconds = seconds_since(start);
    host.bind = bind_all;
    host.jobs = jobs;
    host.store = store;
    for (int i = 0; i < LANES; i++) {
        lanes[i] = lane_create(i + 1, LANE_JOB, "job", &err);
        check(lanes[i] && lane_start(lanes[i], NULL, NULL, &err), &err);
        check(jobs_add_worker(jobs, lanes[i], CAPACITY, &err), &err);
        lane_call_wait(lanes[i], make_vm, lanes[i]);
    }
    for (int i = 0; i < decl->job_count; i++)
        *(strcmp(decl->jobs[i].kind, "bench.busy") == 0   ? &busy_target
          : strcmp(decl->jobs[i].kind, "bench.many") == 0 ? &many_target
                                                          : &target) =
            (struct job_target){vm_of_lane, NULL, decl->jobs[i].handler};
    jobs_start(jobs);
    mem_free(db);
    mem_free(flight);
    return seconds;
}

static void wait_done(int64_t count)
{
    while (jobs_counts(jobs).done_total < count)
        usleep(500);
}
