/* postgres/health.c -- what keeps the queue's tables from being vacuumed, as metrics and in the
 * log. */
#include "jobs/postgres/postgres.h"

#include "base/clock.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum { WARN_S = 600, AGAIN_S = 3600, VACUUM_ROWS = 10000, VACUUM_S = 5 };

/* Any session's, in any database, for its rows' visibility holds back all tables; and what a
 * replication slot or a prepared transaction holds. */
static const char sql[] =
    "SELECT (SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables"
    " WHERE schemaname = 'maru'),"
    " coalesce((SELECT max(extract(epoch FROM clock_timestamp() - xact_start))::bigint"
    " FROM pg_stat_activity WHERE backend_xmin IS NOT NULL OR backend_xid IS NOT NULL), 0),"
    " coalesce((SELECT max(extract(epoch FROM clock_timestamp() - prepared))::bigint"
    " FROM pg_prepared_xacts), 0),"
    " (SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables"
    " WHERE schemaname = 'maru' AND relname = 'ready' AND n_dead_tup > n_live_tup / 4)";

/* Every claim and push looks for the first row of maru.ready, past all index entries of rows that
 * have gone from before it: after a minute at 1,000 jobs a second, which is when autovacuum comes,
 * that takes 2 ms.  A long queue is left to autovacuum, for its index is read as a whole. */
static void vacuum(struct pg *pg, int64_t gone)
{
    struct err ignored;
    if (gone < VACUUM_ROWS || clock_ns() < pg->next_vacuum_ns)
        return;
    pg->next_vacuum_ns = clock_ns() + VACUUM_S * NS_PER_SECOND;
    pg_run(&pg->to_ask, "VACUUM (SKIP_LOCKED, TRUNCATE off) maru.ready", &ignored);
}

bool pg_observe(struct pg *pg, struct err *err)
{
    static struct metric *dead, *oldest;
    struct pg_args a = {0};
    PGresult *r = pg_call(&pg->to_ask, sql, &a, err);
    if (!r)
        return false;
    if (!dead) {
        dead = metrics_gauge("maru_jobs_postgres_dead_tuples",
                             "Rows of the queue in PostgreSQL that wait for vacuum", "");
        oldest = metrics_gauge("maru_jobs_postgres_oldest_xact_seconds",
                               "Age of the oldest transaction that keeps vacuum from them", "");
    }
    int64_t session = pg_get_int(r, 0, 1), prepared = pg_get_int(r, 0, 2);
    int64_t age = session > prepared ? session : prepared, gone = pg_get_int(r, 0, 3);
    metric_set(dead, (double)pg_get_int(r, 0, 0));
    metric_set(oldest, (double)age);
    PQclear(r);
    vacuum(pg, gone);
    if (age > WARN_S && clock_ns() >= pg->next_warning_ns) {
        pg->next_warning_ns = clock_ns() + AGAIN_S * NS_PER_SECOND;
        log_warn("jobs",
                 "a transaction has been open in PostgreSQL for %lld s: vacuum cannot remove dead"
                 " rows, and claims become slower; look at xact_start in pg_stat_activity",
                 (long long)age);
    }
    return true;
}
