/* Zones beside the C library's.  Schedules are in calendar_test.c. */
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
enum { ZONES = sizeof zones / sizeof *zones, DAY = 86400 };

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
