/* Three nodes and one record, for 24 hours of the test's clock: whoever leads is killed each hour,
 * or loses sight of the record, or stands still and goes on without knowing it. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "cron/cron.h"
#include "cron/schedule.h"
#include "cron/zone.h"
#include "loop/lane.h"
#include "observe/log.h"
#include "test.h"

enum { NODES = 3, FIRES = 16384, STATES = 16, PUSHES = 64, HOUR = 3600 };
static const int64_t lease_ns = 20 * NS_PER_SECOND;

static int64_t clock_s; /* of all nodes, wall and monotonic */

static int64_t test_ns(void)
{
    return clock_s * NS_PER_SECOND;
}

/* What the nodes share. */
static struct {
    struct fire {
        char schedule[32];
        int64_t at;
        int node;
    } fires[FIRES];
    int fire_count;
    struct state {
        char schedule[32];
        int64_t since;
        bool paused;
    } states[STATES];
    int state_count;
    int owner;
    int64_t epoch, until, version;
    int refused; /* pushes of an instant that was there */
} record;

static struct node {
    int index;
    struct cron *cron; /* NULL: it is down */
    struct lane *lane;
    int64_t up_at, still_until; /* down, or not scheduled, until then */
    bool cut, dying;            /* off from the record; being killed */
    struct cron_push *pushes[PUSHES];
    int push_count;
} nodes[NODES];

/* ---- the record ----------------------------------------------------------- */

static struct state *state_of(const char *schedule)
{
    for (int i = 0; i < record.state_count; i++)
        if (!strcmp(record.states[i].schedule, schedule))
            return &record.states[i];
    struct state *s = &record.states[record.state_count++];
    snprintf(s->schedule, sizeof s->schedule, "%s", schedule);
    return s;
}

static bool unreachable(const struct node *n, struct err *err)
{
    return (n->cut || n->dying) && !err_set(err, ERR_IO, "the record is out of reach");
}

static void load(void *arg, struct cron_load *load)
{
    if (!unreachable(arg, &load->err)) {
        load->rows = mem_zero(STATES, sizeof *load->rows);
        for (; load->count < record.state_count; load->count++) {
            const struct state *s = &record.states[load->count];
            struct cron_row *row = &load->rows[load->count];
            *row = (struct cron_row){
                .schedule = mem_strdup(s->schedule), .since = s->since, .paused = s->paused};
            for (int i = 0; i < record.fire_count; i++)
                if (!strcmp(record.fires[i].schedule, s->schedule) &&
                    record.fires[i].at > row->last)
                    row->last = record.fires[i].at;
        }
    }
    load->done(load);
}

static void keep(void *arg, struct cron_keep *keep)
{
    for (int i = 0; i < keep->count && !unreachable(arg, &keep->err); i++) {
        struct state *s = state_of(keep->rows[i].schedule);
        if (keep->what == KEEP_PRUNE)
            continue;
        if (keep->rows[i].since > s->since)
            s->since = keep->rows[i].since;
        if (keep->what == KEEP_PAUSE) {
            s->paused = keep->rows[i].paused;
            record.version++;
        }
    }
    keep->done(keep);
}

static void lead(void *arg, struct cron_lead *lead)
{
    struct node *n = arg;
    if (!unreachable(n, &lead->err)) {
        bool mine = record.owner == n->index && record.epoch == lead->epoch && lead->epoch;
        if (lead->resign && mine) {
            record.until = 0;
        } else if (!lead->resign && mine) {
            record.until = test_ns() + lead->lease_ns;
            lead->held = true;
        } else if (!lead->resign && test_ns() >= record.until) {
            record.owner = n->index;
            record.epoch++;
            record.until = test_ns() + lead->lease_ns;
            lead->held = true;
        }
        lead->epoch = record.epoch;
        lead->version = record.version;
    }
    lead->done(lead);
}

/* A push takes until the node's next turn. */
static void push(struct cron_push *push, void *arg)
{
    struct node *n = arg;
    n->pushes[n->push_count++] = push;
}

static void commit(struct node *n, struct cron_push *push, bool lost)
{
    bool there = false;
    char schedule[32];
    snprintf(schedule, sizeof schedule, "%.*s", (int)push->schedule.n, push->schedule.p);
    for (int i = record.fire_count - 1; i >= 0 && !there; i--)
        there = record.fires[i].at == push->at && !strcmp(record.fires[i].schedule, schedule);
    if (lost) {
        err_set(&push->err, ERR_IO, "the connection is gone");
    } else if (there) {
        record.refused++;
        err_set(&push->err, ERR_EXISTS, "fired before");
    } else if (record.fire_count < FIRES) {
        struct fire *f = &record.fires[record.fire_count++];
        snprintf(f->schedule, sizeof f->schedule, "%s", schedule);
        f->at = push->at;
        f->node = n->index;
        push->job_id = record.fire_count;
    }
    push->done(push);
}

static void deliver(struct node *n)
{
    struct cron_push *list[PUSHES];
    int count = n->push_count;
    memcpy(list, n->pushes, sizeof list);
    n->push_count = 0;
    for (int i = 0; i < count; i++)
        commit(n, list[i], n->cut || (n->dying && rand_u64() % 2));
}

/* ---- nodes ---------------------------------------------------------------- */

static const struct cron_schedule set[] = {
    {.plugin = "p", .id = "five", .pattern = "*/5 * * * *", .kind = "p.k", .enabled = true},
    {.plugin = "p",
     .id = "all",
     .pattern = "*/10 * * * * *",
     .kind = "p.k",
     .enabled = true,
     .missed = MISSED_ALL,
     .missed_max = 1000},
    {.plugin = "p",
     .id = "late",
     .pattern = "*/5 * * * *",
     .kind = "p.k",
     .enabled = true,
     .jitter = 200},
};
enum { SCHEDULES = sizeof set / sizeof *set };

static void start(struct node *n)
{
    struct err err = {0};
    const struct cron_record shared = {load, keep, lead, n};
    const struct cron_options options = {.record = &shared,
                                         .lane = n->lane,
                                         .lease_ns = lease_ns,
                                         .tz = "UTC",
                                         .push = push,
                                         .arg = n,
                                         .wall_ns = test_ns,
                                         .mono_ns = test_ns};
    n->dying = n->cut = false;
    n->still_until = 0;
    n->cron = cron_open(&options, &err);
    CHECK(n->cron && cron_set(n->cron, set, SCHEDULES, &err));
}

/* Nothing of it reaches the record any more, but for what was on its way. */
static void kill_node(struct node *n)
{
    n->dying = true;
    deliver(n);
    cron_stop(n->cron);
    deliver(n);
    cron_close(n->cron);
    n->cron = NULL;
}

static struct node *leader(void)
{
    for (int i = 0; i < NODES; i++)
        if (nodes[i].cron && cron_leads(nodes[i].cron))
            return &nodes[i];
    return NULL;
}

static int leaders(void)
{
    int count = 0;
    for (int i = 0; i < NODES; i++)
        count += nodes[i].cron && cron_leads(nodes[i].cron);
    return count;
}

static void turn(struct node *n)
{
    if (!n->cron && clock_s >= n->up_at)
        start(n);
    if (!n->cron || clock_s < n->still_until)
        return;
    if (n->cut && clock_s >= n->up_at)
        n->cut = false;
    deliver(n);
    cron_tick(n->cron);
    if (rand_u64() % 2)
        deliver(n);
}

/* Each hour at another time of it; some of them just when a cycle begins. */
static void trouble(int hour)
{
    struct node *n = leader();
    if (!n)
        return;
    n->up_at = clock_s + 60 + (int64_t)(rand_u64() % 600);
    if (hour % 4 == 1) {
        n->cut = true;
    } else if (hour % 4 == 2) {
        n->still_until = n->up_at;
    } else {
        kill_node(n);
    }
}

static int fires_of(const char *schedule, int64_t from, int64_t until, bool *once)
{
    int count = 0;
    *once = true;
    for (int i = 0; i < record.fire_count; i++) {
        const struct fire *f = &record.fires[i];
        if (strcmp(f->schedule, schedule) || f->at <= from || f->at > until)
            continue;
        count++;
        for (int k = 0; k < i; k++)
            if (record.fires[k].at == f->at && !strcmp(record.fires[k].schedule, schedule))
                *once = false;
    }
    return count;
}

struct day {
    int most_leaders, changes;
    bool stop_all;
};

static void run_day(struct day *day)
{
    int64_t from = clock_s, until = from + 24 * HOUR, next = from + HOUR / 2;
    int last = -1, hour = 0;
    for (int i = 0; i < NODES; i++)
        start(&nodes[i]);
    for (; clock_s < until + 120; clock_s++) {
        for (int i = 0; i < NODES; i++)
            turn(&nodes[i]);
        int count = leaders();
        day->most_leaders = count > day->most_leaders ? count : day->most_leaders;
        struct node *n = leader();
        if (n && n->index != last) {
            last = n->index;
            day->changes++;
        }
        if (clock_s >= next) {
            trouble(hour++);
            next = from + hour * HOUR + (hour % 3 ? (int64_t)(rand_u64() % HOUR) : HOUR / 2);
        }
    }
}

static void day_on_lane(void *arg)
{
    struct day *day = arg;
    run_day(day);
    for (int i = 0; i < NODES; i++)
        if (nodes[i].cron)
            kill_node(&nodes[i]);
}

static struct lane *begin(void)
{
    struct err err = {0};
    struct lane *lane = lane_create(0, LANE_CONTROL, "control", &err);
    log_setup(-1, LOG_DEBUG);
    memset(&record, 0, sizeof record);
    memset(nodes, 0, sizeof nodes);
    clock_s = date_days(2026, 11, 21) * 86400;
    for (int i = 0; i < NODES; i++)
        nodes[i] = (struct node){.index = i, .lane = lane};
    if (!lane || !lane_start(lane, NULL, NULL, &err))
        TEST_FAIL("%s", err.message);
    return lane;
}

static void end(struct lane *lane)
{
    lane_stop(lane);
    lane_join(lane);
    lane_destroy(lane);
}

static void run_on_lane(lane_fn *fn)
{
    struct lane *lane = begin();
    lane_call_wait(lane, fn, NULL);
    end(lane);
}

TEST(every_cycle_runs_exactly_once_while_leaders_die)
{
    struct day day = {0};
    struct lane *lane = begin();
    int64_t from = clock_s;
    bool once;
    lane_call_wait(lane, day_on_lane, &day);
    CHECK_EQ(fires_of("p/five", from, from + 24 * HOUR, &once), 24 * 12);
    CHECK(once);
    CHECK_EQ(fires_of("p/late", from, from + 24 * HOUR - 300, &once), 24 * 12 - 1);
    CHECK(once);
    CHECK_EQ(fires_of("p/all", from, from + 24 * HOUR, &once), 24 * 360);
    CHECK(once);
    CHECK_EQ(day.most_leaders, 1);
    CHECK(day.changes >= 24);
    end(lane);
}

/* ---- single steps --------------------------------------------------------- */

static void pass(int seconds)
{
    for (; seconds > 0; seconds--, clock_s++)
        for (int i = 0; i < NODES; i++)
            if (nodes[i].cron) {
                deliver(&nodes[i]);
                cron_tick(nodes[i].cron);
            }
}

static void finish(void)
{
    for (int i = 0; i < NODES; i++)
        if (nodes[i].cron)
            kill_node(&nodes[i]);
}

static void on_changed(void *arg, const struct err *err)
{
    *(enum err_code *)arg = err->code;
}

/* All nodes, half a minute later; the one that leads, or NULL. */
static struct node *begin_all(void)
{
    for (int i = 0; i < NODES; i++)
        start(&nodes[i]);
    pass(30);
    return leader();
}

static void pause_on_lane(void *arg)
{
    enum err_code code = ERR_CLOSED;
    bool once;
    (void)arg;
    for (int i = 0; i < NODES; i++)
        start(&nodes[i]);
    pass(299);
    struct node *n = leader();
    REQUIRE(n != NULL);
    struct node *other = &nodes[(n->index + 1) % NODES];
    cron_pause(other->cron, STR("p"), STR("five"), true, on_changed, &code);
    CHECK_EQ(code, ERR_NONE);
    pass(6); /* a quarter of the lease, and the instant with it, which had not come yet */
    int64_t from = clock_s;
    pass(900);
    CHECK_EQ(fires_of("p/five", from, clock_s, &once), 0);
    cron_pause(other->cron, STR("p"), STR("five"), false, on_changed, &code);
    pass(300);
    CHECK_EQ(fires_of("p/five", from, clock_s, &once), 1);
    CHECK(once);
    finish();
}

TEST(a_pause_on_one_node_reaches_the_one_that_leads)
{
    run_on_lane(pause_on_lane);
}

static void resign_on_lane(void *arg)
{
    (void)arg;
    struct node *n = begin_all();
    REQUIRE(n != NULL);
    cron_stop(n->cron);
    CHECK_EQ(leaders(), 0);
    pass(6); /* not the whole lease */
    CHECK_EQ(leaders(), 1);
    CHECK(leader() != n);
    finish();
}

TEST(who_stops_hands_over_at_once)
{
    run_on_lane(resign_on_lane);
}

static void away_on_lane(void *arg)
{
    (void)arg;
    struct node *n = begin_all();
    REQUIRE(n != NULL);
    int fires = record.fire_count;
    for (int i = 0; i < NODES; i++)
        nodes[i].cut = true;
    pass(60);
    CHECK_EQ(leaders(), 0);
    CHECK(record.fire_count <= fires + 2); /* what was on its way */
    for (int i = 0; i < NODES; i++)
        nodes[i].cut = false;
    pass(30);
    CHECK_EQ(leaders(), 1);
    CHECK_EQ(fires_of("p/all", clock_s - 110, clock_s - 10, &(bool){0}), 10); /* all made up for */
    finish();
}

TEST(nobody_fires_while_the_record_is_away)
{
    run_on_lane(away_on_lane);
}
