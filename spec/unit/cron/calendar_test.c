/* Schedules beside an oracle that knows the rules only: it walks through every minute, or every
 * second, of the C library's local time and asks of each one whether the pattern's text means it.
 * It shares nothing with core/cron.
 *
 * Ten zones, 2010 to 2030.  By default the days around every change of the clock and some others;
 * with CRON_ORACLE=full every minute of these years, and every second of the days of a change. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cron/schedule.h"
#include "cron/zone.h"
#include "test.h"

static const char *const zones[] = {
    "America/New_York", "Europe/London",     "Asia/Seoul",  "Asia/Beirut",  "Australia/Lord_Howe",
    "America/St_Johns", "Africa/Casablanca", "Asia/Tehran", "Pacific/Apia", "Antarctica/Troll",
};
static const char *const by_minute[] = {
    "* * * * *",
    "*/5 * * * *",
    "*/7 * * * *",
    "*/30 * * * *",
    "17 * * * *",
    "0 0 * * *",
    "30 0 * * *",
    "30 1 * * *",
    "30 2 * * *",
    "15 2 * * *",
    "0 3 * * *",
    "59 23 * * *",
    "10,50 2 * * *",
    "15,45 1,2,3 * * *",
    "5 0,1,2 * * *",
    "0,30 0,1,2,3 * * *",
    "15 1-3 * * *",
    "*/7 2 * * *",
    "0 */2 * * *",
    "0-10/5 1 * * *",
    "0 9-17/4 * * mon-fri",
    "30 2 * * sun",
    "0 4 * * 7",
    "0 0 1 * *",
    "0 0 31 * *",
    "0 0 29 feb *",
    "0 0 13 * fri",
    "0 2 8,31 mar,oct 0",
    "0 0 1-7 * 0",
    "30 23 28-31 * *",
    "0 0 30 12 *",
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
};
static const char *const by_second[] = {
    "* * * * * *",     "*/10 * * * * *", "0 30 2 * * *",  "30 30 2 * * *",
    "*/20 30 2 * * *", "15 0 0 * * *",   "59 59 1 * * *", "0,30 0,30 1,2,3 * * *",
    "0 */5 * * * *",   "5 10 1-3 * * *", "1 0 0 * * *",   "20-40/10 59 23,0,1 * * sun",
};
#ifdef __SANITIZE_THREAD__
enum { ZONES = 2, CHANGES = 80 }; /* one thread: TSan has nothing to find here */
#else
enum { ZONES = sizeof zones / sizeof *zones, CHANGES = 250 };
#endif
enum {
    MINUTE_PATTERNS = sizeof by_minute / sizeof *by_minute,
    SECOND_PATTERNS = sizeof by_second / sizeof *by_second,
    DAY = 86400,
    WARM_UP = 2 * DAY, /* walked before a stretch, to know what was there already */
    PROBES = 5,        /* of a stretch and pattern, eight times as many in the full run */
};

static bool is_full(void)
{
    const char *text = getenv("CRON_ORACLE");
    return text && !strcmp(text, "full");
}

/* ---- the oracle --------------------------------------------------------- */

static const char *const month_names = "janfebmaraprmayjunjulaugsepoctnovdec";
static const char *const day_names = "sunmontuewedthufrisat";

/* A pattern as texts; nothing is worked out before a time is asked for. */
struct rule {
    char field[6][64]; /* second minute hour day month weekday */
    bool fixed;
    bool table[6][64]; /* the answer for each value */
};

static int number_of(const char *text)
{
    if (text[0] >= '0' && text[0] <= '9')
        return atoi(text);
    char lower[4] = {0};
    for (int i = 0; i < 3; i++)
        lower[i] = (char)(text[i] | 32);
    const char *at = strstr(month_names, lower);
    if (at && (at - month_names) % 3 == 0)
        return (int)(at - month_names) / 3 + 1;
    return (int)(strstr(day_names, lower) - day_names) / 3;
}

static bool means(const char *item, int value, int least, int most)
{
    int low = least, high = most, step = 1;
    const char *slash = strchr(item, '/'), *dash = strchr(item, '-');
    if (slash)
        step = atoi(slash + 1);
    if (item[0] != '*') {
        low = number_of(item);
        high = dash ? number_of(dash + 1) : slash ? most : low;
    }
    return value >= low && value <= high && (value - low) % step == 0;
}

static bool field_means(const char *text, int value, int least, int most)
{
    char copy[64], *rest = copy;
    strcpy(copy, text);
    for (char *item; (item = strsep(&rest, ","));)
        if (means(item, value, least, most))
            return true;
    return false;
}

static struct rule rule_of(const char *pattern)
{
    static const char *const shorts[][2] = {{"@hourly", "0 * * * *"},
                                            {"@daily", "0 0 * * *"},
                                            {"@weekly", "0 0 * * 0"},
                                            {"@monthly", "0 0 1 * *"}};
    static const int most[] = {59, 59, 23, 31, 12, 7};
    struct rule r = {.fixed = true};
    for (int i = 0; i < 4; i++)
        if (!strcmp(pattern, shorts[i][0]))
            pattern = shorts[i][1];
    int n = sscanf(pattern, "%63s %63s %63s %63s %63s %63s", r.field[0], r.field[1], r.field[2],
                   r.field[3], r.field[4], r.field[5]);
    if (n == 5) {
        memmove(r.field[1], r.field[0], 5 * sizeof r.field[0]);
        strcpy(r.field[0], "0");
    }
    for (int i = 0; i < 3; i++)
        if (strpbrk(r.field[i], "*/-"))
            r.fixed = false;
    for (int i = 0; i < 6; i++)
        for (int value = 0; value <= most[i]; value++)
            r.table[i][value] = field_means(r.field[i], value, i == 3 || i == 4, most[i]);
    if (r.table[5][7])
        r.table[5][0] = true;
    return r;
}

static bool matches(const struct rule *r, const struct tm *tm)
{
    bool day = r->table[3][tm->tm_mday], weekday = r->table[5][tm->tm_wday];
    bool star = !strcmp(r->field[3], "*") || !strcmp(r->field[5], "*");
    return r->table[0][tm->tm_sec] && r->table[1][tm->tm_min] && r->table[2][tm->tm_hour] &&
           r->table[4][tm->tm_mon + 1] && (star ? day && weekday : day || weekday);
}

/* One moment of a walk through local time. */
struct moment {
    struct tm tm;
    int64_t at, local;  /* local: as if it were UTC */
    bool again;         /* this local time was there before */
    int64_t skipped[2]; /* local times left out just before: first and last; first > last: none */
};

static bool is_meant(const struct rule *r, const struct moment *m, int64_t step)
{
    if (!r->fixed)
        return matches(r, &m->tm);
    if (!m->again && matches(r, &m->tm))
        return true;
    for (int64_t local = m->skipped[0]; local <= m->skipped[1]; local += step) {
        struct tm tm;
        gmtime_r(&(time_t){local}, &tm);
        if (matches(r, &tm))
            return true;
    }
    return false;
}

/* The moment that follows; *most is the latest local time so far. */
static void walk(struct moment *m, int64_t at, int64_t step, int64_t *most)
{
    int64_t before = m->local;
    m->at = at;
    localtime_r(&(time_t){at}, &m->tm);
    m->local = at + m->tm.tm_gmtoff;
    m->skipped[0] = before + step;
    m->skipped[1] = m->local - step;
    m->again = m->local <= *most;
    if (m->local > *most)
        *most = m->local;
}

/* ---- a stretch: what the oracle says, and what core/cron does ------------- */

struct plan {
    const char *pattern;
    struct rule rule;
    struct schedule schedule;
    int64_t *fires;
    int count, cap;
};

static void plans_make(struct plan *plans, const char *const *patterns, int count)
{
    for (int i = 0; i < count; i++) {
        struct err err = {0};
        plans[i] = (struct plan){.pattern = patterns[i], .rule = rule_of(patterns[i])};
        if (!schedule_parse(str_c(patterns[i]), &plans[i].schedule, &err))
            TEST_FAIL("%s", err.message);
    }
}

static void plans_free(struct plan *plans, int count)
{
    for (int i = 0; i < count; i++)
        free(plans[i].fires);
}

static void add_fire(struct plan *p, int64_t at)
{
    if (p->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 256;
        p->fires = realloc(p->fires, (size_t)p->cap * sizeof *p->fires);
    }
    p->fires[p->count++] = at;
}

/* Index of the first fire after `at`. */
static int first_after(const struct plan *p, int64_t at)
{
    int low = 0, high = p->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (p->fires[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool differs(const char *zone, const struct plan *p, const char *what, int64_t after,
                    int64_t said, int64_t meant)
{
    if (said == meant)
        return false;
    TEST_FAIL("%s \"%s\": %s %lld is %lld, not %lld", zone, p->pattern, what, (long long)after,
              (long long)said, (long long)meant);
    return true;
}

/* Looks from anywhere in the stretch: ahead, back, and counting. */
static bool probe(const char *name, const struct zone *zone, const struct plan *p, int64_t from,
                  int64_t to)
{
    static uint64_t state = 88172645463325252u;
    for (int i = 0; i < (is_full() ? 8 : 1) * PROBES; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        int64_t a = from + (int64_t)(state % (uint64_t)(to - from)), b = a + (to - a) / 2;
        int next = first_after(p, a), behind = first_after(p, b);
        if (next < p->count &&
            differs(name, p, "after", a, schedule_next(&p->schedule, zone, a), p->fires[next]))
            return true;
        int64_t latest = behind > next ? p->fires[behind - 1] : SCHEDULE_NEVER;
        if (differs(name, p, "the latest before", b, schedule_latest(&p->schedule, zone, a, b),
                    latest) ||
            differs(name, p, "the count from", a,
                    schedule_count(&p->schedule, zone, a, b, p->count + 1), behind - next))
            return true;
    }
    return false;
}

static bool compare(const char *name, const struct zone *zone, const struct plan *p, int64_t from,
                    int64_t to)
{
    int64_t at = from - 1;
    for (int i = 0; i < p->count; i++) {
        int64_t next = schedule_next(&p->schedule, zone, at);
        if (differs(name, p, "after", at, next, p->fires[i]))
            return true;
        at = next;
    }
    int64_t next = schedule_next(&p->schedule, zone, at);
    if (next < to && differs(name, p, "after", at, next, to))
        return true;
    return probe(name, zone, p, from, to);
}

/* [from, to), in steps.  The process's zone is `name`. */
static bool stretch(const char *name, const struct zone *zone, struct plan *plans, int count,
                    int64_t from, int64_t to, int64_t step)
{
    struct moment m = {0};
    int64_t most = INT64_MIN;
    bool bad = false;
    for (int i = 0; i < count; i++)
        plans[i].count = 0;
    for (int64_t at = from - WARM_UP; at < from; at += 60)
        walk(&m, at, 60, &most);
    most += step == 1 ? 59 : 0; /* the warm-up went by minutes */
    m.local += 60 - step;
    for (int64_t at = from; at < to; at += step) {
        walk(&m, at, step, &most);
        for (int i = 0; i < count; i++)
            if (is_meant(&plans[i].rule, &m, step))
                add_fire(&plans[i], at);
    }
    for (int i = 0; i < count; i++)
        bad = compare(name, zone, &plans[i], from, to) || bad;
    return bad;
}

/* ---- which stretches ------------------------------------------------------ */

static int64_t utc(int year, int month, int day)
{
    struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    return timegm(&tm);
}

static long offset_at(int64_t at)
{
    struct tm tm;
    localtime_r(&(time_t){at}, &tm);
    return tm.tm_gmtoff;
}

/* First instant after `at` with another offset, or `end`. */
static int64_t next_change(int64_t at, int64_t end)
{
    long offset = offset_at(at);
    for (; at < end && offset_at(at + DAY) == offset; at += DAY)
        continue;
    if (at >= end)
        return end;
    int64_t low = at, high = at + DAY;
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (offset_at(middle) == offset)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static void use_zone(const char *name)
{
    setenv("TZ", name, 1);
    tzset();
}

/* All changes of the clock, each with what the pattern's step asks for around it. */
static int around_changes(const char *name, const struct zone *zone, struct plan *plans, int count,
                          int64_t step, int64_t margin)
{
    int64_t end = utc(2031, 1, 1);
    int changes = 0;
    for (int64_t at = utc(2010, 1, 1); (at = next_change(at, end)) < end; changes++) {
        int64_t change = at / 60 * 60;
        if (stretch(name, zone, plans, count, change - margin, change + margin, step))
            break;
    }
    return changes;
}

static void each_year(const char *name, const struct zone *zone, struct plan *plans, int count)
{
    for (int year = 2010; year <= 2030; year++) {
        int64_t from = utc(year, 1, 1), to = utc(year + 1, 1, 1);
        if (!is_full()) { /* the turn of the year, and a week that moves through it */
            from = utc(year, 1 + year % 12, 20);
            to = from + 14 * DAY;
        }
        if (stretch(name, zone, plans, count, from, to, 60))
            return;
    }
}

static struct zone *load(const char *name)
{
    struct err err = {0};
    struct zone *zone = zone_load(NULL, str_c(name), &err);
    if (!zone)
        TEST_FAIL("%s", err.message);
    use_zone(name);
    return zone;
}

TEST(five_fields_fire_as_a_walk_through_every_minute_says)
{
    struct plan plans[MINUTE_PATTERNS];
    int changes = 0;
    plans_make(plans, by_minute, MINUTE_PATTERNS);
    for (int i = 0; i < ZONES; i++) {
        struct zone *zone = load(zones[i]);
        REQUIRE(zone != NULL);
        changes += around_changes(zones[i], zone, plans, MINUTE_PATTERNS, 60, 2 * DAY);
        each_year(zones[i], zone, plans, MINUTE_PATTERNS);
        zone_free(zone);
    }
    CHECK(changes >= CHANGES);
    plans_free(plans, MINUTE_PATTERNS);
}

TEST(six_fields_fire_as_a_walk_through_every_second_says)
{
    struct plan plans[SECOND_PATTERNS];
    int changes = 0;
    plans_make(plans, by_second, SECOND_PATTERNS);
    for (int i = 0; i < ZONES; i++) {
        struct zone *zone = load(zones[i]);
        REQUIRE(zone != NULL);
        changes += around_changes(zones[i], zone, plans, SECOND_PATTERNS, 1,
                                  is_full() ? 26 * 3600 : 65 * 60);
        zone_free(zone);
    }
    CHECK(changes >= CHANGES);
    plans_free(plans, SECOND_PATTERNS);
}
