/* postgres_table.c -- the table behind a declaration and its partitions: see postgres.sql.
 *
 * Partitions are as wide as a fraction of the retention, so that there are never many, and kept
 * as wide as they were first made.  Those for the near future are made ahead; a batch makes those
 * it needs.  Points that are too far from now for either (or come between two servers' views)
 * lie in the default partition, "#rest", until there is one for them.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "series/postgres_driver.h"

#define HOUR_US INT64_C(3600000000)
#define DAY_US  (24 * HOUR_US)

enum { AHEAD = 3, AHEAD_HOURS = 30, FAR_AHEAD = 8, KEPT_DAYS = 3650 };

static int64_t width_for(int64_t retention_ns)
{
    int64_t days = retention_ns / 1000 / DAY_US;
    if (retention_ns == 0 || days > 1096)
        return 28 * DAY_US;
    return days > 120 ? 7 * DAY_US : days > 3 ? DAY_US : HOUR_US;
}

/* 'a','b' as elements of a text array; the names were checked. */
static void add_array(struct buf *sql, char *const *names, int count)
{
    buf_add_c(sql, "'{");
    for (int i = 0; i < count; i++)
        buf_printf(sql, "%s%s", i ? "," : "", names[i]);
    buf_add_c(sql, "}'::text[]");
}

static bool make_schema(struct series_pg *pg, struct err *err)
{
    static const char look[] =
        "select obj_description(to_regnamespace('maru_series'), 'pg_namespace')"
        " is not distinct from 'series of maru, version 2'";
    PGresult *r = pgs_run(pg, look, err);
    if (!r)
        return false;
    bool there = PQgetvalue(r, 0, 0)[0] == 't';
    PQclear(r);
    if (there)
        return true;
    char *sql = mem_printf("begin; select pg_advisory_xact_lock(7021786543105901938); %s; commit",
                           series_postgres_sql);
    r = pgs_run(pg, sql, err);
    mem_free(sql);
    if (!r && pg->c) {
        struct err undo;
        PQclear(pgs_run(pg, "rollback", &undo));
    }
    PQclear(r);
    return r != NULL;
}

/* "{1,2,3}" */
static void take_parts(struct series *s, const char *text)
{
    struct series_parts *parts = &s->parts;
    int count = 0;
    for (const char *p = text; *p; p++)
        count += *p == ',';
    mem_free(parts->starts);
    parts->starts = mem_alloc(((size_t)count + 1) * sizeof *parts->starts);
    parts->count = 0;
    char *end = (char *)(uintptr_t)text + 1;
    while (*end && *end != '}') {
        parts->starts[parts->count++] = strtoll(end, &end, 10);
        end += *end == ',';
    }
}

static int64_t floor_to(int64_t us, int64_t width_us)
{
    int64_t past = us % width_us;
    return us - (past < 0 ? past + width_us : past);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool is_known(const struct series_parts *parts, int64_t start)
{
    return parts->count &&
           bsearch(&start, parts->starts, (size_t)parts->count, sizeof start, compare);
}

/* What partitions may begin with: not so far off that a wrong clock makes thousands. */
static bool is_near(const struct series *s, int64_t start)
{
    int64_t now_us = clock_wall_ns() / 1000, width = s->parts.width_us;
    int64_t kept = s->retention_ns ? s->retention_ns / 1000 : KEPT_DAYS * DAY_US;
    int64_t ahead = width == HOUR_US ? 2 * AHEAD_HOURS * HOUR_US : FAR_AHEAD * width;
    return start > now_us - kept - width && start < now_us + ahead;
}

static bool ask_for(struct series_pg *pg, struct series *s, const struct buf *starts,
                    struct err *err)
{
    char *sql = mem_printf("select maru_series.make_parts('%s', '{%.*s}')", s->table,
                           (int)starts->n - 1, starts->p);
    PGresult *r = pgs_run(pg, sql, err);
    mem_free(sql);
    if (!r)
        return err_wrap(err, "partitions of %s", s->table);
    take_parts(s, PQgetvalue(r, 0, 0));
    PQclear(r);
    return true;
}

bool pgs_make_parts(struct series_pg *pg, struct series *s, const int64_t *at_us, int64_t n,
                    struct err *err)
{
    struct buf wanted = {0};
    int64_t last = INT64_MIN;
    for (int64_t i = 0; i < n; i++) {
        int64_t start = floor_to(at_us[i], s->parts.width_us);
        if (start == last)
            continue;
        last = start;
        if (!is_known(&s->parts, start) && is_near(s, start))
            buf_printf(&wanted, "%lld,", (long long)start);
    }
    bool ok = !wanted.n || ask_for(pg, s, &wanted, err);
    buf_free(&wanted);
    return ok;
}

/* From what holds now on. */
static bool make_ahead(struct series_pg *pg, struct series *s, struct err *err)
{
    int64_t at_us[AHEAD_HOURS + 1];
    int count = s->parts.width_us == HOUR_US ? AHEAD_HOURS : AHEAD;
    for (int i = 0; i <= count; i++)
        at_us[i] = clock_wall_ns() / 1000 + i * s->parts.width_us;
    return pgs_make_parts(pg, s, at_us, count + 1, err);
}

bool pgs_ensure(struct series_conn *conn, struct series *s, struct err *err)
{
    struct buf sql = {0};
    if (!pgs_check_sessions(conn, err) || !make_schema(conn->pg, err))
        return false;
    buf_printf(&sql,
               "select d.width, d.added, maru_series.parts('%s') from maru_series.declare("
               "'%s', '%s', '%s', ",
               s->table, s->table, s->plugin, s->name);
    add_array(&sql, s->keys, s->key_count);
    buf_add_c(&sql, ", ");
    add_array(&sql, s->values, s->value_count);
    buf_printf(&sql, ", %lld) d", (long long)width_for(s->retention_ns));
    PGresult *r = pgs_run(conn->pg, sql.p, err);
    buf_free(&sql);
    if (!r)
        return err_wrap(err, "series \"%s\"", s->name);
    bool same = !PQgetisnull(r, 0, 0);
    if (same) {
        s->parts.width_us = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
        take_parts(s, PQgetvalue(r, 0, 2));
        if (strlen(PQgetvalue(r, 0, 1)) > 2)
            log_info("series", "%s: added columns %s", s->table, PQgetvalue(r, 0, 1));
    }
    PQclear(r);
    return same ? make_ahead(conn->pg, s, err) : series_keys_differ(s, err);
}

int64_t pgs_expire(struct series_conn *conn, struct series *s, int64_t before_us, struct err *err)
{
    struct query q = {0};
    int64_t dropped = 0;
    if (before_us != SERIES_NO_TIME) {
        buf_printf(&q.sql, "select maru_series.expire('%s', ", s->table);
        query_add(&q, (struct param){.type = PARAM_TIME, .number = before_us});
        buf_add_char(&q.sql, ')');
        PGresult *r = pgs_query(conn->pg, &q, err);
        if (!r)
            return -1;
        dropped = pgs_int64(PQgetvalue(r, 0, 0));
        PQclear(r);
        s->parts.count = 0; /* asked for again with the next */
    }
    return make_ahead(conn->pg, s, err) ? dropped : -1;
}
