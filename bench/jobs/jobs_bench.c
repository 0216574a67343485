/* jobs_bench.c -- durable jobs: how many a second, how long until they are on disk and until they
 * begin, what they cost in CPU and memory, and what a backlog does to others.
 *
 * usage: jobs_bench DIR [--json] [--suffix TEXT] [COUNT] PHASE…, each phase best in a process and a
 * DIR of its own (scripts/bench does).  A push counts when it is on disk.  What peers were measured
 * at is said in bench/README.md. */
#include "jobs_bench.h"

enum { INFLIGHT = 512, IDLE_PUSHES = 500, SYNCS = 300, BULK = 1000, BULKS = 8, BACKLOG = 1000000 };

static const struct job_spec spec = {.kind = {"bench.noop", 10}};
static const struct str short_args = {"{\"id\":123456}", 13};
static int count = 300000;

/* What the disk takes for one sync, as every figure here pays it. */
static void bench_disk(const char *dir)
{
    double ms[SYNCS];
    static char page[4096];
    char *path = mem_printf("%s/sync", dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    for (int i = 0; i < SYNCS; i++) {
        if (pwrite(fd, page, sizeof page, (off_t)i * 4096) < 0)
            exit(1);
        int64_t start = clock_ns();
        fdatasync(fd);
        ms[i] = seconds_since(start) * 1e3;
    }
    close(fd);
    unlink(path);
    mem_free(path);
    report("the disk's own fdatasync, p50", percentile(ms, SYNCS, 50), "ms", 0, NULL, 0, false);
    report("the disk's own fdatasync, p99", percentile(ms, SYNCS, 99), "ms", 0, NULL, 0, false);
}

/* -- pushes -- */

struct flying {
    struct jobs_push push; /* first */
    const struct job_spec *spec;
    const struct str *args;
    int count;
};
static _Atomic int64_t left, answered;

static void push_next(struct jobs_push *push)
{
    struct flying *f = (struct flying *)(void *)push;
    struct err err = {0};
    if (push->err.code)
        check(false, &push->err);
    if (atomic_fetch_sub(&left, f->count) >= f->count)
        check(jobs_push(jobs, push, f->spec, f->args, f->count, &err), &err);
    else
        atomic_fetch_add(&answered, 1);
}

static struct flying *flights;
static int flights_n;

static void begin_pushes(void *arg)
{
    (void)arg;
    for (int i = 0; i < flights_n; i++)
        push_next(&flights[i].push);
}

/* Pushes `total` jobs, `each` a push, `n` pushes under way; waits until all are on disk. */
static double push_all(const struct job_spec *with, int64_t total, int each, int n)
{
    struct str *args = mem_alloc((size_t)each * sizeof *args);
    for (int i = 0; i < each; i++)
        args[i] = short_args;
    flights = mem_zero((size_t)n, sizeof *flights);
    flights_n = n;
    for (int i = 0; i < n; i++)
        flights[i] = (struct flying){.push = {.done = push_next, .lane = control},
                                     .spec = with,
                                     .args = args,
                                     .count = each};
    atomic_store(&left, total);
    atomic_store(&answered, 0);
    int64_t start = clock_ns();
    lane_call(control, begin_pushes, NULL);
    while (atomic_load(&answered) < n)
        usleep(200);
    double seconds = seconds_since(start);
    mem_free(flights);
    mem_free(args);
    return seconds;
}

static void bench_single(void)
{
    struct err err = {0};
    int64_t start = clock_ns();
    int n = 0;
    for (; seconds_since(start) < 2; n++)
        check(jobs_push_wait(jobs, &spec, &short_args, 1, &err) > 0, &err);
    report("push, one after another", n / seconds_since(start), "jobs/s", 0, "BullMQ", 20331, true);
    int64_t total = n * 20 < count ? n * 20 : count;
    report("push one by one, 100 under way", (double)total / push_all(&spec, total, 1, 100),
           "jobs/s", 0, "BullMQ", 38201, true);
}

/* Pushed while nobody runs them, then run. */
static void bench_bulk(void)
{
    double cpu = cpu_us();
    report("push in bulk, 1,000 at once", count / push_all(&spec, count, BULK, BULKS), "jobs/s",
           300000, "graphile-worker", 84575, true);
    report("CPU of a push in bulk", (cpu_us() - cpu) / count, "us/job", 0, NULL, 0, false);
    cpu = cpu_us();
    int64_t start = clock_ns();
    serve(true, 0);
    wait_done(count / BULK * BULK);
    report("run to done, no-op Lua", count / seconds_since(start), "jobs/s", 150000,
           "graphile tuned", 57119, true);
    report("CPU of a run", (cpu_us() - cpu) / count, "us/job", 0, "graphile tuned", 30, false);
}

/* One by one, many under way, while they run. */
static double cycle(int64_t total, double *us)
{
    double cpu = cpu_us();
    int64_t before = jobs_counts(jobs).done_total, start = clock_ns();
    push_all(&spec, total, 1, INFLIGHT);
    wait_done(before + total);
    double seconds = seconds_since(start);
    *us = (cpu_us() - cpu) / (double)total;
    return (double)total / seconds;
}

static void bench_cycle(void)
{
    serve(true, 0);
    double us, rate = cycle(count, &us);
    report("push, run, done, no-op Lua", rate, "jobs/s", 0, "BullMQ", 20618, true);
    report("CPU of push, run, done", us, "us/job", 8, "BullMQ", 82, false);
}

/* -- latency -- */

static void bench_idle(void)
{
    double acked[IDLE_PUSHES], begun[IDLE_PUSHES];
    struct err err = {0};
    serve(true, 0);
    for (int i = 0; i < IDLE_PUSHES; i++, usleep(2000)) {
        int64_t start = clock_ns(), done = jobs_counts(jobs).done_total;
        int64_t id = jobs_push_wait(jobs, &spec, &short_args, 1, &err);
        check(id > 0, &err);
        acked[i] = seconds_since(start) * 1e3;
        wait_done(done + 1);
        begun[i] = (double)(start_of(id) - start) / 1e6;
    }
    report("push acknowledged, idle, p50", percentile(acked, IDLE_PUSHES, 50), "ms", 0, NULL, 0,
           false);
    report("push acknowledged, idle, p99", percentile(acked, IDLE_PUSHES, 99), "ms", 0, NULL, 0,
           false);
    report("push to start, idle, p50", percentile(begun, IDLE_PUSHES, 50), "ms", 0, "BullMQ", 0.967,
           false);
    report("push to start, idle, p99", percentile(begun, IDLE_PUSHES, 99), "ms", 0.4, "BullMQ",
           2.649, false);
}

/* A push that has its time and keeps it, whatever became of those before. */
struct timed {
    struct jobs_push push; /* first */
    int64_t at, acked;
};
static _Atomic int64_t timed_acked;

static void on_timed(struct jobs_push *push)
{
    struct timed *t = (struct timed *)(void *)push;
    if (push->err.code)
        check(false, &push->err);
    t->acked = clock_ns();
    atomic_fetch_add(&timed_acked, 1);
}

static struct timed *open_loop(const struct job_spec *with, double rate, int n)
{
    struct timed *all = mem_zero((size_t)n, sizeof *all);
    struct err err = {0};
    atomic_store(&timed_acked, 0);
    int64_t start = clock_ns() + NS_PER_MS;
    for (int i = 0; i < n; i++) {
        all[i].at = start + (int64_t)(i * (double)NS_PER_SECOND / rate);
        all[i].push.done = on_timed;
        wait_until(all[i].at);
        check(jobs_push(jobs, &all[i].push, with, &short_args, 1, &err), &err);
    }
    while (atomic_load(&timed_acked) < n)
        usleep(200);
    return all;
}

static void report_open(const char *what, double rate, struct timed *all, int n, bool runs,
                        double aim)
{
    char name[96];
    double *ms = mem_alloc((size_t)n * sizeof *ms);
    for (int i = 0; i < n; i++)
        ms[i] = (double)((runs ? start_of(all[i].push.first_id) : all[i].acked) - all[i].at) / 1e6;
    snprintf(name, sizeof name, "%s at %.0f/s, p50", what, rate);
    report(name, percentile(ms, n, 50), "ms", 0, NULL, 0, false);
    snprintf(name, sizeof name, "%s at %.0f/s, p99", what, rate);
    report(name, percentile(ms, n, 99), "ms", aim, NULL, 0, false);
    mem_free(ms);
}

/* Pushes alone at 100,000 a second; then pushes and their runs at a rate both cores bear. */
static void bench_open(void)
{
    int n = 500000;
    struct timed *all = open_loop(&spec, 100000, n);
    report_open("push acknowledged", 100000, all, n, false, 2);
    mem_free(all);
    serve(true, 0);
    wait_done(n);
    n = 100000;
    int64_t done = jobs_counts(jobs).done_total;
    all = open_loop(&spec, 20000, n);
    wait_done(done + n);
    report_open("push acknowledged, running", 20000, all, n, false, 0);
    report_open("push to start, running", 20000, all, n, true, 0);
    mem_free(all);
}

/* -- backlogs -- */

static void bench_million(void)
{
    double before = rss_mb();
    push_all(&spec, BACKLOG, BULK, BULKS);
    report("resident with 1,000,000 queued", rss_mb(), "MB", 300, NULL, 0, false);
    report("resident with none", before, "MB", 0, NULL, 0, false);
}

/* One tenant has a million jobs waiting, the other pushes one each 20 ms. */
static void bench_tenant(void)
{
    enum { OTHERS = 200 };
    struct job_spec crowd = {.kind = STR("bench.busy"), .key = STR("A")};
    struct job_spec other = {.kind = STR("bench.busy"), .key = STR("B")};
    double ms[OTHERS];
    struct err err = {0};
    push_all(&crowd, BACKLOG, BULK, BULKS);
    int64_t served = clock_ns();
    serve(true, 0);
    report("letting 1,000,000 held jobs go", seconds_since(served) * 1e3, "ms", 0, NULL, 0, false);
    for (int i = 0; i < OTHERS; i++) {
        int64_t start = clock_ns(), id = jobs_push_wait(jobs, &other, &short_args, 1, &err);
        check(id > 0, &err);
        while (start_of(id) < start)
            usleep(100);
        ms[i] = (double)(start_of(id) - start) / 1e6;
        wait_until(start + 20 * NS_PER_MS);
    }
    report("jobs of the crowd left at the end", (double)jobs_counts(jobs).ready, "jobs", 0, NULL, 0,
           true);
    report("start beside a tenant with 1,000,000, p50", percentile(ms, OTHERS, 50), "ms", 0, NULL,
           0, false);
    report("start beside a tenant with 1,000,000, p99", percentile(ms, OTHERS, 99), "ms", 50, NULL,
           0, false);
}

/* A million no-op jobs end as fast as two lanes run them; how long does a push take meanwhile? */
static void bench_flood(void)
{
    enum { OTHERS = 4000 };
    static double ms[OTHERS];
    struct err err = {0};
    int n = 0;
    push_all(&spec, BACKLOG, BULK, BULKS);
    int64_t served = clock_ns();
    serve(true, 0);
    for (; n < OTHERS && jobs_counts(jobs).done_total < BACKLOG; n++) {
        int64_t start = clock_ns();
        check(jobs_push_wait(jobs, &spec, &short_args, 1, &err) > 0, &err);
        ms[n] = seconds_since(start) * 1e3;
        wait_until(start + 2 * NS_PER_MS);
    }
    report("1,000,000 no-op jobs run", BACKLOG / seconds_since(served), "jobs/s", 0, NULL, 0, true);
    report("push acknowledged meanwhile, p50", percentile(ms, n, 50), "ms", 0, NULL, 0, false);
    report("push acknowledged meanwhile, most", percentile(ms, n, 100), "ms", 0, NULL, 0, false);
}

/* 100,000 keys have used up their hour and wait with one job each. */
static void bench_blocked(void)
{
    enum { BLOCKED = 100000 };
    struct err err = {0};
    serve(true, 1);
    double us, free_us;
    cycle(count, &us);
    double free_rate = cycle(count, &free_us);
    int64_t done = jobs_counts(jobs).done_total;
    for (int i = 0; i < BLOCKED; i++) {
        char key[24];
        snprintf(key, sizeof key, "tenant-%d", i);
        struct job_spec with = {.kind = STR("bench.keyed"), .key = str_c(key)};
        struct str two[2] = {short_args, short_args};
        check(jobs_push_wait(jobs, &with, two, 2, &err) > 0, &err);
    }
    wait_done(done + BLOCKED);
    double blocked_rate = cycle(count, &us);
    report("push, run, done beside 100,000 blocked keys", blocked_rate, "jobs/s", 0, "without them",
           free_rate, true);
    report("CPU of a job beside 100,000 blocked keys", us, "us/job", 0, "without them", free_us,
           false);
}

/* The same no-op jobs one by one and in lists, in turns, the best of each: pushed in bulk and then
 * run, and pushed one by one while they run. */
static void bench_together(void)
{
    enum { TURNS = 5 };
    struct job_spec kinds[2] = {spec, {.kind = STR("bench.many")}};
    static const char *const names[2] = {"one by one", "in lists of 64"};
    double run[2] = {0}, cpu[2], through[2] = {0}, many = 0;
    for (int t = 0; t < 2 * TURNS; t++) {
        serve(false, 0);
        int64_t total = count / BULK * BULK, before = jobs_counts(jobs).done_total;
        push_all(&kinds[t % 2], total, BULK, BULKS);
        double used = cpu_us();
        int64_t start = clock_ns();
        atomic_store(&calls, 0);
        serve(true, 0);
        wait_done(before + total);
        double rate = (double)total / seconds_since(start);
        if (rate > run[t % 2]) {
            run[t % 2] = rate;
            cpu[t % 2] = (cpu_us() - used) / (double)total;
            many = t % 2 ? (double)total / (double)atomic_load(&calls) : many;
        }
        before += total;
        start = clock_ns();
        push_all(&kinds[t % 2], total, 1, INFLIGHT);
        wait_done(before + total);
        rate = (double)total / seconds_since(start);
        through[t % 2] = rate > through[t % 2] ? rate : through[t % 2];
    }
    for (int k = 0; k < 2; k++) {
        char name[64];
        snprintf(name, sizeof name, "run to done, %s", names[k]);
        report(name, run[k], "jobs/s", 0, k ? "one by one" : NULL, run[0], true);
        snprintf(name, sizeof name, "CPU of a run, %s", names[k]);
        report(name, cpu[k], "us/job", 0, k ? "one by one" : NULL, cpu[0], false);
        snprintf(name, sizeof name, "pushed, run, done, %s", names[k]);
        report(name, through[k], "jobs/s", 0, k ? "one by one" : NULL, through[0], true);
    }
    report("jobs in a list, of those in bulk", many, "jobs", 0, NULL, 0, true);
}

static void run_phase(const char *phase, const char *dir, double opened)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } phases[] = {{"single", bench_single}, {"bulk", bench_bulk},
                  {"cycle", bench_cycle},   {"idle", bench_idle},
                  {"open", bench_open},     {"million", bench_million},
                  {"tenant", bench_tenant}, {"blocked", bench_blocked},
                  {"flood", bench_flood},   {"together", bench_together}};
    if (strcmp(phase, "disk") == 0)
        bench_disk(dir);
    else if (strcmp(phase, "recover") == 0) {
        report("unfinished jobs read again", (double)jobs_counts(jobs).ready, "jobs", 0, NULL, 0,
               true);
        report("reading them again", opened, "s", 3, NULL, 0, false);
    }
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (strcmp(phase, phases[i].name) == 0)
            phases[i].run();
}

int main(int argc, char **argv)
{
    int first = 2;
    for (; first < argc; first++)
        if (strcmp(argv[first], "--json") == 0)
            json = true;
        else if (strcmp(argv[first], "--suffix") == 0 && first + 1 < argc)
            suffix = argv[++first];
        else if (atoi(argv[first]) > 0)
            count = atoi(argv[first]);
        else
            break;
    if (first >= argc || count > JOBS_QUEUED / 2) {
        fprintf(stderr,
                "usage: jobs_bench DIR [--json] [--suffix TEXT] [COUNT] disk | single | bulk | "
                "cycle | idle | open | million | recover | tenant | blocked | flood …\n");
        return 2;
    }
    double opened = open_all(argv[1]);
    for (int i = first; i < argc; i++)
        run_phase(argv[i], argv[1], opened);
    fflush(NULL);
    _exit(0); /* like a crash, for whoever opens the folder again */
}
