/* cron_day.c -- three nodes whose schedules share a queue in a real PostgreSQL, for hours of a
 * clock that is moved by hand: every hour whoever leads dies, is cut off, or stands still and goes
 * on.
 *
 * usage: cron_day URL DIR HOURS SEED.  Prints "leaders MOST changes COUNT from SECONDS until
 * SECONDS"; what was fired is in the database.  The database's side of the lease reads the same
 * clock: its function maru.lead() is made again with cron_day.now() in the place of maru.now(). */
#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/cron_push.h"
#include "bind/cron_record.h"
#include "cron/cron.h"
#include "jobs/jobs.h"
#include "observe/log.h"
#include "storage/sqlite.h"

enum { NODES = 3, HOUR = 3600 };

static int64_t clock_s;
static atomic_int under_way; /* requests and pushes that are not answered yet */

static int64_t test_ns(void)
{
    return clock_s * NS_PER_SECOND;
}

static struct node {
    struct store *store;
    struct jobs *jobs;
    struct cron_record record;
    struct cron *cron;
    int64_t up_at, still_until;
    bool cut; /* from the record: also while it dies */
} nodes[NODES];
static struct lane *lane;
static PGconn *database;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void sql(const char *text)
{
    PGresult *r = PQexec(database, text);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        die("sql", PQerrorMessage(database));
    PQclear(r);
}

/* -- between cron and the record: a node can be cut off ------------------------------------- */

#define THROUGH(name)                                                                              \
    struct name##_way {                                                                            \
        struct cron_##name *request;                                                               \
        void (*done)(struct cron_##name *);                                                        \
        void *arg;                                                                                 \
    };                                                                                             \
    static void name##_done(struct cron_##name *request)                                           \
    {                                                                                              \
        struct name##_way *way = request->arg;                                                     \
        request->done = way->done;                                                                 \
        request->arg = way->arg;                                                                   \
        mem_free(way);                                                                             \
        atomic_fetch_sub(&under_way, 1);                                                           \
        request->done(request);                                                                    \
    }                                                                                              \
    static void name##_through(void *arg, struct cron_##name *request)                             \
    {                                                                                              \
        struct node *n = arg;                                                                      \
        if (n->cut) {                                                                              \
            err_set(&request->err, ERR_IO, "cut off");                                             \
            request->done(request);                                                                \
            return;                                                                                \
        }                                                                                          \
        struct name##_way *way = mem_alloc(sizeof *way);                                           \
        *way = (struct name##_way){request, request->done, request->arg};                          \
        request->done = name##_done;                                                               \
        request->arg = way;                                                                        \
        atomic_fetch_add(&under_way, 1);                                                           \
        n->record.name(n->record.arg, request);                                                    \
    }
THROUGH(load)
THROUGH(keep)
THROUGH(lead)

struct pushing {
    struct cron_push push; /* first: what the queue gets */
    struct cron_push *fire;
};

static void on_pushed(struct cron_push *push)
{
    struct pushing *p = (struct pushing *)push;
    struct cron_push *fire = p->fire;
    fire->err = push->err;
    fire->skipped = push->skipped;
    fire->job_id = push->job_id;
    mem_free(p);
    atomic_fetch_sub(&under_way, 1);
    fire->done(fire);
}

/* What is pushed while the node is cut off does not arrive. */
static void push(struct cron_push *fire, void *arg)
{
    struct node *n = arg;
    if (n->cut) {
        err_set(&fire->err, ERR_IO, "cut off");
        fire->done(fire);
        return;
    }
    struct pushing *p = mem_alloc(sizeof *p);
    p->push = *fire;
    p->fire = fire;
    p->push.done = on_pushed;
    atomic_fetch_add(&under_way, 1);
    cron_push_job(&p->push, n->jobs);
}

/* -- nodes ---------------------------------------------------------------------------------- */

static void no_run(struct job_run *run, void *arg)
{
    (void)run;
    (void)arg;
}

static void no_cancel(struct job_run *run, enum job_end why, void *arg)
{
    (void)run;
    (void)why;
    (void)arg;
}

/* A queue that is never started: jobs are pushed, and nobody takes them. */
static void open_queue(struct node *n, const char *dir, int index, const char *url,
                       struct pool *pool)
{
    struct err err = {0};
    char *db = mem_printf("%s/%d.db", dir, index), *flight = mem_printf("%s/%d.flight", dir, index);
    char *name = mem_printf("node%d", index);
    n->store = sqlite_open(&(struct sqlite_options){.path = db, .pool = pool}, &err);
    if (!n->store)
        die("store", err.message);
    n->jobs = jobs_open(&(struct jobs_options){.driver = "postgres",
                                               .url = url,
                                               .node = name,
                                               .store = n->store,
                                               .lane = lane,
                                               .flight_path = flight,
                                               .run = no_run,
                                               .cancel = no_cancel},
                        &err);
    if (!n->jobs)
        die("jobs", err.message);
    n->record = cron_record_jobs(n->jobs);
    mem_free(db);
    mem_free(flight);
    mem_free(name);
}

static const struct cron_schedule set[] = {
    {.plugin = "p",
     .id = "five",
     .pattern = "*/5 * * * *",
     .kind = "p.k",
     .enabled = true,
     .overlap = OVERLAP_ALLOW},
    {.plugin = "p",
     .id = "minute",
     .pattern = "* * * * *",
     .kind = "p.k",
     .enabled = true,
     .missed = MISSED_ALL,
     .overlap = OVERLAP_ALLOW},
};

static void start(struct node *n)
{
    struct err err = {0};
    const struct cron_record cut = {load_through, keep_through, lead_through, n};
    n->cut = false;
    n->still_until = 0;
    n->cron = cron_open(&(struct cron_options){.record = &cut,
                                               .lane = lane,
                                               .tz = "UTC",
                                               .push = push,
                                               .arg = n,
                                               .wall_ns = test_ns,
                                               .mono_ns = test_ns},
                        &err);
    if (!n->cron || !cron_set(n->cron, set, 2, &err))
        die("cron", err.message);
}

/* Nothing it asks for gets through any more; what was on its way does. */
static void kill_node(void *arg)
{
    struct node *n = arg;
    n->cut = true;
    cron_stop(n->cron);
}

static void settle(void)
{
    while (atomic_load(&under_way))
        nanosleep(&(struct timespec){0, 50000}, NULL);
}

static void kill_and_close(struct node *n)
{
    lane_call_wait(lane, kill_node, n);
    settle();
    cron_close(n->cron);
    n->cron = NULL;
}

static int most_leaders, changes, last = -1;

static void turn(void *arg)
{
    int leaders = 0;
    (void)arg;
    for (int i = 0; i < NODES; i++) {
        struct node *n = &nodes[i];
        if (!n->cron && clock_s >= n->up_at)
            start(n);
        if (n->cut && clock_s >= n->up_at)
            n->cut = false;
        if (n->cron && clock_s >= n->still_until)
            cron_tick(n->cron);
        if (!n->cron || !cron_leads(n->cron))
            continue;
        leaders++;
        changes += last != i;
        last = i;
    }
    most_leaders = leaders > most_leaders ? leaders : most_leaders;
}

static void trouble(int hour)
{
    for (int i = 0; i < NODES; i++) {
        struct node *n = &nodes[i];
        if (!n->cron || !cron_leads(n->cron))
            continue;
        n->up_at = clock_s + 60 + rand() % 600;
        if (hour % 4 == 1)
            n->cut = true;
        else if (hour % 4 == 2)
            n->still_until = n->up_at;
        else
            kill_and_close(n);
        return;
    }
}

static void set_clock(int64_t s)
{
    char text[128];
    clock_s = s;
    snprintf(text, sizeof text, "UPDATE cron_day.clock SET now = %lld",
             (long long)s * 1000000000LL);
    sql(text);
}

static void prepare(const char *url)
{
    database = PQconnectdb(url);
    if (PQstatus(database) != CONNECTION_OK)
        die("database", PQerrorMessage(database));
    sql("CREATE SCHEMA cron_day; CREATE UNLOGGED TABLE cron_day.clock(now bigint);"
        "INSERT INTO cron_day.clock VALUES(0);"
        "CREATE FUNCTION cron_day.now() RETURNS bigint LANGUAGE sql AS 'SELECT now FROM "
        "cron_day.clock';"
        "DO $$ BEGIN EXECUTE replace(pg_get_functiondef('maru.lead'::regproc), 'maru.now()',"
        " 'cron_day.now()'); END $$");
}

int main(int argc, char **argv)
{
    struct err err = {0};
    if (argc != 5)
        die("usage", "cron_day URL DIR HOURS SEED");
    int hours = atoi(argv[3]), hour = 0;
    srand((unsigned)atoi(argv[4]));
    log_setup(-1, LOG_ERROR);
    struct pool *pool = pool_create("pool", 2, &err);
    lane = lane_create(0, LANE_CONTROL, "control", &err);
    if (!pool || !lane || !lane_start(lane, NULL, NULL, &err))
        die("lane", err.message);
    for (int i = 0; i < NODES; i++)
        open_queue(&nodes[i], argv[2], i, argv[1], pool);
    prepare(argv[1]);
    int64_t from = clock_wall_ns() / NS_PER_SECOND / HOUR * HOUR, next = from + HOUR / 2;
    int64_t until = from + (int64_t)hours * HOUR;
    for (int64_t t = from; t < until + 90; t++) {
        set_clock(t);
        lane_call_wait(lane, turn, NULL);
        settle();
        if (t >= next) {
            trouble(hour++);
            next = from + hour * HOUR + rand() % HOUR;
        }
    }
    printf("leaders %d changes %d from %lld until %lld\n", most_leaders, changes, (long long)from,
           (long long)until);
    for (int i = 0; i < NODES; i++)
        if (nodes[i].cron)
            kill_and_close(&nodes[i]);
    for (int i = 0; i < NODES; i++)
        jobs_close(nodes[i].jobs);
    lane_stop(lane);
    lane_join(lane);
    lane_destroy(lane);
    for (int i = 0; i < NODES; i++)
        store_close(nodes[i].store);
    pool_destroy(pool);
    PQfinish(database);
    return 0;
}
