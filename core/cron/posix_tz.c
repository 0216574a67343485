#include "cron/posix_tz.h"

#include "cron/zone.h"

struct cursor {
    const char *p, *end;
};

static bool accept(struct cursor *c, char wanted)
{
    if (c->p == c->end || *c->p != wanted)
        return false;
    c->p++;
    return true;
}

static bool number(struct cursor *c, int most, int *out)
{
    int value = 0;
    const char *from = c->p;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9') {
        value = value * 10 + (*c->p++ - '0');
        if (value > most)
            return false;
    }
    *out = value;
    return c->p > from;
}

/* "EST" or "<+0330>" */
static bool name(struct cursor *c)
{
    const char *from = c->p;
    if (accept(c, '<')) {
        while (c->p < c->end && *c->p != '>')
            c->p++;
        return accept(c, '>');
    }
    while (c->p < c->end && ((*c->p >= 'A' && *c->p <= 'Z') || (*c->p >= 'a' && *c->p <= 'z')))
        c->p++;
    return c->p - from >= 3;
}

/* [+-]hh[:mm[:ss]]; hours up to 167 (RFC 8536 §3.3.1). */
static bool clock_time(struct cursor *c, int32_t *out)
{
    int hours, minutes = 0, seconds = 0;
    bool negative = accept(c, '-');
    if (!negative)
        accept(c, '+');
    if (!number(c, 167, &hours))
        return false;
    if (accept(c, ':') &&
        (!number(c, 59, &minutes) || (accept(c, ':') && !number(c, 59, &seconds))))
        return false;
    int32_t value = hours * 3600 + minutes * 60 + seconds;
    *out = negative ? -value : value;
    return true;
}

static bool date(struct cursor *c, struct posix_date *out)
{
    bool ok;
    if (accept(c, 'M')) {
        out->form = DATE_WEEKDAY;
        ok = number(c, 12, &out->month) && out->month > 0 && accept(c, '.') &&
             number(c, 5, &out->week) && out->week > 0 && accept(c, '.') && number(c, 6, &out->day);
    } else if (accept(c, 'J')) {
        out->form = DATE_JULIAN;
        ok = number(c, 365, &out->day) && out->day > 0;
    } else {
        out->form = DATE_DAY;
        ok = number(c, 365, &out->day);
    }
    out->time = 2 * 3600;
    return ok && (!accept(c, '/') || clock_time(c, &out->time));
}

bool posix_tz_parse(struct str text, struct posix_tz *out)
{
    struct cursor c = {text.p, text.p + text.n};
    int32_t west;
    *out = (struct posix_tz){0};
    if (!name(&c) || !clock_time(&c, &west))
        return false;
    out->standard = -west;
    if (c.p == c.end)
        return true;
    if (!name(&c))
        return false;
    out->daylight = out->standard + 3600;
    if (c.p < c.end && *c.p != ',') {
        if (!clock_time(&c, &west))
            return false;
        out->daylight = -west;
    }
    out->has_daylight = true;
    return accept(&c, ',') && date(&c, &out->start) && accept(&c, ',') && date(&c, &out->end) &&
           c.p == c.end;
}

static bool leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Local seconds at which the date's change happens. */
static int64_t local_change(const struct posix_date *d, int64_t year)
{
    int64_t days;
    if (d->form == DATE_JULIAN) {
        days = date_days(year, 1, 1) + d->day - 1 + (leap(year) && d->day > 59);
    } else if (d->form == DATE_DAY) {
        days = date_days(year, 1, 1) + d->day;
    } else {
        int64_t first = date_days(year, d->month, 1);
        int64_t next =
            d->month == 12 ? date_days(year + 1, 1, 1) : date_days(year, d->month + 1, 1);
        int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
        days = first + (d->day - weekday + 7) % 7 + (d->week - 1) * 7;
        if (days >= next) /* week 5 is the last one */
            days -= 7;
    }
    return days * 86400 + d->time;
}

void posix_tz_year(const struct posix_tz *tz, int64_t year, struct zone_change out[2])
{
    struct zone_change start = {local_change(&tz->start, year) - tz->standard, tz->daylight};
    struct zone_change end = {local_change(&tz->end, year) - tz->daylight, tz->standard};
    bool north = start.at < end.at;
    out[0] = north ? start : end;
    out[1] = north ? end : start;
}
