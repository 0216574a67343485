#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/still.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * NS_PER_SECOND + t.tv_nsec;
}

int64_t clock_ns(void)
{
    return still_is_begun() ? still_ns() : read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
    return still_is_begun() ? still_wall_ns() : read_clock(CLOCK_REALTIME);
}

int64_t clock_steady_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_cpu_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

/* Days since 1970-01-01 -> civil date.  gmtime_r() would take a process-wide
 * lock for this.  Years begin in March and eras have 400 years, so the leap
 * day is the last of its year. */
static void civil(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static void digits(char *at, int value, int width)
{
    while (width-- > 0) {
        at[width] = (char)('0' + value % 10);
        value /= 10;
    }
}

void clock_format_utc(int64_t wall_ns, char out[32])
{
    int64_t ms = floor_div(wall_ns, NS_PER_MS), days = floor_div(ms, 86400000);
    int in_day = (int)(ms - days * 86400000), year, month, day;
    civil(days, &year, &month, &day);
    memcpy(out, "0000-00-00T00:00:00.000Z", 25);
    digits(out, year, 4);
    digits(out + 5, month, 2);
    digits(out + 8, day, 2);
    digits(out + 11, in_day / 3600000, 2);
    digits(out + 14, in_day / 60000 % 60, 2);
    digits(out + 17, in_day / 1000 % 60, 2);
    digits(out + 20, in_day % 1000, 3);
}

struct unit {
    const char *name;
    int64_t worth;
};

static const struct unit duration_units[] = {
    {"", NS_PER_SECOND},
    {"ns", 1},
    {"us", 1000},
    {"ms", NS_PER_MS},
    {"s", NS_PER_SECOND},
    {"m", 60 * NS_PER_SECOND},
    {"h", 3600 * NS_PER_SECOND},
    {"d", 86400 * NS_PER_SECOND},
    {0},
};

static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"K", INT64_C(1) << 10},
    {"M", INT64_C(1) << 20},
    {"G", INT64_C(1) << 30},
    {"T", INT64_C(1) << 40},
    {0},
};

/* "1.5h": digits, perhaps a fraction, and a unit.  False when it is not one,
 * or over INT64_MAX. */
static bool parse(struct str text, const struct unit *units, int64_t *out)
{
    int64_t whole = 0, fraction = 0, scale = 1, result;
    size_t i = 0;
    for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, text.p[i] - '0', &whole))
            return false;
    bool some = i > 0;
    if (some && i < text.n && text.p[i] == '.')
        for (i++, some = false; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
            some = true;
            if (scale < 1000000000)
                fraction = fraction * 10 + (text.p[i] - '0'), scale *= 10;
        }
    struct str name = {text.p + i, text.n - i};
    for (const struct unit *u = units; some && u->name; u++) {
        if (!str_eq_c(name, u->name))
            continue;
        if (__builtin_mul_overflow(whole, u->worth, &result) ||
            __builtin_add_overflow(
                result, (int64_t)((double)fraction / (double)scale * (double)u->worth), &result))
            return false;
        *out = result;
        return true;
    }
    return false;
}

bool duration_parse(struct str text, int64_t *ns, struct err *err)
{
    if (parse(str_trim(text), duration_units, ns) && *ns <= DURATION_MOST)
        return true;
    return err_set(err, ERR_INVALID,
                   "\"%.*s\" is not a duration: write 250ms, 30s, 5m, 2h, 1d or seconds, at most "
                   "100 years",
                   (int)(text.n < 40 ? text.n : 40), text.p);
}

bool size_parse(struct str text, int64_t *bytes, struct err *err)
{
    if (parse(str_trim(text), size_units, bytes))
        return true;
    return err_set(err, ERR_INVALID, "\"%.*s\" is not a size: write 64K, 16M, 1G or bytes",
                   (int)(text.n < 40 ? text.n : 40), text.p);
}
