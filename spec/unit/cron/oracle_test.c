/* Zones beside the C library's, schedules beside a count of every minute. */
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/sys.h"
#include "cron/schedule.h"
#include "cron/zone.h"
#include "test.h"

static const char *const zones[] = {
    "America/New_York",  "Europe/London", "Australia/Lord_Howe", "Asia/Seoul",
    "America/Sao_Paulo", "Asia/Beirut",   "Africa/Casablanca",   "Pacific/Apia",
    "America/St_Johns",  "Asia/Tehran",   "Antarctica/Troll",    "Europe/Dublin",
};
enum { ZONES = sizeof zones / sizeof *zones, DAY = 86400, SPAN = 5 * 1440 };

static void use_zone(const char *name)
{
    setenv("TZ", name, 1);
    tzset();
}

static struct zone *load(const char *name)
{
    struct err err = {0};
    struct zone *zone = zone_load(NULL, str_c(name), &err);
    if (!zone)
        TEST_FAIL("%s", err.message);
    return zone;
}

TEST(offsets_are_those_of_the_c_library)
{
    for (int i = 0; i < ZONES; i++) {
        struct zone *zone = load(zones[i]);
        int wrong = 0;
        use_zone(zones[i]);
        for (int64_t t = -10 * 365 * (int64_t)DAY; zone && t < 67 * 365 * (int64_t)DAY;
             t += 25007) {
            time_t clock = (time_t)t;
            struct tm tm;
            localtime_r(&clock, &tm);
            if (zone_offset(zone, t, NULL, NULL) != tm.tm_gmtoff && wrong++ == 0)
                TEST_FAIL("%s at %lld: %d, not %ld", zones[i], (long long)t,
                          (int)zone_offset(zone, t, NULL, NULL), tm.tm_gmtoff);
        }
        zone_free(zone);
    }
}

/* Local seconds of each minute of a stretch, by the C library. */
static int64_t local[SPAN + 1];

static void fill_local(int64_t from)
{
    for (int i = 0; i <= SPAN; i++) {
        time_t clock = (time_t)(from + i * 60);
        struct tm tm;
        localtime_r(&clock, &tm);
        local[i] = (int64_t)clock + tm.tm_gmtoff;
    }
}

static bool matches(const struct schedule *s, int64_t at)
{
    time_t clock = (time_t)at;
    struct tm tm;
    gmtime_r(&clock, &tm);
    bool day = s->days >> tm.tm_mday & 1, weekday = s->weekdays >> tm.tm_wday & 1;
    bool date = s->any_day || s->any_weekday ? day && weekday : day || weekday;
    return at % 60 == 0 && (s->minutes >> tm.tm_min & 1) && (s->hours >> tm.tm_hour & 1) &&
           (s->months >> (tm.tm_mon + 1) & 1) && date;
}

/* Whether minute i of the stretch is to fire. */
static bool should_fire(const struct schedule *s, int i)
{
    bool now = matches(s, local[i]);
    if (s->interval)
        return now;
    for (int k = i - 1; k >= 0 && k >= i - 26 * 60 && now; k--)
        if (local[k] == local[i])
            now = false; /* the second of two */
    for (int64_t skipped = local[i - 1] + 60; skipped < local[i] && !now; skipped += 60)
        now = matches(s, skipped);
    return now;
}

static void check_stretch(const char *zone_name, const struct zone *zone, const char *pattern,
                          int64_t from)
{
    struct schedule s;
    struct err err = {0};
    if (!schedule_parse(str_c(pattern), &s, &err)) {
        TEST_FAIL("%s", err.message);
        return;
    }
    int64_t next = schedule_next(&s, zone, from + DAY);
    for (int i = 1440 + 1; i <= SPAN; i++) {
        int64_t at = from + i * 60;
        bool fires = next == at;
        if (fires != should_fire(&s, i)) {
            TEST_FAIL("%s \"%s\" at %lld: %s", zone_name, pattern, (long long)at,
                      fires ? "fires" : "does not fire");
            return;
        }
        if (fires)
            next = schedule_next(&s, zone, at);
    }
}

static const char *const patterns[] = {
    "30 2 * * *",  "0 0 * * *", "15,45 1,2,3 * * *", "*/30 * * * *", "15 1-3 * * *", "30 1 * * *",
    "*/7 2 * * *", "0 4 * * 0", "0 0 1,31 * 0",      "59 23 * * *",  "0 3 28 3 *",   "5 0,1 * * *",
};

TEST(schedules_fire_as_a_count_of_every_minute_says)
{
    int64_t end = date_days(2035, 1, 1) * DAY;
    for (int i = 0; i < ZONES; i++) {
        struct zone *zone = load(zones[i]);
        int64_t at = date_days(i == 3 ? 1987 : 2010, 1, 1) * DAY;
        use_zone(zones[i]);
        for (int changes = 0; zone && changes < 12; changes++) {
            int64_t to;
            zone_offset(zone, at, NULL, &to);
            if (to > end)
                break;
            int64_t from = (to - SPAN * 30) / 60 * 60;
            fill_local(from);
            for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++)
                check_stretch(zones[i], zone, patterns[p], from);
            at = to;
        }
        zone_free(zone);
    }
}

TEST(damaged_zone_files_are_refused_or_read_within_bounds)
{
    struct buf bytes = {0};
    struct err err = {0};
    REQUIRE(file_read(ZONE_DIR "/America/New_York", ZONE_FILE_BYTES, &bytes, &err));
    for (int round = 0; round < 4000; round++) {
        size_t n = round % 3 ? bytes.n : (size_t)(rand_u64() % bytes.n);
        char *copy = mem_dup(bytes.p, n ? n : 1);
        for (int i = 0; i < 1 + round % 8 && n; i++)
            copy[rand_u64() % (round % 2 ? n : n < 300 ? n : 300)] = (char)rand_u64();
        struct zone *zone = zone_parse(str_n(copy, n), &err);
        if (zone) {
            struct schedule s;
            int64_t at, from, to;
            char text[40];
            CHECK(schedule_parse(STR("30 2 * * *"), &s, &err));
            schedule_next(&s, zone, (int64_t)(rand_u64() % 4000000000));
            zone_instant(zone, (int64_t)(rand_u64() % 4000000000), &at);
            zone_offset(zone, at, &from, &to);
            zone_format(zone, at, text);
        }
        zone_free(zone);
        mem_free(copy);
    }
    buf_free(&bytes);
}
