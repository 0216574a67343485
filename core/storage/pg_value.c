/* pg_value.c -- values as the server sends them (text) in those of store.h.
 *
 * Whole numbers, doubles and booleans are themselves.  numeric is a number when a double holds it
 * exactly as written (15 digits), else text.  timestamptz is seconds since 1970; a timestamp
 * without zone, date, time, interval, uuid and json are text; an array is JSON; bytea is a blob.
 */
#include <stdlib.h>

#include "storage/pg_private.h"

enum { EXACT_DIGITS = 15 };

int64_t pg_days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void pg_date_of(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t n = days - era * 146097;
    int64_t y = (n - n / 1460 + n / 36524 - n / 146096) / 365;
    int64_t of_year = n - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

/* "2026-11-21 17:51:29.123456+00" in UTC; false for infinity and years before Christ. */
static bool seconds_of(const char *text, double *out)
{
    long long year;
    int month, day, hour, minute, end = 0;
    double second;
    if (sscanf(text, "%lld-%d-%d %d:%d:%lf+00%n", &year, &month, &day, &hour, &minute, &second,
               &end) != 6 ||
        end == 0 || text[end] != '\0')
        return false;
    int64_t whole = pg_days_of(year, month, day) * 86400 + hour * 3600 + minute * 60;
    *out = (double)whole + second;
    return true;
}

static bool is_exact(const char *text)
{
    int digits = 0;
    for (const char *p = text; *p; p++) {
        if (*p >= '0' && *p <= '9')
            digits += digits > 0 || *p != '0';
        else if (*p != '.' && *p != '-')
            return false; /* NaN, Infinity */
    }
    return digits <= EXACT_DIGITS;
}

static struct value text_value(const char *text, size_t n)
{
    return (struct value){.type = VALUE_TEXT, .s = {text, n}};
}

static int hex(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* "\x6d61…" to its bytes, in the result's own memory. */
static struct value blob_value(char *text, size_t n)
{
    struct value v = {.type = VALUE_BLOB, .s = {text, n / 2 - 1}};
    for (size_t i = 0; i < v.s.n; i++)
        text[i] = (char)(hex(text[2 + 2 * i]) << 4 | hex(text[3 + 2 * i]));
    return v;
}

static struct value number_of(Oid type, const char *text, size_t n)
{
    double d;
    switch (type) {
    case TYPE_NUMERIC:
        if (!is_exact(text))
            return text_value(text, n);
        if (!memchr(text, '.', n))
            return (struct value){.type = VALUE_INT, .i = strtoll(text, NULL, 10)};
        return (struct value){.type = VALUE_DOUBLE, .d = strtod(text, NULL)};
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        return (struct value){.type = VALUE_DOUBLE, .d = strtod(text, NULL)};
    case TYPE_TIMESTAMPTZ:
        if (seconds_of(text, &d))
            return (struct value){.type = VALUE_DOUBLE, .d = d};
        return text_value(text, n);
    default:
        return (struct value){.type = VALUE_INT, .i = strtoll(text, NULL, 10)};
    }
}

static void add_array(struct rows_builder *rows, Oid element, const char *text, size_t n)
{
    struct buf json = {0};
    bool ok = pg_array_to_json(str_n(text, n), element, &json);
    rows_value(rows, ok ? text_value(json.p, json.n) : text_value(text, n));
    buf_free(&json);
}

static void add_value(struct rows_builder *rows, Oid type, char *text, size_t n)
{
    switch (type) {
    case TYPE_BOOL:
        rows_value(rows, (struct value){.type = VALUE_BOOL, .b = *text == 't'});
        break;
    case TYPE_BYTEA:
        rows_value(rows, n >= 2 ? blob_value(text, n) : text_value(text, n));
        break;
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_OID:
    case TYPE_NUMERIC:
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
    case TYPE_TIMESTAMPTZ:
        rows_value(rows, number_of(type, text, n));
        break;
    default:
        if (pg_array_element(type))
            add_array(rows, pg_array_element(type), text, n);
        else
            rows_value(rows, text_value(text, n));
    }
}

void pg_result_columns(struct rows_builder *rows, const PGresult *r)
{
    if (rows->column_count)
        return;
    for (int i = 0, n = PQnfields(r); i < n; i++)
        rows_column(rows, PQfname(r, i));
}

void pg_result_row(struct rows_builder *rows, const PGresult *r, int row)
{
    for (int i = 0, n = PQnfields(r); i < n; i++) {
        if (PQgetisnull(r, row, i))
            rows_value(rows, (struct value){.type = VALUE_NULL});
        else
            add_value(rows, PQftype(r, i), PQgetvalue(r, row, i), (size_t)PQgetlength(r, row, i));
    }
}

int64_t pg_result_changed(PGresult *r)
{
    const char *tag = PQcmdStatus(r);
    if (!strncmp(tag, "SELECT", 6) || !strncmp(tag, "FETCH", 5))
        return 0;
    return strtoll(PQcmdTuples(r), NULL, 10);
}
