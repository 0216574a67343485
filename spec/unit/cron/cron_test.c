/* Schedules on a clock of the test's own; what is pushed is a list of words. */
#include <unistd.h>

#include "base/mem.h"
#include "cron/clockwork.h"
#include "cron/schedule.h"

static char fires[1024];
static bool busy, pk[1024]; /* pk: minute of the day that fired */

static void on_push(struct cron_push *push, void *arg)
{
    (void)arg;
    size_t n = strlen(fires);
    int minute = (int)(push->at / 60 % 1440) % 1024;
    if (busy) {
        push->skipped = true;
        err_set(&push->err, ERR_EXISTS, "busy");
    } else if (pk[minute] && !push->by_hand) {
        err_set(&push->err, ERR_EXISTS, "fired before");
    } else {
        pk[minute] = !push->by_hand;
        snprintf(fires + n, sizeof fires - n, "%.*s@%02d:%02d%s ", (int)push->schedule.n,
                 push->schedule.p, (int)(push->at / 3600 % 24), (int)(push->at / 60 % 60),
                 push->by_hand ? "!" : "");
        push->job_id = 1;
    }
    push->done(push);
}

static struct clockwork begin(void)
{
    struct clockwork c = {0};
    fires[0] = 0;
    busy = false;
    memset(pk, 0, sizeof pk);
    begin_clockwork(&c);
    return c;
}

struct lane_step {
    struct clockwork *c;
    const struct cron_schedule *set;
    int count;
    bool ok;
    struct err err;
};

static void set_on_lane(void *arg)
{
    struct lane_step *s = arg;
    s->ok = cron_set(s->c->cron, s->set, s->count, &s->err);
}

static bool set(struct clockwork *c, const struct cron_schedule *list, int count, struct err *err)
{
    struct lane_step s = {.c = c, .set = list, .count = count};
    lane_call_wait(c->host.control, set_on_lane, &s);
    *err = s.err;
    return s.ok;
}

static void set_one(struct clockwork *c, const char *pattern)
{
    struct err err;
    struct cron_schedule s = {
        .plugin = "p", .id = "s", .pattern = pattern, .kind = "p.k", .enabled = true};
    CHECK(set(c, &s, 1, &err));
}

TEST(fires_at_its_instants)
{
    struct clockwork c = begin();
    set_one(&c, "*/5 * * * *");
    CHECK_STR(fires, "");
    for (int i = 0; i < 11; i++)
        pass(&c, 60);
    CHECK_STR(fires, "p/s@00:05 p/s@00:10 ");
    end(&c);
}

TEST(makes_up_for_what_was_missed_once)
{
    struct clockwork c = begin();
    set_one(&c, "*/5 * * * *");
    pass(&c, 3600 + 120); /* the machine slept, or its clock was set forward */
    CHECK_STR(fires, "p/s@01:00 ");
    pass(&c, 180);
    CHECK_STR(fires, "p/s@01:00 p/s@01:05 ");
    end(&c);
}

TEST(a_restart_makes_up_for_a_first_fire_that_was_missed)
{
    struct clockwork c = begin();
    set_one(&c, "0 4 * * *");
    pass(&c, 60);
    close_cron(&c);
    host_close(&c.host);
    wall += 6 * 3600;
    host_open(&c.host);
    open_cron(&c);
    set_one(&c, "0 4 * * *");
    pass(&c, 1);
    CHECK_STR(fires, "p/s@04:00 ");
    pass(&c, 3600);
    CHECK_STR(fires, "p/s@04:00 ");
    end(&c);
}

TEST(a_clock_set_back_repeats_nothing_and_stops_nothing)
{
    struct clockwork c = begin();
    set_one(&c, "*/10 * * * *");
    pass(&c, 600);
    pass(&c, 600);
    pass(&c, -900);
    pass(&c, 300); /* 00:10 again */
    CHECK_STR(fires, "p/s@00:10 p/s@00:20 ");
    pass(&c, 600);
    pass(&c, 600);
    CHECK_STR(fires, "p/s@00:10 p/s@00:20 p/s@00:30 ");
    end(&c);
}

TEST(a_reload_keeps_what_a_schedule_did)
{
    struct clockwork c = begin();
    set_one(&c, "*/10 * * * *");
    pass(&c, 610);
    set_one(&c, "*/10 * * * *");
    pass(&c, 5);
    CHECK_STR(fires, "p/s@00:10 ");
    set_one(&c, "*/4 * * * *"); /* 00:12 comes next, 00:08 is past its last fire */
    pass(&c, 110);
    CHECK_STR(fires, "p/s@00:10 p/s@00:12 ");
    end(&c);
}

TEST(skips_while_an_earlier_job_is_unfinished_and_says_so)
{
    struct clockwork c = begin();
    struct buf out = {0};
    set_one(&c, "*/5 * * * *");
    busy = true;
    pass(&c, 300);
    CHECK_STR(fires, "");
    cron_print(c.cron, &out);
    CHECK(strstr(out.p, "\"last_status\":\"skipped\""));
    CHECK(strstr(out.p, "\"next_at\":\"2026-11-21T00:10:00+00:00\""));
    busy = false;
    pass(&c, 300);
    CHECK_STR(fires, "p/s@00:10 ");
    buf_free(&out);
    end(&c);
}

static enum err_code ran_code;
static void on_ran_now(void *arg, const struct err *err, int64_t job_id)
{
    (void)arg;
    (void)job_id;
    ran_code = err->code;
}
static void run_now(void *arg)
{
    cron_run_now(((struct clockwork *)arg)->cron, STR("p"), STR("s"), on_ran_now, NULL);
}
static void run_unknown(void *arg)
{
    cron_run_now(((struct clockwork *)arg)->cron, STR("p"), STR("x"), on_ran_now, NULL);
}

TEST(run_now_fires_beside_the_pattern)
{
    struct clockwork c = begin();
    set_one(&c, "*/5 * * * *");
    pass(&c, 300);
    lane_call_wait(c.host.control, run_now, &c);
    CHECK_EQ(ran_code, ERR_NONE);
    pass(&c, 300);
    CHECK_STR(fires, "p/s@00:05 p/s@00:05! p/s@00:10 ");
    lane_call_wait(c.host.control, run_unknown, &c);
    CHECK_EQ(ran_code, ERR_NOT_FOUND);
    busy = true;
    lane_call_wait(c.host.control, run_now, &c);
    CHECK_EQ(ran_code, ERR_EXISTS);
    end(&c);
}

TEST(a_bad_schedule_leaves_the_old_set)
{
    struct clockwork c = begin();
    struct err err;
    set_one(&c, "*/5 * * * *");
    struct cron_schedule bad[] = {
        {.plugin = "p", .id = "s", .pattern = "*/5 * * * *", .kind = "p.k", .enabled = true},
        {.plugin = "q", .id = "t", .pattern = "* 25 * * *", .kind = "q.k", .enabled = true}};
    CHECK(!set(&c, bad, 2, &err));
    CHECK(strstr(err.message, "plugin q: schedule \"t\""));
    CHECK(strstr(err.message, "hour: 25 is not in 0-23"));
    bad[1].pattern = "0 4 * * *";
    bad[1].tz = "Mars/Olympus";
    CHECK(!set(&c, bad, 2, &err));
    CHECK(strstr(err.message, "time zone \"Mars/Olympus\""));
    pass(&c, 300);
    CHECK_STR(fires, "p/s@00:05 ");
    end(&c);
}

TEST(what_is_switched_off_does_not_fire_and_misses_nothing)
{
    struct clockwork c = begin();
    struct err err;
    struct cron_schedule s = {.plugin = "p", .id = "s", .pattern = "*/5 * * * *", .kind = "p.k"};
    CHECK(set(&c, &s, 1, &err));
    pass(&c, 1000);
    CHECK_STR(fires, "");
    s.enabled = true;
    CHECK(set(&c, &s, 1, &err));
    pass(&c, 10);
    CHECK_STR(fires, "");
    pass(&c, 200);
    CHECK_STR(fires, "p/s@00:20 ");
    end(&c);
}
