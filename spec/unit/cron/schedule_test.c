#include "cron/schedule.h"

#include "cron/zone.h"
#include "test.h"

/* Fires of `pattern` in `zone` after `from`, as local texts, joined by spaces. */
static const char *fires(const char *pattern, const char *zone_name, const char *from, int n)
{
    static char out[512];
    struct err err = {0};
    struct schedule s;
    struct zone *zone = zone_load(NULL, str_c(zone_name), &err);
    int64_t instants[10], start;
    int year, month, day, hour, minute;
    out[0] = '\0';
    if (!zone || !schedule_parse(str_c(pattern), &s, &err))
        return strcpy(out, err.message);
    sscanf(from, "%d-%d-%dT%d:%d", &year, &month, &day, &hour, &minute);
    start = date_days(year, month, day) * 86400 + hour * 3600 + minute * 60; /* UTC */
    int count = schedule_next_n(&s, zone, start, instants, n);
    for (int i = 0; i < count; i++) {
        char text[40];
        zone_format(zone, instants[i], text);
        strcat(out, i ? " " : "");
        strcat(out, text);
    }
    zone_free(zone);
    return out;
}

static const char *wrong(const char *pattern)
{
    static struct err err;
    struct schedule s;
    err = (struct err){0};
    schedule_parse(str_c(pattern), &s, &err);
    return err.message;
}

TEST(fields_ranges_steps_lists_and_names)
{
    CHECK_STR(fires("*/20 * * * *", "UTC", "2026-01-01T00:00", 3),
              "2026-01-01T00:20:00+00:00 2026-01-01T00:40:00+00:00 2026-01-01T01:00:00+00:00");
    CHECK_STR(fires("0 9-17/4 * * mon-fri", "Asia/Seoul", "2026-11-20T00:00", 4),
              "2026-11-20T13:00:00+09:00 2026-11-20T17:00:00+09:00 2026-11-23T09:00:00+09:00 "
              "2026-11-23T13:00:00+09:00");
    CHECK_STR(fires("30 4 1,15 * *", "UTC", "2026-02-10T00:00", 2),
              "2026-02-15T04:30:00+00:00 2026-03-01T04:30:00+00:00");
    CHECK_STR(fires("0 0 29 feb *", "UTC", "2026-01-01T00:00", 2),
              "2028-02-29T00:00:00+00:00 2032-02-29T00:00:00+00:00");
    CHECK_STR(fires("@daily", "Asia/Seoul", "2026-11-21T00:00", 1), "2026-11-22T00:00:00+09:00");
    CHECK_STR(fires("0 12 * * 7", "UTC", "2026-11-21T00:00", 1), "2026-11-22T12:00:00+00:00");
}

TEST(six_fields_begin_with_the_second)
{
    CHECK_STR(fires("*/20 * * * * *", "UTC", "2026-01-01T00:00", 3),
              "2026-01-01T00:00:20+00:00 2026-01-01T00:00:40+00:00 2026-01-01T00:01:00+00:00");
    CHECK_STR(fires("5,50 59 23 * * *", "UTC", "2026-01-01T00:00", 3),
              "2026-01-01T23:59:05+00:00 2026-01-01T23:59:50+00:00 2026-01-02T23:59:05+00:00");
    CHECK_STR(fires("30 10-12/2 9 * * mon", "Asia/Seoul", "2026-11-21T00:00", 3),
              "2026-11-23T09:10:30+09:00 2026-11-23T09:12:30+09:00 2026-11-30T09:10:30+09:00");
    /* fixed: once, after the gap; with every second asked for: elapsed time */
    CHECK_STR(fires("15 30 2 * * *", "America/New_York", "2025-03-08T12:00", 2),
              "2025-03-09T03:00:00-04:00 2025-03-10T02:30:15-04:00");
    CHECK_STR(fires("*/30 30 2 * * *", "America/New_York", "2025-03-08T12:00", 2),
              "2025-03-10T02:30:00-04:00 2025-03-10T02:30:30-04:00");
}

/* What other schedulers got wrong: instants in UTC, as measured beside them. */
TEST(days_of_a_change_as_measured_with_other_schedulers)
{
    static const struct {
        const char *pattern, *zone, *from, *fires;
    } rows[] = {
        {"30 2 * * *", "America/New_York", "2025-03-09T05:00",
         "2025-03-09T03:00:00-04:00 2025-03-10T02:30:00-04:00"},
        {"0 0 * * *", "Asia/Beirut", "2025-03-29T12:00",
         "2025-03-30T01:00:00+03:00 2025-03-31T00:00:00+03:00"},
        {"30 1 * * *", "America/New_York", "2025-11-02T05:00",
         "2025-11-02T01:30:00-04:00 2025-11-03T01:30:00-05:00"},
        {"*/30 * * * *", "America/New_York", "2025-11-02T05:29",
         "2025-11-02T01:30:00-04:00 2025-11-02T01:00:00-05:00"},
        {"*/30 * * * *", "America/New_York", "2025-11-02T06:00",
         "2025-11-02T01:30:00-05:00 2025-11-02T02:00:00-05:00"},
        {"15 1-3 * * *", "America/New_York", "2025-03-09T05:00",
         "2025-03-09T01:15:00-05:00 2025-03-09T03:15:00-04:00"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_STR(fires(rows[i].pattern, rows[i].zone, rows[i].from, 2), rows[i].fires);
}

TEST(day_and_weekday_together_mean_either)
{
    CHECK_STR(fires("0 0 13 * fri", "UTC", "2026-11-07T00:00", 3),
              "2026-11-13T00:00:00+00:00 2026-11-20T00:00:00+00:00 2026-11-27T00:00:00+00:00");
    CHECK_STR(fires("0 0 25 * fri", "UTC", "2026-11-21T00:00", 2),
              "2026-11-25T00:00:00+00:00 2026-11-27T00:00:00+00:00");
}

TEST(every_counts_from_1970)
{
    CHECK_STR(fires("@every 90s", "UTC", "1970-01-01T00:01", 2),
              "1970-01-01T00:01:30+00:00 1970-01-01T00:03:00+00:00");
}

TEST(a_skipped_local_time_fires_once_right_after_the_gap)
{
    CHECK_STR(fires("30 2 * * *", "America/New_York", "2025-03-08T12:00", 2),
              "2025-03-09T03:00:00-04:00 2025-03-10T02:30:00-04:00");
    CHECK_STR(fires("10,50 2 * * *", "America/New_York", "2025-03-08T12:00", 2),
              "2025-03-09T03:00:00-04:00 2025-03-10T02:10:00-04:00");
    CHECK_STR(fires("15 2 * * *", "Australia/Lord_Howe", "2025-10-04T10:00", 1),
              "2025-10-05T02:30:00+11:00");
}

TEST(a_doubled_local_time_fires_the_first_time_only)
{
    CHECK_STR(fires("30 1 * * *", "America/New_York", "2025-11-01T12:00", 2),
              "2025-11-02T01:30:00-04:00 2025-11-03T01:30:00-05:00");
    CHECK_STR(fires("30 1 * * *", "Europe/London", "2025-10-25T12:00", 2),
              "2025-10-26T01:30:00+01:00 2025-10-27T01:30:00+00:00");
}

TEST(an_interval_follows_elapsed_time)
{
    CHECK_STR(fires("*/30 * * * *", "America/New_York", "2025-11-02T05:00", 5),
              "2025-11-02T01:30:00-04:00 2025-11-02T01:00:00-05:00 2025-11-02T01:30:00-05:00 "
              "2025-11-02T02:00:00-05:00 2025-11-02T02:30:00-05:00");
    CHECK_STR(fires("*/30 * * * *", "America/New_York", "2025-03-09T06:00", 3),
              "2025-03-09T01:30:00-05:00 2025-03-09T03:00:00-04:00 2025-03-09T03:30:00-04:00");
}

TEST(seoul_had_daylight_time_in_1987)
{
    CHECK_STR(fires("30 2 * * *", "Asia/Seoul", "1987-05-09T00:00", 2),
              "1987-05-10T03:00:00+10:00 1987-05-11T02:30:00+10:00");
    CHECK_STR(fires("30 2 * * *", "Asia/Seoul", "1987-10-10T00:00", 2),
              "1987-10-11T02:30:00+10:00 1987-10-12T02:30:00+09:00");
}

TEST(the_rule_goes_on_behind_the_last_transition)
{
    CHECK_STR(fires("30 2 * * *", "America/New_York", "2090-03-11T12:00", 1),
              "2090-03-12T03:00:00-04:00");
}

TEST(the_latest_missed_instant_is_found)
{
    struct err err = {0};
    struct zone *utc = zone_load(NULL, STR("UTC"), &err);
    struct schedule s;
    int64_t day = date_days(2026, 11, 21) * 86400;
    CHECK(schedule_parse(STR("0 4 * * *"), &s, &err));
    CHECK_EQ(schedule_latest(&s, utc, day - 30 * 86400, day + 3600), day - 86400 + 4 * 3600);
    CHECK(schedule_latest(&s, utc, day, day + 3600) == SCHEDULE_NEVER);
    CHECK(schedule_parse(STR("* * * * *"), &s, &err));
    CHECK_EQ(schedule_latest(&s, utc, 0, day + 90), day + 60);
    CHECK(schedule_parse(STR("@every 7s"), &s, &err));
    CHECK_EQ(schedule_latest(&s, utc, 0, 20), 14);
    CHECK_EQ(schedule_count(&s, utc, 0, 20, 9), 2);
    CHECK_EQ(schedule_count(&s, utc, 0, 2000, 9), 9);
    CHECK(schedule_parse(STR("*/10 * * * * *"), &s, &err));
    CHECK_EQ(schedule_latest(&s, utc, 0, day - 1), day - 10);
    CHECK_EQ(schedule_count(&s, utc, day, day + 60, 100), 6);
    CHECK_EQ(schedule_count(&s, utc, day, day + 60, 4), 4);
    zone_free(utc);
}

TEST(errors_name_the_field)
{
    CHECK(strstr(wrong("61 * * * *"), "minute: 61 is not in 0-59"));
    CHECK(strstr(wrong("* * * * fry"), "weekday: \"fry\""));
    CHECK(strstr(wrong("* * *"), "3 fields of five"));
    CHECK(strstr(wrong("* * * * * * *"), "more than six"));
    CHECK(strstr(wrong("60 * * * * *"), "second: 60 is not in 0-59"));
    CHECK(strstr(wrong("0 60 * * * *"), "minute: 60 is not in 0-59"));
    CHECK_STR(wrong("0 0 0 31 * *"), "");
    CHECK(strstr(wrong("5-1 * * * *"), "runs backwards"));
    CHECK(strstr(wrong("*/0 * * * *"), "step"));
    CHECK(strstr(wrong("0 0 30 2 *"), "no year"));
    CHECK(strstr(wrong("@every 10ms"), "from 1s"));
    CHECK(strstr(wrong("@sometimes"), "@hourly"));
    CHECK(strstr(wrong("1,,2 * * * *"), "empty"));
    CHECK_STR(wrong("0 0 31 * *"), "");
    CHECK_STR(wrong(" 0\t0  31 * * "), "");
}

TEST(zones_are_looked_up_by_name_only)
{
    struct err err = {0};
    CHECK(!zone_load(NULL, STR("../../../etc/passwd"), &err));
    CHECK(!zone_load(NULL, STR("Asia/Soeul"), &err));
    CHECK(strstr(err.message, "time zone \"Asia/Soeul\": there is no such zone"));
    CHECK(!zone_parse(STR("TZif2 and no more"), &err));
    CHECK_EQ(err.code, ERR_CORRUPT);
}
