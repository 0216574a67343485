/* postgres/node.c -- the schema, this node's row and its lease. */
#include "jobs/postgres/postgres.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/drivers.h"
#include "observe/log.h"
#include "storage/pg.h"

enum { BEATS = 4, LISTEN_MS = 250, SCHEMA_LOCK = 7000 };

static int64_t version_of(struct pg_conn *conn, struct err *err)
{
    struct pg_args a = {0};
    PGresult *r = pg_call(conn, "SELECT to_regclass('maru.meta')::text", &a, err);
    if (!r)
        return -1;
    bool there = !PQgetisnull(r, 0, 0);
    PQclear(r);
    if (!there)
        return 0;
    r = pg_call(conn, "SELECT value FROM maru.meta WHERE key = 'version'", &a, err);
    int64_t version = r ? (PQntuples(r) ? pg_get_int(r, 0, 0) : 0) : -1;
    PQclear(r);
    return version;
}

/* Where the tables' version begins; the end when there is none such. */
static const char *version_text(int64_t version)
{
    char line[32];
    snprintf(line, sizeof line, "-- version %lld\n", (long long)version);
    const char *at = strstr(postgres_tables_sql, line);
    return at ? at : postgres_tables_sql + strlen(postgres_tables_sql);
}

static bool upgrade(struct pg_conn *conn, int64_t version, struct err *err)
{
    struct pg_args a = {0};
    if (version == 0 && !pg_run(conn, "CREATE SCHEMA IF NOT EXISTS maru", err))
        return false;
    if (!pg_run(conn, version_text(version + 1), err) || !pg_run(conn, postgres_functions_sql, err))
        return false;
    if (version)
        log_info("jobs", "the schema maru in the database is of version %d now, it was of %lld",
                 PG_VERSION, (long long)version);
    pg_int(&a, PG_VERSION);
    PGresult *r = pg_call(conn,
                          "INSERT INTO maru.meta VALUES('version', $1) ON CONFLICT (key)"
                          " DO UPDATE SET value = excluded.value",
                          &a, err);
    PQclear(r);
    return r != NULL;
}

/* In one transaction, under a lock: other nodes start at the same time. */
static bool make_schema(struct pg_conn *conn, struct err *err)
{
    struct err ignored;
    if (!pg_run(conn, "BEGIN; SELECT pg_advisory_xact_lock(7000)", err))
        return false;
    int64_t version = version_of(conn, err);
    bool ok = version >= 0;
    if (ok && version < PG_VERSION)
        ok = upgrade(conn, version, err);
    else if (version > PG_VERSION)
        ok = err_set(err, ERR_INVALID,
                     "the schema maru in the database is of version %lld, made by a newer maru;"
                     " this one knows %d",
                     (long long)version, PG_VERSION);
    if (ok)
        return pg_run(conn, "COMMIT", err);
    pg_run(conn, "ROLLBACK", &ignored);
    return false;
}

static bool check_sessions(struct pg_conn *conn, struct err *err)
{
    struct pg_conn second = {.pg = conn->pg, .what = "look"};
    bool ok = pg_connect(&second, err) &&
              (pgsql_check_pooler(conn->c, second.c, err) || err_wrap(err, "jobs.url"));
    pg_disconnect(&second);
    return ok;
}

bool pg_prepare(struct pg *pg, struct pg_conn *conn, struct err *err)
{
    struct pg_args a = {0};
    if (!pg_connect(conn, err) || (!pg->prepared && !check_sessions(conn, err)) ||
        !make_schema(conn, err))
        return false;
    pg_int(&a, pg->jobs->options.dead_ttl_ns);
    pg_int(&a, PG_PAST_ROWS);
    PGresult *r = pg_call(conn, "SELECT maru.upkeep($1, $2)", &a, err);
    PQclear(r);
    return r != NULL;
}

/* What is known of how the process before this one died. */
static char *evidence_of(struct pg *pg)
{
    const char *how = pg->jobs->options.last_death;
    return mem_printf("the process died while this ran: %s; boot %.36s",
                      how ? how : "nobody saw how", flight_boot(pg->jobs->flight));
}

/* What an earlier process of this state.dir had comes back at once; that it is gone is sure,
 * for two cannot hold its lock.  Blamed are the jobs its flight recorder names. */
static bool recover_own(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    struct flight_entry *ran = mem_alloc(FLIGHT_SLOTS * sizeof *ran);
    bool same_boot;
    int count = flight_read(pg->jobs->flight, ran, FLIGHT_SLOTS, &same_boot);
    pg_text(&a, pg->outbox.home);
    pg_array(&a, PG_INT8S);
    for (int i = 0; i < count && same_boot; i++)
        pg_add_int(&a, ran[i].id);
    mem_free(ran);
    char *evidence = evidence_of(pg);
    pg_text(&a, evidence);
    mem_free(evidence);
    PGresult *r =
        pg_call(&pg->to_beat,
                "SELECT maru.recover(n.id, $2, $3) FROM (SELECT id FROM maru.node WHERE home = $1"
                " FOR UPDATE) n",
                &a, err);
    if (r && PQntuples(r) && pg_get_int(r, 0, 0))
        log_info("jobs", "%lld jobs of an earlier process here come back, %d were running",
                 (long long)pg_get_int(r, 0, 0), count);
    PQclear(r);
    flight_reset(pg->jobs->flight);
    return r != NULL;
}

static void capacity_of(struct jobs *jobs, int *lanes, int *capacity)
{
    jobs_lock(jobs);
    *lanes = jobs->worker_count;
    *capacity = jobs->slots;
    jobs_unlock(jobs);
}

static bool insert_node(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    int lanes, capacity;
    capacity_of(pg->jobs, &lanes, &capacity);
    pg_text(&a, pg->outbox.home);
    pg_text(&a, pg->name);
    pg_int(&a, lanes);
    pg_int(&a, capacity);
    pg_int(&a, pg->lease_ns);
    PGresult *r = pg_call(
        &pg->to_beat,
        "INSERT INTO maru.node(home, name, lanes, capacity, started_at, beat_at, expires_at)"
        " VALUES($1, $2, $3::int, $4::int, maru.now(), maru.now(), maru.now() + $5) RETURNING id",
        &a, err);
    int64_t node = r ? pg_get_int(r, 0, 0) : 0;
    PQclear(r);
    pthread_mutex_lock(&pg->lock);
    pg->node = node;
    pthread_mutex_unlock(&pg->lock);
    return node != 0;
}

static bool listen_here(struct pg *pg, struct err *err)
{
    return pg_run(&pg->to_beat, "LISTEN maru", err);
}

bool pg_register(struct pg *pg, struct err *err)
{
    return recover_own(pg, err) && insert_node(pg, err) && listen_here(pg, err);
}

/* The lease ran out while this process stood still: others have its jobs. */
static bool lost(struct pg *pg, struct err *err)
{
    pthread_mutex_lock(&pg->lock);
    pg->node = 0;
    pthread_mutex_unlock(&pg->lock);
    log_error("jobs", "the lease of this node ran out: its jobs went to others");
    shared_lose_all(pg->jobs);
    return insert_node(pg, err);
}

static bool cancel_asked(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    pg_int(&a, pg->node);
    PGresult *r =
        pg_call(&pg->to_beat, "SELECT id FROM maru.claimed WHERE node = $1 AND cancel", &a, err);
    for (int i = 0; i < PQntuples(r); i++)
        shared_cancel(pg->jobs, pg_get_int(r, i, 0));
    PQclear(r);
    return r != NULL;
}

static bool beat(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    struct buf running = {0}, card = {0};
    int lanes, capacity;
    capacity_of(pg->jobs, &lanes, &capacity);
    jobs_print_workers(pg->jobs, pg->name, &running);
    pg_int(&a, pg->node);
    pg_int(&a, pg->lease_ns);
    pg_text(&a, running.p);
    pg_int(&a, lanes);
    pg_int(&a, capacity);
    shared_card(pg->jobs, &card);
    pg_text(&a, pg->outbox.home);
    pg_text(&a, card.n ? card.p : "");
    PGresult *r = pg_call(
        &pg->to_beat,
        "WITH c AS (INSERT INTO maru.card(home, card, seen_at) SELECT $6, $7, maru.now() WHERE $7 "
        "<> ''"
        " ON CONFLICT (home) DO UPDATE SET card = excluded.card, seen_at = excluded.seen_at)"
        " UPDATE maru.node SET beat_at = maru.now(), expires_at = maru.now() + $2, running = $3,"
        " lanes = $4::int, capacity = $5::int WHERE id = $1",
        &a, err);
    bool there = r && strcmp(PQcmdTuples(r), "1") == 0;
    PQclear(r);
    buf_free(&running);
    buf_free(&card);
    if (!r)
        return false;
    return there ? cancel_asked(pg, err) : lost(pg, err);
}

/* Whoever may run SQL in this database can send one: it says only where to look.  True: that is
 * among the claimed. */
static bool notice(struct pg *pg, const char *text)
{
    long long node;
    if (sscanf(text, "c %lld", &node) == 1)
        return node == pg->node;
    pthread_mutex_lock(&pg->lock);
    if (*text == 'q') {
        pg->count_wanted = true;
        pthread_cond_signal(&pg->ask_wake);
    }
    pg->claim_wanted = true;
    pthread_cond_signal(&pg->claim_wake);
    pthread_mutex_unlock(&pg->lock);
    return false;
}

static void listen_until(struct pg *pg, int64_t until_ns)
{
    PGconn *c = pg->to_beat.c;
    int64_t now = clock_ns(), most = LISTEN_MS * NS_PER_MS;
    int64_t left = until_ns - now < most ? until_ns - now : most;
    struct pollfd fd = {.fd = c ? PQsocket(c) : -1, .events = POLLIN};
    if (left > 0)
        poll(&fd, 1, (int)(left / NS_PER_MS) + 1);
    struct err err = {0};
    bool asked = false;
    if (c && fd.revents && !PQconsumeInput(c))
        pg_run(&pg->to_beat, "SELECT 1", &err); /* which closes what is broken */
    for (PGnotify *n; pg->to_beat.c && (n = PQnotifies(pg->to_beat.c)); PQfreemem(n))
        asked = notice(pg, n->extra) || asked;
    if (asked && pg->to_beat.c)
        cancel_asked(pg, &err); /* what this misses the next beat finds */
}

static bool connected(struct pg *pg, struct err *err)
{
    bool fresh = !pg->to_beat.c;
    if (!pg_connect(&pg->to_beat, err))
        return false;
    if (!fresh || listen_here(pg, err))
        return true;
    pg_disconnect(&pg->to_beat); /* or the next look would take it for one that listens */
    return false;
}

static void steady(struct pg *pg, bool ok)
{
    pthread_mutex_lock(&pg->lock);
    if (!ok)
        pg->steady_ns = 0;
    else if (!pg->steady_ns)
        pg->steady_ns = clock_ns();
    pthread_mutex_unlock(&pg->lock);
}

/* What was not given back is a run that did not end: the lease's end gives it to others. */
static void leave(struct pg *pg)
{
    struct pg_args a = {0};
    struct err err = {0};
    pg_int(&a, pg->node);
    PQclear(pg_call(&pg->to_beat,
                    "DELETE FROM maru.node n WHERE id = $1 AND NOT EXISTS"
                    " (SELECT 1 FROM maru.claimed c WHERE c.node = n.id)",
                    &a, &err));
    pg_text(&a, pg->outbox.home);
    PQclear(pg_call(&pg->to_beat, "DELETE FROM maru.card WHERE home = $1", &a, &err));
}

void *pg_beat_main(void *arg)
{
    struct pg *pg = arg;
    int64_t next = clock_ns();
    bool ending = false;
    while (!ending) {
        struct err err = {0};
        bool ok = connected(pg, &err);
        if (ok && clock_ns() >= next) {
            int64_t began = clock_steady_ns();
            ok = beat(pg, &err);
            if (ok)
                driver_health_took(pg->health, clock_steady_ns() - began);
            next = clock_ns() + pg->lease_ns / BEATS;
        }
        steady(pg, ok);
        pg_away(pg, ok ? NULL : &err);
        if (!ok)
            next = clock_ns();
        listen_until(pg, ok ? next : clock_ns() + LISTEN_MS * NS_PER_MS);
        pthread_mutex_lock(&pg->lock);
        ending = pg->ending;
        pthread_mutex_unlock(&pg->lock);
    }
    leave(pg);
    return NULL;
}
