#include "cron/schedule.h"

#include "base/clock.h"
#include "cron/zone.h"

enum { YEARS = 40, DAY = 86400 };

struct field {
    const char *name;
    int least, most;
    const char *const *words; /* names of values, from word_base on; NULL */
    int word_base;
};

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                     "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

/* ORDER fields: as they are written. */
static const struct field fields[] = {
    {"second", 0, 59, NULL, 0}, {"minute", 0, 59, NULL, 0},  {"hour", 0, 23, NULL, 0},
    {"day", 1, 31, NULL, 0},    {"month", 1, 12, months, 1}, {"weekday", 0, 7, weekdays, 0},
};

static bool same_word(struct str text, const char *word)
{
    for (size_t i = 0; i < text.n; i++)
        if (!word[i] || (text.p[i] | 0x20) != word[i])
            return false;
    return text.n == strlen(word);
}

static bool one_value(struct str text, const struct field *f, int *out, struct err *err)
{
    long long number;
    for (int i = 0; f->words && f->words[i]; i++)
        if (same_word(text, f->words[i])) {
            *out = f->word_base + i;
            return true;
        }
    if (!str_int64(text, &number))
        return err_set(err, ERR_INVALID, "%s: \"%.*s\" is not a value", f->name, (int)text.n,
                       text.p);
    if (number < f->least || number > f->most)
        return err_set(err, ERR_INVALID, "%s: %lld is not in %d-%d", f->name, number, f->least,
                       f->most);
    *out = (int)number;
    return true;
}

/* "*", "5", "1-5", each with "/step". */
static bool one_item(struct str item, const struct field *f, uint64_t *bits, bool *interval,
                     struct err *err)
{
    struct str rest = item, range = str_split(&rest, '/');
    bool stepped = range.n < item.n;
    long long step = 1;
    int low = f->least, high = f->most;
    if (stepped && (!str_int64(rest, &step) || step < 1 || step > 1000))
        return err_set(err, ERR_INVALID, "%s: the step \"%.*s\" is not a whole number from 1",
                       f->name, (int)rest.n, rest.p);
    if (!str_eq_c(range, "*")) {
        struct str end = range, start = str_split(&end, '-');
        bool ranged = start.n < range.n;
        if (!one_value(start, f, &low, err) || (ranged && !one_value(end, f, &high, err)))
            return false;
        if (!ranged && !stepped)
            high = low;
        if (high < low)
            return err_set(err, ERR_INVALID, "%s: %.*s runs backwards", f->name, (int)range.n,
                           range.p);
        *interval = *interval || ranged || stepped;
    } else {
        *interval = true;
        if (f->most == 7)
            high = 6;
    }
    for (int value = low; value <= high; value += (int)step)
        *bits |= UINT64_C(1) << (f->most == 7 && value == 7 ? 0 : value);
    return true;
}

static bool one_field(struct str text, const struct field *f, uint64_t *bits, bool *interval,
                      struct err *err)
{
    *bits = 0;
    do {
        struct str item = str_split(&text, ',');
        if (item.n == 0)
            return err_set(err, ERR_INVALID, "%s: an empty value", f->name);
        if (!one_item(item, f, bits, interval, err))
            return false;
    } while (text.n > 0);
    return true;
}

/* Some day that is asked for exists in some month that is. */
static bool has_date(const struct schedule *s)
{
    static const int lengths[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!s->any_weekday)
        return true;
    for (int month = 1; month <= 12; month++)
        for (int day = 1; (s->months >> month & 1) && day <= lengths[month]; day++)
            if (s->days >> day & 1)
                return true;
    return false;
}

/* Cuts off what stands before the next blank or tab; empty at the end. */
static struct str next_word(struct str *text)
{
    size_t n = 0;
    *text = str_trim(*text);
    while (n < text->n && text->p[n] != ' ' && text->p[n] != '\t')
        n++;
    struct str word = str_n(text->p, n);
    *text = str_n(text->p + n, text->n - n);
    return word;
}

enum { FIELD_SECOND, FIELD_MINUTE, FIELD_HOUR, FIELD_DAY, FIELD_MONTH, FIELD_WEEKDAY, FIELDS };

/* Words of the text, the second's filled in when there are five; 0 with *err. */
static bool split_fields(struct str text, struct str out[FIELDS], struct err *err)
{
    int count = 0;
    for (struct str word = next_word(&text); word.n > 0; word = next_word(&text)) {
        if (count == FIELDS)
            return err_set(err, ERR_INVALID, "more than six fields");
        out[count++] = word;
    }
    if (count < FIELDS - 1)
        return err_set(err, ERR_INVALID,
                       "%d fields of five: write minute hour day month weekday, or @every 30s",
                       count);
    if (count == FIELDS - 1) {
        memmove(out + 1, out, (FIELDS - 1) * sizeof *out);
        out[FIELD_SECOND] = STR("0");
    }
    return true;
}

static bool read_fields(struct str text, struct schedule *out, struct err *err)
{
    struct str words[FIELDS];
    uint64_t bits[FIELDS];
    bool intervals[FIELDS] = {false};
    if (!split_fields(text, words, err))
        return false;
    for (int i = 0; i < FIELDS; i++)
        if (!one_field(words[i], &fields[i], &bits[i], &intervals[i], err))
            return false;
    out->any_day = str_eq_c(words[FIELD_DAY], "*");
    out->any_weekday = str_eq_c(words[FIELD_WEEKDAY], "*");
    out->seconds = bits[FIELD_SECOND];
    out->minutes = bits[FIELD_MINUTE];
    out->hours = (uint32_t)bits[FIELD_HOUR];
    out->days = (uint32_t)bits[FIELD_DAY];
    out->months = (uint32_t)bits[FIELD_MONTH];
    out->weekdays = (uint32_t)bits[FIELD_WEEKDAY];
    out->interval = intervals[FIELD_SECOND] || intervals[FIELD_MINUTE] || intervals[FIELD_HOUR];
    return has_date(out) || err_set(err, ERR_INVALID, "no year has such a date");
}

static bool every(struct str text, struct schedule *out, struct err *err)
{
    int64_t ns;
    if (!duration_parse(str_trim(text), &ns, err))
        return false;
    if (ns < NS_PER_SECOND || ns > 366 * DAY * NS_PER_SECOND || ns % NS_PER_SECOND != 0)
        return err_set(err, ERR_INVALID, "@every takes whole seconds from 1s to 366d");
    out->every = ns / NS_PER_SECOND;
    return true;
}

static bool parse(struct str text, struct schedule *out, struct err *err)
{
    static const char *const shorts[][2] = {{"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},
                                            {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
                                            {"@monthly", "0 0 1 * *"},  {"@yearly", "0 0 1 1 *"},
                                            {"@annually", "0 0 1 1 *"}};
    if (text.n > SCHEDULE_PATTERN_BYTES)
        return err_set(err, ERR_LIMIT, "longer than %d bytes", SCHEDULE_PATTERN_BYTES);
    if (str_starts(text, STR("@every ")))
        return every(str_n(text.p + 7, text.n - 7), out, err);
    for (size_t i = 0; i < sizeof shorts / sizeof *shorts; i++)
        if (str_eq_c(text, shorts[i][0]))
            return read_fields(str_c(shorts[i][1]), out, err);
    if (text.n > 0 && text.p[0] == '@')
        return err_set(err, ERR_INVALID,
                       "there are @hourly @daily @weekly @monthly @yearly and @every 30s");
    return read_fields(text, out, err);
}

bool schedule_parse(struct str text, struct schedule *out, struct err *err)
{
    struct str trimmed = str_trim(text);
    *out = (struct schedule){0};
    return parse(trimmed, out, err) ||
           err_wrap(err, "cron pattern \"%.*s\"", (int)(text.n < 80 ? text.n : 80), text.p);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static bool day_matches(const struct schedule *s, int64_t days)
{
    int64_t year;
    int month, day, weekday = (int)(((days + 4) % 7 + 7) % 7);
    date_from_days(days, &year, &month, &day);
    if (!(s->months >> month & 1))
        return false;
    bool by_day = s->days >> day & 1, by_weekday = s->weekdays >> weekday & 1;
    if (s->any_day || s->any_weekday)
        return by_day && by_weekday; /* the field written as * matches always */
    return by_day || by_weekday;
}

/* The lowest bit of mask from `from` on, or -1. */
static int first_bit(uint64_t mask, int from)
{
    uint64_t rest = from < 64 ? mask >> from : 0;
    return rest ? from + __builtin_ctzll(rest) : -1;
}

/* First second of the day that matches and is >= from, or -1. */
static int64_t second_of_day(const struct schedule *s, int64_t from)
{
    int hour = (int)(from / 3600), minute = (int)(from / 60 % 60), second = (int)(from % 60);
    for (int h = first_bit(s->hours, hour); h >= 0; h = first_bit(s->hours, h + 1)) {
        if (h > hour)
            minute = second = 0;
        int m = first_bit(s->minutes, minute);
        int t = m < 0 ? -1 : first_bit(s->seconds, m > minute ? 0 : second);
        if (m >= 0 && t < 0 && (m = first_bit(s->minutes, m + 1)) >= 0)
            t = first_bit(s->seconds, 0);
        if (m >= 0)
            return h * 3600 + m * 60 + t;
    }
    return -1;
}

/* First matching local time >= from, or SCHEDULE_NEVER. */
static int64_t next_local(const struct schedule *s, int64_t from)
{
    int64_t days = floor_div(from, DAY), last = days + YEARS * 366;
    int64_t second = from - days * DAY;
    for (; days <= last; days++, second = 0) {
        if (!day_matches(s, days))
            continue;
        int64_t at = second_of_day(s, second);
        if (at >= 0)
            return days * DAY + at;
    }
    return SCHEDULE_NEVER;
}

/* Local times in their order; a skipped one fires at the end of its gap, of a
 * double one the first counts.  The order of instants is that of local times, so
 * none up to the present local time is still to come. */
static int64_t next_fixed(const struct schedule *s, const struct zone *zone, int64_t after)
{
    int64_t local = after + zone_offset(zone, after, NULL, NULL), at;
    while ((local = next_local(s, local + 1)) != SCHEDULE_NEVER) {
        zone_instant(zone, local, &at);
        if (at > after)
            return at;
    }
    return SCHEDULE_NEVER;
}

/* Elapsed time: one stretch of constant offset after the other. */
static int64_t next_interval(const struct schedule *s, const struct zone *zone, int64_t after)
{
    int64_t at = after + 1, limit = after + (int64_t)YEARS * 366 * DAY;
    while (at < limit) {
        int64_t end;
        int32_t offset = zone_offset(zone, at, NULL, &end);
        int64_t local = next_local(s, at + offset);
        if (local == SCHEDULE_NEVER)
            return SCHEDULE_NEVER;
        if (local - offset < end)
            return local - offset;
        at = end;
    }
    return SCHEDULE_NEVER;
}

int64_t schedule_next(const struct schedule *s, const struct zone *zone, int64_t after)
{
    if (s->every > 0)
        return (floor_div(after, s->every) + 1) * s->every;
    return s->interval ? next_interval(s, zone, after) : next_fixed(s, zone, after);
}

/* Looks back in windows that grow, so that a pattern of every second and one of
 * every year both take few steps. */
int64_t schedule_latest(const struct schedule *s, const struct zone *zone, int64_t after,
                        int64_t until)
{
    if (s->every > 0) {
        int64_t at = floor_div(until, s->every) * s->every;
        return at > after ? at : SCHEDULE_NEVER;
    }
    for (int64_t window = 2;; window *= 4) {
        int64_t start = until - window > after ? until - window : after;
        int64_t at = schedule_next(s, zone, start), latest = SCHEDULE_NEVER;
        while (at <= until && at != SCHEDULE_NEVER) {
            latest = at;
            at = schedule_next(s, zone, at);
        }
        if (latest != SCHEDULE_NEVER || start == after)
            return latest;
    }
}

int schedule_count(const struct schedule *s, const struct zone *zone, int64_t after, int64_t until,
                   int most)
{
    int count = 0;
    if (s->every > 0) {
        int64_t n = floor_div(until, s->every) - floor_div(after, s->every);
        return n > most ? most : n > 0 ? (int)n : 0;
    }
    while (count < most && (after = schedule_next(s, zone, after)) <= until &&
           after != SCHEDULE_NEVER)
        count++;
    return count;
}

int schedule_next_n(const struct schedule *s, const struct zone *zone, int64_t after, int64_t *out,
                    int n)
{
    int count = 0;
    while (count < n && (after = schedule_next(s, zone, after)) != SCHEDULE_NEVER)
        out[count++] = after;
    return count;
}
