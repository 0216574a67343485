/* What becomes of fires that are late, overlap, are refused or paused.  The clock is the test's. */
#include "base/mem.h"
#include "cron/clockwork.h"
#include "cron/schedule.h"

static char fires[4096];    /* "p/s@04:05:06 …" */
static bool busy, refusing; /* an earlier job is unfinished; the queue is full */
static int64_t next_job, cancelled;
static int64_t expires;       /* of the last push */
static int64_t done_at[5000]; /* the primary key */
static int done_count;

static bool fired_before(int64_t at)
{
    for (int i = 0; i < done_count; i++)
        if (done_at[i] == at)
            return true;
    return false;
}

static void on_push(struct cron_push *push, void *arg)
{
    (void)arg;
    size_t n = strlen(fires);
    expires = push->expires;
    if (refusing) {
        err_set(&push->err, ERR_FULL, "the queue is full");
    } else if (busy && push->overlap != OVERLAP_ALLOW) {
        push->skipped = true;
        cancelled = push->overlap == OVERLAP_CANCEL ? push->earlier : 0;
        err_set(&push->err, ERR_EXISTS, "busy");
    } else if (!push->by_hand && fired_before(push->at)) {
        err_set(&push->err, ERR_EXISTS, "fired before");
    } else {
        if (!push->by_hand)
            done_at[done_count++] = push->at;
        push->job_id = ++next_job;
        if (n < sizeof fires - 64)
            snprintf(fires + n, sizeof fires - n, "%s%02d:%02d:%02d", n ? " " : "",
                     (int)(push->at / 3600 % 24), (int)(push->at / 60 % 60), (int)(push->at % 60));
    }
    push->done(push);
}

static void set_on_lane(void *arg)
{
    struct clockwork *c = arg;
    struct err err = {0};
    CHECK(cron_set(c->cron, &c->schedule, 1, &err));
}

static void set(struct clockwork *c)
{
    lane_call_wait(c->host.control, set_on_lane, c);
}

static struct clockwork begin(struct cron_schedule s)
{
    struct clockwork c = {.schedule = s, .id = "s"};
    fires[0] = 0;
    busy = refusing = false;
    next_job = cancelled = expires = 0;
    done_count = 0;
    c.schedule.plugin = "p";
    c.schedule.id = "s";
    c.schedule.kind = "p.k";
    c.schedule.enabled = true;
    begin_clockwork(&c);
    set(&c);
    return c;
}

static void print_on_lane(void *arg)
{
    struct clockwork *c = arg;
    buf_clear(&c->out);
    cron_print(c->cron, &c->out);
}

static const char *print(struct clockwork *c)
{
    lane_call_wait(c->host.control, print_on_lane, c);
    buf_add_c(&c->out, "");
    return c->out.p;
}

static void restart(struct clockwork *c, int64_t down)
{
    close_cron(c);
    host_close(&c->host);
    wall += down;
    host_open(&c->host);
    open_cron(c);
    set(c);
}

TEST(missed_instants_are_made_up_for_by_the_latest)
{
    struct clockwork c = begin((struct cron_schedule){.pattern = "*/10 * * * * *"});
    pass(&c, 3601);
    CHECK_STR(fires, "01:00:00");
    CHECK(strstr(print(&c),
                 "\"dropped\":{\"missed\":359,\"overlap\":0,\"deadline\":0,\"failed\":0}"));
    end(&c);
}

TEST(missed_instants_are_left_out_when_they_are_late)
{
    struct clockwork c =
        begin((struct cron_schedule){.pattern = "*/5 * * * *", .missed = MISSED_SKIP});
    pass(&c, 330); /* half a minute late is not missed */
    CHECK_STR(fires, "00:05:00");
    pass(&c, 1500 + 50);
    CHECK_STR(fires, "00:05:00");
    CHECK(strstr(print(&c), "\"dropped\":{\"missed\":5,"));
    restart(&c, 3600); /* what was left out once is not made up for later */
    pass(&c, 30);
    CHECK_STR(fires, "00:05:00");
    pass(&c, 200);
    CHECK_STR(fires, "00:05:00 01:35:00");
    end(&c);
}

TEST(all_missed_instants_are_made_up_for_up_to_a_bound)
{
    struct clockwork c = begin(
        (struct cron_schedule){.pattern = "*/5 * * * *", .missed = MISSED_ALL, .missed_max = 4});
    pass(&c, 900);
    CHECK_STR(fires, "00:05:00 00:10:00 00:15:00");
    pass(&c, 3600);
    CHECK_STR(fires, "00:05:00 00:10:00 00:15:00 01:00:00 01:05:00 01:10:00 01:15:00");
    CHECK(strstr(print(&c), "\"dropped\":{\"missed\":8,"));
    end(&c);
}

TEST(a_day_of_seconds_is_made_up_for_within_bounds)
{
    struct clockwork c = begin(
        (struct cron_schedule){.pattern = "* * * * * *", .missed = MISSED_ALL, .missed_max = 1000});
    pass(&c, 86400);
    for (int i = 0; i < 20; i++)
        pass(&c, 0);
    CHECK_EQ(done_count, 1000);
    CHECK_EQ(done_at[0], wall - 999);
    CHECK_EQ(done_at[999], wall);
    end(&c);
}

TEST(while_a_job_is_unfinished_the_fire_is_dropped_by_default)
{
    struct clockwork c = begin((struct cron_schedule){.pattern = "*/5 * * * *"});
    busy = true;
    pass(&c, 300);
    busy = false;
    pass(&c, 5);
    CHECK_STR(fires, "");
    CHECK(strstr(print(&c), "\"dropped\":{\"missed\":0,\"overlap\":1,"));
    restart(&c, 20); /* and stays dropped */
    pass(&c, 5);
    CHECK_STR(fires, "");
    end(&c);
}

TEST(both_run_if_that_is_allowed)
{
    struct clockwork c =
        begin((struct cron_schedule){.pattern = "*/5 * * * *", .overlap = OVERLAP_ALLOW});
    busy = true;
    pass(&c, 300);
    CHECK_STR(fires, "00:05:00");
    end(&c);
}

TEST(a_fire_waits_for_the_job_before_it)
{
    struct clockwork c =
        begin((struct cron_schedule){.pattern = "*/5 * * * *", .overlap = OVERLAP_QUEUE});
    busy = true;
    pass(&c, 300);
    for (int i = 0; i < 100; i++)
        pass(&c, 1);
    CHECK_STR(fires, "");
    CHECK(strstr(print(&c), "\"last_status\":\"waiting\""));
    busy = false;
    pass(&c, 1);
    CHECK_STR(fires, "00:05:00");
    pass(&c, 300);
    CHECK_STR(fires, "00:05:00 00:10:00");
    end(&c);
}

TEST(of_those_that_wait_the_latest_stays_or_all)
{
    struct clockwork c =
        begin((struct cron_schedule){.pattern = "*/5 * * * *", .overlap = OVERLAP_QUEUE});
    busy = true;
    for (int i = 0; i < 920; i++)
        pass(&c, 1);
    busy = false;
    pass(&c, 1);
    CHECK_STR(fires, "00:15:00");
    CHECK(strstr(print(&c), "\"dropped\":{\"missed\":0,\"overlap\":2,"));
    end(&c);
    c = begin((struct cron_schedule){
        .pattern = "*/5 * * * *", .overlap = OVERLAP_QUEUE, .missed = MISSED_ALL});
    busy = true;
    for (int i = 0; i < 920; i++)
        pass(&c, 1);
    busy = false;
    pass(&c, 1);
    CHECK_STR(fires, "00:05:00 00:10:00 00:15:00");
    end(&c);
}

TEST(the_job_before_it_is_cancelled)
{
    struct clockwork c =
        begin((struct cron_schedule){.pattern = "*/5 * * * *", .overlap = OVERLAP_CANCEL});
    pass(&c, 300);
    busy = true;
    pass(&c, 300);
    CHECK_EQ(cancelled, 1);
    CHECK_STR(fires, "00:05:00");
    busy = false;
    pass(&c, 1);
    CHECK_STR(fires, "00:05:00 00:10:00");
    end(&c);
}

TEST(a_deadline_drops_what_waited_too_long)
{
    struct clockwork c = begin(
        (struct cron_schedule){.pattern = "*/5 * * * *", .overlap = OVERLAP_QUEUE, .deadline = 60});
    pass(&c, 300);
    CHECK_EQ(expires, wall + 60); /* its job does not start later than that either */
    busy = true;
    pass(&c, 300);
    for (int i = 0; i < 100; i++)
        pass(&c, 1);
    busy = false;
    pass(&c, 1);
    CHECK_STR(fires, "00:05:00");
    CHECK(strstr(print(&c), "\"overlap\":0,\"deadline\":1,"));
    pass(&c, 200);
    CHECK_STR(fires, "00:05:00 00:15:00");
    end(&c);
}

TEST(a_refused_push_is_tried_again_until_the_next_instant)
{
    struct clockwork c = begin((struct cron_schedule){.pattern = "*/5 * * * *"});
    refusing = true;
    pass(&c, 300);
    CHECK(strstr(print(&c), "\"last_status\":\"failed\""));
    pass(&c, 10);
    refusing = false;
    pass(&c, 10);
    CHECK_STR(fires, "00:05:00");
    refusing = true;
    pass(&c, 300);
    pass(&c, 300);
    refusing = false;
    pass(&c, 10);
    CHECK_STR(fires, "00:05:00 00:15:00");
    CHECK(strstr(print(&c), "\"failed\":1}"));
    end(&c);
}

TEST(jitter_is_the_same_every_time_and_keeps_the_order)
{
    int64_t late[12], first[12];
    int moved = 0;
    for (int round = 0; round < 2; round++) {
        struct clockwork c = begin((struct cron_schedule){.pattern = "*/5 * * * *", .jitter = 600});
        for (int i = 0, had = 0; i < 3600; i++) {
            pass(&c, 1);
            if (done_count > had) {
                late[had] = wall - done_at[had];
                had++;
            }
        }
        REQUIRE(done_count >= 11);
        for (int i = 0; i < 11; i++) {
            CHECK(late[i] >= 0 && late[i] < 300); /* not into the next instant */
            moved += late[i] > 0;
            CHECK(round == 0 || late[i] == first[i]);
            first[i] = late[i];
        }
        CHECK(strncmp(fires, "00:05:00 00:10:00 00:15:00", 26) == 0);
        end(&c);
    }
    CHECK(moved > 10);
}

static void on_changed(void *arg, const struct err *err)
{
    struct clockwork *c = arg;
    c->code = err->code;
    atomic_store(&c->answered, true);
}

static void pause_on_lane(void *arg)
{
    struct clockwork *c = arg;
    cron_pause(c->cron, STR("p"), str_c(c->id), c->paused, on_changed, c);
}

/* Answered once it is on disk. */
static enum err_code pause_one(struct clockwork *c, const char *id, bool paused)
{
    c->id = id;
    c->paused = paused;
    atomic_store(&c->answered, false);
    lane_call_wait(c->host.control, pause_on_lane, c);
    for (int i = 0; i < 5000 && !atomic_load(&c->answered); i++)
        host_sleep(1);
    CHECK(atomic_load(&c->answered));
    return c->code;
}

TEST(a_paused_schedule_does_not_fire_also_after_a_restart_and_misses_nothing)
{
    struct clockwork c = begin((struct cron_schedule){.pattern = "*/5 * * * *"});
    pass(&c, 300);
    CHECK_EQ(pause_one(&c, "s", true), ERR_NONE);
    pass(&c, 600);
    CHECK(strstr(print(&c), "\"paused\":true"));
    CHECK(strstr(print(&c), "\"next_at\":null,\"next\":[]"));
    restart(&c, 600);
    pass(&c, 10);
    CHECK_STR(fires, "00:05:00");
    CHECK(strstr(print(&c), "\"paused\":true"));
    CHECK_EQ(pause_one(&c, "s", false), ERR_NONE);
    pass(&c, 1);
    CHECK_STR(fires, "00:05:00");
    pass(&c, 300);
    CHECK_STR(fires, "00:05:00 00:30:00");
    CHECK_EQ(pause_one(&c, "x", true), ERR_NOT_FOUND);
    end(&c);
}

TEST(the_next_five_runs_are_shown_with_changes_of_the_clock)
{
    struct clockwork c = begin((struct cron_schedule){.pattern = "*/30 * * * *"});
    c.schedule.tz = "America/New_York";
    set(&c);
    wall = date_days(2025, 11, 2) * 86400 + 5 * 3600 + 60;
    const char *text = print(&c);
    CHECK(strstr(text, "\"next\":[\"2025-11-02T01:30:00-04:00\",\"2025-11-02T01:00:00-05:00\","
                       "\"2025-11-02T01:30:00-05:00\",\"2025-11-02T02:00:00-05:00\","
                       "\"2025-11-02T02:30:00-05:00\"]"));
    CHECK(strstr(text, "\"changes\":[{\"at\":\"2025-11-02T01:00:00-05:00\",\"before\":\"-04:00\","
                       "\"after\":\"-05:00\",\"run\":1}]"));
    end(&c);
}

/* As a program before this one left it: the moment a schedule was first seen is a row of job 0. */
TEST(a_table_of_an_older_program_is_read)
{
    struct clockwork c = begin((struct cron_schedule){.pattern = "0 4 * * *"});
    struct err err = {0};
    lane_call_wait(c.host.control, stop_on_lane, &c);
    cron_close(c.cron);
    char sql[256];
    snprintf(sql, sizeof sql,
             "DROP TABLE maru_cron_state; INSERT INTO maru_cron_fire VALUES('p/s', %lld, 0)",
             (long long)wall);
    CHECK(sqlite_exec_wait(store_sqlite(c.host.store), sql, &err));
    wall += 6 * 3600;
    open_cron(&c);
    set(&c);
    pass(&c, 1);
    CHECK_STR(fires, "04:00:00");
    end(&c);
}
