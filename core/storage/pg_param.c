/* pg_param.c -- values of store.h as the server's types want them.
 *
 * The server says what it takes each $n for.  Numbers and booleans become each other as in
 * SQLite; seconds become a timestamptz; a JSON array becomes an array; text and bytes go out as
 * they are.  What does not fit is the server's to refuse, with its words.
 */
#include <arpa/inet.h>
#include <math.h>

#include "storage/pg_private.h"

enum { SPACE = 64 }; /* of a number, a time */

static size_t space_of(const struct value *v, Oid type)
{
    if (v->type != VALUE_TEXT && v->type != VALUE_BLOB)
        return SPACE;
    return v->s.n + 2 + (type == TYPE_JSONB);
}

static void *room(struct pgsql_lane *pool, size_t n)
{
    char *p = pool->scratch.p + pool->scratch.n;
    pool->scratch.n += n;
    return p;
}

static void put(struct pgsql_lane *pool, int i, const void *p, size_t n, bool binary)
{
    pool->values[i] = p;
    pool->lengths[i] = (int)n;
    pool->formats[i] = binary;
}

static void put_big_endian(struct pgsql_lane *pool, int i, uint64_t bits, size_t n)
{
    unsigned char *p = room(pool, n);
    for (size_t k = 0; k < n; k++)
        p[k] = (unsigned char)(bits >> (8 * (n - 1 - k)));
    put(pool, i, p, n, true);
}

static void put_printed(struct pgsql_lane *pool, int i, const char *text)
{
    size_t n = strlen(text);
    put(pool, i, memcpy(room(pool, n + 1), text, n + 1), n, false);
}

static void put_double_text(struct pgsql_lane *pool, int i, double d)
{
    char text[SPACE];
    if (isinf(d))
        snprintf(text, sizeof text, "%sInfinity", d < 0 ? "-" : "");
    else
        snprintf(text, sizeof text, "%.17g", d);
    if (!isinf(d)) { /* the shortest that reads back the same */
        char shorter[SPACE];
        snprintf(shorter, sizeof shorter, "%.15g", d);
        double back;
        if (sscanf(shorter, "%lf", &back) == 1 && back == d)
            memcpy(text, shorter, sizeof text);
    }
    put_printed(pool, i, text);
}

/* Seconds since 1970 as a time with microseconds. */
static void put_time(struct pgsql_lane *pool, int i, double seconds)
{
    char text[SPACE];
    int64_t year;
    int month, day;
    if (!(fabs(seconds) < 8e12)) {
        put_double_text(pool, i, seconds); /* which the server refuses */
        return;
    }
    int64_t us = llround(seconds * 1e6), whole = us / 1000000, rest = us % 1000000;
    if (rest < 0) {
        rest += 1000000;
        whole--;
    }
    int64_t days = whole / 86400, of_day = whole % 86400;
    if (of_day < 0) {
        of_day += 86400;
        days--;
    }
    pg_date_of(days, &year, &month, &day);
    snprintf(text, sizeof text, "%04lld-%02d-%02d %02d:%02d:%02d.%06d+00", (long long)year, month,
             day, (int)(of_day / 3600), (int)(of_day / 60 % 60), (int)(of_day % 60), (int)rest);
    put_printed(pool, i, text);
}

static void put_int(struct pgsql_lane *pool, int i, Oid type, int64_t n)
{
    char text[SPACE];
    if (type == TYPE_INT8)
        put_big_endian(pool, i, (uint64_t)n, 8);
    else if (type == TYPE_INT4 && n == (int32_t)n)
        put_big_endian(pool, i, (uint32_t)n, 4);
    else if (type == TYPE_BOOL)
        put_big_endian(pool, i, n != 0, 1);
    else if (type == TYPE_TIMESTAMPTZ)
        put_time(pool, i, (double)n);
    else {
        snprintf(text, sizeof text, "%lld", (long long)n);
        put_printed(pool, i, text);
    }
}

static void put_double(struct pgsql_lane *pool, int i, Oid type, double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    if (type == TYPE_FLOAT8)
        put_big_endian(pool, i, bits, 8);
    else if (type == TYPE_TIMESTAMPTZ)
        put_time(pool, i, d);
    else if (type == TYPE_BOOL)
        put_big_endian(pool, i, d != 0, 1);
    else
        put_double_text(pool, i, d);
}

static bool is_text(Oid type)
{
    return type == TYPE_TEXT || type == TYPE_VARCHAR || type == TYPE_BPCHAR || type == TYPE_JSON ||
           type == TYPE_BYTEA;
}

static void put_bytes(struct pgsql_lane *pool, int i, Oid type, struct str s)
{
    if (is_text(type)) {
        put(pool, i, s.n ? s.p : "", s.n, true);
    } else if (type == TYPE_JSONB) {
        char *p = room(pool, s.n + 1);
        p[0] = 1; /* its version */
        memcpy(p + 1, s.p, s.n);
        put(pool, i, p, s.n + 1, true);
    } else {
        char *p = room(pool, s.n + 1);
        memcpy(p, s.p, s.n);
        p[s.n] = '\0';
        put(pool, i, p, s.n, false);
    }
}

/* A JSON array where the server wants one of its own.  They grow, so they are kept apart. */
static bool make_arrays(struct pgsql_lane *pool, const struct pgsql_statement *stmt,
                        const struct value *values, struct buf *arrays, size_t *at)
{
    bool any = false;
    for (int i = 0; i < stmt->param_count; i++) {
        at[i] = SIZE_MAX;
        if (values[i].type != VALUE_TEXT || !pg_array_element(stmt->params[i]) ||
            values[i].s.n == 0 || values[i].s.p[0] != '[')
            continue;
        size_t before = arrays->n;
        if (pg_array_from_json(values[i].s, arrays)) {
            buf_add_char(arrays, '\0');
            at[i] = before;
            any = true;
        } else {
            arrays->n = before;
        }
    }
    (void)pool;
    return any;
}

static void put_value(struct pgsql_lane *pool, int i, Oid type, const struct value *v)
{
    switch (v->type) {
    case VALUE_NULL:
        put(pool, i, NULL, 0, false);
        break;
    case VALUE_BOOL:
        put_int(pool, i, type, v->b);
        break;
    case VALUE_INT:
        if (type == TYPE_FLOAT8)
            put_double(pool, i, type, (double)v->i);
        else
            put_int(pool, i, type, v->i);
        break;
    case VALUE_DOUBLE:
        put_double(pool, i, type, v->d);
        break;
    case VALUE_TEXT:
    case VALUE_BLOB:
        put_bytes(pool, i, type, v->s);
        break;
    }
}

static bool has_arrays(const struct pgsql_statement *stmt)
{
    for (int i = 0; i < stmt->param_count; i++)
        if (pg_array_element(stmt->params[i]))
            return true;
    return false;
}

bool pg_params_fill(struct pgsql_lane *pool, const struct pgsql_statement *stmt,
                    const struct value *values, struct err *err)
{
    struct buf arrays = {0};
    size_t at[PGSQL_PARAMS], bytes = 0;
    bool some = has_arrays(stmt) && make_arrays(pool, stmt, values, &arrays, at);
    for (int i = 0; i < stmt->param_count; i++)
        bytes += space_of(&values[i], stmt->params[i]);
    if (bytes + arrays.n > INT32_MAX / 2) {
        buf_free(&arrays);
        return err_set(err, ERR_LIMIT, "the values take more than %d bytes", INT32_MAX / 2);
    }
    buf_clear(&pool->scratch);
    buf_reserve(&pool->scratch, bytes + arrays.n + 1);
    for (int i = 0; i < stmt->param_count; i++) {
        if (some && at[i] != SIZE_MAX)
            put_bytes(pool, i, 0, str_c(arrays.p + at[i]));
        else
            put_value(pool, i, stmt->params[i], &values[i]);
    }
    buf_free(&arrays);
    return true;
}
