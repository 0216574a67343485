#include "http/validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const char *const day_names[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const month_names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

bool etag_listed(struct str list, struct str etag, bool strong)
{
    if (str_eq(str_trim(list), STR("*")))
        return true;
    while (list.n > 0) {
        struct str item = str_trim(str_split(&list, ','));
        bool weak = str_starts(item, STR("W/"));
        if (weak)
            item = str_n(item.p + 2, item.n - 2);
        if (!(weak && strong) && str_eq(item, etag))
            return true;
    }
    return false;
}

static int two_digits(const char *p)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return -1;
    return (p[0] - '0') * 10 + (p[1] - '0');
}

int64_t http_date_parse(struct str text)
{
    if (text.n != 29 || memcmp(text.p + 25, " GMT", 4) != 0 || text.p[3] != ',')
        return -1;
    struct tm tm = {.tm_mon = -1};
    for (int i = 0; i < 12; i++)
        if (memcmp(text.p + 8, month_names[i], 3) == 0)
            tm.tm_mon = i;
    int century = two_digits(text.p + 12), year = two_digits(text.p + 14);
    tm.tm_mday = two_digits(text.p + 5);
    tm.tm_hour = two_digits(text.p + 17);
    tm.tm_min = two_digits(text.p + 20);
    tm.tm_sec = two_digits(text.p + 23);
    if (tm.tm_mon < 0 || century < 0 || year < 0 || tm.tm_mday < 1 || tm.tm_hour < 0 ||
        tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
        return -1;
    tm.tm_year = century * 100 + year - 1900;
    return timegm(&tm);
}

void http_date_format(int64_t seconds, char out[30])
{
    struct tm tm;
    time_t t = (time_t)seconds;
    gmtime_r(&t, &tm);
    snprintf(out, 30, "%s, %02d %s %04d %02d:%02d:%02d GMT", day_names[tm.tm_wday % 7],
             tm.tm_mday % 100, month_names[tm.tm_mon % 12], (tm.tm_year + 1900) % 10000,
             tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
}

/* A whole decimal number; false when empty, too long or not digits. */
static bool parse_position(struct str s, uint64_t *out)
{
    if (s.n == 0 || s.n > 18)
        return false;
    *out = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(s.p[i] - '0');
    }
    return true;
}

enum range_result range_parse(struct str header, uint64_t size, uint64_t *first, uint64_t *last)
{
    if (!str_starts(header, STR("bytes=")))
        return RANGE_WHOLE;
    struct str spec = str_trim(str_n(header.p + 6, header.n - 6));
    size_t dash = str_find(spec, '-');
    if (dash == spec.n || str_find(spec, ',') != spec.n)
        return RANGE_WHOLE;
    struct str from = str_n(spec.p, dash), to = str_n(spec.p + dash + 1, spec.n - dash - 1);
    uint64_t a = 0, b = 0;
    if (from.n == 0) {
        if (!parse_position(to, &b))
            return RANGE_WHOLE;
        if (b == 0 || size == 0)
            return RANGE_OUTSIDE;
        *first = b < size ? size - b : 0;
        *last = size - 1;
        return RANGE_PART;
    }
    if (!parse_position(from, &a) || (to.n > 0 && (!parse_position(to, &b) || b < a)))
        return RANGE_WHOLE;
    if (a >= size)
        return RANGE_OUTSIDE;
    *first = a;
    *last = to.n > 0 && b < size ? b : size - 1;
    return RANGE_PART;
}

/* Whether a list item's parameters say q=0. */
static bool refused(struct str parameters)
{
    while (parameters.n > 0) {
        struct str p = str_trim(str_split(&parameters, ';'));
        if (p.n >= 3 && (p.p[0] == 'q' || p.p[0] == 'Q') && p.p[1] == '=') {
            for (size_t i = 2; i < p.n; i++)
                if (p.p[i] != '0' && p.p[i] != '.')
                    return false;
            return true;
        }
    }
    return false;
}

bool encoding_accepted(struct str accept, const char *coding)
{
    bool any = false;
    while (accept.n > 0) {
        struct str item = str_split(&accept, ',');
        struct str name = str_trim(str_split(&item, ';'));
        if (name.n == strlen(coding) && strncasecmp(name.p, coding, name.n) == 0)
            return !refused(item);
        if (name.n == 1 && name.p[0] == '*')
            any = !refused(item);
    }
    return any;
}

static bool same_letters(struct str a, struct str b)
{
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

bool content_is_json(struct str type)
{
    static const struct str prefix = {"application/", 12}, suffix = {"+json", 5};
    struct str name = str_trim(str_split(&type, ';'));
    bool json = same_letters(name, STR("application/json")) ||
                (name.n > prefix.n + suffix.n && same_letters(str_n(name.p, prefix.n), prefix) &&
                 same_letters(str_n(name.p + name.n - suffix.n, suffix.n), suffix));
    while (json && type.n > 0) {
        struct str value = str_trim(str_split(&type, ';'));
        struct str key = str_trim(str_split(&value, '='));
        if (same_letters(key, STR("charset")))
            json = same_letters(value, STR("utf-8")) || same_letters(value, STR("\"utf-8\""));
    }
    return json;
}
