/* postgres/schedules.c -- schedules' memory and the lease of who fires, on a thread of their own:
 * a lease must not wait behind a look. */
#include "jobs/postgres/postgres.h"
#include "jobs/schedules_thread.h"

#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

enum { AGAIN_MS = 120 }; /* when a lost connection may be tried again */

struct pg_schedules {
    struct pg *pg;
    struct pg_conn conn;
    struct schedules_thread thread;
};

static bool is_true(const PGresult *r, int row, int column)
{
    return pg_get(r, row, column).n == 1 && pg_get(r, row, column).p[0] == 't';
}

static void lead(struct pg_schedules *p, struct jobs_schedules *s)
{
    struct pg_args a = {0};
    pg_text(&a, p->pg->writer);
    pg_int(&a, s->epoch);
    pg_int(&a, s->ask == SCHEDULES_RESIGN ? 0 : s->lease_ns);
    PGresult *r = pg_call(&p->conn, "SELECT * FROM maru.lead($1, $2, $3)", &a, &s->err);
    if (r && PQntuples(r) == 1) {
        s->held = is_true(r, 0, 0);
        s->epoch = pg_get_int(r, 0, 1);
        s->version = pg_get_int(r, 0, 2);
    }
    PQclear(r);
}

/* From one schedule's last row to the next one's, however many fires there are. */
static const char load_sql[] =
    "WITH RECURSIVE k(s) AS ((SELECT schedule FROM maru.fire ORDER BY schedule, at LIMIT 1)"
    " UNION ALL SELECT (SELECT schedule FROM maru.fire WHERE schedule > k.s"
    "  ORDER BY schedule, at LIMIT 1) FROM k WHERE k.s IS NOT NULL),"
    " every(s) AS (SELECT s FROM k WHERE s IS NOT NULL UNION SELECT name FROM maru.schedule)"
    " SELECT every.s, f.at, t.since, f.job, coalesce(t.paused, false) FROM every"
    " LEFT JOIN maru.schedule t ON t.name = every.s"
    " LEFT JOIN LATERAL (SELECT at, job FROM maru.fire WHERE schedule = every.s"
    "  ORDER BY schedule DESC, at DESC LIMIT 1) f ON true";

static void load(struct pg_schedules *p, struct jobs_schedules *s)
{
    struct pg_args a = {0};
    PGresult *r = pg_call(&p->conn, load_sql, &a, &s->err);
    int count = r ? PQntuples(r) : 0;
    mem_free(s->rows);
    s->rows = mem_zero((size_t)count + 1, sizeof *s->rows);
    for (s->count = 0; s->count < count; s->count++)
        s->rows[s->count] = (struct jobs_schedule){.name = str_dup(pg_get(r, s->count, 0)),
                                                   .last = pg_get_int(r, s->count, 1),
                                                   .since = pg_get_int(r, s->count, 2),
                                                   .job = pg_get_int(r, s->count, 3),
                                                   .paused = is_true(r, s->count, 4)};
    PQclear(r);
}

static void keep(struct pg_schedules *p, struct jobs_schedules *s)
{
    static const char *const sql[] = {
        [SCHEDULES_SINCE] = "SELECT maru.keep_since($1, $2)",
        [SCHEDULES_PAUSE] = "SELECT maru.keep_pause($1, $2, $3)",
        [SCHEDULES_PRUNE] = "SELECT maru.prune_fires($1, $2)",
    };
    struct pg_args a = {0};
    pg_array(&a, PG_TEXTS);
    for (int i = 0; i < s->count; i++)
        pg_add_text(&a, str_c(s->rows[i].name), false);
    pg_array(&a, PG_INT8S);
    for (int i = 0; i < s->count; i++)
        pg_add_int(&a, s->rows[i].since);
    if (s->ask == SCHEDULES_PAUSE) {
        pg_array(&a, PG_INT2S);
        for (int i = 0; i < s->count; i++)
            pg_add_int(&a, s->rows[i].paused);
    }
    PQclear(pg_call(&p->conn, sql[s->ask], &a, &s->err));
}

static void ask(struct pg_schedules *p, struct jobs_schedules *s)
{
    err_clear(&s->err);
    if (!pg_connect(&p->conn, &s->err))
        return;
    if (s->ask == SCHEDULES_LOAD)
        load(p, s);
    else if (s->ask <= SCHEDULES_RESIGN)
        lead(p, s);
    else
        keep(p, s);
}

/* A connection that was lost while nobody asked is found out by the first who does; every request
 * may be repeated. */
static void answer(void *arg, struct jobs_schedules *s)
{
    struct pg_schedules *p = arg;
    bool connected = p->conn.c != NULL;
    ask(p, s);
    if (s->err.code == ERR_IO && connected) {
        struct timespec pause = {0, AGAIN_MS * NS_PER_MS};
        nanosleep(&pause, NULL);
        ask(p, s);
    }
}

struct pg_schedules *pg_schedules_create(struct pg *pg)
{
    struct pg_schedules *p = mem_zero(1, sizeof *p);
    p->pg = pg;
    p->conn = (struct pg_conn){.pg = pg, .what = "cron"};
    schedules_thread_init(&p->thread, answer, p);
    return p;
}

void pg_schedules_free(struct pg_schedules *p)
{
    schedules_thread_stop(&p->thread);
    pg_disconnect(&p->conn);
    mem_free(p);
}

void pg_ask_schedules(struct jobs *jobs, struct jobs_schedules *s)
{
    schedules_thread_ask(&((struct pg *)jobs->record)->schedules->thread, s);
}
