#include "cron/zone.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/sys.h"
#include "cron/posix_tz.h"

/* Transitions in order; before the first `first` applies.  The footer's rule is
 * written out into transitions once, up to RULE_YEAR, so that looking up is one
 * binary search. */
enum { RULE_YEAR = 2200, HEADER_BYTES = 44, TYPES = 256, TRANSITIONS = 100000 };

struct zone {
    int32_t first;
    int count;
    struct zone_change *changes;
};

int64_t date_days(int64_t year, int month, int day)
{
    /* Days from civil (Hinnant): years begin in March, eras are 400 years. */
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void date_from_days(int64_t days, int64_t *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t mp = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = years + era * 400 + (*month <= 2);
}

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const unsigned char *p)
{
    return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

/* RFC 8536 §3.1. */
struct header {
    char version;
    size_t utc_count, std_count, leap_count, time_count, type_count, char_count;
};

static bool corrupt(struct err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, "not a TZif file: %s", what);
}

static bool read_header(struct str bytes, struct header *h, struct err *err)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    if (bytes.n < HEADER_BYTES || memcmp(p, "TZif", 4) != 0)
        return corrupt(err, "no header");
    *h = (struct header){(char)p[4],   be32(p + 20), be32(p + 24), be32(p + 28),
                         be32(p + 32), be32(p + 36), be32(p + 40)};
    if (h->type_count < 1 || h->type_count > TYPES || h->time_count > TRANSITIONS ||
        h->char_count > 4096 || h->leap_count > 1000 || h->std_count > TYPES ||
        h->utc_count > TYPES)
        return corrupt(err, "counts out of bounds");
    return true;
}

static size_t block_bytes(const struct header *h, size_t time_bytes)
{
    return h->time_count * (time_bytes + 1) + h->type_count * 6 + h->char_count +
           h->leap_count * (time_bytes + 4) + h->std_count + h->utc_count;
}

static void add_change(struct zone *zone, int64_t at, int32_t offset)
{
    if ((zone->count & (zone->count - 1)) == 0)
        zone->changes = mem_realloc(zone->changes, (size_t)(zone->count ? zone->count * 2 : 1) *
                                                       sizeof *zone->changes);
    zone->changes[zone->count++] = (struct zone_change){at, offset};
}

static bool read_block(struct zone *zone, const unsigned char *p, const struct header *h,
                       struct err *err)
{
    const unsigned char *indices = p + h->time_count * 8, *types = indices + h->time_count;
    zone->first = (int32_t)be32(types);
    for (size_t i = 0; i < h->time_count; i++) {
        int64_t at = be64(p + i * 8);
        if (indices[i] >= h->type_count)
            return corrupt(err, "a transition of no type");
        if (zone->count > 0 && at <= zone->changes[zone->count - 1].at)
            return corrupt(err, "transitions out of order");
        int32_t offset = (int32_t)be32(types + indices[i] * 6);
        if (offset < -90000 || offset > 94000)
            return corrupt(err, "an offset out of bounds");
        add_change(zone, at, offset);
    }
    return true;
}

static void add_rule(struct zone *zone, const struct posix_tz *tz)
{
    int64_t after = zone->count > 0 ? zone->changes[zone->count - 1].at : INT64_MIN;
    int64_t year = 1970;
    int month, day;
    if (zone->count == 0)
        zone->first = tz->standard;
    if (!tz->has_daylight)
        return;
    if (zone->count > 0)
        date_from_days(after / 86400, &year, &month, &day);
    for (; year < RULE_YEAR; year++) {
        struct zone_change pair[2];
        posix_tz_year(tz, year, pair);
        for (int i = 0; i < 2; i++)
            if (pair[i].at > after)
                add_change(zone, pair[i].at, pair[i].offset);
    }
}

static bool parse(struct zone *zone, struct str bytes, struct err *err)
{
    struct header h;
    if (!read_header(bytes, &h, err))
        return false;
    if (h.version < '2')
        return corrupt(err, "version 1 has no 64-bit times");
    size_t first = HEADER_BYTES + block_bytes(&h, 4);
    if (first > bytes.n)
        return corrupt(err, "cut short");
    struct str rest = str_n(bytes.p + first, bytes.n - first);
    if (!read_header(rest, &h, err))
        return false;
    size_t block = block_bytes(&h, 8);
    if (HEADER_BYTES + block > rest.n)
        return corrupt(err, "cut short");
    if (!read_block(zone, (const unsigned char *)rest.p + HEADER_BYTES, &h, err))
        return false;
    struct str footer = str_n(rest.p + HEADER_BYTES + block, rest.n - HEADER_BYTES - block);
    if (footer.n < 2 || footer.p[0] != '\n')
        return corrupt(err, "no footer");
    footer = str_n(footer.p + 1, footer.n - 1);
    struct str rule = str_split(&footer, '\n');
    struct posix_tz tz;
    if (rule.n == 0)
        return true;
    if (!posix_tz_parse(rule, &tz))
        return corrupt(err, "a rule that cannot be read");
    add_rule(zone, &tz);
    return true;
}

struct zone *zone_parse(struct str bytes, struct err *err)
{
    struct zone *zone = mem_zero(1, sizeof *zone);
    if (parse(zone, bytes, err))
        return zone;
    zone_free(zone);
    return NULL;
}

/* Letters, digits, "_+-" and single slashes between them: no way out of dir. */
static bool name_ok(struct str name)
{
    if (name.n == 0 || name.n > ZONE_NAME_BYTES || name.p[0] == '/')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '+' || c == '-';
        if (!word && c != '/')
            return false;
    }
    return true;
}

struct zone *zone_load(const char *dir, struct str name, struct err *err)
{
    const char *from = dir ? dir : ZONE_DIR;
    struct buf bytes = {0};
    struct zone *zone = NULL;
    char path[512];
    snprintf(path, sizeof path, "%s/%.*s", from, (int)(name.n < 100 ? name.n : 100), name.p);
    if (name_ok(name) && file_read(path, ZONE_FILE_BYTES, &bytes, err)) {
        zone = zone_parse(buf_str(&bytes), err);
        if (!zone)
            err_wrap(err, "time zone \"%.*s\"", (int)name.n, name.p);
    } else {
        err_set(err, ERR_NOT_FOUND,
                "time zone \"%.*s\": there is no such zone in %s (package tzdata)",
                (int)(name.n < 100 ? name.n : 100), name.p, from);
    }
    buf_free(&bytes);
    return zone;
}

void zone_free(struct zone *zone)
{
    if (!zone)
        return;
    mem_free(zone->changes);
    mem_free(zone);
}

int32_t zone_offset(const struct zone *zone, int64_t at, int64_t *from, int64_t *to)
{
    int low = 0, high = zone->count; /* changes[low - 1].at <= at < changes[low].at */
    while (low < high) {
        int middle = (low + high) / 2;
        if (zone->changes[middle].at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    if (from)
        *from = low > 0 ? zone->changes[low - 1].at : INT64_MIN;
    if (to)
        *to = low < zone->count ? zone->changes[low].at : INT64_MAX;
    return low > 0 ? zone->changes[low - 1].offset : zone->first;
}

enum zone_local zone_instant(const struct zone *zone, int64_t local, int64_t *at)
{
    const int64_t margin = 2 * 86400; /* more than any zone is off UTC or has skipped */
    int32_t before = zone_offset(zone, local - margin, NULL, NULL);
    int32_t after = zone_offset(zone, local + margin, NULL, NULL);
    int64_t early = local - before, late = local - after;
    bool early_ok = zone_offset(zone, early, NULL, NULL) == before;
    bool late_ok = zone_offset(zone, late, NULL, NULL) == after;
    if (early_ok && late_ok && early != late) {
        *at = early < late ? early : late;
        return ZONE_TWICE;
    }
    if (early_ok || late_ok) {
        *at = early_ok ? early : late;
        return ZONE_ONCE;
    }
    zone_offset(zone, early < late ? early : late, NULL, at);
    return ZONE_NEVER;
}

void zone_format(const struct zone *zone, int64_t at, char out[40])
{
    int32_t offset = zone_offset(zone, at, NULL, NULL);
    int64_t local = at + offset, days = local / 86400, year;
    int64_t second = local % 86400;
    int month, day;
    if (second < 0) {
        second += 86400;
        days--;
    }
    date_from_days(days, &year, &month, &day);
    int32_t minutes = (offset < 0 ? -offset : offset) / 60;
    char text[128];
    snprintf(text, sizeof text, "%04lld-%02d-%02dT%02d:%02d:%02d%c%02d:%02d", (long long)year,
             month, day, (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60),
             offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
    memcpy(out, text, 39);
    out[39] = '\0';
}
