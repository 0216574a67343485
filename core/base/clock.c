#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * NS_PER_SECOND + t.tv_nsec;
}

int64_t clock_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_cpu_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void clock_format_utc(int64_t wall_ns, char out[32])
{
    int64_t ms = wall_ns / NS_PER_MS - (wall_ns % NS_PER_MS < 0);
    int64_t seconds = ms / 1000 - (ms % 1000 < 0);
    time_t t = (time_t)seconds;
    struct tm tm;
    gmtime_r(&t, &tm);
    snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (tm.tm_year + 1900) % 10000,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             (int)(ms - seconds * 1000));
}

/* Splits "12.5ms" into number and unit; false unless the number is plain
 * decimal digits with at most one point. */
static bool split_number(struct str text, double *number, struct str *unit)
{
    char digits[32];
    size_t n = 0, points = 0;
    while (n < text.n && ((text.p[n] >= '0' && text.p[n] <= '9') || text.p[n] == '.'))
        points += text.p[n++] == '.';
    if (n == 0 || n >= sizeof digits || points > 1 || (points == 1 && n == 1))
        return false;
    memcpy(digits, text.p, n);
    digits[n] = '\0';
    *number = strtod(digits, NULL);
    *unit = str_n(text.p + n, text.n - n);
    return true;
}

bool duration_parse(struct str text, int64_t *ns, struct err *err)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"", 1e9},   {"s", 1e9},    {"ms", 1e6},   {"us", 1e3},
                 {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
    double number;
    struct str unit;
    if (split_number(text, &number, &unit))
        for (size_t i = 0; i < sizeof units / sizeof *units; i++)
            if (str_eq_c(unit, units[i].unit) && number * units[i].ns < 9e18) {
                *ns = llround(number * units[i].ns);
                return true;
            }
    return err_set(err, ERR_INVALID,
                   "\"%.*s\" is not a duration: write 250ms, 30s, 5m, 2h, 1d or seconds",
                   (int)(text.n < 40 ? text.n : 40), text.p);
}

bool size_parse(struct str text, int64_t *bytes, struct err *err)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"", 1}, {"B", 1}, {"K", 1024.0}, {"M", 1048576.0}, {"G", 1073741824.0}};
    double number;
    struct str unit;
    if (split_number(text, &number, &unit))
        for (size_t i = 0; i < sizeof units / sizeof *units; i++)
            if (str_eq_c(unit, units[i].unit) && number * units[i].bytes < 9e18) {
                *bytes = llround(number * units[i].bytes);
                return true;
            }
    return err_set(err, ERR_INVALID, "\"%.*s\" is not a size: write 64K, 16M, 1G or bytes",
                   (int)(text.n < 40 ? text.n : 40), text.p);
}
