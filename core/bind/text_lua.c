/* text_lua.c -- app.text: HTML entities and times as text. */
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>

#include "bind/bind.h"
#include "vm/args.h"
#include "vm/vm.h"

/* ---- HTML -------------------------------------------------------------- */

static const struct {
    const char *name, *text;
} entities[] = {
    {"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"apos", "'"}, {"nbsp", "\xC2\xA0"},
};

static void add_utf8(struct buf *out, unsigned long c)
{
    if (c < 0x80) {
        buf_add_char(out, (char)c);
        return;
    }
    if (c < 0x800) {
        buf_add_char(out, (char)(0xC0 | c >> 6));
    } else {
        if (c < 0x10000) {
            buf_add_char(out, (char)(0xE0 | c >> 12));
        } else {
            buf_add_char(out, (char)(0xF0 | c >> 18));
            buf_add_char(out, (char)(0x80 | (c >> 12 & 0x3F)));
        }
        buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
    }
    buf_add_char(out, (char)(0x80 | (c & 0x3F)));
}

/* "#39" or "#x1F600" -> the character. */
static bool add_numeric(struct buf *out, struct str name)
{
    unsigned base = 10;
    size_t i = 1;
    if (name.n > 1 && (name.p[1] == 'x' || name.p[1] == 'X')) {
        base = 16;
        i = 2;
    }
    unsigned long c = 0;
    if (i == name.n)
        return false;
    for (; i < name.n; i++) {
        char d = name.p[i];
        unsigned digit = d >= '0' && d <= '9'   ? (unsigned)(d - '0')
                         : d >= 'a' && d <= 'f' ? (unsigned)(d - 'a' + 10)
                         : d >= 'A' && d <= 'F' ? (unsigned)(d - 'A' + 10)
                                                : 99;
        if (digit >= base)
            return false;
        c = c * base + digit;
    }
    if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return false;
    add_utf8(out, c);
    return true;
}

static bool add_entity(struct buf *out, struct str name)
{
    if (name.n > 1 && name.n < 12 && name.p[0] == '#')
        return add_numeric(out, name);
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
        if (str_eq_c(name, entities[i].name)) {
            buf_add_c(out, entities[i].text);
            return true;
        }
    return false;
}

/* app.text.unescape_html(text) -> text; what is no known entity stays */
static int l_unescape_html(lua_State *L)
{
    struct str text = args_string(L, 1, "app.text.unescape_html(text)", "text");
    struct buf *out = vm_scratch(vm_of(L));
    if (str_find(text, '&') == text.n) {
        lua_settop(L, 1);
        return 1;
    }
    while (text.n) {
        size_t and = str_find(text, '&');
        buf_add(out, text.p, and);
        text = str_n(text.p + and, text.n - and);
        size_t end = str_find(str_n(text.p, text.n < 13 ? text.n : 13), ';');
        if (text.n == 0)
            break;
        if (end < text.n && text.p[end] == ';' && add_entity(out, str_n(text.p + 1, end - 1))) {
            text = str_n(text.p + end + 1, text.n - end - 1);
        } else {
            buf_add_char(out, '&');
            text = str_n(text.p + 1, text.n - 1);
        }
    }
    lua_pushlstring(L, out->p ? out->p : "", out->n);
    return 1;
}

/* ---- times ------------------------------------------------------------- */

/* Days since 1970-01-01 of a proleptic Gregorian date, and back (Hinnant, "chrono-compatible
 * low-level date algorithms"). */
static int64_t days_from_date(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static void date_from_days(int64_t days, int64_t *y, int *m, int *d)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = yoe + era * 400 + (*m <= 2);
}

/* Exactly n digits at *p -> value, advancing; -1 when they are not there. */
static int take_digits(struct str *s, size_t n)
{
    int value = 0;
    if (s->n < n)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return -1;
        value = value * 10 + (s->p[i] - '0');
    }
    *s = str_n(s->p + n, s->n - n);
    return value;
}

static bool take(struct str *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = str_n(s->p + 1, s->n - 1);
    return true;
}

/* "Z" or "+09:00" at the front -> seconds east of UTC. */
static bool take_offset(struct str *s, int *seconds)
{
    if (take(s, 'Z')) {
        *seconds = 0;
        return true;
    }
    int sign = s->n && s->p[0] == '-' ? -1 : 1;
    if (!take(s, '+') && !take(s, '-'))
        return false;
    int hours = take_digits(s, 2);
    if (hours < 0 || hours > 23 || !take(s, ':'))
        return false;
    int minutes = take_digits(s, 2);
    if (minutes < 0 || minutes > 59)
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

static int args_offset(lua_State *L, int index, const char *usage)
{
    struct str text = args_opt_string(L, index, STR("+00:00"), usage, "offset");
    int seconds;
    if (!take_offset(&text, &seconds) || text.n)
        args_fail(L, usage, "offset", "such as \"+09:00\"", index);
    return seconds;
}

static bool take_date(struct str *s, int64_t *days)
{
    static const int lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y = take_digits(s, 4);
    if (y < 0 || !take(s, '-'))
        return false;
    int m = take_digits(s, 2);
    if (m < 1 || m > 12 || !take(s, '-'))
        return false;
    int d = take_digits(s, 2);
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d < 1 || d > lengths[m - 1] || (m == 2 && d == 29 && !leap))
        return false;
    *days = days_from_date(y, m, d);
    return true;
}

static bool take_clock(struct str *s, double *seconds)
{
    int h = take_digits(s, 2);
    if (h < 0 || h > 23 || !take(s, ':'))
        return false;
    int m = take_digits(s, 2);
    if (m < 0 || m > 59 || !take(s, ':'))
        return false;
    int sec = take_digits(s, 2);
    if (sec < 0 || sec > 60)
        return false;
    *seconds = h * 3600 + m * 60 + sec;
    if (!take(s, '.'))
        return true;
    double unit = 0.1;
    int digit = take_digits(s, 1);
    for (; digit >= 0; digit = take_digits(s, 1), unit /= 10)
        *seconds += digit * unit;
    return unit < 0.1;
}

/* app.text.parse_time(text, [offset]) -> seconds | nil; an offset in the text itself wins */
static int l_parse_time(lua_State *L)
{
    static const char usage[] = "app.text.parse_time(text, [offset])";
    struct str s = args_string(L, 1, usage, "text");
    int offset = args_offset(L, 2, usage);
    int64_t days;
    double clock;
    bool ok = take_date(&s, &days) && (take(&s, ' ') || take(&s, 'T')) && take_clock(&s, &clock);
    if (ok && s.n)
        ok = take_offset(&s, &offset) && s.n == 0;
    if (!ok)
        return 0;
    lua_pushnumber(L, (double)days * 86400 + clock - offset);
    return 1;
}

/* app.text.format_time(seconds, [offset]) -> "2026-11-21T13:45:52+09:00" */
static int l_format_time(lua_State *L)
{
    static const char usage[] = "app.text.format_time(seconds, [offset])";
    double seconds = args_number(L, 1, -62167219200.0, 253402300799.0, usage, "seconds");
    int offset = args_offset(L, 2, usage);
    int64_t at = (int64_t)floor(seconds) + offset;
    int64_t days = (at >= 0 ? at : at - 86399) / 86400, y;
    int m, d, clock = (int)(at - days * 86400), east = offset < 0 ? -offset : offset;
    date_from_days(days, &y, &m, &d);
    char text[64];
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d%c%02d:%02d", (int)y, m, d,
             clock / 3600, clock / 60 % 60, clock % 60, offset < 0 ? '-' : '+', east / 3600,
             east / 60 % 60);
    lua_pushstring(L, text);
    return 1;
}

static const luaL_Reg functions[] = {
    {"unescape_html", l_unescape_html},
    {"parse_time", l_parse_time},
    {"format_time", l_format_time},
    {NULL, NULL},
};

int bind_text(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
